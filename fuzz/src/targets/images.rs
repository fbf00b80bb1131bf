//! What registries and archives of images send.

use orlop_runtime::planner::images::{
    archive::{Archive, BLOCK, Next},
    challenge,
    config::ImageConfig,
    digest::Digest,
    layer::{Step, step},
    manifest::{self, Document, Platform},
    mirrors::Registries,
    path::{LayerPath, PATH_MAX},
    reference::Reference,
};
use url::Url;

/// Whatever an archive says, steps stay beneath the layer's root, and what is read of it is no more than it has.
pub(crate) fn image_layer(bytes: &[u8]) {
    let mut archive = Archive::default();
    let mut rest = bytes;
    while let Some(block) = take(&mut rest, 512) {
        let mut block: [u8; BLOCK] = block.try_into().expect("512 bytes");
        seal(&mut block);
        let passed = match archive.block(&block) {
            Err(_) | Ok(Next::End) => return,
            Ok(Next::Block) => continue,
            Ok(Next::Skip(length)) => take(&mut rest, length),
            Ok(Next::Extension(length)) => match take(&mut rest, length) {
                Some(data) if archive.extension(data).is_ok() => Some(data),
                _ => return,
            },
            Ok(Next::Entry(entry)) => {
                let stored = entry.stored;
                for piece in entry.pieces.iter().flatten() {
                    assert!(piece.offset + piece.length <= entry.size);
                }
                if let Ok(step) = step(*entry) {
                    beneath(&step);
                }
                take(&mut rest, stored)
            }
        };
        if passed.is_none() {
            return;
        }
    }
}

/// So many bytes; what pads them to whole blocks is passed over.
fn take<'a>(rest: &mut &'a [u8], length: u64) -> Option<&'a [u8]> {
    let length = usize::try_from(length).ok()?;
    let padded = length.checked_next_multiple_of(BLOCK)?;
    let (taken, left) = rest.split_at_checked(padded)?;
    *rest = left;
    Some(&taken[..length])
}

/// Mutations seldom hit a checksum: it is made right, but for the block that ends an archive.
fn seal(block: &mut [u8; BLOCK]) {
    if block.iter().any(|byte| *byte != 0) {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    }
}

fn beneath(step: &Step) {
    let path = match step {
        Step::Skip => return,
        Step::Directory(path, _) | Step::Symlink(path, _, _) => path,
        Step::File { path, .. } | Step::Node { path, .. } => path,
        Step::Whiteout(path) | Step::Opaque(path) => path,
        Step::HardLink { path, target } => {
            plain(target);
            path
        }
    };
    plain(path);
}

fn plain(path: &LayerPath) {
    assert!(path.size() <= PATH_MAX && !path.as_path().is_absolute());
    assert!(path.names().all(|name| name != ".." && name != "."));
}

pub(crate) fn layers() -> Vec<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |kind: u8, name: &str, link: &str, data: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_path(name).ok()?;
        header.set_link_name_literal(link).ok()?;
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_size(data.len() as u64);
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_cksum();
        builder.append(&header, data).ok()
    };
    let pax = b"27 SCHILY.xattr.user.a=b\nc\n20 mtime=12345.6789\n";
    for (kind, name, link, data) in [
        (b'5', "d/", "", &b""[..]),
        (b'x', "x", "", pax),
        (b'0', "d/f", "", b"data"),
        (b'1', "h", "d/f", b""),
        (b'2', "s", "../../etc", b""),
        (b'0', "d/.wh.gone", "", b""),
        (b'0', "d/.wh..wh..opq", "", b""),
        (b'3', "null", "", b""),
        (
            b'x',
            "x",
            "",
            b"22 GNU.sparse.major=1\n28 GNU.sparse.realsize=9999\n",
        ),
        (b'0', "hole", "", b"1\n100\n0\n"),
        (b'S', "old", "", b""),
        (b'L', "long", "", b"a/very/long/name\0"),
        (b'0', "short", "", b""),
    ] {
        add(kind, name, link, data);
    }
    vec![builder.into_inner().unwrap_or_default()]
}

/// Documents are read or refused; what is read keeps its bounds.
pub(crate) fn image_documents(bytes: &[u8]) {
    match manifest::document(bytes, None) {
        Ok(Document::Index(index)) => drop(manifest::choose(&index, &Platform::host())),
        Ok(Document::Manifest(read)) => {
            assert!(read.layers.len() <= manifest::LAYERS_MAX);
            assert!(read.config.size <= manifest::DOCUMENT_MAX);
        }
        Err(_) => {}
    }
    if let Ok(config) = ImageConfig::read(bytes) {
        drop(config.runs_as());
    }
    drop(challenge::token(bytes));
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(reference) = Reference::parse(text) {
        assert_eq!(
            Reference::parse(&reference.to_string()),
            Ok(reference.clone())
        );
        drop(Registries::default().endpoints(&reference));
    }
    drop(Registries::read(bytes));
    let registry = Url::parse("https://registry.example").expect("a URL");
    drop(challenge::challenge(&[text], &registry));
}

pub(crate) fn documents() -> Vec<Vec<u8>> {
    let digest = Digest::of(b"");
    let descriptor = |kind: &str| {
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.{kind}","digest":"{digest}","size":7}}"#
        )
    };
    let (config, layer) = (
        descriptor("config.v1+json"),
        descriptor("layer.v1.tar+gzip"),
    );
    let of = descriptor("manifest.v1+json").replace(
        "\"size\"",
        r#""platform":{"os":"linux","architecture":"amd64"},"size""#,
    );
    [
        format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}]}}"#),
        format!(r#"{{"schemaVersion":2,"manifests":[{of}]}}"#),
        format!(r#"{{"os":"linux","architecture":"amd64","config":{{"User":"1:2","Env":null}},"rootfs":{{"diff_ids":["{digest}"]}}}}"#),
        r#"{"registries":{"a":{"url":"https://a","mirrors":[{"url":"http://b","auth":{"auth":"dTpw"}}]}}}"#.to_owned(),
        r#"Bearer realm="https://a/token",service="b",scope="c", Basic realm=d"#.to_owned(),
        format!("registry.example:5000/a/b:1@{digest}"),
        r#"{"token":"a"}"#.to_owned(),
    ]
    .map(String::into_bytes)
    .to_vec()
}
