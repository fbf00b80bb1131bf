//! Local files: whole or not at all, for the owner only.

use crate::failure::{Failure, Kind};
use std::{
    fs,
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// Largest file that is read: a machine config is at most 1 MiB.
const READ_MAX: u64 = 4 * 1024 * 1024;

/// The bytes of a file; `-` is standard input.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin()
            .lock()
            .take(READ_MAX + 1)
            .read_to_end(&mut bytes)
    } else {
        fs::File::open(path).and_then(|file| file.take(READ_MAX + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| Failure::file("read", path, &error))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > READ_MAX) {
        return Err(Failure::new(
            Kind::File,
            format!(
                "{} is over {READ_MAX} bytes; is it the right file?",
                path.display()
            ),
        ));
    }
    Ok(bytes)
}

/// The text of a file.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    String::from_utf8(read(path)?).map_err(|_| {
        Failure::new(
            Kind::Invalid,
            format!("{} is not UTF-8 text", path.display()),
        )
    })
}

/// Refuses to write over what is there.
pub(crate) fn refuse_existing(path: &Path, force: bool) -> Result<(), Failure> {
    if !force && path.symlink_metadata().is_ok() {
        return Err(
            Failure::new(Kind::File, format!("{} exists", path.display()))
                .help("choose another name, or replace it with --force"),
        );
    }
    Ok(())
}

/// Writes a file, mode 0600, through a temporary one beside it.
pub(crate) fn write(path: &Path, text: &str, force: bool) -> Result<(), Failure> {
    refuse_existing(path, force)?;
    let failed = |error: io::Error| Failure::file("write", path, &error);
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let name = name.ok_or_else(|| failed(io::ErrorKind::IsADirectory.into()))?;
    let temporary = path.with_file_name(format!(".{name}.{}.new", std::process::id()));
    let written = fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // Nothing of a secret stays behind.
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(failed)
}

/// Makes a directory and those above it; one that is there is fine.
pub(crate) fn make_directory(path: &Path, mode: u32) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|error| Failure::file("make directory", path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_file_is_private_whole_and_not_replaced_unasked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secrets");
        write(&path, "one", false).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(write(&path, "two", false).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        write(&path, "two", true).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
