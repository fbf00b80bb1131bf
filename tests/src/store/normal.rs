//! Takes out of a command's output what may differ between two clusters that behave alike.

use super::Cluster;
use anyhow::{Context as _, Result};
use std::path::Path;

/// Numbers of clusters, members and leases have 64 bits: shorter ones are counted and stay. In hexadecimal, where leading
/// zeros are not always written.
const HEXADECIMAL: std::ops::RangeInclusive<usize> = 13..=16;
/// The same in decimal.
const DECIMAL: std::ops::RangeInclusive<usize> = 17..=20;
/// Numbers behind these names depend on the run, on the program's own log, or on how it stores.
const RESTLESS: [&str; 19] = [
    "\"raft_term\":",
    "\"raftTerm\":",
    "\"RaftTerm\" : ",
    "\"raftIndex\":",
    "\"RaftIndex\" : ",
    "\"raftAppliedIndex\":",
    "\"RaftAppliedIndex\" : ",
    "\"dbSize\":",
    "\"DBSize\" : ",
    "\"dbSizeInUse\":",
    "\"DBSizeInUse\" : ",
    "\"hash\":",
    "\"Hash\" : ",
    "took = ",
    "\"took\":",
    "remaining(",
    "\"ttl\":",
    "\"TTL\":",
    "\"TTL\" : ",
];

/// What was seen in one run.
#[derive(Debug)]
pub struct Normal {
    numbers: Vec<u64>,
    addresses: Vec<(String, String)>,
}

impl Normal {
    /// For commands to `cluster` with files in `directory`.
    #[must_use]
    pub fn new(cluster: &Cluster, directory: &Path) -> Self {
        let mut addresses = vec![(directory.display().to_string(), "<directory>".to_owned())];
        for member in &cluster.members {
            for (url, name) in [
                (member.client_url(), format!("<{}>", member.name)),
                (member.peer_url(), format!("<{} peer>", member.name)),
            ] {
                let address = url.rsplit_once("//").map_or(url, |(_, address)| address);
                addresses.push((address.to_owned(), name));
            }
        }
        Self {
            numbers: Vec::new(),
            addresses,
        }
    }

    /// The words with `{1}` replaced by the first number that was seen, and so on.
    ///
    /// # Errors
    /// There were not so many.
    pub fn with_numbers(&self, words: &[String]) -> Result<Vec<String>> {
        let replace = |word: &String| -> Result<String> {
            let Some((before, rest)) = word.split_once('{') else {
                return Ok(word.clone());
            };
            let Some((number, after)) = rest.split_once('}') else {
                return Ok(word.clone());
            };
            let Ok(at) = number.parse::<usize>() else {
                return Ok(word.clone());
            };
            let number = at
                .checked_sub(1)
                .and_then(|at| self.numbers.get(at))
                .with_context(|| format!("{word}: only {} numbers so far", self.numbers.len()))?;
            Ok(format!("{before}{number:x}{after}"))
        };
        words.iter().map(replace).collect()
    }

    /// The text without what may differ.
    pub fn text(&mut self, text: &str) -> String {
        let mut text = text.lines().map(said).collect::<Vec<_>>().join("\n");
        // Numbers are filled up with blanks to 16 digits, and one in sixteen has fewer.
        text = text
            .replace("Member  ", "Member ")
            .replace("cluster  ", "cluster ");
        for (address, name) in &self.addresses {
            text = text.replace(address, name);
        }
        for name in RESTLESS {
            text = masked(&text, name);
        }
        self.numbered(&text)
    }

    /// Every large number by its place in the order of appearance.
    fn numbered(&mut self, text: &str) -> String {
        let mut result = String::new();
        let mut rest = text;
        while let Some(start) = rest.find(|letter: char| letter.is_ascii_alphanumeric()) {
            let (before, word) = rest.split_at(start);
            let end = word
                .find(|letter: char| !letter.is_ascii_alphanumeric())
                .unwrap_or(word.len());
            let (word, after) = word.split_at(end);
            result.push_str(before);
            match large(word) {
                Some(number) => {
                    let known = self.numbers.iter().position(|seen| *seen == number);
                    let at = known.unwrap_or_else(|| {
                        self.numbers.push(number);
                        self.numbers.len() - 1
                    });
                    result.push_str(&format!("<{}>", at + 1));
                }
                None => result.push_str(word),
            }
            rest = after;
        }
        result + rest
    }
}

/// A number of a cluster, a member or a lease.
fn large(word: &str) -> Option<u64> {
    if DECIMAL.contains(&word.len()) {
        return word.parse().ok();
    }
    let lower = |letter: u8| matches!(letter, b'0'..=b'9' | b'a'..=b'f');
    (HEXADECIMAL.contains(&word.len()) && word.bytes().all(lower))
        .then(|| u64::from_str_radix(word, 16).ok())
        .flatten()
}

/// A line of etcdctl's own log says when and where in etcdctl; only the error counts.
fn said(line: &str) -> String {
    let log: Option<serde_json::Value> = line
        .starts_with("{\"level\":")
        .then(|| serde_json::from_str(line).ok())
        .flatten();
    match log {
        Some(log) => format!("log: {} {}", log["msg"], log["error"]),
        None => line.to_owned(),
    }
}

/// The number, the quoted number or the duration behind `name` as `#`.
fn masked(text: &str, name: &str) -> String {
    let mut parts = text.split(name);
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let value = part.trim_start_matches(|letter: char| {
            letter.is_ascii_digit() || matches!(letter, '.' | '"' | '-' | 'm' | 's' | '\u{b5}')
        });
        result.push_str(name);
        result.push('#');
        result.push_str(value);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal() -> Normal {
        Normal {
            numbers: Vec::new(),
            addresses: vec![("127.0.0.1:41".into(), "<m1>".into())],
        }
    }

    fn check(text: &str, expect: &str) {
        assert_eq!(normal().text(text), expect);
    }

    #[test]
    fn one_number_has_one_name_in_either_base() {
        check(
            "2e1259d415f2a040 at http://127.0.0.1:41, 3319814642761637952, 48276a8f75b6a87",
            "<1> at http://<m1>, <1>, <2>",
        );
    }

    #[test]
    fn counts_keys_and_revisions_stay() {
        check(
            "\"revision\":12,\"key\":\"YQ==\" abcdef",
            "\"revision\":12,\"key\":\"YQ==\" abcdef",
        );
    }

    #[test]
    fn terms_sizes_and_times_are_masked() {
        check(
            "{\"raft_term\":2},\"dbSize\":\"20480\",took = 2.4ms; remaining(98s)",
            "{\"raft_term\":#},\"dbSize\":#,took = #; remaining(#)",
        );
    }

    #[test]
    fn of_a_log_line_the_error_counts() {
        check(
            "{\"level\":\"warn\",\"ts\":\"x\",\"msg\":\"m\",\"error\":\"e\"}",
            "log: \"m\" \"e\"",
        );
    }

    #[test]
    fn numbers_can_be_said_again() {
        let mut normal = normal();
        normal.text("lease 2040a22a60751b15 granted");
        let words = ["lease".to_owned(), "{1}".to_owned(), "{\"a\":1}".to_owned()];
        assert_eq!(
            normal.with_numbers(&words).unwrap(),
            ["lease", "2040a22a60751b15", "{\"a\":1}"]
        );
        assert!(normal.with_numbers(&["{2}".to_owned()]).is_err());
    }
}
