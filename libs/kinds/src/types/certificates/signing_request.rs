//! Requests for certificates.
//!
//! What is asked for is read as far as PEM and the frame of DER go: whether it is a request that is signed by its own key is
//! the server's to find out, which has a reader of X.509. Who asks is the server's to fill in, after `prepare_create`; the times
//! of conditions, too.

use objects::metadata::NameRule;
use std::collections::BTreeSet;

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use serde_json::Value;

use super::pem;
use crate::{
    cells, check,
    rules::{AGE, Column, NAME, Rules, Selectable},
    status,
    value::{Fields, same},
};

/// Shortest life of a certificate that may be asked for, in seconds.
const EXPIRATION_MIN: i64 = 600;
/// What signed before signers had names.
const LEGACY_SIGNER: &str = "kubernetes.io/legacy-unknown";
/// Who asks: never a client's to say.
const IDENTITY: [&str; 4] = ["username", "uid", "groups", "extra"];
/// Conditions that are made by approval alone.
const APPROVAL: [&str; 2] = ["Approved", "Denied"];
/// Conditions that are true or not there, and never go.
const LASTING: [&str; 3] = ["Approved", "Denied", "Failed"];

/// What certificates may be for, in the order of upstream's message.
const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// What is this type's own.
pub const RULES: Rules = Rules {
    prepare_create,
    prepare_update: |new, old| new.copy_from(old, "spec"),
    prepare_status,
    validate_create: |request, errors| validate(request, None, errors),
    validate_update: |new, old, errors| update(new, old, Part::Object, errors),
    validate_status: |new, old, errors| update(new, old, Part::Status, errors),
    name: NameRule::PathSegment,
    columns: &[
        NAME,
        AGE,
        Column::new("SignerName", "string", "Who is to sign.", |o, _| {
            match o.part("spec").text("signerName") {
                "" => cells::NONE.into(),
                name => name.into(),
            }
        }),
        Column::new("Requestor", "string", "Who asks.", |o, _| {
            o.part("spec").text("username").into()
        }),
        Column::new(
            "RequestedDuration",
            "string",
            "How long the certificate is to live.",
            |o, _| match o.part("spec").whole("expirationSeconds") {
                Some(seconds) => cells::duration(seconds).into(),
                None => cells::NONE.into(),
            },
        ),
        Column::new("Condition", "string", "What became of it.", |o, _| {
            state(o).into()
        }),
    ],
    selectable: &[Selectable::new("spec.signerName")],
    ..Rules::NONE
};

/// Which part of an object an update is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Object,
    Status,
    Approval,
}

fn prepare_create(request: &mut Value) {
    status::ensure(request);
    if let Some(spec) = request.field_mut("spec") {
        for field in IDENTITY {
            spec.remove(field);
        }
    }
}

/// The spec is as it was, and so are conditions of approval, unless there are more or fewer of them: that is refused later.
fn prepare_status(new: &mut Value, old: &Value) {
    new.copy_from(old, "spec");
    for kind in APPROVAL {
        let old = conditions(old, kind);
        let Some(status) = new.field_mut("status") else {
            return;
        };
        let mut held: Vec<&mut Value> = status
            .items_mut("conditions")
            .iter_mut()
            .filter(|condition| condition.text("type") == kind)
            .collect();
        if held.len() == old.len() {
            for (new, old) in held.iter_mut().zip(old) {
                **new = old.clone();
            }
        }
    }
}

/// What an update of the approval changes: conditions alone.
pub fn prepare_approval(new: &mut Value, old: &Value) {
    new.copy_from(old, "spec");
}

/// Mistakes in an update of the approval: new, old.
pub fn validate_approval(new: &Value, old: &Value, errors: &mut ErrorList) {
    update(new, old, Part::Approval, errors);
}

fn conditions<'a>(request: &'a Value, kind: &str) -> Vec<&'a Value> {
    let conditions = request.part("status").items("conditions").iter();
    conditions
        .filter(|condition| condition.text("type") == kind)
        .collect()
}

fn validate(request: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let (spec, path) = (request.part("spec"), Path::new("spec"));
    let text = spec.text("request");
    if let Some(message) = request_mistake(text) {
        errors.push(FieldError::invalid(&path.child("request"), text, message));
    }
    usages(spec, old.map(|old| old.part("spec")), &path, errors);
    let (signer, signer_path) = (spec.text("signerName"), path.child("signerName"));
    let legacy = old.is_some_and(|old| old.part("spec").text("signerName") == LEGACY_SIGNER);
    if signer == LEGACY_SIGNER && !legacy {
        let message = "the legacy signerName is not allowed via this API version";
        errors.push(FieldError::invalid(&signer_path, signer, message));
    } else {
        signer_name(signer, &signer_path, errors);
    }
    if let Some(seconds) = spec
        .whole("expirationSeconds")
        .filter(|s| *s < EXPIRATION_MIN)
    {
        let path = path.child("expirationSeconds");
        let message = "may not specify a duration less than 600 seconds (10 minutes)";
        errors.push(FieldError::invalid(&path, seconds, message));
    }
    status_conditions(request, old, errors);
    let certificate = request.part("status").text("certificate");
    let held = old.map(|old| old.part("status").text("certificate"));
    let tolerated =
        held.is_some_and(|held| held == certificate || certificate_mistake(held).is_some());
    if !tolerated && let Some(message) = certificate_mistake(certificate) {
        let path = Path::new("status");
        let path = path.child("certificate");
        errors.push(FieldError::invalid(&path, "<certificate data>", message));
    }
}

fn request_mistake(text: &str) -> Option<&'static str> {
    let bytes = pem::decode(text).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let blocks = pem::blocks(&text);
    let first = blocks
        .first()
        .filter(|block| block.label == "CERTIFICATE REQUEST");
    match first {
        None => Some("PEM block type must be CERTIFICATE REQUEST"),
        Some(block) if pem::sequences(&block.data) != Some(1) => {
            Some("malformed certificate request")
        }
        Some(_) => None,
    }
}

fn certificate_mistake(text: &str) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    let bytes = pem::decode(text).unwrap_or_default();
    let blocks = pem::blocks(&String::from_utf8_lossy(&bytes));
    for block in &blocks {
        if block.label != "CERTIFICATE" {
            let label = &block.label;
            return Some(format!(
                "only CERTIFICATE PEM blocks are allowed, found \"{label}\""
            ));
        }
        if block.has_headers {
            return Some("no PEM block headers are permitted".to_owned());
        }
        match pem::sequences(&block.data) {
            None => return Some("x509: malformed certificate".to_owned()),
            Some(0) => {
                return Some("found CERTIFICATE PEM block containing 0 certificates".to_owned());
            }
            Some(_) => {}
        }
    }
    let none = blocks.is_empty();
    none.then(|| "must contain at least one CERTIFICATE PEM block".to_owned())
}

fn usages(spec: &Value, old: Option<&Value>, path: &Path<'_>, errors: &mut ErrorList) {
    let path = path.child("usages");
    if spec.items("usages").is_empty() {
        errors.push(FieldError::required(&path, ""));
    }
    let unknown = |spec: &Value| spec.texts("usages").any(|usage| !USAGES.contains(&usage));
    let repeated = |spec: &Value| {
        let mut seen = BTreeSet::new();
        spec.texts("usages").any(|usage| !seen.insert(usage))
    };
    let may_be_unknown = old.is_some_and(unknown);
    let may_repeat = old.is_some_and(repeated);
    let mut seen = BTreeSet::new();
    for (index, usage) in spec.texts("usages").enumerate() {
        let path = path.index(index);
        if !may_be_unknown && !USAGES.contains(&usage) {
            errors.push(FieldError::not_supported(&path, usage, &USAGES));
        }
        if !seen.insert(usage) && !may_repeat {
            errors.push(FieldError::duplicate(&path, usage));
        }
    }
}

/// The name of a signer: a domain of two labels at least, and a path.
fn signer_name(name: &str, path: &Path<'_>, errors: &mut ErrorList) {
    const DOMAIN_MAX: usize = names::SUBDOMAIN_MAX;
    const NAME_MAX: usize = 2 * names::SUBDOMAIN_MAX + names::LABEL_MAX + 2;
    if name.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let parts: Vec<&str> = name.split('/').collect();
    let [domain, rest] = parts.as_slice() else {
        let message =
            "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        errors.push(FieldError::invalid(path, name, message));
        return;
    };
    if domain.len() > DOMAIN_MAX {
        errors.push(FieldError::too_long(path, DOMAIN_MAX));
    }
    if !domain.contains('.') {
        let message = "should be a domain with at least two segments separated by dots";
        errors.push(FieldError::invalid(path, *domain, message));
    }
    let labels = |part: &&str, check: fn(&str) -> Vec<String>, errors: &mut ErrorList| {
        for label in part.split('.') {
            for message in check(label) {
                let message = format!("validating label \"{label}\": {message}");
                errors.push(FieldError::invalid(path, *part, message));
            }
        }
    };
    labels(domain, names::dns1123_label, errors);
    labels(rest, names::dns1123_subdomain, errors);
    if name.len() > NAME_MAX {
        errors.push(FieldError::too_long(path, NAME_MAX));
    }
}

fn status_conditions(request: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let path = Path::new("status");
    let path = path.child("conditions");
    let held = |old: &Value, kind: &str| !conditions(old, kind).is_empty();
    let may_be_both = old.is_some_and(|old| APPROVAL.iter().all(|kind| held(old, kind)));
    let may_be_empty = old.is_some_and(|old| held(old, ""));
    let may_repeat = old.is_some_and(|old| {
        let mut seen = BTreeSet::new();
        let all = old.part("status").items("conditions").iter();
        all.map(|condition| condition.text("type"))
            .any(|kind| !seen.insert(kind))
    });
    let mut seen = BTreeSet::new();
    for (index, condition) in request
        .part("status")
        .items("conditions")
        .iter()
        .enumerate()
    {
        let kind = condition.text("type");
        let item_path = path.index(index);
        if kind.is_empty() && !may_be_empty {
            errors.push(FieldError::required(&item_path.child("type"), ""));
        }
        let known: &[&str] = if LASTING.contains(&kind) {
            &["True"]
        } else {
            &["False", "True", "Unknown"]
        };
        check::required_one_of(condition, "status", known, &item_path, errors);
        let other = APPROVAL
            .iter()
            .find(|other| **other != kind && seen.contains(**other));
        if APPROVAL.contains(&kind) && other.is_some() && !may_be_both {
            let message = "Approved and Denied conditions are mutually exclusive";
            errors.push(FieldError::invalid(&path, kind, message));
        }
        if !seen.insert(kind) && !may_repeat {
            errors.push(FieldError::duplicate(&item_path.child("type"), kind));
        }
    }
}

fn update(new: &Value, old: &Value, part: Part, errors: &mut ErrorList) {
    validate(new, Some(old), errors);
    let status = Path::new("status");
    let path = status.child("conditions");
    for kind in LASTING {
        let (now, was) = (conditions(new, kind), conditions(old, kind));
        let message = if now.len() < was.len() {
            format!("updates may not remove a condition of type \"{kind}\"")
        } else if part == Part::Approval || !APPROVAL.contains(&kind) {
            continue;
        } else if now.len() > was.len() {
            format!("updates may not add a condition of type \"{kind}\"")
        } else if now.iter().zip(&was).any(|(now, was)| !same(now, was)) {
            format!("updates may not modify a condition of type \"{kind}\"")
        } else {
            continue;
        };
        errors.push(FieldError::forbidden(&path, message));
    }
    let (now, was) = (
        new.part("status").text("certificate"),
        old.part("status").text("certificate"),
    );
    if now == was {
        return;
    }
    let path = status.child("certificate");
    if part != Part::Status {
        let message = "updates may not set certificate content";
        errors.push(FieldError::forbidden(&path, message));
    } else if !was.is_empty() {
        let message = "updates may not modify existing certificate content";
        errors.push(FieldError::forbidden(&path, message));
    }
}

fn state(request: &Value) -> String {
    let has = |kind: &str| !conditions(request, kind).is_empty();
    let mut text = if has("Denied") {
        "Denied"
    } else if has("Approved") {
        "Approved"
    } else {
        "Pending"
    }
    .to_owned();
    if has("Failed") {
        text.push_str(",Failed");
    }
    if !request.part("status").text("certificate").is_empty() {
        text.push_str(",Issued");
    }
    text
}

#[cfg(test)]
mod tests;
