//! Watches: of what was and what comes, several on a stream, their ends, progress, fragments.

use crate::show::{self, failure, say, say_code};
use anyhow::{Context as _, Result, anyhow};
use etcd_client::{
    Client, DeleteOptions, PutOptions, Txn, TxnOp, WatchFilterType, WatchOptions, WatchResponse,
    WatchStream,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// A response that should come has come by then.
const COMES: Duration = Duration::from_secs(20);
/// A value of which a few are more than a client takes in one message.
const LARGE: usize = 1024 * 1024;
/// So many of them.
const LARGE_KEYS: usize = 5;
/// Time for events that must not come: those before are there at once.
const QUIET: Duration = Duration::from_millis(200);
/// A request for progress that was not answered by then is made again.
const ASKED_AGAIN: Duration = Duration::from_secs(2);

pub(crate) async fn run(client: &Client) -> Result<()> {
    let begin = live(client).await?;
    past(client, begin).await?;
    several(client, begin).await?;
    fragments(client).await?;
    compacted(client, begin).await
}

/// The next response.
async fn next(stream: &mut WatchStream) -> Result<WatchResponse> {
    let message = tokio::time::timeout(COMES, stream.message()).await;
    let message = message.context("no response comes")?;
    message
        .map_err(|error| anyhow!(failure(&error)))?
        .context("the stream ended")
}

fn response(response: &WatchResponse) -> String {
    let events: Vec<String> = response.events().iter().map(show::event).collect();
    format!(
        "watch {}, {}, created {}, canceled {}, compacted {}: [{}]",
        response.watch_id(),
        show::revision(response.header()),
        response.created(),
        response.canceled(),
        response.compact_revision(),
        events.join(", ")
    )
}

/// Prints the next response with all that it has.
pub(crate) async fn say_next(what: &str, stream: &mut WatchStream) -> Result<()> {
    println!(
        "{what}: {}",
        response(&next(stream).await.context(what.to_owned())?)
    );
    Ok(())
}

/// Prints so many events, those of each watch in their order: between watches there is none, and how many come in
/// one response is a matter of time.
pub(crate) async fn say_events(what: &str, stream: &mut WatchStream, count: usize) -> Result<()> {
    let mut events: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    let mut found = 0;
    while found < count {
        let response = next(stream)
            .await
            .with_context(|| format!("{what}: after {events:?}"))?;
        found += response.events().len();
        let of_watch = events.entry(response.watch_id()).or_default();
        of_watch.extend(response.events().iter().map(show::event));
    }
    for (watch, events) in events {
        for event in events {
            println!("{what}: watch {watch}: {event}");
        }
    }
    Ok(())
}

async fn open(client: &Client, key: &str, options: WatchOptions) -> Result<WatchStream> {
    let stream = client.watch_client().watch(key, Some(options)).await;
    stream.map_err(|error| anyhow!(failure(&error)))
}

/// What comes while a watch is there; the first revision of it.
async fn live(client: &Client) -> Result<i64> {
    let mut kv = client.kv_client();
    let options = WatchOptions::new().with_prefix().with_prev_key();
    let mut stream = open(client, "w/", options).await?;
    say_next("watch", &mut stream).await?;
    let first = kv.put("w/a", "1", None).await;
    let begin = first.as_ref().ok().and_then(|answer| answer.header());
    let begin = begin.context("a header")?.revision();
    say("put", first);
    say("put", kv.put("w/a", "2", None).await);
    say("put elsewhere", kv.put("x", "1", None).await);
    say("delete", kv.delete("w/a", None).await);
    let both = Txn::new().and_then([
        TxnOp::put("w/b", "1", None),
        TxnOp::put("w/a", "3", Some(PutOptions::new())),
        TxnOp::delete("x", None),
    ]);
    say("txn", kv.txn(both).await);
    say(
        "delete",
        kv.delete("w/", Some(DeleteOptions::new().with_prefix()))
            .await,
    );
    say_events("live", &mut stream, 7).await?;
    progress(&mut stream).await?;
    Ok(begin)
}

/// Asked for until it comes: a server answers only when each watch of the stream has all that there was.
async fn progress(stream: &mut WatchStream) -> Result<()> {
    let told = async {
        loop {
            let asked = stream.request_progress().await;
            asked.map_err(|error| anyhow!(failure(&error)))?;
            if let Ok(told) = tokio::time::timeout(ASKED_AGAIN, stream.message()).await {
                let told = told.map_err(|error| anyhow!(failure(&error)))?;
                return told.context("the stream ended");
            }
        }
    };
    let told: Result<WatchResponse> = tokio::time::timeout(COMES, told)
        .await
        .context("no progress comes")?;
    println!("progress: {}", response(&told?));
    Ok(())
}

/// What was, and what is filtered out of it.
async fn past(client: &Client, begin: i64) -> Result<()> {
    let new = || WatchOptions::new().with_start_revision(begin);
    for (what, key, options, count) in [
        ("one key", "w/a", new(), 5),
        ("one key, previous", "w/a", new().with_prev_key(), 5),
        ("prefix", "w/", new().with_prefix(), 7),
        ("range", "w/b", new().with_range("w/c"), 2),
        ("from key", "w/b", new().with_from_key(), 4),
        ("all", "", new().with_all_keys(), 9),
        (
            "later",
            "w/",
            new()
                .with_prefix()
                .with_start_revision(begin + 3)
                .with_prev_key(),
            5,
        ),
        (
            "no puts",
            "w/",
            new().with_prefix().with_filters([WatchFilterType::NoPut]),
            3,
        ),
        (
            "no deletes",
            "w/",
            new()
                .with_prefix()
                .with_filters([WatchFilterType::NoDelete]),
            4,
        ),
    ] {
        let mut stream = open(client, key, options).await?;
        say_next(what, &mut stream).await?;
        say_events(what, &mut stream, count).await?;
    }
    let mut stream = open(client, "w/", new().with_start_revision(begin + 100)).await?;
    say_next("the future", &mut stream).await
}

/// Several on one stream, with numbers given and chosen, and their ends.
async fn several(client: &Client, begin: i64) -> Result<()> {
    let mut kv = client.kv_client();
    let mut stream = open(client, "v/a", WatchOptions::new()).await?;
    say_next("first", &mut stream).await?;
    for (what, key, options) in [
        ("second", "v/", WatchOptions::new().with_prefix()),
        ("with a number", "v/b", WatchOptions::new().with_watch_id(7)),
        (
            "with the same number",
            "v/b",
            WatchOptions::new().with_watch_id(7),
        ),
        (
            "with a number that was chosen",
            "v/b",
            WatchOptions::new().with_watch_id(1),
        ),
        (
            "backward range",
            "v/b",
            WatchOptions::new().with_range("v/a"),
        ),
        (
            "from the past",
            "w/b",
            WatchOptions::new()
                .with_start_revision(begin)
                .with_watch_id(9),
        ),
    ] {
        stream
            .watch(key, Some(options))
            .await
            .map_err(|error| anyhow!(failure(&error)))?;
        let response = next(&mut stream).await.context(what)?;
        println!(
            "{what}: {}, reason {:?}",
            self::response(&response),
            response.cancel_reason()
        );
    }
    say_events("what was", &mut stream, 2).await?;
    say("put", kv.put("v/a", "1", None).await);
    say("put", kv.put("v/b", "1", None).await);
    say_events("all of them", &mut stream, 4).await?;
    for id in [1, 7] {
        stream
            .cancel(id)
            .await
            .map_err(|error| anyhow!(failure(&error)))?;
        say_next("cancel", &mut stream).await?;
    }
    // Unknown, and one that has gone: nobody answers.
    for id in [1, 1000] {
        stream
            .cancel(id)
            .await
            .map_err(|error| anyhow!(failure(&error)))?;
    }
    say("put", kv.put("v/b", "2", None).await);
    say("put", kv.put("v/a", "2", None).await);
    say_events("the one that is left", &mut stream, 1).await?;
    let more = tokio::time::timeout(QUIET, stream.message()).await;
    println!("nothing else comes: {}", more.is_err());
    Ok(())
}

/// A revision that is more than one message may be.
async fn fragments(client: &Client) -> Result<()> {
    let mut kv = client.kv_client();
    for number in 0..LARGE_KEYS {
        say(
            "put",
            kv.put(format!("large/{number}"), vec![b'v'; LARGE], None)
                .await,
        );
    }
    let deleted = kv
        .delete("large/", Some(DeleteOptions::new().with_prefix()))
        .await;
    let revision = deleted.as_ref().ok().and_then(|answer| answer.header());
    let revision = revision.context("a header")?.revision();
    say("delete", deleted);
    let options = WatchOptions::new()
        .with_prefix()
        .with_start_revision(revision)
        .with_prev_key();
    let mut stream = open(client, "large/", options.clone().with_fragment()).await?;
    say_next("fragments", &mut stream).await?;
    let mut found = 0;
    while found < LARGE_KEYS {
        let response = next(&mut stream).await?;
        found += response.events().len();
        println!("fragments: {}", self::response(&response));
    }
    let mut stream = open(client, "large/", options).await?;
    say_next("in one", &mut stream).await?;
    let whole = tokio::time::timeout(COMES, stream.message()).await?;
    say_code(
        "in one",
        whole.map(|found| format!("{:?}", found.map(|one| one.events().len()))),
    );
    Ok(())
}

/// A watch of what is forgotten ends. What it is told of the reason is ours to say better.
async fn compacted(client: &Client, begin: i64) -> Result<()> {
    say("compact", client.kv_client().compact(begin + 3, None).await);
    for revision in [begin, begin + 2, begin + 3] {
        let options = WatchOptions::new()
            .with_prefix()
            .with_start_revision(revision);
        let mut stream = open(client, "w/", options).await?;
        say_next("of the past", &mut stream).await?;
        if revision < begin + 3 {
            say_next("of the past", &mut stream).await?;
        } else {
            say_events("of the past", &mut stream, 5).await?;
        }
    }
    Ok(())
}
