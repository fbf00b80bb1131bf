//! An image with this program, and a registry on the loopback that has nothing else.

use anyhow::{Context as _, Result};
use aws_lc_rs::digest;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

type Content = BTreeMap<String, (&'static str, Vec<u8>)>;

/// Starts the registry; the image's name.
pub(crate) fn serve() -> Result<String> {
    let content = Arc::new(content()?);
    let listener = TcpListener::bind("127.0.0.1:0").context("listen on the loopback")?;
    let address = listener.local_addr().context("the registry's address")?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let content = Arc::clone(&content);
            // A client that goes away is none of its business.
            std::thread::spawn(move || answer(&stream, &content));
        }
    });
    Ok(format!("{address}/guest:one"))
}

fn content() -> Result<Content> {
    let program = fs::read("/guest").context("read this program")?;
    let mut archive = tar::Builder::new(Vec::new());
    for (name, mode) in [("tmp/", 0o1777), ("etc/", 0o755), ("proc/", 0o755)] {
        let mut header = header(0, mode);
        header.set_entry_type(tar::EntryType::Directory);
        archive.append_data(&mut header, name, &[][..])?;
    }
    let size = u64::try_from(program.len())?;
    archive.append_data(&mut header(size, 0o755), "guest", program.as_slice())?;
    let layer = archive.into_inner().context("pack the layer")?;
    let config = json!({
        "os": "linux", "architecture": "amd64", "config": {"Entrypoint": ["/guest"]},
        "rootfs": {"type": "layers", "diff_ids": [named(&layer)]},
    });
    let config = config.to_string().into_bytes();
    let described = |kind: &str, bytes: &[u8]| json!({"mediaType": kind, "digest": named(bytes), "size": bytes.len()});
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": described(CONFIG, &config), "layers": [described(LAYER, &layer)],
    });
    let manifest = manifest.to_string().into_bytes();
    let mut content = Content::new();
    for place in ["one".to_owned(), named(&manifest)] {
        content.insert(
            format!("/v2/guest/manifests/{place}"),
            (MANIFEST, manifest.clone()),
        );
    }
    for blob in [config, layer] {
        content.insert(
            format!("/v2/guest/blobs/{}", named(&blob)),
            ("application/octet-stream", blob),
        );
    }
    Ok(content)
}

fn header(size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_size(size);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn named(bytes: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, bytes);
    let digits: String = digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{digits}")
}

fn answer(stream: &TcpStream, content: &Content) -> Result<()> {
    let mut lines = BufReader::new(stream).lines();
    // Requests one after the other, none with a body.
    while let Some(first) = lines.next().transpose()? {
        while lines
            .next()
            .transpose()?
            .is_some_and(|line| !line.is_empty())
        {}
        let mut words = first.split(' ');
        let (method, target) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let path = target.split('?').next().unwrap_or_default();
        let (status, kind, body) = match content.get(path) {
            Some((kind, body)) => ("200 OK", *kind, body.as_slice()),
            None if path == "/v2/" => ("200 OK", "application/json", &b"{}"[..]),
            None => ("404 Not Found", "application/json", &b"{}"[..]),
        };
        let mut stream = stream;
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )?;
        if method != "HEAD" {
            stream.write_all(body)?;
        }
    }
    Ok(())
}
