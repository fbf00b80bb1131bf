//! Signing requests of machines without an authority's key, and certificates that vouch for
//! themselves.

use machine_config::SecretString;
use rcgen::{CertificateParams, CertificateSigningRequestParams, PublicKeyData, SanType};

use crate::certificate::fingerprint;
use crate::profile::{issue_error, new_key, subject};
use crate::{Issued, Names, PkiError, Profile, Validity};

/// Longest PEM text of a signing request, in bytes. With a hundred names it is about 8 KiB.
const REQUEST_MAX: usize = 64 * 1024;

/// A certificate signing request (PKCS #10) whose signature has been checked.
#[derive(Debug)]
pub struct Request(pub(crate) CertificateSigningRequestParams);

impl Request {
    /// Reads a request in PEM. Keys are P-256 or Ed25519.
    ///
    /// # Errors
    /// [`PkiError::Request`] when it is too long, no request, signed by another key, asks for
    /// extensions that no certificate of ours has, or has a key of another kind.
    pub fn from_pem(pem: &str) -> Result<Self, PkiError> {
        let refuse = |why| PkiError::Request { why };
        if pem.len() > REQUEST_MAX {
            return Err(refuse("it is longer than 64 KiB"));
        }
        let params =
            CertificateSigningRequestParams::from_pem(pem).map_err(|error| match error {
                rcgen::Error::InvalidCertificationRequestSignature => {
                    refuse("its signature is wrong")
                }
                rcgen::Error::UnsupportedExtension => {
                    refuse("it asks for an extension that is not given")
                }
                rcgen::Error::UnsupportedSignatureAlgorithm => {
                    refuse("its key is neither P-256 nor Ed25519")
                }
                _ => refuse("it is no PKCS #10 request in PEM"),
            })?;
        // The library takes the key's kind from the signature's; the length tells whether both fit.
        let key = &params.public_key;
        let fits = (key.algorithm() == &rcgen::PKCS_ECDSA_P256_SHA256
            && key.der_bytes().len() == 65)
            || (key.algorithm() == &rcgen::PKCS_ED25519 && key.der_bytes().len() == 32);
        if !fits {
            return Err(refuse("its key is neither P-256 nor Ed25519"));
        }
        Ok(Self(params))
    }

    /// Makes a request with a new P-256 key: what a machine without an authority's key sends.
    ///
    /// # Errors
    /// [`PkiError::Name`], [`PkiError::Crypto`].
    pub fn generate(common_name: &str, names: &Names) -> Result<Issued, PkiError> {
        let key = new_key()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = subject(common_name, &[])?;
        params.subject_alt_names = names.to_sans()?;
        let request = params
            .serialize_request(&key)
            .and_then(|request| request.pem());
        Ok(Issued {
            certificate: request.map_err(|source| PkiError::Crypto {
                what: "a signing request",
                source,
            })?,
            key: SecretString::new(key.serialize_pem()),
        })
    }

    /// The DNS names and addresses that it asks for.
    #[must_use]
    pub fn names(&self) -> Names {
        let mut names = Names::default();
        for name in &self.0.params.subject_alt_names {
            match name {
                SanType::DnsName(name) => names.add_dns(name.as_str()),
                SanType::IpAddress(address) => names.add_address(*address),
                _ => {}
            }
        }
        names
    }
}

/// A server certificate that vouches for itself: a machine in maintenance mode has nothing else.
/// Whoever connects compares the fingerprint with the one on the console.
#[derive(Clone, Debug)]
pub struct SelfSigned {
    /// Certificate and key.
    pub issued: Issued,
    /// [`fingerprint`] of the certificate.
    pub fingerprint: String,
}

impl SelfSigned {
    /// Makes one with a new P-256 key.
    ///
    /// # Errors
    /// As [`CertificateAuthority::issue`](crate::CertificateAuthority::issue).
    pub fn generate(names: &Names, validity: Validity) -> Result<Self, PkiError> {
        let key = new_key()?;
        let profile = Profile::Server {
            common_name: "orlop maintenance".to_owned(),
            names: names.clone(),
            peer: false,
        };
        let mut params = profile.params(validity, None)?;
        params.use_authority_key_identifier_extension = false;
        let certificate = params.self_signed(&key).map_err(issue_error)?;
        Ok(Self {
            fingerprint: fingerprint(certificate.der()),
            issued: Issued {
                certificate: certificate.pem(),
                key: SecretString::new(key.serialize_pem()),
            },
        })
    }
}
