//! Exit statuses of reaped processes by pid and start time, and the children that services registered.
//!
//! Bounds: the last [`EXITS_KEPT`] exits; at most [`CHILDREN_MAX`] registered children. A registered
//! child's exit is kept until the registrar forgets it, however many others end.

use init_proto::control::{Child, EXITS_KEPT, ExitState};
use std::collections::{BTreeMap, VecDeque};

/// Registered children over all services: one answer holds them all, with their longest labels.
pub(crate) const CHILDREN_MAX: usize = 6 * 1024;
/// Longest label in bytes.
pub(crate) const LABEL_MAX: usize = 256;

/// A process: its id and field 22 of `/proc/PID/stat`.
pub(crate) type Process = (i32, u64);

/// All that is kept of ended and registered processes.
#[derive(Debug, Default)]
pub(crate) struct Exits {
    order: VecDeque<Process>,
    ended: BTreeMap<Process, ExitState>,
    registered: BTreeMap<Process, Registered>,
}

#[derive(Debug)]
struct Registered {
    owner: String,
    label: String,
    exit: Option<ExitState>,
}

/// Why a child was not registered.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RegisterError {
    /// [`CHILDREN_MAX`] reached.
    #[error("{CHILDREN_MAX} children are registered already; forget those that ended")]
    Full,
    /// Label over [`LABEL_MAX`].
    #[error("the label is longer than {LABEL_MAX} bytes")]
    Label,
}

impl Exits {
    /// Records a reaped process.
    pub(crate) fn ended(&mut self, process: Process, exit: ExitState) {
        if let Some(registered) = self.registered.get_mut(&process) {
            registered.exit = Some(exit.clone());
        }
        if self.ended.insert(process, exit).is_none() {
            self.order.push_back(process);
        }
        while self.order.len() > EXITS_KEPT {
            if let Some(oldest) = self.order.pop_front() {
                self.ended.remove(&oldest);
            }
        }
    }

    /// Registers a child of `owner`; registering again replaces owner and label. A child that has been
    /// reaped before its registration keeps its exit.
    ///
    /// # Errors
    /// [`RegisterError`] where a bound is met.
    pub(crate) fn register(
        &mut self,
        owner: &str,
        process: Process,
        label: String,
    ) -> Result<(), RegisterError> {
        if label.len() > LABEL_MAX {
            return Err(RegisterError::Label);
        }
        if self.registered.len() >= CHILDREN_MAX && !self.registered.contains_key(&process) {
            return Err(RegisterError::Full);
        }
        let exit = self.ended.get(&process).cloned();
        self.registered.insert(
            process,
            Registered {
                owner: owner.to_owned(),
                label,
                exit,
            },
        );
        Ok(())
    }

    /// Forgets a registered child of `owner`; false where there is none.
    pub(crate) fn forget(&mut self, owner: &str, process: Process) -> bool {
        let owned = self
            .registered
            .get(&process)
            .is_some_and(|registered| registered.owner == owner);
        owned && self.registered.remove(&process).is_some()
    }

    /// Exit of a reaped process, if it is still known.
    pub(crate) fn exit_of(&self, process: Process) -> Option<ExitState> {
        self.registered
            .get(&process)
            .and_then(|registered| registered.exit.clone())
            .or_else(|| self.ended.get(&process).cloned())
    }

    /// Registered children of `owner`; those not reaped are judged by `alive`.
    pub(crate) fn children(&self, owner: &str, alive: impl Fn(Process) -> bool) -> Vec<Child> {
        self.registered
            .iter()
            .filter(|(_, registered)| registered.owner == owner)
            .map(|(process, registered)| Child {
                pid: process.0,
                start_time: process.1,
                label: registered.label.clone(),
                exit: registered.exit.clone().unwrap_or_else(|| {
                    if alive(*process) {
                        ExitState::Running
                    } else {
                        ExitState::Unknown
                    }
                }),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use init_proto::control::Response;

    fn exited(code: i32) -> ExitState {
        ExitState::Exited {
            code,
            signal: None,
            time_ms: 1,
        }
    }

    #[test]
    fn a_registered_child_outlives_the_ring() {
        let mut exits = Exits::default();
        exits.register("runtime", (7, 1), "pod".into()).unwrap();
        exits.ended((7, 1), exited(3));
        for pid in 0..i32::try_from(EXITS_KEPT).unwrap() {
            exits.ended((pid, 99), exited(0));
        }
        assert_eq!(exits.exit_of((7, 1)), Some(exited(3)));
        assert!(exits.forget("runtime", (7, 1)));
        assert_eq!(exits.exit_of((7, 1)), None);
        assert_eq!(exits.ended.len(), EXITS_KEPT);
    }

    #[test]
    fn a_reused_pid_is_another_process() {
        let mut exits = Exits::default();
        exits.ended((7, 1), exited(3));
        assert_eq!(exits.exit_of((7, 2)), None);
    }

    #[test]
    fn a_child_that_ended_before_its_registration_keeps_its_exit() {
        let mut exits = Exits::default();
        exits.ended((7, 1), exited(3));
        exits.register("runtime", (7, 1), "late".into()).unwrap();
        assert_eq!(exits.children("runtime", |_| true)[0].exit, exited(3));
    }

    #[test]
    fn one_answer_holds_a_full_table() {
        let mut exits = Exits::default();
        for at in 0..CHILDREN_MAX {
            let process = (i32::MAX - i32::try_from(at).unwrap(), u64::MAX);
            let label = "x".repeat(LABEL_MAX);
            exits.register("runtime", process, label).unwrap();
            let exit = ExitState::Exited {
                code: i32::MAX,
                signal: Some(i32::MAX),
                time_ms: u64::MAX,
            };
            exits.ended(process, exit);
        }
        assert_eq!(
            exits.register("runtime", (1, 1), String::new()),
            Err(RegisterError::Full)
        );
        let answer = Response::Children(exits.children("runtime", |_| false));
        assert!(init_proto::frame::encode(&answer).is_ok());
    }

    #[test]
    fn children_belong_to_their_registrar() {
        let mut exits = Exits::default();
        exits.register("runtime", (7, 1), "a".into()).unwrap();
        assert!(exits.children("kubelet", |_| true).is_empty());
        assert!(!exits.forget("kubelet", (7, 1)));
        assert_eq!(
            exits.register("runtime", (8, 1), "x".repeat(LABEL_MAX + 1)),
            Err(RegisterError::Label)
        );
        let children = exits.children("runtime", |_| false);
        assert_eq!(children[0].exit, ExitState::Unknown);
    }
}
