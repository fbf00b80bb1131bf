//! The arguments that every service takes; a service flattens them into its own.

use std::{net::SocketAddr, path::PathBuf};

/// Shared flags. Under `init` the environment carries the paths, so that a plain `orlop NAME` works.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// The service's own part of the machine config (JSON). Without it the service takes its defaults.
    #[arg(long, value_name = "FILE", env = "ORLOP_CONFIG")]
    pub config: Option<PathBuf>,
    /// Directory for what must survive a reboot.
    #[arg(long, value_name = "DIR", env = "STATE_DIRECTORY")]
    pub state_dir: Option<PathBuf>,
    /// Directory for sockets and what ends with the boot.
    #[arg(long, value_name = "DIR", env = "RUNTIME_DIRECTORY")]
    pub runtime_dir: Option<PathBuf>,
    /// Serves Prometheus metrics over HTTP on this address, besides `metrics.sock` in the runtime
    /// directory.
    #[arg(long, value_name = "ADDRESS")]
    pub metrics_bind_address: Option<SocketAddr>,
    /// Least severe level that is logged: error, warn, info, debug, trace, or a per-module filter.
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "ORLOP_LOG")]
    pub log_level: String,
}

/// Most bytes of a service config that are read.
pub const CONFIG_MAX: u64 = 4 * 1024 * 1024;

/// Why a service config could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("read service config {path}")]
    Read {
        /// Its path.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The file is over [`CONFIG_MAX`].
    #[error("service config {path} is over {CONFIG_MAX} bytes")]
    TooLarge {
        /// Its path.
        path: PathBuf,
    },
}

impl Arguments {
    /// The bytes of the service's config; empty where there is none.
    ///
    /// # Errors
    /// [`ConfigError`]; a path that is given and not there is an error.
    pub fn read_config(&self) -> Result<Vec<u8>, ConfigError> {
        use std::io::Read as _;
        let Some(path) = &self.config else {
            return Ok(Vec::new());
        };
        let read = |path: &PathBuf| {
            let mut bytes = Vec::new();
            std::fs::File::open(path)?
                .take(CONFIG_MAX + 1)
                .read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read(path).map_err(|source| ConfigError::Read {
            path: path.clone(),
            source,
        })?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length > CONFIG_MAX) {
            return Err(ConfigError::TooLarge { path: path.clone() });
        }
        Ok(bytes)
    }
}
