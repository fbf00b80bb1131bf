//! Registries that lie, break off, hang, or want to know who asks.

use crate::{
    registry::{Asked, End, Registry, Reply},
    support::{CONFIG, Entry, INDEX, MANIFEST, Node, TestImage, archive, descriptor, gzip},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use orlop_runtime::{executor::images::ImagesError, planner::images::challenge::AuthConfig};
use serde_json::json;
use std::time::Duration;
use tokio::time::timeout;

/// Bytes that do not compress, so that a layer is as long as they are.
fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    bytes
}

fn image() -> TestImage {
    TestImage::new(&[archive(&[("a", Entry::File(&noise(300_000)))])], &[gzip])
}

async fn served() -> (Registry, Node, TestImage) {
    let (registry, node, image) = (Registry::new().await, Node::new().await, image());
    registry.put_image("a", "1", &image);
    (registry, node, image)
}

async fn pull(registry: &Registry, node: &Node) -> Result<(), ImagesError> {
    pull_as(registry, node, &AuthConfig::default()).await
}

/// Each pull ends, well or not, within a bound.
async fn pull_as(registry: &Registry, node: &Node, auth: &AuthConfig) -> Result<(), ImagesError> {
    let reference = registry.reference("a:1");
    let pulling = node.images.pull(&reference, auth);
    let pulled = timeout(Duration::from_secs(30), pulling)
        .await
        .expect("a pull ends");
    pulled.map(|_| ())
}

/// Fails in a way of this kind with these words, leaves nothing, and works when the registry does.
async fn check(registry: Registry, node: Node, kind: fn(String) -> ImagesError, words: &str) {
    let error = pull(&registry, &node).await.expect_err(words);
    assert_eq!(error, kind(error.to_string()), "the kind of {error:?}");
    assert!(error.to_string().contains(words), "{error}");
    node.check_empty();
    registry.hook(|_| None);
    if words != "unmended" {
        registry.put_image("a", "1", &image());
        pull(&registry, &node).await.expect("the next pull works");
    }
}

fn is_layer(asked: &Asked, image: &TestImage) -> bool {
    asked
        .target
        .contains(image.manifest["layers"][0]["digest"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_with_another_digest() {
    let (registry, node, image) = served().await;
    let mut other = gzip(&archive(&[("evil", Entry::File(b"evil"))]));
    other.resize(image.layers[0].len(), 0);
    let lie = image.clone();
    // It is a good archive, with zeros behind it, which gzip refuses: so the archive is not compressed at all.
    let mut plain = archive(&[("evil", Entry::File(b"evil"))]);
    plain.resize(other.len(), 0);
    registry.hook(move |asked| is_layer(asked, &lie).then(|| Reply::new(200, &plain)));
    check(
        registry,
        node,
        ImagesError::FailedPrecondition,
        "has the digest",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_with_another_diff_id() {
    let (registry, node, mut image) = served().await;
    image.config = String::from_utf8(image.config)
        .unwrap()
        .replace("diff_ids\":[\"sha256:", "diff_ids\":[\"sha256:0")
        .into_bytes();
    let text = String::from_utf8(image.config.clone()).unwrap();
    let at = text.find("sha256:0").unwrap() + "sha256:".len();
    let text = format!("{}{}", &text[..at + 64], &text[at + 65..]);
    image.config = text.into_bytes();
    image.manifest["config"] = descriptor(CONFIG, &image.config);
    registry.put_image("a", "1", &image);
    check(
        registry,
        node,
        ImagesError::FailedPrecondition,
        "has the diff ID",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_breaks_off_goes_on_where_it_was() {
    for ranges in [true, false] {
        let (registry, node, image) = served().await;
        let (cut, bytes) = (image.clone(), image.layers[0].clone());
        registry.hook(move |asked| match (is_layer(asked, &cut), asked.before) {
            // One byte first: what is compressed is seen by more than that.
            (true, 0) => Some(Reply::new(200, &bytes).end(End::Cut(1))),
            (true, 1) if ranges => {
                let said = format!("bytes 1-{}/{}", bytes.len() - 1, bytes.len());
                Some(
                    Reply::new(206, &bytes[1..])
                        .header("Content-Range", &said)
                        .end(End::Cut(70_000)),
                )
            }
            (true, _) if !ranges => Some(Reply::new(200, &bytes)),
            _ => None,
        });
        pull(&registry, &node).await.unwrap();
        let layer = registry
            .log()
            .into_iter()
            .filter(|asked| is_layer(asked, &image));
        let ranges_asked: Vec<_> = layer
            .filter_map(|asked| asked.headers.get("range").cloned())
            .collect();
        match ranges {
            true => assert_eq!(ranges_asked, ["bytes=1-", "bytes=70001-"]),
            false => assert_eq!(ranges_asked, ["bytes=1-"]),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_always_breaks_off() {
    let (registry, node, image) = served().await;
    registry.hook(move |asked| {
        is_layer(asked, &image).then(|| Reply::new(200, &image.layers[0]).end(End::Cut(100)))
    });
    check(registry, node, ImagesError::Unavailable, "layer sha256:").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_is_truncated() {
    let (registry, node, image) = served().await;
    registry.hook(move |asked| {
        is_layer(asked, &image).then(|| Reply::new(200, &image.layers[0][..1000]))
    });
    check(registry, node, ImagesError::Unavailable, "broke off after").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_does_not_end() {
    let (registry, node, image) = served().await;
    registry.hook(move |asked| {
        is_layer(asked, &image).then(|| Reply::new(200, &image.layers[0]).end(End::Endless))
    });
    check(
        registry,
        node,
        ImagesError::FailedPrecondition,
        "has more than",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_that_was_not_asked_for() {
    let (registry, node, image) = served().await;
    registry.hook(move |asked| {
        let wrong = Reply::new(206, b"x").header("Content-Range", "bytes 5-5/9");
        is_layer(asked, &image).then_some(wrong)
    });
    check(
        registry,
        node,
        ImagesError::FailedPrecondition,
        "other parts than were asked for",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn registries_that_hang() {
    let (registry, node, _) = served().await;
    registry.hook(|_| Some(Reply::new(200, b"").end(End::Silent)));
    check(
        registry,
        node,
        ImagesError::Unavailable,
        "the answer's head took more than",
    )
    .await;
    let (registry, node, image) = served().await;
    registry.hook(move |asked| {
        is_layer(asked, &image).then(|| Reply::new(200, &image.layers[0]).end(End::Hang(5000)))
    });
    check(
        registry,
        node,
        ImagesError::Unavailable,
        "the next part of the answer took more than",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_that_do_not_end() {
    let (registry, node, _) = served().await;
    registry.hook(|asked| {
        asked
            .target
            .contains("/manifests/")
            .then(|| Reply::new(200, &[b' '; 65536]).end(End::Endless))
    });
    check(
        registry,
        node,
        ImagesError::ResourceExhausted,
        "more than 4194304 bytes",
    )
    .await;
    let (registry, node, image) = served().await;
    let id = image.id();
    registry.hook(move |asked| {
        asked
            .target
            .contains(id.as_str())
            .then(|| Reply::new(200, &[b' '; 65536]).end(End::Endless))
    });
    check(
        registry,
        node,
        ImagesError::ResourceExhausted,
        "the answer has more than",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects() {
    let (registry, node, _) = served().await;
    registry
        .hook(|asked| Some(Reply::new(307, b"").header("Location", &format!("{}x", asked.target))));
    check(
        registry,
        node,
        ImagesError::Unavailable,
        "redirected more than 5 times",
    )
    .await;
    let (registry, node, _) = served().await;
    registry.hook(|_| Some(Reply::new(307, b"").header("Location", "file:///etc/passwd")));
    check(
        registry,
        node,
        ImagesError::Unavailable,
        "which is not followed",
    )
    .await;
}

/// Answers 401 without the header that is wanted.
fn guarded(asked: &Asked, wanted: &str, challenge: &str) -> Option<Reply> {
    let has = asked
        .headers
        .get("authorization")
        .is_some_and(|found| found == wanted);
    (!has && asked.target.starts_with("/v2/"))
        .then(|| Reply::new(401, b"").header("WWW-Authenticate", challenge))
}

fn password() -> AuthConfig {
    AuthConfig {
        auth: BASE64_STANDARD.encode("user:secret"),
        ..AuthConfig::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_do_not_follow_a_redirect() {
    let (registry, node, image) = served().await;
    let elsewhere = Registry::new().await;
    let digest = image.manifest["layers"][0]["digest"]
        .as_str()
        .unwrap()
        .to_owned();
    elsewhere.put("/blob", "x", image.layers[0].clone());
    let target = format!("http://{}/blob?signature=secret", elsewhere.address);
    let basic = format!("Basic {}", BASE64_STANDARD.encode("user:secret"));
    registry.hook(move |asked| {
        guarded(asked, &basic, "Basic realm=\"x\"").or_else(|| {
            asked
                .target
                .contains(&digest)
                .then(|| Reply::new(307, b"").header("Location", &target))
        })
    });
    let error = pull(&registry, &node).await.unwrap_err();
    assert!(
        matches!(error, ImagesError::Unauthenticated(_)),
        "{error:?}"
    );
    pull_as(&registry, &node, &password()).await.unwrap();
    let log = elsewhere.log();
    assert_eq!(log.len(), 1);
    assert!(!log[0].headers.contains_key("authorization"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens() {
    for identity in [false, true] {
        let (registry, node, _) = served().await;
        let address = registry.address;
        registry.hook(move |asked| {
            if asked.target.starts_with("/token") {
                let good = match identity {
                    true => asked.method == "POST" && asked.body.contains("refresh_token=idt"),
                    false => asked
                        .headers
                        .get("authorization")
                        .is_some_and(|found| found.starts_with("Basic ")),
                };
                return Some(match good {
                    true => Reply::new(200, br#"{"token": "good", "expires_in": 60}"#),
                    false => Reply::new(401, b""),
                });
            }
            let challenge = format!("Bearer realm=\"http://{address}/token\",service=\"s\"");
            guarded(asked, "Bearer good", &challenge)
        });
        let error = pull(&registry, &node).await.unwrap_err();
        assert!(
            matches!(error, ImagesError::Unauthenticated(_)),
            "{error:?}"
        );
        let auth = match identity {
            true => AuthConfig {
                identity_token: "idt".to_owned(),
                ..AuthConfig::default()
            },
            false => password(),
        };
        let before = registry.count("/token");
        pull_as(&registry, &node, &auth).await.unwrap();
        assert_eq!(registry.count("/token"), before + 1, "one token for a pull");
        if !identity {
            assert_eq!(registry.count("scope=repository%3Aa%3Apull"), before + 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_none() {
    for (body, end, words) in [
        (&b"<html>"[..], End::Well, "is no token: it is not JSON"),
        (&[b' '; 4096][..], End::Endless, "more than 65536 bytes"),
        (&b"{}"[..], End::Hang(1), "took more than"),
        (
            &b"{\"token\":\"a\\nb\"}"[..],
            End::Well,
            "characters that no token has",
        ),
    ] {
        let (registry, node, _) = served().await;
        let (address, body) = (registry.address, body.to_vec());
        registry.hook(move |asked| {
            if asked.target.starts_with("/token") {
                return Some(Reply::new(200, &body).end(end));
            }
            guarded(
                asked,
                "Bearer good",
                &format!("Bearer realm=\"http://{address}/token\""),
            )
        });
        let error = pull(&registry, &node).await.expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
        node.check_empty();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_is_tried_again() {
    for status in [429, 500, 503] {
        let (registry, node, _) = served().await;
        registry.hook(move |asked| {
            (asked.before < 2).then(|| Reply::new(status, b"").header("Retry-After", "1000"))
        });
        pull(&registry, &node).await.unwrap();
        let (registry, node, _) = served().await;
        registry.hook(move |_| Some(Reply::new(status, b"")));
        check(
            registry,
            node,
            ImagesError::Unavailable,
            &format!("answers {status}"),
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stays_is_not_tried_again() {
    let denied = br#"{"errors":[{"code":"DENIED","message":"not yours"}]}"#;
    for (status, kind) in [
        (404, ImagesError::NotFound as fn(String) -> _),
        (403, ImagesError::PermissionDenied),
    ] {
        let (registry, node, _) = served().await;
        registry.hook(move |_| Some(Reply::new(status, denied)));
        let error = pull(&registry, &node).await.unwrap_err();
        assert_eq!(error, kind(error.to_string()));
        assert!(error.to_string().contains("DENIED not yours"), "{error}");
        assert_eq!(registry.log().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn images_that_are_none_for_this_machine() {
    let entry = |os, architecture| {
        let mut entry = descriptor(MANIFEST, b"foreign");
        entry["platform"] = json!({"os": os, "architecture": architecture});
        entry
    };
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry("linux", "arm64"), entry("unknown", "unknown")]});
    let one = json!({"schemaVersion": 1, "name": "a", "fsLayers": [], "history": []});
    for (document, words) in [
        (index, "no image for linux/amd64: there are linux/arm64"),
        (one, "schema 1"),
    ] {
        let (registry, node, _) = served().await;
        registry.put_manifest("a", "1", INDEX, document.to_string().as_bytes());
        check(registry, node, ImagesError::FailedPrecondition, words).await;
    }
    let (registry, node, mut image) = served().await;
    image.config = String::from_utf8(image.config)
        .unwrap()
        .replace("amd64", "")
        .into_bytes();
    image.manifest["config"] = descriptor(CONFIG, &image.config);
    registry.put_image("a", "1", &image);
    check(
        registry,
        node,
        ImagesError::FailedPrecondition,
        "an image that names no platform",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_was_asked_for_by_another_digest() {
    let (registry, node, image) = served().await;
    let digest = orlop_runtime::planner::images::digest::Digest::of(b"other");
    registry.put(
        &format!("/v2/a/manifests/{digest}"),
        MANIFEST,
        image.manifest_bytes(),
    );
    let reference = registry.reference(&format!("a@{digest}"));
    let error = node
        .images
        .pull(&reference, &AuthConfig::default())
        .await
        .unwrap_err();
    assert!(
        matches!(error, ImagesError::FailedPrecondition(_)),
        "{error:?}"
    );
    assert!(error.to_string().contains("something else"), "{error}");
    let nobody = node
        .images
        .pull("127.0.0.1:1/a", &AuthConfig::default())
        .await
        .unwrap_err();
    assert!(matches!(nobody, ImagesError::Unavailable(_)), "{nobody:?}");
    let wrong = node
        .images
        .pull("A B", &AuthConfig::default())
        .await
        .unwrap_err();
    assert!(
        matches!(wrong, ImagesError::InvalidArgument(_)),
        "{wrong:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_is_given_up_leaves_nothing() {
    let (registry, node, image) = served().await;
    registry.hook(move |asked| {
        is_layer(asked, &image).then(|| Reply::new(200, &image.layers[0]).end(End::Hang(200_000)))
    });
    let reference = registry.reference("a:1");
    let auth = AuthConfig::default();
    let given_up = timeout(
        Duration::from_millis(300),
        node.images.pull(&reference, &auth),
    )
    .await;
    assert!(given_up.is_err());
    let gone = async {
        while !crate::support::names(&node.root().join("layers")).is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), gone)
        .await
        .expect("its files go");
    registry.hook(|_| None);
    pull(&registry, &node).await.unwrap();
}
