//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use machine_client::Fingerprint;
use std::{path::PathBuf, time::Duration};

/// Exit codes, shown by `--help` and documented in docs/reference/orlopctl.md.
const EXIT_CODES: &str = "Exit codes:
  0  done
  1  failed in another way
  2  the command line is wrong
  3  a config, a file's content or an argument is not valid
  4  the node cannot be reached
  5  TLS: the node or this client is not trusted
  6  the role of the client certificate does not suffice
  7  no such service, resource or context
  8  not in this state of the node (maintenance mode, a reboot is needed, ...)
  9  no answer in time
 10  a local file cannot be read or written, or exists already";

/// Talks to Orlop nodes; makes secrets and configs.
#[derive(Debug, Parser)]
#[command(name = "orlopctl", version = version(), after_help = EXIT_CODES, propagate_version = true)]
pub(crate) struct Arguments {
    /// Where and how to connect.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

fn version() -> &'static str {
    option_env!("ORLOP_VERSION").unwrap_or(env!("CARGO_PKG_VERSION"))
}

/// Flags of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Node to talk to, in place of the context's: address or name, with :PORT if it is not 50000 (IPv6 then in
    /// brackets).
    #[arg(long, short = 'n', global = true, value_name = "NODE")]
    pub(crate) node: Option<String>,
    /// Context of the client config, in place of its current one.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Client config; ~/.orlop/config unless told.
    #[arg(long, global = true, value_name = "FILE", env = "ORLOPCONFIG")]
    pub(crate) orlopconfig: Option<PathBuf>,
    /// Form of the results.
    #[arg(long, short = 'o', global = true, value_enum, default_value_t)]
    pub(crate) output: Format,
    /// Longest time for the connection, and for the answer of a call that is no stream: 500ms, 30s, 2m.
    #[arg(long, global = true, value_name = "TIME", default_value = "30s", value_parser = crate::values::span)]
    pub(crate) timeout: Duration,
    /// Sends no client certificate: for nodes in maintenance mode.
    #[arg(long, short = 'i', global = true)]
    pub(crate) insecure: bool,
    /// Takes only the node whose certificate has this SHA-256 fingerprint, in place of the context's CA.
    /// The node's console shows it.
    #[arg(long, global = true, value_name = "SHA256")]
    pub(crate) fingerprint: Option<Fingerprint>,
}

/// Form of results.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// One JSON value; streams give one per line.
    Json,
    /// YAML; streams give one document per message.
    Yaml,
}

/// Every command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Versions, identity and mode of the node.
    Version {
        /// Only the version of this program; no node is asked.
        #[arg(long)]
        client: bool,
    },
    /// Validates a machine config at the node, stores it there and acts on it.
    ApplyConfig(ApplyConfig),
    /// Resources of a kind, or "config": the node's machine config. Without a kind: the kinds.
    Get(Get),
    /// Boot phases with their times.
    BootPhases,
    /// Supervised services.
    Services,
    /// Starts, stops or restarts a service.
    Service {
        /// Its name.
        name: String,
        /// What to do.
        action: ServiceAction,
    },
    /// Output of a service, or of init.
    Logs(Logs),
    /// The kernel's log.
    Dmesg {
        /// Goes on with new messages.
        #[arg(long, short)]
        follow: bool,
        /// Only the last messages.
        #[arg(
            long,
            value_name = "COUNT",
            default_value_t = 0,
            hide_default_value = true
        )]
        tail: u32,
    },
    /// What happens on the node: phases, services, mode, config.
    Events(Events),
    /// Ordered reboot.
    Reboot,
    /// Ordered power-off.
    Shutdown,
    /// The client config: contexts, and new ones of a lesser role.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Makes a cluster's secrets and machine configs.
    #[command(subcommand)]
    Gen(GenCommand),
    /// Checks a machine config without a node.
    Validate {
        /// The config; - for standard input.
        file: PathBuf,
    },
    /// Completion script for a shell.
    Completion {
        /// The shell.
        shell: Shell,
    },
}

/// `apply-config`.
#[derive(Debug, Args)]
pub(crate) struct ApplyConfig {
    /// The config; - for standard input.
    pub(crate) file: PathBuf,
    /// What may follow.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) mode: Mode,
    /// Only says what would change.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// What may follow a stored config.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// A reboot where one is needed.
    #[default]
    Auto,
    /// Refused where a reboot is needed.
    NoReboot,
    /// A reboot in any case.
    Reboot,
}

/// `get`.
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// "config", or a kind of resource: links, addresses, disks, ...
    pub(crate) kind: Option<String>,
    /// One resource of the kind.
    pub(crate) id: Option<String>,
    /// Goes on with changes.
    #[arg(long, short)]
    pub(crate) watch: bool,
    /// With "config": secrets in clear, for admins.
    #[arg(long)]
    pub(crate) with_secrets: bool,
}

/// What to do with a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ServiceAction {
    /// Starts a stopped one.
    Start,
    /// Stops it until it is started again or the node reboots.
    Stop,
    /// Stops and starts it.
    Restart,
}

/// `logs`.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// A service, or "init".
    pub(crate) name: String,
    /// Goes on with new lines.
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Only the last lines.
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub(crate) tail: u32,
    /// Only lines from then on: an age (10m, 2h) or a time (2026-11-21T10:00:00Z).
    #[arg(long, value_name = "TIME", value_parser = crate::values::since)]
    pub(crate) since: Option<std::time::SystemTime>,
}

/// `events`.
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Only events after this sequence number.
    #[arg(
        long,
        value_name = "SEQUENCE",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub(crate) after: u64,
    /// Boot that the sequence number belongs to; an error if the node has rebooted since.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    pub(crate) boot_id: String,
    /// Ends after the events that are kept.
    #[arg(long)]
    pub(crate) no_follow: bool,
}

/// `config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// All contexts.
    Contexts,
    /// Makes a context the current one.
    Use {
        /// Its name.
        name: String,
    },
    /// Adds a context from PEM files.
    Add(ConfigAdd),
    /// Removes a context.
    Remove {
        /// Its name.
        name: String,
    },
    /// Takes over the contexts of another client config.
    Merge {
        /// The other one.
        file: PathBuf,
        /// Replaces contexts of the same name.
        #[arg(long)]
        force: bool,
    },
    /// Gets a client certificate of one's own or a lesser role from the node, as a client config.
    New(ConfigNew),
}

/// `config add`.
#[derive(Debug, Args)]
pub(crate) struct ConfigAdd {
    /// Name of the context.
    pub(crate) name: String,
    /// CA certificate of the cluster's machine API.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: PathBuf,
    /// Client certificate.
    #[arg(long, value_name = "FILE")]
    pub(crate) crt: PathBuf,
    /// Its key.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// Nodes; the first that answers is asked.
    #[arg(long, value_name = "NODE", required = true, value_delimiter = ',')]
    pub(crate) endpoints: Vec<String>,
    /// Replaces a context of the same name.
    #[arg(long)]
    pub(crate) force: bool,
}

/// `config new`.
#[derive(Debug, Args)]
pub(crate) struct ConfigNew {
    /// The client config to write.
    pub(crate) file: PathBuf,
    /// Roles: admin, operator, reader, backup.
    #[arg(
        long,
        value_name = "ROLE",
        default_value = "reader",
        value_delimiter = ','
    )]
    pub(crate) roles: Vec<String>,
    /// Life of the certificate, 24h unless told, at most 87600h.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = crate::values::span)]
    pub(crate) validity: Duration,
    /// Replaces the file.
    #[arg(long)]
    pub(crate) force: bool,
}

/// `gen`.
#[derive(Debug, Subcommand)]
pub(crate) enum GenCommand {
    /// Makes the secrets of a new cluster. Whoever has the file owns the cluster.
    Secrets {
        /// The file to write.
        #[arg(long, short = 'f', value_name = "FILE", default_value = "secrets.yaml")]
        output_file: PathBuf,
        /// Replaces the file.
        #[arg(long)]
        force: bool,
    },
    /// Makes machine configs and the admin's client config: controlplane.yaml, worker.yaml, orlopconfig.
    Config(Box<GenConfig>),
}

/// `gen config`.
#[derive(Debug, Args)]
pub(crate) struct GenConfig {
    /// Name of the cluster.
    pub(crate) cluster: String,
    /// Where the Kubernetes API will be: https://HOST:6443.
    pub(crate) endpoint: String,
    /// Secrets of the cluster; without them new ones are made and written to secrets.yaml beside.
    #[arg(long, value_name = "FILE")]
    pub(crate) with_secrets: Option<PathBuf>,
    /// Only configs of these roles.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [NodeRole::ControlPlane, NodeRole::Worker])]
    pub(crate) role: Vec<NodeRole>,
    /// Directory to write to.
    #[arg(long, short = 'd', value_name = "DIR", default_value = ".")]
    pub(crate) output_dir: PathBuf,
    /// Replaces files.
    #[arg(long)]
    pub(crate) force: bool,
    /// Host name of the machine.
    #[arg(long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
    /// Disk for the system; without it the one that the machine booted from.
    #[arg(long, value_name = "PATH")]
    pub(crate) install_disk: Option<String>,
    /// The disk may be overwritten even where it holds foreign data.
    #[arg(long)]
    pub(crate) wipe: bool,
    /// More names and addresses of the machine API.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) cert_sans: Vec<String>,
    /// Networks of pods.
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub(crate) pod_cidrs: Vec<String>,
    /// Networks of services.
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub(crate) service_cidrs: Vec<String>,
    /// DNS domain of the cluster.
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) dns_domain: Option<String>,
    /// Nodes for the client config; the endpoint's host unless told.
    #[arg(long, value_name = "NODE", value_delimiter = ',')]
    pub(crate) nodes: Vec<String>,
}

/// Role of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum NodeRole {
    /// Runs the control plane.
    ControlPlane,
    /// Runs workloads only.
    Worker,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
