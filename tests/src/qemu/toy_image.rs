//! The release's initrd with toy services in its root, for what only a real kernel with all its
//! controllers can show: limits that are enforced, and a root that cannot be written.
//!
//! ```text
//!   release's initrd │ cpio: root.erofs     the kernel unpacks both; the later file replaces the earlier
//! ```

use super::machine::Boot;
use crate::programs::{self, tool};
use anyhow::{Context as _, Result};
use init_proto::paths;
use std::fs;
use std::path::Path;
use std::process::Command;
use xtask::{command, image, workspace};

/// Alignment of a file's data and of the next entry in a cpio; newc format, see cpio(5).
const ALIGNMENT: usize = 4;

/// A direct boot of the release, with the program `toy` in place of `orlop`. Files go to `directory`.
///
/// # Errors
/// There is no release, or the root cannot be packed.
pub fn boot(directory: &Path, extra: &str) -> Result<Boot> {
    let release = programs::release()?;
    let root = directory.join("toy-root");
    command::output(
        Command::new("cp")
            .arg("-a")
            .arg(&release.root_tree)
            .arg(&root),
    )?;
    let program = root.join(paths::ORLOP.trim_start_matches('/'));
    command::output(
        tool("strip")?
            .arg("-o")
            .arg(&program)
            .arg(programs::built("toy")?),
    )?;
    let erofs = directory.join("toy-root.erofs");
    image::release::pack_root(&root, &erofs, workspace::source_date_epoch()?)?;
    let mut initrd =
        fs::read(&release.initrd).with_context(|| format!("read {}", release.initrd.display()))?;
    pad(&mut initrd);
    let content = fs::read(&erofs).with_context(|| format!("read {}", erofs.display()))?;
    initrd.extend(archive(image::release::ROOT_FILE, &content)?);
    let path = directory.join("toy-initrd");
    fs::write(&path, initrd).with_context(|| format!("write {}", path.display()))?;
    Ok(Boot::Direct {
        kernel: release.kernel,
        initrd: path,
        command_line: format!("{} {extra}", release.command_line),
    })
}

/// A cpio archive with one read-only file.
fn archive(name: &str, content: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    entry(&mut out, name, 0o100_444, content)?;
    entry(&mut out, "TRAILER!!!", 0, &[])?;
    Ok(out)
}

pub(super) fn entry(out: &mut Vec<u8>, name: &str, mode: u32, content: &[u8]) -> Result<()> {
    let size = u32::try_from(content.len()).context("a cpio entry is below 4 GiB")?;
    let name_size = u32::try_from(name.len() + 1).context("a name is short")?;
    // inode, mode, uid, gid, links, mtime, size, device x4, name size, checksum
    let fields = [1, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
    out.extend_from_slice(b"070701");
    for field in fields {
        out.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    out.extend_from_slice(name.as_bytes());
    out.push(0);
    pad(out);
    out.extend_from_slice(content);
    pad(out);
    Ok(())
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::process::Stdio;

    #[test]
    fn cpio_reads_what_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let mut child = tool("cpio")
            .unwrap()
            .args(["-i", "--quiet"])
            .current_dir(directory.path())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(&archive("root.erofs", b"12345").unwrap())
            .unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(
            fs::read(directory.path().join("root.erofs")).unwrap(),
            b"12345"
        );
    }
}
