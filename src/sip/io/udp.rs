//! Datagrams.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::task::{Context, Poll};

use socket2::{Protocol, SockRef, Type};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

use super::{mark, socket, unreachable};

/// A burst of a whole trunk's calls waits here while one message is handled.
const RECEIVE_BUFFER: usize = 8 << 20;
const SEND_BUFFER: usize = 2 << 20;

/// One UDP socket.
#[derive(Debug)]
pub(super) struct Datagrams {
    socket: UdpSocket,
    local: SocketAddr,
}

impl Datagrams {
    pub(super) fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = socket(addr, Type::DGRAM, Protocol::UDP)?;
        // The system gives as much as it allows.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        let _ = socket.set_send_buffer_size(SEND_BUFFER);
        unreachable::hear(&socket, addr.is_ipv4());
        socket.bind(&addr.into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        let local = socket.local_addr()?;
        Ok(Self { socket, local })
    }

    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }

    pub(super) fn mark(&self, dscp: u8) {
        mark(&SockRef::from(&self.socket), self.local.is_ipv4(), dscp);
    }

    /// The next datagram, if one is there; else the task is woken by one.
    pub(super) fn poll_receive(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<(usize, SocketAddr)> {
        loop {
            let mut into = ReadBuf::new(buffer);
            match self.socket.poll_recv_from(cx, &mut into) {
                Poll::Ready(Ok(from)) => return Poll::Ready((into.filled().len(), from)),
                // What an ICMP message says about one peer is no fault of the socket.
                Poll::Ready(Err(_)) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// A place that could not be reached, if there is news of one.
    pub(super) fn unreachable(&self) -> Option<SocketAddr> {
        unreachable::next(self.socket.as_raw_fd())
    }

    /// Sends, or loses what does not fit now: the timers know. What ICMP said of another peer is told to the next
    /// who sends; it is no fault of this datagram.
    pub(super) fn send(&self, bytes: &[u8], to: SocketAddr) -> bool {
        let send = || self.socket.try_send_to(bytes, to);
        match send() {
            Ok(_) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(_) => send().is_ok(),
        }
    }

    /// Whether this is the socket for what is sent from there: itself, or all addresses.
    pub(super) fn is(&self, local: SocketAddr) -> bool {
        self.local == local
            || (self.local.ip().is_unspecified()
                && self.local.port() == local.port()
                && self.local.is_ipv4() == local.is_ipv4())
    }
}
