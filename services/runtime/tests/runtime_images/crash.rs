//! kill -9 in the middle of pulls and removals: a process of its own has the root, and is killed at random.

use crate::{
    registry::Registry,
    support::{Entry, Node, TestImage, archive, gzip, listing, names, options, plain, zstd},
};
use orlop_runtime::{executor::images::Images, planner::images::challenge::AuthConfig};
use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

const ROOT: &str = "ORLOP_TEST_CRASH_ROOT";
const REFERENCE: &str = "ORLOP_TEST_CRASH_REFERENCE";
const ROUNDS: u32 = 40;

/// What the killed process does; without its variables there is nothing to do.
#[tokio::test(flavor = "multi_thread")]
async fn victim() {
    let (Ok(root), Ok(reference)) = (std::env::var(ROOT), std::env::var(REFERENCE)) else {
        return;
    };
    let images = Images::open(options(Path::new(&root))).await.unwrap();
    loop {
        images
            .pull(&reference, &AuthConfig::default())
            .await
            .unwrap();
        // Records are written anew each time: kills must hit that, too.
        for _ in 0..10 {
            images
                .pull(&reference, &AuthConfig::default())
                .await
                .unwrap();
        }
        images.remove(&reference).await.unwrap();
    }
}

fn image() -> TestImage {
    let files = |n: u8| {
        let names: Vec<_> = (0..60).map(|f| format!("d{n}/f{f}")).collect();
        let (data, directory) = (vec![n; 20_000], format!("d{n}/"));
        // With the times of all directories: two pulls are compared.
        let mut entries = vec![
            ("./", Entry::Dir(0o755)),
            (directory.as_str(), Entry::Dir(0o755)),
        ];
        entries.extend(names.iter().map(|name| (name.as_str(), Entry::File(&data))));
        entries.push(("shared/", Entry::Dir(0o700)));
        entries.push(("linked", Entry::Hard("d0/f0")));
        archive(&entries)
    };
    TestImage::new(
        &[files(0), files(1), files(2), files(3)],
        &[gzip, zstd, plain],
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_leaves_nothing_half_made() {
    let (registry, good, image) = (Registry::new().await, Node::new().await, image());
    registry.put_image("a", "1", &image);
    let reference = registry.reference("a:1");
    good.images
        .pull(&reference, &AuthConfig::default())
        .await
        .unwrap();
    let expected: BTreeMap<_, _> = names(&good.root().join("layers"))
        .into_iter()
        .map(|name| {
            (
                name.clone(),
                listing(&good.root().join("layers").join(name).join("diff")),
            )
        })
        .collect();
    assert_eq!(expected.len(), 4);

    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    let mut random = [0; ROUNDS as usize];
    aws_lc_rs::rand::fill(&mut random).unwrap();
    println!("kills after {random:?}");
    let (mut with_image, mut with_layers) = (0, 0);
    for (round, wait) in random.into_iter().enumerate() {
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::victim"])
            .env(ROOT, &root)
            .env(REFERENCE, &reference)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // The moment is the point: there is no condition to wait for.
        // Early ones hit the first layers, late ones records and removals.
        let unit = if round % 2 == 0 { 400 } else { 4000 };
        tokio::time::sleep(Duration::from_micros(unit * u64::from(wait) + 5000)).await;
        victim.kill().unwrap();
        victim.wait().unwrap();
        let left = root.join("layers").exists()
            && names(&root.join("layers"))
                .iter()
                .any(|name| name.starts_with("tmp-"));
        with_layers += u32::from(left);

        let images = Images::open(options(&root)).await.unwrap();
        for name in names(&root.join("layers")) {
            let found = listing(&root.join("layers").join(&name).join("diff"));
            assert_eq!(expected.get(&name), Some(&found), "{name} is not whole");
        }
        for found in images.list() {
            with_image += 1;
            assert_eq!(
                images
                    .snapshot(found.record.id.as_str())
                    .unwrap()
                    .lower
                    .len(),
                4
            );
        }
        images.collect().await.unwrap();
        let count = images.list().len() * 4;
        assert_eq!(names(&root.join("layers")).len(), count);
        images
            .pull(&reference, &AuthConfig::default())
            .await
            .unwrap();
        images.remove(&reference).await.unwrap();
    }
    println!("of {ROUNDS}: {with_image} with an image, {with_layers} in the middle of one");
    assert!(with_layers > 0, "no kill hit anything");
}
