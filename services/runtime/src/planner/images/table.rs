//! Which images there are, by what names, and what on the disk is garbage.
//!
//! ```text
//!   record ──names──> chain IDs <──mounts── containers        a layer that neither has is garbage
//! ```

use super::{
    config::{ImageConfig, ImageUser},
    digest::Digest,
    reference::Reference,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Most images of a node.
pub const IMAGES_MAX: usize = 1024;
/// Most names of one image: tags, or digests.
pub const NAMES_MAX: usize = 256;
/// Fewest digits by which an ID is found; docker and crictl show twelve.
const PREFIX_MIN: usize = 4;

/// What is kept of an image, beside its documents. The form on the disk: version 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Digest of the config.
    pub id: Digest,
    /// Digest of the manifest of this machine.
    pub manifest: Digest,
    /// `docker.io/library/busybox:latest`; sorted.
    pub repo_tags: BTreeSet<String>,
    /// `docker.io/library/busybox@sha256:..`, of what the names led to: index or manifest; sorted.
    pub repo_digests: BTreeSet<String>,
    /// Names of its layers, the lowest first.
    pub chain_ids: Vec<Digest>,
    /// Bytes that it takes on the disk, with layers that others share.
    pub size: u64,
    /// Whom it runs as.
    pub user: RecordUser,
}

/// [`ImageUser`] on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordUser {
    /// By number.
    Uid(i64),
    /// By name.
    Name(String),
}

impl From<&ImageConfig> for RecordUser {
    fn from(config: &ImageConfig) -> Self {
        match config.runs_as() {
            ImageUser::Uid(uid) => Self::Uid(uid),
            ImageUser::Name(name) => Self::Name(name),
        }
    }
}

/// Why there is no image by a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// Nobody has it.
    #[error("image {0:?} is not on this machine")]
    NotFound(String),
    /// Several have it.
    #[error("more than one image has an ID that begins with {0:?}")]
    Ambiguous(String),
    /// It can be no name.
    #[error("{0:?} is neither an image's name nor its ID")]
    Invalid(String),
}

/// [`IMAGES_MAX`] or [`NAMES_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are {0} {1} already, the most that a machine may have")]
pub struct FullError(usize, &'static str);

/// All records.
#[derive(Debug, Default)]
pub struct Table(BTreeMap<Digest, Record>);

impl Table {
    /// Takes a record as it is, at the start.
    pub fn load(&mut self, record: Record) {
        self.0.insert(record.id.clone(), record);
    }

    /// All, by their IDs.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.0.values()
    }

    /// By a whole ID.
    #[must_use]
    pub fn get(&self, id: &Digest) -> Option<&Record> {
        self.0.get(id)
    }

    /// By ID, the begin of one, or any name that leads to it.
    ///
    /// # Errors
    /// [`FindError`].
    pub fn find(&self, name: &str) -> Result<&Record, FindError> {
        let shown = || name.chars().take(300).collect::<String>();
        let digits = name.strip_prefix("sha256:").unwrap_or(name);
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if digits.len() >= PREFIX_MIN && digits.bytes().all(is_hex) {
            let mut found = self
                .0
                .values()
                .filter(|record| record.id.hex().starts_with(digits));
            match (found.next(), found.next()) {
                (Some(record), None) => return Ok(record),
                (Some(_), Some(_)) => return Err(FindError::Ambiguous(shown())),
                (None, _) if name.len() != digits.len() || digits.len() == 64 => {
                    return Err(FindError::NotFound(shown()));
                }
                // `cafe` may be a repository.
                (None, _) => {}
            }
        }
        let reference = Reference::parse(name).map_err(|_| FindError::Invalid(shown()))?;
        let has = |record: &&Record| match (reference.digest(), reference.repo_tag()) {
            (Some(digest), _) => record.repo_digests.contains(&reference.repo_digest(digest)),
            (None, Some(tag)) => record.repo_tags.contains(&tag),
            (None, None) => false,
        };
        self.0
            .values()
            .find(has)
            .ok_or_else(|| FindError::NotFound(shown()))
    }

    /// The records that change when this image gets these names: it is one of them, and those that lose a tag are the others.
    ///
    /// # Errors
    /// [`FullError`].
    pub fn add(&self, mut new: Record) -> Result<Vec<Record>, FullError> {
        let mut changed = Vec::new();
        for record in self.0.values() {
            if record.id == new.id {
                new.repo_tags.extend(record.repo_tags.iter().cloned());
                new.repo_digests.extend(record.repo_digests.iter().cloned());
            }
        }
        for record in self.0.values().filter(|record| record.id != new.id) {
            if !record.repo_tags.is_disjoint(&new.repo_tags) {
                let mut record = record.clone();
                record.repo_tags.retain(|tag| !new.repo_tags.contains(tag));
                changed.push(record);
            }
        }
        if new.repo_tags.len().max(new.repo_digests.len()) > NAMES_MAX {
            return Err(FullError(NAMES_MAX, "names of one image"));
        }
        if !self.0.contains_key(&new.id) && self.0.len() >= IMAGES_MAX {
            return Err(FullError(IMAGES_MAX, "images"));
        }
        // The new one first: should the machine stop between two, a name leads to two images rather than to none.
        changed.insert(0, new);
        Ok(changed)
    }

    /// Forgets an image.
    pub fn remove(&mut self, id: &Digest) -> Option<Record> {
        self.0.remove(id)
    }

    /// Layers that are garbage: on the disk, and neither of an image nor held.
    #[must_use]
    pub fn garbage(&self, on_disk: &[Digest], held: &BTreeSet<Digest>) -> Vec<Digest> {
        let named: BTreeSet<_> = self
            .0
            .values()
            .flat_map(|record| &record.chain_ids)
            .collect();
        let garbage = |layer: &&Digest| !named.contains(layer) && !held.contains(layer);
        on_disk.iter().filter(garbage).cloned().collect()
    }
}

/// Whether one of an image's names is among the pinned.
#[must_use]
pub fn is_pinned(record: &Record, pinned: &[Reference]) -> bool {
    pinned.iter().any(
        |reference| match (reference.digest(), reference.repo_tag()) {
            (Some(digest), _) => record.repo_digests.contains(&reference.repo_digest(digest)),
            (None, Some(tag)) => record.repo_tags.contains(&tag),
            (None, None) => false,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, tags: &[&str], layers: &[&str]) -> Record {
        let id = Digest::of(id.as_bytes());
        Record {
            repo_digests: [format!("docker.io/library/a@{id}")].into(),
            manifest: id.clone(),
            id,
            repo_tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
            chain_ids: layers
                .iter()
                .map(|layer| Digest::of(layer.as_bytes()))
                .collect(),
            size: 1,
            user: RecordUser::Uid(0),
        }
    }

    fn table(records: &[Record]) -> Table {
        let mut table = Table::default();
        records.iter().for_each(|record| table.load(record.clone()));
        table
    }

    #[test]
    fn images_are_found_by_all_that_they_are_called() {
        let one = record("1", &["docker.io/library/a:latest"], &[]);
        let table = table(&[one.clone(), record("2", &[], &[])]);
        let id = one.id.to_string();
        for name in [
            "a",
            "docker.io/library/a:latest",
            &id,
            one.id.hex(),
            &one.id.hex()[..12],
            &format!("a@{id}"),
        ] {
            assert_eq!(table.find(name).unwrap(), &one, "{name}");
        }
        assert_eq!(table.find("b"), Err(FindError::NotFound("b".to_owned())));
        assert_eq!(
            table.find("sha256:0000"),
            Err(FindError::NotFound("sha256:0000".to_owned()))
        );
        assert_eq!(table.find("A b"), Err(FindError::Invalid("A b".to_owned())));
    }

    #[test]
    fn a_tag_moves_to_the_image_that_was_pulled_last() {
        let old = record("1", &["a:1", "a:2"], &[]);
        let table = table(&[old]);
        let changed = table.add(record("2", &["a:1"], &[])).unwrap();
        assert_eq!(changed[0].repo_tags, ["a:1".to_owned()].into());
        assert_eq!(changed[1].repo_tags, ["a:2".to_owned()].into());
        // The same image again keeps the names it had.
        let changed = table.add(record("1", &["a:3"], &[])).unwrap();
        assert_eq!((changed.len(), changed[0].repo_tags.len()), (1, 3));
        let many: Vec<String> = (0..=NAMES_MAX).map(|n| format!("a:{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(table.add(record("3", &many, &[])).is_err());
    }

    #[test]
    fn a_layer_that_nobody_names_is_garbage() {
        let table = table(&[record("1", &[], &["a", "b"])]);
        let layer = |name: &str| Digest::of(name.as_bytes());
        let held = [layer("c")].into();
        let on_disk = ["a", "b", "c", "d"].map(layer);
        assert_eq!(table.garbage(&on_disk, &held), [layer("d")]);
    }

    #[test]
    fn pinned_by_name() {
        let pinned = [Reference::parse("a:1").unwrap()];
        assert!(is_pinned(
            &record("1", &["docker.io/library/a:1"], &[]),
            &pinned
        ));
        assert!(!is_pinned(
            &record("1", &["docker.io/library/a:2"], &[]),
            &pinned
        ));
    }
}
