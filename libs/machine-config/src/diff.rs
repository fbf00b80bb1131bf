//! What a new config changes: per path, for `apply --dry-run`, and what of it waits for a reboot.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::kinds::{MachineConfig, Writer};
use crate::problem::below;
use crate::secret::REDACTED;

/// A field that two configs have differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Path of the field, such as `Machine.sysctls["net.ipv4.ip_forward"]`; links are named by
    /// their selector: `Link[name=eth0].mtu`.
    pub path: String,
    /// The old value as one line of text; `None` when the field is new.
    pub old: Option<String>,
    /// The new value as one line of text; `None` when the field is gone.
    pub new: Option<String>,
    /// Whether it is a secret, and its values are thus shown as `<redacted>`.
    pub secret: bool,
}

/// Every field that differs, ordered by path. Empty when the configs mean the same.
#[must_use]
pub fn diff(old: &MachineConfig, new: &MachineConfig) -> Vec<Change> {
    let (old, new) = (Leaves::of(old), Leaves::of(new));
    let paths: BTreeSet<&String> = old.exposed.keys().chain(new.exposed.keys()).collect();
    let changed = paths
        .into_iter()
        .filter(|path| old.exposed.get(*path) != new.exposed.get(*path));
    changed
        .map(|path| Change {
            path: path.clone(),
            old: old.shown.get(path).cloned(),
            new: new.shown.get(path).cloned(),
            secret: old.is_secret(path) || new.is_secret(path),
        })
        .collect()
}

/// The leaves of a config by path: as they are, to compare, and as they are shown.
struct Leaves {
    exposed: BTreeMap<String, zeroize::Zeroizing<String>>,
    shown: BTreeMap<String, String>,
}

impl Leaves {
    fn of(config: &MachineConfig) -> Self {
        Self {
            exposed: leaves(config, Writer::Exposed)
                .into_iter()
                .map(|(path, value)| (path, zeroize::Zeroizing::new(value)))
                .collect(),
            shown: leaves(config, Writer::Redacted),
        }
    }

    fn is_secret(&self, path: &str) -> bool {
        self.shown.get(path).is_some_and(|value| value == REDACTED)
    }
}

fn leaves(config: &MachineConfig, writer: Writer) -> BTreeMap<String, String> {
    let mut leaves = BTreeMap::new();
    let links: Vec<String> = config
        .links
        .iter()
        .map(|link| link.selector.to_string())
        .collect();
    let mut links = links.into_iter();
    for (kind, value) in config.documents(writer) {
        let path = match kind {
            "Link" => format!("Link[{}]", links.next().unwrap_or_default()),
            kind => kind.to_owned(),
        };
        flatten(&path, &value, &mut leaves);
    }
    leaves
}

fn flatten(path: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                flatten(&below(path, key), inner, into);
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                flatten(&format!("{path}[{index}]"), inner, into);
            }
        }
        Value::Null => {}
        Value::String(text) => {
            into.insert(path.to_owned(), text.clone());
        }
        other => {
            into.insert(path.to_owned(), other.to_string());
        }
    }
}

/// Whether a running machine takes a changed field up, or why it cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Applies {
    Live,
    AtReboot(&'static str),
}

/// For every field, by the longest path that fits: a test holds that each field of every kind has
/// an entry, so that a new field is decided on.
const APPLIES: &[(&str, Applies)] = &[
    (
        "Machine.role",
        Applies::AtReboot("the role decides which services run"),
    ),
    ("Machine.hostname", Applies::Live),
    (
        "Machine.install",
        Applies::AtReboot("the system's partitions are made at boot"),
    ),
    (
        "Machine.ca",
        Applies::AtReboot("the identity of the machine API is made at boot"),
    ),
    ("Machine.token", Applies::Live),
    ("Machine.certSANs", Applies::Live),
    (
        "Machine.sysctls",
        Applies::AtReboot("kernel parameters are set and locked at boot"),
    ),
    (
        "Machine.kernel",
        Applies::AtReboot("modules are loaded at boot, before loading is locked"),
    ),
    ("Machine.nodeLabels", Applies::Live),
    ("Machine.nodeTaints", Applies::Live),
    ("Machine.registries", Applies::Live),
    ("Cluster.name", Applies::Live),
    (
        "Cluster.endpoint",
        Applies::AtReboot("components are started with the endpoint"),
    ),
    (
        "Cluster.network",
        Applies::AtReboot("components are started with the networks"),
    ),
    (
        "Cluster.secrets",
        Applies::AtReboot("components are started with their keys"),
    ),
    (
        "Cluster.componentOptions",
        Applies::AtReboot("components are started with their options"),
    ),
    ("Link", Applies::Live),
    ("Resolver", Applies::Live),
    ("Time", Applies::Live),
];

/// Why the change from `old` to `new` needs a reboot: one line per reason, none when the running
/// machine takes everything up.
#[must_use]
pub fn requires_reboot(old: &MachineConfig, new: &MachineConfig) -> Vec<String> {
    let mut reasons: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
    for change in diff(old, new) {
        if let (field, Applies::AtReboot(why)) = applies(&change.path) {
            reasons.entry(field).or_insert((why, 0)).1 += 1;
        }
    }
    reasons
        .into_iter()
        .map(|(field, (why, _))| format!("{field} changed: {why}"))
        .collect()
}

fn applies(path: &str) -> (&'static str, Applies) {
    APPLIES
        .iter()
        .filter(|(field, _)| {
            path.strip_prefix(field)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
        .max_by_key(|(field, _)| field.len())
        .copied()
        // A kind or field that nobody decided on: the safe answer.
        .unwrap_or((
            "config",
            Applies::AtReboot("a field that the running machine does not take up"),
        ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::KINDS;
    use crate::schema;

    #[test]
    fn every_field_of_every_kind_is_decided_on() {
        for kind in KINDS {
            let properties = schema::of(kind.name).unwrap()["properties"]
                .as_object()
                .unwrap();
            for field in properties.keys() {
                let path = format!("{}.{field}", kind.name);
                assert_ne!(applies(&path).0, "config", "{path} is missing in APPLIES");
            }
        }
    }
}
