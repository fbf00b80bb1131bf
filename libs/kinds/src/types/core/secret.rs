//! Secrets.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use serde_json::Value;

use super::config_map::{BYTES_MAX, decoded_len, validate_immutable};
use crate::{
    check::value::immutable,
    rules::{AGE, Column, NAME, Rules, Selectable},
    types::certificates::pem,
    value::Fields,
};

const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";

/// What is this type's own.
pub const RULES: Rules = Rules {
    defaults,
    validate,
    validate_update: |new, old, errors| {
        immutable(
            new.part("type"),
            old.part("type"),
            &Path::new("type"),
            errors,
        );
        validate_immutable(new, old, &["data"], errors);
    },
    warnings,
    columns: &[
        NAME,
        Column::new("Type", "string", "What is to be in it.", |secret, _| {
            secret.text("type").into()
        }),
        Column::new("Data", "string", "How many keys there are.", |secret, _| {
            secret.count("data").into()
        }),
        AGE,
    ],
    selectable: &[Selectable::new("type")],
    ..Rules::NONE
};

/// Texts that are written in clear become data, over what is there.
fn defaults(secret: &mut Value) {
    secret.set_empty("type", "Opaque");
    let Some(Value::Object(texts)) = secret.remove("stringData") else {
        return;
    };
    if texts.is_empty() {
        return;
    }
    if let Some(data) = secret.object_mut("data") {
        for (key, text) in texts {
            let text = text.as_str().unwrap_or_default();
            data.set(&key, STANDARD.encode(text));
        }
    }
}

fn validate(secret: &Value, errors: &mut ErrorList) {
    let path = Path::new("data");
    let mut bytes = 0_usize;
    for (key, value) in secret.entries("data") {
        errors.push_invalid(&path.key(key), key, names::config_map_key(key));
        bytes += decoded_len(value.as_str().unwrap_or_default());
    }
    if bytes > BYTES_MAX {
        errors.push(FieldError::too_long(&path, BYTES_MAX));
    }
    let data = secret.part("data");
    let mut need = |keys: &[&str]| {
        for key in keys {
            errors.push(FieldError::required(&path.key(key), ""));
        }
    };
    // An empty value is one, and so is null: a key with no bytes.
    let has = |key: &str| data.get(key).is_some();
    match secret.text("type") {
        "kubernetes.io/service-account-token" => {
            let annotations = secret.part("metadata").part("annotations");
            if annotations.text(ACCOUNT_NAME).is_empty() {
                let metadata = Path::new("metadata");
                let path = metadata.child("annotations");
                errors.push(FieldError::required(&path.key(ACCOUNT_NAME), ""));
            }
        }
        "kubernetes.io/dockercfg" => docker(data, ".dockercfg", errors),
        "kubernetes.io/dockerconfigjson" => docker(data, ".dockerconfigjson", errors),
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            need(&["username", "password"]);
        }
        "kubernetes.io/ssh-auth" if data.text("ssh-privatekey").is_empty() => {
            need(&["ssh-privatekey"]);
        }
        "kubernetes.io/tls" => {
            for key in ["tls.crt", "tls.key"] {
                if !has(key) {
                    need(&[key]);
                }
            }
        }
        _ => (),
    }
}

/// Docker's configuration, an object of JSON.
fn docker(data: &Value, key: &str, errors: &mut ErrorList) {
    let path = Path::new("data");
    let path = path.key(key);
    if data.get(key).is_none() {
        errors.push(FieldError::required(&path, ""));
        return;
    }
    let bytes = STANDARD.decode(data.text(key)).unwrap_or_default();
    if let Err(message) = is_object(&bytes) {
        let shown = "<secret contents redacted>";
        errors.push(FieldError::invalid(&path, shown, message));
    }
}

/// Whether bytes are an object of JSON, and if not, why, in the words of Go where they are alike.
fn is_object(bytes: &[u8]) -> Result<(), String> {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(Value::Object(_) | Value::Null) => Ok(()),
        Ok(value) => {
            let kind = match value {
                Value::Array(_) => "array",
                Value::String(_) => "string",
                Value::Bool(_) => "bool",
                _ => "number",
            };
            Err(format!(
                "json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
            ))
        }
        Err(error) if error.is_eof() => Err("unexpected end of JSON input".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// What is wrong with a certificate and its key, as far as it is seen without a reader of X.509: upstream also tells whether the
/// two belong together. The words are Go's.
fn warnings(secret: &Value, _: Option<&Value>) -> Vec<String> {
    if secret.text("type") != "kubernetes.io/tls" {
        return Vec::new();
    }
    let labels = |key: &str| -> Vec<String> {
        let bytes = STANDARD.decode(secret.part("data").text(key));
        let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
        let blocks = pem::blocks(&text).into_iter();
        blocks.map(|block| block.label).collect()
    };
    let certificates = labels("tls.crt");
    let skipped = |labels: &[String]| format!("[{}]", labels.join(" "));
    if !certificates.iter().any(|label| label == "CERTIFICATE") {
        let message = match &*certificates {
            [] => "tls: failed to find any PEM data in certificate input".to_owned(),
            [one] if one.ends_with("PRIVATE KEY") => "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched".to_owned(),
            all => format!("tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of the following types: {}", skipped(all)),
        };
        return vec![message];
    }
    let keys = labels("tls.key");
    let is_key = |label: &String| label == "PRIVATE KEY" || label.ends_with(" PRIVATE KEY");
    if keys.iter().any(is_key) {
        return Vec::new();
    }
    vec![match &*keys {
        [] => "tls: failed to find any PEM data in key input".to_owned(),
        [one] if one == "CERTIFICATE" => {
            "tls: found a certificate rather than a key in the PEM for the private key".to_owned()
        }
        all => format!(
            "tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after skipping PEM blocks of the following types: {}",
            skipped(all)
        ),
    }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, cells, created};
    use serde_json::json;

    #[test]
    fn texts_become_data() {
        let made = created(
            &RULES,
            &json!({"data": {"a": "eA==", "b": "eQ=="}, "stringData": {"b": "foo"}}),
        );
        assert_eq!(
            made,
            json!({"type": "Opaque", "data": {"a": "eA==", "b": "Zm9v"}})
        );
    }

    #[test]
    fn mistakes() {
        let check = |kind: &str, data: Value, expect: &[&str]| {
            testing::check_create(&RULES, &json!({"type": kind, "stringData": data}), expect);
        };
        check("Opaque", json!({"a": "b"}), &[]);
        check("example.com/any", json!({}), &[]);
        check(
            "kubernetes.io/tls",
            json!({"tls.crt": ""}),
            &["data[tls.key]: Required value"],
        );
        check(
            "kubernetes.io/basic-auth",
            json!({}),
            &[
                "data[username]: Required value",
                "data[password]: Required value",
            ],
        );
        check(
            "kubernetes.io/ssh-auth",
            json!({"ssh-privatekey": ""}),
            &["data[ssh-privatekey]: Required value"],
        );
        check(
            "kubernetes.io/dockerconfigjson",
            json!({}),
            &["data[.dockerconfigjson]: Required value"],
        );
        check(
            "kubernetes.io/dockerconfigjson",
            json!({".dockerconfigjson": "{}"}),
            &[],
        );
        check(
            "kubernetes.io/dockercfg",
            json!({".dockercfg": "{"}),
            &[
                r#"data[.dockercfg]: Invalid value: "<secret contents redacted>": unexpected end of JSON input"#,
            ],
        );
        check(
            "kubernetes.io/service-account-token",
            json!({}),
            &["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
        );
    }

    #[test]
    fn certificates_and_keys_are_in_their_places() {
        let block = |label: &str| format!("-----BEGIN {label}-----\nMAA=\n-----END {label}-----\n");
        let check = |certificate: &str, key: &str, expect: &[&str]| {
            let data =
                json!({"tls.crt": STANDARD.encode(certificate), "tls.key": STANDARD.encode(key)});
            let secret = json!({"type": "kubernetes.io/tls", "data": data});
            assert_eq!((RULES.warnings)(&secret, None), expect);
        };
        let (certificate, key) = (block("CERTIFICATE"), block("RSA PRIVATE KEY"));
        check(&certificate, &key, &[]);
        check(
            "",
            &key,
            &["tls: failed to find any PEM data in certificate input"],
        );
        check(
            &key,
            &key,
            &[
                "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched",
            ],
        );
        check(
            &certificate,
            "x",
            &["tls: failed to find any PEM data in key input"],
        );
        check(
            &certificate,
            &certificate,
            &["tls: found a certificate rather than a key in the PEM for the private key"],
        );
        check(
            &certificate,
            &block("EC PARAMETERS"),
            &[
                r#"tls: failed to find PEM block with type ending in "PRIVATE KEY" in key input after skipping PEM blocks of the following types: [EC PARAMETERS]"#,
            ],
        );
        assert!((RULES.warnings)(&json!({"type": "Opaque"}), None).is_empty());
    }

    #[test]
    fn what_is_immutable_stays() {
        testing::check_update(
            &RULES,
            &json!({"type": "a/b", "data": {"a": "eA=="}, "immutable": true}),
            &json!({"type": "c/d", "data": {"a": "eQ=="}, "immutable": true}),
            &[
                r#"type: Invalid value: "c/d": field is immutable"#,
                "data: Forbidden: field is immutable when `immutable` is set",
            ],
        );
    }

    #[test]
    fn rows() {
        let secret = json!({"metadata": {"name": "s"}, "type": "Opaque", "data": {"a": ""}});
        assert_eq!(
            cells(&RULES, &secret),
            json!(["s", "Opaque", 1, "<unknown>"])
        );
    }
}
