//! An authority and what it issues.
//!
//! What a certificate says is decided here alone: of a signing request only the public key is
//! taken, and its names where the profile says so.

use std::time::{Duration, SystemTime};

use machine_config::SecretString;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
    SanType, SerialNumber,
};

use crate::certificate::{common_name, der_of, expires_at, fingerprint, parsed};
use crate::identity::FORWARDER_ORGANIZATION;
use crate::{Names, PkiError, Role, Roles};

/// How far before `now` certificates become valid: a node whose clock is behind by up to an hour
/// takes them at once. More is the time service's business.
pub const BACKDATE: Duration = Duration::from_secs(3600);

/// Longest PEM text of a signing request, in bytes. With a hundred names it is about 8 KiB.
const REQUEST_MAX: usize = 64 * 1024;

/// Last moment that X.509 can express: the end of the year 9999, in seconds after 1970.
const TIME_MAX: u64 = 253_402_300_799;

/// From when to when a certificate is valid.
#[derive(Clone, Copy, Debug)]
pub struct Validity {
    now: SystemTime,
    lifetime: Duration,
}

impl Validity {
    /// Valid for `lifetime` from `now`, and from [`BACKDATE`] before it.
    #[must_use]
    pub fn new(now: SystemTime, lifetime: Duration) -> Self {
        Self { now, lifetime }
    }

    /// Sets the times of a certificate that must not outlive `issuer_end`.
    fn apply(
        self,
        params: &mut CertificateParams,
        issuer_end: Option<SystemTime>,
    ) -> Result<(), PkiError> {
        let begin = self.now.checked_sub(BACKDATE).ok_or(PkiError::Time)?;
        let end = self.now.checked_add(self.lifetime).ok_or(PkiError::Time)?;
        let end = issuer_end.map_or(end, |issuer_end| end.min(issuer_end));
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        params.not_before = epoch + since_epoch(begin)?;
        params.not_after = epoch + since_epoch(end)?;
        Ok(())
    }
}

/// Whole seconds, since X.509 has no parts of them.
fn since_epoch(time: SystemTime) -> Result<Duration, PkiError> {
    let seconds = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_err(|_| PkiError::Time)?
        .as_secs();
    if seconds > TIME_MAX {
        return Err(PkiError::Time);
    }
    Ok(Duration::from_secs(seconds))
}

/// A certificate and its private key, both in PEM.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// The private key (PKCS #8).
    pub key: SecretString,
}

/// What a certificate is for, and thus what it says.
#[derive(Clone, Debug)]
pub enum Profile {
    /// A server with these names; it may also act as a client of its peers when `peer` is set, as
    /// members of the cluster store do.
    Server {
        /// Common name, for people.
        common_name: String,
        /// The names that clients check.
        names: Names,
        /// Whether it may be used by a client, too.
        peer: bool,
    },
    /// A client with these organizations.
    Client {
        /// Common name: who it is.
        common_name: String,
        /// Organizations: which groups it is in; at most two after those of roles that another of
        /// them includes are left out.
        organizations: Vec<String>,
    },
}

impl Profile {
    fn params(
        &self,
        validity: Validity,
        issuer_end: Option<SystemTime>,
    ) -> Result<CertificateParams, PkiError> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(serial_number()?);
        validity.apply(&mut params, issuer_end)?;
        match self {
            Self::Server {
                common_name,
                names,
                peer,
            } => {
                params.distinguished_name = subject(common_name, &[])?;
                params.subject_alt_names = names.to_sans()?;
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
                if *peer {
                    params
                        .extended_key_usages
                        .push(ExtendedKeyUsagePurpose::ClientAuth);
                }
            }
            Self::Client {
                common_name,
                organizations,
            } => {
                params.distinguished_name = subject(common_name, &reduced(organizations))?;
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            }
        }
        Ok(params)
    }
}

/// Most organizations of a subject: the X.509 library keeps one value per attribute type, and has
/// two ways to name the type of an organization. Roles need no more ([`Roles::reduced`]).
const ORGANIZATIONS_MAX: usize = 2;

/// id-at-organizationName (X.520).
const ORGANIZATION_OID: [u64; 4] = [2, 5, 4, 10];

fn subject(common_name: &str, organizations: &[String]) -> Result<DistinguishedName, PkiError> {
    if organizations.len() > ORGANIZATIONS_MAX {
        return Err(PkiError::Organizations {
            count: organizations.len(),
        });
    }
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    let types = [
        DnType::OrganizationName,
        DnType::CustomDnType(ORGANIZATION_OID.to_vec()),
    ];
    for (kind, organization) in types.into_iter().zip(organizations) {
        name.push(kind, organization.as_str());
    }
    Ok(name)
}

/// The organizations without those of roles that another of them includes.
fn reduced(organizations: &[String]) -> Vec<String> {
    let role = |organization: &String| {
        let mut roles = Role::ALL.into_iter();
        roles.find(|role| role.organization() == *organization)
    };
    let roles: Roles = organizations.iter().filter_map(role).collect();
    let kept = |organization: &&String| {
        role(organization).is_none_or(|role| roles.reduced().contains(role))
    };
    organizations.iter().filter(kept).cloned().collect()
}

/// 16 random bytes: RFC 5280 wants serial numbers unique and at most 20 bytes long. The first bit
/// is off, so that the number is positive, and the second on, so that its length never varies.
fn serial_number() -> Result<SerialNumber, PkiError> {
    let mut bytes = random::<16>()?;
    bytes[0] = (bytes[0] & 0x3f) | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], PkiError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| PkiError::Random)?;
    Ok(bytes)
}

pub(crate) fn new_key() -> Result<KeyPair, PkiError> {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(|source| PkiError::Crypto {
        what: "a P-256 key",
        source,
    })
}

fn issue_error(source: rcgen::Error) -> PkiError {
    PkiError::Crypto {
        what: "a certificate",
        source,
    }
}

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

/// A certificate signing request (PKCS #10) whose signature has been checked.
#[derive(Debug)]
pub struct Request(CertificateSigningRequestParams);

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
    /// As [`CertificateAuthority::issue`].
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
