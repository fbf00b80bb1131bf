//! An authority and what it issues.
//!
//! What a certificate says is decided by the profile alone: of a signing request only the public key
//! is taken.

use std::time::SystemTime;

use machine_config::SecretString;
use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
};

use crate::certificate::{common_name, der_of, expires_at, parsed};
use crate::identity::FORWARDER_ORGANIZATION;
use crate::profile::{issue_error, new_key, serial_number, subject};
use crate::{Issued, Names, PkiError, Profile, Request, Role, Roles, Validity};

/// An authority: a certificate, its key, and the power to issue others.
pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
    common_name: String,
    expires_at: SystemTime,
}

impl std::fmt::Debug for CertificateAuthority {
    /// Shows whose authority it is, and not its key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificateAuthority")
            .field("common_name", &self.common_name)
            .finish_non_exhaustive()
    }
}

impl CertificateAuthority {
    /// Makes a new authority that signs leaves only (path length 0), with a P-256 key.
    ///
    /// # Errors
    /// [`PkiError::Time`], [`PkiError::Crypto`], [`PkiError::Random`].
    pub fn generate(common_name: &str, validity: Validity) -> Result<Self, PkiError> {
        let key = new_key()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = subject(common_name, &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        params.serial_number = Some(serial_number()?);
        validity.apply(&mut params, None)?;
        let certificate = params.self_signed(&key).map_err(issue_error)?;
        Ok(Self {
            certificate: certificate.pem(),
            common_name: common_name.to_owned(),
            expires_at: expires_at(certificate.der())?,
            issuer: Issuer::new(params, key),
        })
    }

    /// Takes an authority from PEM: the first certificate, and its private key (PKCS #8, SEC 1 or
    /// PKCS #1).
    ///
    /// # Errors
    /// [`PkiError::Pem`], [`PkiError::X509`]; [`PkiError::NotAnAuthority`] for a leaf's
    /// certificate; [`PkiError::KeyMismatch`] for another one's key.
    pub fn from_pem(certificate: &str, key: &SecretString) -> Result<Self, PkiError> {
        let der = der_of(certificate)?;
        let x509 = parsed(&der)?;
        let subject = common_name(&x509);
        if !x509.is_ca() {
            return Err(PkiError::NotAnAuthority { subject });
        }
        // The library's message may speak of what is in the key; it is not passed on.
        let key = KeyPair::from_pem(key.expose()).map_err(|_| PkiError::Pem {
            what: "a private key",
        })?;
        if key.der_bytes() != x509.public_key().subject_public_key.data.as_ref() {
            return Err(PkiError::KeyMismatch { subject });
        }
        let issuer =
            Issuer::from_ca_cert_der(&der.as_slice().into(), key).map_err(|_| PkiError::X509 {
                what: "an authority's certificate",
            })?;
        Ok(Self {
            issuer,
            certificate: certificate.to_owned(),
            common_name: subject,
            expires_at: expires_at(&der)?,
        })
    }

    /// The authority's certificate in PEM.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The authority's private key in PEM (PKCS #8).
    #[must_use]
    pub fn key(&self) -> SecretString {
        SecretString::new(self.issuer.key().serialize_pem())
    }

    /// The last moment at which the authority is valid; nothing that it issues outlives it.
    #[must_use]
    pub fn expires_at(&self) -> SystemTime {
        self.expires_at
    }

    /// Issues a certificate with a new P-256 key.
    ///
    /// # Errors
    /// [`PkiError::Name`], [`PkiError::Organizations`], [`PkiError::Time`],
    /// [`PkiError::AuthorityExpired`], [`PkiError::Crypto`], [`PkiError::Random`].
    pub fn issue(&self, profile: &Profile, validity: Validity) -> Result<Issued, PkiError> {
        let key = new_key()?;
        let params = self.params(profile, validity)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(issue_error)?;
        Ok(Issued {
            certificate: certificate.pem(),
            key: SecretString::new(key.serialize_pem()),
        })
    }

    /// Issues a server certificate with these names.
    ///
    /// # Errors
    /// As [`issue`](Self::issue).
    pub fn issue_server(&self, names: &Names, validity: Validity) -> Result<Issued, PkiError> {
        let profile = Profile::Server {
            common_name: server_name(names),
            names: names.clone(),
            peer: false,
        };
        self.issue(&profile, validity)
    }

    /// Issues a client certificate of the machine API with these roles, less those that another
    /// of them includes.
    ///
    /// # Errors
    /// As [`issue`](Self::issue).
    pub fn issue_client(
        &self,
        common_name: &str,
        roles: Roles,
        validity: Validity,
    ) -> Result<Issued, PkiError> {
        let profile = Profile::Client {
            common_name: common_name.to_owned(),
            organizations: roles.iter().map(Role::organization).collect(),
        };
        self.issue(&profile, validity)
    }

    /// Issues the certificate by which a control-plane node hands calls on to other nodes. It
    /// carries no role of its own.
    ///
    /// # Errors
    /// As [`issue`](Self::issue).
    pub fn issue_forwarder(&self, node: &str, validity: Validity) -> Result<Issued, PkiError> {
        let profile = Profile::Client {
            common_name: node.to_owned(),
            organizations: vec![FORWARDER_ORGANIZATION.to_owned()],
        };
        self.issue(&profile, validity)
    }

    /// Signs a request. Of the request only the public key survives: names, subject, usages and
    /// extensions come from the profile (look at [`Request::names`] to decide on them).
    ///
    /// # Errors
    /// [`PkiError::Request`] for a request that is not its key's own; else as
    /// [`issue`](Self::issue).
    pub fn sign_request(
        &self,
        request: &Request,
        profile: &Profile,
        validity: Validity,
    ) -> Result<String, PkiError> {
        let mut signed = request.0.clone();
        signed.params = self.params(profile, validity)?;
        let certificate = signed.signed_by(&self.issuer).map_err(issue_error)?;
        Ok(certificate.pem())
    }

    fn params(&self, profile: &Profile, validity: Validity) -> Result<CertificateParams, PkiError> {
        if validity.now >= self.expires_at {
            return Err(PkiError::AuthorityExpired {
                subject: self.common_name.clone(),
            });
        }
        profile.params(validity, Some(self.expires_at))
    }
}

fn server_name(names: &Names) -> String {
    let address = || names.addresses.first().map(ToString::to_string);
    names
        .dns
        .first()
        .cloned()
        .or_else(address)
        .unwrap_or_default()
}
