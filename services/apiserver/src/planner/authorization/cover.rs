//! Whether some rules allow all that others do.

use super::{
    Rule,
    rule::{any, has, path_covers},
};
use std::collections::BTreeMap;

/// Single permissions of one role that are looked at. A rule's lists multiply: an object of 1 MiB can name a thousand billion.
/// What one rule covers as a whole is not counted, so that administrators do not meet the bound.
pub const COMBINATIONS_MAX: usize = 100_000;

/// The rules name more single permissions than are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the rules name more than {COMBINATIONS_MAX} single permissions: give more rules, or wildcards"
)]
pub struct TooMany;

/// What of `wanted` is not allowed by `held`: single permissions, gathered by resource for people, sorted.
///
/// # Errors
/// [`TooMany`].
pub fn missing(held: &[Rule], wanted: &[Rule]) -> Result<Vec<Rule>, TooMany> {
    let mut missing = Vec::new();
    let mut left = COMBINATIONS_MAX;
    for rule in wanted {
        if held.iter().any(|held| covers(held, rule)) {
            continue;
        }
        let count = combinations(rule).ok_or(TooMany)?;
        left = left.checked_sub(count).ok_or(TooMany)?;
        for single in singles(rule) {
            if !held.iter().any(|held| covers(held, &single)) {
                missing.push(single);
            }
        }
    }
    Ok(gathered(missing))
}

/// Whether one rule allows all that another does.
fn covers(held: &Rule, wanted: &Rule) -> bool {
    let each = |held: &[String], wanted: &[String]| {
        has(held, "*") || wanted.iter().all(|text| has(held, text))
    };
    let resource = |text: &String| {
        any(&held.resources, text)
            || text
                .split_once('/')
                .is_some_and(|(_, part)| has(&held.resources, &format!("*/{part}")))
    };
    let path = |path: &String| {
        let held = &held.non_resource_urls;
        held.iter().any(|held| path_covers(held, path))
    };
    let names = held.resource_names.is_empty()
        || (!wanted.resource_names.is_empty()
            && wanted
                .resource_names
                .iter()
                .all(|name| has(&held.resource_names, name)));
    names
        && each(&held.verbs, &wanted.verbs)
        && each(&held.api_groups, &wanted.api_groups)
        && wanted.resources.iter().all(resource)
        && wanted.non_resource_urls.iter().all(path)
}

fn combinations(rule: &Rule) -> Option<usize> {
    let of_resources = rule
        .api_groups
        .len()
        .checked_mul(rule.resources.len())?
        .checked_mul(rule.resource_names.len().max(1))?;
    of_resources
        .checked_add(rule.non_resource_urls.len())?
        .checked_mul(rule.verbs.len())
}

/// The same as rules of one verb on one resource, or one path.
fn singles(rule: &Rule) -> impl Iterator<Item = Rule> {
    let one = |text: &String| vec![text.clone()];
    let none = [String::new()];
    let named = !rule.resource_names.is_empty();
    let names = if named {
        rule.resource_names.clone()
    } else {
        none.into()
    };
    let groups = rule.api_groups.iter();
    let of_resources =
        groups.flat_map(|group| rule.resources.iter().map(move |resource| (group, resource)));
    let of_verbs = of_resources
        .flat_map(|(group, resource)| rule.verbs.iter().map(move |verb| (group, resource, verb)));
    let of_names = of_verbs.flat_map(move |(group, resource, verb)| {
        let rules = names.iter().map(|name| Rule {
            verbs: one(verb),
            api_groups: one(group),
            resources: one(resource),
            resource_names: if named { one(name) } else { Vec::new() },
            ..Rule::default()
        });
        rules.collect::<Vec<_>>()
    });
    let paths = rule.non_resource_urls.iter().flat_map(move |path| {
        rule.verbs.iter().map(move |verb| Rule {
            verbs: one(verb),
            non_resource_urls: one(path),
            ..Rule::default()
        })
    });
    of_names.chain(paths)
}

/// Verbs of the same resource in one rule.
fn gathered(singles: Vec<Rule>) -> Vec<Rule> {
    let mut by_resource: BTreeMap<Rule, Vec<String>> = BTreeMap::new();
    let mut rules = Vec::new();
    for mut single in singles {
        if single.resources.is_empty() {
            rules.push(single);
            continue;
        }
        let verbs = std::mem::take(&mut single.verbs);
        by_resource.entry(single).or_default().extend(verbs);
    }
    let of_resources = by_resource
        .into_iter()
        .map(|(rule, verbs)| Rule { verbs, ..rule });
    rules.extend(of_resources);
    rules.sort_by_key(ToString::to_string);
    rules.dedup();
    rules
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn rules(value: Value) -> Vec<Rule> {
        serde_json::from_value(value).expect("rules")
    }

    #[track_caller]
    fn check(held: Value, wanted: Value, expect: &[&str]) {
        let missing = missing(&rules(held), &rules(wanted)).expect("few");
        let told: Vec<String> = missing.iter().map(ToString::to_string).collect();
        assert_eq!(told, expect);
    }

    #[test]
    fn what_is_missing() {
        let pods = json!([{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "services"]}]);
        check(pods.clone(), pods.clone(), &[]);
        check(
            json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]),
            pods.clone(),
            &[],
        );
        check(
            json!([]),
            pods.clone(),
            &[
                r#"{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}"#,
                r#"{APIGroups:[""], Resources:["services"], Verbs:["get" "list"]}"#,
            ],
        );
        // Covered by two rules together.
        check(
            json!([
                {"verbs": ["get"], "apiGroups": [""], "resources": ["*"]},
                {"verbs": ["list"], "apiGroups": [""], "resources": ["services"]}
            ]),
            pods.clone(),
            &[r#"{APIGroups:[""], Resources:["pods"], Verbs:["list"]}"#],
        );
        // All names are more than one name.
        let named = json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a", "b"]}]);
        check(pods, named.clone(), &[]);
        check(
            named,
            json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]),
            &[r#"{APIGroups:[""], Resources:["pods"], Verbs:["get"]}"#],
        );
        let scale = json!([{"verbs": ["get"], "apiGroups": ["apps"], "resources": ["*/scale"]}]);
        check(
            scale.clone(),
            json!([{"verbs": ["get"], "apiGroups": ["apps"], "resources": ["deployments/scale"]}]),
            &[],
        );
        check(
            scale,
            json!([{"verbs": ["get"], "apiGroups": ["apps"], "resources": ["*"]}]),
            &[r#"{APIGroups:["apps"], Resources:["*"], Verbs:["get"]}"#],
        );
    }

    #[test]
    fn paths_that_are_missing() {
        let api = json!([{"verbs": ["get"], "nonResourceURLs": ["/api/*"]}]);
        check(
            api.clone(),
            json!([{"verbs": ["get"], "nonResourceURLs": ["/api/v1", "/api/*"]}]),
            &[],
        );
        check(
            api,
            json!([{"verbs": ["get", "post"], "nonResourceURLs": ["/api/v1", "*"]}]),
            &[
                r#"{NonResourceURLs:["*"], Verbs:["get"]}"#,
                r#"{NonResourceURLs:["*"], Verbs:["post"]}"#,
                r#"{NonResourceURLs:["/api/v1"], Verbs:["post"]}"#,
            ],
        );
    }

    #[test]
    fn too_many_permissions_are_refused_and_not_counted_out() {
        let many: Vec<String> = (0..1_000).map(|number| format!("x{number}")).collect();
        let wanted = rules(
            json!([{"verbs": many, "apiGroups": many, "resources": many, "resourceNames": many}]),
        );
        assert_eq!(missing(&[], &wanted), Err(TooMany));
        let all = rules(json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]));
        assert_eq!(missing(&all, &wanted), Ok(Vec::new()));
        // What is just within the bound.
        let few: Vec<String> = (0..COMBINATIONS_MAX / 1_000)
            .map(|n| format!("y{n}"))
            .collect();
        let wanted = rules(json!([{"verbs": ["get"], "apiGroups": few, "resources": many}]));
        assert_eq!(
            missing(&[], &wanted).map(|missing| missing.len()),
            Ok(COMBINATIONS_MAX)
        );
    }
}
