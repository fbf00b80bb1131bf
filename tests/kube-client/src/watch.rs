//! What a watcher yields, as it comes: the test decides what happens to the server meanwhile.

use anyhow::Result;
use futures_util::{StreamExt as _, pin_mut};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::watcher::{self, Error, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use kube::{Api, Client, ResourceExt as _};

/// Prints until it is killed.
pub async fn run(client: &Client, namespace: &str, streaming: bool) -> Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let config = match streaming {
        true => watcher::Config::default().streaming_lists(),
        false => watcher::Config::default().page_size(2),
    };
    // Its first pause is 800 ms, which grows while the server is away, and it is whole again after 120 s.
    let events = watch(api, config).default_backoff();
    pin_mut!(events);
    while let Some(event) = events.next().await {
        println!("{}", line(&event));
    }
    anyhow::bail!("a watcher does not end")
}

fn line(event: &Result<Event<ConfigMap>, Error>) -> String {
    match event {
        Ok(Event::Init) => "init".to_owned(),
        Ok(Event::InitApply(object)) => format!("init-apply {}", named(object)),
        Ok(Event::InitDone) => "init-done".to_owned(),
        Ok(Event::Apply(object)) => format!("apply {}", named(object)),
        Ok(Event::Delete(object)) => format!("delete {}", named(object)),
        Err(Error::WatchError(status)) => format!("error {} {}", status.code, status.reason),
        Err(Error::WatchStartFailed(kube::Error::Api(status))) => {
            format!("start refused {} {}", status.code, status.reason)
        }
        Err(Error::InitialListFailed(kube::Error::Api(status))) => {
            format!("list refused {} {}", status.code, status.reason)
        }
        Err(_) => "cut off".to_owned(),
    }
}

/// Its name and its value.
fn named(object: &ConfigMap) -> String {
    let value = object.data.as_ref().and_then(|data| data.get("x"));
    format!(
        "{} {}",
        object.name_any(),
        value.map_or("-", String::as_str)
    )
}
