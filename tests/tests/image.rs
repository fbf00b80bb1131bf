//! The release itself: what is inside, that two assemblies agree, and that the tools in it run.

use init_proto::services;
use std::path::Path;
use std::process::Command;
use xtask::image::{self, Artifacts, Flavour, Options, Source, check, reproducible};
use xtask::tools;

fn vm() -> Artifacts {
    image::built(Flavour::Vm).expect("the image is built")
}

#[test]
fn nothing_is_inside_that_is_not_listed() {
    let findings = check::check(&vm()).expect("the release can be taken apart");
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[test]
fn the_flavour_for_machines_holds_the_same_rules() {
    let artifacts = image::build(Flavour::Metal).expect("metal builds");
    let findings = check::check(&artifacts).expect("the release can be taken apart");
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[test]
fn two_assemblies_are_bit_identical() {
    let options = Options {
        flavour: Flavour::Vm,
        firmware: false,
        version: image::version().expect("the workspace has a version"),
        programs: Source::LastBuild,
    };
    reproducible::assemble_twice(&options).expect("two assemblies agree");
}

/// The dynamic loader and every library are there: each tool starts on the root alone.
#[test]
fn the_file_system_tools_run_on_the_root_alone() {
    for tool in ["mke2fs", "e2fsck"] {
        let output = Command::new("chroot")
            .arg(vm().root_tree)
            .arg(format!("/usr/sbin/{tool}"))
            .arg("-V")
            .output()
            .expect("chroot is part of coreutils");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("1.47"), "{tool}: {}: {said}", output.status);
    }
}

#[test]
fn accounts_are_those_of_the_service_table() {
    let root = vm().root_tree;
    let read = |path: &str| std::fs::read_to_string(root.join(path)).expect(path);
    let accounts = |text: &str| -> Vec<(String, u32)> {
        text.lines()
            .map(|line| {
                let fields: Vec<&str> = line.split(':').collect();
                (fields[0].to_string(), fields[2].parse().expect("an id"))
            })
            .collect()
    };
    let table: Vec<(String, u32)> = services::USERS
        .iter()
        .map(|(name, id)| ((*name).to_string(), *id))
        .collect();
    assert_eq!(accounts(&read("etc/passwd")), table);
    assert_eq!(accounts(&read("etc/group")), table);
}

/// A user has only the release and openssl.
#[test]
fn the_signature_holds_for_openssl() {
    let artifacts = vm();
    let verify = |sums: &Path| {
        tools::program("openssl")
            .expect("openssl is in the tools tree")
            .args(["pkeyutl", "-verify", "-pubin", "-rawin", "-inkey"])
            .arg(
                artifacts
                    .root_tree
                    .join("usr/share/orlop/keys/development.pub"),
            )
            .arg("-in")
            .arg(sums)
            .arg("-sigfile")
            .arg(artifacts.directory.join("SHA256SUMS.sig"))
            .output()
            .expect("openssl runs")
    };
    let output = verify(&artifacts.directory.join("SHA256SUMS"));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let directory = tempfile::tempdir().expect("a directory");
    let changed = directory.path().join("sums");
    std::fs::write(&changed, "0000  orlop.efi\n").expect("written");
    assert!(!verify(&changed).status.success(), "a changed list passes");
}
