use super::*;
use crate::{
    entry::Entry,
    rules::{Column, Rules},
    verb::Verb,
};
use objects::metadata::NameRule;
use std::collections::BTreeMap;

/// What upstream has; its form is in the file.
const UPSTREAM: &str = include_str!("../../facts/upstream.txt");

/// What upstream has and Orlop does not have yet: the type, the word of the file's line, what, and what it waits for.
const LATER: &[(&str, &str, &str, &str)] = &[
    ("v1 Node", "sub", "proxy", KUBELET),
    ("v1 Pod", "sub", "attach", KUBELET),
    ("v1 Pod", "sub", "exec", KUBELET),
    ("v1 Pod", "sub", "log", KUBELET),
    ("v1 Pod", "sub", "portforward", KUBELET),
    ("v1 Pod", "sub", "proxy", KUBELET),
    ("v1 Service", "sub", "proxy", KUBELET),
    (
        "v1 Event",
        "fields",
        "source",
        "the server finds a field by its own path, and this one's value is at another",
    ),
];
const KUBELET: &str = "the kubelet and the network of pods";

/// The lines of a type, by their first words.
type Facts = BTreeMap<&'static str, &'static str>;

fn upstream() -> BTreeMap<&'static str, Facts> {
    let mut all: BTreeMap<&str, Facts> = BTreeMap::new();
    let mut kind = "";
    let lines = UPSTREAM.lines().filter(|line| !line.starts_with('#'));
    for line in lines.filter(|line| !line.is_empty()) {
        match line.strip_prefix("  ") {
            None => {
                kind = line;
                assert!(all.insert(kind, Facts::new()).is_none(), "{kind} twice");
            }
            Some(fact) => {
                let (word, rest) = fact.split_once(' ').unwrap_or((fact, ""));
                let before = all.get_mut(kind).unwrap().insert(word, rest);
                assert!(before.is_none(), "{kind}: {word} twice");
            }
        }
    }
    all
}

/// A list of a fact, without what comes later.
fn list(kind: &str, word: &str, facts: &Facts) -> Vec<String> {
    let items = facts.get(word).copied().unwrap_or_default().split(", ");
    let is_later = |item: &str| {
        let name = item.split(' ').next().unwrap();
        LATER
            .iter()
            .any(|(of, line, what, _)| (*of, *line, *what) == (kind, word, name))
    };
    let items = items.filter(|item| !item.is_empty() && !is_later(item));
    items.map(str::to_owned).collect()
}

fn verbs(verbs: &[Verb]) -> String {
    let all_but_many = Verb::ALL
        .iter()
        .filter(|verb| **verb != Verb::DeleteCollection);
    if verbs == Verb::ALL {
        "all".to_owned()
    } else if verbs.iter().eq(all_but_many) {
        "no-collection".to_owned()
    } else if verbs == [Verb::Get, Verb::Patch, Verb::Update] {
        "part".to_owned()
    } else {
        let words: Vec<&str> = verbs.iter().map(|verb| verb.as_str()).collect();
        words.join(" ")
    }
}

fn name(rule: NameRule) -> &'static str {
    match rule {
        NameRule::Subdomain => "subdomain",
        NameRule::Label => "label",
        NameRule::Label1035 => "label-1035",
        NameRule::PathSegment => "path",
        NameRule::Own(_) => "own",
    }
}

fn column(column: &Column) -> String {
    let name = match column.priority {
        0 => column.name.to_owned(),
        _ => format!("({})", column.name),
    };
    let own = column.name != NAME.name && !column.format.is_empty();
    match (column.kind, own) {
        ("string", false) => name,
        (kind, false) => format!("{name} {kind}"),
        (kind, true) => format!("{name} {kind}/{}", column.format),
    }
}

fn columns(rules: &Rules) -> Vec<String> {
    rules.columns.iter().map(column).collect()
}

#[test]
fn no_cell_is_empty_that_upstream_has_filled() {
    let upstream = upstream();
    let mut wrong = Vec::new();
    for resource in RESOURCES {
        let cells = cells(resource);
        let kind = cells[0].as_str();
        let Some(facts) = upstream.get(kind) else {
            wrong.push(format!("{kind}: not in facts/upstream.txt"));
            continue;
        };
        let words = ["defaults", "validation", "update", "status", "warnings"];
        for (word, cell) in words.iter().zip(&cells[1..]) {
            let filled = !cell.is_empty() && cell != "-";
            if facts["rules"].split(' ').any(|known| known == *word) && !filled {
                wrong.push(format!("{kind}: {word} is empty"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn names_verbs_columns_and_fields_are_upstreams() {
    let upstream = upstream();
    let mut wrong = Vec::new();
    for resource in RESOURCES {
        let entry = Entry::of(resource).unwrap();
        let kind = &cells(resource)[0];
        let facts = &upstream[kind.as_str()];
        let mut check = |word: &str, ours: Vec<String>, mut theirs: Vec<String>, sorted: bool| {
            let mut ours = ours;
            if sorted {
                ours.sort();
                theirs.sort();
            }
            if ours != theirs {
                wrong.push(format!(
                    "{kind}: {word} are {ours:?}, upstream's {theirs:?}"
                ));
            }
        };
        let owned = |texts: &[&str]| {
            texts
                .iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
        };
        let key = if resource.key.is_empty() {
            "none"
        } else {
            resource.key
        };
        for (word, ours) in [
            ("name", name(resource.rules.name)),
            ("key", key),
            ("singular", &entry.resource.singular),
            ("verbs", &verbs(resource.verbs)),
        ] {
            check(word, owned(&[ours]), owned(&[facts[word]]), false);
        }
        for (word, ours) in [
            ("short", &entry.short_names),
            ("categories", &entry.categories),
        ] {
            check(word, owned(ours), list(kind, word, facts), false);
        }
        let parts = entry.subresources.iter();
        let parts = parts.map(|part| format!("{} {}", part.name, verbs(part.verbs)));
        check("sub", parts.collect(), list(kind, "sub", facts), true);
        if !resource.key.is_empty() {
            check(
                "columns",
                columns(resource.rules),
                list(kind, "columns", facts),
                false,
            );
        }
        let fields = resource.rules.selectable.iter();
        let fields = fields.map(|selectable| selectable.field.to_owned());
        check(
            "fields",
            fields.collect(),
            list(kind, "fields", facts),
            true,
        );
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn facts_are_of_types_that_are_served() {
    let served: Vec<String> = RESOURCES
        .iter()
        .map(|resource| cells(resource)[0].clone())
        .collect();
    let upstream = upstream();
    for kind in upstream.keys() {
        assert!(served.iter().any(|served| served == kind), "{kind}");
    }
    for (kind, word, what, reason) in LATER {
        let items = upstream[kind][word].split(", ");
        let known = items
            .map(|item| item.split(' ').next().unwrap())
            .any(|item| item == *what);
        assert!(known && !reason.is_empty(), "{kind}: {word} {what}");
        let resource = &RESOURCES[served.iter().position(|served| served == kind).unwrap()];
        let parts = resource.subresources.iter().map(|part| part.name);
        let fields = resource
            .rules
            .selectable
            .iter()
            .map(|selectable| selectable.field);
        assert!(
            !parts.chain(fields).any(|ours| ours == *what),
            "{kind}: {what} is there"
        );
    }
}

#[test]
fn a_line_for_each_resource() {
    let page = reference();
    let lines: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(2)
        .collect();
    assert_eq!(lines.len(), RESOURCES.len());
    for line in &lines {
        assert_eq!(line.matches(" |").count(), 8, "{line}");
    }
    let find = |kind: &str| {
        let start = format!("| {kind} |");
        lines.iter().find(|line| line.starts_with(&start)).unwrap()
    };
    assert!(find("v1 Service").starts_with("| v1 Service | schema"));
    assert!(find("v1 ConfigMap").contains(" | - | "));
    assert!(find("apps/v1 Deployment").contains("apps/v1 Deployment"));
}
