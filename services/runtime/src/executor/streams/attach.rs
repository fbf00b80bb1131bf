//! A client at a container that runs.
//!
//! ```text
//!   the container's output, from now on ──> pipe of 1 MiB ──> client        too slow: told so, and cut off
//!   client ──> the container's standard input, or its terminal              its end closes it, where `stdin_once` is asked for
//! ```
//! When the client goes the container does not notice.

use super::{
    connection::{CHUNK, Outgoing, Streams},
    descriptor::{Reader, Terminal, Writer, another},
    exec::{read_in, resize},
};
use crate::{
    executor::pods::{Attached, Pods},
    planner::streams::status::Outcome,
};
use rustix::fd::OwnedFd;
use std::io;

/// Shows a container to a client until either has ended.
pub(super) async fn run(pods: Pods, container: String, mut streams: Streams) {
    let attached = pods.attach(&container, streams.stdin.is_some()).await;
    let begun = attached.and_then(|attached| {
        let stdin_once = attached.stdin_once && !attached.terminal;
        let ends = Ends::new(attached)
            .map_err(|error| crate::executor::pods::PodsError::Internal(error.to_string()))?;
        Ok((ends, stdin_once))
    });
    let (ends, stdin_once) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            let why = format!("error attaching to container: {error}");
            return streams.finish(&Outcome::Failure(why)).await;
        }
    };
    let closes_stdin = stdin_once && streams.stdin.is_some();
    let gone = streams.connection.gone();
    let outcome = tokio::select! {
        outcome = attend(&pods, &container, ends, closes_stdin, &mut streams) => Some(outcome),
        () = gone => None,
    };
    match outcome {
        Some(outcome) => streams.finish(&outcome).await,
        // He was the one who writes: as containerd has it, nobody will after him.
        None if closes_stdin => close_input(&pods, &container).await,
        None => {}
    }
}

struct Ends {
    stdout: Reader,
    stderr: Reader,
    lost: OwnedFd,
    stdin: Option<Writer>,
    terminal: Option<Terminal>,
}

impl Ends {
    fn new(attached: Attached) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&attached.lost, true)?;
        let input = attached.stdin;
        let terminal = input.as_ref().filter(|_| attached.terminal);
        Ok(Self {
            stdout: Reader::new(attached.stdout)?,
            stderr: Reader::new(attached.stderr)?,
            lost: attached.lost,
            terminal: terminal.map(another).transpose()?.map(Terminal::new),
            stdin: input.map(Writer::new).transpose()?,
        })
    }
}

async fn attend(
    pods: &Pods,
    container: &str,
    ends: Ends,
    closes_stdin: bool,
    streams: &mut Streams,
) -> Outcome {
    let Ends {
        stdout,
        stderr,
        lost,
        stdin,
        terminal,
    } = ends;
    let shown = async {
        tokio::join!(
            show(&stdout, streams.stdout.as_ref()),
            show(&stderr, streams.stderr.as_ref())
        );
    };
    let sizes = resize(streams.resize.take(), terminal);
    let written = async {
        let from = streams.stdin.take();
        let writes = from.is_some();
        read_in(from, stdin).await;
        if writes && closes_stdin {
            close_input(pods, container).await;
        }
    };
    let beside = async {
        tokio::join!(written, sizes);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = shown => {}
        () = beside => {}
    }
    let mut told = [0];
    match rustix::io::read(&lost, &mut told) {
        Ok(1) => Outcome::Failure(
            "error attaching to container: the client was too slow to read what the container writes".to_owned(),
        ),
        _ => Outcome::Success,
    }
}

async fn show(from: &Reader, to: Option<&Outgoing>) {
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = from.read(&mut buffer).await;
        let bytes = buffer.get(..count).unwrap_or_default();
        if bytes.is_empty() {
            return;
        }
        if let Some(to) = to
            && to.send(bytes.to_vec()).await.is_err()
        {
            return;
        }
    }
}

async fn close_input(pods: &Pods, container: &str) {
    if let Err(error) = pods.close_input(container).await {
        tracing::debug!(%error, container, "the standard input of a container cannot be closed");
    }
}
