//! Streams to callers: bounded in number, in what waits for a slow reader, and in how long.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::Stream;
use tonic::Status;

/// Streams at once over all callers.
pub const STREAMS_MAX: usize = 64;
/// Messages that wait for a slow reader.
pub const WAITING_MAX: usize = 64;
/// Longest time that a reader takes nothing while messages wait for it.
pub const STALL_MAX: Duration = Duration::from_secs(60);

/// What the generated server wants.
pub type Boxed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Where a stream's work puts its messages.
#[derive(Debug)]
pub struct Sink<T> {
    messages: mpsc::Sender<T>,
    stall_max: Duration,
}

/// The reader is gone, or takes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It closed the stream.
    Gone,
    /// It has stalled for [`STALL_MAX`].
    Stalled,
}

impl From<Ended> for Status {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Gone => Self::cancelled("the caller closed the stream"),
            Ended::Stalled => Self::resource_exhausted(format!(
                "the caller took no message for {STALL_MAX:?} while {WAITING_MAX} waited; call again and read faster"
            )),
        }
    }
}

impl<T> Sink<T> {
    /// Hands over a message, and waits while too many wait for the reader.
    ///
    /// # Errors
    /// [`Ended`]; there is no point in going on.
    pub async fn send(&self, message: T) -> Result<(), Ended> {
        match self.messages.send_timeout(message, self.stall_max).await {
            Ok(()) => Ok(()),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => Err(Ended::Stalled),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(Ended::Gone),
        }
    }
}

/// Starts `work` and gives the stream of what it sends. The work is dropped when the reader goes away;
/// its error ends the stream.
///
/// # Errors
/// RESOURCE_EXHAUSTED where [`STREAMS_MAX`] streams are open.
pub fn open<T, W, F>(streams: &Arc<Semaphore>, work: W) -> Result<Boxed<T>, Status>
where
    T: Send + 'static,
    W: FnOnce(Sink<T>) -> F,
    F: Future<Output = Result<(), Status>> + Send + 'static,
{
    open_with(streams, STALL_MAX, work)
}

fn open_with<T, W, F>(
    streams: &Arc<Semaphore>,
    stall_max: Duration,
    work: W,
) -> Result<Boxed<T>, Status>
where
    T: Send + 'static,
    W: FnOnce(Sink<T>) -> F,
    F: Future<Output = Result<(), Status>> + Send + 'static,
{
    let permit = Arc::clone(streams).try_acquire_owned().map_err(|_| {
        Status::resource_exhausted(format!(
            "{STREAMS_MAX} streams are open on this node; close one and try again"
        ))
    })?;
    let (messages, receiver) = mpsc::channel(WAITING_MAX);
    let end = Arc::new(Mutex::new(None));
    let gone = messages.clone();
    let working = work(Sink {
        messages,
        stall_max,
    });
    tokio::spawn({
        let end = Arc::clone(&end);
        async move {
            let _permit = permit;
            let result = tokio::select! {
                result = working => result,
                () = gone.closed() => Ok(()),
            };
            // Before the last sender goes away, and with it the reader's wait for more.
            *end.lock().unwrap_or_else(PoisonError::into_inner) = result.err();
            drop(gone);
        }
    });
    Ok(Box::pin(Reader { receiver, end }))
}

struct Reader<T> {
    receiver: mpsc::Receiver<T>,
    end: Arc<Mutex<Option<Status>>>,
}

impl<T> Stream for Reader<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receiver
            .poll_recv(context)
            .map(|message| match message {
                Some(message) => Some(Ok(message)),
                None => {
                    let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
                    end.take().map(Err)
                }
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_stream::StreamExt as _;

    #[tokio::test]
    async fn messages_then_the_error() {
        let streams = Arc::new(Semaphore::new(1));
        let mut stream = open(&streams, |sink| async move {
            sink.send(1).await?;
            Err(Status::not_found("x"))
        })
        .unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap(), 1);
        assert_eq!(stream.next().await.unwrap().unwrap_err().message(), "x");
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn streams_are_counted_until_their_reader_is_gone() {
        let streams = Arc::new(Semaphore::new(1));
        let work = |_sink: Sink<u8>| std::future::pending();
        let stream = open(&streams, work).unwrap();
        let Err(refused) = open(&streams, work) else {
            panic!("a second stream was opened")
        };
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        drop(stream);
        let _free = streams.acquire().await.unwrap();
    }

    #[tokio::test]
    async fn a_reader_that_stalls_is_given_up() {
        let streams = Arc::new(Semaphore::new(1));
        let mut stream = open_with(&streams, Duration::from_millis(20), |sink| async move {
            loop {
                sink.send(0_u8).await?;
            }
        })
        .unwrap();
        let _free = streams.acquire().await.unwrap();
        let mut messages = 0;
        let error = loop {
            match stream.next().await.unwrap() {
                Ok(_) => messages += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(messages, WAITING_MAX);
        assert_eq!(error.code(), tonic::Code::ResourceExhausted);
    }
}
