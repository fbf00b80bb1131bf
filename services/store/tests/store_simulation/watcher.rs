//! Watchers: they go from member to member, and go on where they were.

use crate::{
    client::interval,
    cluster::Cluster,
    dice::Dice,
    history::{History, Told},
};
use etcd_proto::etcdserverpb::{
    WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
    watch_request::RequestUnion,
};
use std::sync::Arc;
use tokio::time::{sleep, timeout};

/// What is done to responses on their way to the watcher: planted bugs.
pub(crate) type Meddle = Arc<dyn Fn(WatchResponse) -> Vec<WatchResponse> + Send + Sync>;

fn request(union: RequestUnion) -> WatchRequest {
    WatchRequest {
        request_union: Some(union),
    }
}

/// Watches one key or all for ever. `next` is where it begins; 0: from now on.
pub(crate) async fn run(
    cluster: Arc<Cluster>,
    history: Arc<History>,
    dice: Dice,
    watcher: usize,
    meddle: Option<Meddle>,
) {
    let key = history.lock().watchers[watcher].key;
    let (key, range_end) = interval(key);
    loop {
        let running = cluster.any(&dice).await;
        let stream = running.member.watch();
        let create = WatchCreateRequest {
            key: key.clone().into(),
            range_end: range_end.clone().into(),
            start_revision: history.next(watcher),
            progress_notify: dice.chance(500),
            prev_kv: true,
            ..WatchCreateRequest::default()
        };
        let create = request(RequestUnion::CreateRequest(create));
        if running.ask(stream.request(create)).await.is_none() {
            continue;
        }
        // After so many responses it goes elsewhere.
        let mut left = dice.below(60);
        while left > 0 {
            left -= 1;
            let patience = dice.millis(100, 1500);
            let response = match running.ask(timeout(patience, stream.next())).await {
                Some(Ok(Some(response))) => response,
                Some(Ok(None)) | None => break,
                Some(Err(_)) => {
                    let progress = RequestUnion::ProgressRequest(WatchProgressRequest {});
                    if running
                        .ask(stream.request(request(progress)))
                        .await
                        .is_none()
                    {
                        break;
                    }
                    continue;
                }
            };
            let responses = match &meddle {
                Some(meddle) => meddle(response),
                None => vec![response],
            };
            let mut ends = false;
            for response in responses {
                cluster.trace.note(format_args!(
                    "watcher {watcher} at {}: {response:?}",
                    running.machine
                ));
                ends |= take(&history, watcher, response);
            }
            if ends {
                break;
            }
            // Slow now and then, so that its watch falls behind.
            if dice.chance(50) {
                sleep(dice.millis(0, 2000)).await;
            }
        }
        sleep(dice.millis(0, 300)).await;
    }
}

/// Notes a response. Returns whether the watch has ended.
fn take(history: &History, watcher: usize, response: WatchResponse) -> bool {
    let next = history.next(watcher);
    let revision = response.header.as_ref().map_or(0, |header| header.revision);
    if response.canceled {
        if response.compact_revision > 0 {
            let revision = response.compact_revision;
            history.tell(
                watcher,
                |_| Told::Overtaken { revision },
                revision.max(next),
            );
        }
        return true;
    }
    if response.created {
        let begins = if next == 0 { revision + 1 } else { next };
        history.tell(watcher, |_| Told::Begins { revision: begins }, begins);
        return false;
    }
    let newest = response
        .events
        .iter()
        .filter_map(|event| Some(event.kv.as_ref()?.mod_revision))
        .max();
    match newest {
        None => history.tell(
            watcher,
            |_| Told::Progress { revision },
            next.max(revision + 1),
        ),
        Some(newest) => {
            let events = response.events;
            let told = |place| Told::Events {
                place,
                revision,
                events,
            };
            history.tell(watcher, told, next.max(newest + 1));
        }
    }
    false
}
