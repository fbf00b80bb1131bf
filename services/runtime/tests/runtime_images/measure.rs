//! How fast a large image is unpacked: `ORLOP_MEASURE=1 cargo test --release --test runtime_images measure -- --nocapture`.
//!
//! Ten layers of 50 MiB of this machine's own programs, from a registry on this machine.

use crate::{
    registry::Registry,
    support::{Node, TestImage, gzip},
};
use orlop_runtime::planner::images::challenge::AuthConfig;
use std::{fs, process::Command, time::Instant};

const LAYERS: usize = 10;
const LAYER_BYTES: usize = 50 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_mebibytes_in_ten_layers() {
    if std::env::var("ORLOP_MEASURE").is_err() {
        return;
    }
    let mut layers: Vec<tar::Builder<Vec<u8>>> = Vec::new();
    let (mut pending, mut bytes) = (vec!["/usr/lib".into(), "/usr/share".into()], 0);
    while let Some(path) = pending.pop() {
        let path: std::path::PathBuf = path;
        let Ok(found) = fs::symlink_metadata(&path) else {
            continue;
        };
        if found.is_dir() {
            pending.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else if found.is_file() && found.len() < 20_000_000 {
            if layers.is_empty() || layers[layers.len() - 1].get_ref().len() > LAYER_BYTES {
                if layers.len() == LAYERS {
                    break;
                }
                layers.push(tar::Builder::new(Vec::new()));
            }
            let last = layers.len() - 1;
            layers[last]
                .append_path_with_name(&path, path.strip_prefix("/").unwrap())
                .unwrap();
            bytes += found.len();
        }
    }
    let layers: Vec<_> = layers
        .into_iter()
        .map(|layer| layer.into_inner().unwrap())
        .collect();
    let (registry, node) = (Registry::new().await, Node::new().await);
    let image = TestImage::new(&layers, &[gzip]);
    registry.put_image("a", "1", &image);

    let began = Instant::now();
    for (at, layer) in image.layers.iter().enumerate() {
        let directory = node.directory.path().join(format!("tar{at}"));
        fs::create_dir(&directory).unwrap();
        let packed = node.directory.path().join("packed");
        fs::write(&packed, layer).unwrap();
        let status = Command::new("tar")
            .arg("-xzf")
            .arg(&packed)
            .arg("-C")
            .arg(&directory)
            .status();
        assert!(status.unwrap().success());
    }
    rustix::fs::sync();
    let tar = began.elapsed();
    let began = Instant::now();
    node.images
        .pull(&registry.reference("a:1"), &AuthConfig::default())
        .await
        .unwrap();
    let pull = began.elapsed();
    println!(
        "{} layers, {} MiB: pull {pull:?}, GNU tar one after the other {tar:?}",
        layers.len(),
        bytes >> 20
    );
}
