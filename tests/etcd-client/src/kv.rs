//! Keys: every option of put, get, delete and compact.

use crate::show::{say, say_code};
use etcd_client::{
    Client, CompactionOptions, DeleteOptions, GetOptions, KvClientPrefix, PutOptions, SortOrder,
    SortTarget,
};

/// More than a request may have.
const TOO_LARGE: usize = 1600 * 1024;
/// A lease that was never granted.
const NO_LEASE: i64 = 0x7000_0000_0000_0404;

pub(crate) async fn run(client: &Client) {
    puts(client).await;
    gets(client).await;
    deletes(client).await;
}

async fn puts(client: &Client) {
    let mut kv = client.kv_client();
    let new = PutOptions::new;
    for (what, key, value, options) in [
        ("put", "a", "1", new()),
        ("put, previous", "a", "2", new().with_prev_key()),
        ("put, ignore value", "a", "", new().with_ignore_value()),
        ("put, ignore lease", "a", "3", new().with_ignore_lease()),
        (
            "put, both ignored",
            "a",
            "",
            new().with_ignore_value().with_ignore_lease(),
        ),
        ("put, previous of nothing", "b", "1", new().with_prev_key()),
        ("put, no key", "", "1", new()),
        (
            "put, ignored and given",
            "a",
            "4",
            new().with_ignore_value(),
        ),
        (
            "put, ignore value of nothing",
            "none",
            "",
            new().with_ignore_value(),
        ),
        (
            "put, ignore lease of nothing",
            "none",
            "1",
            new().with_ignore_lease(),
        ),
        (
            "put, lease ignored and given",
            "a",
            "1",
            new().with_lease(NO_LEASE).with_ignore_lease(),
        ),
        ("put, no such lease", "a", "1", new().with_lease(NO_LEASE)),
        ("put, empty value", "empty", "", new()),
    ] {
        say(what, kv.put(key, value, Some(options)).await);
    }
    say(
        "put, any bytes",
        kv.put(vec![0, 0xff, b'x'], vec![0xff, 0], None).await,
    );
    say(
        "put, too large",
        kv.put("large", vec![b'v'; TOO_LARGE], None).await,
    );
    // Versions, revisions and values in orders of their own.
    for (key, value) in [
        ("dir/3", "a"),
        ("dir/1", "c"),
        ("dir/2", "b"),
        ("dir/1", "d"),
        ("dir/4", "0"),
        ("dir/2", "b"),
        ("dir/2", "e"),
    ] {
        say("put", kv.put(key, value, None).await);
    }
}

async fn gets(client: &Client) {
    let mut kv = client.kv_client();
    let new = GetOptions::new;
    for (what, key, options) in [
        ("get", "a", new()),
        ("get, nothing", "none", new()),
        ("get, no key", "", new()),
        ("get, prefix", "dir/", new().with_prefix()),
        ("get, prefix of nothing", "nowhere/", new().with_prefix()),
        ("get, every prefix", "", new().with_prefix()),
        ("get, from key", "dir/3", new().with_from_key()),
        ("get, all", "", new().with_all_keys()),
        ("get, range", "dir/2", new().with_range("dir/4")),
        ("get, backward range", "dir/4", new().with_range("dir/2")),
        ("get, limit", "dir/", new().with_prefix().with_limit(2)),
        (
            "get, limit of all",
            "dir/",
            new().with_prefix().with_limit(4),
        ),
        (
            "get, negative limit",
            "dir/",
            new().with_prefix().with_limit(-1),
        ),
        (
            "get, keys only",
            "dir/",
            new().with_prefix().with_keys_only(),
        ),
        (
            "get, count only",
            "dir/",
            new().with_prefix().with_count_only(),
        ),
        (
            "get, count only, limit",
            "dir/",
            new().with_prefix().with_count_only().with_limit(1),
        ),
        ("get, serializable", "a", new().with_serializable()),
        ("get, revision", "a", new().with_revision(3)),
        (
            "get, revision before",
            "dir/",
            new().with_prefix().with_revision(5),
        ),
        ("get, first revision", "a", new().with_revision(1)),
        ("get, negative revision", "a", new().with_revision(-1)),
        ("get, future revision", "a", new().with_revision(1000)),
        (
            "get, changed since",
            "",
            new().with_all_keys().with_min_mod_revision(12),
        ),
        (
            "get, changed until",
            "",
            new().with_all_keys().with_max_mod_revision(12),
        ),
        (
            "get, made since",
            "",
            new().with_all_keys().with_min_create_revision(12),
        ),
        (
            "get, made until",
            "",
            new().with_all_keys().with_max_create_revision(12),
        ),
        (
            "get, changed since, limit",
            "",
            new().with_all_keys().with_min_mod_revision(9).with_limit(2),
        ),
        (
            "get, changed since, count only",
            "",
            new()
                .with_all_keys()
                .with_min_mod_revision(9)
                .with_count_only(),
        ),
    ] {
        say(what, kv.get(key, Some(options)).await);
    }
    for target in [
        SortTarget::Key,
        SortTarget::Version,
        SortTarget::Create,
        SortTarget::Mod,
        SortTarget::Value,
    ] {
        for order in [SortOrder::None, SortOrder::Ascend, SortOrder::Descend] {
            let options = new().with_prefix().with_sort(target, order).with_limit(3);
            say(
                &format!("get, sort {target:?} {order:?}"),
                kv.get("dir/", Some(options)).await,
            );
        }
    }
    // A call of etcd 3.6: both must say in the same way that there is none.
    let first = match kv.get_stream("a", None).await {
        Ok(mut stream) => stream.message().await,
        Err(error) => Err(error),
    };
    say_code(
        "get in a stream",
        first.map(|answer| format!("{}", answer.is_some())),
    );
    let mut below = KvClientPrefix::new(client.kv_client(), b"below/".to_vec());
    say("put below a prefix", below.put("a", "1", None).await);
    say(
        "get below a prefix",
        below.get("", Some(new().with_prefix())).await,
    );
    say("delete below a prefix", below.delete("a", None).await);
}

async fn deletes(client: &Client) {
    let mut kv = client.kv_client();
    let new = DeleteOptions::new;
    for (what, key, options) in [
        ("delete", "b", new()),
        ("delete, nothing", "b", new().with_prev_key()),
        ("delete, previous", "dir/1", new().with_prev_key()),
        ("delete, range", "dir/2", new().with_range("dir/3")),
        ("delete, backward range", "z", new().with_range("a")),
        (
            "delete, prefix, previous",
            "dir/",
            new().with_prefix().with_prev_key(),
        ),
        ("delete, no key", "", new()),
        (
            "delete, from key, previous",
            "e",
            new().with_from_key().with_prev_key(),
        ),
    ] {
        say(what, kv.delete(key, Some(options)).await);
    }
    say(
        "get, all",
        kv.get("", Some(GetOptions::new().with_all_keys())).await,
    );
    say(
        "delete, all",
        kv.delete("", Some(new().with_all_keys().with_prev_key()))
            .await,
    );
    say(
        "get, all before",
        kv.get("", Some(GetOptions::new().with_all_keys().with_revision(6)))
            .await,
    );
}

/// History before a revision is forgotten.
pub(crate) async fn compaction(client: &Client) {
    let mut kv = client.kv_client();
    for value in ["1", "2", "3"] {
        say("put", kv.put("compacted", value, None).await);
    }
    let newest = match kv.get("compacted", None).await {
        Ok(answer) => answer.kvs().first().map_or(0, |pair| pair.mod_revision()),
        Err(_) => 0,
    };
    let physical = || Some(CompactionOptions::new().with_physical());
    for (what, revision, options) in [
        ("compact", newest - 1, None),
        ("compact again", newest - 1, physical()),
        ("compact before", newest - 2, None),
        ("compact the future", newest + 100, None),
        ("compact nothing", 0, None),
        ("compact, physical", newest, physical()),
    ] {
        say(what, kv.compact(revision, options).await);
    }
    for (what, revision) in [
        ("get, compacted revision", newest - 1),
        ("get, revision of compaction", newest),
        ("get, future revision", newest + 1),
    ] {
        say(
            what,
            kv.get("compacted", Some(GetOptions::new().with_revision(revision)))
                .await,
        );
    }
}
