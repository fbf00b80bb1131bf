//! Supervised services.

use super::convert;
use crate::{
    arguments::{Global, ServiceAction},
    failure::Failure,
    output::{Output, Table},
    session::{Sends, Session},
};
use machine_proto::v1alpha1 as wire;
use serde_json::Value;

pub(super) async fn list(global: &Global, output: Output) -> Result<(), Failure> {
    let session = Session::open(global, Sends::Nothing).await?;
    let mut node = session.client.clone();
    let call = node.service_list(session.request(wire::ServiceListRequest {}));
    let services = session.wait(call, None).await?.services;
    let value: Value = services.iter().map(convert::service).collect();
    output.result(&value, || Table {
        titles: &[
            "SERVICE", "STATE", "READY", "PID", "RESTARTS", "SINCE", "MEMORY", "MESSAGE",
        ],
        rows: services.iter().map(row).collect(),
    })
}

fn row(service: &wire::Service) -> Vec<String> {
    let message = match (service.message.as_str(), service.last_exit.as_str()) {
        ("", exit) => exit.to_owned(),
        (message, _) => message.to_owned(),
    };
    vec![
        service.name.clone(),
        convert::service_state(service.state),
        if service.ready { "yes" } else { "no" }.to_owned(),
        if service.pid == 0 {
            String::new()
        } else {
            service.pid.to_string()
        },
        service.restarts.to_string(),
        age(convert::seconds(service.since.as_ref())),
        mebibytes(service.memory_bytes),
        message,
    ]
}

fn age(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 120.0 => format!("{seconds:.0}s"),
        seconds if seconds < 7200.0 => format!("{:.0}m", seconds / 60.0),
        seconds if seconds < 172_800.0 => format!("{:.0}h", seconds / 3600.0),
        seconds => format!("{:.0}d", seconds / 86_400.0),
    }
}

fn mebibytes(bytes: u64) -> String {
    if bytes == 0 {
        String::new()
    } else {
        format!("{} MiB", bytes.div_ceil(1024 * 1024))
    }
}

pub(super) async fn act(
    global: &Global,
    name: String,
    action: ServiceAction,
) -> Result<(), Failure> {
    let session = Session::open(global, Sends::Nothing).await?;
    let mut node = session.client.clone();
    let shown = name.clone();
    let done = match action {
        ServiceAction::Start => {
            let call = node.service_start(session.request(wire::ServiceStartRequest { name }));
            session.wait(call, None).await?;
            "started"
        }
        ServiceAction::Stop => {
            let call = node.service_stop(session.request(wire::ServiceStopRequest { name }));
            session.wait(call, None).await?;
            "stopped"
        }
        ServiceAction::Restart => {
            let call = node.service_restart(session.request(wire::ServiceRestartRequest { name }));
            session.wait(call, None).await?;
            "restarted"
        }
    };
    eprintln!("service {shown} is {done}");
    Ok(())
}
