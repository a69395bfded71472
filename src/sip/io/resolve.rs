//! Which of our addresses faces a peer: what a listener on all addresses has to say in Contact and Via.
#![allow(clippy::disallowed_methods)] // part of the shell

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::unspecified;

/// Answers kept; when there are more, all are asked anew.
const KEPT: usize = 4096;
/// An interface may come or go.
const FRESH: Duration = Duration::from_secs(30);

/// Our addresses by the peers they face.
#[derive(Debug, Default)]
pub(super) struct Facing {
    known: HashMap<IpAddr, (IpAddr, Instant)>,
}

impl Facing {
    /// `listener` as `peer` knows it: the same, unless it listens on all addresses. Absent when there is no
    /// way to the peer.
    pub(super) fn local(&mut self, listener: SocketAddr, peer: IpAddr) -> Option<SocketAddr> {
        if !listener.ip().is_unspecified() {
            return Some(listener);
        }
        let now = Instant::now();
        if let Some((ours, since)) = self.known.get(&peer)
            && now.duration_since(*since) < FRESH
        {
            return Some(SocketAddr::new(*ours, listener.port()));
        }
        let ours = facing(peer)?;
        if self.known.len() >= KEPT {
            self.known.clear();
        }
        self.known.insert(peer, (ours, now));
        Some(SocketAddr::new(ours, listener.port()))
    }
}

/// The address the system would send from: a connected UDP socket knows it, and nothing is sent.
fn facing(peer: IpAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind(unspecified(peer.is_ipv4())).ok()?;
    socket.connect((peer, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_loopback_to_loopback() {
        let mut facing = Facing::default();
        let peer = "127.0.0.1".parse().unwrap();
        assert_eq!(facing.local("0.0.0.0:5060".parse().unwrap(), peer), "127.0.0.1:5060".parse().ok());
        assert_eq!(facing.local("0.0.0.0:5070".parse().unwrap(), peer), "127.0.0.1:5070".parse().ok());
        assert_eq!(facing.local("192.0.2.1:5060".parse().unwrap(), peer), "192.0.2.1:5060".parse().ok());
        assert_eq!(facing.known.len(), 1);
    }
}
