//! Whom the client trusts, and who it says it is.

use crate::ConnectError;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
    version::TLS13,
};
use std::{
    fmt, io,
    net::SocketAddr,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

/// What makes a node's certificate the right one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// It is signed by one of these authorities (PEM) and carries the target's name.
    Authority(String),
    /// It is exactly this one.
    Pinned(Fingerprint),
    /// Any: the caller is told which one it was and sends no secret.
    Any,
}

/// The client's own certificate. `Debug` hides the key.
#[derive(Clone)]
pub struct Identity {
    /// Certificate chain, PEM.
    pub certificate: String,
    /// Private key, PEM.
    pub key: String,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

/// SHA-256 of a whole certificate (DER). Shown as the node's console shows it: lower-case hex in pairs
/// joined by colons. Upper case, a leading "sha256:", spaces and no colons are taken when it is read.
///
/// ```
/// use orlop_machine_client::Fingerprint;
/// let fingerprint: Fingerprint = format!("sha256:{}", "AB".repeat(32)).parse().unwrap();
/// assert!(fingerprint.to_string().starts_with("ab:ab:"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

/// Not a SHA-256 fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint has 64 hex digits, as the node's console shows it")]
pub struct FingerprintError;

impl Fingerprint {
    /// Of this certificate.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        let digest = ::aws_lc_rs::digest::digest(&::aws_lc_rs::digest::SHA256, certificate);
        Self(digest.as_ref().try_into().expect("SHA-256 gives 32 bytes"))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: Vec<_> = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        f.write_str(&pairs.join(":"))
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let text = text.strip_prefix("sha256:").unwrap_or(text);
        let digits: Vec<u8> = text
            .chars()
            .filter(|letter| !matches!(letter, ':' | ' '))
            .map(|letter| {
                letter
                    .to_digit(16)
                    .and_then(|digit| u8::try_from(digit).ok())
            })
            .collect::<Option<_>>()
            .ok_or(FingerprintError)?;
        let bytes: Vec<u8> = digits
            .chunks_exact(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect();
        if digits.len() != 64 {
            return Err(FingerprintError);
        }
        bytes.try_into().map(Self).map_err(|_| FingerprintError)
    }
}

/// The certificate that the node sent, for errors.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Option<Fingerprint>>>);

impl Seen {
    fn note(&self, certificate: &CertificateDer<'_>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Fingerprint::of(certificate));
    }

    pub(crate) fn explain(
        &self,
        trust: &Trust,
        address: SocketAddr,
        source: io::Error,
    ) -> ConnectError {
        let seen = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let inner = source
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match (seen, inner, trust) {
            (
                Some(seen),
                Some(rustls::Error::InvalidCertificate(
                    CertificateError::ApplicationVerificationFailure,
                )),
                Trust::Pinned(wanted),
            ) => ConnectError::Fingerprint {
                seen,
                wanted: *wanted,
            },
            (Some(seen), Some(error @ rustls::Error::InvalidCertificate(_)), _) => {
                ConnectError::Untrusted {
                    seen,
                    source: error.clone(),
                }
            }
            _ => ConnectError::Tls { address, source },
        }
    }
}

pub(crate) fn client_config(
    trust: &Trust,
    identity: Option<&Identity>,
) -> Result<(ClientConfig, Seen), ConnectError> {
    let seen = Seen::default();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Verifier {
        check: match trust {
            Trust::Authority(pem) => Check::Authority(authority(pem, &provider)?),
            Trust::Pinned(fingerprint) => Check::Pinned(*fingerprint),
            Trust::Any => Check::Any,
        },
        provider: Arc::clone(&provider),
        seen: seen.clone(),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let certificates = CertificateDer::pem_slice_iter(identity.certificate.as_bytes())
                .collect::<Result<Vec<_>, _>>()
                .map_err(credentials("the client certificate"))?;
            let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())
                .map_err(credentials("the client key"))?;
            builder
                .with_client_auth_cert(certificates, key)
                .map_err(credentials("the client certificate"))?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok((config, seen))
}

fn authority(
    pem: &str,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, ConnectError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(credentials("the cluster's CA certificate"))?;
        roots
            .add(certificate)
            .map_err(credentials("the cluster's CA certificate"))?;
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(credentials("the cluster's CA certificate"))
}

fn credentials<E>(what: &'static str) -> impl FnOnce(E) -> ConnectError + Copy
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    move |source| ConnectError::Credentials {
        what,
        source: source.into(),
    }
}

#[derive(Debug)]
enum Check {
    Authority(Arc<WebPkiServerVerifier>),
    Pinned(Fingerprint),
    Any,
}

#[derive(Debug)]
struct Verifier {
    check: Check,
    provider: Arc<CryptoProvider>,
    seen: Seen,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.seen.note(end_entity);
        match &self.check {
            Check::Authority(verifier) => verifier.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            ),
            Check::Pinned(wanted) if Fingerprint::of(end_entity) != *wanted => {
                Err(CertificateError::ApplicationVerificationFailure.into())
            }
            Check::Pinned(_) | Check::Any => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, valid: bool) {
        assert_eq!(text.parse::<Fingerprint>().is_ok(), valid, "{text}");
    }

    #[test]
    fn a_fingerprint_is_read_in_every_usual_form() {
        check(&"0f".repeat(32), true);
        check(&format!("sha256:{}", "0F:".repeat(32)), true);
        check(&"0f".repeat(31), false);
        check(&format!("{}0", "0f".repeat(31)), false);
        check(&format!("{}0", "0f".repeat(32)), false);
        check(&"zz".repeat(32), false);
        check("", false);
    }
}
