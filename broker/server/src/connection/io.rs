//! The socket's end: reads into the thread's buffer, writes from the connection's.

use bytes::{Buf, Bytes, BytesMut};
use parlance_mqtt::Decoder;
use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

/// Anything that carries bytes both ways.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Transport for S {}

/// Size of a thread's read buffer, bytes.
const SCRATCH_BYTES: usize = 64 * 1024;
/// When less than this is left of it, a new one is begun.
const SCRATCH_LEFT_MIN: usize = 4 * 1024;

thread_local! {
    /// What all connections of this thread read into: an idle connection needs none. Topic and payload of what was read
    /// are slices of it; it lives as long as they do.
    static SCRATCH: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// Room of a thread's write buffer, bytes.
const WRITE_BYTES: usize = 16 * 1024;
/// One that has grown larger is not kept.
const WRITE_BYTES_MAX: usize = 64 * 1024;
/// A connection that has to wait with more than this keeps the buffer in which it is.
const WRITE_REST_BYTES: usize = 4 * 1024;

thread_local! {
    /// What the connection that is at work writes into, so that it need not grow a buffer of its own each time.
    static WRITE: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// Gives a connection that has no write buffer the thread's.
pub(super) fn lend(out: &mut BytesMut) {
    if out.capacity() == 0 {
        *out = WRITE.take();
        out.reserve(WRITE_BYTES);
    }
}

/// An empty write buffer goes back to the thread, and a connection that has to wait with the rest keeps no more than that.
pub(super) fn give_back(out: &mut BytesMut) {
    let rest = if out.is_empty() { BytesMut::new() } else { BytesMut::from(&out[..]) };
    let mut buffer = std::mem::replace(out, rest);
    buffer.clear();
    if buffer.try_reclaim(WRITE_BYTES) && buffer.capacity() <= WRITE_BYTES_MAX {
        WRITE.set(buffer);
    }
}

/// A transport with the way Parlance reads and writes.
pub(super) struct Stream<S> {
    inner: S,
    needs_flush: bool,
}

impl<S: Transport> Stream<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner, needs_flush: false }
    }

    /// Reads once and feeds the decoder. `Ok(0)`: the other end has closed.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        decoder: &mut Decoder,
    ) -> Poll<io::Result<usize>> {
        SCRATCH.with_borrow_mut(|scratch| {
            if scratch.len() < SCRATCH_LEFT_MIN {
                *scratch = BytesMut::zeroed(SCRATCH_BYTES);
            }
            let mut buffer = ReadBuf::new(scratch);
            match Pin::new(&mut self.inner).poll_read(cx, &mut buffer) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) => {
                    let count = buffer.filled().len();
                    let chunk: Bytes = scratch.split_to(count).freeze();
                    if count > 0 {
                        decoder.feed(chunk);
                    }
                    Poll::Ready(Ok(count))
                }
            }
        })
    }

    /// Writes what it can; ready when something was written. An emptied buffer is let go.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, out: &mut BytesMut) -> Poll<io::Result<()>> {
        let mut wrote = false;
        while !out.is_empty() {
            match Pin::new(&mut self.inner).poll_write(cx, out) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => {
                    out.advance(count);
                    wrote = true;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    // Copied only where that is cheap; a rest that has been copied has little room.
                    if out.len() <= WRITE_REST_BYTES && (wrote || out.capacity() >= WRITE_BYTES) {
                        give_back(out);
                    }
                    return if wrote { Poll::Ready(Ok(())) } else { Poll::Pending };
                }
            }
        }
        give_back(out);
        // TLS and WebSocket keep what was written until they are told that this was all.
        match Pin::new(&mut self.inner).poll_flush(cx) {
            Poll::Ready(flushed) => {
                self.needs_flush = false;
                Poll::Ready(flushed)
            }
            Poll::Pending => {
                self.needs_flush = true;
                if wrote { Poll::Ready(Ok(())) } else { Poll::Pending }
            }
        }
    }

    /// Something that was written waits in the transport.
    pub(super) fn needs_flush(&self) -> bool {
        self.needs_flush
    }

    /// Writes everything and flushes.
    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_all(bytes).await?;
        self.inner.flush().await
    }

    /// Closes the sending side and waits until the other end has closed too, at most so long. What it still sends is not
    /// looked at, but it is read: a socket that is closed with something unread resets the connection, and what was
    /// written last may be lost with it (RFC 1122, 4.2.2.13).
    pub(super) async fn shutdown(&mut self, wait: Duration) {
        // The other end may be gone already: there is nobody to tell then.
        let _ = tokio::time::timeout(wait, async {
            let _ = self.inner.flush().await;
            let _ = self.inner.shutdown().await;
            while let Ok(1..) = std::future::poll_fn(|cx| self.poll_discard(cx)).await {}
        })
        .await;
    }

    /// Reads once and forgets what was read. `Ok(0)`: the other end has closed.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        SCRATCH.with_borrow_mut(|scratch| {
            if scratch.is_empty() {
                *scratch = BytesMut::zeroed(SCRATCH_BYTES);
            }
            let mut buffer = ReadBuf::new(scratch);
            let read = Pin::new(&mut self.inner).poll_read(cx, &mut buffer);
            read.map_ok(|()| buffer.filled().len())
        })
    }
}
