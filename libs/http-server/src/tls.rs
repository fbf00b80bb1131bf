//! Mutual TLS with certificates from files, read again when they change.
//!
//! A connection keeps the certificates that it began with. Files that cannot be read leave those in force that were read
//! last, since certificates are replaced one file after the other.

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{VerifierBuilderError, WebPkiClientVerifier},
};
use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// Where certificates are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// Our certificate and those between it and its CA (PEM).
    pub certificate: PathBuf,
    /// Its key (PEM).
    pub key: PathBuf,
    /// The CAs of those at the other end (PEM).
    pub trusted: PathBuf,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("read {what} in {path}")]
    Pem {
        /// What was looked for.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why it was not found.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// A file without any certificate.
    #[error("{path} holds no certificate")]
    Empty {
        /// Which.
        path: PathBuf,
    },
    /// rustls refused certificate or key.
    #[error("use the certificates for TLS")]
    Refused(#[from] rustls::Error),
    /// rustls refused the CAs.
    #[error("use the CAs")]
    Verifier(#[from] VerifierBuilderError),
}

/// What tells one content of a file from the next: device, inode, size, time of change.
type Stamp = (u64, u64, u64, i64, i64);

/// TLS as the files are: for those who connect to us, or ([`ClientTls`]) for those to whom we connect.
#[derive(Debug)]
pub struct Tls<C = ServerConfig> {
    files: Files,
    read: fn(&Files) -> Result<C, TlsError>,
    current: Mutex<Current<C>>,
}

/// TLS for connections that we make. Who answers must have a certificate of a trusted CA, for the name that was called.
pub type ClientTls = Tls<ClientConfig>;

#[derive(Debug)]
struct Current<C> {
    config: Arc<C>,
    stamps: Option<[Stamp; 3]>,
}

impl Tls<ServerConfig> {
    /// Reads the files, for a listener: who connects must show a certificate.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn new(files: Files) -> Result<Self, TlsError> {
        Self::of(files, |files| server(files, false))
    }

    /// Reads the files, for a listener where who connects may also say otherwise who he is. A certificate that is shown must be
    /// good.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn optional(files: Files) -> Result<Self, TlsError> {
        Self::of(files, |files| server(files, true))
    }
}

impl ClientTls {
    /// Reads the files, for connections that we make.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn client(files: Files) -> Result<Self, TlsError> {
        Self::of(files, client)
    }
}

impl<C> Tls<C> {
    fn of(files: Files, read: fn(&Files) -> Result<C, TlsError>) -> Result<Self, TlsError> {
        // Before reading: what changes meanwhile is read again.
        let stamps = stamps(&files).ok();
        let config = Arc::new(read(&files)?);
        Ok(Self {
            files,
            read,
            current: Mutex::new(Current { config, stamps }),
        })
    }

    /// For the next connection: reads the files again where one has changed.
    pub fn config(&self) -> Arc<C> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = match stamps(&self.files) {
            Ok(seen) => seen,
            Err(error) => {
                tracing::warn!(%error, "certificates cannot be looked at; those read last stay in force");
                return Arc::clone(&current.config);
            }
        };
        if current.stamps != Some(seen) {
            // Noted in any case: a bad file is reported once, not at every connection.
            current.stamps = Some(seen);
            match (self.read)(&self.files) {
                Ok(config) => {
                    tracing::info!("certificates read again");
                    current.config = Arc::new(config);
                }
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(
                        error,
                        "certificates have changed and cannot be used; those read last stay in force"
                    );
                }
            }
        }
        Arc::clone(&current.config)
    }
}

fn stamps(files: &Files) -> io::Result<[Stamp; 3]> {
    let stamp = |path: &Path| -> io::Result<Stamp> {
        let about = fs::metadata(path)?;
        let changed = (about.ctime(), about.ctime_nsec());
        Ok((about.dev(), about.ino(), about.size(), changed.0, changed.1))
    };
    Ok([
        stamp(&files.certificate)?,
        stamp(&files.key)?,
        stamp(&files.trusted)?,
    ])
}

fn server(files: &Files, optional: bool) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let trusted = Arc::new(trusted(files)?);
    let clients = WebPkiClientVerifier::builder_with_provider(trusted, Arc::clone(&provider));
    let clients = if optional {
        clients.allow_unauthenticated().build()?
    } else {
        clients.build()?
    };
    let (chain, key) = identity(files)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn client(files: &Files) -> Result<ClientConfig, TlsError> {
    let (chain, key) = identity(files)?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(trusted(files)?)
        .with_client_auth_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn identity(
    files: &Files,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let chain = certificates(&files.certificate)?;
    let key =
        PrivateKeyDer::from_pem_slice(&bytes(&files.key)?).map_err(|source| TlsError::Pem {
            what: "a private key",
            path: files.key.clone(),
            source,
        })?;
    Ok((chain, key))
}

fn trusted(files: &Files) -> Result<RootCertStore, TlsError> {
    let mut trusted = RootCertStore::empty();
    for certificate in certificates(&files.trusted)? {
        trusted.add(certificate)?;
    }
    Ok(trusted)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes(path)?).collect();
    let all = all.map_err(|source| TlsError::Pem {
        what: "a certificate",
        path: path.to_owned(),
        source,
    })?;
    if all.is_empty() {
        let path = path.to_owned();
        return Err(TlsError::Empty { path });
    }
    Ok(all)
}

fn bytes(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })
}
