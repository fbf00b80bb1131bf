//! What all answers have.

use super::super::body::Body;
use crate::planner::{negotiate::Form, write::Format};
use hyper::{
    Response, StatusCode,
    header::{CONTENT_TYPE, HeaderValue},
};
use objects::status::Status;

pub(super) fn ok(code: StatusCode, form: Form, body: Body, warnings: &[String]) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(form.content_type()));
    headers.insert(
        "cache-control",
        HeaderValue::from_static("no-cache, private"),
    );
    for warning in warnings {
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{}\"", quoted(warning))) {
            headers.append("warning", value);
        }
    }
    response
}

/// As the text of a warning: without what would end it, or the line.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            _ if character.is_control() => quoted.push(' '),
            _ => quoted.push(character),
        }
    }
    quoted
}

/// That something was done.
pub(super) fn told(status: &Status) -> Response<Body> {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::OK);
    ok(code, Form::JSON, status.to_value().to_string().into(), &[])
}

pub(super) fn failed(status: &Status, form: Form) -> Response<Body> {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let value = status.to_value();
    let yaml = (form.format == Format::Yaml)
        .then(|| crate::planner::yaml::write(&value).ok())
        .flatten();
    let form = if yaml.is_some() { form } else { Form::JSON };
    let body = yaml.unwrap_or_else(|| value.to_string());
    let mut response = ok(code, form, body.into(), &[]);
    let retry = status
        .details
        .as_ref()
        .map_or(0, |details| details.retry_after_seconds);
    if retry > 0 {
        response
            .headers_mut()
            .insert("retry-after", HeaderValue::from(retry));
    }
    response
}
