//! A config's problems inside a gRPC status: `grpc-status-details-bin` holds a `google.rpc.Status`
//! whose details hold [`ConfigProblems`] as `Any`, as the gRPC error model has it.
//!
//! Invariant: what a peer sent is never trusted to be well-formed; malformed details are no details.

use crate::v1alpha1::ConfigProblems;
use prost::Message as _;
use tonic::{Code, Status};

/// Type URL of [`ConfigProblems`].
pub const CONFIG_PROBLEMS: &str = "type.googleapis.com/orlop.machine.v1alpha1.ConfigProblems";

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// An INVALID_ARGUMENT status that carries the problems.
#[must_use]
pub fn invalid_config(message: String, problems: &ConfigProblems) -> Status {
    let details = RpcStatus {
        code: Code::InvalidArgument.into(),
        message: message.clone(),
        details: vec![prost_types::Any {
            type_url: CONFIG_PROBLEMS.to_owned(),
            value: problems.encode_to_vec(),
        }],
    };
    Status::with_details(
        Code::InvalidArgument,
        message,
        details.encode_to_vec().into(),
    )
}

/// The problems that a status carries.
#[must_use]
pub fn config_problems(status: &Status) -> Option<ConfigProblems> {
    let details = RpcStatus::decode(status.details()).ok()?.details;
    let any = details.iter().find(|any| any.type_url == CONFIG_PROBLEMS)?;
    ConfigProblems::decode(any.value.as_slice()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1alpha1::ConfigProblem;

    #[test]
    fn problems_travel() {
        let problems = ConfigProblems {
            problems: vec![ConfigProblem {
                document: 1,
                path: "Machine.hostname".into(),
                line: 3,
                column: 5,
                message: "bad".into(),
                hint: "good".into(),
            }],
        };
        let status = invalid_config("1 problem".into(), &problems);
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(config_problems(&status), Some(problems));
        assert_eq!(config_problems(&Status::internal("x")), None);
        assert_eq!(
            config_problems(&Status::with_details(
                Code::Internal,
                "x",
                vec![255_u8, 1].into()
            )),
            None
        );
    }
}
