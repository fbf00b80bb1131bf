//! What went wrong, what to do about it, and the exit code.

use machine_client::{ConnectError, TransportError};
use machine_config::{Problem, Problems};
use machine_proto::details::config_problems;
use rustls::AlertDescription;
use std::{error::Error, fmt, io, path::Path, process::ExitCode};
use tonic::{Code, Status};

/// Exit codes, as the help lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Anything else.
    Other = 1,
    /// A config, a file's content or an argument.
    Invalid = 3,
    /// The node cannot be reached.
    Unreachable = 4,
    /// TLS.
    Untrusted = 5,
    /// The role does not suffice.
    Denied = 6,
    /// Nothing of that name.
    NotFound = 7,
    /// Not in this state of the node.
    State = 8,
    /// No answer in time.
    Deadline = 9,
    /// A local file.
    File = 10,
}

/// One failure, ready to be shown.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    message: String,
    advice: Option<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        match &self.advice {
            Some(advice) => write!(f, "\n  help: {advice}"),
            None => Ok(()),
        }
    }
}

impl Failure {
    /// A failure of this kind.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            advice: None,
        }
    }

    /// A failure without a kind of its own.
    pub(crate) fn other(message: impl Into<String>) -> Self {
        Self::new(Kind::Other, message)
    }

    /// Says what to do.
    pub(crate) fn help(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// The code that the program ends with.
    pub(crate) fn exit_code(&self) -> ExitCode {
        let code = self.kind as u8;
        ExitCode::from(code)
    }

    /// A local file could not be used.
    pub(crate) fn file(act: &str, path: &Path, error: &io::Error) -> Self {
        Self::new(Kind::File, format!("{act} {}: {error}", path.display()))
    }

    /// Problems of a text, as a compiler prints them.
    pub(crate) fn problems(file: &str, problems: &Problems) -> Self {
        let shown = problems
            .problems
            .iter()
            .map(|problem| problem_line(file, problem));
        Self::new(
            Kind::Invalid,
            listed(file, shown.collect(), problems.omitted),
        )
    }

    /// A call to the node failed. `file` is the config that was sent, if one was.
    pub(crate) fn status(status: &Status, file: Option<&str>) -> Self {
        if let Some(transport) = transport(status) {
            return Self::transport(transport);
        }
        if let (Some(file), Some(found)) = (file, config_problems(status)) {
            let lines = found.problems.into_iter().map(|problem| {
                let hint = Some(problem.hint).filter(|hint| !hint.is_empty());
                line(
                    file,
                    problem.line,
                    problem.column,
                    &problem.path,
                    &problem.message,
                    hint.as_deref(),
                )
            });
            return Self::new(Kind::Invalid, listed(file, lines.collect(), 0));
        }
        let failure = Self::new(kind_of(status.code()), status.message());
        match status.code() {
            Code::PermissionDenied => failure.help(
                "use a context with such a role (--context), or ask an admin: orlopctl config new FILE --roles ROLE",
            ),
            Code::Unauthenticated => failure.help("get a new client certificate: orlopctl config new FILE"),
            Code::Unavailable => failure.help("the node is there and cannot answer now; try again, or look at its console"),
            Code::Unimplemented => failure.help("the node runs another release than this program: orlopctl version"),
            Code::DeadlineExceeded => failure.help("allow more time: --timeout 2m"),
            _ => failure,
        }
    }

    fn transport(error: &TransportError) -> Self {
        match error.alert {
            Some(alert) => Self::refused(alert),
            None => Self::new(Kind::Unreachable, chain(error))
                .help("the node may be rebooting; try again"),
        }
    }

    /// The node ended TLS with this alert.
    fn refused(alert: AlertDescription) -> Self {
        let failure = |why: &str| {
            Self::new(
                Kind::Untrusted,
                format!("the node refused this client: {why}"),
            )
        };
        match alert {
            AlertDescription::CertificateExpired => failure("its certificate has expired").help(
                "make a new one from the cluster's secrets: orlopctl gen config --with-secrets secrets.yaml, or ask an admin: orlopctl config new FILE",
            ),
            AlertDescription::CertificateRequired => failure("it wants a client certificate").help(
                "the node is configured: leave out --insecure and use a context (orlopctl config contexts)",
            ),
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::DecryptError => {
                failure("its certificate is not of the node's cluster").help(
                    "choose the cluster's context: orlopctl config contexts, then --context NAME",
                )
            }
            other => failure(&format!("TLS alert {other:?}")),
        }
    }

    /// There is no connection.
    pub(crate) fn connect(error: &ConnectError) -> Self {
        match error {
            ConnectError::Tcp { source, .. } if source.kind() == io::ErrorKind::ConnectionRefused => {
                Self::new(Kind::Unreachable, chain(error)).help(
                    "nothing listens there: is it the node's address, and has the node booted? Its console shows its address and state",
                )
            }
            ConnectError::Tcp { .. } => Self::new(Kind::Unreachable, chain(error))
                .help("check the address (--node) and the network between"),
            ConnectError::Timeout { .. } => Self::new(Kind::Deadline, chain(error))
                .help("check the address (--node), firewalls between, or allow more time (--timeout)"),
            ConnectError::Fingerprint { seen, .. } => Self::new(Kind::Untrusted, chain(error)).help(format!(
                "compare with the node's console; if it shows {seen} there, pass --fingerprint {seen}"
            )),
            ConnectError::Untrusted { seen, .. } => Self::new(Kind::Untrusted, chain(error)).help(format!(
                "wrong context (orlopctl config contexts)? A node in maintenance mode has no certificate of the cluster: add --insecure --fingerprint {seen}; a worker pins it, too: --fingerprint {seen}. Compare it with the node's console first"
            )),
            ConnectError::Refused { alert } => Self::refused(*alert),
            ConnectError::Tls { .. } => Self::new(Kind::Untrusted, chain(error))
                .help("is this the machine API? Its port is 50000"),
            ConnectError::Http { .. } => Self::new(Kind::Unreachable, chain(error)),
            ConnectError::Credentials { .. } => Self::new(Kind::Invalid, chain(error))
                .help("the context's certificates are damaged; get new ones: orlopctl config new FILE"),
            ConnectError::ServerName { .. } => Self::new(Kind::Invalid, chain(error)),
        }
    }
}

fn kind_of(code: Code) -> Kind {
    match code {
        Code::InvalidArgument | Code::OutOfRange => Kind::Invalid,
        Code::Unavailable => Kind::Unreachable,
        Code::Unauthenticated => Kind::Untrusted,
        Code::PermissionDenied => Kind::Denied,
        Code::NotFound => Kind::NotFound,
        Code::FailedPrecondition => Kind::State,
        Code::DeadlineExceeded => Kind::Deadline,
        _ => Kind::Other,
    }
}

/// The transport's error that a status was made of.
fn transport(status: &Status) -> Option<&TransportError> {
    let mut next = status.source();
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// An error with its sources, "a: b: c".
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(&format!(": {source}"));
        next = source.source();
    }
    text
}

fn listed(file: &str, lines: Vec<String>, omitted: usize) -> String {
    let all = lines.len() + omitted;
    let mut text = format!(
        "{file}: {all} {}\n{}",
        if all == 1 { "problem" } else { "problems" },
        lines.join("\n")
    );
    if omitted > 0 {
        text.push_str(&format!("\n  and {omitted} more"));
    }
    text
}

fn problem_line(file: &str, problem: &Problem) -> String {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    line(
        file,
        number(problem.line),
        number(problem.column),
        &problem.path,
        &problem.message,
        problem.hint.as_deref(),
    )
}

fn line(
    file: &str,
    line: u32,
    column: u32,
    path: &str,
    message: &str,
    hint: Option<&str>,
) -> String {
    let place = if path.is_empty() {
        String::new()
    } else {
        format!("{path}: ")
    };
    let hint = hint.map_or(String::new(), |hint| format!("\n      hint: {hint}"));
    format!("  {file}:{line}:{column}: {place}{message}{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_read_like_a_compilers() {
        let problems = machine_config::parse(b"apiVersion: v1alpha1\nkind: Machne\n").unwrap_err();
        let shown = Failure::problems("a.yaml", &problems).to_string();
        assert!(shown.contains("a.yaml:2:7: kind: unknown kind"), "{shown}");
        assert!(shown.contains("hint: did you mean \"Machine\"?"), "{shown}");
    }

    #[test]
    fn codes_of_the_wire_have_exit_codes() {
        let check = |status: Status, kind: Kind| {
            assert_eq!(Failure::status(&status, None).kind, kind, "{status}");
        };
        check(Status::permission_denied("x"), Kind::Denied);
        check(Status::failed_precondition("x"), Kind::State);
        check(Status::not_found("x"), Kind::NotFound);
        check(Status::internal("x"), Kind::Other);
    }
}
