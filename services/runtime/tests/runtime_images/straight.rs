//! The straight path: pull, look, mount, remove.

use crate::{
    registry::Registry,
    support::{
        Entry, INDEX, MANIFEST, Mounted, Node, TestImage, archive, descriptor, gzip, names, plain,
        registries, zstd,
    },
};
use orlop_runtime::{
    executor::images::{Images, ImagesError},
    planner::images::{challenge::AuthConfig, table::RecordUser},
};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use serde_json::json;
use std::{fs, os::unix::fs::FileTypeExt as _, sync::Arc};
use tokio_rustls::TlsAcceptor;

fn three_layers() -> TestImage {
    let layers = [
        archive(&[
            ("bin/", Entry::Dir(0o755)),
            ("bin/x", Entry::File(b"one")),
            ("old", Entry::File(b"old")),
        ]),
        archive(&[
            ("bin/", Entry::Dir(0o750)),
            ("bin/x", Entry::File(b"two")),
            (".wh.old", Entry::File(b"")),
        ]),
        archive(&[("big", Entry::File(&vec![7; 3_000_000]))]),
    ];
    TestImage::new(&layers, &[gzip, zstd, plain])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_mounted_and_removed() {
    let (registry, node, image) = (Registry::new().await, Node::new().await, three_layers());
    registry.put_image("a/b", "1", &image);
    let reference = registry.reference("a/b:1");
    let pulled = node
        .images
        .pull(&reference, &AuthConfig::default())
        .await
        .unwrap();
    assert_eq!(pulled.record.id, image.id());
    assert_eq!(pulled.record.repo_tags, [reference.clone()].into());
    assert_eq!(pulled.record.user, RecordUser::Uid(7));
    assert!(pulled.record.size > 3_000_000);
    assert_eq!(node.images.list(), std::slice::from_ref(&pulled));
    let repo_digest = pulled.record.repo_digests.first().unwrap();
    for name in [
        reference.as_str(),
        image.id().as_str(),
        &image.id().hex()[..12],
        repo_digest,
    ] {
        assert_eq!(node.images.status(name).unwrap(), pulled, "{name}");
    }
    let details = node.images.details(&reference).await.unwrap();
    assert_eq!(details.config.cmd, ["/bin/x"]);
    assert_eq!(details.config_text.as_bytes(), image.config);

    let snapshot = node.images.snapshot(&reference).unwrap();
    let container = Mounted::overlay(&snapshot.lower);
    assert_eq!(names(&container.path), ["big", "bin"]);
    assert_eq!(fs::read(container.path.join("bin/x")).unwrap(), b"two");
    assert_eq!(
        fs::metadata(container.path.join("big")).unwrap().len(),
        3_000_000
    );

    // What a container has mounted stays, the image being gone.
    node.images.remove(&reference).await.unwrap();
    node.images.remove(&reference).await.unwrap();
    assert!(matches!(
        node.images.status(&reference),
        Err(ImagesError::NotFound(_))
    ));
    assert_eq!(names(&node.root().join("layers")).len(), 3);
    drop(container);
    drop(snapshot);
    node.images.collect().await.unwrap();
    node.check_empty();
    assert_eq!(node.images.fs_info().unwrap().usage.bytes, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_there_after_a_restart_and_asked_for_once() {
    let (registry, node, image) = (Registry::new().await, Node::new().await, three_layers());
    registry.put_image("a", "1", &image);
    let reference = registry.reference("a:1");
    let first = node
        .images
        .pull(&reference, &AuthConfig::default())
        .await
        .unwrap();
    let second = Images::open(crate::support::options(&node.root())).await;
    assert!(
        matches!(second, Err(ImagesError::FailedPrecondition(_))),
        "a root has one owner"
    );
    let Node { directory, images } = node;
    let usage = images.fs_info().unwrap().usage;
    drop(images);
    let images = Images::open(crate::support::options(&directory.path().join("root")))
        .await
        .unwrap();
    assert_eq!(images.list(), std::slice::from_ref(&first));
    assert_eq!(images.fs_info().unwrap().usage, usage);
    let held = images.hold(&image.chain_ids).unwrap();
    assert_eq!(held.lower.len(), 3);
    // The same image by another name costs a manifest.
    registry.put_manifest("a", "2", MANIFEST, &image.manifest_bytes());
    let again = images
        .pull(&registry.reference("a:2"), &AuthConfig::default())
        .await
        .unwrap();
    assert_eq!(again.record.repo_tags.len(), 2);
    assert_eq!(registry.count("/blobs/"), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn pulls_at_once_share_what_they_share() {
    let (registry, node) = (Registry::new().await, Node::new().await);
    let base = archive(&[("base", Entry::File(&vec![1; 2_000_000]))]);
    let images: Vec<_> = (0..6_u8)
        .map(|n| {
            TestImage::new(
                &[
                    base.clone(),
                    archive(&[("own", Entry::File(&[n; 100_000]))]),
                ],
                &[gzip],
            )
        })
        .collect();
    let mut pulls = tokio::task::JoinSet::new();
    for (n, image) in images.iter().enumerate() {
        registry.put_image("a", &n.to_string(), image);
        for _ in 0..2 {
            let (images, reference) = (node.images.clone(), registry.reference(&format!("a:{n}")));
            pulls.spawn(async move { images.pull(&reference, &AuthConfig::default()).await });
        }
    }
    for done in pulls.join_all().await {
        done.unwrap();
    }
    assert_eq!(node.images.list().len(), 6);
    assert_eq!(names(&node.root().join("layers")).len(), 7);
    let shared = &images[0].manifest["layers"][0]["digest"];
    assert_eq!(
        registry.count(shared.as_str().unwrap()),
        1,
        "one download for all"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_over_tls_with_mirror_and_authority() {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let tls = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(
        vec![certificate.der().clone()],
        PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
    )
    .unwrap();
    let registry = Registry::with(Some(TlsAcceptor::from(Arc::new(tls)))).await;
    let image = three_layers();
    registry.put_image("library/a", "none", &image);
    let manifest = image.manifest_bytes();
    let mut entry = descriptor(MANIFEST, &manifest);
    entry["platform"] = json!({"os": "linux", "architecture": "amd64"});
    let mut other = descriptor(MANIFEST, b"other");
    other["platform"] = json!({"os": "linux", "architecture": "s390x"});
    let index =
        json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [other, entry]}).to_string();
    registry.put_manifest("library/a", "latest", INDEX, index.as_bytes());

    let url = format!("https://localhost:{}", registry.address.port());
    let node = Node::with(|options| {
        let ca_file = options.root.with_file_name("ca.pem");
        fs::write(&ca_file, certificate.pem()).unwrap();
        options.registries = registries(&json!({"registries": {"docker.io": {
            "mirrors": [{"url": url, "ca_file": ca_file}], "mirrors_only": true}}}));
    })
    .await;
    let auth = AuthConfig {
        username: "u".to_owned(),
        password: "p".to_owned(),
        ..AuthConfig::default()
    };
    let pulled = node.images.pull("a", &auth).await.unwrap();
    assert_eq!(
        pulled.record.repo_tags,
        ["docker.io/library/a:latest".to_owned()].into()
    );
    assert!(
        pulled
            .record
            .repo_digests
            .first()
            .unwrap()
            .ends_with(descriptor("", index.as_bytes())["digest"].as_str().unwrap())
    );
    for asked in registry.log() {
        assert!(asked.target.ends_with("?ns=docker.io"), "{}", asked.target);
        assert!(
            !asked.headers.contains_key("authorization"),
            "a mirror is not whom the credentials are for"
        );
    }

    // Without the authority the server is nobody.
    let stranger = Node::with(|options| {
        options.registries = registries(&json!({"registries": {"docker.io": {"mirrors": [{"url": url}], "mirrors_only": true}}}));
    })
    .await;
    let refused = stranger
        .images
        .pull("a", &auth)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("TLS with") || refused.contains("authorities"),
        "{refused}"
    );
    stranger.check_empty();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_128_layers_is_mounted() {
    let layers: Vec<_> = (0..128)
        .map(|n| {
            archive(&[
                (&format!("f{n}"), Entry::File(b"x")),
                (&format!(".wh.f{}", n / 2), Entry::File(b"")),
            ])
        })
        .collect();
    let (registry, node) = (Registry::new().await, Node::new().await);
    registry.put_image("a", "1", &TestImage::new(&layers, &[plain]));
    node.images
        .pull(&registry.reference("a:1"), &AuthConfig::default())
        .await
        .unwrap();
    let snapshot = node.images.snapshot(&registry.reference("a:1")).unwrap();
    let container = Mounted::overlay(&snapshot.lower);
    // Layer 0 hides its own name only below itself; the others hide that of half their number.
    assert_eq!(names(&container.path).len(), 64);
    let hidden = fs::symlink_metadata(snapshot.lower[0].join("f63")).unwrap();
    assert!(hidden.file_type().is_char_device());
}
