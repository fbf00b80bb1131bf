//! The user that a certificate names: its common name, and its organizations as groups.

use crate::planner::user::User;
use aws_lc_rs::digest::{SHA256, digest};
use std::fmt::Write as _;
use x509_parser::{certificate::X509Certificate, prelude::FromDer, x509::AttributeTypeAndValue};

/// The attribute of a subject that is the user's UID.
const UID: &str = "1.3.6.1.4.1.57683.2";

/// The certificate says who it is in a way that nobody understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// TLS has read it, we cannot.
    #[error("the client's certificate cannot be read")]
    Unreadable,
    /// A subject has at most one.
    #[error(
        "the subject of the client's certificate has more than one UID, or one that is no text"
    )]
    Uid,
}

/// The user that a verified certificate in DER names, with the group of all who show credentials. None: it names nobody.
///
/// # Errors
/// [`CertificateError`].
pub fn user(der: &[u8]) -> Result<Option<User>, CertificateError> {
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|_| CertificateError::Unreadable)?;
    let subject = certificate.subject();
    let text = |attribute: &AttributeTypeAndValue<'_>| attribute.as_str().ok().map(str::to_owned);
    // The last one counts, as upstream's language reads it.
    let Some(name) = subject
        .iter_common_name()
        .filter_map(text)
        .last()
        .filter(|name| !name.is_empty())
    else {
        return Ok(None);
    };
    let mut uids = subject
        .iter_attributes()
        .filter(|attribute| attribute.attr_type().to_id_string() == UID);
    let uid = match (uids.next(), uids.next()) {
        (None, _) => String::new(),
        (Some(one), None) => text(one)
            .filter(|uid| !uid.is_empty())
            .ok_or(CertificateError::Uid)?,
        _ => return Err(CertificateError::Uid),
    };
    let mut user = User {
        name,
        uid,
        groups: subject.iter_organization().filter_map(text).collect(),
        ..User::default()
    };
    let mut credential = String::from("X509SHA256=");
    for byte in digest(&SHA256, der).as_ref() {
        let _ = write!(credential, "{byte:02x}");
    }
    user.extra.insert(
        "authentication.kubernetes.io/credential-id".to_owned(),
        vec![credential],
    );
    Ok(Some(user.authenticated()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    fn certificate(subject: &[(DnType, &str)]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in subject {
            params.distinguished_name.push(kind.clone(), *value);
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("signed");
        certificate.der().to_vec()
    }

    fn uid() -> DnType {
        DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 57683, 2])
    }

    #[test]
    fn names_and_groups() {
        let der = certificate(&[
            (DnType::OrganizationName, "system:masters"),
            (DnType::CommonName, "admin"),
            (uid(), "u-1"),
        ]);
        let user = user(&der).expect("readable").expect("named");
        assert_eq!((user.name.as_str(), user.uid.as_str()), ("admin", "u-1"));
        assert_eq!(user.groups, ["system:masters", "system:authenticated"]);
        let credential = &user.extra["authentication.kubernetes.io/credential-id"][0];
        assert_eq!(credential.len(), "X509SHA256=".len() + 64);
    }

    #[test]
    fn what_names_nobody() {
        let der = certificate(&[(DnType::OrganizationName, "system:masters")]);
        assert_eq!(user(&der), Ok(None));
        let der = certificate(&[(DnType::CommonName, "")]);
        assert_eq!(user(&der), Ok(None));
        let der = certificate(&[(DnType::CommonName, "a"), (uid(), "")]);
        assert_eq!(user(&der), Err(CertificateError::Uid));
        assert_eq!(user(b"no"), Err(CertificateError::Unreadable));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read(der: Vec<u8>) {
            let _ = user(&der);
        }
    }
}
