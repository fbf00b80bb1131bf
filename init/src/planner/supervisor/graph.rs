//! Checks a plan's services and orders them.
//!
//! An edge goes from a service to what it waits for: all of `requires`, and those of `after` that are
//! in the same plan. Edges never leave a plan. A service that is no longer wanted keeps its last edges
//! until it has ended; the whole still has no cycle: along an edge the last plan that had the service
//! never gets older, so the members of a cycle would all be of one plan, and that one was checked.

use init_proto::plan::{Condition, HealthProbe, Readiness, ServiceSpec};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Most services in a plan. The table has a few dozen; names, cgroups and log files cost per service.
pub(crate) const SERVICES_MAX: usize = 256;
/// Most entries of `after` and `requires` each.
pub(crate) const DEPENDENCIES_MAX: usize = 64;
/// Longest service name in bytes: it names a cgroup, a directory and log files.
pub(crate) const NAME_MAX: usize = 64;
/// Shortest timeout, health interval and first back-off wait: below it, a service that fails at once
/// would keep PID 1 busy.
pub(crate) const TIME_MIN: Duration = Duration::from_millis(10);
/// Largest signal number of Linux.
const SIGNAL_MAX: i32 = 64;

/// Why a plan was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlanError {
    /// More than [`SERVICES_MAX`].
    #[error("the plan has {0} services; at most {SERVICES_MAX} are supervised")]
    TooMany(usize),
    /// Name used twice.
    #[error("service {0:?} is in the plan twice; give each service one entry")]
    Duplicate(String),
    /// A field out of bounds.
    #[error("service {name:?}: {problem}")]
    Field {
        /// Service.
        name: String,
        /// Field, value and what is allowed.
        problem: String,
    },
    /// `requires` names no service of the plan.
    #[error(
        "service {name:?} requires {missing:?}, which is not in the plan; add it or drop the requirement"
    )]
    UnknownRequired {
        /// Service.
        name: String,
        /// What it requires.
        missing: String,
    },
    /// Services that wait for each other; the first is named again at the end.
    #[error("services wait for each other: {}; drop one of these dependencies", .0.join(" -> "))]
    Cycle(Vec<String>),
    /// Shutdown has begun.
    #[error("the machine is stopping; no plan is taken any more")]
    Stopping,
}

/// What a plan's services wait for, by service.
pub(super) type Edges = BTreeMap<String, BTreeSet<String>>;

/// Checks a plan and returns its edges.
pub(super) fn check(specs: &[ServiceSpec]) -> Result<Edges, PlanError> {
    if specs.len() > SERVICES_MAX {
        return Err(PlanError::TooMany(specs.len()));
    }
    let mut names = BTreeSet::new();
    for spec in specs {
        check_fields(spec)?;
        if !names.insert(spec.name.as_str()) {
            return Err(PlanError::Duplicate(spec.name.clone()));
        }
    }
    let mut edges = Edges::new();
    for spec in specs {
        if let Some(missing) = spec
            .requires
            .iter()
            .find(|name| !names.contains(name.as_str()))
        {
            return Err(PlanError::UnknownRequired {
                name: spec.name.clone(),
                missing: missing.clone(),
            });
        }
        let waits_for = spec
            .after
            .iter()
            .filter(|name| names.contains(name.as_str()))
            .chain(&spec.requires)
            .cloned()
            .collect();
        edges.insert(spec.name.clone(), waits_for);
    }
    order(&edges).map(|_| edges).map_err(PlanError::Cycle)
}

/// Every service after all that it waits for; or a cycle, its first member repeated at the end.
/// Edges to services that are no keys of `edges` are passed over.
pub(super) fn order(edges: &Edges) -> Result<Vec<String>, Vec<String>> {
    let mut placed = BTreeSet::new();
    let mut order = Vec::with_capacity(edges.len());
    for start in edges.keys() {
        // Depth first, with the path on a stack of our own: PID 1's stack is not for the plan to fill.
        let mut path: Vec<(&String, Vec<&String>)> = Vec::new();
        let mut next = Some(start);
        loop {
            if let Some(name) = next.take() {
                if placed.contains(name) {
                    // Reached on another path already.
                } else if let Some(at) = path.iter().position(|(member, _)| *member == name) {
                    let cycle = path.iter().skip(at).map(|(member, _)| *member);
                    return Err(cycle.chain([name]).cloned().collect());
                } else if let Some(waits_for) = edges.get(name) {
                    path.push((name, waits_for.iter().collect()));
                }
            }
            let Some((name, open)) = path.last_mut() else {
                break;
            };
            next = open.pop();
            if next.is_none() {
                placed.insert((*name).clone());
                order.push((*name).clone());
                path.pop();
            }
        }
    }
    Ok(order)
}

fn check_fields(spec: &ServiceSpec) -> Result<(), PlanError> {
    let field = |problem: String| {
        Err(PlanError::Field {
            name: spec.name.clone(),
            problem,
        })
    };
    if !valid_name(&spec.name) {
        return field(format!(
            "a name is 1 to {NAME_MAX} lower-case letters, digits and '-', and begins with a letter"
        ));
    }
    if spec
        .command
        .first()
        .is_none_or(|program| !program.starts_with('/'))
    {
        return field("command: the program must be an absolute path".into());
    }
    for (what, list) in [("after", &spec.after), ("requires", &spec.requires)] {
        if list.len() > DEPENDENCIES_MAX {
            return field(format!(
                "{what}: {} entries, at most {DEPENDENCIES_MAX}",
                list.len()
            ));
        }
    }
    if !(1..=SIGNAL_MAX).contains(&spec.stop_signal) {
        return field(format!(
            "stop_signal: {} is not in 1..={SIGNAL_MAX}",
            spec.stop_signal
        ));
    }
    let health = spec.health.as_ref();
    for (what, time) in [
        ("start_timeout", Some(spec.start_timeout)),
        ("backoff_initial", Some(spec.backoff_initial)),
        ("health.interval", health.map(|health| health.interval)),
        ("health.timeout", health.map(|health| health.timeout)),
    ] {
        if time.is_some_and(|time| time < TIME_MIN) {
            return field(format!("{what}: must be at least {TIME_MIN:?}"));
        }
    }
    if health.is_some_and(|health| health.failures == 0) {
        return field("health.failures: must be at least 1".into());
    }
    check_paths(spec).or_else(field)
}

fn check_paths(spec: &ServiceSpec) -> Result<(), String> {
    let condition = match &spec.condition {
        Condition::PathExists(path) => Some(path),
        Condition::Always => None,
    };
    let readiness = match &spec.readiness {
        Readiness::UnixSocket(path) => Some(path),
        Readiness::Started | Readiness::Notify | Readiness::TcpPort(_) => None,
    };
    let health = match spec.health.as_ref().map(|health| &health.probe) {
        Some(HealthProbe::UnixSocket(path)) => Some(path),
        _ => None,
    };
    for (what, path) in [
        ("condition", condition),
        ("readiness", readiness),
        ("health", health),
    ] {
        if let Some(path) = path.filter(|path| !path.starts_with('/')) {
            return Err(format!("{what}: {path:?} is not an absolute path"));
        }
    }
    Ok(())
}

fn valid_name(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use init_proto::services::{daemon, table};

    fn service(name: &str, after: &[&str], requires: &[&str]) -> ServiceSpec {
        ServiceSpec {
            after: after.iter().map(ToString::to_string).collect(),
            requires: requires.iter().map(ToString::to_string).collect(),
            ..daemon(name)
        }
    }

    fn check_refused(specs: &[ServiceSpec], expect: &str) {
        let error = check(specs).unwrap_err().to_string();
        assert!(error.contains(expect), "{error:?} lacks {expect:?}");
    }

    #[test]
    fn the_table_is_accepted() {
        let specs: Vec<_> = table().into_iter().map(|entry| entry.spec).collect();
        let edges = check(&specs).unwrap();
        assert!(edges["time"].contains("network"));
    }

    #[test]
    fn a_cycle_is_named() {
        check_refused(
            &[
                service("a", &["b"], &[]),
                service("b", &[], &["c"]),
                service("c", &["a", "d"], &[]),
                service("d", &[], &[]),
            ],
            "a -> b -> c -> a",
        );
        check_refused(&[service("a", &["a"], &[])], "a -> a");
    }

    #[test]
    fn what_is_after_a_missing_service_starts_without_it() {
        let edges = check(&[service("a", &["gone"], &[])]).unwrap();
        assert!(edges["a"].is_empty());
    }

    #[test]
    fn bad_plans_are_refused_with_the_reason() {
        let good = daemon("a");
        check_refused(&[service("a", &[], &["gone"])], "requires \"gone\"");
        check_refused(&[good.clone(), good.clone()], "twice");
        check_refused(&[daemon("../etc")], "lower-case");
        check_refused(&[daemon("")], "lower-case");
        let mut bad = good.clone();
        bad.command.clear();
        check_refused(&[bad], "absolute path");
        let mut bad = good.clone();
        bad.stop_signal = 0;
        check_refused(&[bad], "stop_signal");
        let mut bad = good.clone();
        bad.backoff_initial = Duration::ZERO;
        check_refused(&[bad], "backoff_initial");
        let mut bad = good.clone();
        bad.readiness = Readiness::UnixSocket("run/x".into());
        check_refused(&[bad], "readiness");
        let many: Vec<_> = (0..=SERVICES_MAX)
            .map(|at| daemon(&format!("s{at}")))
            .collect();
        check_refused(&many, "257 services");
        assert!(check(&many[1..]).is_ok());
    }

    #[test]
    fn a_chain_as_long_as_the_bound_is_ordered() {
        let chain: Vec<_> = (0..SERVICES_MAX)
            .map(|at| {
                let mut spec = daemon(&format!("s{at}"));
                if at > 0 {
                    spec.after.push(format!("s{}", at - 1));
                }
                spec
            })
            .collect();
        let order = order(&check(&chain).unwrap()).unwrap();
        let expect: Vec<_> = (0..SERVICES_MAX).map(|at| format!("s{at}")).collect();
        assert_eq!(order, expect);
    }
}
