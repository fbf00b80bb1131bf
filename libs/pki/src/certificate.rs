//! Reading certificates: DER from PEM, names, expiry, fingerprint.

use std::time::{Duration, SystemTime};

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer;

use crate::{Names, PkiError};

/// The first certificate of a PEM text, in DER.
///
/// # Errors
/// [`PkiError::Pem`] when it holds no certificate.
pub fn der_of(pem: &str) -> Result<Vec<u8>, PkiError> {
    let what = "a certificate";
    match parse_x509_pem(pem.as_bytes()) {
        Ok((_, block)) if block.label == "CERTIFICATE" => Ok(block.contents),
        _ => Err(PkiError::Pem { what }),
    }
}

/// SHA-256 of a certificate's DER as lower-case hex in pairs joined by colons: what the console of
/// a machine in maintenance mode shows, and what `openssl x509 -fingerprint -sha256` prints but for
/// the case of its letters.
#[must_use]
pub fn fingerprint(der: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    let pairs: Vec<String> = digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    pairs.join(":")
}

/// The last moment at which a certificate in DER is valid.
///
/// # Errors
/// [`PkiError::X509`] when it is no certificate, [`PkiError::Time`] when it ends before 1970.
pub fn expires_at(der: &[u8]) -> Result<SystemTime, PkiError> {
    let seconds = parsed(der)?.validity().not_after.timestamp();
    after_epoch(seconds)
}

/// When a certificate in DER should be renewed: two thirds into its life, so that a third is left
/// for what goes wrong.
///
/// # Errors
/// As [`expires_at`].
pub fn renew_after(der: &[u8]) -> Result<SystemTime, PkiError> {
    let certificate = parsed(der)?;
    let begin = after_epoch(certificate.validity().not_before.timestamp())?;
    let end = after_epoch(certificate.validity().not_after.timestamp())?;
    let life = end.duration_since(begin).unwrap_or_default();
    Ok(begin + life * 2 / 3)
}

fn after_epoch(seconds: i64) -> Result<SystemTime, PkiError> {
    let seconds = u64::try_from(seconds).map_err(|_| PkiError::Time)?;
    SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_secs(seconds))
        .ok_or(PkiError::Time)
}

/// DNS names and IP addresses of a certificate in DER; other kinds of names are left out.
///
/// # Errors
/// [`PkiError::X509`] when it is no certificate.
pub fn names_of(der: &[u8]) -> Result<Names, PkiError> {
    let certificate = parsed(der)?;
    let extension = certificate.subject_alternative_name();
    let extension = extension.map_err(|_| PkiError::X509 {
        what: "a certificate",
    })?;
    let mut names = Names::default();
    let all = extension
        .iter()
        .flat_map(|names| &names.value.general_names);
    for name in all {
        match name {
            GeneralName::DNSName(name) => names.add_dns(name),
            GeneralName::IPAddress(bytes) => {
                if let Ok(v4) = <[u8; 4]>::try_from(*bytes) {
                    names.add_address(v4.into());
                } else if let Ok(v6) = <[u8; 16]>::try_from(*bytes) {
                    names.add_address(v6.into());
                }
            }
            _ => {}
        }
    }
    Ok(names)
}

/// The certificate, of the whole of `der` and nothing behind it.
pub(crate) fn parsed(der: &[u8]) -> Result<X509Certificate<'_>, PkiError> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(PkiError::X509 {
            what: "a certificate",
        }),
    }
}

/// The first common name of the subject; empty when there is none.
pub(crate) fn common_name(certificate: &X509Certificate<'_>) -> String {
    let mut names = certificate.subject().iter_common_name();
    names
        .find_map(|name| name.as_str().ok())
        .unwrap_or_default()
        .to_owned()
}
