//! Makes a directory of .deb files a repository that apt can read: a `Packages` file beside them.

use crate::command;
use crate::packages::lock::Locked;
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;

/// Fills `repository` with the locked packages out of the store `debs` and writes its index. Whatever
/// else was there is removed, so that apt can choose nothing but locked versions.
///
/// # Errors
/// A file cannot be linked or read, or `dpkg-deb` refuses one.
pub fn write(repository: &Path, debs: &Path, packages: &[&Locked]) -> Result<()> {
    if repository.exists() {
        std::fs::remove_dir_all(repository)
            .with_context(|| format!("remove {}", repository.display()))?;
    }
    std::fs::create_dir_all(repository)
        .with_context(|| format!("make {}", repository.display()))?;
    let mut index = String::new();
    for locked in packages {
        let name = locked.file_name();
        let source = debs.join(&name);
        let target = repository.join(&name);
        if std::fs::hard_link(&source, &target).is_err() {
            // Another file system: a copy does as well.
            std::fs::copy(&source, &target)
                .with_context(|| format!("copy {}", source.display()))?;
        }
        let control = command::output(Command::new("dpkg-deb").arg("-f").arg(&source))?;
        index.push_str(control.trim_end());
        index.push_str(&format!(
            "\nFilename: ./{name}\nSize: {}\nSHA256: {}\n\n",
            locked.size, locked.sha256
        ));
    }
    std::fs::write(repository.join("Packages"), index).context("write the package index")
}
