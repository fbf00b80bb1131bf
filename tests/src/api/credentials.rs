//! What the admin's kubeconfig holds: whom to trust, and what to show.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use std::path::Path;

/// As PEM.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The CA of the server's certificate.
    pub authority: Vec<u8>,
    /// The admin's certificate.
    pub certificate: Vec<u8>,
    /// Its key.
    pub key: Vec<u8>,
}

impl Credentials {
    /// Reads a kubeconfig of one user and one cluster.
    ///
    /// # Errors
    /// It is not there, or lacks something.
    pub fn read(kubeconfig: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(kubeconfig)
            .with_context(|| format!("read {}", kubeconfig.display()))?;
        let decoded = |field: &str| {
            let encoded = text
                .lines()
                .find_map(|line| line.trim().strip_prefix(field)?.strip_prefix(':'))
                .with_context(|| format!("{} has no {field}", kubeconfig.display()))?;
            base64::engine::general_purpose::STANDARD
                .decode(encoded.trim())
                .with_context(|| format!("{field} of {}", kubeconfig.display()))
        };
        Ok(Self {
            authority: decoded("certificate-authority-data")?,
            certificate: decoded("client-certificate-data")?,
            key: decoded("client-key-data")?,
        })
    }
}
