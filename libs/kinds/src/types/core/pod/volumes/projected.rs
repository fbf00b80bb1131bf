//! Many sources in one volume.

use std::collections::BTreeSet;

use objects::field::{ErrorList, FieldError, Path};
use serde_json::Value;

use super::{downward_api, key_to_path};
use crate::{
    check::value::{required, selector},
    types::core::{file_path, volume_source::Volume},
    value::Fields,
};

/// Shortest and longest that a service account's token may hold.
const EXPIRATION_MIN: i64 = 600;
const EXPIRATION_MAX: i64 = 1 << 32;

/// Files that are there already.
type Files = BTreeSet<String>;

pub(super) fn volume(volume: &Value, _: Volume<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    file_path::mode(
        volume.whole("defaultMode"),
        &path.child("defaultMode"),
        errors,
    );
    let sources = path.child("sources");
    let mut files = Files::new();
    for (index, source) in volume.items("sources").iter().enumerate() {
        let source_path = sources.index(index);
        let mut count = 0;
        for name in ["secret", "configMap"] {
            if let Some(keys) = source.field(name) {
                count += 1;
                let at = source_path.child(name);
                self::keys(keys, &mut files, path, &at, errors);
            }
        }
        if let Some(api) = source.field("downwardAPI") {
            count += 1;
            for item in api.items("items") {
                downward_api::file(item, &source_path.child("downwardAPI"), errors);
                let file = item.text("path");
                take(file, file, &mut files, path, errors);
            }
        }
        if let Some(token) = source.field("serviceAccountToken") {
            count += 1;
            self::token(
                token,
                path,
                &source_path.child("serviceAccountToken"),
                errors,
            );
        }
        if let Some(bundle) = source.field("clusterTrustBundle") {
            count += 1;
            trust_bundle(bundle, &source_path.child("clusterTrustBundle"), errors);
            let file = bundle.text("path");
            take(file, file, &mut files, path, errors);
        }
        if source.has("podCertificate") {
            count += 1;
        }
        if count > 1 {
            let message = "may not specify more than 1 volume type per source";
            errors.push(FieldError::forbidden(&source_path, message));
        }
    }
}

/// A file may come from one source alone.
fn take(file: &str, shown: &str, files: &mut Files, path: &Path<'_>, errors: &mut ErrorList) {
    if !file.is_empty() && !files.insert(file.to_owned()) {
        let message = "conflicting duplicate paths";
        errors.push(FieldError::invalid(path, shown, message));
    }
}

/// Keys of a Secret or a ConfigMap at `at`, in the volume at `path`.
fn keys(source: &Value, files: &mut Files, path: &Path<'_>, at: &Path<'_>, errors: &mut ErrorList) {
    required(source.text("name"), &at.child("name"), errors);
    let items = at.child("items");
    for (index, item) in source.items("items").iter().enumerate() {
        key_to_path(item, &items.index(index), errors);
        take(item.text("path"), source.text("name"), files, path, errors);
    }
}

fn token(token: &Value, path: &Path<'_>, at: &Path<'_>, errors: &mut ErrorList) {
    let seconds = token.whole("expirationSeconds").unwrap_or_default();
    let expiration = at.child("expirationSeconds");
    if seconds < EXPIRATION_MIN {
        let message = "may not specify a duration less than 10 minutes";
        errors.push(FieldError::invalid(&expiration, seconds, message));
    }
    if seconds > EXPIRATION_MAX {
        let message = "may not specify a duration larger than 2^32 seconds";
        errors.push(FieldError::invalid(&expiration, seconds, message));
    }
    let file = token.text("path");
    required(file, &path.child("path"), errors);
    file_path::not_reserved(file, &path.child("path"), errors);
}

fn trust_bundle(bundle: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    match (bundle.has("name"), bundle.has("signerName")) {
        (true, true) => {
            let message = "only one of name and signerName may be used";
            errors.push(FieldError::invalid(path, bundle.clone(), message));
        }
        (true, false) => {
            let name = bundle.text("name");
            if name.is_empty() {
                let message = "must be a valid object name";
                errors.push(FieldError::required(&path.child("name"), message));
            }
            if let Some(selector) = bundle.field("labelSelector") {
                let message = "labelSelector must be unset if name is specified";
                let path = path.child("labelSelector");
                errors.push(FieldError::invalid(&path, selector.clone(), message));
            }
        }
        (false, true) => {
            if bundle.text("signerName").is_empty() {
                let message = "must be a valid signer name";
                errors.push(FieldError::required(&path.child("signerName"), message));
            }
            selector(bundle, "labelSelector", path, errors);
        }
        (false, false) => {
            let message = "either name or signerName must be specified";
            errors.push(FieldError::required(path, message));
        }
    }
    required(bundle.text("path"), &path.child("path"), errors);
    file_path::not_reserved(bundle.text("path"), &path.child("path"), errors);
}
