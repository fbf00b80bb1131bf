//! Broken configs by the thousand: the parser never panics, always says where, never shows a
//! secret, and takes nothing that its own types refuse or that does not come back from YAML.
//!
//! The seeds are the fuzzer's corpus and the examples of the documentation. The fuzz target in
//! `fuzz/` holds the same properties for arbitrary bytes; this test does so for seconds, in CI.

use std::path::PathBuf;

use orlop_machine_config::limits::{MAX_BYTES, MAX_PROBLEMS};
use orlop_machine_config::{diff, parse, salvage, to_redacted_yaml, to_yaml};
use proptest::prelude::*;

/// Stands for every secret in the seeds, so that a leak is seen.
const MARK: &str = "S3CR3TS3CR3TS3CR3TS3CR3T";

/// Texts of the documentation's examples that are secrets, to be replaced by [`MARK`].
const EXAMPLE_SECRETS: [&str; 3] = [
    "example-join-token-replace-me",
    "example-password",
    "example-token",
];

/// One change of a text. Positions are taken modulo what there is.
#[derive(Clone, Debug)]
enum Mutation {
    Insert(usize, char),
    Replace(usize, char),
    Delete(usize),
    DuplicateLine(usize),
    DeleteLine(usize),
    /// Replaces what follows the colon of a line.
    Value(usize, &'static str),
    /// Adds a key to the block of a line.
    Key(usize, &'static str),
    Truncate(usize),
}

/// Values that are right somewhere and wrong elsewhere.
const VALUES: &[&str] = &[
    "",
    "~",
    "null",
    "true",
    "no",
    "0",
    "-1",
    "1500",
    "4294967296",
    "1e3",
    "1.5",
    "0x10",
    "010",
    "''",
    "\"\"",
    "a",
    "A",
    "-",
    "'*'",
    "[]",
    "{}",
    "[a, 1]",
    "{a: b}",
    "[[]]",
    "{a: {b: c}}",
    "|\n  x",
    "10.0.0.1",
    "10.0.0.1/24",
    "10.0.0.0/8",
    "0.0.0.0/0",
    "fd00::1",
    "'fd00::/64'",
    "'::/0'",
    "192.0.2.12/24",
    "/dev/vdb",
    "https://a:1",
    "http://a",
    "a.b",
    "10GiB",
    "2m",
    "worker",
    "control-plane",
    "NoExecute",
    "v1alpha1",
    "Machine",
    "Link",
    "&x y",
    "*x",
    "!!str 1",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "<redacted>",
    "\"\\e[31m\"",
];

const KEYS: &[&str] = &[
    "hostname",
    "token",
    "key",
    "role",
    "kind",
    "disk",
    "wipe",
    "name",
    "mtu",
    "up",
    "<<",
    "'a b'",
    "\"\\e\"",
    "x",
    "? [a]",
    "selector",
    "secrets",
    "addresses",
];

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = || any::<usize>();
    let character = || {
        prop_oneof![
            prop::sample::select(
                "\n\t :-?[]{}&*!|>'\"#%@`,<~\0\u{85}\u{feff}é0a"
                    .chars()
                    .collect::<Vec<_>>()
            ),
            any::<char>(),
        ]
    };
    prop_oneof![
        (at(), character()).prop_map(|(at, c)| Mutation::Insert(at, c)),
        (at(), character()).prop_map(|(at, c)| Mutation::Replace(at, c)),
        at().prop_map(Mutation::Delete),
        at().prop_map(Mutation::DuplicateLine),
        at().prop_map(Mutation::DeleteLine),
        (at(), prop::sample::select(VALUES)).prop_map(|(at, value)| Mutation::Value(at, value)),
        (at(), prop::sample::select(KEYS)).prop_map(|(at, key)| Mutation::Key(at, key)),
        at().prop_map(Mutation::Truncate),
    ]
}

fn apply(text: &str, mutation: &Mutation) -> String {
    let chars = || text.chars().collect::<Vec<char>>();
    let at_char = |at: usize, change: &dyn Fn(&mut Vec<char>, usize)| {
        let mut chars = chars();
        if !chars.is_empty() {
            let index = at % chars.len();
            change(&mut chars, index);
        }
        chars.into_iter().collect()
    };
    let at_line = |at: usize, change: &dyn Fn(&str) -> String| {
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let index = at % lines.len().max(1);
        let changed = |(number, line): (usize, &&str)| {
            if number == index {
                change(line)
            } else {
                (*line).to_owned()
            }
        };
        lines.iter().enumerate().map(changed).collect()
    };
    match mutation {
        Mutation::Insert(at, c) => at_char(*at, &|chars, index| chars.insert(index, *c)),
        Mutation::Replace(at, c) => at_char(*at, &|chars, index| chars[index] = *c),
        Mutation::Delete(at) => at_char(*at, &|chars, index| {
            chars.remove(index);
        }),
        Mutation::Truncate(at) => at_char(*at, &|chars, index| chars.truncate(index)),
        Mutation::DuplicateLine(at) => at_line(*at, &|line| line.repeat(2)),
        Mutation::DeleteLine(at) => at_line(*at, &|_| String::new()),
        Mutation::Value(at, value) => at_line(*at, &|line| match line.split_once(':') {
            Some((key, _)) => format!("{key}: {value}\n"),
            None => line.to_owned(),
        }),
        Mutation::Key(at, key) => at_line(*at, &|line| {
            let indent = line.len() - line.trim_start_matches(' ').len();
            format!("{line}{}{key}: 1\n", " ".repeat(indent))
        }),
    }
}

/// The properties that hold for every text.
fn check(text: &str) {
    match parse(text.as_bytes()) {
        Ok(config) => {
            let written = to_yaml(&config);
            let again = parse(written.as_bytes())
                .unwrap_or_else(|problems| panic!("{problems}\nin\n{written}"));
            assert_eq!(again, config, "{written}");
            assert!(diff(&config, &again).is_empty());
            let shown = format!("{}{config:?}", to_redacted_yaml(&config));
            assert!(!shown.contains(MARK), "{shown}");
            let salvaged = salvage::authority(text.as_bytes());
            assert_eq!(salvaged.as_ref(), Some(&config.machine.ca), "{text}");
        }
        Err(problems) => {
            let _ = salvage::authority(text.as_bytes());
            assert!(!problems.problems.is_empty() && problems.problems.len() <= MAX_PROBLEMS);
            for problem in &problems.problems {
                assert!(problem.line >= 1 && problem.column >= 1, "{problem}");
                let line = problem.to_string();
                assert!(!line.contains(char::is_control), "{line:?}");
                assert!(!line.contains("please report it"), "{line}");
                assert!(!line.contains(&MARK[..12]), "{line}\nin\n{text}");
            }
        }
    }
}

/// Every YAML file of the corpus and the examples, in a fixed order, secrets marked.
fn seeds() -> Vec<String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut paths = Vec::new();
    for directory in ["fuzz/seeds/machine_config", "docs/examples"] {
        let entries = std::fs::read_dir(root.join(directory)).expect("the corpus is committed");
        paths.extend(entries.map(|entry| entry.expect("read the corpus").path()));
    }
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "yaml")
    });
    paths.sort();
    assert!(paths.len() >= 8, "the corpus is gone: {paths:?}");
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).expect("seeds are text");
        EXAMPLE_SECRETS
            .iter()
            .fold(text, |text, secret| text.replace(secret, MARK))
    };
    paths.iter().map(read).collect()
}

#[test]
fn seeds_hold_the_properties() {
    for seed in seeds() {
        check(&seed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5000, ..ProptestConfig::default() })]

    #[test]
    fn mutated_configs_hold_the_properties(
        seed in prop::sample::select(seeds()),
        mutations in prop::collection::vec(mutation(), 1..6),
    ) {
        check(&mutations.iter().fold(seed, |text, mutation| apply(&text, mutation)));
    }

    #[test]
    fn arbitrary_text_holds_the_properties(text in "\\PC{0,80}") {
        check(&text);
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
    }
}

/// A megabyte of what costs a careless parser much time or memory. There is no stopwatch here: a
/// quadratic parser would exceed the suite's budget by far.
#[test]
fn large_hostile_texts_are_answered() {
    let fill = |unit: &str| unit.repeat(MAX_BYTES / unit.len());
    let numbered = |line: &dyn Fn(usize) -> String| {
        let mut text = String::new();
        let lines = (0..).map(line).take_while(|line| {
            text.push_str(line);
            text.len() < MAX_BYTES
        });
        lines.collect::<String>()
    };
    let header = "apiVersion: v1alpha1\nkind: Machine\n";
    let texts = [
        fill("["),
        fill("{"),
        fill("- "),
        fill("? "),
        fill("a: "),
        fill("&a "),
        fill("*a "),
        fill("!a "),
        fill("\""),
        fill("#\n"),
        fill("---\n"),
        fill("\n"),
        fill("a"),
        fill("\t"),
        fill("[],"),
        fill("a\n\n"),
        format!("a: |\n{}", fill(" \n")),
        format!("a: >\n{}", fill(" a\n\n")),
        format!("\"{}", fill("\\n")),
        format!("{header}{}: 1\n", "k".repeat(1000)),
        format!("{header}? {}\n: 1\n", "k".repeat(MAX_BYTES - 100)),
        format!("{header}role: {}\n", "k".repeat(MAX_BYTES - 100)),
        format!("{header}hostname: {}\n", "a.".repeat(MAX_BYTES / 2 - 100)),
        header.to_owned() + &numbered(&|n| format!("k{n}: 1\n")),
        header.to_owned() + &numbered(&|_| "k: 1\n".to_owned()),
        header.to_owned() + "sysctls:\n" + &numbered(&|n| format!("  a.b{n}: 1\n")),
        header.to_owned() + &numbered(&|n| format!("k{n}: &a{n} 1\n")),
    ];
    for text in texts {
        let text = &text[..text.len().min(MAX_BYTES)];
        let begin = std::time::Instant::now();
        assert!(parse(text.as_bytes()).is_err());
        println!("{:?} {:?}", begin.elapsed(), &text[..text.len().min(50)]);
    }
}
