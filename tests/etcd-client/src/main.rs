//! Goes through all that the crate etcd-client offers, against the member that it is given, and prints what it is told.
//!
//! ```text
//!   orlop-etcd-client ENDPOINT everything    what etcd and the store must answer alike, on a new cluster of one member
//!   orlop-etcd-client ENDPOINT locks         the services of locks and elections: only their codes
//! ```
//!
//! One line for each request or event, and nothing in it that depends on the run but numbers of members, clusters and
//! leases, which have 16 digits. Terms, sizes and hashes are not shown, but whether they make sense.

mod cluster;
mod kv;
mod lease;
mod locks;
mod maintenance;
mod show;
mod transactions;
mod watch;

use anyhow::{Context as _, Result, bail};
use etcd_client::{Client, ConnectOptions};
use std::time::Duration;

/// For everything: five times what it takes, and less than the test waits, so that what was printed until then is seen.
const TAKES_MAX: Duration = Duration::from_secs(75);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [endpoint, what] = words.as_slice() else {
        bail!("orlop-etcd-client ENDPOINT everything|locks");
    };
    let work = async {
        let options = ConnectOptions::new().with_require_leader(true);
        let client = Client::connect([endpoint], Some(options))
            .await
            .with_context(|| format!("connect to {endpoint}"))?;
        match what.as_str() {
            "everything" => everything(endpoint, &client).await,
            "locks" => {
                locks::run(&client).await;
                Ok(())
            }
            _ => bail!("`{what}` is neither `everything` nor `locks`"),
        }
    };
    tokio::time::timeout(TAKES_MAX, work)
        .await
        .with_context(|| format!("not done within {TAKES_MAX:?}"))?
}

/// In an order in which each part finds the revisions that it counts on.
async fn everything(endpoint: &str, client: &Client) -> Result<()> {
    kv::run(client).await;
    transactions::run(client).await;
    lease::run(client).await?;
    watch::run(client).await?;
    kv::compaction(client).await;
    cluster::run(client).await?;
    maintenance::run(client).await?;
    maintenance::authentication(endpoint).await;
    lease::expiry(client).await
}
