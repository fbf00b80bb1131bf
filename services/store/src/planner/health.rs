//! Whether a member is well, in etcd's forms: `/health` as JSON, `/livez` and `/readyz` as lines of checks.

use super::state::Alarm;
use etcd_proto::etcdserverpb::AlarmType;
use std::collections::BTreeSet;

/// What was seen of the member.
#[derive(Debug)]
pub struct Observed {
    /// Raised alarms.
    pub alarms: BTreeSet<Alarm>,
    /// Whether somebody leads.
    pub has_leader: bool,
    /// What came of a small read: etcd's text where it failed.
    pub read: Result<(), String>,
}

/// Why `/health` says no; None where it says yes.
///
/// `exclude` names alarms that do not count; a `serializable` question is about this member alone, and needs no leader.
#[must_use]
pub fn illness(observed: &Observed, exclude: &[String], serializable: bool) -> Option<String> {
    for alarm in &observed.alarms {
        let name = alarm_name(alarm);
        if !exclude.iter().any(|excluded| excluded == name) {
            return Some(format!("ALARM {name}"));
        }
    }
    if !serializable && !observed.has_leader {
        return Some("RAFT NO LEADER".to_owned());
    }
    let failed = observed.read.as_ref().err();
    failed.map(|error| format!("RANGE ERROR:{error}"))
}

fn alarm_name(alarm: &Alarm) -> &'static str {
    match AlarmType::try_from(alarm.kind) {
        Ok(AlarmType::Nospace) => "NOSPACE",
        Ok(AlarmType::Corrupt) => "CORRUPT",
        Ok(AlarmType::None) | Err(_) => "UNKNOWN",
    }
}

/// The checks of `/livez` and `/readyz`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// No alarm about members that disagree.
    DataCorruption,
    /// This member answers from its own state.
    SerializableRead,
    /// The cluster answers.
    LinearizableRead,
}

impl Check {
    /// Of `/livez`: a restart would help.
    pub const LIVE: &[Self] = &[Self::SerializableRead];
    /// Of `/readyz`: clients should come.
    pub const READY: &[Self] = &[
        Self::DataCorruption,
        Self::SerializableRead,
        Self::LinearizableRead,
    ];

    /// Its name in a path, and in the lines.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DataCorruption => "data_corruption",
            Self::SerializableRead => "serializable_read",
            Self::LinearizableRead => "linearizable_read",
        }
    }
}

/// The answer of `/livez` or `/readyz`: whether all is well, and the text. All lines are in it where one check failed or
/// the client wants them (`verbose`).
#[must_use]
pub fn lines(path: &str, results: &[(Check, Result<(), String>)], verbose: bool) -> (bool, String) {
    let mut text = String::new();
    let mut well = true;
    for (check, result) in results {
        let name = check.name();
        match result {
            Ok(()) => text.push_str(&format!("[+]{name} ok\n")),
            Err(error) => {
                well = false;
                text.push_str(&format!("[-]{name} failed: {error}\n"));
            }
        }
    }
    let text = match (well, verbose) {
        (false, _) => format!("{text}{path} check failed\n"),
        (true, true) => format!("{text}{path} check passed\n"),
        (true, false) => "ok\n".to_owned(),
    };
    (well, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(kinds: &[AlarmType], has_leader: bool, read: Result<(), &str>) -> Observed {
        let alarm = |kind: &AlarmType| Alarm {
            member: 1,
            kind: (*kind).into(),
        };
        Observed {
            alarms: kinds.iter().map(alarm).collect(),
            has_leader,
            read: read.map_err(str::to_owned),
        }
    }

    #[test]
    fn reasons_are_etcds_and_come_in_its_order() {
        let check = |observed: Observed, exclude: &[&str], serializable, expect: Option<&str>| {
            let exclude: Vec<_> = exclude.iter().map(|&name| name.to_owned()).collect();
            assert_eq!(
                illness(&observed, &exclude, serializable).as_deref(),
                expect
            );
        };
        let full = &[AlarmType::Nospace];
        check(observed(&[], true, Ok(())), &[], false, None);
        check(
            observed(full, false, Ok(())),
            &[],
            false,
            Some("ALARM NOSPACE"),
        );
        check(
            observed(&[AlarmType::Corrupt], true, Ok(())),
            &["NOSPACE"],
            false,
            Some("ALARM CORRUPT"),
        );
        check(observed(full, true, Ok(())), &["NOSPACE"], false, None);
        check(
            observed(&[], false, Err("late")),
            &[],
            false,
            Some("RAFT NO LEADER"),
        );
        check(observed(&[], false, Ok(())), &[], true, None);
        check(
            observed(&[], true, Err("late")),
            &[],
            false,
            Some("RANGE ERROR:late"),
        );
    }

    #[test]
    fn lines_of_checks() {
        let well = [(Check::SerializableRead, Ok(()))];
        assert_eq!(lines("/livez", &well, false), (true, "ok\n".to_owned()));
        assert_eq!(
            lines("/livez", &well, true),
            (
                true,
                "[+]serializable_read ok\n/livez check passed\n".to_owned()
            )
        );
        let ill = [
            (Check::DataCorruption, Ok(())),
            (Check::LinearizableRead, Err("no leader".to_owned())),
        ];
        let expect =
            "[+]data_corruption ok\n[-]linearizable_read failed: no leader\n/readyz check failed\n";
        assert_eq!(lines("/readyz", &ill, false), (false, expect.to_owned()));
    }
}
