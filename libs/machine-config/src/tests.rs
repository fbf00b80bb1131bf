//! The parser from outside: texts in, configs or problems out. `yaml` holds the syntax and its
//! bounds, `fields` one document at a time, `together` what documents say to each other, `change`
//! differences and reboots.

use super::*;

mod change;
mod fields;
mod together;
mod yaml;

/// A worker's Machine document, the shortest that is valid: 9 lines.
const WORKER: &str = "\
apiVersion: v1alpha1
kind: Machine
role: worker
ca:
  crt: |
    -----BEGIN CERTIFICATE-----
    AAAA
    -----END CERTIFICATE-----
token: abcdefghijklmnopqrst
";

/// A worker's Cluster document: 13 lines.
const CLUSTER: &str = "\
apiVersion: v1alpha1
kind: Cluster
name: test
endpoint: https://10.0.0.10:6443
secrets:
  id: test
  bootstrapToken: abcdef.0123456789abcdef
  kubernetesCA:
    crt: |
      -----BEGIN CERTIFICATE-----
      AAAA
      -----END CERTIFICATE-----
";

/// The beginning of a document of another kind: 2 lines.
fn document(kind: &str) -> String {
    format!("---\napiVersion: v1alpha1\nkind: {kind}\n")
}

/// The problems of a text, printed; none when it is a valid config.
fn problems(text: &str) -> Vec<String> {
    match parse(text.as_bytes()) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.problems.iter().map(ToString::to_string).collect(),
    }
}

/// Checks that `text` has exactly these problems, each given by how its line begins.
#[track_caller]
fn check(text: &str, expect: &[&str]) {
    let found = problems(text);
    let fits = found.len() == expect.len()
        && found
            .iter()
            .zip(expect)
            .all(|(found, expect)| found.starts_with(expect));
    assert!(fits, "found {found:#?}\nexpected {expect:#?}\nin\n{text}");
}
