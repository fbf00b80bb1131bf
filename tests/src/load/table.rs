//! Figures: what was measured of both, as ratios, beside what the project has set itself.

use crate::store::Kind;

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Shown in microseconds or milliseconds.
    Microseconds,
    /// Shown in seconds.
    Seconds,
    /// Shown per second.
    PerSecond,
    /// Shown in MiB.
    Bytes,
    /// Shown as a number.
    Times,
    /// A share, shown in hundredths.
    Percent,
    /// Bytes per second, shown in millions.
    Throughput,
}

impl Unit {
    /// A number with its unit.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Microseconds if value >= 10_000.0 => format!("{:.1} ms", value / 1000.0),
            Self::Microseconds => format!("{value:.0} us"),
            Self::Seconds => format!("{value:.2} s"),
            Self::PerSecond => format!("{value:.0} /s"),
            Self::Bytes => format!("{:.1} MiB", value / (1024.0 * 1024.0)),
            Self::Times => format!("{value:.2}"),
            Self::Percent => format!("{:.2} %", value * 100.0),
            Self::Throughput => format!("{:.0} MB/s", value / 1e6),
        }
    }
}

/// What the project has set itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// Ours is at most this many times the peer's.
    AtMost(f64),
    /// Ours is at least this many times the peer's.
    AtLeast(f64),
    /// Ours is at most this, in the figure's unit, whatever the peer's is.
    Within(f64),
    /// It is there to understand the others.
    None,
}

/// One number of one run.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    /// What it says; the same in every run.
    pub what: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// What the project has set itself.
    pub goal: Goal,
    /// The number.
    pub value: f64,
}

impl Figure {
    /// A figure.
    #[must_use]
    pub const fn new(what: &'static str, unit: Unit, goal: Goal, value: f64) -> Self {
        Self {
            what,
            unit,
            goal,
            value,
        }
    }
}

/// What stands above the columns; `peer` is what ours is held against.
#[must_use]
pub fn head(peer: &str) -> String {
    format!(
        "{:<44} {:>12} {:>12} {:>8}  {:<16} {}\n",
        "", peer, "orlop", "ratio", "rounds", "goal"
    )
}

/// The lines of one scenario: `runs` are its figures by round and program. The median of each program counts; where there
/// is more than one round, the smallest and the greatest ratio of a round are shown.
#[must_use]
pub fn lines(runs: &[(Kind, Vec<Figure>)]) -> String {
    let Some((_, first)) = runs.first() else {
        return String::new();
    };
    let mut text = String::new();
    for (at, figure) in first.iter().enumerate() {
        let of = |kind: Kind| -> Vec<f64> {
            runs.iter()
                .filter(|(ran, _)| *ran == kind)
                .filter_map(|(_, figures)| figures.get(at).map(|figure| figure.value))
                .collect()
        };
        let (etcd, orlop) = (of(Kind::Etcd), of(Kind::Orlop));
        text.push_str(&line(figure, &etcd, &orlop));
    }
    text
}

/// One line: the medians of both, their ratio, and how it spreads where there are several.
pub(super) fn line(figure: &Figure, peer: &[f64], orlop: &[f64]) -> String {
    let shown = |values: &[f64]| median(values).map(|value| figure.unit.show(value));
    let ratio = median(orlop)
        .zip(median(peer))
        .map(|(orlop, peer)| orlop / peer);
    let mut ratios: Vec<f64> = peer
        .iter()
        .zip(orlop)
        .map(|(peer, orlop)| orlop / peer)
        .collect();
    ratios.sort_by(f64::total_cmp);
    let spread = match *ratios {
        [least, .., most] => format!("{least:.2} to {most:.2}"),
        _ => String::new(),
    };
    let missing = || "-".to_owned();
    format!(
        "{:<44} {:>12} {:>12} {:>8}  {:<16} {}\n",
        figure.what,
        shown(peer).unwrap_or_else(missing),
        shown(orlop).unwrap_or_else(missing),
        ratio.map_or_else(missing, |ratio| format!("{ratio:.2}")),
        spread,
        verdict(figure, ratio, median(orlop)),
    )
    .trim_end()
    .to_owned()
        + "\n"
}

fn verdict(figure: &Figure, ratio: Option<f64>, ours: Option<f64>) -> String {
    let (text, met) = match figure.goal {
        Goal::AtMost(bound) => (format!("<= {bound:.2}"), ratio.map(|ratio| ratio <= bound)),
        Goal::AtLeast(bound) => (format!(">= {bound:.2}"), ratio.map(|ratio| ratio >= bound)),
        Goal::Within(bound) => (
            format!("<= {}", figure.unit.show(bound)),
            ours.map(|ours| ours <= bound),
        ),
        Goal::None => return String::new(),
    };
    match met {
        Some(true) => format!("{text}  met"),
        Some(false) => format!("{text}  missed"),
        None => text,
    }
}

/// The one in the middle.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(goal: Goal, etcd: &[f64], orlop: &[f64], expect: &str) {
        let figure = Figure::new("puts", Unit::PerSecond, goal, 0.0);
        let line = line(&figure, etcd, orlop);
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words.join(" "), expect);
    }

    #[test]
    fn the_median_counts_and_the_spread_is_of_rounds() {
        check(
            Goal::AtLeast(2.0),
            &[10.0, 20.0, 12.0],
            &[30.0, 30.0, 20.0],
            "puts 12 /s 30 /s 2.50 1.50 to 3.00 >= 2.00 met",
        );
    }

    #[test]
    fn a_goal_of_one_s_own_needs_no_other() {
        check(
            Goal::Within(5.0),
            &[],
            &[6.0],
            "puts - 6 /s - <= 5 /s missed",
        );
        check(Goal::AtMost(5.0), &[], &[6.0], "puts - 6 /s - <= 5.00");
    }
}
