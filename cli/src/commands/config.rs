//! Contexts of the client config.

use crate::{
    arguments::{ConfigAdd, ConfigCommand, ConfigNew, Global},
    contexts::{self, ClientConfig, Context},
    failure::{Failure, Kind},
    files,
    names::Node,
    output::{Output, Table},
    session::{Sends, Session},
};
use machine_config::SecretString;
use machine_proto::v1alpha1 as wire;
use pki::{Names, Request};
use serde_json::{Value, json};
use std::path::Path;

pub(super) async fn run(
    global: &Global,
    output: Output,
    command: ConfigCommand,
) -> Result<(), Failure> {
    let path = contexts::path(global.orlopconfig.as_deref())?;
    match command {
        ConfigCommand::Contexts => list(&ClientConfig::load(&path)?, output),
        ConfigCommand::Use { name } => {
            let mut config = ClientConfig::load(&path)?;
            config.get(Some(&name))?;
            config.context = Some(name);
            config.store(&path)
        }
        ConfigCommand::Add(given) => add(&path, &given),
        ConfigCommand::Remove { name } => {
            let mut config = ClientConfig::load(&path)?;
            config.get(Some(&name))?;
            config.contexts.remove(&name);
            config.context = config.context.filter(|current| *current != name);
            config.store(&path)
        }
        ConfigCommand::Merge { file, force } => merge(&path, &file, force),
        ConfigCommand::New(given) => new(global, &path, &given).await,
    }
}

fn list(config: &ClientConfig, output: Output) -> Result<(), Failure> {
    let current = |name: &str| config.context.as_deref() == Some(name);
    let described: Vec<_> = config
        .contexts
        .iter()
        .map(|(name, context)| (name, &context.endpoints, roles(context), expiry(context)))
        .collect();
    let value: Value = described
        .iter()
        .map(|(name, endpoints, roles, expiry)| {
            json!({
                "name": name, "current": current(name), "endpoints": endpoints,
                "roles": roles, "expires": expiry,
            })
        })
        .collect();
    output.result(&value, || Table {
        titles: &["CURRENT", "NAME", "ENDPOINTS", "ROLES", "EXPIRES"],
        rows: described
            .iter()
            .map(|(name, endpoints, roles, expiry)| {
                vec![
                    if current(name) { "*" } else { "" }.to_owned(),
                    (*name).clone(),
                    endpoints.join(","),
                    roles.clone(),
                    expiry.clone(),
                ]
            })
            .collect(),
    })
}

fn roles(context: &Context) -> String {
    pki::der_of(&context.crt)
        .and_then(|der| pki::Identity::of(&der))
        .map_or_else(
            |_| "unreadable".to_owned(),
            |identity| identity.roles.to_string(),
        )
}

fn expiry(context: &Context) -> String {
    pki::der_of(&context.crt)
        .and_then(|der| pki::expires_at(&der))
        .ok()
        .and_then(|time| jiff::Timestamp::try_from(time).ok())
        .map_or_else(|| "unreadable".to_owned(), |time| time.to_string())
}

fn add(path: &Path, given: &ConfigAdd) -> Result<(), Failure> {
    for endpoint in &given.endpoints {
        Node::parse(endpoint)?;
    }
    let context = Context {
        endpoints: given.endpoints.clone(),
        ca: files::read_text(&given.ca)?,
        crt: files::read_text(&given.crt)?,
        key: SecretString::new(files::read_text(&given.key)?),
    };
    for (file, pem) in [(&given.ca, &context.ca), (&given.crt, &context.crt)] {
        pki::der_of(pem)
            .map_err(|error| Failure::new(Kind::Invalid, format!("{}: {error}", file.display())))?;
    }
    let mut config = ClientConfig::load_or_empty(path)?;
    config.add(&given.name, context, given.force)?;
    config.store(path)
}

fn merge(path: &Path, file: &Path, force: bool) -> Result<(), Failure> {
    let other = ClientConfig::load(file)?;
    let mut config = ClientConfig::load_or_empty(path)?;
    for (name, context) in other.contexts {
        config.add(&name, context, force)?;
        eprintln!("context {name} is in {}", path.display());
    }
    config.store(path)
}

/// A new key that never leaves this machine, signed by the node.
async fn new(global: &Global, path: &Path, given: &ConfigNew) -> Result<(), Failure> {
    files::refuse_existing(&given.file, given.force)?;
    let config = ClientConfig::load(path)?;
    let (name, context) = config.get(global.context.as_deref())?;
    let session = Session::open(global, Sends::Nothing).await?;
    let request = Request::generate("orlopctl", &Names::default())
        .map_err(|error| Failure::other(crate::failure::chain(&error)))?;
    let validity = prost_types::Duration::try_from(given.validity)
        .map_err(|_| Failure::new(Kind::Invalid, "the validity is too long"))?;
    let mut node = session.client.clone();
    let call = node.client_certificate(session.request(wire::ClientCertificateRequest {
        roles: given.roles.clone(),
        validity: Some(validity),
        certificate_signing_request: request.certificate,
    }));
    let answer = session.wait(call, None).await?;
    let mut lesser = ClientConfig::default();
    let issued = Context {
        endpoints: context.endpoints.clone(),
        ca: answer.certificate_authority,
        crt: answer.certificate,
        key: request.key,
    };
    lesser.add(name, issued, false)?;
    files::write(&given.file, &lesser.to_yaml(), given.force)?;
    eprintln!(
        "{} is a client config with {}; use it with --orlopconfig {}",
        given.file.display(),
        given.roles.join(","),
        given.file.display()
    );
    Ok(())
}
