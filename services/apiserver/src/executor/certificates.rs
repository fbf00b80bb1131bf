//! Certificates of a server that was given none: made once, kept in a directory, with an admin's kubeconfig.
//!
//! ```text
//!   DIR/ca.crt, ca.key            signs both
//!   DIR/apiserver.crt, .key       the server's
//!   DIR/service-account.key       signs tokens
//!   DIR/admin.kubeconfig          system:masters
//! ```

use base64::Engine as _;
use http_server::tls::Files;
use pki::{CertificateAuthority, Names, PkiError, Profile, Validity};
use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// For a year, as upstream's own.
const LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
pub enum CertificatesError {
    /// A file.
    #[error("write {path}")]
    Write {
        /// Which.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A certificate.
    #[error("make certificates")]
    Make(#[from] PkiError),
}

/// Makes what is missing in the directory. Files that are there are used as they are.
///
/// # Errors
/// [`CertificatesError`].
pub fn make(
    directory: &Path,
    address: SocketAddr,
    names: &[&str],
) -> Result<Files, CertificatesError> {
    let files = Files {
        certificate: directory.join("apiserver.crt"),
        key: directory.join("apiserver.key"),
        trusted: directory.join("ca.crt"),
    };
    let admin = directory.join("admin.kubeconfig");
    let all = [&files.certificate, &files.key, &files.trusted, &admin];
    if all.iter().all(|path| path.exists()) {
        return Ok(files);
    }
    let mut builder = fs::DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(directory);
    made.map_err(|source| CertificatesError::Write {
        path: directory.to_owned(),
        source,
    })?;
    let validity = Validity::new(SystemTime::now(), LIFETIME);
    let authority = CertificateAuthority::generate("kubernetes", validity)?;
    let mut named = Names::default();
    for name in names {
        named.add_dns(name);
    }
    named.add_address(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let reached = if address.ip().is_unspecified() {
        IpAddr::V4(Ipv4Addr::LOCALHOST)
    } else {
        address.ip()
    };
    named.add_address(reached);
    let server = authority.issue_server(&named, validity)?;
    let client = authority.issue(
        &Profile::Client {
            common_name: "kubernetes-admin".to_owned(),
            organizations: vec!["system:masters".to_owned()],
        },
        validity,
    )?;
    let ca = authority.certificate();
    write(
        &directory.join("ca.key"),
        authority.key().expose().as_bytes(),
    )?;
    write(&files.key, server.key.expose().as_bytes())?;
    write(&files.certificate, server.certificate.as_bytes())?;
    write(&files.trusted, ca.as_bytes())?;
    let url = SocketAddr::new(reached, address.port());
    let text = kubeconfig(&url, ca, &client.certificate, client.key.expose());
    // The last: who sees it has all.
    write(&admin, text.as_bytes())?;
    Ok(files)
}

/// The key that signs service accounts' tokens, in the same directory.
///
/// # Errors
/// [`CertificatesError`].
pub fn token_key(directory: &Path) -> Result<PathBuf, CertificatesError> {
    let path = directory.join("service-account.key");
    if !path.exists() {
        let validity = Validity::new(SystemTime::now(), LIFETIME);
        let authority = CertificateAuthority::generate("service-account", validity)?;
        write(&path, authority.key().expose().as_bytes())?;
    }
    Ok(path)
}

/// A kubeconfig for one user of one cluster.
fn kubeconfig(server: &SocketAddr, ca: &str, certificate: &str, key: &str) -> String {
    let encoded = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let (ca, certificate, key) = (encoded(ca), encoded(certificate), encoded(key));
    let (cluster, user) = ("orlop", "kubernetes-admin");
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: {cluster}\n  cluster:\n    server: https://{server}\n    \
         certificate-authority-data: {ca}\nusers:\n- name: {user}\n  user:\n    client-certificate-data: {certificate}\n    \
         client-key-data: {key}\ncontexts:\n- name: {cluster}\n  context:\n    cluster: {cluster}\n    user: {user}\n\
         current-context: {cluster}\n"
    )
}

/// Whole or not at all, and for nobody else to read.
fn write(path: &Path, bytes: &[u8]) -> Result<(), CertificatesError> {
    let fault = |source| CertificatesError::Write {
        path: path.to_owned(),
        source,
    };
    let unfinished = path.with_extension("unfinished");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&unfinished).map_err(fault)?;
    io::Write::write_all(&mut file, bytes).map_err(fault)?;
    file.sync_all().map_err(fault)?;
    fs::rename(&unfinished, path).map_err(fault)
}
