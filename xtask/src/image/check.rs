//! Takes a release apart and looks at what is inside: only allowed programs, no set-user-id file, no shell or
//! script, no device, everything root's, within the size budgets; the disk image holds the same release.

use crate::command;
use crate::image::container::{self, Member};
use crate::image::listing::{self, Entry, Kind};
use crate::image::{Artifacts, Flavour, release, signing};
use crate::tools;
use crate::workspace;
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Bytes of a mebibyte.
const MIB: u64 = 1024 * 1024;
/// Largest `init`.
const INIT_SIZE_MAX: u64 = 8 * MIB;
/// Bits of stat(2): the file type, and that of a regular file.
const TYPE: u32 = 0o170_000;
const TYPE_FILE: u32 = 0o100_000;
/// Names that are a shell, an interpreter or a package manager, whatever the allow list says.
const NEVER: &[&str] = &[
    "apt", "ash", "bash", "busybox", "dash", "dpkg", "lua", "perl", "python3", "rpm", "sh", "ssh",
    "sshd", "su", "sudo", "systemd", "udevd", "zsh",
];

/// Largest release file of a flavour, in bytes.
#[must_use]
pub fn size_max(flavour: Flavour) -> u64 {
    match flavour {
        Flavour::Vm => 64 * MIB,
        Flavour::Metal => 160 * MIB,
    }
}

/// One file as the rules see it.
#[derive(Debug, Clone)]
struct Seen {
    path: String,
    /// Permission bits.
    mode: u32,
    is_file: bool,
    is_root_s: bool,
    /// Its first bytes.
    head: Vec<u8>,
    size: u64,
}

/// Checks a built release. Empty: all is well. Each finding is one sentence.
///
/// # Errors
/// The release cannot be taken apart at all.
pub fn check(artifacts: &Artifacts) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    let size = artifacts
        .efi
        .metadata()
        .context("look at the release")?
        .len();
    let max = size_max(artifacts.flavour);
    if size > max {
        findings.push(format!("the release has {size} bytes, more than {max}"));
    }
    let file =
        fs::read(&artifacts.efi).with_context(|| format!("read {}", artifacts.efi.display()))?;
    for (name, path) in [
        (".linux", &artifacts.kernel),
        (".initrd", &artifacts.initrd),
    ] {
        let alone = fs::read(path).with_context(|| format!("read {}", path.display()))?;
        if container::section(&file, name)? != alone {
            findings.push(format!(
                "{} is not the {name} of the release",
                path.display()
            ));
        }
    }
    let command_line = container::section(&file, ".cmdline")?;
    if String::from_utf8_lossy(command_line).trim_end_matches(['\0', '\n'])
        != artifacts.command_line
    {
        findings.push("the release's command line is not that of mkosi.conf".into());
    }

    let scratch = artifacts
        .directory
        .join(format!(".check-{}", artifacts.flavour.name()));
    remove(&scratch)?;
    fs::create_dir_all(&scratch).context("make a scratch directory")?;
    let initrd =
        container::members(container::section(&file, ".initrd")?).context("read the initrd")?;
    let mut seen: Vec<Seen> = initrd.iter().map(see_member).collect();
    let erofs = scratch.join(release::ROOT_FILE);
    let packed = initrd
        .iter()
        .find(|member| member.path == release::ROOT_FILE)
        .context("the initrd has no root")?;
    fs::write(&erofs, packed.data).context("take the root out")?;
    let tree = scratch.join("root");
    command::output(
        tools::program("fsck.erofs")?
            .arg(format!("--extract={}", tree.display()))
            .arg(&erofs),
    )?;
    let entries = listing::walk(&tree)?;
    for entry in &entries {
        seen.push(see_entry(&tree, entry)?);
    }
    if listing::format("", &entries) != listing::format("", &listing::walk(&artifacts.root_tree)?) {
        findings.push(format!(
            "{} is not the root of the release",
            artifacts.root_tree.display()
        ));
    }
    findings.extend(judge(&seen, &allowed()?));
    findings.extend(check_disk(artifacts, &scratch, &file)?);
    if let Err(error) = signing::verify(artifacts) {
        findings.push(format!("{error:#}"));
    }
    remove(&scratch)?;
    Ok(findings)
}

/// The rules, on everything that was seen.
fn judge(seen: &[Seen], allowed: &BTreeSet<String>) -> Vec<String> {
    let mut findings = Vec::new();
    for Seen {
        path,
        mode,
        is_file,
        is_root_s,
        head,
        size,
    } in seen
    {
        let name = path.rsplit('/').next().unwrap_or(path);
        if !is_root_s {
            findings.push(format!("{path} does not belong to root"));
        }
        if NEVER.contains(&name) && *is_file {
            findings.push(format!(
                "{path} is named like a shell, interpreter or package manager"
            ));
        }
        if mode & 0o6000 != 0 {
            findings.push(format!("{path} is set-user-id or set-group-id"));
        }
        if mode & 0o022 != 0 && *is_file {
            findings.push(format!("{path} can be written by others than root"));
        }
        if !is_file {
            continue;
        }
        if head.starts_with(b"#!") {
            findings.push(format!("{path} is a script"));
        }
        let is_module = path.ends_with(".ko") && head.starts_with(b"\x7fELF");
        let is_program =
            mode & 0o111 != 0 || head.starts_with(b"\x7fELF") || head.starts_with(b"MZ");
        if is_program && !is_module && !allowed.contains(path) {
            findings.push(format!(
                "{path} is a program or library that executables.allow does not have"
            ));
        }
        if name == "init" && *size > INIT_SIZE_MAX {
            findings.push(format!(
                "{path} has {size} bytes, more than {INIT_SIZE_MAX}"
            ));
        }
    }
    for path in allowed {
        if !seen.iter().any(|file| file.path == *path) {
            findings.push(format!(
                "executables.allow has {path}, the release does not"
            ));
        }
    }
    findings
}

/// The disk image: both partition tables and the ESP are sound, and the ESP holds the release.
fn check_disk(artifacts: &Artifacts, scratch: &Path, release: &[u8]) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    let raw = scratch.join("disk.raw");
    command::output(
        tools::program("zstd")?
            .args(["--decompress", "--quiet", "--sparse", "-o"])
            .arg(&raw)
            .arg(&artifacts.raw_zst),
    )?;
    command::output(tools::program("sfdisk")?.arg("--verify").arg(&raw))
        .context("verify the partition table")?;
    let disk = gpt::GptConfig::new()
        .only_valid_headers(true)
        .open(&raw)
        .context("open the partition table")?;
    let esp = disk
        .partitions()
        .get(&1)
        .context("the disk has no first partition")?;
    let offset = esp
        .bytes_start(gpt::disk::LogicalBlockSize::Lb512)
        .context("where the ESP begins")?;
    let at = format!("{}@@{offset}", raw.display());
    let inside = format!("::/EFI/orlop/{}.efi", artifacts.version);
    let copy = scratch.join("copy.efi");
    command::output(
        tools::program("mcopy")?
            .arg("-i")
            .arg(&at)
            .arg(inside)
            .arg(&copy),
    )
    .context("take the release out of the ESP")?;
    if fs::read(&copy).context("read the ESP's release")? != release {
        findings.push("the ESP's release is another one".into());
    }
    let esp_file = scratch.join("esp");
    let length = esp
        .bytes_len(gpt::disk::LogicalBlockSize::Lb512)
        .context("the size of the ESP")?;
    cut(&raw, offset, length, &esp_file)?;
    if let Err(error) = command::output(tools::program("fsck.vfat")?.arg("-n").arg(&esp_file)) {
        findings.push(format!("the ESP is not clean: {error:#}"));
    }
    Ok(findings)
}

/// Copies a part of a file to a file of its own.
fn cut(source: &Path, start: u64, length: u64, target: &Path) -> Result<()> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = fs::File::open(source).with_context(|| format!("open {}", source.display()))?;
    file.seek(SeekFrom::Start(start))
        .with_context(|| format!("seek in {}", source.display()))?;
    let mut out = fs::File::create(target).with_context(|| format!("make {}", target.display()))?;
    std::io::copy(&mut file.take(length), &mut out)
        .with_context(|| format!("write {}", target.display()))?;
    Ok(())
}

/// The paths of `image/executables.allow`.
fn allowed() -> Result<BTreeSet<String>> {
    let path = workspace::root().join("image/executables.allow");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    Ok(text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty())
        .map(str::to_string)
        .collect())
}

/// A member of the initrd. Its paths and the root's differ but for `/usr/lib/os-release`.
fn see_member(member: &Member<'_>) -> Seen {
    Seen {
        path: format!("/{}", member.path),
        mode: member.mode & 0o7777,
        is_file: member.mode & TYPE == TYPE_FILE,
        is_root_s: member.uid == 0 && member.gid == 0,
        head: member.data.iter().take(4).copied().collect(),
        size: u64::try_from(member.data.len()).unwrap_or(u64::MAX),
    }
}

/// An entry of the extracted root.
fn see_entry(tree: &Path, entry: &Entry) -> Result<Seen> {
    let path = tree.join(entry.path.trim_start_matches('/'));
    let metadata = path
        .symlink_metadata()
        .with_context(|| format!("look at {}", path.display()))?;
    let head = match entry.kind {
        Kind::File { .. } => {
            let mut bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
            bytes.truncate(4);
            bytes
        }
        _ => Vec::new(),
    };
    Ok(Seen {
        path: entry.path.clone(),
        mode: if metadata.is_symlink() {
            0o755
        } else {
            entry.mode
        },
        is_file: metadata.is_file(),
        is_root_s: metadata.uid() == 0 && metadata.gid() == 0,
        head,
        size: metadata.len(),
    })
}

/// Removes a tree if it is there.
fn remove(path: &Path) -> Result<()> {
    if path.exists() {
        fs::remove_dir_all(path).with_context(|| format!("remove {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, mode: u32, head: &[u8]) -> Seen {
        Seen {
            path: path.into(),
            mode,
            is_file: true,
            is_root_s: true,
            head: head.to_vec(),
            size: 1,
        }
    }

    fn check(seen: Seen, expect: &str) {
        let allowed = BTreeSet::from(["/usr/bin/orlop".to_string()]);
        let orlop = file("/usr/bin/orlop", 0o755, b"\x7fELF");
        let findings = judge(&[orlop, seen], &allowed);
        match expect {
            "" => assert!(findings.is_empty(), "{findings:?}"),
            _ => assert!(
                findings.iter().any(|finding| finding.contains(expect)),
                "{findings:?}"
            ),
        }
    }

    #[test]
    fn data_modules_and_listed_programs_are_fine() {
        check(file("/etc/hosts", 0o644, b"127."), "");
        check(
            file("/usr/lib/modules/x/kernel/a.ko", 0o644, b"\x7fELF"),
            "",
        );
    }

    #[test]
    fn whatever_could_run_must_be_listed() {
        check(
            file("/usr/bin/tool", 0o644, b"\x7fELF"),
            "/usr/bin/tool is a program",
        );
        check(
            file("/usr/bin/tool", 0o755, b"text"),
            "/usr/bin/tool is a program",
        );
        check(
            file("/boot/x.efi", 0o644, b"MZ"),
            "/boot/x.efi is a program",
        );
        check(file("/etc/a.ko", 0o755, b"#!/b"), "/etc/a.ko is a script");
    }

    #[test]
    fn shells_and_set_user_id_are_found_even_when_listed() {
        check(
            file("/bin/sh", 0o755, b"\x7fELF"),
            "/bin/sh is named like a shell",
        );
        check(file("/usr/bin/orlop", 0o4755, b"\x7fELF"), "set-user-id");
        check(
            file("/etc/passwd", 0o666, b"root"),
            "can be written by others",
        );
        let foreign = Seen {
            is_root_s: false,
            ..file("/etc/passwd", 0o644, b"root")
        };
        check(foreign, "does not belong to root");
    }

    #[test]
    fn budgets_and_stale_lines_are_found() {
        let large = Seen {
            size: INIT_SIZE_MAX + 1,
            ..file("/init", 0o644, b"")
        };
        check(large, "more than 8388608");
        let findings = judge(&[], &BTreeSet::from(["/gone".to_string()]));
        assert_eq!(
            findings,
            ["executables.allow has /gone, the release does not"]
        );
    }
}
