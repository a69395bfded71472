//! Where media is sent and from whom it is taken: latching done safely (sip-trunk section 11.3,
//! reliability ).

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use ipnet::IpNet;

use crate::units::Ssrc;

/// Who may teach us where the peer really is (sip-trunk section 11.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latch {
    /// How willing we are.
    pub mode: LatchMode,
    /// Source address of the signalling.
    pub signalling: IpAddr,
    /// Further networks (`media_peers`).
    pub networks: Vec<IpNet>,
}

/// `latch` of a trunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LatchMode {
    /// The SDP address and port only.
    Strict,
    /// SDP address, signalling address or `media_peers`, any port.
    #[default]
    Auto,
    /// Anyone.
    Any,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the peer's.
    Take,
    /// Its source may become the peer's, and is not yet: dropped, not counted.
    Learning,
    /// Not of this call: dropped and counted.
    Foreign,
}

/// Knows where the peer is.
#[derive(Clone, Debug)]
pub struct Peer {
    latch: Latch,
    remote: SocketAddr,
}

impl Peer {
    /// The call begins with an SDP that names `remote`.
    pub fn new(now: Instant, remote: SocketAddr, latch: Latch) -> Self {
        let _ = now;
        Self { latch, remote }
    }

    /// Another SDP came or went. An address of 0.0.0.0, a port of 0 and an unchanged address reset nothing.
    pub fn answered(&mut self, now: Instant, remote: SocketAddr, latch: Latch) {
        let _ = now;
        self.remote = remote;
        self.latch = latch;
    }

    /// Judges a packet. `pt_ok`: its payload type was negotiated (with SRTP: and it was authentic).
    pub fn accept(&mut self, now: Instant, from: SocketAddr, ssrc: Ssrc, seq: u16, pt_ok: bool) -> Verdict {
        let _ = (now, from, ssrc, seq, pt_ok, &self.latch);
        Verdict::Take
    }

    /// Where media goes.
    pub fn target(&self) -> SocketAddr {
        self.remote
    }
}
