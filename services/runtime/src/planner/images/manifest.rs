//! Indexes and manifests: OCI image spec 1.1 and Docker's schema 2.
//!
//! Unknown fields are passed over, as the specs ask; `urls` of foreign layers are never followed.

use super::{
    config::{ConfigError, ImageConfig},
    digest::Digest,
};
use serde::Deserialize;

/// Most bytes of an index, a manifest, or a config: what registries themselves take.
pub const DOCUMENT_MAX: u64 = 4 * 1024 * 1024;
/// Most layers of an image; overlayfs has room for 500.
pub const LAYERS_MAX: usize = 128;

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1";

/// What a registry is asked for, as a header.
pub const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// Why a document is no image.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not JSON, or without what must be there.
    #[error("the manifest cannot be read")]
    Json(#[from] serde_json::Error),
    /// Docker's first form.
    #[error(
        "the manifest has Docker's schema 1, which is read no longer: the image must be pushed anew"
    )]
    SchemaOne,
    /// Something else that registries store.
    #[error("the manifest is of the kind {0:?}, which is no image")]
    Kind(String),
    /// An artifact.
    #[error("the image's config is of the kind {0:?}: this is no image of a container")]
    ConfigKind(String),
    /// A layer that cannot be unpacked.
    #[error("a layer is of the kind {0:?}, which is unknown")]
    LayerKind(String),
    /// [`LAYERS_MAX`].
    #[error("the image has {0} layers, at most {LAYERS_MAX} are taken")]
    Layers(usize),
    /// [`DOCUMENT_MAX`].
    #[error("the {what} has {size} bytes, at most {DOCUMENT_MAX} are taken")]
    Long {
        /// Which document.
        what: &'static str,
        /// How long it is.
        size: u64,
    },
    /// Config and manifest speak of different images.
    #[error("the manifest has {layers} layers, and the config {diff_ids}")]
    Count {
        /// Of the manifest.
        layers: usize,
        /// Of the config.
        diff_ids: usize,
    },
    /// Nothing for this machine.
    #[error("no image for {wanted}: there are {offered}")]
    Platform {
        /// This machine's.
        wanted: String,
        /// What there is.
        offered: String,
    },
    /// The config.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// What a machine runs, in the words of Go, which registries use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// Operating system.
    pub os: String,
    /// Architecture.
    pub architecture: String,
    /// Variants that run, the best first; the empty one is that of images which name none.
    pub variants: Vec<String>,
}

impl Platform {
    /// Of this machine.
    #[must_use]
    pub fn host() -> Self {
        Self::of(std::env::consts::ARCH)
    }

    fn of(architecture: &str) -> Self {
        let (architecture, variants): (&str, &[&str]) = match architecture {
            "x86_64" => ("amd64", &["", "v1"]),
            "aarch64" => ("arm64", &["v8", ""]),
            "arm" => ("arm", &["v7", "", "v6", "v5"]),
            "x86" => ("386", &[""]),
            "powerpc64" => ("ppc64le", &[""]),
            other => (other, &[""]),
        };
        Self {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            variants: variants.iter().map(|&variant| variant.to_owned()).collect(),
        }
    }

    /// How well it fits: lower is better.
    fn rank(&self, os: &str, architecture: &str, variant: &str) -> Option<usize> {
        if os != self.os || architecture != self.architecture {
            return None;
        }
        self.variants.iter().position(|known| known == variant)
    }

    fn text(&self) -> String {
        format!("{}/{}", self.os, self.architecture)
    }
}

/// Where something is: what every document names the others by.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    #[serde(default)]
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
    /// For which machines.
    #[serde(default)]
    platform: Option<WirePlatform>,
    /// Names of it, in the index of an archive.
    #[serde(default)]
    pub annotations: Option<std::collections::BTreeMap<String, String>>,
}

impl Descriptor {
    /// Of something that no document describes.
    #[must_use]
    pub fn new(digest: Digest, size: u64) -> Self {
        Self {
            media_type: String::new(),
            digest,
            size,
            platform: None,
            annotations: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct WirePlatform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: Option<String>,
}

/// A document behind a reference.
#[derive(Debug, PartialEq, Eq)]
pub enum Document {
    /// Several images, of which one is for this machine.
    Index(Vec<Descriptor>),
    /// One.
    Manifest(Manifest),
}

/// An image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its config, whose digest is the image's ID.
    pub config: Descriptor,
    /// Its layers, the lowest first.
    pub layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireDocument {
    #[serde(default)]
    schema_version: u32,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Option<Vec<Descriptor>>,
}

/// Reads an index or a manifest; `said` is what the registry calls it, which counts where the document itself says nothing.
///
/// # Errors
/// [`ManifestError`].
pub fn document(bytes: &[u8], said: Option<&str>) -> Result<Document, ManifestError> {
    bounded("manifest", u64::try_from(bytes.len()).unwrap_or(u64::MAX))?;
    let wire: WireDocument = serde_json::from_slice(bytes)?;
    let said = said.and_then(|said| said.split(';').next()).map(str::trim);
    let known = |kind: &&str| {
        [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST].contains(kind)
            || kind.starts_with(DOCKER_SCHEMA_1)
    };
    // Registries call documents all kinds of things: only a kind that means something here counts.
    let kind = wire.media_type.as_deref().or(said.filter(known));
    if wire.schema_version == 1 || kind.is_some_and(|kind| kind.starts_with(DOCKER_SCHEMA_1)) {
        return Err(ManifestError::SchemaOne);
    }
    match (kind, wire.manifests, wire.config) {
        (Some(OCI_INDEX | DOCKER_LIST) | None, Some(manifests), None) => {
            Ok(Document::Index(manifests))
        }
        (Some(OCI_MANIFEST | DOCKER_MANIFEST) | None, None, Some(config)) => {
            let layers = wire.layers.unwrap_or_default();
            manifest(config, layers).map(Document::Manifest)
        }
        (kind, ..) => Err(ManifestError::Kind(kind.unwrap_or_default().to_owned())),
    }
}

fn manifest(config: Descriptor, layers: Vec<Descriptor>) -> Result<Manifest, ManifestError> {
    if ![OCI_CONFIG, DOCKER_CONFIG].contains(&config.media_type.as_str()) {
        return Err(ManifestError::ConfigKind(config.media_type));
    }
    bounded("config", config.size)?;
    if layers.len() > LAYERS_MAX {
        return Err(ManifestError::Layers(layers.len()));
    }
    if let Some(layer) = layers.iter().find(|layer| !is_layer(&layer.media_type)) {
        return Err(ManifestError::LayerKind(layer.media_type.clone()));
    }
    Ok(Manifest { config, layers })
}

fn bounded(what: &'static str, size: u64) -> Result<(), ManifestError> {
    if size > DOCUMENT_MAX {
        return Err(ManifestError::Long { what, size });
    }
    Ok(())
}

/// How a layer is compressed is seen by its first bytes; its kind only says that it is an archive.
fn is_layer(kind: &str) -> bool {
    let oci = kind
        .strip_prefix("application/vnd.oci.image.layer.v1.tar")
        .or_else(|| kind.strip_prefix("application/vnd.oci.image.layer.nondistributable.v1.tar"));
    match oci {
        Some(rest) => matches!(rest, "" | "+gzip" | "+zstd"),
        None => matches!(
            kind,
            "application/vnd.docker.image.rootfs.diff.tar"
                | "application/vnd.docker.image.rootfs.diff.tar.gzip"
                | "application/vnd.docker.image.rootfs.diff.tar.zstd"
                | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
        ),
    }
}

/// The manifest of an index that is for this machine: the first of those that fit best.
///
/// # Errors
/// [`ManifestError::Platform`], [`ManifestError::Long`].
pub fn choose(index: &[Descriptor], platform: &Platform) -> Result<Descriptor, ManifestError> {
    // Entries without a platform are for everybody, but less so than those for this machine. Attestations are for the
    // platform unknown/unknown, and so for nobody.
    let rank = |found: &Descriptor| match &found.platform {
        None => Some(usize::MAX),
        Some(of) => platform.rank(
            &of.os,
            &of.architecture,
            of.variant.as_deref().unwrap_or_default(),
        ),
    };
    let images = index.iter().filter(|found| {
        matches!(
            found.media_type.as_str(),
            OCI_MANIFEST | DOCKER_MANIFEST | OCI_INDEX | DOCKER_LIST
        )
    });
    let best = images
        .filter_map(|found| rank(found).map(|rank| (rank, found)))
        .min_by_key(|(rank, _)| *rank);
    let Some((_, found)) = best else {
        let mut offered: Vec<String> = index
            .iter()
            .filter_map(|found| found.platform.as_ref())
            .filter(|of| of.os != "unknown")
            .map(|of| format!("{}/{}", of.os, of.architecture))
            .collect();
        offered.dedup();
        offered.truncate(16);
        return Err(ManifestError::Platform {
            wanted: platform.text(),
            offered: if offered.is_empty() {
                "none".to_owned()
            } else {
                offered.join(", ")
            },
        });
    };
    bounded("manifest", found.size)?;
    Ok(found.clone())
}

/// Reads the config of this manifest, and whether both are of one image, for this machine.
///
/// # Errors
/// [`ManifestError`].
pub fn config(
    bytes: &[u8],
    manifest: &Manifest,
    platform: &Platform,
) -> Result<ImageConfig, ManifestError> {
    let config = ImageConfig::read(bytes)?;
    let variant = config.variant.as_deref().unwrap_or_default();
    if platform
        .rank(&config.os, &config.architecture, variant)
        .is_none()
    {
        let mut offered = format!("{}/{}", config.os, config.architecture);
        if config.os.is_empty() || config.architecture.is_empty() {
            "an image that names no platform".clone_into(&mut offered);
        }
        return Err(ManifestError::Platform {
            wanted: platform.text(),
            offered,
        });
    }
    if config.diff_ids.len() != manifest.layers.len() {
        return Err(ManifestError::Count {
            layers: manifest.layers.len(),
            diff_ids: config.diff_ids.len(),
        });
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn descriptor(kind: &str, text: &str) -> Value {
        json!({"mediaType": kind, "digest": Digest::of(text.as_bytes()).as_str(), "size": 7})
    }

    fn on(mut descriptor: Value, os: &str, architecture: &str, variant: Option<&str>) -> Value {
        descriptor["platform"] =
            json!({"os": os, "architecture": architecture, "variant": variant});
        descriptor
    }

    fn read(value: &Value, said: Option<&str>) -> Result<Document, ManifestError> {
        document(value.to_string().as_bytes(), said)
    }

    fn check_error<T: std::fmt::Debug>(found: Result<T, ManifestError>, expect: &str) {
        let error = found.expect_err(expect).to_string();
        assert!(error.contains(expect), "{error}");
    }

    fn chosen(platform: &str, entries: &[Value]) -> Result<Digest, ManifestError> {
        let Document::Index(index) =
            read(&json!({"schemaVersion": 2, "manifests": entries}), None)?
        else {
            panic!("an index");
        };
        choose(&index, &Platform::of(platform)).map(|found| found.digest)
    }

    #[test]
    fn the_manifest_for_the_machine_is_chosen() {
        let entry = |text, os, architecture, variant| {
            on(descriptor(OCI_MANIFEST, text), os, architecture, variant)
        };
        let entries = [
            entry("attestation", "unknown", "unknown", None),
            entry("windows", "windows", "amd64", None),
            entry("arm6", "linux", "arm", Some("v6")),
            entry("arm7", "linux", "arm", Some("v7")),
            entry("v3", "linux", "amd64", Some("v3")),
            entry("amd", "linux", "amd64", None),
            entry("later", "linux", "amd64", None),
        ];
        assert_eq!(chosen("x86_64", &entries).unwrap(), Digest::of(b"amd"));
        assert_eq!(chosen("arm", &entries).unwrap(), Digest::of(b"arm7"));
        check_error(
            chosen("aarch64", &entries),
            "no image for linux/arm64: there are windows/amd64",
        );
        let anyone = [descriptor(OCI_MANIFEST, "any")];
        assert_eq!(chosen("aarch64", &anyone).unwrap(), Digest::of(b"any"));
        check_error(chosen("x86_64", &[]), "there are none");
    }

    #[test]
    fn documents_of_each_kind() {
        let layer = descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", "layer");
        let docker = json!({"schemaVersion": 2, "mediaType": DOCKER_MANIFEST,
            "config": descriptor(DOCKER_CONFIG, "c"), "layers": [layer]});
        let Ok(Document::Manifest(manifest)) = read(&docker, Some("text/plain")) else {
            panic!("a manifest");
        };
        assert_eq!(manifest.layers.len(), 1);
        check_error(
            read(&json!({"schemaVersion": 1, "fsLayers": []}), None),
            "schema 1",
        );
        let signed = "application/vnd.docker.distribution.manifest.v1+prettyjws";
        check_error(read(&json!({}), Some(signed)), "schema 1");
        check_error(read(&json!({"schemaVersion": 2}), None), "no image");
        check_error(document(b"<html>", None), "cannot be read");
        // A kind that contradicts what is there is the confusion that the spec warns of.
        let both = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "manifests": []});
        check_error(read(&both, None), "no image");
        let helm = json!({"schemaVersion": 2, "config": descriptor("application/vnd.cncf.helm.config.v1+json", "c")});
        check_error(read(&helm, None), "no image of a container");
        let odd = json!({"schemaVersion": 2, "config": descriptor(OCI_CONFIG, "c"), "layers": [descriptor("a/b", "l")]});
        check_error(read(&odd, None), "a layer is of the kind \"a/b\"");
    }

    #[test]
    fn bounds_and_contradictions() {
        let layer = descriptor("application/vnd.oci.image.layer.v1.tar+zstd", "l");
        let with = |layers: Vec<Value>| json!({"schemaVersion": 2, "config": descriptor(OCI_CONFIG, "c"), "layers": layers});
        check_error(read(&with(vec![layer.clone(); 129]), None), "129 layers");
        assert!(read(&with(vec![layer.clone(); 128]), None).is_ok());
        let mut long = with(vec![]);
        long["config"]["size"] = json!(DOCUMENT_MAX + 1);
        check_error(read(&long, None), "the config has 4194305 bytes");
        let Ok(Document::Manifest(manifest)) = read(&with(vec![layer]), None) else {
            panic!("a manifest");
        };
        let machine = Platform::of("x86_64");
        let of = |os: &str, architecture: &str| {
            let text = json!({"os": os, "architecture": architecture, "rootfs": {"type": "layers", "diff_ids": []}});
            config(text.to_string().as_bytes(), &manifest, &machine)
        };
        check_error(of("linux", "amd64"), "1 layers, and the config 0");
        check_error(of("linux", "arm64"), "there are linux/arm64");
        check_error(of("", ""), "an image that names no platform");
    }
}
