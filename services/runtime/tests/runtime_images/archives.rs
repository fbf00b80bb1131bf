//! Import: OCI layouts in an archive, and Docker's older form.

use crate::support::{
    Entry, INDEX, MANIFEST, Mounted, Node, TestImage, archive, descriptor, gzip, names, plain,
};
use orlop_runtime::{executor::images::ImagesError, planner::images::digest::Digest};
use serde_json::json;
use std::{fs, path::PathBuf};

fn image() -> TestImage {
    TestImage::new(
        &[
            archive(&[("a", Entry::File(b"1"))]),
            archive(&[("b", Entry::File(b"2"))]),
        ],
        &[gzip, plain],
    )
}

fn blob(bytes: &[u8]) -> (String, Vec<u8>) {
    (
        format!("blobs/sha256/{}", Digest::of(bytes).hex()),
        bytes.to_vec(),
    )
}

fn written(node: &Node, files: &[(String, Vec<u8>)]) -> PathBuf {
    let entries: Vec<_> = files
        .iter()
        .map(|(name, bytes)| (name.as_str(), Entry::File(bytes)))
        .collect();
    let path = node.directory.path().join("archive.tar");
    fs::write(&path, archive(&entries)).unwrap();
    path
}

fn oci(image: &TestImage, name: &str) -> Vec<(String, Vec<u8>)> {
    let mut entry = descriptor(MANIFEST, &image.manifest_bytes());
    entry["annotations"] =
        json!({"io.containerd.image.name": name, "org.opencontainers.image.ref.name": "1"});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]});
    let mut files = vec![
        (
            "oci-layout".to_owned(),
            br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec(),
        ),
        ("index.json".to_owned(), index.to_string().into_bytes()),
        blob(&image.config),
        blob(&image.manifest_bytes()),
    ];
    files.extend(image.layers.iter().map(|layer| blob(layer)));
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oci_archive() {
    let (node, image) = (Node::new().await, image());
    let imported = node
        .images
        .import(&written(&node, &oci(&image, "docker.io/team/a:1")))
        .await
        .unwrap();
    assert_eq!(imported.len(), 1);
    assert_eq!(
        imported[0].record.repo_tags,
        ["docker.io/team/a:1".to_owned()].into()
    );
    let snapshot = node.images.snapshot("team/a:1").unwrap();
    let merged = Mounted::overlay(&snapshot.lower);
    assert_eq!(names(&merged.path), ["a", "b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_docker_saved_before() {
    let (node, image) = (
        Node::new().await,
        TestImage::new(&[archive(&[("a", Entry::File(b"1"))])], &[plain]),
    );
    let saved = json!([{"Config": "c.json", "RepoTags": ["a:1"], "Layers": ["x/layer.tar"]}]);
    let files = [
        ("c.json".to_owned(), image.config.clone()),
        ("x/layer.tar".to_owned(), image.layers[0].clone()),
        ("manifest.json".to_owned(), saved.to_string().into_bytes()),
    ];
    node.images.import(&written(&node, &files)).await.unwrap();
    assert_eq!(node.images.status("a:1").unwrap().record.id, image.id());
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_that_are_none() {
    let (node, image) = (Node::new().await, image());
    let whole = oci(&image, "a:1");
    let without = |part: usize| {
        let mut files = whole.clone();
        files.remove(part);
        files
    };
    let mut changed = whole.clone();
    changed[4].1 = b"another layer".to_vec();
    let mut other = whole.clone();
    other[2].1[0] = b' ';
    for (files, words) in [
        (Vec::new(), "it has no /manifest.json"),
        (without(2), "it has no /blobs/sha256/"),
        (without(4), "it has no /blobs/sha256/"),
        (changed, "layer sha256:"),
        (other, "has another digest"),
    ] {
        let error = node
            .images
            .import(&written(&node, &files))
            .await
            .expect_err(words);
        assert!(
            matches!(error, ImagesError::FailedPrecondition(_)),
            "{error:?}"
        );
        assert!(error.to_string().contains(words), "{error}");
        node.check_empty();
    }
    let path = written(&node, &whole);
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(3000)
        .unwrap();
    let cut = node.images.import(&path).await.unwrap_err();
    assert!(cut.to_string().contains("cut off"), "{cut}");
    let missing = node
        .images
        .import(&node.directory.path().join("none"))
        .await
        .unwrap_err();
    assert!(matches!(missing, ImagesError::NotFound(_)), "{missing:?}");
    node.images.import(&written(&node, &whole)).await.unwrap();
}
