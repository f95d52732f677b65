//! The one loop that drives a link: bytes from the peer to the node, chunks from the node to the peer.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::identity::Identity;
use crate::limits::WRITER_BYTES_MAX;
use crate::net::tls::reason_of;
use crate::node::{LinkId, LinkInput};
use crate::time::Timestamp;

/// Chunks on their way to one link: the node has at most two in flight, and one more that says goodbye.
pub(crate) const CHUNKS_MAX: usize = 4;

/// Boxed, since a channel has room for 32 of them from its first on, and a gateway has thousands of channels.
pub(crate) type Chunk = Box<Bytes>;

/// What the loop saw.
enum Step {
    Received(BytesMut),
    Written,
    /// The node closed the link.
    Finished,
    Lost(io::Error),
}

/// Reads and writes until the link ends; tells the node through `deliver`, which waits while the node has much to do,
/// so that TCP holds the peer back. `identity` is the one of the handshake: a peer that refused it says so by an alert.
///
/// Reading never waits for writing: two nodes that both have full buffers must not wait for each other.
///
/// An idle link is a few kilobytes of this future, of which a gateway has thousands: the stream is boxed once, and so are
/// the ends, which are rare and large.
pub(crate) fn drive<S, F>(
    stream: S,
    identity: Identity,
    link: LinkId,
    chunks: mpsc::Receiver<Chunk>,
    at: fn() -> Timestamp,
    mut deliver: impl FnMut(LinkInput) -> F,
) -> impl Future<Output = ()>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = bool>,
{
    let (chunk, buffer) = (Bytes::new(), BytesMut::new());
    let mut driver = Box::new(Driver { stream, chunks, chunk, unflushed: false, buffer, room: READ_BYTES_MIN });
    async move {
        loop {
            let input = match poll_fn(|context| driver.poll_step(context)).await {
                Step::Received(bytes) => LinkInput::Received { link, bytes },
                Step::Written => LinkInput::Written { link },
                Step::Finished => return Box::pin(driver.say_goodbye()).await,
                Step::Lost(error) => {
                    let error = Box::pin(reason_of(&identity, &mut driver.stream, error, at)).await;
                    deliver(LinkInput::Lost { link, error }).await;
                    return;
                }
            };
            if !deliver(input).await {
                // The node has ended: it closed this link as all others, and may have said why.
                return Box::pin(driver.say_goodbye()).await;
            }
        }
    }
}

struct Driver<S> {
    stream: S,
    chunks: mpsc::Receiver<Chunk>,
    /// What is left of the chunk that is being written.
    chunk: Bytes,
    unflushed: bool,
    buffer: BytesMut,
    /// How much the next read may take: an idle link keeps little memory, a busy one makes few system calls.
    room: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        if let Poll::Ready(step) = self.poll_write(context) {
            return Poll::Ready(step);
        }
        self.poll_read(context)
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        loop {
            if !self.chunk.is_empty() {
                match ready!(Pin::new(&mut self.stream).poll_write(context, &self.chunk)) {
                    Ok(0) => return Poll::Ready(Step::Lost(io::ErrorKind::WriteZero.into())),
                    Ok(count) => self.chunk.advance(count),
                    Err(error) => return Poll::Ready(Step::Lost(error)),
                }
                self.unflushed = true;
                if self.chunk.is_empty() {
                    return Poll::Ready(Step::Written);
                }
                continue;
            }
            match self.chunks.poll_recv(context) {
                Poll::Ready(Some(chunk)) => self.chunk = *chunk,
                Poll::Ready(None) => return Poll::Ready(Step::Finished),
                Poll::Pending if self.unflushed => {
                    if let Err(error) = ready!(Pin::new(&mut self.stream).poll_flush(context)) {
                        return Poll::Ready(Step::Lost(error));
                    }
                    self.unflushed = false;
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Reads what there is, up to one turn's worth.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        loop {
            self.buffer.reserve(self.room);
            // A read keeps no state between polls: a new one each time is the same one.
            let poll = pin!(self.stream.read_buf(&mut self.buffer)).poll(context);
            match poll {
                Poll::Ready(Ok(count)) if count > 0 => {
                    self.adapt(count);
                    if self.buffer.len() < READ_BYTES_MAX {
                        continue;
                    }
                }
                _ if !self.buffer.is_empty() => {}
                Poll::Ready(Ok(_)) => return Poll::Ready(Step::Lost(closed_by_peer())),
                Poll::Ready(Err(error)) => return Poll::Ready(Step::Lost(error)),
                Poll::Pending => {
                    // An idle link keeps no buffer.
                    self.buffer = BytesMut::new();
                    return Poll::Pending;
                }
            }
            return Poll::Ready(Step::Received(std::mem::take(&mut self.buffer)));
        }
    }

    fn adapt(&mut self, count: usize) {
        if count >= self.room {
            self.room = (self.room * 4).min(READ_BYTES_MAX);
        } else if count < self.room / 4 {
            self.room = (self.room / 2).max(READ_BYTES_MIN);
        }
    }

    /// Writes what the node transmitted before it closed the link, then closes TLS and TCP in order, and reads on for a
    /// moment: a peer that is still sending would otherwise see a reset instead of the reason (rule G5).
    async fn say_goodbye(mut self: Box<Self>) {
        let goodbye = async {
            if !self.chunk.is_empty() {
                self.stream.write_all(&self.chunk).await?;
            }
            while let Some(chunk) = self.chunks.recv().await {
                self.stream.write_all(&chunk).await?;
            }
            self.stream.flush().await?;
            self.stream.shutdown().await?;
            let mut rest = vec![0; READ_BYTES_MIN];
            while self.stream.read(&mut rest).await? > 0 {}
            Ok::<(), std::io::Error>(())
        };
        let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    }
}

fn closed_by_peer() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the peer closed the connection")
}

/// What an idle link reads into.
const READ_BYTES_MIN: usize = 1 << 10;
/// What a busy one reads into.
const READ_BYTES_MAX: usize = WRITER_BYTES_MAX;
/// How long a closing link may take to say so.
pub(crate) const GOODBYE: Duration = Duration::from_secs(2);
