//! Packets of one call that wait to be taken, one behind the other: room for what they are, not for the longest.

use std::net::SocketAddr;

use super::PortId;
use super::port::rtp::Outgoing;

/// Packets of one run of an ordinary call: its audio, and a report at times.
const PACKETS: usize = 2;
/// Their octets: audio of 20 ms, under SRTP, and a report. More make room once.
const OCTETS: usize = 400;

/// A packet without its octets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parcel {
    pub(super) port: PortId,
    pub(super) to: SocketAddr,
    /// It leaves by the socket of RTCP.
    pub(super) beside: bool,
    /// Where its octets end.
    end: usize,
}

/// What waits.
#[derive(Debug)]
pub(super) struct Parcels {
    parcels: Vec<Parcel>,
    octets: Vec<u8>,
    /// Packets of the above that are taken.
    taken: usize,
}

impl Parcels {
    /// None.
    pub(super) fn new() -> Self {
        Self { parcels: Vec::with_capacity(PACKETS), octets: Vec::with_capacity(OCTETS), taken: 0 }
    }

    /// One more, from this port.
    pub(super) fn push(&mut self, port: PortId, packet: &Outgoing) {
        self.octets.extend_from_slice(&packet.bytes[..packet.length]);
        let end = self.octets.len();
        self.parcels.push(Parcel { port, to: packet.to, beside: packet.beside, end });
    }

    /// The next; after the last the room is free again.
    pub(super) fn next(&mut self) -> Option<(Parcel, &[u8])> {
        let Some(&parcel) = self.parcels.get(self.taken) else {
            self.parcels.clear();
            self.octets.clear();
            self.taken = 0;
            return None;
        };
        let begin = match self.taken {
            0 => 0,
            taken => self.parcels[taken - 1].end,
        };
        self.taken += 1;
        Some((parcel, &self.octets[begin..parcel.end]))
    }
}
