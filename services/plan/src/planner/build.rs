//! From the result of the search to the plan: role, sysctls, modules, services with their configs.

use super::{Content, Search, SourceId, authority};
use init_proto::{
    plan::{ConfigSource, Mode, ModuleRequest, PLAN_VERSION, Plan, ServiceSpec},
    services,
};
use machine_config::{
    MachineConfig, Role,
    parts::{self, Parts},
};

/// Longest reason of maintenance mode, in bytes: it goes to the console and through the API.
pub const REASON_MAX: usize = 8 * 1024;
const CUT: &str = "\n(cut; `orlopctl validate` shows all)";
const NO_CONFIG: &str = "No machine config was found. Apply one with `orlopctl apply-config`.";

/// Sysctl name prefixes that a sandboxed node may set: those of its own namespaces (network, IPC,
/// UTS). All others are the host's.
const SANDBOX_SYSCTLS: [&str; 8] = [
    "net.",
    "fs.mqueue.",
    "kernel.domainname",
    "kernel.hostname",
    "kernel.msg",
    "kernel.sem",
    "kernel.shm",
    "kernel.auto_msgmni",
];

/// The plan for what was found.
#[must_use]
pub(crate) fn plan(search: &Search, sandboxed: bool) -> Plan {
    match &search.found {
        None => maintenance(&not_found(&search.notes), ConfigSource::None, sandboxed),
        Some((source, Content::Config(bytes))) => {
            let invalid = |problems: &str| {
                let source_name = source.name();
                maintenance(
                    &format!("The machine config ({source_name}) is not valid:\n{problems}"),
                    source.config_source(),
                    sandboxed,
                )
            };
            match machine_config::parse(bytes) {
                Err(problems) => invalid(&problems.to_string()),
                Ok(config) => match authority::check(&config) {
                    Err(problem) => invalid(&problem),
                    Ok(()) => configured(&config, *source, bytes, sandboxed),
                },
            }
        }
        Some((source, Content::Url(url))) => maintenance(
            &format!(
                "The kernel command line says that the machine config is at {}, and this release \
                 does not fetch it. Apply it with `orlopctl apply-config`.",
                without_secrets(url)
            ),
            source.config_source(),
            sandboxed,
        ),
        // `Search::take` ends with neither of these.
        Some((source, Content::Nothing | Content::Unusable(_))) => {
            maintenance(NO_CONFIG, source.config_source(), sandboxed)
        }
    }
}

fn configured(config: &MachineConfig, source: SourceId, bytes: &[u8], sandboxed: bool) -> Plan {
    let mode = match config.machine.role {
        Role::ControlPlane => Mode::ControlPlane,
        Role::Worker => Mode::Worker,
    };
    let parts = parts::split(config);
    let installer = (!sandboxed).then(|| with_config(services::installer(), &parts));
    let modules = config
        .machine
        .kernel
        .iter()
        .flat_map(|kernel| &kernel.modules);
    Plan {
        version: PLAN_VERSION,
        source: source.config_source(),
        store_config: (source != SourceId::State).then(|| bytes.to_vec()),
        sysctls: config
            .machine
            .sysctls
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .filter(|(name, _)| !sandboxed || of_own_namespaces(name))
            .collect(),
        modules: if sandboxed {
            Vec::new()
        } else {
            modules
                .map(|module| ModuleRequest {
                    name: module.name.to_string(),
                    parameters: module.parameters.iter().map(ToString::to_string).collect(),
                })
                .collect()
        },
        installer,
        services: chosen(&mode, &parts, sandboxed),
        mode,
    }
}

fn maintenance(reason: &str, source: ConfigSource, sandboxed: bool) -> Plan {
    let reason = bounded(reason);
    let parts = parts::maintenance(&reason);
    let mode = Mode::Maintenance { reason };
    Plan {
        version: PLAN_VERSION,
        source,
        store_config: None,
        sysctls: Vec::new(),
        modules: Vec::new(),
        installer: None,
        services: chosen(&mode, &parts, sandboxed),
        mode,
    }
}

fn chosen(mode: &Mode, parts: &Parts, sandboxed: bool) -> Vec<ServiceSpec> {
    services::table()
        .into_iter()
        .filter(|entry| services::runs_in(entry, mode, sandboxed))
        .map(|entry| with_config(entry.spec, parts))
        .collect()
}

fn with_config(spec: ServiceSpec, parts: &Parts) -> ServiceSpec {
    ServiceSpec {
        config: parts.for_service(&spec.name),
        ..spec
    }
}

fn of_own_namespaces(sysctl: &str) -> bool {
    SANDBOX_SYSCTLS
        .iter()
        .any(|prefix| sysctl.starts_with(prefix))
}

fn not_found(notes: &[String]) -> String {
    if notes.is_empty() {
        return NO_CONFIG.to_owned();
    }
    format!("{NO_CONFIG}\nPassed over:\n{}", notes.join("\n"))
}

/// A URL for people: user information and query may hold a password.
fn without_secrets(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}/{path}")
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
    use super::*;
    use machine_config::parts::{
        InstallTarget, InstallerPart, MachineApiPart, NetworkPart, decode,
    };
    use std::time::{Duration, SystemTime};

    /// A text as a YAML block under `name`.
    fn block(name: &str, text: &str) -> String {
        let lines: String = text.lines().map(|line| format!("    {line}\n")).collect();
        format!("  {name}: |\n{lines}")
    }

    fn text(role: &str, more: &str) -> String {
        let validity = pki::Validity::new(SystemTime::now(), Duration::from_secs(3600));
        let ca = pki::CertificateAuthority::generate("test", validity).unwrap();
        let mut pem = block("crt", ca.certificate());
        if role != "worker" {
            pem.push_str(&block("key", ca.key().expose()));
        }
        format!(
            "apiVersion: v1alpha1\nkind: Machine\nrole: {role}\nca:\n{pem}\
             token: abcdefghijklmnopqrst\n{more}"
        )
    }

    fn found(source: SourceId, config: &str) -> Search {
        let mut search = Search::default();
        assert!(search.take(source, Content::Config(config.as_bytes().to_vec())));
        search
    }

    fn config_of(plan: &Plan, name: &str) -> Vec<u8> {
        let service = plan.services.iter().find(|service| service.name == name);
        service.expect("it is in the plan").config.clone()
    }

    #[test]
    fn a_control_plane_machine_gets_its_parts() {
        let more = "hostname: one\nsysctls:\n  net.ipv4.ip_forward: 1\n  vm.swappiness: 10\n\
                    kernel:\n  modules:\n    - name: nbd\n      parameters: [max_part=1]\n\
                    install:\n  disk: /dev/vda\n  wipe: true\n";
        let config = text("control-plane", more);
        let plan = plan(&found(SourceId::FwCfg, &config), false);
        assert_eq!(plan.mode, Mode::ControlPlane);
        assert_eq!(plan.source, ConfigSource::FwCfg);
        assert_eq!(plan.store_config.as_deref(), Some(config.as_bytes()));
        assert_eq!(plan.sysctls.len(), 2);
        assert_eq!(plan.modules[0].parameters, ["max_part=1"]);
        let installer: InstallerPart = decode(&plan.installer.as_ref().unwrap().config).unwrap();
        assert_eq!(installer.target, InstallTarget::Path("/dev/vda".into()));
        assert!(installer.wipe);
        let api: MachineApiPart = decode(&config_of(&plan, "machine-api")).unwrap();
        assert!(api.ca_key.is_some() && api.maintenance_reason.is_none());
        let network = config_of(&plan, "network");
        assert!(!String::from_utf8_lossy(&network).contains("PRIVATE"));
        let network: NetworkPart = decode(&network).unwrap();
        assert_eq!(network.hostname.as_deref(), Some("one"));
    }

    #[test]
    fn a_config_from_state_is_not_stored_again() {
        let plan = plan(&found(SourceId::State, &text("worker", "")), false);
        assert_eq!(plan.mode, Mode::Worker);
        assert_eq!(plan.store_config, None);
    }

    #[test]
    fn a_sandbox_leaves_the_host_alone() {
        let more = "sysctls:\n  net.ipv4.ip_forward: 1\n  vm.swappiness: 10\n\
                    kernel:\n  modules:\n    - name: nbd\n";
        let plan = plan(&found(SourceId::Sandbox, &text("worker", more)), true);
        assert_eq!(plan.sysctls, [("net.ipv4.ip_forward".into(), "1".into())]);
        assert!(plan.modules.is_empty() && plan.installer.is_none());
        assert!(plan.services.iter().all(|service| service.name != "time"));
    }

    #[test]
    fn every_problem_of_a_bad_config_is_in_the_reason() {
        let config = text("worker", "hostnam: x\nsysctls: 1\n");
        let plan = plan(&found(SourceId::NoCloud, &config), false);
        let Mode::Maintenance { reason } = &plan.mode else {
            panic!("{:?}", plan.mode);
        };
        assert!(reason.contains("NoCloud volume"), "{reason}");
        assert!(
            reason.contains("hostnam") && reason.contains("sysctls"),
            "{reason}"
        );
        assert_eq!(plan.store_config, None);
        assert!(plan.installer.is_none());
        let api: MachineApiPart = decode(&config_of(&plan, "machine-api")).unwrap();
        assert_eq!(api.maintenance_reason.as_ref(), Some(reason));
    }

    #[test]
    fn an_authority_that_is_none_is_a_problem() {
        let good = text("worker", "");
        let (begin, end) = (
            good.find("    MII").unwrap(),
            good.find("    -----END").unwrap(),
        );
        let config = format!("{}    AAAA\n{}", &good[..begin], &good[end..]);
        let Mode::Maintenance { reason } = plan(&found(SourceId::Esp, &config), false).mode else {
            panic!("nobody could reach this node");
        };
        assert!(reason.contains("Machine.ca"), "{reason}");
    }

    #[test]
    fn a_machine_without_config_says_what_was_passed_over() {
        let mut search = Search::default();
        search.take(SourceId::State, Content::Unusable("no whole config".into()));
        let Mode::Maintenance { reason } = plan(&search, false).mode else {
            panic!("there is no config");
        };
        assert!(reason.contains("STATE: no whole config"), "{reason}");
    }

    #[test]
    fn a_url_is_named_without_its_secrets() {
        assert_eq!(
            without_secrets("https://user:pw@host:8443/a/b?token=x#y"),
            "https://host:8443/a/b"
        );
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

    #[test]
    fn a_whole_plan_fits_a_frame() {
        // The config is in the plan twice at most: as it is, and spread over the parts.
        let plan = plan(&found(SourceId::Esp, &text("worker", "")), false);
        assert!(init_proto::frame::encode(&plan).is_ok());
    }
}
