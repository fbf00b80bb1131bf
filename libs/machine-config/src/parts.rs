//! The parts of a machine config that each service gets: no service sees more than it works with.
//!
//! ```text
//!   MachineConfig ── split ──> Parts ── for_service(name) ──> bytes of the service's config file
//!                                                                   │
//!                        the service <── decode ────────────────────┘
//! ```
//!
//! Invariants: a part without bytes is the part's default, so a service starts without any config;
//! secrets travel in clear in the bytes (the file has mode 0400 and the service's owner) and are
//! redacted by `Debug`; a secret is in the part of the service that uses it and in no other.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    documents::{Dhcp4, DiskSelector, Link, LinkSelector, Resolver, Role, Time},
    kinds::MachineConfig,
    secret::{SecretString, to_value_exposed},
};

/// Links that a node without `Link` documents sets up by DHCP: the names that the kernel gives to
/// Ethernet hardware (`eth0`, `enp1s0`), and not those of tunnels, bridges and pods.
pub const DEFAULT_LINKS: &str = "e*";

/// Part of the network service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkPart {
    /// Host name from the config; without it from DHCP, else from the machine's identity.
    pub hostname: Option<String>,
    /// Links in the order of the file: the first whose selector fits a link counts.
    pub links: Vec<Link>,
    /// Replaces what DHCP says of nameservers.
    pub resolver: Option<Resolver>,
}

impl NetworkPart {
    /// The links as they shall be: those of the config or, where it names none (and in maintenance
    /// mode), every link that fits [`DEFAULT_LINKS`], by DHCP and router advertisements.
    #[must_use]
    pub fn links_or_default(&self) -> Vec<Link> {
        if !self.links.is_empty() {
            return self.links.clone();
        }
        vec![Link {
            selector: LinkSelector {
                name: Some(DEFAULT_LINKS.parse().expect("a constant pattern")),
                ..LinkSelector::default()
            },
            up: true,
            mtu: None,
            addresses: Vec::new(),
            dhcp4: Dhcp4 {
                enabled: true,
                ..Dhcp4::default()
            },
            accept_router_advertisements: true,
            routes: Vec::new(),
        }]
    }
}

/// Part of the time service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct TimePart {
    /// The `Time` document; without it [`Time::default`].
    pub time: Option<Time>,
}

/// Part of the machine API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct MachineApiPart {
    /// Role of the machine; `None` in maintenance mode.
    pub role: Option<Role>,
    /// Why the machine is in maintenance mode, one paragraph; `None` when it is not.
    pub maintenance_reason: Option<String>,
    /// Name of the cluster, where the config has one.
    pub cluster_name: Option<String>,
    /// Host name from the config.
    pub hostname: Option<String>,
    /// Certificate of the authority that signs servers and clients of the machine API, in PEM. `None` in
    /// maintenance mode, unless the machine has a config from which at least this can be read.
    pub ca_certificate: Option<String>,
    /// Its key, in PEM; only on control-plane machines.
    pub ca_key: Option<SecretString>,
    /// More names and addresses for the server's certificate.
    #[serde(rename = "certSANs")]
    pub cert_sans: Vec<String>,
}

/// Part of the installer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct InstallerPart {
    /// Which disk gets the system's partitions.
    pub target: InstallTarget,
    /// Whether foreign data on that disk may be overwritten.
    pub wipe: bool,
}

/// Which disk gets the system's partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum InstallTarget {
    /// The disk that the machine booted from.
    #[default]
    BootDisk,
    /// The disk with this device file, such as `/dev/vda`.
    Path(String),
    /// The one disk that fits.
    Selector(DiskSelector),
}

/// Part of the config fetcher; not from a machine config, but in its place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct FetchConfigPart {
    /// Where the machine config is, as the kernel command line has it: it may hold a password and
    /// variables.
    pub url: Option<SecretString>,
    /// The machine's SMBIOS UUID, for the variable of this name.
    pub uuid: Option<String>,
    /// The machine's SMBIOS serial number, for the variable of this name.
    pub serial: Option<String>,
}

/// One part for each service that has one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// `orlop network`.
    pub network: NetworkPart,
    /// `orlop time`.
    pub time: TimePart,
    /// `orlop machine-api`.
    pub machine_api: MachineApiPart,
    /// `orlop installer`.
    pub installer: InstallerPart,
    /// `orlop fetch-config`, where there is something to fetch.
    pub fetch_config: Option<FetchConfigPart>,
}

/// Bytes that are not the part they should be. The bytes are not repeated: they may hold secrets.
#[derive(Debug, thiserror::Error)]
#[error("service config is malformed at line {line}, column {column}")]
pub struct PartError {
    /// Line of the JSON text, from 1.
    pub line: usize,
    /// Column of the JSON text, from 1.
    pub column: usize,
}

/// Takes a config apart.
#[must_use]
pub fn split(config: &MachineConfig) -> Parts {
    let machine = &config.machine;
    let hostname = machine.hostname.as_ref().map(ToString::to_string);
    Parts {
        network: NetworkPart {
            hostname: hostname.clone(),
            links: config.links.clone(),
            resolver: config.resolver.clone(),
        },
        time: TimePart {
            time: config.time.clone(),
        },
        machine_api: MachineApiPart {
            role: Some(machine.role),
            maintenance_reason: None,
            cluster_name: config
                .cluster
                .as_ref()
                .map(|cluster| cluster.name.to_string()),
            hostname,
            ca_certificate: Some(machine.ca.crt.to_string()),
            ca_key: machine.ca.key.clone(),
            cert_sans: machine.cert_sans.iter().map(ToString::to_string).collect(),
        },
        installer: InstallerPart {
            target: target(config),
            wipe: machine.install.as_ref().is_some_and(|install| install.wipe),
        },
        fetch_config: None,
    }
}

/// The parts of a machine without a valid config.
#[must_use]
pub fn maintenance(reason: &str) -> Parts {
    Parts {
        machine_api: MachineApiPart {
            maintenance_reason: Some(reason.to_owned()),
            ..MachineApiPart::default()
        },
        ..Parts::default()
    }
}

impl Parts {
    /// The bytes of the config file of the service with this name; empty for a service that has no
    /// part. The one table of services and parts.
    #[must_use]
    pub fn for_service(&self, name: &str) -> Vec<u8> {
        match name {
            "network" => encode(&self.network),
            "time" => encode(&self.time),
            "machine-api" => encode(&self.machine_api),
            "installer" => encode(&self.installer),
            "fetch-config" => self.fetch_config.as_ref().map(encode).unwrap_or_default(),
            _ => Vec::new(),
        }
    }
}

/// A part as the service's config file holds it: JSON with secrets in clear.
#[must_use]
pub fn encode<T: Serialize>(part: &T) -> Vec<u8> {
    to_value_exposed(part)
        .expect("every key of a part is text")
        .to_string()
        .into_bytes()
}

/// Reads a part back; no bytes are the default.
///
/// # Errors
/// [`PartError`] where the bytes are not the part that they should be: `init`, the planner and the
/// service are not of one release.
pub fn decode<T: DeserializeOwned + Default>(bytes: &[u8]) -> Result<T, PartError> {
    if bytes.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(bytes).map_err(|error| PartError {
        line: error.line(),
        column: error.column(),
    })
}

fn target(config: &MachineConfig) -> InstallTarget {
    let Some(install) = &config.machine.install else {
        return InstallTarget::BootDisk;
    };
    match (&install.disk, &install.disk_selector) {
        (Some(path), _) => InstallTarget::Path(path.to_string()),
        (None, Some(selector)) => InstallTarget::Selector(selector.clone()),
        (None, None) => InstallTarget::BootDisk,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bytes_are_the_defaults() {
        assert_eq!(decode::<NetworkPart>(b"").unwrap(), NetworkPart::default());
        assert_eq!(
            decode::<MachineApiPart>(b"").unwrap(),
            MachineApiPart::default()
        );
        assert_eq!(
            decode::<InstallerPart>(b"").unwrap(),
            InstallerPart::default()
        );
    }

    #[test]
    fn a_secret_travels_and_is_not_shown() {
        let part = MachineApiPart {
            role: Some(Role::ControlPlane),
            ca_key: Some(SecretString::new("the key".into())),
            ..MachineApiPart::default()
        };
        let bytes = encode(&part);
        assert!(String::from_utf8_lossy(&bytes).contains("the key"));
        let back: MachineApiPart = decode(&bytes).unwrap();
        assert_eq!(back, part);
        assert_eq!(back.ca_key.as_ref().unwrap().expose(), "the key");
        assert!(!format!("{back:?}").contains("the key"));
    }

    #[test]
    fn malformed_bytes_are_an_error_that_repeats_nothing() {
        let error = decode::<MachineApiPart>(br#"{"caKey": ["hush"]}"#).unwrap_err();
        assert!(!format!("{error:?}{error}").contains("hush"));
    }

    #[test]
    fn without_link_documents_ethernet_takes_dhcp() {
        let links = NetworkPart::default().links_or_default();
        assert_eq!(links.len(), 1);
        assert!(links[0].up && links[0].dhcp4.enabled);
        let facts = |name| crate::documents::LinkFacts {
            name,
            ..Default::default()
        };
        assert!(links[0].selector.matches(&facts("eth0")));
        assert!(!links[0].selector.matches(&facts("lo")));
        assert!(!links[0].selector.matches(&facts("veth12")));
    }

    #[test]
    fn every_service_with_a_part_gets_its_own_and_no_other() {
        let parts = maintenance("no config");
        assert_eq!(parts.for_service("unknown"), b"");
        assert_eq!(
            parts.for_service("fetch-config"),
            b"",
            "it has nothing to do"
        );
        for name in ["network", "time", "installer"] {
            let bytes = parts.for_service(name);
            assert!(!bytes.is_empty());
            assert!(!String::from_utf8_lossy(&bytes).contains("no config"));
        }
        let api: MachineApiPart = decode(&parts.for_service("machine-api")).unwrap();
        assert_eq!(api.maintenance_reason.as_deref(), Some("no config"));
    }
}
