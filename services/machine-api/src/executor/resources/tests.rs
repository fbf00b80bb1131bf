//! The table of kinds against its documentation and this machine.

use super::*;
use std::{collections::BTreeMap, path::PathBuf};

/// Field names by kind: the first column of the tables in the reference page.
fn documented() -> BTreeMap<String, Vec<String>> {
    let page = include_str!("../../../../../docs/reference/resources.md");
    let mut kinds = BTreeMap::<String, Vec<String>>::new();
    let mut current = None;
    for line in page.lines() {
        let quoted = |text: &str| text.split('`').nth(1).map(str::to_owned);
        if let Some(heading) = line.strip_prefix("## ") {
            current = quoted(heading);
            if let Some(kind) = &current {
                kinds.insert(kind.clone(), Vec::new());
            }
        } else if let Some(kind) = &current
            && line.starts_with("| `")
        {
            let fields = kinds.get_mut(kind).unwrap();
            fields.extend(quoted(line));
        }
    }
    kinds
}

#[tokio::test]
async fn every_kind_reads_here_and_its_fields_are_documented() {
    let (netlink, changes) = crate::executor::addresses::open().unwrap();
    let init = Arc::new(Init::new(PathBuf::from("/nonexistent/init.sock")));
    let hub = Hub::new(Sources { init, netlink }, changes);
    let documented = documented();
    let names: Vec<_> = KINDS.iter().map(|kind| kind.name.to_owned()).collect();
    assert_eq!(documented.keys().cloned().collect::<Vec<_>>(), names);
    for kind in KINDS {
        if kind.name == "services" {
            let error = hub.look(kind.name).await.unwrap_err();
            assert_eq!(error.code(), tonic::Code::Unavailable);
            continue;
        }
        let known = hub.look(kind.name).await.unwrap();
        for (id, resource) in &known.resources {
            for field in resource.spec.keys() {
                let listed = documented[kind.name].contains(field);
                assert!(
                    listed,
                    "{} {id}: field {field} is not documented",
                    kind.name
                );
            }
        }
    }
    let links = hub.look("links").await.unwrap();
    assert_eq!(links.resources["lo"].spec["loopback"], true);
    let own = std::process::id().to_string();
    assert!(
        hub.look("processes")
            .await
            .unwrap()
            .resources
            .contains_key(&own)
    );
    assert!(
        hub.look("memory")
            .await
            .unwrap()
            .resources
            .contains_key("memory")
    );
}

#[test]
fn an_unknown_kind_names_the_known_ones() {
    let error = position("pods").unwrap_err();
    assert!(
        error.message().contains("addresses, cpus, disks"),
        "{}",
        error.message()
    );
}
