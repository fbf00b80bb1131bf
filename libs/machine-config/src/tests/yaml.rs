//! YAML itself: encoding, syntax, aliases, and every bound at and beyond its limit.

use super::*;
use crate::limits::{MAX_DEPTH, MAX_DOCUMENTS, MAX_LINKS, MAX_NODES, MAX_PROBLEMS};

#[track_caller]
fn check_bytes(bytes: &[u8], expect: &str) {
    let found = parse(bytes).unwrap_err();
    assert_eq!(found.problems.len(), 1, "{found}");
    assert!(found.to_string().starts_with(expect), "{found}");
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    check_bytes(b"a: b\n\xff", "line 2:1: a byte that is not UTF-8");
    check_bytes(b"a: \0\n", "line 1:4: a zero byte");
    check_bytes(b"\xff\xfea\0:\0", "line 1:1: a byte that is not UTF-8");
    check_bytes(b"", "line 1:1: no Machine document");
    check_bytes(b"---\n---\n# nothing\n", "line 1:1: no Machine document");
}

#[test]
fn size_has_a_limit() {
    let mut text = format!("{WORKER}# ");
    text.extend(std::iter::repeat_n('x', MAX_BYTES - text.len()));
    check(&text, &[]);
    text.push('x');
    check(
        &text,
        &["line 1:1: the config has 1048577 bytes; at most 1048576 are taken"],
    );
}

#[test]
fn depth_has_a_limit() {
    let nested = |depth: usize| format!("{WORKER}x: {}{}\n", "[".repeat(depth), "]".repeat(depth));
    check(
        &nested(MAX_DEPTH - 1),
        &["document 1, line 10:1: Machine.x: unknown key"],
    );
    check(
        &nested(MAX_DEPTH),
        &["document 1, line 10:67: nested more than 64 levels deep"],
    );
    check(
        &nested(100_000),
        &["document 1, line 10:68: nested more than 64 levels deep"],
    );
    let block: String = (0..200)
        .map(|depth| format!("{}a:\n", " ".repeat(depth)))
        .collect();
    let found = problems(&block);
    assert!(
        found[0].contains("nested more than 64 levels deep"),
        "{found:?}"
    );
}

#[test]
fn aliases_work_and_bombs_do_not() {
    let shared = WORKER.replace("crt: |", "crt: &pem |");
    let shared = format!("{shared}registries:\n  credentials:\n    a.b:\n      ca: *pem\n");
    check(&shared, &[]);

    // Each level names the one before ten times.
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let items = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    let found = problems(&bomb);
    assert!(
        found[0].contains("more than 65536 values, aliases expanded"),
        "{found:?}"
    );

    // Few nodes, much text.
    let mut long = format!("a: &a {}\nb:\n", "x".repeat(100_000));
    long.push_str(&"  - *a\n".repeat(100));
    let found = problems(&long);
    assert!(
        found[0].contains("more than 4194304 bytes of text, aliases expanded"),
        "{found:?}"
    );

    // Few levels in the text, many after expansion.
    let mut deep = format!("a0: &a0 {}{}\n", "[".repeat(30), "]".repeat(30));
    for level in 1..4 {
        let (open, close) = ("[".repeat(20), "]".repeat(20));
        deep.push_str(&format!(
            "a{level}: &a{level} {open}*a{}{close}\n",
            level - 1
        ));
    }
    let found = problems(&deep);
    assert!(
        found[0].contains("aliases nest more than 64 levels deep"),
        "{found:?}"
    );

    check(
        "a: &a [*a]\n",
        &["document 1, line 1:8: an alias inside the value that it names"],
    );
    check(
        "a: *b\n",
        &["document 1, line 1:4: an alias (*name) without an anchor"],
    );
}

#[test]
fn counts_have_limits() {
    let many = format!("x: [{}]\n", "1,".repeat(MAX_NODES));
    assert!(problems(&many)[0].contains("more than 65536 values"));

    let link = |index: usize| format!("{}selector: {{name: e{index}}}\n", document("Link"));
    let links = |count: usize| WORKER.to_owned() + &(0..count).map(link).collect::<String>();
    check(&links(MAX_LINKS), &[]);
    let found = problems(&links(MAX_LINKS + 1));
    assert!(
        found[0].contains("one Link document too many: a config has up to 128"),
        "{found:?}"
    );
    let found = problems(&links(MAX_DOCUMENTS + 1));
    assert!(
        found
            .iter()
            .any(|line| line.contains("more than 160 documents")),
        "{found:?}"
    );

    let keys = |count: usize| (0..count).map(|n| format!("k{n}: 1\n")).collect::<String>();
    let problems = parse((WORKER.to_owned() + &keys(MAX_PROBLEMS)).as_bytes()).unwrap_err();
    assert_eq!(
        (problems.problems.len(), problems.omitted),
        (MAX_PROBLEMS, 0)
    );
    let problems = parse((WORKER.to_owned() + &keys(5000)).as_bytes()).unwrap_err();
    assert_eq!(
        (problems.problems.len(), problems.omitted),
        (MAX_PROBLEMS, 5000 - MAX_PROBLEMS)
    );
    assert!(
        problems.to_string().ends_with("\nand 4936 more"),
        "{problems}"
    );
}

#[test]
fn syntax_errors_have_a_place_and_what_came_before_is_checked() {
    check(
        &format!("{WORKER}hostnam: x\n---\na: [\n"),
        &[
            "document 1, line 10:1: Machine.hostnam: unknown key (did you mean \"hostname\"?)",
            "document 2, line 12:4: YAML syntax: unclosed bracket '['",
        ],
    );
    for text in [
        "a: b: c\n",
        "a: \"\\q\"\n",
        "a: 'b\n",
        "%YAML 3.0\n---\na: b\n",
        "}\n",
    ] {
        let found = problems(text);
        assert!(
            found.iter().any(|line| line.contains("YAML syntax: ")),
            "{text:?}: {found:?}"
        );
    }
    check(
        &format!("{WORKER}install: !!map {{}}\n"),
        &["document 1, line 10:"],
    );
    check(
        &format!("{WORKER}? [a]\n: b\n"),
        &["document 1, line 10:3: a key must be text, not a list or mapping"],
    );
    check(
        &format!("{WORKER}<<: {{}}\n"),
        &["document 1, line 10:1: Machine[(not a name)]: unknown key (merge keys are not used"],
    );
}

#[test]
fn documents_need_a_known_version_and_kind() {
    check(
        "kind: Machine\n",
        &[
            "document 1, line 1:1: Machine.ca: is required (Authority that signs the certificates",
            "document 1, line 1:1: Machine.role: is required (What the machine is in its cluster.)",
            "document 1, line 1:1: Machine.token: is required",
            "document 1, line 1:1: apiVersion: is missing (begin the document with \"apiVersion: v1alpha1\")",
        ],
    );
    check(
        &format!("{WORKER}---\napiVersion: v1\nkind: Pod\n"),
        &[
            "document 2, line 11:13: apiVersion: unknown apiVersion (write v1alpha1)",
            "document 2, line 12:7: kind: unknown kind Pod (the kinds are Machine, Cluster, Link, Resolver, Time)",
        ],
    );
    check(
        &format!("{WORKER}---\napiVersion: v1alpha1\n"),
        &["document 2, line 11:1: kind: is missing (the kinds are Machine"],
    );
    check(
        &format!("{WORKER}---\n- a\n"),
        &["document 2, line 11:1: a document must be a mapping, found a list"],
    );
    check(
        &format!("{WORKER}---\n{WORKER}"),
        &[
            "document 2, line 11:1: Machine: one Machine document too many: a config has exactly one",
        ],
    );
    check(
        &format!("{WORKER}kind: Machine\n"),
        &["document 1, line 10:1: kind: duplicate key"],
    );
    check(
        CLUSTER,
        &["line 1:1: no Machine document (add a document with"],
    );
}
