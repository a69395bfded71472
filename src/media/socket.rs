//! How a media core reads and writes its sockets: one `epoll` a core, `recvmmsg` a socket that has something,
//! and the bell by which its courier calls it. Nothing here waits but `Poll::wait`.

use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Sockets told at once; more are told at the next look.
const READY: usize = 256;
/// Datagrams read by one call.
const BATCH: usize = 8;
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

/// What one call read.
pub(super) struct Inbox {
    datagrams: Box<[[u8; DATAGRAM]; BATCH]>,
    names: Box<[MaybeUninit<libc::sockaddr_storage>; BATCH]>,
    /// Source and length of each that was read.
    read: [Option<(SocketAddr, usize)>; BATCH],
}

impl Inbox {
    /// Empty.
    pub(super) fn new() -> Self {
        Self {
            datagrams: Box::new([[0; DATAGRAM]; BATCH]),
            names: Box::new([const { MaybeUninit::zeroed() }; BATCH]),
            read: [None; BATCH],
        }
    }

    /// Reads what the socket has, up to one batch, in place of what was read before. True: there may be more.
    pub(super) fn read(&mut self, socket: &UdpSocket) -> bool {
        let mut pieces = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; BATCH];
        // SAFETY: mmsghdr is plain data, for which all zeroes is a valid value (null pointers, zero lengths).
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
        for (at, header) in headers.iter_mut().enumerate() {
            pieces[at] = libc::iovec { iov_base: self.datagrams[at].as_mut_ptr().cast(), iov_len: DATAGRAM };
            header.msg_hdr.msg_iov = &raw mut pieces[at];
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_name = self.names[at].as_mut_ptr().cast();
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        }
        // SAFETY: `headers` has BATCH entries; each points to one iovec in `pieces` over DATAGRAM bytes of
        // `datagrams` and to one whole sockaddr_storage in `names`, all of which outlive the call.
        let read = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let read = Errno::result(read).map_or(0, |read| usize::try_from(read).unwrap_or(0)).min(BATCH);
        self.read = [None; BATCH];
        for (at, header) in headers.iter().enumerate().take(read) {
            let length = (header.msg_len as usize).min(DATAGRAM);
            // SAFETY: the storage began as zeroes and the kernel only writes to it, so it is initialised.
            let name = unsafe { self.names[at].assume_init_ref() };
            self.read[at] = source(name, header.msg_hdr.msg_namelen).map(|from| (from, length));
        }
        read == BATCH
    }

    /// What was read, in order, each with its source.
    pub(super) fn datagrams(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        self.read.iter().zip(&self.datagrams[..]).filter_map(|(read, bytes)| {
            let (from, length) = (*read)?;
            Some((from, &bytes[..length]))
        })
    }
}

fn source(name: &libc::sockaddr_storage, length: libc::socklen_t) -> Option<SocketAddr> {
    match libc::c_int::from(name.ss_family) {
        libc::AF_INET if length as usize >= size_of::<libc::sockaddr_in>() => {
            // SAFETY: the family says the kernel wrote a sockaddr_in, which fits and is aligned in the storage.
            let v4 = unsafe { &*std::ptr::from_ref(name).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddr::new(ip.into(), u16::from_be(v4.sin_port)))
        }
        libc::AF_INET6 if length as usize >= size_of::<libc::sockaddr_in6>() => {
            // SAFETY: the family says the kernel wrote a sockaddr_in6, which fits and is aligned in the storage.
            let v6 = unsafe { &*std::ptr::from_ref(name).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            // The flow label is the sender's whim; it must not make two sources of one.
            Some(SocketAddrV6::new(ip, u16::from_be(v6.sin6_port), 0, v6.sin6_scope_id).into())
        }
        _ => None,
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
        let bind = || UdpSocket::bind((host, 0)).expect("a port");
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
            for more in [true, false, false] {
                assert_eq!(inbox.read(&here), more);
                got.extend(inbox.datagrams().map(|(from, bytes)| {
                    assert_eq!((from, bytes.len()), (there.local_addr().expect("bound"), 100));
                    bytes[0]
                }));
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
