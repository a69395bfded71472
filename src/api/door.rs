//! Connections: so many at once, each with so much time and so many octets a request (reliability R-81).

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

const CONNECTIONS: usize = 256;
/// A request is complete, and answered, so long after its first octet.
const REQUEST: Duration = Duration::from_secs(10);
/// A connection without a request is closed; longer than scrapers pause.
const IDLE: Duration = Duration::from_secs(75);
/// Octets of one request; none of ours has a body.
const REQUEST_OCTETS: usize = 16 << 10;

/// Takes connections while there is room.
pub(super) struct Door {
    listener: TcpListener,
    room: Arc<Semaphore>,
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

impl Connected<IncomingStream<'_, Door>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        Self(*stream.remote_addr())
    }
}

impl Door {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self { listener, room: Arc::new(Semaphore::new(CONNECTIONS)) }
    }
}

impl Listener for Door {
    type Io = Guarded<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = Listener::accept(&mut self.listener).await; // retries by itself
            // Beyond the limit a connection is closed at once, so that those that are taken are answered.
            if let Ok(room) = Arc::clone(&self.room).try_acquire_owned() {
                return (Guarded::new(stream, room), address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A connection that ends when a request takes too long or is too big.
pub(super) struct Guarded<S> {
    stream: S,
    deadline: Pin<Box<Sleep>>,
    /// Octets of the request that is being read.
    read: usize,
    _room: OwnedSemaphorePermit,
}

impl<S> Guarded<S> {
    fn new(stream: S, room: OwnedSemaphorePermit) -> Self {
        Self { stream, deadline: Box::pin(sleep(REQUEST)), read: 0, _room: room }
    }

    fn late(&mut self, cx: &mut Context<'_>) -> bool {
        self.deadline.as_mut().poll(cx).is_ready()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.late(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let came = buf.filled().len() - before;
        if came > 0 && self.read == 0 {
            self.deadline.set(sleep(REQUEST));
        }
        self.read += came;
        if self.read > REQUEST_OCTETS {
            buf.set_filled(before); // who fails has read nothing
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.late(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(_)) = polled {
            self.read = 0; // the answer begins: what comes next is another request
            self.deadline.set(sleep(IDLE));
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    fn guarded() -> (Guarded<tokio::io::DuplexStream>, tokio::io::DuplexStream) {
        let (ours, theirs) = duplex(64 << 10);
        let room = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("room for one");
        (Guarded::new(ours, room), theirs)
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
    }

    #[test]
    fn a_request_of_more_than_16_kib_ends_its_connection() {
        runtime().block_on(async {
            let (mut ours, mut theirs) = guarded();
            theirs.write_all(&[b'x'; REQUEST_OCTETS + 1]).await.expect("room in the pipe");
            let end = ours.read_to_end(&mut Vec::new()).await.expect_err("too big");
            assert_eq!(end.kind(), io::ErrorKind::InvalidData);
        });
    }

    #[test]
    fn an_answer_begins_the_count_anew() {
        runtime().block_on(async {
            let (mut ours, mut theirs) = guarded();
            for _ in 0..3 {
                theirs.write_all(&[b'x'; REQUEST_OCTETS]).await.expect("room in the pipe");
                ours.read_exact(&mut [0; REQUEST_OCTETS]).await.expect("a request");
                ours.write_all(b"answer").await.expect("room in the pipe");
            }
        });
    }

    #[test]
    fn a_request_that_is_not_complete_in_time_ends_its_connection() {
        runtime().block_on(async {
            let (mut ours, mut theirs) = guarded();
            theirs.write_all(b"GET / HT").await.expect("room in the pipe");
            ours.read_exact(&mut [0; 8]).await.expect("its beginning");
            ours.deadline.set(sleep(Duration::ZERO)); // the clock is not waited for
            let end = ours.read_u8().await.expect_err("late");
            assert_eq!(end.kind(), io::ErrorKind::TimedOut);
        });
    }
}
