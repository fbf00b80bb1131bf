//! Secrets and configs of a cluster, made here: no node is asked.

use crate::{
    arguments::{GenCommand, GenConfig, NodeRole},
    contexts::{ClientConfig, Context},
    failure::{Failure, Kind, chain},
    files,
    names::Node,
};
use machine_config::{Role, parse, to_yaml, values::Endpoint};
use pki::{
    CLUSTER_LIFETIME, ClusterSecrets, ConfigOptions, PkiError, Roles, Validity, generate_config,
};
use std::{
    path::{Path, PathBuf},
    str::FromStr,
    time::{Duration, SystemTime},
};

/// Life of the admin's first certificate: a year, as operators renew by hand.
const ADMIN_LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);
const _: () = assert!(ADMIN_LIFETIME.as_secs() < CLUSTER_LIFETIME.as_secs());

pub(super) fn run(command: GenCommand) -> Result<(), Failure> {
    match command {
        GenCommand::Secrets { output_file, force } => {
            files::refuse_existing(&output_file, force)?;
            files::write(&output_file, &secrets()?.to_yaml(), force)?;
            eprintln!(
                "wrote {}; keep it safe, it is the cluster",
                output_file.display()
            );
            Ok(())
        }
        GenCommand::Config(given) => config(&given),
    }
}

fn secrets() -> Result<ClusterSecrets, Failure> {
    ClusterSecrets::generate(SystemTime::now()).map_err(|error| Failure::other(chain(&error)))
}

fn config(given: &GenConfig) -> Result<(), Failure> {
    files::make_directory(&given.output_dir, 0o755)?;
    let place = |name: &str| given.output_dir.join(name);
    let mut written: Vec<(PathBuf, String)> = Vec::new();
    let secrets = match &given.with_secrets {
        Some(path) => ClusterSecrets::parse(&files::read(path)?)
            .map_err(|problems| Failure::problems(&path.display().to_string(), &problems))?,
        None => {
            let made = secrets()?;
            written.push((place("secrets.yaml"), made.to_yaml()));
            made
        }
    };
    let endpoint: Endpoint = value("endpoint", &given.endpoint)?;
    for role in &given.role {
        let (role, name) = match role {
            NodeRole::ControlPlane => (Role::ControlPlane, "controlplane.yaml"),
            NodeRole::Worker => (Role::Worker, "worker.yaml"),
        };
        let made =
            generate_config(&secrets, &options(given, &endpoint, role)?).map_err(|error| {
                match error {
                    PkiError::Config(problems) => Failure::problems(name, &problems),
                    error => Failure::other(chain(&error)),
                }
            })?;
        written.push((place(name), to_yaml(&made)));
    }
    let client = client_config(given, &secrets, &endpoint)?;
    written.push((place("orlopconfig"), client.to_yaml()));
    // All or nothing, as far as it can be known beforehand.
    for (path, _) in &written {
        files::refuse_existing(path, given.force)?;
    }
    for (path, text) in &written {
        files::write(path, text, given.force)?;
        eprintln!("wrote {}", path.display());
    }
    eprintln!(
        "next: orlopctl apply-config {} --insecure --node ADDRESS --fingerprint SHA256 (both are on the node's console), then orlopctl config merge {}",
        place("controlplane.yaml").display(),
        place("orlopconfig").display()
    );
    Ok(())
}

fn options(given: &GenConfig, endpoint: &Endpoint, role: Role) -> Result<ConfigOptions, Failure> {
    let mut options = ConfigOptions::new(
        value("cluster name", &given.cluster)?,
        endpoint.clone(),
        role,
    );
    options.hostname = given
        .hostname
        .as_deref()
        .map(|text| value("--hostname", text))
        .transpose()?;
    options.install_disk = given
        .install_disk
        .as_deref()
        .map(|text| value("--install-disk", text))
        .transpose()?;
    options.wipe = given.wipe;
    options.cert_sans = list("--cert-sans", &given.cert_sans)?;
    options.pod_cidrs = list("--pod-cidrs", &given.pod_cidrs)?;
    options.service_cidrs = list("--service-cidrs", &given.service_cidrs)?;
    options.dns_domain = given
        .dns_domain
        .as_deref()
        .map(|text| value("--dns-domain", text))
        .transpose()?;
    Ok(options)
}

fn value<T: FromStr<Err = String>>(what: &str, text: &str) -> Result<T, Failure> {
    text.parse()
        .map_err(|error| Failure::new(Kind::Invalid, format!("{what} {text:?}: {error}")))
}

fn list<T: FromStr<Err = String>>(what: &str, texts: &[String]) -> Result<Vec<T>, Failure> {
    texts.iter().map(|text| value(what, text)).collect()
}

fn client_config(
    given: &GenConfig,
    secrets: &ClusterSecrets,
    endpoint: &Endpoint,
) -> Result<ClientConfig, Failure> {
    let validity = Validity::new(SystemTime::now(), ADMIN_LIFETIME);
    let failed = |error: PkiError| Failure::other(chain(&error));
    let issued = secrets
        .machine_ca
        .authority()
        .and_then(|authority| {
            authority.issue_client("admin", Roles::from(pki::Role::Admin), validity)
        })
        .map_err(failed)?;
    let endpoints = if given.nodes.is_empty() {
        vec![endpoint.host().to_owned()]
    } else {
        given.nodes.clone()
    };
    for endpoint in &endpoints {
        Node::parse(endpoint)?;
    }
    let mut client = ClientConfig::default();
    let context = Context {
        endpoints,
        ca: secrets.machine_ca.crt.to_string(),
        crt: issued.certificate,
        key: issued.key,
    };
    client.add(&given.cluster, context, true)?;
    Ok(client)
}

pub(super) fn validate(file: &Path) -> Result<(), Failure> {
    let name = file.display().to_string();
    let config =
        parse(&files::read(file)?).map_err(|problems| Failure::problems(&name, &problems))?;
    eprintln!(
        "{name} is a valid config of a {} machine",
        config.machine.role.as_str()
    );
    Ok(())
}
