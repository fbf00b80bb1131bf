//! Formats of keys, certificates and tokens. A wrong secret is described by its outer form only:
//! no message of this file depends on the bytes of a secret.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Format, string_type};

/// Most bytes of one PEM text.
const PEM_MAX: usize = 64 * 1024;

/// Format name of a PEM private key.
pub const PRIVATE_KEY: &str = "private-key-pem";
/// Format name of PEM certificates.
pub const CERTIFICATE: &str = "certificate-pem";
/// Format name of a token that lets machines join.
pub const JOIN_TOKEN: &str = "join-token";
/// Format name of a Kubernetes bootstrap token.
pub const BOOTSTRAP_TOKEN: &str = "bootstrap-token";
/// Format name of a 32-byte key in base64.
pub const ENCRYPTION_KEY: &str = "encryption-key";

/// Labels of private keys: PKCS #8, SEC 1, PKCS #1 (RFC 5958, 5915, 8017).
const KEY_LABELS: &[&str] = &["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"];

/// Shortest join token, in characters: 16 random letters and digits are more than 80 bits.
const JOIN_TOKEN_MIN: usize = 16;
/// Longest join token, in characters.
const JOIN_TOKEN_MAX: usize = 128;

string_type!(
    /// One or more certificates in PEM; public.
    CertificatePem,
    "certificate-pem",
    "PEM text of one or more certificates (-----BEGIN CERTIFICATE-----)",
    |text| pem(text, &["CERTIFICATE"], usize::MAX)
);

pub(super) const PRIVATE_KEY_FORMAT: Format = Format {
    name: PRIVATE_KEY,
    about: "PEM text of one private key (-----BEGIN PRIVATE KEY-----)",
    check: |text| pem(text, KEY_LABELS, 1),
};

pub(super) const JOIN_TOKEN_FORMAT: Format = Format {
    name: JOIN_TOKEN,
    about: "letters, digits, '.', '_' and '-', 16 to 128 characters",
    check: |text| {
        if !(JOIN_TOKEN_MIN..=JOIN_TOKEN_MAX).contains(&text.len()) {
            return Err(format!(
                "needs {JOIN_TOKEN_MIN} to {JOIN_TOKEN_MAX} characters"
            ));
        }
        if text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        {
            Ok(())
        } else {
            Err("holds a character that is not allowed".to_owned())
        }
    },
};

pub(super) const BOOTSTRAP_TOKEN_FORMAT: Format = Format {
    name: BOOTSTRAP_TOKEN,
    about: "a Kubernetes bootstrap token: 6 and 16 lower-case letters or digits joined by '.'",
    check: |text| {
        let part = |text: &str, length: usize| {
            text.len() == length
                && text
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        match text.split_once('.') {
            Some((id, secret)) if part(id, 6) && part(secret, 16) => Ok(()),
            _ => Err("is not a bootstrap token".to_owned()),
        }
    },
};

pub(super) const ENCRYPTION_KEY_FORMAT: Format = Format {
    name: ENCRYPTION_KEY,
    about: "32 bytes in base64",
    check: |text| match STANDARD.decode(text).map(zeroize::Zeroizing::new) {
        Ok(bytes) if bytes.len() == 32 => Ok(()),
        Ok(_) => Err("is not 32 bytes long".to_owned()),
        Err(_) => Err("is not base64".to_owned()),
    },
};

/// Checks the outer form of PEM (RFC 7468): begin and end lines with one of the labels, base64
/// between. What is inside is X.509's business, which the pki crate knows.
fn pem(text: &str, labels: &[&str], blocks_max: usize) -> Result<(), String> {
    if text.len() > PEM_MAX {
        return Err(format!("is longer than {PEM_MAX} bytes"));
    }
    let mut lines = text.lines().map(str::trim_end);
    let mut blocks = 0;
    while let Some(line) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let label = line
            .strip_prefix("-----BEGIN ")
            .and_then(|rest| rest.strip_suffix("-----"))
            .ok_or_else(|| "is not PEM: a -----BEGIN line is missing".to_owned())?;
        if !labels.contains(&label) {
            return Err(format!(
                "is PEM of another kind; wanted is {}",
                labels.join(" or ")
            ));
        }
        let end = format!("-----END {label}-----");
        let mut body = zeroize::Zeroizing::new(String::new());
        loop {
            match lines.next() {
                Some(line) if line == end => break,
                Some(line) => body.push_str(line),
                None => return Err("is not PEM: the -----END line is missing".to_owned()),
            }
        }
        if body.is_empty()
            || STANDARD
                .decode(body.as_bytes())
                .map(zeroize::Zeroizing::new)
                .is_err()
        {
            return Err("is not PEM: what is between BEGIN and END is not base64".to_owned());
        }
        blocks += 1;
    }
    match blocks {
        0 => Err("is not PEM: a -----BEGIN line is missing".to_owned()),
        n if n > blocks_max => Err("holds more than one key".to_owned()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_of_the_right_kind_only() {
        let block = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
        let key = PRIVATE_KEY_FORMAT.check;
        assert!(key(&block("PRIVATE KEY")).is_ok());
        assert!(key(&block("EC PRIVATE KEY")).is_ok());
        assert!(key(&block("PRIVATE KEY").repeat(2)).is_err());
        for bad in [
            "",
            "AAAA",
            &block("CERTIFICATE"),
            &block("ENCRYPTED PRIVATE KEY"),
        ] {
            assert!(key(bad).is_err(), "{bad}");
        }
        let certificate = |text: &str| text.parse::<CertificatePem>();
        assert!(certificate(&block("CERTIFICATE").repeat(2)).is_ok());
        assert!(certificate("-----BEGIN CERTIFICATE-----\nAAAA\n").is_err());
        assert!(certificate("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----").is_err());
        assert!(certificate(&block("PRIVATE KEY")).is_err());
    }

    #[test]
    fn tokens_and_keys() {
        let ok = |format: &Format, text: &str| (format.check)(text).is_ok();
        assert!(ok(&BOOTSTRAP_TOKEN_FORMAT, "abcdef.0123456789abcdef"));
        assert!(!ok(&BOOTSTRAP_TOKEN_FORMAT, "abcdef.0123456789abcde"));
        assert!(!ok(&BOOTSTRAP_TOKEN_FORMAT, "ABCDEF.0123456789abcdef"));
        assert!(ok(&JOIN_TOKEN_FORMAT, "abcdefghijklmnop"));
        assert!(!ok(&JOIN_TOKEN_FORMAT, "short"));
        assert!(!ok(&JOIN_TOKEN_FORMAT, "abcdefghijklmn op"));
        assert!(ok(
            &ENCRYPTION_KEY_FORMAT,
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
        ));
        assert!(!ok(&ENCRYPTION_KEY_FORMAT, "AAAA"));
        assert!(!ok(&ENCRYPTION_KEY_FORMAT, "?"));
    }
}
