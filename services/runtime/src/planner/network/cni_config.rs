//! Configurations of CNI, and what each plugin is given on its standard input (CNI spec 1.1, sections 1 and 3).
//!
//! ```text
//!   conflist   {cniVersion, cniVersions?, name, disableCheck?, disableGC?, plugins: [{type, capabilities?, ...}, ...]}
//!   conf       {cniVersion, name, type, ...}                 a list of one
//!   a plugin's {cniVersion, name, type, ..., runtimeConfig?, prevResult?, cni.dev/valid-attachments?}
//! ```

use serde_json::{Map, Value};
use std::fmt;

/// Largest file.
pub const CONFIG_MAX: usize = 256 * 1024;
/// Plugins of one list. More than five are not known.
const PLUGINS_MAX: usize = 16;
/// Longest name of a network, and of a plugin's program.
const NAME_MAX: usize = 128;

/// Versions of the specification that are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 0.3.0.
    V030,
    /// 0.3.1.
    V031,
    /// 0.4.0, with CHECK.
    V040,
    /// 1.0.0.
    V100,
    /// 1.1.0, with GC and STATUS.
    V110,
}

impl Version {
    const ALL: [Self; 5] = [Self::V030, Self::V031, Self::V040, Self::V100, Self::V110];

    /// As the specification writes it.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::V030 => "0.3.0",
            Self::V031 => "0.3.1",
            Self::V040 => "0.4.0",
            Self::V100 => "1.0.0",
            Self::V110 => "1.1.0",
        }
    }

    /// Reads one; None: it is not spoken.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.text() == text)
    }
}

/// What is asked of plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// A sandbox gets its network.
    Add,
    /// It goes.
    Del,
    /// It is looked at.
    Check,
    /// What no sandbox has goes.
    Gc,
    /// Whether a sandbox could get its network.
    Status,
    /// Which versions are spoken.
    Version,
}

impl Command {
    /// Of `CNI_COMMAND`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
            Self::Check => "CHECK",
            Self::Gc => "GC",
            Self::Status => "STATUS",
            Self::Version => "VERSION",
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// It is no JSON.
    #[error("it is no JSON: {0}")]
    Json(String),
    /// It is too large.
    #[error("it has more than {CONFIG_MAX} bytes")]
    TooLarge,
    /// A field is missing or wrong.
    #[error("{field}: {reason}")]
    Field {
        /// Which.
        field: String,
        /// Why.
        reason: String,
    },
}

fn wrong(field: impl fmt::Display, reason: impl fmt::Display) -> ConfigError {
    ConfigError::Field {
        field: field.to_string(),
        reason: reason.to_string(),
    }
}

/// A plugin of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Plugin {
    /// Its program's name.
    pub program: String,
    /// Its configuration, as it is in the file.
    own: Map<String, Value>,
}

impl Plugin {
    fn can(&self, capability: &str) -> bool {
        self.own
            .get("capabilities")
            .and_then(|all| all.get(capability))
            .and_then(Value::as_bool)
            .unwrap_or(false)
    }
}

/// A network's plugins, in the order in which they add.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginList {
    /// The newest that both sides speak.
    pub version: Version,
    /// The network's name.
    pub name: String,
    /// CHECK is not to be asked for.
    pub disable_check: bool,
    /// GC is not to be asked for.
    pub disable_gc: bool,
    /// At least one.
    pub plugins: Vec<Plugin>,
    /// As a conflist, whatever it was.
    pub source: Value,
}

impl PluginList {
    /// Reads a file by its extension: `conflist`, or `conf` and `json`.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn read(bytes: &[u8], extension: &str) -> Result<Self, ConfigError> {
        if bytes.len() > CONFIG_MAX {
            return Err(ConfigError::TooLarge);
        }
        let value: Value =
            serde_json::from_slice(bytes).map_err(|error| ConfigError::Json(error.to_string()))?;
        if extension == "conflist" {
            return Self::of(value);
        }
        let Value::Object(one) = value else {
            return Err(wrong("the file", "it is no object"));
        };
        if one.contains_key("plugins") {
            return Err(wrong("plugins", "a file with a list is named *.conflist"));
        }
        let mut list = Map::new();
        for field in ["cniVersion", "name"] {
            if let Some(value) = one.get(field) {
                list.insert(field.to_owned(), value.clone());
            }
        }
        list.insert("plugins".to_owned(), Value::Array(vec![Value::Object(one)]));
        Self::of(Value::Object(list))
    }

    /// Reads a conflist.
    ///
    /// # Errors
    /// [`ConfigError::Field`].
    pub fn of(source: Value) -> Result<Self, ConfigError> {
        let Value::Object(list) = &source else {
            return Err(wrong("the file", "it is no object"));
        };
        let name = text(list, "name", "name")?;
        if !is_name(name) {
            let reason = format!(
                "{name:?} is no name: letters, digits, '_', '.' and '-', a letter or digit first"
            );
            return Err(wrong("name", reason));
        }
        let plugins = match list.get("plugins") {
            Some(Value::Array(plugins)) if plugins.is_empty() => {
                return Err(wrong("plugins", "there is none"));
            }
            Some(Value::Array(plugins)) if plugins.len() > PLUGINS_MAX => {
                return Err(wrong(
                    "plugins",
                    format!("there are more than {PLUGINS_MAX}"),
                ));
            }
            Some(Value::Array(plugins)) => plugins,
            _ => return Err(wrong("plugins", "it is missing, or no list")),
        };
        let plugins = plugins.iter().enumerate().map(|(at, one)| {
            let Value::Object(own) = one else {
                return Err(wrong(format!("plugins[{at}]"), "it is no object"));
            };
            let field = format!("plugins[{at}].type");
            let program = text(own, "type", &field)?;
            if program.contains('/') || !is_name(program) {
                let reason = format!("{program:?} is no program's name: it is looked for in the plugins' directories alone");
                return Err(wrong(field, reason));
            }
            match own.get("capabilities") {
                None | Some(Value::Null) => {}
                Some(Value::Object(all)) if all.values().all(Value::is_boolean) => {}
                Some(_) => {
                    let field = format!("plugins[{at}].capabilities");
                    return Err(wrong(field, "it is no object of booleans"));
                }
            }
            Ok(Plugin {
                program: program.to_owned(),
                own: own.clone(),
            })
        });
        Ok(Self {
            version: version(list)?,
            name: name.to_owned(),
            disable_check: flag(list, "disableCheck")?,
            disable_gc: flag(list, "disableGC")?,
            plugins: plugins.collect::<Result<_, _>>()?,
            source: source.clone(),
        })
    }

    /// What a plugin reads from its standard input.
    #[must_use]
    pub fn input(&self, plugin: &Plugin, with: &Input<'_>) -> Vec<u8> {
        let mut own = plugin.own.clone();
        let mut set = |field: &str, value: Value| {
            own.insert(field.to_owned(), value);
        };
        set("cniVersion", self.version.text().into());
        set("name", self.name.as_str().into());
        if let Some(previous) = with.previous {
            set("prevResult", previous.clone());
        }
        if let Some(valid) = with.valid {
            set("cni.dev/valid-attachments", valid.clone());
        }
        let runtime: Map<String, Value> = with
            .runtime
            .iter()
            .filter(|(capability, _)| plugin.can(capability))
            .map(|(capability, value)| (capability.clone(), value.clone()))
            .collect();
        if !runtime.is_empty() {
            set("runtimeConfig", Value::Object(runtime));
        }
        Value::Object(own).to_string().into_bytes()
    }
}

/// What is added to a plugin's configuration.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// By capability; a plugin gets those that it says it has.
    pub runtime: &'a Map<String, Value>,
    /// The result of the one before, or of all at DEL and CHECK.
    pub previous: Option<&'a Value>,
    /// Of GC: who is still there.
    pub valid: Option<&'a Value>,
}

/// The newest of `cniVersion` and `cniVersions` that is spoken.
fn version(list: &Map<String, Value>) -> Result<Version, ConfigError> {
    let mut said = Vec::new();
    match list.get("cniVersion") {
        Some(Value::String(text)) => said.push(text.as_str()),
        None => {}
        Some(_) => return Err(wrong("cniVersion", "it is no text")),
    }
    match list.get("cniVersions") {
        None | Some(Value::Null) => {}
        Some(Value::Array(all)) => {
            for one in all {
                let text = one.as_str();
                said.push(text.ok_or_else(|| wrong("cniVersions", "one is no text"))?);
            }
        }
        Some(_) => return Err(wrong("cniVersions", "it is no list")),
    }
    let spoken = said.iter().filter_map(|text| Version::read(text)).max();
    spoken.ok_or_else(|| {
        let known: Vec<_> = Version::ALL.iter().map(|one| one.text()).collect();
        let said = said
            .iter()
            .take(8)
            .map(|text| text.chars().take(32).collect());
        let said: Vec<String> = said.collect();
        let reason = format!("{said:?} has none of {}", known.join(", "));
        wrong("cniVersion", reason)
    })
}

fn text<'a>(of: &'a Map<String, Value>, name: &str, field: &str) -> Result<&'a str, ConfigError> {
    match of.get(name) {
        Some(Value::String(text)) if !text.is_empty() && text.len() <= NAME_MAX => Ok(text),
        Some(Value::String(text)) if text.len() > NAME_MAX => {
            Err(wrong(field, format!("it has more than {NAME_MAX} bytes")))
        }
        _ => Err(wrong(field, "it is missing, or no text")),
    }
}

/// libcni takes a text too, as older lists have it.
fn flag(list: &Map<String, Value>, field: &str) -> Result<bool, ConfigError> {
    match list.get(field) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(value)) => Ok(*value),
        Some(Value::String(text)) if text == "true" => Ok(true),
        Some(Value::String(text)) if text == "false" => Ok(false),
        Some(_) => Err(wrong(field, "it is neither true nor false")),
    }
}

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn list(value: &Value) -> Result<PluginList, ConfigError> {
        PluginList::read(value.to_string().as_bytes(), "conflist")
    }

    #[test]
    fn lists_are_read() {
        let good = json!({"cniVersion": "0.4.0", "cniVersions": ["9.0.0", "1.1.0", "1.0.0"], "name": "pods", "disableCheck": "true",
            "plugins": [{"type": "ptp"}, {"type": "portmap", "capabilities": {"portMappings": true}}]});
        let read = list(&good).expect("a list");
        assert_eq!((read.version, read.name.as_str()), (Version::V110, "pods"));
        assert!(read.disable_check && !read.disable_gc);
        assert_eq!(PluginList::of(read.source.clone()).as_ref(), Ok(&read));
        let check = |value: Value, expect: &str| {
            let error = list(&value).expect_err("a bad list").to_string();
            assert!(error.contains(expect), "{error}");
        };
        check(json!([]), "it is no object");
        check(
            json!({"name": "a", "plugins": [{"type": "x"}]}),
            "cniVersion: [] has none",
        );
        check(
            json!({"cniVersion": "0.2.0", "name": "a", "plugins": [{"type": "x"}]}),
            "[\"0.2.0\"]",
        );
        check(
            json!({"cniVersion": "1.0.0", "name": "a/b", "plugins": [{"type": "x"}]}),
            "\"a/b\" is no name",
        );
        check(
            json!({"cniVersion": "1.0.0", "plugins": [{"type": "x"}]}),
            "name: it is missing",
        );
        check(
            json!({"cniVersion": "1.0.0", "name": "a", "plugins": []}),
            "plugins: there is none",
        );
        check(
            json!({"cniVersion": "1.0.0", "name": "a"}),
            "plugins: it is missing",
        );
        check(
            json!({"cniVersion": "1.0.0", "name": "a", "plugins": [{}]}),
            "plugins[0].type",
        );
        for program in ["../../bin/sh", "/bin/sh", "..", "a b"] {
            check(
                json!({"cniVersion": "1.0.0", "name": "a", "plugins": [{"type": program}]}),
                "is no program's name",
            );
        }
        let many = vec![json!({"type": "x"}); 17];
        check(
            json!({"cniVersion": "1.0.0", "name": "a", "plugins": many}),
            "more than 16",
        );
        check(
            json!({"cniVersion": "1.0.0", "name": "a", "disableGC": 1, "plugins": [{"type": "x"}]}),
            "disableGC",
        );
        let text = good.to_string();
        for cut in 0..text.len() {
            assert!(PluginList::read(&text.as_bytes()[..cut], "conflist").is_err());
        }
        assert_eq!(
            PluginList::read(&vec![b' '; CONFIG_MAX + 1], "conf"),
            Err(ConfigError::TooLarge)
        );
    }

    #[test]
    fn one_plugin_is_a_list_of_one() {
        let one = br#"{"cniVersion": "0.3.1", "name": "one", "type": "bridge", "mtu": 1400}"#;
        let read = PluginList::read(one, "conf").expect("a plugin");
        assert_eq!((read.plugins.len(), read.version), (1, Version::V031));
        let list = br#"{"cniVersion": "1.0.0", "name": "one", "plugins": [{"type": "bridge"}]}"#;
        let error = PluginList::read(list, "json")
            .expect_err("a list")
            .to_string();
        assert!(error.contains("*.conflist"), "{error}");
    }

    #[test]
    fn a_plugin_gets_what_it_can() {
        let read = list(&json!({"cniVersion": "1.0.0", "name": "pods", "plugins": [
            {"type": "ptp", "cniVersion": "0.3.0", "capabilities": {"ips": false}},
            {"type": "portmap", "capabilities": {"portMappings": true}}]}))
        .expect("a list");
        let runtime = json!({"portMappings": [1], "ips": [2]});
        let previous = json!({"cniVersion": "1.0.0"});
        let with = Input {
            runtime: runtime.as_object().expect("an object"),
            previous: Some(&previous),
            valid: None,
        };
        let input = |at: usize| -> Value {
            serde_json::from_slice(&read.input(&read.plugins[at], &with)).expect("JSON")
        };
        assert_eq!(
            input(0),
            json!({"type": "ptp", "cniVersion": "1.0.0", "name": "pods", "capabilities": {"ips": false},
                "prevResult": {"cniVersion": "1.0.0"}})
        );
        assert_eq!(
            input(1),
            json!({"type": "portmap", "cniVersion": "1.0.0", "name": "pods", "capabilities": {"portMappings": true},
                "prevResult": {"cniVersion": "1.0.0"}, "runtimeConfig": {"portMappings": [1]}})
        );
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_much(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = PluginList::read(&bytes, "conflist");
            let _ = PluginList::read(&bytes, "conf");
        }
    }
}
