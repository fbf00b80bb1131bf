//! Paths within a layer: relative, without `.` and `..`, and within the kernel's bounds.

use std::{ffi::OsStr, fmt, os::unix::ffi::OsStrExt as _, path::Path};

/// Longest path: the kernel's PATH_MAX without its NUL.
pub const PATH_MAX: usize = 4095;
/// Longest name of one file: the kernel's NAME_MAX.
pub const NAME_MAX: usize = 255;
/// Most directories above a file. What must be walked and removed again may not be endless; real images have under 50.
pub const DEPTH_MAX: usize = 256;

/// A path beneath a layer's root; the empty one is the root itself.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LayerPath(Vec<u8>);

/// Why a name in an archive is none that may be unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It climbs.
    #[error("has .. in it")]
    Parent,
    /// It would be cut.
    #[error("has a NUL in it")]
    Nul,
    /// [`NAME_MAX`] or [`PATH_MAX`].
    #[error("is too long")]
    Long,
    /// [`DEPTH_MAX`].
    #[error("is deeper than {DEPTH_MAX} directories")]
    Deep,
    /// No name at all.
    #[error("is empty")]
    Empty,
}

impl LayerPath {
    /// A name of an archive. Slashes at its begin, doubled ones and `.` mean nothing: all names are from the image's root.
    ///
    /// # Errors
    /// [`PathError`].
    pub fn parse(name: &[u8]) -> Result<Self, PathError> {
        if name.is_empty() {
            return Err(PathError::Empty);
        }
        if name.contains(&0) {
            return Err(PathError::Nul);
        }
        let mut path = Self(Vec::with_capacity(name.len().min(PATH_MAX)));
        let mut depth = 0;
        for component in name.split(|byte| *byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." => return Err(PathError::Parent),
                component => {
                    depth += 1;
                    path = path.join(component)?;
                }
            }
        }
        if depth > DEPTH_MAX {
            return Err(PathError::Deep);
        }
        Ok(path)
    }

    /// One name deeper. The name is not looked at but for its length.
    ///
    /// # Errors
    /// [`PathError::Long`].
    pub fn join(mut self, name: &[u8]) -> Result<Self, PathError> {
        if name.len() > NAME_MAX || self.0.len() + 1 + name.len() > PATH_MAX {
            return Err(PathError::Long);
        }
        if !self.0.is_empty() {
            self.0.push(b'/');
        }
        self.0.extend_from_slice(name);
        Ok(self)
    }

    /// The root of the layer.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Directory and name; the root has neither.
    #[must_use]
    pub fn split(&self) -> Option<(Self, &OsStr)> {
        if self.is_root() {
            return None;
        }
        let (directory, name) = match self.0.iter().rposition(|byte| *byte == b'/') {
            None => (&[][..], &self.0[..]),
            Some(slash) => (&self.0[..slash], &self.0[slash + 1..]),
        };
        Some((Self(directory.to_vec()), OsStr::from_bytes(name)))
    }

    /// Its names, from the root.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &OsStr> {
        self.0
            .split(|byte| *byte == b'/')
            .filter(|name| !name.is_empty())
            .map(OsStr::from_bytes)
    }

    /// Whether it is below `directory`.
    #[must_use]
    pub fn is_below(&self, directory: &Self) -> bool {
        match self.0.strip_prefix(&directory.0[..]) {
            Some(rest) => !rest.is_empty() && (directory.is_root() || rest[0] == b'/'),
            None => false,
        }
    }

    /// The same below another directory; `None` where it is not below `from`, or becomes too long.
    #[must_use]
    pub fn moved(&self, from: &Self, to: &Self) -> Option<Self> {
        if self == from {
            return Some(to.clone());
        }
        if !self.is_below(from) {
            return None;
        }
        let skipped = from.0.len() + usize::from(!from.is_root());
        self.0[skipped..]
            .split(|byte| *byte == b'/')
            .try_fold(to.clone(), |path, name| path.join(name).ok())
    }

    /// As a path; `.` for the root.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        match self.0.as_slice() {
            b"" => Path::new("."),
            bytes => Path::new(OsStr::from_bytes(bytes)),
        }
    }

    /// Bytes of it in memory.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Display for LayerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", String::from_utf8_lossy(&self.0).escape_debug())
    }
}

impl fmt::Debug for LayerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &[u8], expect: Result<&str, PathError>) {
        let found = LayerPath::parse(name).map(|path| path.to_string());
        assert_eq!(found, expect.map(str::to_owned), "{name:?}");
    }

    #[test]
    fn names_are_from_the_root_and_stay_below_it() {
        check(b"./", Ok("/"));
        check(b"a", Ok("/a"));
        check(b"./a//b/./c/", Ok("/a/b/c"));
        check(b"/etc/passwd", Ok("/etc/passwd"));
        check(b"a/..b/...", Ok("/a/..b/..."));
        check(b"..", Err(PathError::Parent));
        check(b"a/../../b", Err(PathError::Parent));
        check(b"a\0b", Err(PathError::Nul));
        check(b"", Err(PathError::Empty));
        check(&[b'x'; 256], Err(PathError::Long));
        check(&b"x/".repeat(257), Err(PathError::Deep));
        check(
            &[&[b'x'; 200][..], b"/"].concat().repeat(21),
            Err(PathError::Long),
        );
    }

    #[test]
    fn paths_are_split_and_moved() {
        let path = |text: &str| LayerPath::parse(text.as_bytes()).unwrap();
        let (directory, name) = path("a/b/c")
            .split()
            .map(|(d, n)| (d, n.to_owned()))
            .unwrap();
        assert_eq!((directory, name.as_bytes()), (path("a/b"), &b"c"[..]));
        assert!(path("a/b").is_below(&path("a")) && !path("ab").is_below(&path("a")));
        assert!(path("a").is_below(&path("/")) && !path("a").is_below(&path("a")));
        assert_eq!(
            path("lib/x/y").moved(&path("lib"), &path("usr/lib")),
            Some(path("usr/lib/x/y"))
        );
        assert_eq!(path("a").moved(&path("/"), &path("b")), Some(path("b/a")));
        assert_eq!(path("a").moved(&path("b"), &path("c")), None);
    }
}
