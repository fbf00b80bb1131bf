//! The client config ("orlopconfig"): clusters that the user can reach, each with certificates.
//!
//! One YAML document of kind `ClientConfig`, parsed as strictly as a machine config, mode 0600.

use crate::{
    failure::{Failure, Kind},
    files,
};
use machine_config::{SecretString, parse_document, to_value_exposed, value_to_yaml};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

const KIND: &str = "ClientConfig";

/// All contexts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ClientConfig {
    /// The current context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) context: Option<String>,
    /// By name.
    #[serde(default)]
    pub(crate) contexts: BTreeMap<String, Context>,
}

/// One cluster, as one client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Context {
    /// Nodes; the first that answers is asked.
    pub(crate) endpoints: Vec<String>,
    /// Certificate of the cluster's machine authority, PEM.
    pub(crate) ca: String,
    /// Client certificate, PEM.
    pub(crate) crt: String,
    /// Its key, PEM.
    pub(crate) key: SecretString,
}

/// Where the client config is.
pub(crate) fn path(given: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = given {
        return Ok(path.to_owned());
    }
    match std::env::var_os("HOME").filter(|home| !home.is_empty()) {
        Some(home) => Ok(Path::new(&home).join(".orlop/config")),
        None => Err(Failure::new(
            Kind::File,
            "HOME is not set, so there is no ~/.orlop/config",
        )
        .help("name the client config: --orlopconfig FILE or ORLOPCONFIG")),
    }
}

impl ClientConfig {
    /// Reads the client config; an empty one where there is no file.
    pub(crate) fn load_or_empty(path: &Path) -> Result<Self, Failure> {
        if path.symlink_metadata().is_ok() {
            Self::load(path)
        } else {
            Ok(Self::default())
        }
    }

    /// Reads the client config.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        if path.symlink_metadata().is_err() {
            return Err(Failure::new(Kind::File, format!("there is no client config at {}", path.display()))
                .help("gen config makes one (orlopconfig): orlopctl config merge orlopconfig; a node in maintenance mode needs none: --insecure --fingerprint SHA256"));
        }
        let shown = path.display().to_string();
        parse_document(&files::read(path)?, KIND)
            .map_err(|problems| Failure::problems(&shown, &problems))
    }

    /// Its text.
    pub(crate) fn to_yaml(&self) -> String {
        let mut value = to_value_exposed(self).expect("all keys are text");
        value["apiVersion"] = machine_config::API_VERSION.into();
        value["kind"] = KIND.into();
        value_to_yaml(&value)
    }

    /// Writes it where it was read from.
    pub(crate) fn store(&self, path: &Path) -> Result<(), Failure> {
        if let Some(directory) = path
            .parent()
            .filter(|directory| *directory != Path::new(""))
        {
            files::make_directory(directory, 0o700)?;
        }
        files::write(path, &self.to_yaml(), true)
    }

    /// The context of this name, or the current one.
    pub(crate) fn get(&self, name: Option<&str>) -> Result<(&str, &Context), Failure> {
        let name = name.or(self.context.as_deref()).ok_or_else(|| {
            Failure::new(Kind::NotFound, "no context is chosen").help(self.names_in_words())
        })?;
        self.contexts
            .get_key_value(name)
            .map(|(name, context)| (name.as_str(), context))
            .ok_or_else(|| {
                Failure::new(Kind::NotFound, format!("there is no context {name:?}"))
                    .help(self.names_in_words())
            })
    }

    fn names_in_words(&self) -> String {
        let names: Vec<_> = self.contexts.keys().map(String::as_str).collect();
        if names.is_empty() {
            "there are no contexts yet: orlopctl config merge FILE".to_owned()
        } else {
            format!(
                "choose one with --context NAME or orlopctl config use NAME: {}",
                names.join(", ")
            )
        }
    }

    /// Adds a context, which becomes the current one where there was none.
    pub(crate) fn add(&mut self, name: &str, context: Context, force: bool) -> Result<(), Failure> {
        if !force
            && self
                .contexts
                .get(name)
                .is_some_and(|known| *known != context)
        {
            return Err(Failure::new(
                Kind::File,
                format!("there is another context {name:?} already"),
            )
            .help("choose another name, or replace it with --force"));
        }
        self.contexts.insert(name.to_owned(), context);
        self.context.get_or_insert_with(|| name.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(endpoint: &str) -> Context {
        Context {
            endpoints: vec![endpoint.into()],
            ca: "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n".into(),
            crt: "crt".into(),
            key: SecretString::new("key".into()),
        }
    }

    #[test]
    fn a_client_config_travels_through_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sub/config");
        let mut config = ClientConfig::load_or_empty(&path).unwrap();
        config.add("one", context("10.0.0.1"), false).unwrap();
        config.add("two", context("[fd00::1]:7"), false).unwrap();
        config.store(&path).unwrap();
        let read = ClientConfig::load(&path).unwrap();
        assert_eq!(read, config);
        assert_eq!(read.get(None).unwrap().0, "one");
        assert_eq!(read.get(Some("two")).unwrap().1.endpoints, ["[fd00::1]:7"]);
        assert!(read.get(Some("three")).is_err());
        assert!(!format!("{read:?}").contains("\"key\""));
    }

    #[test]
    fn another_context_of_the_same_name_is_not_replaced_unasked() {
        let mut config = ClientConfig::default();
        config.add("one", context("a"), false).unwrap();
        config.add("one", context("a"), false).unwrap();
        assert!(config.add("one", context("b"), false).is_err());
        config.add("one", context("b"), true).unwrap();
    }
}
