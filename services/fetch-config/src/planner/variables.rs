//! What stands in the URL for a fact of the machine: one URL then serves many machines.
//!
//! | variable | is replaced by |
//! | --- | --- |
//! | `${uuid}` | the SMBIOS UUID |
//! | `${serial}` | the SMBIOS serial number |
//! | `${mac}` | the hardware address of the first Ethernet link that is up |
//! | `${hostname}` | the host name, which DHCP may have given |

use std::fmt::Write as _;

/// What is known of the machine at the moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// SMBIOS UUID.
    pub uuid: Option<String>,
    /// SMBIOS serial number.
    pub serial: Option<String>,
    /// Hardware address of the first Ethernet link that is up.
    pub mac: Option<String>,
    /// Host name.
    pub hostname: Option<String>,
}

/// Why a variable cannot be replaced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VariableError {
    /// No such variable. It is not repeated: it may be a slip of something secret.
    #[error(
        "the URL has an unknown variable; there are ${{uuid}}, ${{serial}}, ${{mac}}, ${{hostname}}"
    )]
    Unknown,
    /// The machine has no such thing, or not yet.
    #[error("${{{0}}} is not known (yet)")]
    Missing(&'static str),
}

/// The URL with all variables replaced; what replaces them is percent-encoded.
///
/// # Errors
/// [`VariableError`].
pub fn expand(template: &str, facts: &Facts) -> Result<String, VariableError> {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, behind) = after.split_once('}').ok_or(VariableError::Unknown)?;
        let (name, value) = match name {
            "uuid" => ("uuid", &facts.uuid),
            "serial" => ("serial", &facts.serial),
            "mac" => ("mac", &facts.mac),
            "hostname" => ("hostname", &facts.hostname),
            _ => return Err(VariableError::Unknown),
        };
        out.push_str(before);
        encode(
            &mut out,
            value.as_ref().ok_or(VariableError::Missing(name))?,
        );
        rest = behind;
    }
    out.push_str(rest);
    Ok(out)
}

/// Percent-encoding of all but unreserved characters (RFC 3986, section 2.3) and the `:` of hardware
/// addresses, which paths and queries may have.
fn encode(out: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(template: &str, expect: Result<&str, VariableError>) {
        let facts = Facts {
            uuid: Some("4c4c4544-0039".into()),
            serial: Some("To be filled/by?".into()),
            mac: Some("02:77:00:00:00:0b".into()),
            hostname: None,
        };
        assert_eq!(
            expand(template, &facts),
            expect.map(str::to_owned),
            "{template}"
        );
    }

    #[test]
    fn variables_are_replaced_and_cannot_change_the_url() {
        check("http://h/x", Ok("http://h/x"));
        check("http://h/${uuid}.yaml", Ok("http://h/4c4c4544-0039.yaml"));
        check(
            "http://h/?m=${mac}&s=${serial}",
            Ok("http://h/?m=02:77:00:00:00:0b&s=To%20be%20filled%2Fby%3F"),
        );
        check(
            "http://h/${hostname}",
            Err(VariableError::Missing("hostname")),
        );
        check("http://h/${user}", Err(VariableError::Unknown));
        check("http://h/${uuid", Err(VariableError::Unknown));
        check("http://h/$uuid", Ok("http://h/$uuid"));
    }
}
