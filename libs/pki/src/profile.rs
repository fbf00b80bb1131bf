//! What a certificate says: names, organizations, usages, validity, serial number.

use std::time::{Duration, SystemTime};

use machine_config::SecretString;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SerialNumber,
};

use crate::{Names, PkiError, Role, Roles};

/// How far before `now` certificates become valid: a node whose clock is behind by up to an hour
/// takes them at once. More is the time service's business.
pub const BACKDATE: Duration = Duration::from_secs(3600);

/// Last moment that X.509 can express: the end of the year 9999, in seconds after 1970.
const TIME_MAX: u64 = 253_402_300_799;

/// From when to when a certificate is valid.
#[derive(Clone, Copy, Debug)]
pub struct Validity {
    pub(crate) now: SystemTime,
    lifetime: Duration,
}

impl Validity {
    /// Valid for `lifetime` from `now`, and from [`BACKDATE`] before it.
    #[must_use]
    pub fn new(now: SystemTime, lifetime: Duration) -> Self {
        Self { now, lifetime }
    }

    /// Sets the times of a certificate that must not outlive `issuer_end`.
    pub(crate) fn apply(
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
    pub(crate) fn params(
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

pub(crate) fn subject(
    common_name: &str,
    organizations: &[String],
) -> Result<DistinguishedName, PkiError> {
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
pub(crate) fn serial_number() -> Result<SerialNumber, PkiError> {
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

pub(crate) fn issue_error(source: rcgen::Error) -> PkiError {
    PkiError::Crypto {
        what: "a certificate",
        source,
    }
}
