//! Making a token: what a `TokenRequest` asks for, and what it gets.
//!
//! Source: the API reference of `TokenRequest`, and upstream's answers.

use super::{Binding, Claims, Reference};
use crate::planner::user::service_account_name;
use objects::{
    field::{ErrorList, FieldError, Path},
    go::quote,
    metadata::{self, Metadata},
    status::{Qualified, Status},
};
use serde_json::{Value, json};

/// The shortest time that can be asked for.
pub const EXPIRATION_MIN_SECONDS: i64 = 600;
/// The longest time that can be asked for, whatever is given then.
pub const EXPIRATION_MAX_SECONDS: i64 = 1 << 32;
/// What is given to whom asks for no time.
const EXPIRATION_DEFAULT_SECONDS: i64 = 3_600;
/// What kubelets ask for on behalf of programs that may not read their token again.
const WARN_ONLY_SECONDS: i64 = 3_607;
/// What those get, and a note when they are late.
const EXTENSION_SECONDS: i64 = 365 * 24 * 3_600;

const KIND: Qualified<'static> = Qualified {
    group: "authentication.k8s.io",
    name: "TokenRequest",
};

/// What this server gives.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Who makes the tokens: the first `--service-account-issuer`.
    pub issuer: String,
    /// Who the API is.
    pub audiences: Vec<String>,
    /// `--service-account-max-token-expiration`; 0: as much as is asked for.
    pub expiration_max_seconds: i64,
    /// `--service-account-extend-token-expiration`.
    pub extend: bool,
}

/// An object that a token is to be bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// `pods`, `secrets` or `nodes`.
    pub resource: &'static str,
    /// Of the service account's namespace, but for nodes.
    pub name: String,
}

/// Which object the token is to be bound to: it is looked up before [`plan`].
///
/// # Errors
/// The answer to the client.
pub fn bound(request: &Value) -> Result<Option<Bound>, Status> {
    let Some(reference) = request
        .pointer("/spec/boundObjectRef")
        .filter(|reference| !reference.is_null())
    else {
        return Ok(None);
    };
    let (version, kind) = (text(reference, "apiVersion"), text(reference, "kind"));
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let resource = match (group, kind) {
        ("", "Pod") => "pods",
        ("", "Secret") => "secrets",
        ("", "Node") => "nodes",
        _ => {
            return Err(Status::bad_request(format!(
                "cannot bind token to object of type {group}/{version}, Kind={kind}"
            )));
        }
    };
    Ok(Some(Bound {
        resource,
        name: text(reference, "name").to_owned(),
    }))
}

/// What was looked up.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// The service account.
    pub account: &'a Value,
    /// The object to bind to, if one is asked for.
    pub bound: Option<&'a Value>,
    /// The node that a pod runs on.
    pub node: Option<&'a Value>,
}

/// A token that is to be signed, and the answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// What it says.
    pub claims: Claims,
    /// The answer but for the token.
    answer: Value,
    /// What clients are told besides.
    pub warnings: Vec<String>,
}

impl Planned {
    /// The answer.
    #[must_use]
    pub fn answer(mut self, token: &str) -> Value {
        self.answer["status"]["token"] = token.into();
        self.answer
    }
}

/// Plans a token. `random`: its identifier; `now`: in seconds since 1970.
///
/// # Errors
/// The answer to the client.
pub fn plan(
    terms: &Terms,
    request: &Value,
    found: Found<'_>,
    random: &str,
    now: i64,
) -> Result<Planned, Status> {
    let account = Metadata::of(found.account);
    let mut answer = request.clone();
    identity(&mut answer, account, now)?;
    let mut audiences = texts(request.pointer("/spec/audiences"));
    if audiences.is_empty() {
        audiences.clone_from(&terms.audiences);
    }
    let asked = request
        .pointer("/spec/expirationSeconds")
        .and_then(Value::as_i64)
        .unwrap_or(EXPIRATION_DEFAULT_SECONDS);
    check_expiration(asked)?;
    let mut binding = Binding {
        namespace: account.namespace().to_owned(),
        serviceaccount: reference(found.account),
        ..Binding::default()
    };
    let pod = bind(&mut binding, request, found)?;
    let mut warnings = Vec::new();
    let mut seconds = asked;
    if terms.expiration_max_seconds > 0 && asked > terms.expiration_max_seconds {
        seconds = terms.expiration_max_seconds;
        warnings.push(format!(
            "requested expiration of {asked} seconds shortened to {seconds} seconds"
        ));
    }
    let for_api = audiences.iter().all(|one| terms.audiences.contains(one));
    let mut lasts = seconds;
    if terms.extend && pod && seconds == WARN_ONLY_SECONDS && for_api {
        binding.warnafter = Some(now.saturating_add(seconds));
        lasts = EXTENSION_SECONDS;
    }
    answer["spec"]["audiences"] = json!(audiences);
    answer["spec"]["expirationSeconds"] = seconds.into();
    // When to fetch another, whatever this one says of its own end.
    answer["status"] = json!({"expirationTimestamp": time(now.saturating_add(seconds))});
    let claims = Claims {
        iss: terms.issuer.clone(),
        sub: service_account_name(account.namespace(), account.name()),
        aud: audiences,
        exp: Some(now.saturating_add(lasts)),
        iat: Some(now),
        nbf: Some(now),
        jti: random.to_owned(),
        kubernetes: binding,
    };
    Ok(Planned {
        claims,
        answer,
        warnings,
    })
}

/// Name and namespace of a request are its service account's, if it says any.
fn identity(answer: &mut Value, account: Metadata<'_>, now: i64) -> Result<(), Status> {
    let said = Metadata::of(answer);
    for (field, said, found) in [
        ("name", said.name(), account.name()),
        ("namespace", said.namespace(), account.namespace()),
    ] {
        if !said.is_empty() && said != found {
            let mut errors = ErrorList::default();
            let path = Path::new("metadata");
            let why = format!("must match the service account {field} if specified");
            errors.push(FieldError::invalid(&path.child(field), said, why));
            return Err(Status::invalid(KIND, account.name(), &errors));
        }
    }
    let fields = metadata::edit(answer);
    fields.insert("name".to_owned(), account.name().into());
    fields.insert("namespace".to_owned(), account.namespace().into());
    fields.insert("creationTimestamp".to_owned(), time(now));
    Ok(())
}

fn check_expiration(seconds: i64) -> Result<(), Status> {
    let why = if seconds < EXPIRATION_MIN_SECONDS {
        "may not specify a duration less than 10 minutes"
    } else if seconds > EXPIRATION_MAX_SECONDS {
        "may not specify a duration larger than 2^32 seconds"
    } else {
        return Ok(());
    };
    let mut errors = ErrorList::default();
    let spec = Path::new("spec");
    let path = spec.child("expirationSeconds");
    errors.push(FieldError::invalid(&path, seconds, why));
    Err(Status::invalid(KIND, "", &errors))
}

/// Binds to what is asked for; whether that is a pod.
fn bind(binding: &mut Binding, request: &Value, found: Found<'_>) -> Result<bool, Status> {
    let Some(Bound { resource, name }) = bound(request)? else {
        return Ok(false);
    };
    let object = found
        .bound
        .ok_or_else(|| Status::not_found(Qualified::core(resource), &name))?;
    let asked = request.pointer("/spec/boundObjectRef");
    let (kind, uid) = asked.map_or(("", ""), |asked| (text(asked, "kind"), text(asked, "uid")));
    let account = &binding.serviceaccount.name;
    let spec = object.get("spec").unwrap_or(&Value::Null);
    if resource == "pods" && text(spec, "serviceAccountName") != account {
        return Err(Status::bad_request(format!(
            "cannot bind token for serviceaccount {} to pod running with different serviceaccount name.",
            quote(account)
        )));
    }
    let there = reference(object);
    if !uid.is_empty() && uid != there.uid {
        let why = format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
        );
        return Err(Status::conflict(Qualified::core(kind), &name, &why));
    }
    match resource {
        "pods" => {
            let node = text(spec, "nodeName");
            binding.pod = Some(there);
            binding.node = (!node.is_empty()).then(|| {
                found.node.map_or_else(
                    || Reference {
                        name: node.to_owned(),
                        uid: String::new(),
                    },
                    reference,
                )
            });
        }
        "secrets" => binding.secret = Some(there),
        _ => binding.node = Some(there),
    }
    Ok(resource == "pods")
}

fn reference(object: &Value) -> Reference {
    let metadata = Metadata::of(object);
    Reference {
        name: metadata.name().to_owned(),
        uid: metadata.uid().to_owned(),
    }
}

fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    let text = object.get(name).and_then(Value::as_str);
    text.unwrap_or_default()
}

fn texts(list: Option<&Value>) -> Vec<String> {
    let list = list.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|text| text.as_str().map(str::to_owned))
        .collect()
}

fn time(seconds: i64) -> Value {
    match jiff::Timestamp::from_second(seconds) {
        Ok(time) => objects::time::Time::new(time).to_string().into(),
        Err(_) => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn terms() -> Terms {
        Terms {
            issuer: "https://a".to_owned(),
            audiences: vec!["api".to_owned()],
            expiration_max_seconds: 0,
            extend: true,
        }
    }

    fn try_plan(terms: &Terms, spec: Value, bound: Option<Value>) -> Result<Planned, Status> {
        let account = json!({"metadata": {"name": "s", "namespace": "n", "uid": "u"}});
        let node = json!({"metadata": {"name": "m", "uid": "w"}});
        let found = Found {
            account: &account,
            bound: bound.as_ref(),
            node: Some(&node),
        };
        plan(terms, &json!({"spec": spec}), found, "j", NOW)
    }

    fn pod() -> Option<Value> {
        Some(json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "v"},
            "spec": {"serviceAccountName": "s", "nodeName": "m"},
        }))
    }

    #[test]
    fn a_token_for_an_hour() {
        let planned = try_plan(&terms(), json!({"audiences": null}), None).expect("good");
        let claims = &planned.claims;
        assert_eq!(claims.aud, ["api"]);
        assert_eq!(
            (claims.iat, claims.nbf, claims.exp),
            (Some(NOW), Some(NOW), Some(NOW + 3_600))
        );
        assert_eq!(claims.sub, "system:serviceaccount:n:s");
        assert_eq!(claims.kubernetes.serviceaccount.uid, "u");
        assert_eq!(
            (claims.jti.as_str(), claims.iss.as_str()),
            ("j", "https://a")
        );
        assert_eq!(
            planned.answer("t"),
            json!({
                "metadata": {"name": "s", "namespace": "n", "creationTimestamp": "2027-01-15T08:00:00Z"},
                "spec": {"audiences": ["api"], "expirationSeconds": 3600},
                "status": {"expirationTimestamp": "2027-01-15T09:00:00Z", "token": "t"},
            })
        );
    }

    #[test]
    fn times() {
        let check = |seconds: i64, max: i64, expect: &str| {
            let terms = Terms {
                expiration_max_seconds: max,
                ..terms()
            };
            let told = match try_plan(&terms, json!({"expirationSeconds": seconds}), None) {
                Ok(planned) => format!(
                    "{:?} {}",
                    planned.claims.exp.map(|exp| exp - NOW),
                    planned.warnings.join("")
                ),
                Err(status) => format!("{} {}", status.code, status.message),
            };
            assert_eq!(told.trim(), expect);
        };
        check(600, 0, "Some(600)");
        check(
            599,
            0,
            "422 TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes",
        );
        check(1 << 32, 0, "Some(4294967296)");
        check(
            (1 << 32) + 1,
            0,
            "422 TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: 4294967297: may not specify a duration larger than 2^32 seconds",
        );
        check(
            7_200,
            3_600,
            "Some(3600) requested expiration of 7200 seconds shortened to 3600 seconds",
        );
        // It is for pods.
        check(3_607, 0, "Some(3607)");
    }

    #[test]
    fn tokens_of_pods() {
        let reference = json!({"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": "v"});
        let spec = json!({"expirationSeconds": 3607, "boundObjectRef": reference});
        let planned = try_plan(&terms(), spec.clone(), pod()).expect("good");
        let binding = &planned.claims.kubernetes;
        let named = |reference: &Option<Reference>| {
            reference
                .as_ref()
                .map(|reference| format!("{}={}", reference.name, reference.uid))
        };
        assert_eq!(named(&binding.pod).as_deref(), Some("p=v"));
        assert_eq!(named(&binding.node).as_deref(), Some("m=w"));
        assert_eq!(binding.warnafter, Some(NOW + 3_607));
        assert_eq!(planned.claims.exp, Some(NOW + EXTENSION_SECONDS));
        assert_eq!(
            planned.answer("")["status"]["expirationTimestamp"],
            "2027-01-15T09:00:07Z"
        );
        let mut elsewhere = spec.clone();
        elsewhere["audiences"] = json!(["vault"]);
        let planned = try_plan(&terms(), elsewhere, pod()).expect("good");
        assert_eq!(
            (planned.claims.exp, planned.claims.kubernetes.warnafter),
            (Some(NOW + 3_607), None)
        );
        let terms = Terms {
            extend: false,
            ..terms()
        };
        let planned = try_plan(&terms, spec, pod()).expect("good");
        assert_eq!(planned.claims.exp, Some(NOW + 3_607));
    }

    #[test]
    fn what_cannot_be_bound() {
        let check = |kind: &str, version: &str, uid: &str, bound: Option<Value>, expect: &str| {
            let spec = json!({"boundObjectRef": {"kind": kind, "apiVersion": version, "name": "p", "uid": uid}});
            let status = try_plan(&terms(), spec, bound).expect_err("no");
            assert_eq!(format!("{} {}", status.code, status.message), expect);
        };
        check(
            "ConfigMap",
            "v1",
            "",
            None,
            "400 cannot bind token to object of type /v1, Kind=ConfigMap",
        );
        check("Pod", "v1", "", None, "404 pods \"p\" not found");
        check(
            "Pod",
            "v1",
            "x",
            pod(),
            "409 Operation cannot be fulfilled on Pod \"p\": the UID in the bound object reference (x) does not match the UID in record. The object might have been deleted and then recreated",
        );
        let other = json!({"metadata": {"name": "p"}, "spec": {"serviceAccountName": "t"}});
        check(
            "Pod",
            "v1",
            "",
            Some(other),
            "400 cannot bind token for serviceaccount \"s\" to pod running with different serviceaccount name.",
        );
        let account = json!({"metadata": {"name": "s", "namespace": "n", "uid": "u"}});
        let found = Found {
            account: &account,
            bound: None,
            node: None,
        };
        let request = json!({"metadata": {"name": "t"}, "spec": {}});
        let status = plan(&terms(), &request, found, "j", NOW).expect_err("no");
        assert_eq!(
            status.message,
            "TokenRequest.authentication.k8s.io \"s\" is invalid: metadata.name: Invalid value: \"t\": must match the service account name if specified"
        );
    }

    #[test]
    fn secrets_and_nodes() {
        let object = |name: &str| Some(json!({"metadata": {"name": name, "uid": "v"}}));
        let spec =
            |kind: &str| json!({"boundObjectRef": {"kind": kind, "apiVersion": "v1", "name": "x"}});
        let planned = try_plan(&terms(), spec("Secret"), object("x")).expect("good");
        assert!(planned.claims.kubernetes.secret.is_some());
        let planned = try_plan(&terms(), spec("Node"), object("x")).expect("good");
        assert!(
            planned.claims.kubernetes.node.is_some() && planned.claims.kubernetes.pod.is_none()
        );
    }
}
