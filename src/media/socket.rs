//! How a media core reads and writes its sockets: one `epoll` a core, which tells what has come once, and the bell by
//! which its courier calls it. Nothing here waits but `wait`.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Sockets told at once; more are told at the next look.
const READY: usize = 256;
/// Errors passed over to come to a datagram.
const TRIES: usize = 8;
/// Room for one: more than any RTP packet we take (1600 octets of payload), so that a longer one is seen as such.
const DATAGRAM: usize = 2048;
/// Token of the courier's bell.
const BELL: u64 = u64::MAX;

/// A file descriptor that wakes whoever waits for it.
pub(super) fn event_fd() -> io::Result<EventFd> {
    Ok(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?)
}

/// The same for a task: to be called on its runtime.
pub(super) fn watch(fd: Arc<EventFd>) -> io::Result<AsyncFd<Arc<EventFd>>> {
    // SAFETY: an eventfd is one descriptor for its whole life, and the `AsyncFd` owns a share of it, so that it stays
    // open for as long as it is watched.
    let watched = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    watched.map_err(|refused| refused.into_parts().1)
}

/// The sockets of one core.
pub(super) struct Poll {
    epoll: Epoll,
    bell: Arc<EventFd>,
    events: Box<[EpollEvent; READY]>,
}

impl Poll {
    /// No sockets; `bell` ends a wait.
    pub(super) fn new(bell: Arc<EventFd>) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&*bell, EpollEvent::new(EpollFlags::EPOLLIN, BELL))?;
        Ok(Self { epoll, bell, events: Box::new([EpollEvent::empty(); READY]) })
    }

    /// Watches a socket; `token` is told when something has come, and not again for what is left unread.
    pub(super) fn add(&self, socket: &UdpSocket, token: u64) -> io::Result<()> {
        Ok(self.epoll.add(socket, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, token))?)
    }

    /// Watches it no longer.
    pub(super) fn remove(&self, socket: &UdpSocket) {
        // It fails only for a socket that is not watched, which is what is asked for.
        let _ = self.epoll.delete(socket);
    }

    /// Readable when a socket has something or the bell is rung.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }

    /// Tokens of the sockets that have something now; quiets the bell.
    pub(super) fn ready(&mut self) -> impl Iterator<Item = u64> + use<'_> {
        let found = self.epoll.wait(&mut self.events[..], EpollTimeout::ZERO).unwrap_or(0);
        let events = &self.events[..found];
        if events.iter().any(|event| event.data() == BELL) {
            let _ = self.bell.read(); // WouldBlock: quiet already
        }
        events.iter().map(EpollEvent::data).filter(|&token| token != BELL)
    }
}

/// Waits until one of these is readable, at most two, or so long.
pub(super) fn wait(fds: &[BorrowedFd<'_>], at_most: Option<Duration>) {
    let Some(&first) = fds.first() else { return };
    let second = fds.get(1).copied().unwrap_or(first);
    let mut polled = [first, second].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    // `epoll_wait` knows milliseconds only, which would put the grid off by up to one. An interrupted wait is a short one:
    // the worker looks and waits again.
    let _ = ppoll(&mut polled[..fds.len().min(2)], at_most.map(TimeSpec::from_duration), None);
}

/// Room for a datagram.
pub(super) struct Inbox(Box<[u8; DATAGRAM]>);

impl Inbox {
    /// Empty.
    pub(super) fn new() -> Self {
        Self(Box::new([0; DATAGRAM]))
    }

    /// The next datagram the socket has, and its source; nothing: it is empty.
    ///
    /// One a system call: sockets mostly have one, and a call for many at once costs as much (`bench/sockets.rs`).
    pub(super) fn read(&mut self, socket: &UdpSocket) -> Option<(SocketAddr, &[u8])> {
        // An ICMP answer to what was sent is reported once, before what has come.
        let mut tries = (0..TRIES).map(|_| socket.recv_from(&mut self.0[..]));
        let told = |read: &io::Result<_>| match read {
            Ok(_) => true,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        let (length, mut from) = tries.find(told)?.ok()?;
        if let SocketAddr::V6(from) = &mut from {
            from.set_flowinfo(0); // the sender's whim: it must not make two sources of one
        }
        Some((from, &self.0[..length]))
    }
}

/// Sends one datagram; false: the kernel did not take it.
pub(super) fn send(socket: &UdpSocket, to: SocketAddr, bytes: &[u8]) -> bool {
    loop {
        match socket.send_to(bytes, to) {
            Ok(_) => return true,
            // An ICMP answer to an earlier packet is reported instead of this one being sent: once more, then.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(host: &str) -> (UdpSocket, UdpSocket) {
        let bind = || {
            let socket = UdpSocket::bind((host, 0)).expect("a port");
            socket.set_nonblocking(true).expect("a socket of ours");
            socket
        };
        (bind(), bind())
    }

    #[test]
    fn a_burst_is_read_whole_and_in_order_with_its_source() {
        for host in ["127.0.0.1", "::1"] {
            let (here, there) = pair(host);
            for n in 0..11_u8 {
                assert!(send(&there, here.local_addr().expect("bound"), &[n; 100]));
            }
            let (mut inbox, mut got) = (Inbox::new(), Vec::new());
            while let Some((from, bytes)) = inbox.read(&here) {
                assert_eq!((from, bytes.len()), (there.local_addr().expect("bound"), 100));
                got.push(bytes[0]);
            }
            assert_eq!(got, (0..11).collect::<Vec<_>>());
        }
    }

    #[test]
    fn sockets_and_the_bell_end_a_wait() {
        let bell = Arc::new(event_fd().expect("a descriptor"));
        let mut poll = Poll::new(Arc::clone(&bell)).expect("epoll");
        let (here, there) = pair("127.0.0.1");
        poll.add(&here, 7).expect("watched");
        wait(&[poll.fd()], Some(Duration::ZERO));
        assert_eq!(poll.ready().count(), 0);
        bell.write(1).expect("rung");
        wait(&[poll.fd()], None);
        assert_eq!(poll.ready().count(), 0, "the bell is no socket");
        assert!(send(&there, here.local_addr().expect("bound"), b"x"));
        wait(&[poll.fd()], None);
        assert_eq!(poll.ready().collect::<Vec<_>>(), [7]);
        poll.remove(&here);
        assert_eq!(poll.ready().count(), 0);
    }
}
