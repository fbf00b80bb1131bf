//! Small services with bad manners, and plans for them.
//!
//! The supervisor is tested on the real `init`, with the program `toy` bound over `/usr/bin/orlop`: as
//! `orlop plan` it hands `init` the plan that the test has injected as the node's config, and its other
//! first arguments are services that crash, flood, hang on, or hold children (see `src/bin/toy.rs`).

use crate::programs;
use crate::sandbox::{Lab, Node, NodeOptions};
use crate::wait::eventually;
use anyhow::{Context as _, Result};
use init_proto::control::ServiceStatus;
use init_proto::plan::{ConfigSource, Mode, PLAN_VERSION, Plan, Seccomp, ServiceSpec};
use init_proto::{frame, paths, services};
use std::path::Path;
use std::time::Duration;

/// Children that the toy holder keeps.
pub const HELD: u32 = 4;
/// Bytes that each of them writes: with nobody reading, a pipe of 1 MiB holds them.
pub const HELD_BYTES: usize = 1000 * 1024;
/// Exit code of the first held child; the next has one more.
pub const HELD_CODE: i32 = 40;

/// Usual time for a toy to start or to end.
pub const SOON: Duration = Duration::from_secs(1);

/// A toy service: the supervisor's defaults, as root, without limits that would hide what is tested.
#[must_use]
pub fn toy(name: &str, arguments: &[&str]) -> ServiceSpec {
    let mut command = vec![paths::ORLOP.to_owned()];
    command.extend(arguments.iter().map(|&word| word.to_owned()));
    ServiceSpec {
        command,
        health: None,
        start_timeout: Duration::from_secs(10),
        backoff_initial: Duration::from_millis(50),
        stop_deadline: Duration::from_secs(2),
        seccomp: Seccomp::Unfiltered,
        limits: init_proto::plan::CgroupLimits::default(),
        ..services::daemon(name)
    }
}

/// The plan of a node with these services, as `toy plan` hands it over.
///
/// # Errors
/// The plan is over the frame's bound.
pub fn plan(services: Vec<ServiceSpec>) -> Result<Vec<u8>> {
    let plan = Plan {
        version: PLAN_VERSION,
        mode: Mode::Worker,
        explained_by: None,
        source: ConfigSource::Sandbox,
        store_config: None,
        sysctls: Vec::new(),
        modules: Vec::new(),
        installer: None,
        services,
    };
    frame::encode(&plan).context("encode the plan")
}

/// Starts a node whose services are these.
///
/// # Errors
/// As [`Node::start`].
pub fn start<'lab>(lab: &'lab Lab, services: Vec<ServiceSpec>) -> Result<Node<'lab>> {
    let options = NodeOptions {
        config: Some(plan(services)?),
        overlays: vec![(programs::built("toy")?, Path::new(paths::ORLOP).to_owned())],
        ..NodeOptions::default()
    };
    Node::start(lab, options)
}

/// Waits until `wanted` holds for a service of the node; `what` says it for the failure's message.
///
/// # Errors
/// It does not hold in time.
pub fn until(
    node: &Node<'_>,
    name: &str,
    what: &str,
    wanted: impl Fn(&ServiceStatus) -> bool,
) -> Result<ServiceStatus> {
    eventually(&format!("{name} {what}"), SOON, || {
        // Not there yet while the node boots.
        let services = node.control()?.services()?;
        let found = services.into_iter().find(|status| status.name == name);
        Ok(found.filter(|status| wanted(status)))
    })
}
