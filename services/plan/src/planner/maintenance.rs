//! Maintenance mode: why, whom the machine API trusts in it, and who works on ending it.
//!
//! ```text
//!   no config, or one from elsewhere that is not valid ──> open: the first comer may give a config
//!   a URL                                              ──> open, and `fetch-config` fetches the config
//!   a config on STATE that is not valid                ──> clients of its authority; closed without one
//! ```
//!
//! Only `init` writes STATE, and only what this planner found valid. So a config there that is not valid
//! comes from another release or is damaged, and the machine may belong to a cluster: it is not for the
//! first comer.

use super::{Hardware, SourceId, authority, build::chosen};
use init_proto::{
    plan::{ConfigSource, Mode, PLAN_VERSION, Plan},
    services,
};
use machine_config::{
    CertificateAndKey, SecretString,
    parts::{self, FetchConfigPart, Parts},
};

/// Longest reason of maintenance mode, in bytes: it goes to the console and through the API.
pub const REASON_MAX: usize = 8 * 1024;
const CUT: &str = "\n(cut; `orlopctl validate` shows all)";
const NO_CONFIG: &str = "No machine config was found. Apply one with `orlopctl apply-config`.";
const FETCHING: &str = "The kernel command line says where the machine config is, and it is being fetched. \
                        Another one may be applied meanwhile with `orlopctl apply-config`.";
const ITS_CLUSTER: &str = "This release cannot use the config on STATE. An admin of the machine's cluster may apply \
                           another one; or boot the release that wrote it.";
const CLOSED: &str = "Machine.ca cannot be read in it, so nobody can say whose this machine is, and it takes no \
                      config over the network. Boot the release that wrote this config, or wipe the disk.";

/// Nothing was found.
pub(super) fn without_config(notes: &[String], sandboxed: bool) -> Plan {
    let reason = if notes.is_empty() {
        NO_CONFIG.to_owned()
    } else {
        format!("{NO_CONFIG}\nPassed over:\n{}", notes.join("\n"))
    };
    plan(&reason, ConfigSource::None, parts::maintenance, sandboxed)
}

/// The config at `url` is to be fetched.
pub(super) fn fetching(source: SourceId, url: &str, hardware: &Hardware, sandboxed: bool) -> Plan {
    let part = FetchConfigPart {
        url: Some(SecretString::new(url.to_owned())),
        uuid: hardware.uuid.clone(),
        serial: hardware.serial.clone(),
    };
    let parts = |reason: &str| Parts {
        fetch_config: Some(part),
        ..parts::maintenance(reason)
    };
    Plan {
        explained_by: Some(services::FETCH_CONFIG.to_owned()),
        ..plan(FETCHING, source.config_source(), parts, sandboxed)
    }
}

/// A config was found and has problems.
pub(super) fn invalid(source: SourceId, config: &[u8], problems: &str, sandboxed: bool) -> Plan {
    let said = format!(
        "The machine config ({}) is not valid:\n{problems}",
        source.name()
    );
    let source_in_plan = source.config_source();
    if source != SourceId::State {
        return plan(&said, source_in_plan, parts::maintenance, sandboxed);
    }
    match authority::salvaged(config) {
        Some(ca) => {
            let reason = format!("{ITS_CLUSTER}\n{said}");
            let parts = |reason: &str| trusting(ca, reason);
            plan(&reason, source_in_plan, parts, sandboxed)
        }
        None => {
            let reason = format!("{CLOSED}\n{said}");
            let mut plan = plan(&reason, source_in_plan, parts::maintenance, sandboxed);
            services::close(&mut plan);
            plan
        }
    }
}

fn trusting(ca: CertificateAndKey, reason: &str) -> Parts {
    let mut parts = parts::maintenance(reason);
    parts.machine_api.ca_certificate = Some(ca.crt.to_string());
    parts.machine_api.ca_key = ca.key;
    parts
}

fn plan(
    reason: &str,
    source: ConfigSource,
    parts: impl FnOnce(&str) -> Parts,
    sandboxed: bool,
) -> Plan {
    let reason = bounded(reason);
    let parts = parts(&reason);
    let mode = Mode::Maintenance { reason };
    Plan {
        version: PLAN_VERSION,
        explained_by: None,
        source,
        store_config: None,
        sysctls: Vec::new(),
        modules: Vec::new(),
        installer: None,
        services: chosen(&mode, &parts, sandboxed),
        mode,
    }
}

/// At most [`REASON_MAX`] bytes, cut between two characters.
fn bounded(reason: &str) -> String {
    if reason.len() <= REASON_MAX {
        return reason.to_owned();
    }
    let mut end = REASON_MAX - CUT.len();
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{CUT}", &reason[..end])
}

#[cfg(test)]
mod tests {
    use super::super::build::tests::{config_of, found, text};
    use super::super::{Content, Search, plan};
    use super::*;
    use machine_config::parts::{MachineApiPart, decode};

    fn reason(plan: &Plan) -> &str {
        match &plan.mode {
            Mode::Maintenance { reason } => reason,
            other => panic!("{other:?}"),
        }
    }

    fn machine_api(plan: &Plan) -> MachineApiPart {
        decode(&config_of(plan, services::MACHINE_API)).unwrap()
    }

    fn closed(plan: &Plan) -> bool {
        let mut words = plan.services.iter().flat_map(|service| &service.command);
        words.any(|word| word == services::CLOSED)
    }

    #[test]
    fn every_problem_of_a_bad_config_is_in_the_reason() {
        let config = text("worker", "hostnam: x\nsysctls: 1\n");
        let plan = plan(&found(SourceId::NoCloud, &config), false);
        let reason = reason(&plan);
        for part in ["NoCloud volume", "hostnam", "sysctls"] {
            assert!(reason.contains(part), "{reason}");
        }
        assert_eq!(plan.store_config, None);
        assert!(plan.installer.is_none() && !closed(&plan));
        let api = machine_api(&plan);
        assert_eq!(api.maintenance_reason.as_deref(), Some(reason));
        assert_eq!(
            api.ca_certificate, None,
            "a machine without a cluster is open"
        );
    }

    #[test]
    fn a_machine_without_config_says_what_was_passed_over() {
        let mut search = Search::default();
        search.take(SourceId::State, Content::Unusable("no whole config".into()));
        let plan = plan(&search, false);
        assert!(reason(&plan).contains("STATE: no whole config"));
    }

    #[test]
    fn a_config_on_state_that_is_not_valid_keeps_its_trust() {
        for role in ["control-plane", "worker"] {
            let config = text(role, "aFieldOfTomorrow: 1\n");
            let plan = plan(&found(SourceId::State, &config), false);
            assert!(reason(&plan).contains("aFieldOfTomorrow"));
            let api = machine_api(&plan);
            assert_eq!(api.role, None);
            assert!(api.ca_certificate.unwrap().contains("BEGIN CERTIFICATE"));
            assert_eq!(api.ca_key.is_some(), role == "control-plane");
            assert!(!closed(&plan));
        }
    }

    #[test]
    fn without_an_authority_nobody_is_let_in() {
        let config = text("worker", "").replace("ca:\n", "authority:\n");
        let plan = plan(&found(SourceId::State, &config), false);
        assert!(closed(&plan));
        assert_eq!(machine_api(&plan).ca_certificate, None);
        assert!(reason(&plan).contains("takes no config"));
    }

    #[test]
    fn a_url_is_for_the_fetcher_alone() {
        let url = "https://user:secret@host/${uuid}";
        let mut search = Search {
            hardware: Hardware {
                uuid: Some("1-2".into()),
                serial: None,
            },
            ..Search::default()
        };
        assert!(search.take(SourceId::Url, Content::Url(url.into())));
        let plan = plan(&search, false);
        assert_eq!(plan.explained_by.as_deref(), Some(services::FETCH_CONFIG));
        assert_eq!(plan.source, ConfigSource::Url);
        assert!(!reason(&plan).contains("secret"));
        for service in &plan.services {
            let config = String::from_utf8_lossy(&service.config);
            let fetches = service.name == services::FETCH_CONFIG;
            assert_eq!(config.contains("secret"), fetches, "{}", service.name);
        }
        let part: FetchConfigPart = decode(&config_of(&plan, services::FETCH_CONFIG)).unwrap();
        assert_eq!(part.uuid.as_deref(), Some("1-2"));
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        for text in [
            "é".repeat(REASON_MAX),
            format!("x{}", "é".repeat(REASON_MAX)),
        ] {
            let reason = bounded(&text);
            assert!(reason.len() <= REASON_MAX && reason.ends_with(CUT));
        }
        assert_eq!(bounded("short"), "short");
    }
}
