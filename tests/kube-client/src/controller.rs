//! A controller, end to end: a ConfigMap that says how many copies of it there shall be, the copies, which it owns, and a
//! finalizer that takes them away.

use anyhow::{Context as _, Result, ensure};
use futures_util::{StreamExt as _, pin_mut};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::finalizer::{self, finalizer};
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::watcher;
use kube::{Api, Client, Resource as _, ResourceExt as _};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

const NAMESPACE: &str = "controlled";
const FINALIZER: &str = "example.test/copies";
/// For the whole story: less than the program's own bound.
const TAKES_MAX: Duration = Duration::from_secs(20);
/// After an error; long, beside what a reconcile takes.
const AGAIN: Duration = Duration::from_millis(100);

/// Reconciles until the story is told.
pub async fn run(client: &Client) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = serde_json::from_value(json!({"metadata": {"name": NAMESPACE}}))?;
    namespaces
        .create(&PostParams::default(), &namespace)
        .await?;
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let sources = watcher::Config::default()
        .labels("source")
        .streaming_lists();
    let copies = watcher::Config::default().labels("copy-of");
    // Races with itself are no faults: what it tried last is told when the story does not come to its end.
    let last_error = RefCell::default();
    let controller = Controller::new(api.clone(), sources)
        .owns(api.clone(), copies)
        .run(
            reconcile,
            |_, _, _| Action::requeue(AGAIN),
            Arc::new(api.clone()),
        )
        .for_each(|reconciled| {
            if let Err(error) = reconciled {
                last_error.replace(error.to_string());
            }
            std::future::ready(())
        });
    let story = story(&api);
    pin_mut!(controller, story);
    tokio::select! {
        () = controller => anyhow::bail!("the controller has ended"),
        told = timeout(TAKES_MAX, story) => {
            told.with_context(|| format!("not done; the last error: {:?}", last_error.borrow()))?
        }
    }
}

async fn story(api: &Api<ConfigMap>) -> Result<()> {
    let source = json!({"metadata": {"name": "a", "labels": {"source": ""}}, "data": {"copies": "3", "text": "first"}});
    api.create(&PostParams::default(), &serde_json::from_value(source)?)
        .await?;
    copies(api, 3, "first").await?;
    api.delete("a-1", &DeleteParams::default()).await?;
    copies(api, 3, "first").await?;
    println!("what was deleted is there again");
    let patch: Patch<Value> = Patch::Merge(json!({"data": {"copies": "2", "text": "second"}}));
    api.patch("a", &PatchParams::default(), &patch).await?;
    copies(api, 2, "second").await?;
    let uid = api.get("a").await?.uid().context("a uid")?;
    api.delete("a", &DeleteParams::default()).await?;
    await_condition(api.clone(), "a", conditions::is_deleted(&uid)).await?;
    let left = api
        .list(&ListParams::default().labels("copy-of"))
        .await?
        .items;
    ensure!(left.is_empty(), "left behind: {left:?}");
    println!("the source is gone, and its copies before it");
    Ok(())
}

/// Waits until there are so many copies, and all of them say this.
async fn copies(api: &Api<ConfigMap>, count: usize, text: &str) -> Result<()> {
    let right = |copy: &ConfigMap| {
        let says = copy.data.as_ref().and_then(|data| data.get("text"));
        says.map(String::as_str) == Some(text) && copy.owner_references().len() == 1
    };
    let events = watcher(api.clone(), watcher::Config::default().labels("copy-of=a"));
    pin_mut!(events);
    while let Some(event) = events.next().await {
        event?;
        let found = api
            .list(&ListParams::default().labels("copy-of=a"))
            .await?
            .items;
        if found.len() == count && found.iter().all(right) {
            println!("{count} copies say `{text}`");
            return Ok(());
        }
    }
    anyhow::bail!("a watcher does not end")
}

/// What the crate's finalizer wants: an error type of one's own.
#[derive(Debug)]
struct Failed(String);

impl fmt::Display for Failed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

impl From<kube::Error> for Failed {
    fn from(error: kube::Error) -> Self {
        Self(error.to_string())
    }
}

async fn reconcile(
    source: Arc<ConfigMap>,
    api: Arc<Api<ConfigMap>>,
) -> Result<Action, finalizer::Error<Failed>> {
    finalizer(&api, FINALIZER, source, |event| async {
        match event {
            finalizer::Event::Apply(source) => apply(&source, &api).await,
            finalizer::Event::Cleanup(source) => clean_up(&source, &api).await,
        }
    })
    .await
}

async fn apply(source: &ConfigMap, api: &Api<ConfigMap>) -> Result<Action, Failed> {
    let data = source.data.clone().unwrap_or_default();
    let wanted: usize = data
        .get("copies")
        .and_then(|number| number.parse().ok())
        .unwrap_or(0);
    let owner = source
        .controller_owner_ref(&())
        .ok_or_else(|| Failed("a source without a uid".into()))?;
    let mut names = Vec::new();
    for number in 0..wanted {
        let name = format!("{}-{number}", source.name_any());
        let text = data.get("text").cloned().unwrap_or_default();
        let copy = ConfigMap {
            metadata: kube::api::ObjectMeta {
                name: Some(name.clone()),
                labels: Some([("copy-of".into(), source.name_any())].into()),
                owner_references: Some(vec![owner.clone()]),
                ..Default::default()
            },
            data: Some([("text".into(), text)].into()),
            ..Default::default()
        };
        match api.get_opt(&name).await? {
            None => api.create(&PostParams::default(), &copy).await.map(drop)?,
            Some(there) if there.data != copy.data => {
                let version = there.resource_version();
                let mut new = copy;
                new.metadata.resource_version = version;
                api.replace(&name, &PostParams::default(), &new)
                    .await
                    .map(drop)?;
            }
            Some(_) => {}
        }
        names.push(name);
    }
    for copy in api.list(&of(source)).await?.items {
        if !names.contains(&copy.name_any()) {
            api.delete(&copy.name_any(), &DeleteParams::default())
                .await?;
        }
    }
    Ok(Action::await_change())
}

async fn clean_up(source: &ConfigMap, api: &Api<ConfigMap>) -> Result<Action, Failed> {
    api.delete_collection(&DeleteParams::default(), &of(source))
        .await?;
    Ok(Action::await_change())
}

fn of(source: &ConfigMap) -> ListParams {
    ListParams::default().labels(&format!("copy-of={}", source.name_any()))
}
