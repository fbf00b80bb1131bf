//! Stages the read-only root: everything a node has besides the kernel, and nothing else.
//!
//! The same tree is packed into the release and is the root of sandboxed nodes. Owners are root, modes are
//! set here and never taken from the umask.

use crate::command;
use crate::image::Flavour;
use crate::image::base::Base;
use crate::image::firmware;
use crate::image::modules::{self, Choice};
use crate::image::programs::{self, Programs};
use crate::image::signing;
use crate::tools;
use crate::workspace;
use anyhow::{Context, Result, bail};
use init_proto::{paths, services};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Mount points and places that must exist in a read-only root.
const DIRECTORIES: &[&str] = &[
    "dev",
    "etc",
    "proc",
    "run",
    "sys",
    "system/esp",
    "system/state",
    "tmp",
    "usr/bin",
    "usr/lib",
    "usr/lib64",
    "usr/sbin",
    "usr/share/orlop/keys",
    "var",
];
/// Links of a merged /usr, and files that a running node provides.
const LINKS: &[(&str, &str)] = &[
    ("bin", "usr/bin"),
    ("lib", "usr/lib"),
    ("lib64", "usr/lib64"),
    ("sbin", "usr/sbin"),
    ("etc/os-release", "../usr/lib/os-release"),
    ("etc/machine-id", paths::MACHINE_ID),
    ("etc/resolv.conf", paths::RESOLV_CONF),
    ("etc/mtab", "../proc/self/mounts"),
];
/// Programs of Debian that no crate replaces. Their libraries follow by themselves.
const PROGRAMS: &[&str] = &["usr/sbin/e2fsck", "usr/sbin/mke2fs"];
/// Other files taken from the base as they are.
const FILES: &[&str] = &["etc/mke2fs.conf"];
/// The CA certificates as Debian delivers them, one file each.
const CERTIFICATES: &str = "usr/share/ca-certificates/mozilla";
/// The bundle that programs read.
const BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";
/// Debian's place for libraries, and the loader that programs name.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
const LOADER: &str = "ld-linux-x86-64.so.2";

/// What is known about the release that is staged.
#[derive(Debug, Clone, Copy)]
pub struct Release<'a> {
    /// Which flavour.
    pub flavour: Flavour,
    /// Its version.
    pub version: &'a str,
    /// Whether it carries firmware for machines.
    pub firmware: bool,
    /// Seconds since 1970 of its commit.
    pub epoch: u64,
}

/// Stages the root of `release` at `root`, which must not exist.
///
/// # Errors
/// A file cannot be read or written, or a program's library is not in the base.
pub fn stage(
    root: &Path,
    release: Release<'_>,
    base: &Base,
    programs: &Programs,
    choice: &Choice,
) -> Result<()> {
    for directory in DIRECTORIES {
        let path = root.join(directory);
        fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
    }
    for (link, target) in LINKS {
        symlink(target, root.join(link)).with_context(|| format!("link /{link}"))?;
    }
    write(root, "usr/lib/os-release", &os_release(release))?;
    write(root, "etc/passwd", &passwd())?;
    write(root, "etc/group", &group())?;
    write(root, "etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")?;
    write(root, BUNDLE, &certificates(base)?)?;
    for file in FILES {
        copy(base, root, file)?;
    }
    copy_programs(base, root)?;
    programs::strip(&programs.init, &root.join("usr/bin/init"))?;
    programs::strip(
        &programs.orlop,
        &root.join(paths::ORLOP.trim_start_matches('/')),
    )?;
    signing::install_public_keys(&root.join("usr/share/orlop/keys"))?;
    modules::stage(base, choice, root)?;
    if release.firmware {
        firmware::stage(base, root)?;
    }
    set_modes(root)
}

/// os-release(5).
fn os_release(release: Release<'_>) -> String {
    let Release {
        flavour,
        version,
        epoch,
        firmware: _,
    } = release;
    format!(
        "NAME=\"Orlop\"\nID=orlop\nPRETTY_NAME=\"Orlop {version}\"\nVERSION_ID={version}\n\
         IMAGE_ID=orlop\nIMAGE_VERSION={version}\nVARIANT_ID={}\nORLOP_BUILD_TIME={epoch}\n",
        flavour.name()
    )
}

/// passwd(5): the users of the services. None has a shell, a home or a password.
fn passwd() -> String {
    services::USERS
        .iter()
        .map(|(name, id)| format!("{name}:*:{id}:{id}:{name}:/:/nonexistent\n"))
        .collect()
}

/// group(5): one group per user.
fn group() -> String {
    services::USERS
        .iter()
        .map(|(name, id)| format!("{name}:*:{id}:\n"))
        .collect()
}

/// All CA certificates in the order of their file names.
fn certificates(base: &Base) -> Result<String> {
    let directory = base.tree.join(CERTIFICATES);
    let paths = workspace::sorted_entries(&directory)?;
    let mut bundle = String::new();
    for path in paths {
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        bundle.push_str(text.trim_end());
        bundle.push('\n');
    }
    Ok(bundle)
}

/// Copies Debian's programs with exactly the libraries that they and their libraries ask for.
fn copy_programs(base: &Base, root: &Path) -> Result<()> {
    let mut waiting: Vec<PathBuf> = PROGRAMS.iter().map(PathBuf::from).collect();
    let mut seen: BTreeSet<PathBuf> = BTreeSet::new();
    while let Some(path) = waiting.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        copy(base, root, &path.to_string_lossy())?;
        for library in needed(&base.tree.join(&path))? {
            if library == LOADER {
                continue;
            }
            let library = Path::new(LIBRARIES).join(library);
            if !base.tree.join(&library).exists() {
                bail!(
                    "{} needs {}: add its package to [root] in image/packages",
                    path.display(),
                    library.display()
                );
            }
            waiting.push(library);
        }
    }
    let loader = fs::canonicalize(base.tree.join(LIBRARIES).join(LOADER))
        .context("find the dynamic loader")?;
    fs::copy(&loader, root.join("usr/lib64").join(LOADER)).context("copy the dynamic loader")?;
    Ok(())
}

/// The libraries that an ELF file names.
fn needed(path: &Path) -> Result<Vec<String>> {
    let text = command::output(
        tools::program("readelf")?
            .args(["--wide", "--dynamic"])
            .arg(path),
    )?;
    Ok(text
        .lines()
        .filter(|line| line.contains("(NEEDED)"))
        .filter_map(|line| Some(line.split_once('[')?.1.split_once(']')?.0.to_string()))
        .collect())
}

/// Copies one file of the base; a link becomes the file that it means, under the link's name.
fn copy(base: &Base, root: &Path, path: &str) -> Result<()> {
    let target = root.join(path);
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
    }
    fs::copy(base.tree.join(path), &target)
        .with_context(|| format!("copy /{path} from the base"))?;
    Ok(())
}

/// Writes one file of the root.
fn write(root: &Path, path: &str, text: &str) -> Result<()> {
    let target = root.join(path);
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
    }
    fs::write(&target, text).with_context(|| format!("write /{path}"))
}

/// Gives every directory 0755 and every file 0644, programs and the loader 0755, `/tmp` 1777. Whatever the
/// umask was, the release is the same.
fn set_modes(root: &Path) -> Result<()> {
    let mut waiting = vec![root.to_path_buf()];
    while let Some(path) = waiting.pop() {
        let metadata = path
            .symlink_metadata()
            .with_context(|| format!("look at {}", path.display()))?;
        if metadata.is_symlink() {
            continue;
        }
        let inside = path.strip_prefix(root).unwrap_or(&path);
        let is_program = ["usr/bin", "usr/sbin", "usr/lib64"]
            .iter()
            .any(|directory| inside.parent() == Some(Path::new(directory)));
        let mode = match (metadata.is_dir(), is_program) {
            (true, _) if inside == Path::new("tmp") => 0o1777,
            (true, _) | (false, true) => 0o755,
            (false, false) => 0o644,
        };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
            .with_context(|| format!("set the mode of {}", path.display()))?;
        if metadata.is_dir() {
            for entry in fs::read_dir(&path).with_context(|| format!("list {}", path.display()))? {
                waiting.push(entry.context("list the root")?.path());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_those_of_the_service_table() {
        let passwd = passwd();
        assert!(passwd.starts_with("root:*:0:0:"));
        assert_eq!(passwd.lines().count(), services::USERS.len());
        for line in passwd.lines() {
            assert_eq!(line.split(':').count(), 7, "{line}");
            assert!(line.ends_with(":/nonexistent"), "{line}");
        }
        assert!(group().contains(&format!(
            "orlop-machine-api:*:{}:\n",
            services::MACHINE_API_USER
        )));
    }

    #[test]
    fn os_release_names_version_and_flavour() {
        let text = os_release(Release {
            flavour: Flavour::Metal,
            version: "1.2.3",
            firmware: false,
            epoch: 7,
        });
        assert!(text.contains("\nVERSION_ID=1.2.3\n") && text.contains("\nVARIANT_ID=metal\n"));
    }
}
