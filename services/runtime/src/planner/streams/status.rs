//! How an end is told on the stream of errors: as clients parse it.
//!
//! Source: metav1.Status, k8s.io/apimachinery/pkg/util/remotecommand, k8s.io/kubelet/pkg/cri/streaming/remotecommand.

use super::protocol::{Ending, TEXT_MAX};
use serde_json::{Value, json};

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Success,
    /// The process has another exit code than 0.
    Code {
        /// It.
        code: i32,
        /// What ran.
        command: Vec<String>,
    },
    /// It was not the process's doing.
    Failure(String),
}

/// What is written to the stream of errors. Empty: nothing.
#[must_use]
pub fn bytes(outcome: &Outcome, ending: Ending) -> Vec<u8> {
    let (mut status, text) = match outcome {
        Outcome::Success => (json!({"status": "Success"}), String::new()),
        Outcome::Code { code, command } => {
            let command = cut(command.join(" "));
            let text = format!(
                "command terminated with non-zero exit code: error executing command [{command}], exit code {code}"
            );
            let status = json!({
                "status": "Failure",
                "message": text,
                "reason": "NonZeroExitCode",
                "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
            });
            (status, text)
        }
        Outcome::Failure(why) => {
            let why = cut(why.clone());
            let text = format!("Internal error occurred: {why}");
            let status = json!({
                "status": "Failure",
                "message": text,
                "reason": "InternalError",
                "details": {"causes": [{"message": why}]},
                "code": 500,
            });
            (status, text)
        }
    };
    match ending {
        Ending::Text => text.into_bytes(),
        Ending::Status => {
            status["metadata"] = Value::Object(serde_json::Map::new());
            status.to_string().into_bytes()
        }
    }
}

fn cut(mut text: String) -> String {
    if text.len() > TEXT_MAX {
        let mut end = TEXT_MAX;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(outcome: &Outcome, status: &Value, text: &str) {
        let found: Value = serde_json::from_slice(&bytes(outcome, Ending::Status)).unwrap();
        assert_eq!(&found, status);
        assert_eq!(bytes(outcome, Ending::Text), text.as_bytes());
    }

    #[test]
    fn as_clients_parse_them() {
        check(
            &Outcome::Success,
            &json!({"metadata": {}, "status": "Success"}),
            "",
        );
        let text = "command terminated with non-zero exit code: error executing command [sh -c exit 3], exit code 3";
        check(
            &Outcome::Code {
                code: 3,
                command: ["sh", "-c", "exit 3"].map(str::to_owned).to_vec(),
            },
            &json!({
                "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode", "message": text,
                "details": {"causes": [{"reason": "ExitCode", "message": "3"}]},
            }),
            text,
        );
        check(
            &Outcome::Failure("no".to_owned()),
            &json!({
                "metadata": {}, "status": "Failure", "reason": "InternalError", "message": "Internal error occurred: no",
                "details": {"causes": [{"message": "no"}]}, "code": 500,
            }),
            "Internal error occurred: no",
        );
    }

    #[test]
    fn a_long_reason_is_cut() {
        let told = bytes(&Outcome::Failure("ä".repeat(TEXT_MAX)), Ending::Text);
        assert!(told.len() < TEXT_MAX + 64);
    }
}
