//! One command in a container, with its streams at a client.
//!
//! ```text
//!   started ──> its streams are copied both ways ──ended──> what is in its pipes is sent ──> its exit code
//!                   └ the client has gone: its pipes are closed, its terminal is hung up; nothing else is done to it
//! ```

use super::{
    connection::{CHUNK, Incoming, Outgoing, Streams},
    descriptor::{Reader, Terminal, Writer, another},
};
use crate::{
    executor::pods::{self, Pods, Process},
    planner::{
        keeper::frames::Exit,
        streams::{
            protocol::{Sizes, Wanted},
            status::Outcome,
        },
    },
};
use futures_util::{FutureExt as _, future::FusedFuture as _};
use std::{io, pin::pin, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// After its end, for what is still in its pipes: something that it left behind may hold them open. As for ExecSync.
const DRAIN_MAX: Duration = Duration::from_secs(2);
/// Of that, what can be the process's own: no pipe is larger by default.
const DRAIN_BYTES: usize = 1024 * 1024;

/// Runs a command until it has ended, or the client has gone.
pub(super) async fn run(
    pods: Pods,
    container: String,
    command: Vec<String>,
    wanted: Wanted,
    mut streams: Streams,
) {
    let begun = pods
        .exec(&container, command.clone(), wanted.tty, wanted.stdin)
        .await;
    let process = match begun {
        Ok(process) => process,
        Err(error) => {
            let why = format!(
                "error executing command in container: failed to exec in container: {error}"
            );
            return streams.finish(&Outcome::Failure(why)).await;
        }
    };
    let Process { exec, streams: own } = process;
    // The keeper says it once: who asks again would wait for ever.
    let mut ended = pin!(exec.ended().fuse());
    let attended = match Ends::new(own) {
        Ok(ends) => {
            let gone = streams.connection.gone();
            tokio::select! {
                exit = attend(ends, ended.as_mut(), &mut streams) => Some(exit),
                () = gone => None,
            }
        }
        Err(error) => {
            let why = format!("error executing command in container: {error}");
            return streams.finish(&Outcome::Failure(why)).await;
        }
    };
    match attended {
        Some(Ok(Exit { code: 0, .. })) => streams.finish(&Outcome::Success).await,
        Some(Ok(Exit { code, .. })) => streams.finish(&Outcome::Code { code, command }).await,
        Some(Err(error)) => {
            let why = format!(
                "error executing command in container: {}",
                service::chain(&error)
            );
            streams.finish(&Outcome::Failure(why)).await;
        }
        None => {
            drop(streams);
            // The keeper ends what nobody waits for; but it is to go on, as users of other runtimes expect of what they have left
            // behind with nohup(1).
            if !ended.is_terminated() {
                let _ = ended.await;
            }
        }
    }
}

/// Our ends of a process's streams.
struct Ends {
    stdin: Option<Writer>,
    stdout: Reader,
    stderr: Option<Reader>,
    terminal: Option<Terminal>,
}

impl Ends {
    fn new(streams: pods::Streams) -> io::Result<Self> {
        Ok(match streams {
            pods::Streams::Terminal(master) => Self {
                stdin: Some(Writer::new(another(&master)?)?),
                stdout: Reader::new(another(&master)?)?,
                stderr: None,
                terminal: Some(Terminal::new(master)),
            },
            pods::Streams::Pipes {
                stdin,
                stdout,
                stderr,
            } => Self {
                stdin: stdin.map(Writer::new).transpose()?,
                stdout: Reader::new(stdout)?,
                stderr: Some(Reader::new(stderr)?),
                terminal: None,
            },
        })
    }
}

async fn attend<T>(ends: Ends, ended: impl Future<Output = T>, streams: &mut Streams) -> T {
    let (over, when) = watch::channel(None);
    let exit = async {
        let exit = ended.await;
        over.send_replace(Some(Instant::now()));
        exit
    };
    let stdout = write_out(Some(ends.stdout), streams.stdout.take(), when.clone());
    let stderr = write_out(ends.stderr, streams.stderr.take(), when);
    let work = async {
        let (exit, (), ()) = tokio::join!(exit, stdout, stderr);
        exit
    };
    // These end with it, or before.
    let beside = async {
        let stdin = read_in(streams.stdin.take(), ends.stdin);
        tokio::join!(stdin, resize(streams.resize.take(), ends.terminal));
        std::future::pending::<()>().await;
    };
    tokio::select! {
        exit = work => exit,
        () = beside => std::future::pending().await,
    }
}

/// What the client writes, until either has ended. A terminal has no end of its own: who has one ends its process by what it reads.
pub(super) async fn read_in(from: Option<Incoming>, to: Option<Writer>) {
    let Some(mut from) = from else { return };
    while let Some(bytes) = from.next().await {
        let Some(to) = &to else { return };
        if !to.write_all(&bytes).await {
            return;
        }
    }
}

/// The sizes that a client's terminal has.
pub(super) async fn resize(from: Option<Incoming>, terminal: Option<Terminal>) {
    let (Some(mut from), Some(terminal)) = (from, terminal) else {
        return;
    };
    let mut sizes = Sizes::default();
    while let Some(bytes) = from.next().await {
        if let Some(size) = sizes.push(&bytes) {
            terminal.resize(size);
        }
    }
}

/// What a process writes, until all have closed the pipe, or it has ended and nothing is left in it. It is read even if nobody wants
/// it: else its writer would wait.
async fn write_out(
    from: Option<Reader>,
    to: Option<Outgoing>,
    mut ended: watch::Receiver<Option<Instant>>,
) {
    let Some(from) = from else { return };
    let mut buffer = vec![0; CHUNK];
    let mut drained = 0;
    loop {
        let count = tokio::select! {
            biased;
            count = from.read(&mut buffer) => count,
            () = late(ended.clone()) => 0,
        };
        let bytes = buffer.get(..count).unwrap_or_default();
        if bytes.is_empty() {
            break;
        }
        if let Some(to) = &to
            && to.send(bytes.to_vec()).await.is_err()
        {
            break;
        }
        if let Some(since) = *ended.borrow_and_update() {
            drained += count;
            if drained > DRAIN_BYTES && since.elapsed() > DRAIN_MAX {
                break;
            }
        }
    }
    if let Some(to) = to {
        to.end().await;
    }
}

async fn late(mut ended: watch::Receiver<Option<Instant>>) {
    let since = match ended.wait_for(Option::is_some).await {
        Ok(since) => *since,
        Err(_) => None,
    };
    if let Some(since) = since {
        sleep_until(since + DRAIN_MAX).await;
    }
}
