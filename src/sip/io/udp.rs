//! Datagrams, each with the time it lay in the queue of its socket (reliability R-105).
#![allow(clippy::disallowed_methods)] // part of the shell

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant, SystemTime};

use nix::sys::socket::sockopt::{ReceiveTimestampns, RxqOvfl};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt};
use socket2::{Protocol, SockRef, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::{mark, socket, unreachable};
use crate::telemetry::metrics;

/// A burst of a whole trunk's calls waits here while one message is handled.
const RECEIVE_BUFFER: usize = 8 << 20;
const SEND_BUFFER: usize = 2 << 20;

/// One UDP socket.
#[derive(Debug)]
pub(super) struct Datagrams {
    socket: UdpSocket,
    local: SocketAddr,
    /// What the kernel had to drop when we last heard of it.
    dropped: AtomicU32,
}

/// A datagram in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Received {
    /// Octets.
    pub(super) count: usize,
    /// Whence.
    pub(super) from: SocketAddr,
    /// When the kernel took it, by the wall clock.
    pub(super) stamp: Option<SystemTime>,
}

/// What the kernel says beside a datagram.
#[repr(align(8))]
struct Control([u8; 128]);

impl Datagrams {
    pub(super) fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = socket(addr, Type::DGRAM, Protocol::UDP)?;
        // The system gives as much as it allows.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        let _ = socket.set_send_buffer_size(SEND_BUFFER);
        unreachable::hear(&socket, addr.is_ipv4());
        // Without them nothing is known of the queue, and nothing dropped for it.
        let _ = (setsockopt(&socket, ReceiveTimestampns, &true), setsockopt(&socket, RxqOvfl, &1));
        socket.bind(&addr.into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        let local = socket.local_addr()?;
        Ok(Self { socket, local, dropped: AtomicU32::new(0) })
    }

    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }

    pub(super) fn mark(&self, dscp: u8) {
        mark(&SockRef::from(&self.socket), self.local.is_ipv4(), dscp);
    }

    /// The next datagram, if one is there; else the task is woken by one.
    pub(super) fn poll_receive(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Received> {
        loop {
            if ready!(self.socket.poll_recv_ready(cx)).is_err() {
                return Poll::Pending; // the runtime goes down
            }
            if let Ok(Some(received)) = self.socket.try_io(Interest::READABLE, || self.receive(buffer)) {
                return Poll::Ready(received);
            }
            // What an ICMP message says about one peer is no fault of the socket.
        }
    }

    /// `None`: what came has no address we understand.
    fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Received>> {
        let mut control = Control([0; 128]);
        let mut into = [IoSliceMut::new(buffer)];
        let fd = self.socket.as_raw_fd();
        let got = recvmsg::<SockaddrStorage>(fd, &mut into, Some(&mut control.0), MsgFlags::MSG_DONTWAIT)?;
        let mut stamp = None;
        for said in got.cmsgs().into_iter().flatten() {
            match said {
                ControlMessageOwned::ScmTimestampns(at) => {
                    stamp = SystemTime::UNIX_EPOCH.checked_add(Duration::from(at));
                }
                ControlMessageOwned::RxqOvfl(all) => {
                    let before = self.dropped.swap(all, Ordering::Relaxed);
                    metrics::sip_kernel_dropped(u64::from(all.wrapping_sub(before)));
                }
                _ => {}
            }
        }
        let from = got.address.as_ref().and_then(address);
        Ok(from.map(|from| Received { count: got.bytes, from, stamp }))
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

/// An address of the system's as ours; none when it is of another family.
pub(super) fn address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|address| SocketAddr::V4((*address).into()));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| SocketAddr::V6((*address).into())))
}

/// How long datagrams lay in the queue. The kernel stamps them by the wall clock; when that has jumped, nothing is
/// said for a while, for a jump must drop no call (reliability R-120).
#[derive(Debug)]
pub(super) struct Queue {
    last: (Instant, SystemTime),
    doubted_until: Instant,
}

/// How long stamps of before a jump may come up.
const DOUBT: Duration = Duration::from_secs(5);
/// By how much the two clocks may differ between two looks, besides a hundredth.
const SLACK: Duration = Duration::from_millis(100);

impl Queue {
    pub(super) fn new(now: Instant, wall: SystemTime) -> Self {
        Self { last: (now, wall), doubted_until: now }
    }

    /// How long a datagram of that stamp waited until now; zero when nobody can tell.
    pub(super) fn waited(&mut self, now: Instant, wall: SystemTime, stamp: Option<SystemTime>) -> Duration {
        let (since, was) = std::mem::replace(&mut self.last, (now, wall));
        let gone = now.saturating_duration_since(since);
        let jumped = match wall.duration_since(was) {
            Ok(told) => told.abs_diff(gone),
            Err(back) => back.duration() + gone,
        };
        if jumped > SLACK + gone / 100 {
            self.doubted_until = now + DOUBT;
        }
        match stamp {
            Some(stamp) if now >= self.doubted_until => wall.duration_since(stamp).unwrap_or_default(),
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn a_datagram_waited_since_its_stamp_and_a_jump_of_the_clock_is_no_wait() {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let mut queue = Queue::new(now, wall);
        assert_eq!(queue.waited(now + MS(700), wall + MS(700), Some(wall + MS(100))), MS(600));
        assert_eq!(queue.waited(now + MS(701), wall + MS(701), Some(wall + MS(900))), Duration::ZERO);
        assert_eq!(queue.waited(now + MS(702), wall + MS(702), None), Duration::ZERO);
        // an hour forward, in the middle of a queue
        let hour = Duration::from_secs(3600);
        assert_eq!(queue.waited(now + MS(703), wall + hour, Some(wall + MS(702))), Duration::ZERO);
        assert_eq!(queue.waited(now + MS(704), wall + hour + MS(1), Some(wall + MS(703))), Duration::ZERO);
        let later = MS(704) + DOUBT;
        assert_eq!(queue.waited(now + later, wall + hour + MS(1) + DOUBT, Some(wall + hour + MS(1))), DOUBT);
        // back again
        assert_eq!(queue.waited(now + later + MS(1), wall, Some(wall - hour)), Duration::ZERO);
        assert_eq!(queue.waited(now + later + MS(2), wall + MS(1), Some(wall - hour)), Duration::ZERO);
    }

    #[test]
    fn a_quiet_hour_is_no_jump() {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let mut queue = Queue::new(now, wall);
        let hour = Duration::from_secs(3600);
        assert_eq!(queue.waited(now + hour, wall + hour + MS(900), Some(wall + hour)), MS(900));
    }

    #[tokio::test]
    async fn the_kernel_stamps_what_it_takes() {
        let ours = Datagrams::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let before = SystemTime::now();
        let theirs = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        theirs.send_to(b"OPTIONS", ours.local()).unwrap();
        let mut buffer = [0; 100];
        let got = std::future::poll_fn(|cx| ours.poll_receive(cx, &mut buffer)).await;
        assert_eq!((got.count, got.from), (7, theirs.local_addr().unwrap()));
        assert_eq!(&buffer[..7], b"OPTIONS");
        assert!(got.stamp.is_some_and(|stamp| stamp >= before - MS(100)), "{got:?}");
    }
}
