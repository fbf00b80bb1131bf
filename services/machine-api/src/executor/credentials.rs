//! The server's identity: which certificate it shows, whose clients it takes.
//!
//! ```text
//!   maintenance      self-signed (kept)      no client certificate
//!   worker           self-signed (kept)      clients of the cluster's machine CA
//!   control plane    issued by the CA        clients of the cluster's machine CA
//! ```
//!
//! Invariant: what is kept in the state directory is used again only where it still fits, and is
//! made anew otherwise; a state directory that cannot be written costs the identity's persistence, never
//! the service.

use machine_config::{Role, parts::MachineApiPart};
use pki::{CertificateAuthority, Issued, Names, PkiError, SelfSigned, Validity};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{VerifierBuilderError, WebPkiClientVerifier},
    version::TLS13,
};
use std::{
    fs, io,
    io::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Life of an issued serving certificate; it is renewed after two thirds.
pub const ISSUED_LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);
/// Life of a self-signed one: clients pin it and do not look at its dates.
pub const SELF_SIGNED_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// 2026-01-01: a clock before it is wrong, and no certificate is dated by it.
const CLOCK_FLOOR: Duration = Duration::from_secs(1_767_225_600);
const SELF_SIGNED_FILE: &str = "self-signed.pem";
const ISSUED_FILE: &str = "serving.pem";

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A role without a CA certificate: the planner and this service are not of one release.
    #[error("the service config has a role and no CA certificate")]
    NoAuthority,
    /// A certificate could not be made or read.
    #[error("make the serving certificate")]
    Pki(#[from] PkiError),
    /// A PEM text could not be read.
    #[error("read {what}")]
    Pem {
        /// Which.
        what: &'static str,
        /// Why.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// rustls refused them.
    #[error("use the certificates for TLS")]
    Tls(#[from] rustls::Error),
    /// rustls refused the CA.
    #[error("use the CA certificate for clients")]
    Verifier(#[from] VerifierBuilderError),
}

/// What the server is at the moment; replaced as a whole.
#[derive(Debug)]
pub struct Settings {
    /// The service's config.
    pub part: MachineApiPart,
    /// Takes no config in maintenance mode.
    pub closed: bool,
    /// Grows when connections of before must not go on: other clients are trusted now.
    pub trust: u64,
    /// For new connections.
    pub tls: Arc<ServerConfig>,
    /// SHA-256 of the serving certificate, as clients pin it.
    pub fingerprint: String,
    /// Whether clients verify the serving certificate by the CA; else they pin the fingerprint.
    pub issued: bool,
    /// The CA, on control-plane nodes.
    pub authority: Option<Arc<CertificateAuthority>>,
    /// When the serving certificate must be made anew.
    pub renew_at: SystemTime,
    /// Names in the serving certificate.
    pub names: Names,
}

/// What the settings are made of.
#[derive(Debug)]
pub struct Observed<'a> {
    /// The service's config.
    pub part: MachineApiPart,
    /// The kernel's host name.
    pub hostname: String,
    /// The node's addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether it takes no config in maintenance mode.
    pub closed: bool,
    /// Where identities are kept.
    pub state_dir: Option<&'a Path>,
    /// The time.
    pub now: SystemTime,
}

/// Makes settings; `before` are those in use.
///
/// # Errors
/// [`CredentialsError`]; those in use stay good.
pub fn settings(
    observed: Observed<'_>,
    before: Option<&Settings>,
) -> Result<Settings, CredentialsError> {
    let now = observed.now.max(SystemTime::UNIX_EPOCH + CLOCK_FLOOR);
    let names = names(&observed);
    let (part, closed) = (observed.part, observed.closed);
    let authority = match (&part.ca_certificate, &part.ca_key) {
        // A node in maintenance mode may have lost its role and kept its keys.
        (Some(certificate), Some(key)) if part.role != Some(Role::Worker) => {
            Some(Arc::new(CertificateAuthority::from_pem(certificate, key)?))
        }
        _ => None,
    };
    let keeper = Keeper {
        directory: observed.state_dir,
        now,
    };
    let serving = match &authority {
        Some(authority) => keeper.issued(authority, &names)?,
        None => keeper.self_signed(&names)?,
    };
    let same_trust = before.is_some_and(|before| {
        before.part.role == part.role && before.part.ca_certificate == part.ca_certificate
    });
    let trust = before.map_or(0, |before| before.trust + u64::from(!same_trust));
    Ok(Settings {
        tls: Arc::new(server_config(&part, &serving.issued)?),
        trust,
        fingerprint: pki::fingerprint(&serving.der),
        issued: authority.is_some(),
        authority,
        renew_at: pki::renew_after(&serving.der)?,
        names,
        part,
        closed,
    })
}

impl Settings {
    /// Whether anybody may call: the node is in maintenance mode and knows no authority.
    #[must_use]
    pub fn open(&self) -> bool {
        self.part.role.is_none() && self.part.ca_certificate.is_none()
    }
}

fn names(observed: &Observed<'_>) -> Names {
    let mut names = Names::default();
    // A name that no certificate may hold (the kernel takes any) is left out, not fatal.
    let given = observed.part.hostname.iter().chain([&observed.hostname]);
    for name in given.chain(&observed.part.cert_sans) {
        match Names::parse([name.as_str()]) {
            Ok(parsed) => {
                parsed.dns.iter().for_each(|name| names.add_dns(name));
                for address in parsed.addresses {
                    names.add_address(address);
                }
            }
            Err(error) => tracing::warn!(%error, "name left out of the serving certificate"),
        }
    }
    names.add_dns("localhost");
    let loopback = [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ];
    for address in loopback
        .into_iter()
        .chain(observed.addresses.iter().copied())
    {
        names.add_address(address);
    }
    names
}

fn server_config(
    part: &MachineApiPart,
    serving: &Issued,
) -> Result<ServerConfig, CredentialsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])?;
    let builder = match (&part.ca_certificate, part.role) {
        (None, None) => builder.with_no_client_auth(),
        (None, Some(_)) => return Err(CredentialsError::NoAuthority),
        (Some(authority), _) => {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
                let what = "the CA certificate";
                roots.add(certificate.map_err(|source| CredentialsError::Pem { what, source })?)?;
            }
            builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?,
            )
        }
    };
    let pem = |what| move |source| CredentialsError::Pem { what, source };
    let chain = CertificateDer::pem_slice_iter(serving.certificate.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(pem("the serving certificate"))?;
    let key = PrivateKeyDer::from_pem_slice(serving.key.expose().as_bytes())
        .map_err(pem("the serving key"))?;
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // No resumption: each connection shows its certificate to the trust of the moment.
    config.send_tls13_tickets = 0;
    Ok(config)
}

struct Serving {
    issued: Issued,
    der: Vec<u8>,
}

/// Serving certificates in the state directory.
struct Keeper<'a> {
    directory: Option<&'a Path>,
    now: SystemTime,
}

impl Keeper<'_> {
    fn self_signed(&self, names: &Names) -> Result<Serving, CredentialsError> {
        if let Some((_, kept)) = self.load(SELF_SIGNED_FILE)
            && pki::renew_after(&kept.der)? > self.now
        {
            return Ok(kept);
        }
        let made = SelfSigned::generate(names, Validity::new(self.now, SELF_SIGNED_LIFETIME))?;
        self.store(SELF_SIGNED_FILE, "self", &made.issued);
        serving(made.issued)
    }

    fn issued(
        &self,
        authority: &CertificateAuthority,
        names: &Names,
    ) -> Result<Serving, CredentialsError> {
        let issuer = pki::fingerprint(&pki::der_of(authority.certificate())?);
        if let Some((kept_issuer, kept)) = self.load(ISSUED_FILE)
            && kept_issuer == issuer
            && pki::renew_after(&kept.der)? > self.now
            && pki::names_of(&kept.der)?.covers(names)
        {
            return Ok(kept);
        }
        let made = authority.issue_server(names, Validity::new(self.now, ISSUED_LIFETIME))?;
        self.store(ISSUED_FILE, &issuer, &made);
        serving(made)
    }

    /// The issuer's fingerprint and what it issued; None where nothing usable is kept.
    fn load(&self, file: &str) -> Option<(String, Serving)> {
        let path = self.directory?.join(file);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "kept certificate cannot be read");
                return None;
            }
        };
        let (first, rest) = text.split_once('\n')?;
        let issuer = first.strip_prefix("issuer: ")?.to_owned();
        let at = rest.find("-----BEGIN PRIVATE KEY-----")?;
        let (certificate, key) = rest.split_at(at);
        let issued = Issued {
            certificate: certificate.to_owned(),
            key: machine_config::SecretString::new(key.to_owned()),
        };
        // A torn or foreign file is no reason to stop: a new one replaces it.
        PrivateKeyDer::from_pem_slice(key.as_bytes()).ok()?;
        let kept = serving(issued).ok()?;
        pki::renew_after(&kept.der).ok()?;
        Some((issuer, kept))
    }

    fn store(&self, file: &str, issuer: &str, issued: &Issued) {
        let Some(directory) = self.directory else {
            return;
        };
        let path = directory.join(file);
        let text = format!(
            "issuer: {issuer}\n{}{}",
            issued.certificate,
            issued.key.expose()
        );
        if let Err(error) = write_atomically(&path, text.as_bytes()) {
            tracing::warn!(%error, path = %path.display(), "serving certificate could not be kept");
        }
    }
}

fn serving(issued: Issued) -> Result<Serving, CredentialsError> {
    let der = pki::der_of(&issued.certificate)?;
    Ok(Serving { issued, der })
}

fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary: PathBuf = path.with_extension("new");
    let mut file = fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    path.parent()
        .map_or(Ok(()), |directory| fs::File::open(directory)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;
    use pki::ClusterSecrets;

    fn observed(part: MachineApiPart, directory: &Path, address: [u8; 4]) -> Observed<'_> {
        Observed {
            part,
            hostname: "node_with_a_bad_name".into(),
            closed: false,
            addresses: vec![address.into()],
            state_dir: Some(directory),
            now: SystemTime::now(),
        }
    }

    fn control_plane(secrets: &ClusterSecrets) -> MachineApiPart {
        MachineApiPart {
            role: Some(Role::ControlPlane),
            ca_certificate: Some(secrets.machine_ca.crt.to_string()),
            ca_key: Some(secrets.machine_ca.key.clone()),
            cert_sans: vec!["api.example".into()],
            ..MachineApiPart::default()
        }
    }

    #[test]
    fn an_identity_survives_a_restart_and_an_absurd_clock() {
        let directory = tempfile::tempdir().unwrap();
        let mut first = observed(MachineApiPart::default(), directory.path(), [10, 0, 0, 1]);
        first.now = SystemTime::UNIX_EPOCH;
        let first = settings(first, None).unwrap();
        let again = observed(MachineApiPart::default(), directory.path(), [10, 0, 0, 2]);
        let again = settings(again, Some(&first)).unwrap();
        assert_eq!(first.fingerprint, again.fingerprint);
        assert_eq!(first.trust, again.trust);
        assert!(!again.issued);
    }

    #[test]
    fn a_control_plane_node_issues_its_own_certificate_and_renews_it() {
        let directory = tempfile::tempdir().unwrap();
        let secrets = ClusterSecrets::generate(SystemTime::now()).unwrap();
        let new = |address, before: Option<&Settings>| {
            let part = control_plane(&secrets);
            settings(observed(part, directory.path(), address), before).unwrap()
        };
        let first = new([10, 0, 0, 1], None);
        assert!(first.issued && first.authority.is_some());
        assert!(first.names.dns.contains(&"api.example".to_owned()));
        let same = new([10, 0, 0, 1], Some(&first));
        assert_eq!(
            (&same.fingerprint, same.trust),
            (&first.fingerprint, first.trust)
        );
        let moved = new([10, 0, 0, 2], Some(&first));
        assert_ne!(moved.fingerprint, first.fingerprint);
        let mut later = observed(control_plane(&secrets), directory.path(), [10, 0, 0, 2]);
        later.now = moved.renew_at + Duration::from_secs(1);
        let renewed = settings(later, Some(&moved)).unwrap();
        assert_ne!(renewed.fingerprint, moved.fingerprint);
        assert_eq!(renewed.trust, moved.trust);
    }

    #[test]
    fn another_authority_is_another_trust() {
        let directory = tempfile::tempdir().unwrap();
        let secrets = [(); 2].map(|()| ClusterSecrets::generate(SystemTime::now()).unwrap());
        let first = observed(control_plane(&secrets[0]), directory.path(), [10, 0, 0, 1]);
        let first = settings(first, None).unwrap();
        let second = observed(control_plane(&secrets[1]), directory.path(), [10, 0, 0, 1]);
        let second = settings(second, Some(&first)).unwrap();
        assert_ne!(first.fingerprint, second.fingerprint);
        assert_eq!(second.trust, first.trust + 1);
    }

    #[test]
    fn a_torn_file_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let new = || {
            let part = MachineApiPart::default();
            settings(observed(part, directory.path(), [10, 0, 0, 1]), None).unwrap()
        };
        let first = new();
        let path = directory.path().join(SELF_SIGNED_FILE);
        let whole = fs::read(&path).unwrap();
        for cut in [0, 5, 100, whole.len() / 2, whole.len() - 40] {
            fs::write(&path, &whole[..cut]).unwrap();
            assert_ne!(new().fingerprint, first.fingerprint, "cut at {cut}");
        }
        fs::write(&path, &whole).unwrap();
        assert_eq!(new().fingerprint, first.fingerprint);
    }

    #[test]
    fn a_node_that_has_lost_its_role_keeps_its_authority() {
        let directory = tempfile::tempdir().unwrap();
        let secrets = ClusterSecrets::generate(SystemTime::now()).unwrap();
        let of = |part| settings(observed(part, directory.path(), [10, 0, 0, 1]), None).unwrap();
        let before = of(control_plane(&secrets));
        let after = of(MachineApiPart {
            role: None,
            ..control_plane(&secrets)
        });
        assert_eq!(after.fingerprint, before.fingerprint);
        assert!(after.issued && !after.open());
        let worker = of(MachineApiPart {
            role: None,
            ca_key: None,
            ..control_plane(&secrets)
        });
        assert!(!worker.issued && !worker.open());
        assert!(of(MachineApiPart::default()).open());
    }

    #[test]
    fn a_role_without_a_ca_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let part = MachineApiPart {
            role: Some(Role::Worker),
            ..MachineApiPart::default()
        };
        let result = settings(observed(part, directory.path(), [10, 0, 0, 1]), None);
        assert!(matches!(result, Err(CredentialsError::NoAuthority)));
    }
}
