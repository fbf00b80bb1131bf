//! Transactions: every target and comparison, both branches, transactions within, and what is refused.

use crate::show::say;
use etcd_client::{Client, Compare, CompareOp, DeleteOptions, GetOptions, PutOptions, Txn, TxnOp};

/// Operations of one transaction: one more than there may be.
const TOO_MANY: usize = 129;

pub(crate) async fn run(client: &Client) {
    let mut kv = client.kv_client();
    say("put", kv.put("t/a", "1", None).await);
    say("put", kv.put("t/a", "2", None).await);
    say("put", kv.put("t/b", "5", None).await);
    comparisons(client).await;
    operations(client).await;
    refused(client).await;
    say(
        "delete",
        kv.delete("t/", Some(DeleteOptions::new().with_prefix()))
            .await,
    );
}

/// Which of the two branches is taken, for guards below, at and above what is there.
async fn comparisons(client: &Client) {
    let mut kv = client.kv_client();
    let made = match kv.get("t/a", None).await {
        Ok(answer) => answer
            .kvs()
            .first()
            .map_or(0, |pair| pair.create_revision()),
        Err(_) => 0,
    };
    for op in [
        CompareOp::Equal,
        CompareOp::Greater,
        CompareOp::Less,
        CompareOp::NotEqual,
    ] {
        for (what, guards) in [
            (
                "version",
                [1, 2, 3].map(|at| Compare::version("t/a", op, at)),
            ),
            (
                "create",
                [-1, 0, 1].map(|by| Compare::create_revision("t/a", op, made + by)),
            ),
            (
                "mod",
                [0, 1, 2].map(|by| Compare::mod_revision("t/a", op, made + by)),
            ),
            (
                "value",
                ["1", "2", "3"].map(|value| Compare::value("t/a", op, value)),
            ),
            ("lease", [-1, 0, 1].map(|id| Compare::lease("t/a", op, id))),
            (
                "version of nothing",
                [-1, 0, 1].map(|at| Compare::version("t/none", op, at)),
            ),
            (
                "value of nothing",
                ["", "0", "1"].map(|value| Compare::value("t/none", op, value)),
            ),
            (
                "range",
                ["1", "3", "9"].map(|value| Compare::value("t/", op, value).with_prefix()),
            ),
            (
                "range of nothing",
                ["1", "3", "9"].map(|value| Compare::value("u/", op, value).with_range("v/")),
            ),
        ] {
            let mut branches = Vec::new();
            for guard in guards {
                branches.push(match kv.txn(Txn::new().when([guard])).await {
                    Ok(answer) => answer.succeeded().to_string(),
                    Err(error) => crate::show::failure(&error),
                });
            }
            println!("guard {what} {op:?}: {}", branches.join(", "));
        }
    }
    let guard = |value: &str| Compare::value("t/a", CompareOp::Equal, value);
    say(
        "two guards, one fails",
        kv.txn(Txn::new().when([guard("2"), guard("1")])).await,
    );
    say("nothing at all", kv.txn(Txn::new()).await);
}

async fn operations(client: &Client) {
    let mut kv = client.kv_client();
    let prefix = || Some(GetOptions::new().with_prefix());
    let holds = || vec![Compare::version("t/a", CompareOp::Greater, 0)];
    let fails = || vec![Compare::version("t/a", CompareOp::Equal, 0)];
    let all = vec![
        TxnOp::get("t/a", None),
        TxnOp::put("t/c", "1", None),
        TxnOp::put("t/a", "3", Some(PutOptions::new().with_prev_key())),
        TxnOp::get("t/", prefix()),
        TxnOp::delete("t/b", Some(DeleteOptions::new().with_prev_key())),
        TxnOp::get("t/", prefix()),
        TxnOp::delete("t/none", None),
    ];
    say(
        "then",
        kv.txn(Txn::new().when(holds()).and_then(all.clone())).await,
    );
    say(
        "else",
        kv.txn(Txn::new().when(fails()).and_then([]).or_else(all))
            .await,
    );
    say(
        "only reads",
        kv.txn(Txn::new().and_then([TxnOp::get("t/", prefix()), TxnOp::get("none", None)]))
            .await,
    );
    let delete_twice = [
        TxnOp::delete("t/c", None),
        TxnOp::delete("t/", Some(DeleteOptions::new().with_prefix())),
        TxnOp::delete("t/c", None),
    ];
    say(
        "deletes of the same",
        kv.txn(Txn::new().and_then(delete_twice)).await,
    );
    // Guards of an inner transaction see what was there before the outer one.
    let inner = Txn::new()
        .when([Compare::version("t/new", CompareOp::Equal, 0)])
        .and_then([
            TxnOp::put("t/inner", "then", None),
            TxnOp::txn(Txn::new().when(fails()).and_then([TxnOp::put(
                "t/innermost",
                "then",
                None,
            )])),
        ])
        .or_else([TxnOp::put("t/inner", "else", None)]);
    let outer = Txn::new().and_then([
        TxnOp::put("t/new", "1", None),
        TxnOp::txn(inner.clone()),
        TxnOp::get("t/", prefix()),
    ]);
    say("nested", kv.txn(outer.clone()).await);
    say("nested again", kv.txn(outer).await);
}

async fn refused(client: &Client) {
    let mut kv = client.kv_client();
    let put = |key: &str| TxnOp::put(key, "1", None);
    let nested = |operation: TxnOp| TxnOp::txn(Txn::new().and_then([operation]));
    let future = || Some(GetOptions::new().with_revision(100_000));
    for (what, operations) in [
        ("the same key twice", vec![put("t/same"), put("t/same")]),
        (
            "the same key within",
            vec![put("t/same"), nested(put("t/same"))],
        ),
        (
            "put and delete",
            vec![
                put("t/same"),
                TxnOp::delete("t/", Some(DeleteOptions::new().with_prefix())),
            ],
        ),
        (
            "delete and put",
            vec![TxnOp::delete("t/same", None), put("t/same")],
        ),
        ("no key", vec![put("")]),
        ("no key within", vec![nested(TxnOp::get("", None))]),
        (
            "future revision",
            vec![put("t/same"), TxnOp::get("t/a", future())],
        ),
        (
            "no such lease",
            vec![TxnOp::put(
                "t/same",
                "1",
                Some(PutOptions::new().with_lease(404)),
            )],
        ),
        (
            "ignore value of nothing",
            vec![TxnOp::put(
                "t/none",
                "",
                Some(PutOptions::new().with_ignore_value()),
            )],
        ),
        (
            "too many operations",
            (0..TOO_MANY).map(|at| put(&format!("t/{at}"))).collect(),
        ),
    ] {
        say(what, kv.txn(Txn::new().and_then(operations)).await);
    }
    let guards: Vec<Compare> = (0..TOO_MANY)
        .map(|_| Compare::version("t/a", CompareOp::Equal, 0))
        .collect();
    say("too many guards", kv.txn(Txn::new().when(guards)).await);
    say(
        "a guard without key",
        kv.txn(Txn::new().when([Compare::version("", CompareOp::Equal, 0)]))
            .await,
    );
    // Both branches are one each: together they may have the same key.
    let branches = Txn::new()
        .and_then([put("t/either")])
        .or_else([put("t/either")]);
    say("the same key in either branch", kv.txn(branches).await);
    say(
        "what is left",
        kv.get("t/", Some(GetOptions::new().with_prefix())).await,
    );
}
