//! SHA256SUMS and its Ed25519 signature.
//!
//! The development key is made on first use in `.orlop/` of the work tree (mode 0600, ignored by git). A
//! release carries the public keys that it trusts for upgrades: those of `image/keys/`, and the one that
//! signs it. Anybody can check a release with
//! `openssl pkeyutl -verify -pubin -inkey KEY.pub -rawin -in SHA256SUMS -sigfile SHA256SUMS.sig`.

use crate::digest;
use crate::image::Artifacts;
use crate::workspace;
use anyhow::{Context, Result, anyhow};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// File name of the private key in `.orlop/`: PKCS #8 in PEM.
const PRIVATE_KEY: &str = "release-key.pem";
/// Name of its public key in a release: SubjectPublicKeyInfo in PEM (RFC 8410).
const PUBLIC_KEY: &str = "development.pub";
/// DER of an Ed25519 SubjectPublicKeyInfo up to the 32 bytes of the key (RFC 8410, section 4).
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
/// Name of the checksum file of a version.
pub const CHECKSUMS: &str = "SHA256SUMS";
/// Name of its signature: 64 bytes.
pub const SIGNATURE: &str = "SHA256SUMS.sig";

/// Writes SHA256SUMS and SHA256SUMS.sig for all files of this version that are in its directory.
///
/// # Errors
/// A file cannot be read or written, or the key is damaged.
pub fn sign(artifacts: &Artifacts) -> Result<()> {
    let prefix = format!("orlop-{}", artifacts.version);
    let mut names: Vec<String> = fs::read_dir(&artifacts.directory)
        .and_then(|entries| entries.collect::<std::io::Result<Vec<_>>>())
        .with_context(|| format!("list {}", artifacts.directory.display()))?
        .iter()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with(&prefix) && !name.ends_with(".erofs"))
        .collect();
    names.sort();
    let mut text = String::new();
    for name in names {
        text.push_str(&format!(
            "{}  {name}\n",
            digest::of_file(&artifacts.directory.join(&name))?
        ));
    }
    let key = development_key()?;
    let path = artifacts.directory.join(CHECKSUMS);
    fs::write(&path, &text).with_context(|| format!("write {}", path.display()))?;
    let path = artifacts.directory.join(SIGNATURE);
    fs::write(&path, key.sign(text.as_bytes()).as_ref())
        .with_context(|| format!("write {}", path.display()))
}

/// Checks SHA256SUMS against its signature and the files against SHA256SUMS.
///
/// # Errors
/// The signature does not hold, a file differs or is missing.
pub fn verify(artifacts: &Artifacts) -> Result<()> {
    let read = |name: &str| {
        let path = artifacts.directory.join(name);
        fs::read(&path).with_context(|| format!("read {}", path.display()))
    };
    let text = read(CHECKSUMS)?;
    let signature = read(SIGNATURE)?;
    let key = development_key()?;
    UnparsedPublicKey::new(&ED25519, key.public_key().as_ref())
        .verify(&text, &signature)
        .map_err(|_| {
            anyhow!("{SIGNATURE} is not a signature of {CHECKSUMS} by the development key")
        })?;
    for line in String::from_utf8(text).context("read SHA256SUMS")?.lines() {
        let (sum, name) = line
            .split_once("  ")
            .context("a line of SHA256SUMS has no file name")?;
        let found = digest::of_file(&artifacts.directory.join(name))?;
        anyhow::ensure!(
            found == sum,
            "{name} has the SHA-256 {found}, SHA256SUMS says {sum}"
        );
    }
    Ok(())
}

/// Writes the public keys that a release trusts into `directory`.
///
/// # Errors
/// A key cannot be read or written.
pub fn install_public_keys(directory: &Path) -> Result<()> {
    fs::write(directory.join(PUBLIC_KEY), development_public_key()?)
        .context("write the development key")?;
    let release_keys = workspace::root().join("image/keys");
    if !release_keys.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(&release_keys).context("list image/keys")? {
        let path = entry.context("list image/keys")?.path();
        let name = path.file_name().unwrap_or_default();
        if path.extension().is_some_and(|extension| extension == "pub") {
            fs::copy(&path, directory.join(name))
                .with_context(|| format!("copy {}", path.display()))?;
        }
    }
    Ok(())
}

/// The public half of the development key in PEM; the key is made on first use.
///
/// # Errors
/// The key cannot be made or read.
pub fn development_public_key() -> Result<String> {
    let key = development_key()?;
    let mut der = SPKI_PREFIX.to_vec();
    der.extend_from_slice(key.public_key().as_ref());
    Ok(pem("PUBLIC KEY", &der))
}

/// The development key, made on first use.
fn development_key() -> Result<Ed25519KeyPair> {
    let path: PathBuf = workspace::private().join(PRIVATE_KEY);
    if !path.exists() {
        let directory = workspace::private();
        fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
        let key = Ed25519KeyPair::generate().map_err(|_| anyhow!("generate an Ed25519 key"))?;
        let der = key
            .to_pkcs8()
            .map_err(|_| anyhow!("encode an Ed25519 key"))?;
        // Written beside and renamed: a half-written key would make every later build fail.
        let partial = path.with_extension("partial");
        fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&partial)
            .and_then(|mut file| {
                file.write_all(pem("PRIVATE KEY", der.as_ref()).as_bytes())?;
                file.sync_all()
            })
            .with_context(|| format!("write {}", partial.display()))?;
        fs::rename(&partial, &path).with_context(|| format!("make {}", path.display()))?;
        println!(
            "  ok made a key for development releases: {}",
            path.display()
        );
    }
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let body: String = text
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let damaged = || {
        anyhow!(
            "{} is damaged: remove it, the next build makes another",
            path.display()
        )
    };
    let der = STANDARD.decode(body).map_err(|_| damaged())?;
    Ed25519KeyPair::from_pkcs8(&der).map_err(|_| damaged())
}

/// RFC 7468: base64 in lines of 64 between two labels.
fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<&str> = body
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).expect("base64 is ASCII"))
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}
