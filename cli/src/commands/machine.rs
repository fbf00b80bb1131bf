//! The machine as a whole: version, config, boot, reboot.

use super::convert;
use crate::{
    arguments::{ApplyConfig, Global, Mode},
    failure::Failure,
    files,
    output::{Output, Table},
    session::{Sends, Session},
};
use machine_proto::v1alpha1 as wire;
use serde_json::{Value, json};

pub(super) async fn version(global: &Global, output: Output, client: bool) -> Result<(), Failure> {
    let own = option_env!("ORLOP_VERSION").unwrap_or(env!("CARGO_PKG_VERSION"));
    if client {
        let row = || Table {
            titles: &["CLIENT"],
            rows: vec![vec![own.to_owned()]],
        };
        return output.result(&json!({ "client": own }), row);
    }
    let session = Session::open(global, Sends::Nothing).await?;
    let mut node = session.client.clone();
    let call = node.version(session.request(wire::VersionRequest {}));
    let answer = session.wait(call, None).await?;
    let mut value = convert::version(&answer);
    value["client"] = own.into();
    output.result(&value, || fields(&value))
}

/// Fields that say something, one per row.
fn fields(value: &Value) -> Table {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let rows = value.as_object().into_iter().flatten();
    Table {
        titles: &["FIELD", "VALUE"],
        rows: rows
            .map(|(key, value)| vec![key.clone(), text(value)])
            .filter(|row| !row[1].is_empty())
            .collect(),
    }
}

pub(super) async fn apply(
    global: &Global,
    output: Output,
    given: &ApplyConfig,
) -> Result<(), Failure> {
    let config = files::read(&given.file)?;
    let name = given.file.display().to_string();
    // What is wrong here is wrong there, and here it is known without a node.
    machine_config::parse(&config).map_err(|problems| Failure::problems(&name, &problems))?;
    let session = Session::open(global, Sends::Secrets).await?;
    let request = wire::ConfigApplyRequest {
        config,
        mode: match given.mode {
            Mode::Auto => wire::ApplyMode::Auto,
            Mode::NoReboot => wire::ApplyMode::NoReboot,
            Mode::Reboot => wire::ApplyMode::Reboot,
        }
        .into(),
        dry_run: given.dry_run,
    };
    let mut node = session.client.clone();
    let call = node.config_apply(session.request(request));
    let answer = session.wait(call, Some(&name)).await?;
    for warning in &answer.warnings {
        eprintln!("warning: {warning}");
    }
    let changes: Vec<Value> = answer
        .changes
        .iter()
        .map(|change| json!({ "path": change.path, "old": change.old, "new": change.new }))
        .collect();
    let value = json!({
        "mode": convert::apply_mode(answer.mode),
        "changes": changes,
        "rebootReasons": answer.reboot_reasons,
        "generation": answer.generation,
        "warnings": answer.warnings,
        "dryRun": given.dry_run,
    });
    if output.is_table() {
        return output.text(&story(&answer, given.dry_run));
    }
    output.result(&value, || fields(&value))
}

fn story(answer: &wire::ConfigApplyResponse, dry_run: bool) -> String {
    let mut text = String::new();
    for change in &answer.changes {
        let path = crate::output::printable(&change.path);
        let old = crate::output::printable(&change.old);
        let new = crate::output::printable(&change.new);
        text.push_str(&match (old.as_str(), new.as_str()) {
            ("", new) => format!("+ {path}: {new}\n"),
            (old, "") => format!("- {path}: {old}\n"),
            (old, new) => format!("~ {path}: {old} -> {new}\n"),
        });
    }
    for reason in &answer.reboot_reasons {
        text.push_str(&format!("needs a reboot: {reason}\n"));
    }
    let reboots = answer.mode == i32::from(wire::ApplyMode::Reboot);
    text.push_str(&match (dry_run, reboots) {
        (true, true) => "dry run: it would be stored and the node would reboot\n".to_owned(),
        (true, false) => "dry run: it would be stored and applied without a reboot\n".to_owned(),
        (false, true) => format!(
            "stored as generation {}; the node reboots\n",
            answer.generation
        ),
        (false, false) => format!("stored as generation {} and applied\n", answer.generation),
    });
    text
}

pub(super) async fn boot_phases(global: &Global, output: Output) -> Result<(), Failure> {
    let session = Session::open(global, Sends::Nothing).await?;
    let mut node = session.client.clone();
    let call = node.boot_phases(session.request(wire::BootPhasesRequest {}));
    let answer = session.wait(call, None).await?;
    let ready = convert::seconds(answer.api_ready_after.as_ref());
    let phases: Vec<Value> = answer.phases.iter().map(convert::phase).collect();
    let value = json!({ "phases": phases, "apiReadyAfter": ready });
    output.result(&value, || Table {
        titles: &["PHASE", "STATE", "STARTED", "TOOK", "REASON"],
        rows: answer
            .phases
            .iter()
            .map(|phase| {
                vec![
                    phase.name.clone(),
                    convert::phase_state(phase.state),
                    format!("{:.3} s", convert::seconds(phase.started_after.as_ref())),
                    format!("{:.3} s", convert::seconds(phase.took.as_ref())),
                    phase.reason.clone(),
                ]
            })
            .collect(),
    })?;
    if output.is_table() {
        output.text(&format!("machine API ready after {ready:.3} s\n"))?;
    }
    Ok(())
}

pub(super) async fn reboot(global: &Global) -> Result<(), Failure> {
    let session = Session::open(global, Sends::Nothing).await?;
    let mut node = session.client.clone();
    let call = node.reboot(session.request(wire::RebootRequest {}));
    session.wait(call, None).await?;
    eprintln!("the node reboots");
    Ok(())
}

pub(super) async fn shutdown(global: &Global) -> Result<(), Failure> {
    let session = Session::open(global, Sends::Nothing).await?;
    let mut node = session.client.clone();
    let call = node.shutdown(session.request(wire::ShutdownRequest {}));
    session.wait(call, None).await?;
    eprintln!("the node powers off");
    Ok(())
}
