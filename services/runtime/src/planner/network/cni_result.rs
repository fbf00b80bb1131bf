//! What plugins of CNI write to their standard output (CNI spec 1.1, section 5).

use super::cni_config::Version;
use serde_json::Value;
use std::net::IpAddr;

/// Longest output of one plugin.
pub const RESULT_MAX: usize = 1024 * 1024;
/// Addresses of one pod; a kubelet shows two.
const ADDRESSES_MAX: usize = 64;
/// Letters of a plugin's words that are repeated.
const WORDS_MAX: usize = 1024;

/// Why a result cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResultError {
    /// It is no JSON.
    #[error("its result is no JSON: {0}")]
    Json(String),
    /// A field is missing or wrong.
    #[error("its result: {field}: {reason}")]
    Field {
        /// Which.
        field: String,
        /// Why.
        reason: &'static str,
    },
}

fn wrong(field: impl Into<String>, reason: &'static str) -> ResultError {
    ResultError::Field {
        field: field.into(),
        reason,
    }
}

/// What ADD came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Added {
    /// As the next plugin gets it.
    pub result: Value,
    /// The pod's, IPv4 first, as containerd has them.
    pub addresses: Vec<IpAddr>,
}

/// Reads a result of ADD.
///
/// # Errors
/// [`ResultError`].
pub fn read(bytes: &[u8], version: Version) -> Result<Added, ResultError> {
    let mut result: Value =
        serde_json::from_slice(bytes).map_err(|error| ResultError::Json(error.to_string()))?;
    let Value::Object(fields) = &mut result else {
        return Err(wrong("the whole", "it is no object"));
    };
    match fields.get("cniVersion") {
        // As libcni does for plugins that forget it.
        None => {
            fields.insert("cniVersion".to_owned(), version.text().into());
        }
        Some(Value::String(text)) if Version::read(text).is_some() => {}
        Some(_) => return Err(wrong("cniVersion", "it is not spoken here")),
    }
    let interfaces = match fields.get("interfaces") {
        None | Some(Value::Null) => &Vec::new(),
        Some(Value::Array(all)) => all,
        Some(_) => return Err(wrong("interfaces", "it is no list")),
    };
    let ips = match fields.get("ips") {
        None | Some(Value::Null) => &Vec::new(),
        Some(Value::Array(all)) if all.len() > ADDRESSES_MAX => {
            return Err(wrong("ips", "there are more than 64"));
        }
        Some(Value::Array(all)) => all,
        Some(_) => return Err(wrong("ips", "it is no list")),
    };
    let mut addresses = Vec::new();
    for (at, ip) in ips.iter().enumerate() {
        let field = |name: &str| format!("ips[{at}].{name}");
        let address = ip
            .get("address")
            .and_then(Value::as_str)
            .and_then(prefix)
            .ok_or_else(|| wrong(field("address"), "it is no ADDRESS/LENGTH"))?;
        if is_of_pod(ip.get("interface"), interfaces)
            .ok_or_else(|| wrong(field("interface"), "it is no index of an interface"))?
        {
            addresses.push(address);
        }
    }
    addresses.sort_by_key(IpAddr::is_ipv6);
    Ok(Added { result, addresses })
}

/// An address belongs to the pod where nothing else is said, or where its interface is in a sandbox.
fn is_of_pod(index: Option<&Value>, interfaces: &[Value]) -> Option<bool> {
    let index = match index {
        None | Some(Value::Null) => return Some(true),
        Some(value) => usize::try_from(value.as_u64()?).ok()?,
    };
    let interface = interfaces.get(index)?;
    let sandbox = interface.get("sandbox").and_then(Value::as_str);
    Some(sandbox.is_some_and(|sandbox| !sandbox.is_empty()))
}

fn prefix(text: &str) -> Option<IpAddr> {
    let (address, length) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let length: u8 = length.parse().ok()?;
    (length <= if address.is_ipv4() { 32 } else { 128 }).then_some(address)
}

/// What a plugin that failed says, as libcni words it; None: it said nothing that can be read.
#[must_use]
pub fn error(bytes: &[u8]) -> Option<String> {
    let error: Value = serde_json::from_slice(bytes).ok()?;
    let field = |name: &str| error.get(name).and_then(Value::as_str).map(words);
    let message = field("msg").unwrap_or_default();
    let details = field("details").unwrap_or_default();
    match (message.is_empty(), details.is_empty()) {
        (true, true) => {
            let code = error.get("code")?.as_u64()?;
            Some(format!("error code {code}"))
        }
        (false, true) => Some(message),
        (true, false) => Some(details),
        (false, false) => Some(format!("{message}; {details}")),
    }
}

/// Which versions a plugin says that it speaks.
///
/// # Errors
/// [`ResultError`].
pub fn versions(bytes: &[u8]) -> Result<Vec<Version>, ResultError> {
    let said: Value =
        serde_json::from_slice(bytes).map_err(|error| ResultError::Json(error.to_string()))?;
    let all = said
        .get("supportedVersions")
        .and_then(Value::as_array)
        .ok_or_else(|| wrong("supportedVersions", "it is missing, or no list"))?;
    let known = all.iter().filter_map(Value::as_str);
    Ok(known.filter_map(Version::read).collect())
}

/// One line of printable letters, not too long: a plugin's words end in answers and logs.
#[must_use]
pub fn words(text: &str) -> String {
    let mut line: String = text
        .trim()
        .chars()
        .take(WORDS_MAX)
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    if text.trim().chars().nth(WORDS_MAX).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn addresses(text: &str) -> String {
        match read(text.as_bytes(), Version::V100) {
            Ok(added) => {
                let all = added.addresses.iter().map(ToString::to_string);
                all.collect::<Vec<_>>().join(" ")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn addresses_of_the_pod_are_found() {
        let check = |text: &str, expect: &str| assert_eq!(addresses(text), expect, "{text}");
        check(
            r#"{"cniVersion":"0.3.1","ips":[{"version":"6","address":"fd00::2/64"},{"version":"4","address":"10.0.0.2/24"}]}"#,
            "10.0.0.2 fd00::2",
        );
        check(
            r#"{"cniVersion":"1.0.0","interfaces":[{"name":"br0"},{"name":"eth0","sandbox":"/x"}],
               "ips":[{"address":"10.0.0.1/24","interface":0},{"address":"10.0.0.2/24","interface":1}]}"#,
            "10.0.0.2",
        );
        check("{}", "");
        check("[]", "its result: the whole: it is no object");
        check(
            r#"{"cniVersion":"7"}"#,
            "its result: cniVersion: it is not spoken here",
        );
        check(r#"{"ips":7}"#, "its result: ips: it is no list");
        check(
            r#"{"ips":[{"address":"10.0.0.2"}]}"#,
            "its result: ips[0].address: it is no ADDRESS/LENGTH",
        );
        check(
            r#"{"ips":[{"address":"10.0.0.2/33"}]}"#,
            "its result: ips[0].address: it is no ADDRESS/LENGTH",
        );
        check(
            r#"{"ips":[{"address":"10.0.0.2/24","interface":3}]}"#,
            "its result: ips[0].interface: it is no index of an interface",
        );
        check(
            r#"{"ips":[{"address":"10.0.0.2/24","interface":-1}]}"#,
            "its result: ips[0].interface: it is no index of an interface",
        );
        assert!(addresses("garbage").starts_with("its result is no JSON"));
        let many = vec![r#"{"address":"10.0.0.2/24"}"#; 65].join(",");
        check(
            &format!(r#"{{"ips":[{many}]}}"#),
            "its result: ips: there are more than 64",
        );
        let added = read(b"{}", Version::V040).expect("empty");
        assert_eq!(added.result["cniVersion"], "0.4.0");
    }

    #[test]
    fn errors_are_worded_as_libcni_does() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(error(text.as_bytes()).as_deref(), expect, "{text}");
        };
        check(
            r#"{"code":7,"msg":"no","details":"because"}"#,
            Some("no; because"),
        );
        check(r#"{"code":7,"msg":"no\n"}"#, Some("no"));
        check(r#"{"code":7}"#, Some("error code 7"));
        check("{}", None);
        check("", None);
        let long = format!(r#"{{"msg":"{}"}}"#, "x".repeat(5000));
        assert_eq!(
            error(long.as_bytes()).expect("said").chars().count(),
            WORDS_MAX + 1
        );
        let said = br#"{"cniVersion":"1.0.0","supportedVersions":["0.1.0","0.4.0","1.0.0","x"]}"#;
        assert_eq!(versions(said), Ok(vec![Version::V040, Version::V100]));
        assert!(versions(b"{}").is_err() && versions(b"x").is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_much(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (read(&bytes, Version::V100), error(&bytes), versions(&bytes));
        }
    }
}
