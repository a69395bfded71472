//! What ICMP says of places that our datagrams could not reach: the next target is tried without waiting.

use std::io::IoSliceMut;
use std::net::SocketAddr;
use std::os::fd::{AsFd, RawFd};

use nix::libc::{ECONNREFUSED, EHOSTUNREACH, ENETUNREACH};
use nix::sys::socket::sockopt::{Ipv4RecvErr, Ipv6RecvErr};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt};

use super::udp::address;

/// From now on the system keeps what ICMP says about what this socket sent. One that does not is no fault.
pub(super) fn hear(socket: &impl AsFd, ipv4: bool) {
    let _ =
        if ipv4 { setsockopt(socket, Ipv4RecvErr, &true) } else { setsockopt(socket, Ipv6RecvErr, &true) };
}

/// The next place that could not be reached; nothing when there is no more news.
pub(super) fn next(fd: RawFd) -> Option<SocketAddr> {
    loop {
        let (mut payload, mut control) = ([0; 1], nix::cmsg_space!([u8; 128]));
        let mut into = [IoSliceMut::new(&mut payload)];
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let got = recvmsg::<SockaddrStorage>(fd, &mut into, Some(&mut control), flags).ok()?;
        let gone = got.cmsgs().into_iter().flatten().any(|said| match said {
            ControlMessageOwned::Ipv4RecvErr(error, _) | ControlMessageOwned::Ipv6RecvErr(error, _) => {
                [ECONNREFUSED, EHOSTUNREACH, ENETUNREACH].contains(&(error.ee_errno as i32))
            }
            _ => false,
        });
        let place = got.address.as_ref().and_then(address);
        if let Some(place) = place.filter(|_| gone) {
            return Some(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn a_closed_port_of_this_host_is_named() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        hear(&socket, true);
        assert_eq!(next(socket.as_raw_fd()), None);
        socket.send_to(b"x", closed).unwrap(); // loopback: the answer is there when this returns
        assert_eq!(next(socket.as_raw_fd()), Some(closed));
        assert_eq!(next(socket.as_raw_fd()), None);
    }
}
