//! Reads the sources one after another, each within its bound, and only until one has a config.

mod handed;

use crate::planner::{
    Content, Hardware, Search, SourceId, cmdline, fat, iso9660, order, smbios, state,
};
use handed::Handed;
pub(crate) use handed::handed_over;
use init_proto::{
    generation::{CONFIG_MAX, HEADER},
    paths::ESP_CONFIG,
};
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
};

/// Most bytes of a name of the machine; SMBIOS strings have no bound of their own, sysfs files have 4 KiB.
const WORD_MAX: usize = 4096;
/// NoCloud's own file name.
const NOCLOUD_FILE: &str = "user-data";
/// NoCloud's volume label, in either case.
const NOCLOUD_LABEL: &str = "cidata";

/// Searches the descriptors in the order of the sources.
pub(crate) fn search(mut handed: Handed, sandboxed: bool) -> Search {
    let mut search = Search::default();
    for source in order(sandboxed) {
        let content = content(*source, &mut handed);
        tracing::debug!(source = source.name(), found = ?kind(&content), "looked");
        if let Content::Unusable(why) = &content {
            tracing::warn!(source = source.name(), %why, "source cannot be used");
        }
        if search.take(*source, content) {
            tracing::info!(source = source.name(), "machine config found");
            break;
        }
    }
    if let Some((_, Content::Url(_))) = search.found {
        search.hardware = Hardware {
            uuid: word(&mut handed, "machine-uuid"),
            serial: word(&mut handed, "machine-serial"),
        };
    }
    search
}

/// A short text; `None` where the machine has none.
fn word(handed: &mut Handed, name: &str) -> Option<String> {
    let bytes = bytes(handed, name, WORD_MAX).ok()??;
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    Some(text).filter(|text| !text.is_empty())
}

/// The content's kind without the content: it may hold secrets.
const fn kind(content: &Content) -> &'static str {
    match content {
        Content::Nothing => "nothing",
        Content::Config(_) => "config",
        Content::Url(_) => "URL",
        Content::Unusable(_) => "unusable",
    }
}

fn content(source: SourceId, handed: &mut Handed) -> Content {
    match source {
        SourceId::Pending => file(handed, "config-pending"),
        SourceId::FwCfg => file(handed, "fw-cfg"),
        SourceId::Sandbox => file(handed, "sandbox-config"),
        SourceId::State => {
            let mut read = |name| bytes(handed, name, HEADER + CONFIG_MAX + 1);
            match (read("state-config-a"), read("state-config-b")) {
                (Ok(a), Ok(b)) => state::content(a.as_deref(), b.as_deref()),
                // One file that cannot be read is as good as a torn one.
                (Ok(one), Err(error)) | (Err(error), Ok(one)) => {
                    match state::content(one.as_deref(), None) {
                        config @ Content::Config(_) => config,
                        _ => unreadable(&error),
                    }
                }
                (Err(error), Err(_)) => unreadable(&error),
            }
        }
        SourceId::Smbios => parsed(
            bytes(handed, "smbios", smbios::STRUCTURE_MAX),
            smbios::content,
        ),
        SourceId::Url => parsed(
            bytes(handed, "cmdline", cmdline::CMDLINE_MAX),
            cmdline::content,
        ),
        SourceId::Esp => match handed.take("esp").map(|esp| fat::read(esp, &[ESP_CONFIG])) {
            Some(Ok(Some(contents))) => contents.file.map_or(Content::Nothing, Content::Config),
            Some(Ok(None)) => Content::Unusable("the partition is not FAT".into()),
            Some(Err(error)) => unreadable(&error),
            None => Content::Nothing,
        },
        SourceId::NoCloud => no_cloud(handed),
    }
}

/// A source that is nothing but the config. An empty one is none: QEMU and the sandbox give an empty
/// file where nothing was meant.
fn file(handed: &mut Handed, name: &str) -> Content {
    match bytes(handed, name, CONFIG_MAX + 1) {
        Ok(Some(bytes)) if !bytes.is_empty() => Content::Config(bytes),
        Ok(_) => Content::Nothing,
        Err(error) => unreadable(&error),
    }
}

fn parsed(bytes: io::Result<Option<Vec<u8>>>, parse: fn(&[u8]) -> Content) -> Content {
    match bytes {
        Ok(Some(bytes)) => parse(&bytes),
        Ok(None) => Content::Nothing,
        Err(error) => unreadable(&error),
    }
}

/// The first volume with NoCloud's label decides: a label is a statement of intent.
fn no_cloud(handed: &mut Handed) -> Content {
    let mut notes = Vec::new();
    for (device, volume) in handed.take_blocks() {
        match no_cloud_volume(&volume) {
            Ok(None) => {}
            Ok(Some(Some(config))) => return Content::Config(config),
            Ok(Some(None)) => notes.push(format!(
                "{device} is labelled {NOCLOUD_LABEL} and has neither {ESP_CONFIG} nor {NOCLOUD_FILE}"
            )),
            Err(error) => notes.push(format!("{device}: {error}")),
        }
    }
    if notes.is_empty() {
        Content::Nothing
    } else {
        Content::Unusable(notes.join("; "))
    }
}

/// `None`: not a NoCloud volume. `Some(None)`: one without a config.
fn no_cloud_volume(volume: &File) -> io::Result<Option<Option<Vec<u8>>>> {
    const NAMES: [&str; 2] = [ESP_CONFIG, NOCLOUD_FILE];
    let labelled = |label: &str| label.eq_ignore_ascii_case(NOCLOUD_LABEL);
    if let Some(contents) = iso9660::read(volume, &NAMES)? {
        return Ok(labelled(&contents.label).then_some(contents.file));
    }
    // A damaged FAT of something else (half an ESP) is none of our business: without a readable label
    // it is not a NoCloud volume.
    match fat::read(volume, &NAMES) {
        Ok(Some(contents)) => Ok(labelled(&contents.label).then_some(contents.file)),
        Ok(None) => Ok(None),
        Err(error) => {
            tracing::debug!(%error, "FAT volume cannot be read");
            Ok(None)
        }
    }
}

/// All bytes of a descriptor, at most `bytes_max`; `None`: it was not handed over.
fn bytes(handed: &mut Handed, name: &str, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
    let Some(mut file) = handed.take(name) else {
        return Ok(None);
    };
    // The offset is shared with whoever opened it; a pipe has none, which is fine.
    match file.seek(SeekFrom::Start(0)) {
        Err(error) if error.kind() != io::ErrorKind::NotSeekable => return Err(error),
        _ => {}
    }
    let mut bytes = Vec::new();
    file.take(bytes_max as u64).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

fn unreadable(error: &io::Error) -> Content {
    Content::Unusable(format!("cannot be read: {error}"))
}
