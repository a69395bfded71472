//! RTP sockets of the configured range, each with that of its RTCP one port above: bound at random, given back by being dropped, at rest before they are
//! used again.
#![allow(clippy::disallowed_methods)] // a port's rest is real time: this file is part of the engine's shell

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use super::Config;
use crate::ids::Entropy;

/// Rest of a port after use: late packets of the last call meet nobody.
const REST: Duration = Duration::from_secs(10);
/// More datagrams than a socket's buffer holds.
const BACKLOG: usize = 4096;
/// Ports others hold that are passed over for one reservation.
const TRIES: usize = 16;
/// One port in so many is kept back: below it new calls are refused while those up may still change.
const KEPT_BACK: usize = 50;

/// An interface may come or go: what the system says of our addresses is asked anew after so long.
const FRESH: Duration = Duration::from_secs(5);
/// Peers whose facing address is kept; when there are more, all are asked anew.
const PEERS: usize = 1024;

/// Why there is no RTP port.
#[derive(Debug, thiserror::Error)]
pub enum NoPort {
    /// All are in use or at rest, but for those kept back.
    #[error("{free} of {total} RTP ports are free: the range is used up")]
    Reserve {
        /// Free now.
        free: usize,
        /// In the range.
        total: usize,
    },
    /// The system did not give one.
    #[error("no RTP port could be bound on {address}: {cause}")]
    Bind {
        /// Where.
        address: IpAddr,
        /// Why, of the last that was tried.
        cause: io::Error,
    },
}

/// An RTP socket and its RTCP socket that are ours alone. Dropping it gives the port back, after its rest.
#[derive(Debug)]
pub struct Reservation {
    local: SocketAddr,
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    socket: UdpSocket,
    /// On the port above it.
    beside: UdpSocket,
    range: Arc<Range>,
}

impl Reservation {
    /// Where the peer is to send: what stands in the SDP but for the advertised address.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Throws away what came before anybody was to listen: RTP from before our answer (sip-trunk.md section 7).
    pub(super) fn hush(&self) {
        let mut octet = [0]; // the rest of a datagram goes with it
        for socket in [self.socket(), self.socket_beside()].into_iter().flatten() {
            for _ in 0..BACKLOG {
                match socket.recv(&mut octet) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Ok(_) | Err(_) => {} // an ICMP error of theirs
                }
            }
        }
    }

    /// An address without a socket, for simulated calls.
    pub fn simulated(local: SocketAddr) -> Self {
        Self { local, held: None }
    }

    /// The socket; none when simulated.
    pub(super) fn socket(&self) -> Option<&UdpSocket> {
        self.held.as_ref().map(|held| &held.socket)
    }

    /// The one beside it, for RTCP.
    pub(super) fn socket_beside(&self) -> Option<&UdpSocket> {
        self.held.as_ref().map(|held| &held.beside)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(Held { socket, beside, range }) = self.held.take() {
            drop((socket, beside));
            range.rest(self.local.port(), Instant::now());
        }
    }
}

/// The configured range of ports.
#[derive(Debug)]
pub(super) struct Range {
    total: usize,
    bind: Option<IpAddr>,
    dscp: u8,
    pool: Mutex<Pool>,
    /// Our addresses by the peers they face, and since when that is known.
    facing: Mutex<HashMap<IpAddr, (IpAddr, Instant)>>,
}

#[derive(Debug)]
struct Pool {
    free: Vec<u16>,
    /// Oldest first.
    resting: VecDeque<(Instant, u16)>,
    entropy: Entropy,
}

impl Range {
    /// The even ports of the range that have their odd one in it, all free.
    pub(super) fn new(config: &Config) -> Self {
        let free: Vec<u16> = config
            .ports
            .clone()
            .filter(|&port| port % 2 == 0 && port != 0 && port < *config.ports.end())
            .collect();
        Self {
            total: free.len(),
            bind: config.bind,
            dscp: config.dscp,
            pool: Mutex::new(Pool { free, resting: VecDeque::new(), entropy: Entropy::from_os() }),
            facing: Mutex::default(),
        }
    }

    /// Ports of the range.
    pub(super) fn total(&self) -> usize {
        self.total
    }

    /// Those that may be taken at once.
    pub(super) fn free(&self) -> usize {
        self.pool().awake(Instant::now())
    }

    /// A socket on one of them that faces `peer`.
    pub(super) fn reserve(self: &Arc<Self>, peer: IpAddr) -> Result<Reservation, NoPort> {
        let address =
            self.facing(peer, Instant::now()).map_err(|cause| NoPort::Bind { address: peer, cause })?;
        let mut last = None;
        for _ in 0..TRIES {
            let Some(port) = self.take(Instant::now()) else { break };
            let bind = |port| bind(SocketAddr::new(address, port), self.dscp);
            match bind(port).and_then(|socket| Ok((socket, bind(port + 1)?))) {
                Ok((socket, beside)) => {
                    let local = SocketAddr::new(address, port);
                    let held = Held { socket, beside, range: Arc::clone(self) };
                    return Ok(Reservation { local, held: Some(held) });
                }
                Err(cause) => {
                    self.rest(port, Instant::now()); // somebody else's for now
                    self.faces().remove(&peer); // or the address is not ours any more
                    last = Some(cause);
                }
            }
        }
        match last {
            Some(cause) => Err(NoPort::Bind { address, cause }),
            None => Err(NoPort::Reserve { free: self.free(), total: self.total }),
        }
    }

    fn take(&self, now: Instant) -> Option<u16> {
        let mut pool = self.pool();
        let free = pool.awake(now);
        if free <= self.total / KEPT_BACK {
            return None;
        }
        let at = pool.entropy.below(u32::try_from(free).ok()?) as usize;
        Some(pool.free.swap_remove(at))
    }

    fn rest(&self, port: u16, now: Instant) {
        self.pool().resting.push_back((now + REST, port));
    }

    /// The configured address where it is of the peer's family, else the one the system would send from.
    fn facing(&self, peer: IpAddr, now: Instant) -> io::Result<IpAddr> {
        if let Some(bind) =
            self.bind.filter(|bind| bind.is_ipv4() == peer.is_ipv4() && !bind.is_unspecified())
        {
            return Ok(bind);
        }
        if let Some((ours, since)) = self.faces().get(&peer).copied()
            && now.saturating_duration_since(since) < FRESH
        {
            return Ok(ours);
        }
        let any: IpAddr =
            if peer.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let probe = UdpSocket::bind((any, 0))?;
        probe.connect((peer, 9))?; // sends nothing
        let ours = probe.local_addr()?.ip();
        let mut faces = self.faces();
        if faces.len() >= PEERS {
            faces.clear();
        }
        faces.insert(peer, (ours, now));
        Ok(ours)
    }

    fn faces(&self) -> MutexGuard<'_, HashMap<IpAddr, (IpAddr, Instant)>> {
        self.facing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    /// Lets those rise that have rested; the number of free ones.
    fn awake(&mut self, now: Instant) -> usize {
        while let Some((until, port)) = self.resting.front().copied()
            && until <= now
        {
            self.resting.pop_front();
            self.free.push(port);
        }
        self.free.len()
    }
}

fn bind(local: SocketAddr, dscp: u8) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    let class = u32::from(dscp) << 2;
    // A mark the system refuses costs quality of service on the way, not the call.
    let _ = if local.is_ipv4() { socket.set_tos_v4(class) } else { socket.set_tclass_v6(class) };
    socket.bind(&local.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(ports: std::ops::RangeInclusive<u16>) -> Arc<Range> {
        Arc::new(Range::new(&Config {
            cores: Vec::new(),
            realtime: false,
            ports,
            bind: None,
            dscp: 46,
            jitter_max: Duration::from_millis(200),
        }))
    }

    #[test]
    fn a_port_is_even_and_faces_its_peer() {
        let range = range(36_000..=36_099);
        let port = range.reserve(Ipv4Addr::LOCALHOST.into()).expect("a port");
        assert_eq!((port.local().ip(), port.local().port() % 2), (Ipv4Addr::LOCALHOST.into(), 0));
        let tos = socket2::SockRef::from(port.socket().expect("bound")).tos_v4().expect("readable");
        assert_eq!(tos, 46 << 2);
    }

    fn beside(local: SocketAddr) -> SocketAddr {
        SocketAddr::new(local.ip(), local.port() + 1)
    }

    #[test]
    fn the_port_above_is_held_for_rtcp_and_given_back_with_it() {
        let port = range(36_400..=36_499).reserve(Ipv4Addr::LOCALHOST.into()).expect("a port");
        let above = port.socket_beside().expect("bound").local_addr().expect("bound");
        assert_eq!(above, beside(port.local()));
        assert!(UdpSocket::bind(above).is_err(), "it is taken");
        drop(port);
        assert!(UdpSocket::bind(above).is_ok());
    }

    #[test]
    fn a_port_whose_neighbour_is_taken_is_passed_over() {
        let range = range(36_500..=36_503);
        let _neighbour = UdpSocket::bind((Ipv4Addr::LOCALHOST, 36_501)).expect("free");
        let port = range.reserve(Ipv4Addr::LOCALHOST.into()).expect("the other one");
        assert_eq!((port.local().port(), range.total()), (36_502, 2));
    }

    #[test]
    fn an_even_port_at_the_end_has_no_neighbour_and_is_none() {
        assert_eq!(range(36_600..=36_602).total(), 1);
        assert_eq!(range(65_534..=65_535).total(), 1);
    }

    #[test]
    fn what_came_too_early_is_thrown_away() {
        let port = range(36_300..=36_399).reserve(Ipv4Addr::LOCALHOST.into()).expect("a port");
        let peer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        for to in [port.local(), beside(port.local()), port.local()] {
            peer.send_to(&[0; 172], to).expect("loopback takes it");
        }
        port.hush();
        for socket in [port.socket(), port.socket_beside()] {
            let left = socket.expect("bound").recv(&mut [0; 172]).map_err(|error| error.kind());
            assert_eq!(left, Err(io::ErrorKind::WouldBlock));
        }
    }

    #[test]
    fn a_port_given_back_rests_before_it_is_used_again() {
        let range = range(36_100..=36_101);
        let port = range.reserve(Ipv4Addr::LOCALHOST.into()).expect("a port");
        assert!(matches!(
            range.reserve(Ipv4Addr::LOCALHOST.into()),
            Err(NoPort::Reserve { free: 0, total: 1 })
        ));
        drop(port);
        assert_eq!(range.free(), 0);
        let later = Instant::now() + REST;
        assert_eq!(range.pool().awake(later), 1);
    }

    #[test]
    fn a_share_of_the_range_is_kept_back() {
        let range = range(36_200..=36_399);
        let now = Instant::now();
        let taken = std::iter::from_fn(|| range.take(now)).count();
        assert_eq!((taken, range.free()), (98, 2));
    }
}
