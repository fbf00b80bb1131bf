//! From flags and contexts to a connected client.

use crate::{
    arguments::Global,
    contexts::{self, ClientConfig, Context},
    failure::{Failure, Kind},
    names::Node,
};
use machine_client::{Client, ConnectError, Identity, Trust, connect};
use std::time::Duration;
use tonic::{Request, Response, Status};

/// A connected node.
pub(crate) struct Session {
    /// The generated client.
    pub(crate) client: Client,
    timeout: Duration,
}

/// What a call tells the node; decides how far it must be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sends {
    /// Nothing that a stranger may not see.
    Nothing,
    /// Secrets: the node must be verified.
    Secrets,
}

impl Session {
    /// Connects as the flags say.
    pub(crate) async fn open(global: &Global, sends: Sends) -> Result<Self, Failure> {
        let context = context(global)?;
        let nodes = nodes(global, context.as_ref())?;
        let trust = trust(global, context.as_ref());
        let identity = context.map(|context| Identity {
            certificate: context.crt,
            key: context.key.expose().to_owned(),
        });
        let mut last = None;
        for node in nodes {
            for target in node.resolve(global.timeout).await? {
                if trust == Trust::Any {
                    warn_or_refuse(&target, sends, global.timeout).await?;
                }
                match connect(&target, &trust, identity.as_ref(), global.timeout).await {
                    Ok(client) => {
                        return Ok(Self {
                            client,
                            timeout: global.timeout,
                        });
                    }
                    Err(error) => {
                        let is_last_word = !matches!(
                            error,
                            ConnectError::Tcp { .. } | ConnectError::Timeout { .. }
                        );
                        last = Some(Failure::connect(&error));
                        if is_last_word {
                            break;
                        }
                    }
                }
            }
        }
        Err(last.unwrap_or_else(|| Failure::new(Kind::NotFound, "the context has no endpoints")))
    }

    /// A call's request with its deadline, which the node sees, too.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        request
    }

    /// Waits for a call's answer within the deadline.
    pub(crate) async fn wait<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
        file: Option<&str>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(self.timeout, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(Failure::status(&status, file)),
            Err(_) => Err(Failure::new(
                Kind::Deadline,
                format!("the node did not answer within {:?}", self.timeout),
            )
            .help("allow more time: --timeout 2m")),
        }
    }
}

/// None for a client that says nothing of itself.
fn context(global: &Global) -> Result<Option<Context>, Failure> {
    if global.insecure {
        return Ok(None);
    }
    let path = contexts::path(global.orlopconfig.as_deref())?;
    let config = ClientConfig::load(&path)?;
    config
        .get(global.context.as_deref())
        .map(|(_, context)| Some(context.clone()))
}

fn nodes(global: &Global, context: Option<&Context>) -> Result<Vec<Node>, Failure> {
    match (&global.node, context) {
        (Some(node), _) => Ok(vec![Node::parse(node)?]),
        (None, Some(context)) => context
            .endpoints
            .iter()
            .map(|text| Node::parse(text))
            .collect(),
        (None, None) => Err(Failure::new(Kind::Invalid, "no node is named")
            .help("--insecure uses no context: add --node ADDRESS")),
    }
}

fn trust(global: &Global, context: Option<&Context>) -> Trust {
    match (global.fingerprint, context) {
        (Some(fingerprint), _) => Trust::Pinned(fingerprint),
        (None, Some(context)) => Trust::Authority(context.ca.clone()),
        (None, None) => Trust::Any,
    }
}

/// Without any trust the node's fingerprint is shown, and no secret is sent.
async fn warn_or_refuse(
    target: &machine_client::Target,
    sends: Sends,
    timeout: Duration,
) -> Result<(), Failure> {
    if sends == Sends::Nothing {
        eprintln!("warning: the node's certificate is not verified; pin it with --fingerprint");
        return Ok(());
    }
    // A pin that no certificate has tells what the node's one is.
    let probe = Trust::Pinned(machine_client::Fingerprint([0; 32]));
    match connect(target, &probe, None, timeout).await {
        Err(ConnectError::Fingerprint { seen, .. }) => Err(Failure::new(
            Kind::Untrusted,
            "a config holds secrets and is not sent to a node that is not verified",
        )
        .help(format!(
            "compare with the node's console; if it shows the same, add --fingerprint {seen}"
        ))),
        Err(error) => Err(Failure::connect(&error)),
        Ok(_) => Err(Failure::other("a node with an impossible certificate")),
    }
}
