//! Which containers and processes the keeper has, and whose end an end is.
//!
//! ```text
//!   (nothing) ──run──> Making ──made(pid)──> Running ──ended(pid)──> Exited ──delete──> (nothing)
//!                        └──failed──> (nothing)
//! ```
//!
//! A process may end before the child that made it has said which it is: its end waits among those of unknown processes, of which
//! there are many, since whatever a container leaves behind becomes the keeper's child. They are remembered only while something
//! is being made: numbers of processes come again.

use super::frames::{Exit, Known};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Containers that the keeper takes.
pub const CONTAINERS_MAX: usize = 2048;
/// Processes of exec at one time.
pub const EXECS_MAX: usize = 512;
/// Ends of unknown processes that are remembered while something is being made: as many as there are numbers, by default.
pub const UNKNOWN_MAX: usize = 32 * 1024;

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is one of this number.
    #[error("the container exists already")]
    Exists,
    /// There are too many.
    #[error("there are {CONTAINERS_MAX} containers already")]
    TooMany,
    /// There are too many.
    #[error("there are {EXECS_MAX} processes of exec already")]
    TooManyExecs,
    /// It runs still.
    #[error("the container runs still")]
    Runs,
    /// Its process has not been started.
    #[error("the container is not running")]
    NotRunning,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Making,
    Running {
        pid: i32,
        started_at: i64,
    },
    Exited {
        pid: i32,
        started_at: i64,
        exit: Exit,
    },
}

/// Whose end it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// That of a container's first process.
    Container(String, Exit),
    /// That of a process of exec, with the number that it was given.
    Exec(u64, Exit),
    /// Nobody's, as far as is known.
    Unknown,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Table {
    containers: BTreeMap<String, State>,
    by_pid: HashMap<i32, String>,
    execs: HashMap<i32, u64>,
    /// Of exec, whose pid is not known yet.
    execs_making: usize,
    /// Containers whose pid is not known yet.
    making: usize,
    unknown: VecDeque<(i32, Exit)>,
}

impl Table {
    /// Somebody begins to make it.
    ///
    /// # Errors
    /// [`Refusal::Exists`], [`Refusal::TooMany`].
    pub fn make(&mut self, id: &str) -> Result<(), Refusal> {
        if self.containers.contains_key(id) {
            return Err(Refusal::Exists);
        }
        if self.containers.len() >= CONTAINERS_MAX {
            return Err(Refusal::TooMany);
        }
        self.containers.insert(id.to_owned(), State::Making);
        self.making += 1;
        Ok(())
    }

    /// It could not be made.
    pub fn failed(&mut self, id: &str) {
        if self.containers.get(id) == Some(&State::Making) {
            self.containers.remove(id);
            self.making = self.making.saturating_sub(1);
            self.forget_unknown();
        }
    }

    /// It was made; Some: and has ended already.
    pub fn made(&mut self, id: &str, pid: i32, started_at: i64) -> Option<Exit> {
        let ended = self.take_unknown(pid);
        let state = match ended {
            Some(exit) => State::Exited {
                pid,
                started_at,
                exit,
            },
            None => {
                self.by_pid.insert(pid, id.to_owned());
                State::Running { pid, started_at }
            }
        };
        self.containers.insert(id.to_owned(), state);
        self.making = self.making.saturating_sub(1);
        self.forget_unknown();
        ended
    }

    /// Somebody begins to make a process in it.
    ///
    /// # Errors
    /// [`Refusal::NotRunning`], [`Refusal::TooManyExecs`].
    pub fn make_exec(&mut self, id: &str) -> Result<(), Refusal> {
        let Some(State::Running { .. }) = self.containers.get(id) else {
            return Err(Refusal::NotRunning);
        };
        if self.execs.len() + self.execs_making >= EXECS_MAX {
            return Err(Refusal::TooManyExecs);
        }
        self.execs_making += 1;
        Ok(())
    }

    /// It could not be made.
    pub fn exec_failed(&mut self) {
        self.execs_making = self.execs_making.saturating_sub(1);
        self.forget_unknown();
    }

    /// It was made, and has this number; Some: and has ended already.
    pub fn exec_made(&mut self, number: u64, pid: i32) -> Option<Exit> {
        let ended = self.take_unknown(pid);
        if ended.is_none() {
            self.execs.insert(pid, number);
        }
        self.exec_failed();
        ended
    }

    /// The process of exec with this number, if it runs.
    #[must_use]
    pub fn exec(&self, number: u64) -> Option<i32> {
        let found = self.execs.iter().find(|(_, known)| **known == number);
        found.map(|(pid, _)| *pid)
    }

    /// A process has ended.
    pub fn ended(&mut self, pid: i32, exit: Exit) -> Ended {
        if let Some(number) = self.execs.remove(&pid) {
            return Ended::Exec(number, exit);
        }
        if let Some(id) = self.by_pid.remove(&pid) {
            if let Some(State::Running { started_at, .. }) = self.containers.get(&id) {
                let started_at = *started_at;
                let state = State::Exited {
                    pid,
                    started_at,
                    exit,
                };
                self.containers.insert(id.clone(), state);
            }
            return Ended::Container(id, exit);
        }
        if self.making + self.execs_making > 0 {
            if self.unknown.len() >= UNKNOWN_MAX {
                self.unknown.pop_front();
            }
            self.unknown.push_back((pid, exit));
        }
        Ended::Unknown
    }

    /// Forgets one that has ended. Unknown ones are forgotten already.
    ///
    /// # Errors
    /// [`Refusal::Runs`].
    pub fn delete(&mut self, id: &str) -> Result<(), Refusal> {
        match self.containers.get(id) {
            Some(State::Making | State::Running { .. }) => Err(Refusal::Runs),
            Some(State::Exited { .. }) => {
                self.containers.remove(id);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The first process of one that runs.
    #[must_use]
    pub fn running(&self, id: &str) -> Option<i32> {
        match self.containers.get(id) {
            Some(State::Running { pid, .. }) => Some(*pid),
            _ => None,
        }
    }

    /// Whether it is being made, or runs.
    #[must_use]
    pub fn is_busy(&self, id: &str) -> bool {
        matches!(
            self.containers.get(id),
            Some(State::Making | State::Running { .. })
        )
    }

    /// No container, in any state.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.containers.is_empty()
    }

    /// All of them.
    pub fn known(&self) -> impl Iterator<Item = Known> {
        self.containers.iter().map(|(id, state)| {
            let (pid, started_at, exit) = match state {
                State::Making => (0, 0, None),
                State::Running { pid, started_at } => (*pid, *started_at, None),
                State::Exited {
                    pid,
                    started_at,
                    exit,
                } => (*pid, *started_at, Some(*exit)),
            };
            Known {
                id: id.clone(),
                pid,
                started_at,
                exit,
            }
        })
    }

    fn forget_unknown(&mut self) {
        if self.making + self.execs_making == 0 {
            self.unknown = VecDeque::new();
        }
    }

    fn take_unknown(&mut self, pid: i32) -> Option<Exit> {
        // The latest of that pid: numbers come again.
        let at = self.unknown.iter().rposition(|(known, _)| *known == pid)?;
        self.unknown.remove(at).map(|(_, exit)| exit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn exit(code: i32) -> Exit {
        Exit { code, at: 7 }
    }

    #[test]
    fn a_life() {
        let mut table = Table::default();
        assert_eq!(table.make("a"), Ok(()));
        assert_eq!(table.make("a"), Err(Refusal::Exists));
        assert_eq!(table.delete("a"), Err(Refusal::Runs));
        assert_eq!(table.make_exec("a"), Err(Refusal::NotRunning));
        assert_eq!(table.made("a", 10, 1), None);
        assert_eq!(table.running("a"), Some(10));
        assert_eq!(table.delete("a"), Err(Refusal::Runs));
        assert_eq!(
            table.ended(10, exit(3)),
            Ended::Container("a".to_owned(), exit(3))
        );
        assert_eq!(table.running("a"), None);
        assert_eq!(
            table.known().next().and_then(|known| known.exit),
            Some(exit(3))
        );
        assert_eq!(table.delete("a"), Ok(()));
        assert!(table.is_empty());
        assert_eq!(table.delete("a"), Ok(()));
    }

    #[test]
    fn who_ends_before_he_is_known_has_ended() {
        let mut table = Table::default();
        table.make("a").expect("new");
        assert_eq!(table.ended(10, exit(1)), Ended::Unknown);
        assert_eq!(table.made("a", 10, 1), Some(exit(1)));
        assert_eq!(table.running("a"), None);
        assert_eq!(table.make("b"), Ok(()));
        assert_eq!(table.made("b", 10, 1), None, "another of the same number");
        table.make_exec("b").expect("it runs");
        assert_eq!(table.ended(11, exit(2)), Ended::Unknown);
        assert_eq!(table.exec_made(5, 11), Some(exit(2)));
        table.make_exec("b").expect("it runs");
        assert_eq!(table.exec_made(6, 12), None);
        assert_eq!(table.ended(12, exit(0)), Ended::Exec(6, exit(0)));
        // What ended before anything was being made is nobody's, though its number comes again.
        assert_eq!(table.ended(13, exit(9)), Ended::Unknown);
        table.make("c").expect("new");
        assert_eq!(table.made("c", 13, 1), None);
    }

    #[test]
    fn everything_has_a_bound() {
        let mut table = Table::default();
        for number in 0..CONTAINERS_MAX {
            table.make(&number.to_string()).expect("within the bound");
        }
        assert_eq!(table.make("one more"), Err(Refusal::TooMany));
        table.made("0", 1, 0);
        for _ in 0..EXECS_MAX {
            table.make_exec("0").expect("within the bound");
        }
        assert_eq!(table.make_exec("0"), Err(Refusal::TooManyExecs));
        table.exec_failed();
        assert_eq!(table.make_exec("0"), Ok(()));
        for pid in 0..40_000 {
            table.ended(pid + 100, exit(0));
        }
        assert_eq!(table.unknown.len(), UNKNOWN_MAX);
    }

    #[test]
    fn a_failed_one_leaves_nothing() {
        let mut table = Table::default();
        table.make("a").expect("new");
        table.failed("a");
        assert!(table.is_empty());
        table.make("a").expect("new again");
        table.made("a", 1, 0);
        table.failed("a");
        assert!(table.is_busy("a"), "one that runs has not failed");
    }
}
