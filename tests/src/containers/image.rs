//! Images made for a test: blobs in a directory, by the OCI image specification.

use anyhow::{Context as _, Result};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use xtask::digest;

/// Media type of a manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// A blob in a file.
#[derive(Debug, Clone)]
pub struct Blob {
    /// `sha256:...`
    pub digest: String,
    /// Where it is.
    pub path: PathBuf,
    size: usize,
}

impl Blob {
    fn write(directory: &Path, bytes: &[u8]) -> Result<Self> {
        let hex = digest::of_bytes(bytes);
        let path = directory.join(&hex);
        fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
        Ok(Self {
            digest: format!("sha256:{hex}"),
            path,
            size: bytes.len(),
        })
    }

    fn descriptor(&self, kind: &str) -> Value {
        json!({"mediaType": kind, "digest": self.digest, "size": self.size})
    }
}

/// An image.
#[derive(Debug, Clone)]
pub struct Image {
    /// Configuration and layers.
    pub blobs: Vec<Blob>,
    /// The manifest, as JSON.
    pub manifest: String,
}

impl Image {
    /// Of archives, which are compressed; `config` is what containers of it are like (`Entrypoint`, `Env`, ...).
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn write(directory: &Path, archives: &[Vec<u8>], config: &Value) -> Result<Self> {
        fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
        let mut layers = Vec::new();
        let mut diff_ids = Vec::new();
        for archive in archives {
            diff_ids.push(format!("sha256:{}", digest::of_bytes(archive)));
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(archive).context("compress a layer")?;
            layers.push(Blob::write(
                directory,
                &encoder.finish().context("compress a layer")?,
            )?);
        }
        let config = json!({
            "os": "linux", "architecture": "amd64", "config": config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = Blob::write(directory, config.to_string().as_bytes())?;
        let described: Vec<_> = layers.iter().map(|layer| layer.descriptor(LAYER)).collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": config.descriptor(CONFIG), "layers": described,
        });
        layers.push(config);
        Ok(Self {
            blobs: layers,
            manifest: manifest.to_string(),
        })
    }

    /// With one static program, `/contained`, that runs with these arguments unless others are given.
    ///
    /// # Errors
    /// The program is not built, or the directory cannot be written.
    pub fn of_contained(directory: &Path, arguments: &[&str]) -> Result<Self> {
        let config = json!({"Entrypoint": ["/contained"], "Cmd": arguments});
        Self::write(directory, &[contained()?], &config)
    }
}

/// The archive of a root with the program `/contained`.
fn contained() -> Result<Vec<u8>> {
    let program = crate::programs::built("contained")?;
    let mut archive = tar::Builder::new(Vec::new());
    for name in ["dev", "proc", "sys", "tmp", "etc"] {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o755);
        header.set_size(0);
        archive
            .append_data(&mut header, format!("{name}/"), std::io::empty())
            .context("write an archive")?;
    }
    archive
        .append_path_with_name(&program, "contained")
        .with_context(|| format!("archive {}", program.display()))?;
    archive.into_inner().context("write an archive")
}
