//! Rules between fields and between documents: what the types alone cannot refuse.
//!
//! Rules see typed documents. A rule says nothing about a place where the type check has already
//! found something, so that one mistake is one problem.

mod cluster;
mod link;
mod machine;
mod others;

use std::collections::BTreeMap;

use crate::check::Positions;
use crate::kinds::{Documents, Placed};
use crate::problem::{Collector, Position, Problem};

/// Runs every rule over the documents that could be typed.
pub(crate) fn check(
    documents: &Documents,
    positions: &BTreeMap<usize, Positions>,
    problems: &mut Collector,
) {
    let mut report = Report {
        positions,
        problems,
        found: Vec::new(),
    };
    for placed in &documents.machine {
        machine::check(placed, &mut report);
    }
    for placed in &documents.cluster {
        cluster::check(placed, &mut report);
        if let Some(machine) = documents.machine.first() {
            cluster::check_secrets(placed, machine.value.role, &mut report);
        }
    }
    for placed in &documents.links {
        link::check(placed, &mut report);
    }
    link::check_together(documents, &mut report);
    for placed in &documents.resolver {
        others::check_resolver(placed, &mut report);
    }
    for placed in &documents.time {
        others::check_time(placed, &mut report);
    }
    report.finish();
}

/// Where rules put what they find.
pub(super) struct Report<'a> {
    positions: &'a BTreeMap<usize, Positions>,
    problems: &'a mut Collector,
    found: Vec<Problem>,
}

impl Report<'_> {
    /// A problem at a path of a document. A path that is not in the text (a field that is missing)
    /// gets the position of the closest part of it that is.
    pub(super) fn at<T>(
        &mut self,
        placed: &Placed<T>,
        path: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let path = path.into();
        if self.problems.covers(placed.document, &path) {
            return;
        }
        let at = self.position(placed, &path);
        let hint = hint.into();
        self.found.push(Problem {
            document: placed.document,
            path,
            line: at.line,
            column: at.column,
            message: message.into(),
            hint: (!hint.is_empty()).then_some(hint),
        });
    }

    /// The line of a document, for messages that point to another one.
    pub(super) fn line<T>(&self, placed: &Placed<T>, path: &str) -> usize {
        self.position(placed, path).line
    }

    fn position<T>(&self, placed: &Placed<T>, path: &str) -> Position {
        let Some(positions) = self.positions.get(&placed.document) else {
            return placed.position;
        };
        let mut path = path;
        loop {
            if let Some(position) = positions.get(path) {
                return *position;
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => return placed.position,
            }
        }
    }

    /// Hands the problems over at the end: rules do not silence one another.
    fn finish(self) {
        for problem in self.found {
            self.problems.add(problem);
        }
    }
}
