//! Files of one volume that lie in each other's place.

use objects::go::quote;
use serde_json::Value;

use crate::value::Fields;

/// A file, and the source that it comes from in a volume with several; empty in others.
#[derive(Debug, Clone, PartialEq, Eq)]
struct File {
    path: String,
    source: String,
}

impl File {
    fn new(path: &str, source: &str) -> Self {
        Self {
            path: path.trim_end_matches('/').to_owned(),
            source: source.to_owned(),
        }
    }

    fn shown(&self) -> String {
        match self.source.as_str() {
            "" => quote(&self.path),
            source => format!("{} ({source})", quote(&self.path)),
        }
    }

    /// Whether one of the two is the other, or lies in it.
    fn meets(&self, other: &Self) -> bool {
        let (one, two) = (format!("{}/", self.path), format!("{}/", other.path));
        !self.path.is_empty()
            && !other.path.is_empty()
            && (one.starts_with(&two) || two.starts_with(&one))
    }
}

pub(super) fn overlaps(spec: &Value, warnings: &mut Vec<String>) {
    for volume in spec.items("volumes") {
        let name = quote(volume.text("name"));
        let map = volume.part("configMap");
        let secret = volume.part("secret");
        for (source, what) in [
            (map, format!("ConfigMap {}", quote(map.text("name")))),
            (
                secret,
                format!("Secret {}", quote(secret.text("secretName"))),
            ),
            (volume.part("downwardAPI"), "DownwardAPI".to_owned()),
        ] {
            each(
                &items(source, ""),
                &format!("volume {name} ({what})"),
                warnings,
            );
        }
        projected(volume.part("projected"), &name, warnings);
    }
}

fn projected(volume: &Value, name: &str, warnings: &mut Vec<String>) {
    let mut files = Vec::new();
    for source in volume.items("sources") {
        let empty = source
            .as_object()
            .is_none_or(|fields| fields.values().all(Value::is_null));
        if empty {
            warnings.push(format!("volume {name} (Projected) has no sources provided"));
        }
        files.extend(of_source(source));
    }
    each(&files, &format!("volume {name} (Projected)"), warnings);
}

fn of_source(source: &Value) -> Vec<File> {
    for (field, what) in [("configMap", "ConfigMap"), ("secret", "Secret")] {
        let keys = source.part(field);
        if keys.has("items") {
            return items(keys, &format!("{what} {}", quote(keys.text("name"))));
        }
    }
    if source.part("downwardAPI").has("items") {
        return items(source.part("downwardAPI"), "DownwardAPI");
    }
    if let Some(token) = source.field("serviceAccountToken") {
        return vec![File::new(token.text("path"), "ServiceAccountToken")];
    }
    Vec::new()
}

fn items(source: &Value, what: &str) -> Vec<File> {
    let items = source.items("items").iter();
    items
        .map(|item| File::new(item.text("path"), what))
        .collect()
}

/// Each file with those before it.
fn each(files: &[File], place: &str, warnings: &mut Vec<String>) {
    for (index, file) in files.iter().enumerate() {
        for other in files.iter().take(index).filter(|other| file.meets(other)) {
            let (file, other) = (file.shown(), other.shown());
            warnings.push(format!("{place}: overlapping paths: {file} with {other}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn files_in_each_others_place() {
        let check = |volume: Value, expect: &[&str]| {
            let mut warnings = Vec::new();
            overlaps(&json!({"volumes": [volume]}), &mut warnings);
            assert_eq!(warnings, expect);
        };
        let items = |paths: &[&str]| -> Value {
            paths
                .iter()
                .map(|path| json!({"key": "k", "path": path}))
                .collect()
        };
        check(
            json!({"name": "v", "configMap": {"name": "m", "items": items(&["a", "b/", "ab", "b/c"])}}),
            &[r#"volume "v" (ConfigMap "m"): overlapping paths: "b/c" with "b""#],
        );
        check(
            json!({"name": "v", "secret": {"secretName": "s", "items": items(&["a", "a"])}}),
            &[r#"volume "v" (Secret "s"): overlapping paths: "a" with "a""#],
        );
        check(
            json!({"name": "v", "projected": {"sources": [
                {}, {"secret": {"name": "s", "items": items(&["token"])}}, {"serviceAccountToken": {"path": "token"}},
            ]}}),
            &[
                r#"volume "v" (Projected) has no sources provided"#,
                r#"volume "v" (Projected): overlapping paths: "token" (ServiceAccountToken) with "token" (Secret "s")"#,
            ],
        );
    }
}
