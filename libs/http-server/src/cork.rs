//! What a connection has to say at one moment, said by one system call.
//!
//! HTTP/2 as hyper has it writes each answer of more than some hundred bytes by itself, and on loopback sending a packet costs
//! more than making it. So what is written waits here until the connection has nothing more to do, and whoever drives the
//! connection sends it then ([`Cork::poll_send`]):
//!
//! ```text
//!   connection polled:  write, write, "flush", write ──> waiting        then, by who polled it:  waiting ──> stream
//! ```
//!
//! A connection that goes on as another protocol is driven by somebody else: from then on flushing sends ([`Cork::open`]).

use bytes::{Buf as _, BytesMut};
use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that wait at most: beyond them, writers do. A large answer is written past them, uncopied.
pub(crate) const WAITING_MAX: usize = 64 * 1024;
/// What is no smaller is not worth copying: a frame of HTTP/2, when an answer has many.
const LARGE: usize = 16 * 1024;
/// A connection that was busy keeps this much room.
const KEPT: usize = 4 * 1024;

/// A stream that sends when it is told to. Clones are the same stream: one is written to, the other sends.
#[derive(Debug)]
pub(crate) struct Cork<S>(Arc<Mutex<Corked<S>>>);

#[derive(Debug)]
struct Corked<S> {
    stream: S,
    waiting: BytesMut,
    /// Flushing sends.
    open: bool,
}

impl<S> Clone for Cork<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S> Cork<S> {
    pub(crate) fn new(stream: S) -> Self {
        let waiting = BytesMut::new();
        let open = false;
        Self(Arc::new(Mutex::new(Corked {
            stream,
            waiting,
            open,
        })))
    }

    /// Whoever writes sends, from now on.
    pub(crate) fn open(&self) {
        self.lock().open = true;
    }

    fn lock(&self) -> MutexGuard<'_, Corked<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: AsyncWrite + Unpin> Cork<S> {
    /// Sends what waits. While it is pending, the task is woken when more can be sent.
    pub(crate) fn poll_send(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lock().poll_send(context)
    }
}

impl<S: AsyncWrite + Unpin> Corked<S> {
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(context, &self.waiting))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.waiting.advance(sent);
        }
        if self.waiting.capacity() > KEPT {
            self.waiting = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Makes room for so many bytes. Ready with true: they may wait; with false: they are to be written at once.
    fn poll_room(&mut self, context: &mut Context<'_>, bytes: usize) -> Poll<io::Result<bool>> {
        if bytes >= LARGE || self.waiting.len() + bytes > WAITING_MAX {
            ready!(self.poll_drain(context))?;
        }
        Poll::Ready(Ok(bytes < LARGE))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Cork<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Cork<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut corked = self.lock();
        let bytes = pieces.iter().map(|piece| piece.len()).sum();
        if !ready!(corked.poll_room(context, bytes))? {
            return Pin::new(&mut corked.stream).poll_write_vectored(context, pieces);
        }
        for piece in pieces {
            corked.waiting.extend_from_slice(piece);
        }
        Poll::Ready(Ok(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Nothing yet, unless it is open: see above.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut corked = self.lock();
        if corked.open {
            return corked.poll_send(context);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut corked = self.lock();
        ready!(corked.poll_send(context))?;
        Pin::new(&mut corked.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::poll_fn, task::Waker};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    /// Polls once, with nobody to wake.
    fn once<T>(poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn what_is_written_waits_until_it_is_sent() {
        let (ours, mut theirs) = duplex(1024);
        let sender = Cork::new(ours);
        let mut stream = sender.clone();
        stream.write_all(b"one ").await.expect("it waits");
        stream.flush().await.expect("it waits");
        stream.write_all(b"two").await.expect("it waits");
        let mut came = [0; 16];
        let mut buffer = ReadBuf::new(&mut came);
        let read = once(|context| Pin::new(&mut theirs).poll_read(context, &mut buffer));
        assert!(read.is_pending());
        poll_fn(|context| sender.poll_send(context))
            .await
            .expect("sent");
        let length = theirs.read(&mut came).await.expect("it came");
        assert_eq!(&came[..length], b"one two");
    }

    #[tokio::test]
    async fn who_writes_more_than_may_wait_waits() {
        let (ours, mut theirs) = duplex(1024);
        let mut stream = Cork::new(ours);
        let piece = vec![b'x'; LARGE - 1];
        let mut written = 0;
        while let Poll::Ready(bytes) =
            once(|context| Pin::new(&mut stream).poll_write(context, &piece))
        {
            written += bytes.expect("room");
        }
        assert!(written <= WAITING_MAX, "{written}");
        // Nothing is lost or mixed up when there is room again, and what is large goes past what waits in order.
        let reads = tokio::spawn(async move {
            let mut came = Vec::new();
            theirs.read_to_end(&mut came).await.expect("to the end");
            came
        });
        let large = vec![b'y'; WAITING_MAX * 3];
        stream.write_all(&large).await.expect("written");
        stream.write_all(b"end").await.expect("it waits");
        stream.shutdown().await.expect("sent");
        let came = reads.await.expect("read");
        assert_eq!(came.len(), written + large.len() + 3);
        assert!(came[..written].iter().all(|byte| *byte == b'x'));
        assert!(came.ends_with(b"yend"));
    }

    #[tokio::test]
    async fn an_open_one_is_sent_by_who_flushes() {
        let (ours, mut theirs) = duplex(1024);
        let sender = Cork::new(ours);
        let mut stream = sender.clone();
        stream.write_all(b"one").await.expect("it waits");
        sender.open();
        stream.flush().await.expect("sent");
        let mut came = [0; 16];
        let length = theirs.read(&mut came).await.expect("it came");
        assert_eq!(&came[..length], b"one");
    }

    #[tokio::test]
    async fn a_reader_that_is_gone_is_an_error() {
        let (ours, theirs) = duplex(1024);
        let mut stream = Cork::new(ours);
        stream.write_all(b"one").await.expect("it waits");
        drop(theirs);
        let sent = poll_fn(|context| stream.poll_send(context)).await;
        assert!(sent.is_err());
    }
}
