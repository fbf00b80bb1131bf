//! What goes with one operating system alone.

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use serde_json::Value;

use super::container;
use crate::{check::value::one_of, value::Fields};

/// Most bytes of a credential specification.
const CREDENTIALS_MAX: usize = 64 * 1024;
/// Most bytes of a user's domain and of a user's name.
const DOMAIN_MAX: usize = 256;
const USER_MAX: usize = 104;

/// Fields of a pod's security context that Windows has no meaning for.
const POD_SECURITY: &[&str] = &[
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "fsGroup",
    "fsGroupChangePolicy",
    "sysctls",
    "runAsUser",
    "runAsGroup",
    "supplementalGroups",
    "supplementalGroupsPolicy",
    "seLinuxChangePolicy",
];

/// The same of a container's.
const CONTAINER_SECURITY: &[&str] = &[
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
];

/// The operating system that a pod names, and what does not go with it.
pub(super) fn validate_os(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let Some(os) = spec.field("os") else {
        return;
    };
    let os_path = path.child("os");
    match os.text("name") {
        "" => errors.push(FieldError::required(
            &os_path.child("name"),
            "cannot be empty",
        )),
        "linux" => linux(spec, path, errors),
        "windows" => windows(spec, path, errors),
        other => one_of(other, &["linux", "windows"], &os_path, errors),
    }
}

fn linux(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let message = "windows options cannot be set for a linux pod";
    let mut check = |security: &Value, path: &Path<'_>| {
        if security.has("windowsOptions") {
            let path = path.child("securityContext");
            errors.push(FieldError::forbidden(
                &path.child("windowsOptions"),
                message,
            ));
        }
    };
    check(spec.part("securityContext"), path);
    container::visit(spec, path, |container, path| {
        check(container.part("securityContext"), path)
    });
}

fn windows(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let message = "cannot be set for a windows pod";
    let mut check = |object: &Value, fields: &[&str], path: &Path<'_>| {
        for field in fields {
            let set = object.has(field)
                && object
                    .part(field)
                    .as_array()
                    .is_none_or(|list| !list.is_empty());
            let set = set && (!matches!(*field, "hostPID" | "hostIPC") || object.flag(field));
            if set {
                errors.push(FieldError::forbidden(&path.child(field), message));
            }
        }
    };
    check(
        spec,
        &["hostUsers", "hostPID", "hostIPC", "shareProcessNamespace"],
        path,
    );
    check(
        spec.part("securityContext"),
        POD_SECURITY,
        &path.child("securityContext"),
    );
    container::visit(spec, path, |container, path| {
        let path = path.child("securityContext");
        check(container.part("securityContext"), CONTAINER_SECURITY, &path);
    });
}

/// `windowsOptions` of a security context.
pub(super) fn validate_options(security: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let Some(options) = security.field("windowsOptions") else {
        return;
    };
    let path = path.child("windowsOptions");
    if options.has("gmsaCredentialSpecName") {
        let name = options.text("gmsaCredentialSpecName");
        let path = path.child("gmsaCredentialSpecName");
        errors.push_invalid(&path, name, names::dns1123_subdomain(name));
    }
    if options.has("gmsaCredentialSpec") {
        let (text, path) = (
            options.text("gmsaCredentialSpec"),
            path.child("gmsaCredentialSpec"),
        );
        if text.is_empty() {
            let message = "gmsaCredentialSpec cannot be an empty string";
            errors.push(FieldError::invalid(&path, text, message));
        } else if text.len() > CREDENTIALS_MAX {
            let message = "gmsaCredentialSpec size must be under 64 KiB";
            errors.push(FieldError::invalid(&path, text, message));
        }
    }
    if options.has("runAsUserName") {
        let name = options.text("runAsUserName");
        for message in user_name(name) {
            let message = format!("runAsUserName{message}");
            errors.push(FieldError::invalid(
                &path.child("runAsUserName"),
                name,
                message,
            ));
        }
    }
}

/// `DOMAIN\user` or `user`.
fn user_name(name: &str) -> Vec<String> {
    let parts: Vec<&str> = name.split('\\').collect();
    if name.is_empty() {
        return vec![" cannot be an empty string".to_owned()];
    }
    if name.chars().any(|c| c.is_ascii_control()) {
        return vec![" cannot contain control characters".to_owned()];
    }
    let (domain, user) = match parts[..] {
        [user] => (None, user),
        [domain, user] => (Some(domain), user),
        _ => return vec![" cannot contain more than one backslash".to_owned()],
    };
    let mut wrong = Vec::new();
    if domain.is_some_and(|domain| domain.len() >= DOMAIN_MAX) {
        wrong.push(format!(
            "'s Domain length must be under {DOMAIN_MAX} characters"
        ));
    }
    if domain.is_some_and(|domain| !is_net_bios(domain) && !is_dns(domain)) {
        wrong.push("'s Domain doesn't match the NetBios nor the DNS format".to_owned());
    }
    if user.is_empty() {
        wrong.push("'s User cannot be empty".to_owned());
    } else if user.len() > USER_MAX {
        wrong.push(format!(
            "'s User length must not be longer than {USER_MAX} characters"
        ));
    }
    if !user.is_empty() && user.chars().all(|c| c == '.' || c == ' ') {
        wrong.push("'s User cannot contain only periods or spaces".to_owned());
    }
    if user.contains(|c: char| "\"/\\:;|=,+*?<>@[]".contains(c)) {
        let characters = r#""/\:;|=,+*?<>@[]"#;
        wrong.push(format!(
            "'s User cannot contain the following characters: {characters}"
        ));
    }
    wrong
}

fn is_net_bios(domain: &str) -> bool {
    let length = domain.chars().count();
    (1..=15).contains(&length)
        && !domain.starts_with('.')
        && !domain.contains(|c: char| "\\/:*?\"<>|".contains(c))
}

fn is_dns(domain: &str) -> bool {
    domain.split('.').all(|label| {
        let bytes = label.as_bytes();
        (1..=63).contains(&bytes.len())
            && bytes
                .iter()
                .all(|&c| c.is_ascii_alphanumeric() || c == b'-')
            && bytes.first() != Some(&b'-')
            && bytes.last() != Some(&b'-')
    })
}

/// Containers that are processes of the host: all of a pod's, or none.
pub(super) fn validate_host_process(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let of = |object: &Value| {
        let options = object.part("securityContext").part("windowsOptions");
        options.part("hostProcess").as_bool()
    };
    let of_pod = of(spec);
    let (mut all, mut host) = (0, 0);
    container::visit(spec, path, |container, path| {
        all += 1;
        let own = of(container);
        if let (Some(of_pod), Some(own)) = (of_pod, own)
            && of_pod != own
        {
            let message = format!(
                "pod hostProcess value must be identical if both are specified, was {of_pod}"
            );
            let security = path.child("securityContext");
            let options = security.child("windowsOptions");
            errors.push(FieldError::invalid(
                &options.child("hostProcess"),
                own,
                message,
            ));
        }
        host += i32::from(own.or(of_pod).unwrap_or_default());
    });
    if host == 0 {
        return;
    }
    if host != all {
        let message = "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        errors.push(FieldError::invalid(path, "", message));
    }
    if !spec.flag("hostNetwork") {
        let message = "hostNetwork must be true if pod contains any hostProcess containers";
        errors.push(FieldError::invalid(
            &path.child("hostNetwork"),
            false,
            message,
        ));
    }
}
