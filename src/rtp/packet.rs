//! RTP packets as they stand on the wire (RFC 3550 §5.1), over `rtp-rs`: read without copying, written into
//! a fixed buffer.

use rtp_rs::{RtpPacketBuilder, RtpReader, RtpReaderError, Seq};

use crate::units::Ssrc;

/// The longest payload taken: 200 ms of G.711 (reliability R-44).
pub const MAX_PAYLOAD: usize = 1600;

/// Octets of the header we write.
pub const HEADER: usize = 12;

/// A buffer that holds any packet we send.
pub const MAX_PACKET: usize = HEADER + MAX_PAYLOAD;

/// Payload type of comfort noise at 8000 Hz (RFC 3389 §4).
pub const COMFORT_NOISE: u8 = 13;

/// A packet that was read: every length checked, padding, CSRCs and extension left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// 0..=127.
    pub payload_type: u8,
    /// The marker bit.
    pub marker: bool,
    /// Sequence number as on the wire.
    pub seq: u16,
    /// Timestamp as on the wire.
    pub timestamp: u32,
    /// Who sent it.
    pub ssrc: Ssrc,
    /// What it carries; may be empty.
    pub payload: &'a [u8],
}

/// Why a datagram is no RTP packet of ours (reliability ).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Shorter than its own header says.
    #[error("{0} octets are shorter than their RTP header")]
    Short(usize),
    /// Not version 2: STUN, DTLS or anything else.
    #[error("RTP version {0}")]
    Version(u8),
    /// RTCP on the RTP port (RFC 5761 §4).
    #[error("RTCP on the RTP port")]
    Rtcp,
    /// Padding longer than the packet.
    #[error("padding of {0} octets")]
    Padding(u8),
    /// More payload than 200 ms.
    #[error("payload of {0} octets")]
    TooLong(usize),
}

impl<'a> Packet<'a> {
    /// Reads a datagram.
    ///
    /// # Errors
    /// When it is not RTP, or its lengths do not agree.
    pub fn read(datagram: &'a [u8]) -> Result<Self, Malformed> {
        let reader = RtpReader::new(datagram).map_err(|why| match why {
            RtpReaderError::BufferTooShort(n) => Malformed::Short(n),
            RtpReaderError::UnsupportedVersion(v) => Malformed::Version(v),
            RtpReaderError::HeadersTruncated { .. } => Malformed::Short(datagram.len()),
            RtpReaderError::PaddingLengthInvalid(n) => Malformed::Padding(n),
        })?;
        if is_rtcp(datagram) {
            return Err(Malformed::Rtcp);
        }
        let payload = reader.payload();
        if payload.len() > MAX_PAYLOAD {
            return Err(Malformed::TooLong(payload.len()));
        }
        Ok(Self {
            payload_type: reader.payload_type(),
            marker: reader.mark(),
            seq: reader.sequence_number().into(),
            timestamp: reader.timestamp(),
            ssrc: Ssrc(reader.ssrc()),
            payload,
        })
    }

    /// Writes the packet; how many octets it has, or nothing when `out` is too short or the payload type
    /// is above 127.
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        RtpPacketBuilder::new()
            .payload_type(self.payload_type)
            .marked(self.marker)
            .sequence(Seq::from(self.seq))
            .timestamp(self.timestamp)
            .ssrc(self.ssrc.0)
            .payload(self.payload)
            .build_into(out)
            .ok()
    }
}

/// Whether a datagram is RTCP: second octet 192..=223 (RFC 5761 §4).
pub fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [first, 192..=223, ..] if first >> 6 == 2)
}
