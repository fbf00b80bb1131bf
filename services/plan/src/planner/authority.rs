//! Whether the machine API can work with the config's authority. The config's own rules look at the outer
//! form of PEM only; a certificate that is none would leave a node that nobody can reach. And what is left of
//! it in a config that is not valid any more.

use machine_config::{CertificateAndKey, MachineConfig, SecretString, salvage};
use pki::PkiError;

/// What is wrong with `Machine.ca`, for a person; never a key.
pub(crate) fn check(config: &MachineConfig) -> Result<(), String> {
    let ca = &config.machine.ca;
    usable(ca.crt.as_str(), ca.key.as_ref()).map_err(|error| format!("Machine.ca: {error}"))
}

/// Whom the machine trusts by a config that is not valid; without the key where that does not fit.
pub(crate) fn salvaged(config: &[u8]) -> Option<CertificateAndKey> {
    let mut ca = salvage::authority(config)?;
    if usable(ca.crt.as_str(), ca.key.as_ref()).is_err() {
        ca.key = None;
    }
    usable(ca.crt.as_str(), None).is_ok().then_some(ca)
}

/// Without the key the certificate must at least be one, with an end of its validity.
fn usable(certificate: &str, key: Option<&SecretString>) -> Result<(), PkiError> {
    match key {
        Some(key) => pki::CertificateAuthority::from_pem(certificate, key).map(drop),
        None => pki::expires_at(&pki::der_of(certificate)?).map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pki::{CertificateAuthority, Validity};
    use std::time::{Duration, SystemTime};

    fn authority() -> CertificateAuthority {
        let validity = Validity::new(SystemTime::now(), Duration::from_secs(3600));
        CertificateAuthority::generate("test", validity).unwrap()
    }

    #[test]
    fn only_a_certificate_with_its_own_key_is_usable() {
        let (one, other) = (authority(), authority());
        assert!(usable(one.certificate(), Some(&one.key())).is_ok());
        assert!(usable(one.certificate(), None).is_ok());
        assert!(usable(one.certificate(), Some(&other.key())).is_err());
        let fake = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(usable(fake, None).is_err());
        assert!(usable(fake, Some(&one.key())).is_err());
    }

    #[test]
    fn a_certificate_is_salvaged_and_a_key_that_fits_it() {
        let (one, other) = (authority(), authority());
        let quoted = |text: &str| text.replace('\n', "\\n");
        let check = |crt: &str, key: &str, expect: Option<bool>| {
            let (crt, key) = (quoted(crt), quoted(key));
            let config = format!("kind: Machine\nca: {{crt: \"{crt}\", key: \"{key}\"}}\n");
            let found = salvaged(config.as_bytes());
            assert_eq!(found.map(|ca| ca.key.is_some()), expect, "{config}");
        };
        check(one.certificate(), one.key().expose(), Some(true));
        check(one.certificate(), other.key().expose(), Some(false));
        let fake = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        check(fake, one.key().expose(), None);
    }
}
