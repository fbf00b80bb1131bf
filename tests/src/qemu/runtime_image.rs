//! The release's kernel with an initrd of three files: the guest's own program, `orlop`, and the module for overlayfs. What the
//! container runtime does on cgroup v2 is shown in it, with nothing of the node OS around.

use super::machine::Boot;
use super::toy_image::entry;
use crate::programs::{self, tool};
use anyhow::{Context as _, Result};
use std::fs;
use std::path::{Path, PathBuf};
use xtask::command;

/// Each program is a regular file that may be run.
const PROGRAM: u32 = 0o100_755;
/// The console; a panic ends QEMU at once, so that the test ends as well; and pressure is counted.
const COMMAND_LINE: &str = "console=ttyS0 quiet panic=-1 psi=1 rdinit=/init";

/// A direct boot. Files go to `directory`.
///
/// # Errors
/// There is no release, a program is not built, or the initrd cannot be written.
pub fn boot(directory: &Path) -> Result<Boot> {
    let release = programs::release()?;
    let mut initrd = Vec::new();
    for (name, program) in [("init", "orlop-runtime-guest"), ("orlop", "orlop")] {
        let small = directory.join(name);
        command::output(
            tool("strip")?
                .arg("-o")
                .arg(&small)
                .arg(programs::built(program)?),
        )?;
        let content = fs::read(&small).with_context(|| format!("read {}", small.display()))?;
        entry(&mut initrd, name, PROGRAM, &content)?;
    }
    let module = module(&release.root_tree)?;
    let content = fs::read(&module).with_context(|| format!("read {}", module.display()))?;
    entry(&mut initrd, "overlay.ko", 0o100_444, &content)?;
    entry(&mut initrd, "TRAILER!!!", 0, &[])?;
    let path = directory.join("runtime-initrd");
    fs::write(&path, initrd).with_context(|| format!("write {}", path.display()))?;
    Ok(Boot::Direct {
        kernel: release.kernel,
        initrd: path,
        command_line: COMMAND_LINE.to_owned(),
    })
}

/// As the release carries it.
fn module(root: &Path) -> Result<PathBuf> {
    let modules = root.join("usr/lib/modules");
    let entries = fs::read_dir(&modules).with_context(|| format!("read {}", modules.display()))?;
    entries
        .flatten()
        .map(|entry| entry.path().join("kernel/fs/overlayfs/overlay.ko"))
        .find(|path| path.is_file())
        .with_context(|| format!("no module overlay below {}", modules.display()))
}
