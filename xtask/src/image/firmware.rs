//! Firmware of machines: files that drivers ask for, named in `image/firmware.metal`, and CPU microcode. From
//! Debian's non-free-firmware, therefore only in releases that were built with `--firmware`.

use crate::image::base::Base;
use crate::workspace;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;

/// Where Debian puts firmware, and where the kernel looks for it.
const DIRECTORY: &str = "usr/lib/firmware";
/// Microcode: Debian's directory, and the file in the initrd that the kernel reads before anything else
/// (Documentation/arch/x86/microcode.rst). The initrd is one uncompressed archive, as that asks for.
const MICROCODE: &[(&str, &str)] = &[
    ("amd-ucode", "kernel/x86/microcode/AuthenticAMD.bin"),
    ("intel-ucode", "kernel/x86/microcode/GenuineIntel.bin"),
];

/// Copies the named files into a staged root. A link becomes the file that it means.
///
/// # Errors
/// The list cannot be read, or a named file is not in the packages.
pub fn stage(base: &Base, root: &Path) -> Result<()> {
    let list = workspace::root().join("image/firmware.metal");
    let text = fs::read_to_string(&list).with_context(|| format!("read {}", list.display()))?;
    for name in names(&text) {
        let source = base.tree.join(DIRECTORY).join(name);
        ensure!(
            source.exists(),
            "image/firmware.metal: the firmware packages have no `{name}`"
        );
        let target = root.join(DIRECTORY).join(name);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
        }
        fs::copy(&source, &target).with_context(|| format!("copy {}", source.display()))?;
    }
    Ok(())
}

/// Puts the microcode of all CPUs into a staged initrd.
///
/// # Errors
/// The microcode packages are not in the base.
pub fn stage_microcode(base: &Base, initrd: &Path) -> Result<()> {
    for (directory, target) in MICROCODE {
        let directory = base.tree.join(DIRECTORY).join(directory);
        let mut paths = workspace::sorted_entries(&directory)?;
        // Signatures and notes beside the microcode have other extensions; Intel's files have none.
        paths.retain(|path| path.extension().is_none_or(|extension| extension == "bin"));
        let mut bytes = Vec::new();
        for path in paths {
            bytes.extend(fs::read(&path).with_context(|| format!("read {}", path.display()))?);
        }
        let target = initrd.join(target);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
        }
        fs::write(&target, bytes).with_context(|| format!("write {}", target.display()))?;
    }
    Ok(())
}

/// The names in a list: one per line, `#` begins a comment.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_blank_lines_are_no_names() {
        let found: Vec<&str> = names("# top\n\nbnx2/a.fw # why\n tigon/tg3.bin\n").collect();
        assert_eq!(found, ["bnx2/a.fw", "tigon/tg3.bin"]);
    }
}
