//! Memory of many objects, and lists that are large.

use super::Bench;
use super::client::{Client, Method, ask, is_of};
use super::requests::count;
use super::site::{self, Site};
use super::table::{Bound, Row};
use crate::load::calls::Framing;
use crate::load::client::{runtime, value};
use crate::load::closed;
use crate::load::table::Unit;
use crate::store::Usage;
use anyhow::{Context as _, Result, ensure};
use std::thread;
use std::time::{Duration, Instant};

/// What the API server may take with 10,000 of them.
const RESIDENT_MAX: f64 = 160.0 * 1024.0 * 1024.0;
/// Bytes of lists for each second of the server's CPU.
const PER_CPU_MIN: f64 = 400e6;
/// Bytes of a Pod as it is served.
const POD: usize = 4 * 1024;
/// Creates under way.
const AT_ONCE: usize = 32;
/// What an allocator gives back by itself is given back.
const REST: Duration = Duration::from_secs(2);
/// Lists that count, at least.
const LISTS_MIN: usize = 3;

const OF_NAMESPACE: &str = "/api/v1/namespaces/default/pods";
const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const OF_ALL: &str = "/api/v1/pods";

/// What lists of one kind came to.
struct Lists {
    bytes: f64,
    wall: Duration,
    used: Usage,
}

pub(super) fn run(bench: &Bench) -> Result<Vec<Row>> {
    Site::with(bench, |site| {
        let client = &site.client;
        let empty = site.server.usage()?.resident;
        // Pods run in its name; a controller makes it where there is one.
        let account = br#"{"metadata":{"name":"default"}}"#.to_vec();
        runtime()?.block_on(client.create(ACCOUNTS, "ServiceAccount", 1, [account]))?;
        let padding = padding(client)?;
        let began = Instant::now();
        let bodies = (0..bench.pods).map(|number| pod(&name(number), &padding));
        runtime()?.block_on(client.create(OF_NAMESPACE, "Pod", AT_ONCE, bodies))?;
        let filling = began.elapsed().as_secs_f64();
        thread::sleep(REST);
        let created = site.usage()?;
        let cached = lists(bench, site, "?resourceVersion=0")?;
        let fresh = lists(bench, site, "")?;
        let listed = site.server.usage()?.resident;
        thread::sleep(REST);
        let rested = site.server.usage()?.resident;
        let resident =
            |what: &str, bytes| anyhow::Ok(Row::new(what, Unit::Bytes, site::bytes(bytes)?));
        let bound = Bound::AtMost(RESIDENT_MAX);
        let each =
            (site::bytes(created[0].resident)? - site::bytes(empty)?) / closed::count(bench.pods);
        let mut rows = vec![
            resident("RSS of the API server, no Pod", empty)?,
            resident("RSS, Pods created", created[0].resident)?.bound(bound),
            Row::new(
                "RSS for each Pod's 4 KiB",
                Unit::Times,
                each / closed::count(POD),
            ),
            resident("RSS, right after lists", listed)?.bound(bound),
            resident("RSS, 2 s after lists", rested)?.bound(bound),
            resident("RSS of the store, Pods created", created[1].resident)?,
            Row::new(
                "creates per second, 32 under way on one connection",
                Unit::PerSecond,
                closed::count(bench.pods) / filling,
            ),
        ];
        for (what, lists) in [("resourceVersion=0", &cached), ("unset", &fresh)] {
            let cpu = lists.used.cpu.as_secs_f64();
            rows.push(
                Row::new(
                    format!("list, {what}: each second of the server's CPU"),
                    Unit::Throughput,
                    lists.bytes / cpu,
                )
                .bound(Bound::AtLeast(PER_CPU_MIN)),
            );
            let wall = lists.bytes / lists.wall.as_secs_f64();
            rows.push(Row::new(
                format!("list, {what}: each second"),
                Unit::Throughput,
                wall,
            ));
        }
        Ok(rows)
    })
}

/// Lists of all Pods, one after the other on one connection.
fn lists(bench: &Bench, site: &Site, query: &str) -> Result<Lists> {
    runtime()?.block_on(async {
        let path = format!("{OF_ALL}{query}");
        let mut calls = site.client.open(Method::Get, &path, Framing::Whole).await?;
        let first = ask(&mut calls, Vec::new()).await?;
        is_of("PodList", &first)?;
        let found = count(&first, b"\"name\":\"pod-");
        ensure!(
            found == bench.pods,
            "{found} Pods instead of {}",
            bench.pods
        );
        let length = first.len();
        drop(first);
        let (began, before) = (Instant::now(), site.server.usage()?);
        let mut lists = 0;
        while lists < LISTS_MIN || began.elapsed() < bench.length {
            let list = ask(&mut calls, Vec::new()).await?;
            ensure!(list.len() == length, "a list of {} bytes", list.len());
            lists += 1;
        }
        Ok(Lists {
            bytes: closed::count(length) * closed::count(lists),
            wall: began.elapsed(),
            used: site.server.usage()? - before,
        })
    })
}

/// What fills a Pod up to its size, with what the server adds to it.
fn padding(client: &Client) -> Result<String> {
    let text = |length: usize| String::from_utf8(value(length).to_vec()).context("letters");
    let path = format!("{OF_NAMESPACE}?dryRun=All");
    let served = runtime()?.block_on(async {
        let mut calls = client.open(Method::Post, &path, Framing::Whole).await?;
        ask(&mut calls, pod(&name(0), "")).await
    })?;
    is_of("Pod", &served)?;
    let lacks = POD.checked_sub(served.len());
    text(lacks.with_context(|| format!("a Pod of {} bytes without padding", served.len()))?)
}

fn name(number: usize) -> String {
    format!("pod-{number:06}")
}

/// A Pod such as a Deployment makes.
fn pod(name: &str, padding: &str) -> Vec<u8> {
    format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}","labels":{{"app":"load","pod-template-hash":"5d4f8c7b9"}},
        "annotations":{{"padding":"{padding}"}},"ownerReferences":[{{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"load-5d4f8c7b9",
        "uid":"b1e4b8a6-9c0e-4b5e-8a53-0f7d7f1d2c11","controller":true,"blockOwnerDeletion":true}}]}},
        "spec":{{"nodeName":"node-1","containers":[{{"name":"main","image":"registry.test/team/app:1.2.3","args":["--port=8080"],
        "ports":[{{"name":"http","containerPort":8080}}],"env":[{{"name":"A","value":"1"}},
        {{"name":"POD","valueFrom":{{"fieldRef":{{"fieldPath":"metadata.name"}}}}}}],
        "resources":{{"requests":{{"cpu":"100m","memory":"64Mi"}},"limits":{{"memory":"128Mi"}}}},
        "readinessProbe":{{"httpGet":{{"path":"/ready","port":"http"}}}},
        "volumeMounts":[{{"name":"config","mountPath":"/etc/app","readOnly":true}}]}}],
        "volumes":[{{"name":"config","configMap":{{"name":"app"}}}}]}}}}"#
    )
    .into_bytes()
}
