//! What applying a config would do: a pure comparison of the stored config and the new one.

use machine_config::{Change, MachineConfig, Problems, diff, requires_reboot};
use machine_proto::v1alpha1::{ApplyMode, ConfigProblem, ConfigProblems};

/// What is known of the node when a config comes.
#[derive(Debug, Clone, Default)]
pub struct Node {
    /// Whether it is in maintenance mode.
    pub maintenance: bool,
    /// Boot phases that failed.
    pub failed_phases: Vec<String>,
}

/// What shall happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// [`ApplyMode::NoReboot`] or [`ApplyMode::Reboot`].
    pub mode: ApplyMode,
    /// Differences, secrets redacted.
    pub changes: Vec<Change>,
    /// Why a reboot is needed, if it is.
    pub reboot_reasons: Vec<String>,
    /// What is allowed but probably not meant.
    pub warnings: Vec<String>,
}

/// The change needs a reboot and the caller wants none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the change needs a reboot, and mode no-reboot was asked for; nothing was changed. Apply it with mode auto or reboot. Reasons: {}",
    .reasons.join("; ")
)]
pub struct NeedsReboot {
    /// Why.
    pub reasons: Vec<String>,
}

/// Decides on a valid config. `stored` is None where there is none, or none that can be read.
///
/// # Errors
/// [`NeedsReboot`].
pub fn decide(
    node: &Node,
    stored: Option<&MachineConfig>,
    new: &MachineConfig,
    requested: ApplyMode,
) -> Result<Decision, NeedsReboot> {
    let reasons = if node.maintenance {
        // Nothing of the old config runs; what a failed phase left behind only a boot clears.
        node.failed_phases
            .iter()
            .map(|phase| format!("boot phase {phase} failed: it is tried again at boot"))
            .collect()
    } else {
        stored.map_or_else(
            || vec!["the stored config cannot be read".to_owned()],
            |stored| requires_reboot(stored, new),
        )
    };
    let mode = match requested {
        ApplyMode::Reboot => ApplyMode::Reboot,
        ApplyMode::NoReboot if !reasons.is_empty() => return Err(NeedsReboot { reasons }),
        ApplyMode::Auto if !reasons.is_empty() => ApplyMode::Reboot,
        ApplyMode::NoReboot | ApplyMode::Auto => ApplyMode::NoReboot,
    };
    let changes = stored.map(|stored| diff(stored, new)).unwrap_or_default();
    Ok(Decision {
        mode,
        warnings: warnings(stored, new, &changes),
        changes,
        reboot_reasons: reasons,
    })
}

fn warnings(
    stored: Option<&MachineConfig>,
    new: &MachineConfig,
    changes: &[Change],
) -> Vec<String> {
    let mut warnings = Vec::new();
    let Some(stored) = stored else {
        return warnings;
    };
    if changes.is_empty() {
        warnings.push("the config means the same as the stored one".to_owned());
    }
    if stored.machine.ca.crt != new.machine.ca.crt {
        warnings.push(
            "Machine.ca changes: client certificates of the old authority will be refused"
                .to_owned(),
        );
    }
    if stored.machine.role != new.machine.role {
        warnings.push(format!(
            "Machine.role changes from {} to {}",
            stored.machine.role.as_str(),
            new.machine.role.as_str()
        ));
    }
    warnings
}

/// Most bytes of problems in a status: HTTP/2 peers bound what trailers may hold.
const PROBLEMS_BYTES_MAX: usize = 48 * 1024;
/// Most problems in the status's own message; all are in its details.
const PROBLEMS_IN_MESSAGE: usize = 5;

/// The problems for the status's details, and a message for clients that show only that.
#[must_use]
pub fn explain(problems: &Problems) -> (String, ConfigProblems) {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let mut bytes = 0;
    let listed: Vec<_> = problems
        .problems
        .iter()
        .map(|problem| ConfigProblem {
            document: number(problem.document),
            path: problem.path.clone(),
            line: number(problem.line),
            column: number(problem.column),
            message: problem.message.clone(),
            hint: problem.hint.clone().unwrap_or_default(),
        })
        .take_while(|problem| {
            bytes += problem.path.len() + problem.message.len() + problem.hint.len() + 32;
            bytes <= PROBLEMS_BYTES_MAX
        })
        .collect();
    let all = problems.problems.len() + problems.omitted;
    let mut message = format!("the config has {all} problem(s)");
    for problem in problems.problems.iter().take(PROBLEMS_IN_MESSAGE) {
        message.push_str(&format!("\n{problem}"));
    }
    if all > PROBLEMS_IN_MESSAGE {
        message.push_str(&format!("\nand {} more", all - PROBLEMS_IN_MESSAGE));
    }
    (message, ConfigProblems { problems: listed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pki::{ClusterSecrets, ConfigOptions, generate_config};
    use std::time::SystemTime;

    fn config() -> MachineConfig {
        let secrets = ClusterSecrets::generate(SystemTime::now()).unwrap();
        let options = ConfigOptions::new(
            "test".parse().unwrap(),
            "https://10.0.0.1:6443".parse().unwrap(),
            machine_config::Role::ControlPlane,
        );
        generate_config(&secrets, &options).unwrap()
    }

    #[test]
    fn a_live_change_needs_no_reboot_and_another_does() {
        let (node, old) = (Node::default(), config());
        let mut live = old.clone();
        live.machine.hostname = Some("a".parse().unwrap());
        let decision = decide(&node, Some(&old), &live, ApplyMode::Auto).unwrap();
        assert_eq!(
            (decision.mode, decision.changes.len()),
            (ApplyMode::NoReboot, 1)
        );
        let mut boot = old.clone();
        boot.machine
            .sysctls
            .insert("vm.max_map_count".parse().unwrap(), "1".parse().unwrap());
        let decision = decide(&node, Some(&old), &boot, ApplyMode::Auto).unwrap();
        assert_eq!(decision.mode, ApplyMode::Reboot);
        assert_eq!(decision.reboot_reasons.len(), 1);
        assert!(decide(&node, Some(&old), &boot, ApplyMode::NoReboot).is_err());
        let decision = decide(&node, Some(&old), &old, ApplyMode::Reboot).unwrap();
        assert_eq!(
            (decision.mode, decision.warnings.len()),
            (ApplyMode::Reboot, 1)
        );
    }

    #[test]
    fn the_first_config_is_taken_at_once_unless_the_boot_failed() {
        let mut node = Node {
            maintenance: true,
            ..Node::default()
        };
        let decision = decide(&node, None, &config(), ApplyMode::Auto).unwrap();
        assert_eq!(decision.mode, ApplyMode::NoReboot);
        node.failed_phases.push("volumes".into());
        let decision = decide(&node, None, &config(), ApplyMode::Auto).unwrap();
        assert_eq!(decision.mode, ApplyMode::Reboot);
        let refused = decide(&node, None, &config(), ApplyMode::NoReboot).unwrap_err();
        assert!(refused.to_string().contains("volumes"));
    }

    #[test]
    fn problems_are_bounded_and_counted() {
        let text = "a: 1\n".repeat(100);
        let problems = machine_config::parse(text.as_bytes()).unwrap_err();
        let (message, details) = explain(&problems);
        assert!(
            message.lines().count() <= PROBLEMS_IN_MESSAGE + 2,
            "{message}"
        );
        assert!(!details.problems.is_empty());
    }
}
