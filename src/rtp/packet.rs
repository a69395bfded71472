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

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Packet<'_> = Packet {
        payload_type: 8,
        marker: true,
        seq: 65_535,
        timestamp: 0xFFFF_FF60,
        ssrc: Ssrc(0x8000_0001),
        payload: &[0xD5; 160],
    };

    #[test]
    fn what_is_written_is_read() {
        let mut out = [0; MAX_PACKET];
        let n = PLAIN.write(&mut out).unwrap();
        assert_eq!(n, 172);
        assert_eq!(out[..4], [0x80, 0x88, 0xFF, 0xFF]);
        assert_eq!(Packet::read(&out[..n]), Ok(PLAIN));
    }

    #[test]
    fn what_cannot_be_written_is_not() {
        assert_eq!(PLAIN.write(&mut [0; 171]), None);
        assert_eq!(Packet { payload_type: 128, ..PLAIN }.write(&mut [0; 200]), None);
    }

    #[test]
    fn padding_csrcs_and_extension_are_left_out() {
        let header = [0xB2, 0x00, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        let csrcs = [9; 8];
        let extension = [0xBE, 0xDE, 0, 1, 1, 2, 3, 4];
        let datagram = [&header[..], &csrcs, &extension, b"audio", &[0, 0, 3]].concat();
        let packet = Packet::read(&datagram).unwrap();
        assert_eq!((packet.payload, packet.marker, packet.seq), (&b"audio"[..], false, 1));
        // Cut off anywhere inside the header it is refused, whatever then stands for padding.
        for n in 0..header.len() + csrcs.len() + extension.len() {
            assert!(Packet::read(&datagram[..n]).is_err(), "{n} octets");
        }
    }

    #[test]
    fn lengths_that_do_not_agree_are_refused() {
        let mut datagram = [0; 20];
        datagram[0] = 0xA0;
        assert_eq!(Packet::read(&datagram), Err(Malformed::Padding(0)));
        datagram[19] = 9;
        assert_eq!(Packet::read(&datagram), Err(Malformed::Padding(9)));
        datagram[19] = 8;
        assert_eq!(Packet::read(&datagram).map(|packet| packet.payload.len()), Ok(0));
        datagram[0] = 0x90;
        datagram[14..16].copy_from_slice(&[0, 2]);
        assert_eq!(Packet::read(&datagram), Err(Malformed::Short(20)));
        datagram[0] = 0x8F;
        assert_eq!(Packet::read(&datagram), Err(Malformed::Short(20)));
        assert_eq!(Packet::read(&[0x80; 11]), Err(Malformed::Short(11)));
    }

    #[test]
    fn what_is_not_rtp_is_known_as_such() {
        assert_eq!(Packet::read(&[0x00; 20]), Err(Malformed::Version(0)));
        assert_eq!(Packet::read(&[0x16; 20]), Err(Malformed::Version(0)));
        let mut rtcp = [0; 28];
        (rtcp[0], rtcp[1]) = (0x80, 200);
        assert_eq!(Packet::read(&rtcp), Err(Malformed::Rtcp));
        assert!(is_rtcp(&rtcp) && is_rtcp(&rtcp[..2]) && !is_rtcp(&rtcp[..1]));
        // A marker with payload type 0 is 128: no RTCP.
        rtcp[1] = 0x80;
        assert!(Packet::read(&rtcp).is_ok());
    }

    #[test]
    fn more_than_200_ms_are_refused() {
        let mut datagram = vec![0; HEADER + MAX_PAYLOAD + 1];
        datagram[0] = 0x80;
        assert_eq!(Packet::read(&datagram), Err(Malformed::TooLong(1601)));
        datagram.pop();
        assert_eq!(Packet::read(&datagram).map(|packet| packet.payload.len()), Ok(1600));
    }
}
