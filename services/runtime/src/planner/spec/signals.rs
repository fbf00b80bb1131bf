//! Signals: CRI's names, and the texts of images.

use super::Error;
use cri_proto::runtime::{ContainerConfig, Signal};
use oci_spec::image::ImageConfiguration;

/// The first and last real-time signal, as Linux' programs see them under every libc but musl, which keeps one more.
const REAL_TIME_MIN: i32 = 34;
const REAL_TIME_MAX: i32 = 64;

/// What asks a container to stop: what the client says, what the image says, or SIGTERM.
///
/// # Errors
/// [`Error::Invalid`] for an unknown signal. containerd finds out when the container is to stop.
pub fn stop_signal(config: &ContainerConfig, image: &ImageConfiguration) -> Result<Signal, Error> {
    match Signal::try_from(config.stop_signal) {
        Ok(Signal::RuntimeDefault) => {}
        Ok(signal) => return Ok(signal),
        Err(_) => {
            return Err(Error::invalid(
                "ContainerConfig.stop_signal",
                config.stop_signal,
                "it is no Signal",
            ));
        }
    }
    let Some(text) = image
        .config()
        .as_ref()
        .and_then(|config| config.stop_signal().as_deref())
        .filter(|text| !text.is_empty())
    else {
        return Ok(Signal::Sigterm);
    };
    of_image(text)
        .ok_or_else(|| Error::invalid("the image's StopSignal", text, "it is no signal of Linux"))
}

/// Its number on Linux. [`Signal::RuntimeDefault`] counts as SIGTERM.
#[must_use]
pub fn signal_number(signal: Signal) -> i32 {
    let value = i32::from(signal);
    let (min, max) = (i32::from(Signal::Sigrtmin), i32::from(Signal::Sigrtmax));
    let middle = i32::from(Signal::Sigrtminplus15);
    if value > middle {
        return REAL_TIME_MAX - (max - value);
    }
    if value >= min {
        return REAL_TIME_MIN + (value - min);
    }
    PLAIN
        .iter()
        .find(|(plain, _)| *plain == signal)
        .map_or(libc::SIGTERM, |(_, number)| *number)
}

/// `SIGTERM`, `term`, `15`, `SIGRTMIN+3`.
fn of_image(text: &str) -> Option<Signal> {
    if let Ok(number) = text.parse::<i32>() {
        return (1..=i32::from(Signal::Sigrtmax))
            .filter_map(|value| Signal::try_from(value).ok())
            .find(|signal| signal_number(*signal) == number);
    }
    let upper = text.to_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let name = name.replacen('+', "PLUS", 1).replacen('-', "MINUS", 1);
    Signal::from_str_name(&format!("SIG{name}"))
}

/// Those that are not real-time signals. Of two names for one number the first is the usual one.
#[rustfmt::skip]
const PLAIN: [(Signal, i32); 34] = [
    (Signal::Sigabrt, libc::SIGABRT), (Signal::Sigalrm, libc::SIGALRM), (Signal::Sigbus, libc::SIGBUS),
    (Signal::Sigchld, libc::SIGCHLD), (Signal::Sigcld, libc::SIGCHLD), (Signal::Sigcont, libc::SIGCONT),
    (Signal::Sigfpe, libc::SIGFPE), (Signal::Sighup, libc::SIGHUP), (Signal::Sigill, libc::SIGILL),
    (Signal::Sigint, libc::SIGINT), (Signal::Sigio, libc::SIGIO), (Signal::Sigiot, libc::SIGABRT),
    (Signal::Sigkill, libc::SIGKILL), (Signal::Sigpipe, libc::SIGPIPE), (Signal::Sigpoll, libc::SIGIO),
    (Signal::Sigprof, libc::SIGPROF), (Signal::Sigpwr, libc::SIGPWR), (Signal::Sigquit, libc::SIGQUIT),
    (Signal::Sigsegv, libc::SIGSEGV), (Signal::Sigstkflt, libc::SIGSTKFLT), (Signal::Sigstop, libc::SIGSTOP),
    (Signal::Sigsys, libc::SIGSYS), (Signal::Sigterm, libc::SIGTERM), (Signal::Sigtrap, libc::SIGTRAP),
    (Signal::Sigtstp, libc::SIGTSTP), (Signal::Sigttin, libc::SIGTTIN), (Signal::Sigttou, libc::SIGTTOU),
    (Signal::Sigurg, libc::SIGURG), (Signal::Sigusr1, libc::SIGUSR1), (Signal::Sigusr2, libc::SIGUSR2),
    (Signal::Sigvtalrm, libc::SIGVTALRM), (Signal::Sigwinch, libc::SIGWINCH), (Signal::Sigxcpu, libc::SIGXCPU),
    (Signal::Sigxfsz, libc::SIGXFSZ),
];
