//! In which form an answer is given: by the Accept header, best first.
//!
//! Source: the API concepts page ("Alternate representations of resources", "Receiving resources as Tables").

use super::write::{Format, PatchType};
use objects::status::Status;

/// Media types that answers have.
const SUPPORTED: [&str; 2] = ["application/json", "application/yaml"];
/// Those that bodies may have.
const READ: [&str; 3] = ["application/json", "application/yaml", PROTOBUF];
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
/// Media ranges of a header that are looked at.
const RANGES_MAX: usize = 32;

/// What an answer shows of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum View {
    /// All.
    #[default]
    Whole,
    /// Rows for people, in this version of `meta.k8s.io`.
    Table,
    /// `PartialObjectMetadata`.
    Metadata,
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// How it is written.
    pub format: Format,
    /// What it shows.
    pub view: View,
    /// The header asked for events, as a watch has them.
    pub stream: bool,
}

impl Form {
    /// What everybody can read.
    pub const JSON: Self = Self {
        format: Format::Json,
        view: View::Whole,
        stream: false,
    };

    /// The value of Content-Type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self.format {
            Format::Json | Format::Protobuf => "application/json",
            Format::Yaml => "application/yaml",
        }
    }
}

/// Chooses by the Accept header; without one it is JSON.
///
/// # Errors
/// Nothing of what is accepted can be had.
pub fn accept(header: Option<&str>) -> Result<Form, Status> {
    let header = header.map(str::trim).filter(|header| !header.is_empty());
    let Some(header) = header else {
        return Ok(Form::JSON);
    };
    let mut ranges: Vec<(f32, &str)> = header
        .split(',')
        .take(RANGES_MAX)
        .map(|range| (quality(range), range.trim()))
        .collect();
    // Stable: of those that are liked equally, the first.
    ranges.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    let mut forms = ranges.iter().filter_map(|(_, range)| form(range));
    forms
        .next()
        .ok_or_else(|| Status::not_acceptable(&SUPPORTED))
}

fn quality(range: &str) -> f32 {
    let weight = range.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        (name.trim() == "q").then(|| value.trim().parse().ok())?
    });
    weight.unwrap_or(1.0)
}

fn form(range: &str) -> Option<Form> {
    let mut parts = range.split(';').map(str::trim);
    let format = match parts.next()? {
        "application/json" | "*/*" | "application/*" => Format::Json,
        "application/yaml" => Format::Yaml,
        _ => return None,
    };
    let (mut shown, mut group, mut version, mut stream) = (None, None, None, false);
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        match name.trim() {
            "as" => shown = Some(value.trim()),
            "g" => group = Some(value.trim()),
            "v" => version = Some(value.trim()),
            "stream" => stream = value.trim() == "watch",
            _ => {}
        }
    }
    let known = group == Some("meta.k8s.io") && version == Some("v1");
    let view = match shown {
        None => View::Whole,
        Some("Table") if known => View::Table,
        Some("PartialObjectMetadata" | "PartialObjectMetadataList") if known => View::Metadata,
        // In a version, or of a kind, that we do not have: what comes next in the header.
        Some(_) => return None,
    };
    Some(Form {
        format,
        view,
        stream,
    })
}

/// How a body is written, by the Content-Type header.
///
/// # Errors
/// In a way that is not read.
pub fn content(header: Option<&str>) -> Result<Format, Status> {
    let essence = header
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    match essence.trim() {
        "" | "application/json" => Ok(Format::Json),
        "application/yaml" => Ok(Format::Yaml),
        PROTOBUF => Ok(Format::Protobuf),
        _ => Err(Status::unsupported_media_type(&READ)),
    }
}

/// How a patch is meant, by the Content-Type header.
///
/// # Errors
/// It is none that is known.
pub fn patch(header: Option<&str>) -> Result<PatchType, Status> {
    let essence = header
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    match essence.trim() {
        "application/json-patch+json" => Ok(PatchType::Json),
        "application/merge-patch+json" => Ok(PatchType::Merge),
        "application/strategic-merge-patch+json" => Ok(PatchType::Strategic),
        _ => Err(Status::unsupported_media_type(&[
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/strategic-merge-patch+json",
        ])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_forms() {
        let check = |header: &str, format, view| {
            let form = accept(Some(header)).expect(header);
            assert_eq!((form.format, form.view), (format, view), "{header}");
        };
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        check(table, Format::Json, View::Table);
        check(
            "application/vnd.kubernetes.protobuf,application/json",
            Format::Json,
            View::Whole,
        );
        check(
            "application/json;q=0.5,application/yaml",
            Format::Yaml,
            View::Whole,
        );
        check("text/html, */*;q=0.1", Format::Json, View::Whole);
        check(
            "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            Format::Json,
            View::Metadata,
        );
        check(
            "application/json;as=Other;g=meta.k8s.io;v=v1,application/json",
            Format::Json,
            View::Whole,
        );
        assert_eq!(accept(None).ok(), Some(Form::JSON));
        assert!(
            accept(Some("application/json;stream=watch"))
                .expect("good")
                .stream
        );
        for header in ["text/html", "application/vnd.kubernetes.protobuf", ";"] {
            assert_eq!(accept(Some(header)).expect_err(header).code, 406);
        }
    }

    #[test]
    fn bodies() {
        assert_eq!(content(None).ok(), Some(Format::Json));
        assert_eq!(
            content(Some("application/json; charset=utf-8")).ok(),
            Some(Format::Json)
        );
        assert_eq!(
            content(Some("application/xml")).expect_err("unknown").code,
            415
        );
        assert_eq!(
            patch(Some("application/merge-patch+json")).ok(),
            Some(PatchType::Merge)
        );
        assert_eq!(
            patch(Some("application/apply-patch+yaml"))
                .expect_err("later")
                .code,
            415
        );
    }
}
