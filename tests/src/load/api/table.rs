//! The lines that are printed: a figure, upstream's where it is known, and what the project has set itself.

use crate::load::table::Unit;

/// What the project has set itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Bound {
    /// In the figure's unit.
    AtMost(f64),
    /// In the figure's unit.
    AtLeast(f64),
    /// It is there to understand the others.
    None,
}

/// One figure.
#[derive(Debug, Clone)]
pub(super) struct Row {
    what: String,
    unit: Unit,
    value: f64,
    bound: Bound,
    upstream: &'static str,
}

impl Row {
    /// A figure without a bound.
    pub(super) fn new(what: impl Into<String>, unit: Unit, value: f64) -> Self {
        Self {
            what: what.into(),
            unit,
            value,
            bound: Bound::None,
            upstream: "",
        }
    }

    /// What the project has set itself.
    pub(super) fn bound(self, bound: Bound) -> Self {
        Self { bound, ..self }
    }

    /// What upstream's took on the machine of the project's figures.
    pub(super) fn upstream(self, upstream: &'static str) -> Self {
        Self { upstream, ..self }
    }

    /// As it is printed.
    pub(super) fn line(&self) -> String {
        let verdict = match self.bound {
            Bound::AtMost(bound) => self.verdict("<=", bound, self.value <= bound),
            Bound::AtLeast(bound) => self.verdict(">=", bound, self.value >= bound),
            Bound::None => String::new(),
        };
        let line = format!(
            "  {:<52} {:>12}  {:<22} {verdict}",
            self.what,
            self.unit.show(self.value),
            self.upstream
        );
        line.trim_end().to_owned() + "\n"
    }

    fn verdict(&self, sign: &str, bound: f64, met: bool) -> String {
        let outcome = if met { "met" } else { "missed" };
        format!("{sign} {}  {outcome}", self.unit.show(bound))
    }
}

/// What stands above the columns.
pub(super) fn head() -> String {
    format!("  {:<52} {:>12}  {:<22} {}\n", "", "", "upstream", "bound")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_met_or_missed() {
        let check = |bound, expect: &str| {
            let row = Row::new("start", Unit::Seconds, 0.4).bound(bound);
            let line = row.upstream("4.1 s").line();
            let words: Vec<&str> = line.split_whitespace().collect();
            assert_eq!(words.join(" "), expect);
        };
        check(Bound::AtMost(0.3), "start 0.40 s 4.1 s <= 0.30 s missed");
        check(Bound::AtLeast(0.3), "start 0.40 s 4.1 s >= 0.30 s met");
        check(Bound::None, "start 0.40 s 4.1 s");
    }
}
