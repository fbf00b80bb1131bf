//! An image's config (OCI image spec, config.md; Docker's has the same form): what a container of it is by default.

use super::digest::Digest;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Most elements of a list or map in a config. What a container gets of it is bounded again where it is made.
const ELEMENTS_MAX: usize = 4096;

/// Why a config cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not JSON, or without what must be there.
    #[error("the image's config cannot be read")]
    Json(#[from] serde_json::Error),
    /// A list that no image needs.
    #[error("the image's config has {count} {what}, at most {ELEMENTS_MAX} are taken")]
    Long {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
    },
}

/// The parts that matter to a container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageConfig {
    /// For which operating system.
    pub os: String,
    /// For which architecture, in Go's words.
    pub architecture: String,
    /// And variant of it.
    pub variant: Option<String>,
    /// SHA-256 of each unpacked layer, the lowest first.
    pub diff_ids: Vec<Digest>,
    /// User, or user and group with a colon between, by name or number; empty: root.
    pub user: String,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Program and first arguments.
    pub entrypoint: Vec<String>,
    /// Further arguments, or the program where there is no entrypoint.
    pub cmd: Vec<String>,
    /// Where it runs; empty: `/`.
    pub working_dir: String,
    /// Directories that should outlive it.
    pub volumes: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// How it is asked to stop: `SIGQUIT`, `3`.
    pub stop_signal: Option<String>,
}

/// Whom an image runs as: one of both, as CRI's `Image` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageUser {
    /// By number.
    Uid(i64),
    /// By name, which only the image's `/etc/passwd` knows.
    Name(String),
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: Option<String>,
    rootfs: WireRootfs,
    #[serde(default)]
    config: Option<WireConfig>,
}

#[derive(Deserialize)]
struct WireRootfs {
    #[serde(default)]
    diff_ids: Option<Vec<Digest>>,
}

/// Docker writes `null` where something is not set.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct WireConfig {
    user: Option<String>,
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    working_dir: Option<String>,
    volumes: Option<BTreeMap<String, serde::de::IgnoredAny>>,
    labels: Option<BTreeMap<String, String>>,
    stop_signal: Option<String>,
}

impl ImageConfig {
    /// Reads one.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn read(bytes: &[u8]) -> Result<Self, ConfigError> {
        let wire: Wire = serde_json::from_slice(bytes)?;
        let config = wire.config.unwrap_or_default();
        let read = Self {
            os: wire.os,
            architecture: wire.architecture,
            variant: wire.variant,
            diff_ids: wire.rootfs.diff_ids.unwrap_or_default(),
            user: config.user.unwrap_or_default(),
            env: config.env.unwrap_or_default(),
            entrypoint: config.entrypoint.unwrap_or_default(),
            cmd: config.cmd.unwrap_or_default(),
            working_dir: config.working_dir.unwrap_or_default(),
            volumes: config.volumes.unwrap_or_default().into_keys().collect(),
            labels: config.labels.unwrap_or_default(),
            stop_signal: config.stop_signal.filter(|signal| !signal.is_empty()),
        };
        for (what, count) in [
            ("variables", read.env.len()),
            ("words of an entrypoint", read.entrypoint.len()),
            ("words of a command", read.cmd.len()),
            ("volumes", read.volumes.len()),
            ("labels", read.labels.len()),
        ] {
            if count > ELEMENTS_MAX {
                return Err(ConfigError::Long { what, count });
            }
        }
        Ok(read)
    }

    /// Whom it runs as.
    #[must_use]
    pub fn runs_as(&self) -> ImageUser {
        let user = self.user.split(':').next().unwrap_or_default();
        match (user, user.parse()) {
            ("", _) => ImageUser::Uid(0),
            (_, Ok(uid)) if uid >= 0 => ImageUser::Uid(uid),
            _ => ImageUser::Name(user.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with(config: &serde_json::Value) -> Result<ImageConfig, ConfigError> {
        let text = json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers"}, "config": config});
        ImageConfig::read(text.to_string().as_bytes())
    }

    #[test]
    fn what_docker_leaves_out_is_empty() {
        let config =
            with(&json!({"Env": null, "Cmd": ["sh"], "Volumes": {"/data": {}}, "Image": "x"}))
                .unwrap();
        assert_eq!(
            (config.cmd, config.volumes),
            (vec!["sh".to_owned()], vec!["/data".to_owned()])
        );
        assert!(config.env.is_empty() && config.stop_signal.is_none());
        assert_eq!(with(&json!(null)).unwrap().user, "");
    }

    #[test]
    fn users() {
        let user = |user: &str| with(&json!({"User": user})).unwrap().runs_as();
        assert_eq!(user(""), ImageUser::Uid(0));
        assert_eq!(user("1000:100"), ImageUser::Uid(1000));
        assert_eq!(user("nobody:nogroup"), ImageUser::Name("nobody".to_owned()));
        assert_eq!(user("-1"), ImageUser::Name("-1".to_owned()));
    }

    #[test]
    fn absurd_configs_are_refused() {
        let error = with(&json!({"Env": vec!["A=b"; 4097]}))
            .unwrap_err()
            .to_string();
        assert!(error.contains("4097 variables"), "{error}");
        assert!(with(&json!({"Env": "A=b"})).is_err());
        assert!(ImageConfig::read(b"{}").is_err());
    }
}
