//! From the result of the search to the plan: role, sysctls, modules, services with their configs.

use super::{Content, Search, SourceId, authority, maintenance};
use init_proto::{
    plan::{Mode, ModuleRequest, PLAN_VERSION, Plan, ServiceSpec},
    services,
};
use machine_config::{
    MachineConfig, Role,
    parts::{self, Parts},
};

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
        // `Search::take` ends with none of the last two.
        None | Some((_, Content::Nothing | Content::Unusable(_))) => {
            maintenance::without_config(&search.notes, sandboxed)
        }
        Some((source, Content::Config(bytes))) => {
            let valid = machine_config::parse(bytes)
                .map_err(|problems| problems.to_string())
                .and_then(|config| authority::check(&config).map(|()| config));
            match valid {
                Ok(config) => configured(&config, *source, bytes, sandboxed),
                Err(problems) => maintenance::invalid(*source, bytes, &problems, sandboxed),
            }
        }
        Some((source, Content::Url(url))) => {
            maintenance::fetching(*source, url, &search.hardware, sandboxed)
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
        explained_by: None,
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

/// The services of a node of this mode, each with its part.
pub(super) fn chosen(mode: &Mode, parts: &Parts, sandboxed: bool) -> Vec<ServiceSpec> {
    services::table()
        .into_iter()
        .filter(|entry| services::runs_in(entry, mode, sandboxed))
        .map(|entry| (entry.runs.needs_config, with_config(entry.spec, parts)))
        .filter(|(needs_config, spec)| !needs_config || !spec.config.is_empty())
        .map(|(_, spec)| spec)
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use init_proto::plan::ConfigSource;
    use machine_config::parts::{
        InstallTarget, InstallerPart, MachineApiPart, NetworkPart, decode,
    };
    use std::time::{Duration, SystemTime};

    /// A text as a YAML block under `name`.
    fn block(name: &str, text: &str) -> String {
        let lines: String = text.lines().map(|line| format!("    {line}\n")).collect();
        format!("  {name}: |\n{lines}")
    }

    /// A valid config of a machine with an authority of its own; `more` goes below `Machine`.
    pub(in super::super) fn text(role: &str, more: &str) -> String {
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

    pub(in super::super) fn found(source: SourceId, config: &str) -> Search {
        let mut search = Search::default();
        assert!(search.take(source, Content::Config(config.as_bytes().to_vec())));
        search
    }

    pub(in super::super) fn config_of(plan: &Plan, name: &str) -> Vec<u8> {
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
    fn a_whole_plan_fits_a_frame() {
        // The config is in the plan twice at most: as it is, and spread over the parts.
        let plan = plan(&found(SourceId::Esp, &text("worker", "")), false);
        assert!(init_proto::frame::encode(&plan).is_ok());
    }
}
