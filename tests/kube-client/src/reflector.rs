//! A reflector under writes from many sides: events come in the order of the versions, none is missing, and the store
//! ends up as a list shows it.

use anyhow::{Context as _, Result, ensure};
use futures_util::{StreamExt as _, future, pin_mut};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, reflector, watcher as watch};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const WRITERS: usize = 8;
const ROUNDS: usize = 6;
/// Of each object: created, patched, and every second one deleted.
const EVENTS: usize = WRITERS * ROUNDS * 2 + WRITERS * ROUNDS / 2;

pub async fn run(client: &Client) -> Result<()> {
    for (name, config) in [
        ("listed", watcher::Config::default().page_size(3)),
        ("streamed", watcher::Config::default().streaming_lists()),
    ] {
        under_writes(client, name, config)
            .await
            .with_context(|| name.to_owned())?;
    }
    Ok(())
}

async fn under_writes(client: &Client, name: &str, config: watcher::Config) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = serde_json::from_value(json!({"metadata": {"name": name}}))?;
    namespaces
        .create(&PostParams::default(), &namespace)
        .await?;
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), name);
    for number in 0..7 {
        create(&api, &format!("before-{number}")).await?;
    }
    let (store, writer) = reflector::store();
    let events = watch(api.clone(), config).reflect(writer);
    pin_mut!(events);
    let mut initial = 0;
    loop {
        match events.next().await.context("a watcher does not end")?? {
            Event::Init => {}
            Event::InitApply(_) => initial += 1,
            Event::InitDone => break,
            event => anyhow::bail!("{event:?} before the initial list was done"),
        }
    }
    println!("{name}: {initial} objects at first");
    let writers = future::try_join_all((0..WRITERS).map(|writer| write(&api, writer)));
    let watching = async {
        let mut seen: Vec<(u64, String)> = Vec::new();
        while seen.len() < EVENTS {
            let (object, what) = match events.next().await.context("a watcher does not end")?? {
                Event::Apply(object) => (object, "apply"),
                Event::Delete(object) => (object, "delete"),
                event => anyhow::bail!("{event:?} after {} events: it began anew", seen.len()),
            };
            let version = object.resource_version().context("a version")?.parse()?;
            seen.push((version, format!("{what} {}", object.name_any())));
        }
        Ok(seen)
    };
    let (written, mut seen) = future::try_join(writers, watching).await?;
    ensure!(
        seen.is_sorted_by(|one, other| one.0 < other.0),
        "out of order: {seen:?}"
    );
    // A writer is not told the version of a deletion.
    for (version, what) in &mut seen {
        if what.starts_with("delete") {
            *version = 0;
        }
    }
    seen.sort();
    let mut written: Vec<(u64, String)> = written.into_iter().flatten().collect();
    written.sort();
    ensure!(written == seen, "written: {written:?}\nseen: {seen:?}");
    println!("{name}: {} events, as written and in order", seen.len());
    let listed = versions(api.list(&ListParams::default()).await?.items.iter());
    let state = store.state();
    ensure!(
        versions(state.iter().map(AsRef::as_ref)) == listed,
        "the store is not what a list shows"
    );
    println!(
        "{name}: {} objects at last, as a list shows them",
        listed.len()
    );
    Ok(())
}

fn versions<'a>(objects: impl Iterator<Item = &'a ConfigMap>) -> BTreeMap<String, Option<String>> {
    objects
        .map(|object| (object.name_any(), object.resource_version()))
        .collect()
}

/// What one writer has done, with the versions that it was told; 0 where it was told none.
async fn write(api: &Api<ConfigMap>, writer: usize) -> Result<Vec<(u64, String)>> {
    let mut written = Vec::new();
    for round in 0..ROUNDS {
        let name = format!("w{writer}-{round}");
        let patch: Patch<Value> = Patch::Merge(json!({"data": {"x": "2"}}));
        let created = create(api, &name).await?;
        let patched = api.patch(&name, &PatchParams::default(), &patch).await?;
        for object in [created, patched] {
            let version = object.resource_version().context("a version")?.parse()?;
            written.push((version, format!("apply {name}")));
        }
        if round % 2 == 1 {
            let gone = api.delete(&name, &DeleteParams::default()).await?;
            let status = gone.right().context("a Status for what is gone")?;
            ensure!(status.is_success(), "{status:?}");
            written.push((0, format!("delete {name}")));
        }
    }
    Ok(written)
}

async fn create(api: &Api<ConfigMap>, name: &str) -> Result<ConfigMap> {
    let object = serde_json::from_value(json!({"metadata": {"name": name}, "data": {"x": "1"}}))?;
    api.create(&PostParams::default(), &object)
        .await
        .with_context(|| format!("create {name}"))
}
