//! The shell of signalling: sockets, connections and the clock. It decides nothing; it carries what the
//! endpoint says to the wire, and what the wire says to the endpoint.
//!
//! ```text
//!  UDP sockets ───────────────┐                    ┌─► UDP sockets (what does not fit now is lost)
//!  connections ─ bounded ─────┼─► drive: Endpoint ─┼─► connections, each with a bounded outbox
//!  commands ───── bounded ────┘     one task       └─► events
//! ```

mod connections;
mod drive;
mod handshakes;
mod lookup;
mod resolve;
mod stream;
#[cfg(test)]
mod tests;
mod tls;
mod udp;
mod unreachable;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use super::Transport;
use super::hop::Hop;
pub use connections::Limits;
pub use drive::drive;
pub use tls::{Tls, TlsError, TlsFiles};
use udp::Datagrams;

/// Connections waiting to be accepted.
const BACKLOG: i32 = 1024;
/// Differentiated services code point of signalling, CS3.
const CS3: u8 = 24;

/// An address to listen on; printed as `udp://0.0.0.0:5060`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// How.
    pub transport: Transport,
    /// Port 0 takes a free one. `[::]` is IPv6 only.
    pub addr: SocketAddr,
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.transport.as_str(), self.addr)
    }
}

/// Sockets that listen.
#[derive(Debug)]
pub struct Sockets {
    udp: Vec<Datagrams>,
    streams: Vec<(TcpListener, Listen)>,
    tls: Option<Tls>,
    dscp: u8,
    nameservers: Vec<SocketAddr>,
    limits: Limits,
}

impl Sockets {
    /// Opens them all, or none; without TLS. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// As `bind_with`.
    pub fn bind(listen: &[Listen]) -> io::Result<Self> {
        Self::bind_with(listen, None)
    }

    /// Opens them all, or none. Must be called within a tokio runtime. A clone of `tls` that is kept replaces its
    /// certificates while these sockets are open.
    ///
    /// # Errors
    /// An address is taken or not ours, and which; TLS is listened for without a certificate.
    pub fn bind_with(listen: &[Listen], tls: Option<Tls>) -> io::Result<Self> {
        let mut sockets = Self {
            udp: Vec::new(),
            streams: Vec::new(),
            tls,
            dscp: CS3,
            nameservers: Vec::new(),
            limits: Limits::default(),
        };
        for at in listen {
            let named = |error: io::Error| io::Error::new(error.kind(), format!("{at}: {error}"));
            sockets.open(*at).map_err(named)?;
        }
        sockets.set_dscp(CS3);
        Ok(sockets)
    }

    fn open(&mut self, at: Listen) -> io::Result<()> {
        if at.transport == Transport::Udp {
            self.udp.push(Datagrams::bind(at.addr)?);
            return Ok(());
        }
        if at.transport == Transport::Tls && self.tls.as_ref().and_then(Tls::acceptor).is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "TLS needs a certificate and its key"));
        }
        let (listener, addr) = listen_tcp(at.addr)?;
        self.streams.push((listener, Listen { transport: at.transport, addr }));
        Ok(())
    }

    /// How many connections there may be, and for how long.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Marks what we send, 0..=63. A system that does not let us is no fault.
    pub fn set_dscp(&mut self, dscp: u8) {
        self.dscp = dscp & 63;
        for datagrams in &self.udp {
            datagrams.mark(self.dscp);
        }
    }

    /// Names of targets are looked up there in place of the system's name servers.
    pub fn set_nameservers(&mut self, nameservers: Vec<SocketAddr>) {
        self.nameservers = nameservers;
    }

    /// What they listen on, with the ports that were taken.
    pub fn local_addrs(&self) -> Vec<Listen> {
        let udp =
            self.udp.iter().map(|datagrams| Listen { transport: Transport::Udp, addr: datagrams.local() });
        udp.chain(self.streams.iter().map(|(_, listen)| *listen)).collect()
    }
}

/// Is told of each message on the wire.
pub type Trace = Arc<dyn Fn(Traced<'_>) + Send + Sync>;

/// One message on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Traced<'a> {
    /// Sent by us; else received.
    pub sent: bool,
    /// How and between whom.
    pub hop: Hop,
    /// The message.
    pub bytes: &'a [u8],
    /// When.
    pub at: Instant,
}

fn listen_tcp(addr: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = socket(addr, Type::STREAM, Protocol::TCP)?;
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from_std(socket.into())?;
    let local = listener.local_addr()?;
    Ok((listener, local))
}

/// A socket that does not block. IPv6 sockets carry IPv6 only, so that both families can have one port.
fn socket(addr: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), kind, Some(protocol))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Writes the code point into the traffic class of what the socket sends.
fn mark(socket: &socket2::SockRef<'_>, ipv4: bool, dscp: u8) {
    let class = u32::from(dscp) << 2;
    // Refused in some sandboxes; the packets then go unmarked.
    let _ = if ipv4 { socket.set_tos_v4(class) } else { socket.set_tclass_v6(class) };
}

fn unspecified(ipv4: bool) -> SocketAddr {
    if ipv4 { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() }
}
