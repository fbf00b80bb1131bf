//! Debian's docker-registry with TLS and a password.

use anyhow::{Context as _, Result};
use cri_proto::runtime::{AuthConfig, ImageStatusRequest};
use orlop_tests::containers::cri::{container, image, pod};
use orlop_tests::containers::image::Image;
use orlop_tests::containers::registry::{Locked, Registry};
use orlop_tests::containers::site::{Cgroups, Kind, Site};
use orlop_tests::load::client::runtime;
use std::fs;
use std::path::Path;

/// `user` with `a password`, by crypt(5)'s bcrypt with four rounds.
const PASSWORDS: &str = "user:$2b$04$sWdqOctIOz/q5RX7RNDyneDGy5OPFZ1tXtvsu758PaWFUkA0LK/b.\n";

fn locked(directory: &Path) -> Result<Locked> {
    let key = rcgen::KeyPair::generate().context("make a key")?;
    let made = rcgen::CertificateParams::new(["127.0.0.1".to_owned()])
        .and_then(|parameters| parameters.self_signed(&key))
        .context("make a certificate")?;
    let locked = Locked {
        certificate: directory.join("registry.pem"),
        key: directory.join("registry.key"),
        passwords: directory.join("passwords"),
        credentials: "user:a password".to_owned(),
    };
    fs::write(&locked.certificate, made.pem())?;
    fs::write(&locked.key, key.serialize_pem())?;
    fs::write(&locked.passwords, PASSWORDS)?;
    Ok(locked)
}

#[test]
fn a_locked_registry_is_opened_by_authority_and_password() -> Result<()> {
    let directory = tempfile::Builder::new()
        .prefix("orlop-registry-")
        .tempdir()?;
    let locked = locked(directory.path())?;
    let registry = Registry::start(&directory.path().join("registry"), Some(locked.clone()))?;
    let app = Image::of_contained(&directory.path().join("image"), &["pause"])?;
    registry.push("team/app", "1", &app)?;
    let file = directory.path().join("registries.json");
    let told = serde_json::json!({"registries": {registry.host(): {
        "url": format!("https://{}", registry.host()), "ca_file": locked.certificate,
    }}});
    fs::write(&file, told.to_string())?;
    let name = registry.name("team/app:1");
    let auth = |password: &str| {
        Some(AuthConfig {
            username: "user".to_owned(),
            password: password.to_owned(),
            ..AuthConfig::default()
        })
    };
    runtime()?.block_on(async {
        let flags = ["--registries".to_owned(), file.display().to_string()];
        let mut site =
            Site::start(Kind::Orlop, directory.path(), Cgroups::Host, "", &flags).await?;
        let cri = &mut site.cri;
        for (password, what) in [(None, "without"), (auth("another"), "with a wrong one")] {
            let refused = cri.pull(&name, password).await;
            let error = format!(
                "{:#}",
                refused.err().with_context(|| format!("pulled {what}"))?
            );
            assert!(error.contains("401"), "{what}: {error}");
            let status = ImageStatusRequest {
                image: Some(image(&name)),
                verbose: false,
            };
            let status = cri.images.image_status(status).await?.into_inner();
            assert_eq!(status.image, None, "{what}");
        }
        let pulled = cri.pull(&name, auth("a password")).await?;
        assert!(pulled.starts_with("sha256:"), "{pulled}");
        // By digest as well, which the registry has told.
        let digest = format!(
            "sha256:{}",
            xtask::digest::of_bytes(app.manifest.as_bytes())
        );
        let by_digest = registry.name(&format!("team/app@{digest}"));
        assert_eq!(cri.pull(&by_digest, auth("a password")).await?, pulled);

        let cgroup = format!("/orlop-registry-{}", std::process::id());
        let pod = pod("pod", &directory.path().join("logs"), &cgroup);
        let sandbox = cri.run_sandbox(&pod).await?;
        let config = container("app", &name, &["exit", "5"]);
        let id = cri.run(&sandbox, &pod, &config).await?;
        assert_eq!(cri.ended(&id).await?.exit_code, 5);
        cri.remove_sandbox(&sandbox).await
    })
}
