//! RTCP compound packets as they stand on the wire (RFC 3550 §6.1), reports over the `rtcp` crate.
//!
//! What we do not ask for is never parsed: of a stranger's packet only the lengths are believed, and those only when
//! they fit. Extended reports (RFC 3611), feedback, APP and unknown types are stepped over.

use rtcp::goodbye::Goodbye;
use rtcp::receiver_report::ReceiverReport;
use rtcp::reception_report::ReceptionReport;
use rtcp::sender_report::SenderReport;
use rtcp::source_description::{SdesType, SourceDescription, SourceDescriptionChunk, SourceDescriptionItem};
use webrtc_util::marshal::{Marshal, Unmarshal};

use crate::rtp::packet::is_rtcp;
use crate::rtp::receiver::Report;
use crate::units::Ssrc;

/// Room for anything we send: SR with one block, SDES and BYE.
pub const MAX_REPORT: usize = 128;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const GOODBYE: u8 = 203;
/// Octets of a packet's header with the SSRC of its sender.
const HEAD: usize = 8;

/// Why a datagram is no RTCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not version 2, or of a type that is RTP's (RFC 5761 §4).
    #[error("no RTCP of version 2")]
    Foreign,
    /// Its first packet is longer than the datagram, or has no sender.
    #[error("{0} octets are shorter than their RTCP packet")]
    Short(usize),
}

/// What a compound packet said that matters to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Who sent it.
    pub sender: Ssrc,
    /// Of its sender report: the middle 32 bits of the NTP time stamp.
    pub sent_at: Option<u32>,
    /// What it says of us.
    pub block: Option<Block>,
    /// It takes its leave. No reason to end anything: the signalling does that.
    pub bye: bool,
}

/// A reception report on what we send (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Lost since the report before, in 1/256.
    pub fraction_lost: u8,
    /// Lost altogether; negative when packets came twice.
    pub cumulative_lost: i32,
    /// Highest number received, with its cycles.
    pub highest_seq: u32,
    /// Interarrival jitter in samples.
    pub jitter: u32,
    /// The last sender report of ours it had, 0: none.
    pub last_report: u32,
    /// Since then, in 1/65536 s.
    pub delay: u32,
}

/// Reads a datagram; `us` is whom a block must be about. A tail that is no RTCP is passed over.
///
/// # Errors
/// When the first packet is no RTCP.
pub fn read(datagram: &[u8], us: Ssrc) -> Result<Heard, Malformed> {
    let (first, _) = packet(datagram)?;
    if !is_rtcp(first) {
        return Err(Malformed::Foreign);
    }
    let sender = sender(first).ok_or(Malformed::Short(datagram.len()))?;
    let mut heard = Heard { sender, sent_at: None, block: None, bye: false };
    let mut rest = datagram;
    while let Ok((one, behind)) = packet(rest) {
        heard.hear(one, us);
        rest = behind;
    }
    Ok(heard)
}

impl Heard {
    fn hear(&mut self, mut packet: &[u8], us: Ssrc) {
        let ours = |reports: &[ReceptionReport]| reports.iter().find(|report| report.ssrc == us.0).map(block);
        match packet.get(1) {
            Some(&SENDER_REPORT) => {
                let Ok(report) = SenderReport::unmarshal(&mut packet) else { return };
                self.sender = Ssrc(report.ssrc);
                self.sent_at = Some((report.ntp_time >> 16) as u32);
                self.block = ours(&report.reports).or(self.block);
            }
            Some(&RECEIVER_REPORT) => {
                let Ok(report) = ReceiverReport::unmarshal(&mut packet) else { return };
                self.block = ours(&report.reports).or(self.block);
            }
            Some(&GOODBYE) => self.bye = true,
            Some(_) | None => {}
        }
    }
}

/// The first packet of a datagram, and what stands behind it.
fn packet(datagram: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let &[first, _, high, low, ..] = datagram else { return Err(Malformed::Short(datagram.len())) };
    if first >> 6 != 2 {
        return Err(Malformed::Foreign);
    }
    let length = (usize::from(u16::from_be_bytes([high, low])) + 1) * 4;
    datagram.split_at_checked(length).ok_or(Malformed::Short(datagram.len()))
}

fn sender(packet: &[u8]) -> Option<Ssrc> {
    let ssrc = packet.get(HEAD - 4..HEAD)?.try_into().ok()?;
    Some(Ssrc(u32::from_be_bytes(ssrc)))
}

fn block(report: &ReceptionReport) -> Block {
    Block {
        fraction_lost: report.fraction_lost,
        // 24 bits, signed.
        cumulative_lost: (report.total_lost << 8) as i32 >> 8,
        highest_seq: report.last_sequence_number,
        jitter: report.jitter,
        last_report: report.last_sender_report,
        delay: report.delay,
    }
}

/// What we have sent, for a sender report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Wall clock, 32.32 bits.
    pub ntp: u64,
    /// The same moment on the clock of our packets.
    pub rtp: u32,
    /// Packets under our SSRC.
    pub packets: u32,
    /// Their octets of payload.
    pub octets: u32,
}

/// What we have to say.
#[derive(Clone, Copy, Debug)]
pub struct Say<'a> {
    /// Who we are.
    pub us: Ssrc,
    /// Our canonical name.
    pub name: &'a str,
    /// A sender report; absent: a receiver report.
    pub sent: Option<Sent>,
    /// On whom we hear, with LSR and DLSR.
    pub block: Option<(Report, u32, u32)>,
    /// We take our leave.
    pub bye: bool,
}

/// Writes a compound packet; its length, or nothing when `out` is too short.
pub fn write(say: &Say<'_>, out: &mut [u8]) -> Option<usize> {
    let reports = say.block.into_iter().map(reception).collect();
    let mut length = match say.sent {
        Some(sent) => SenderReport {
            ssrc: say.us.0,
            ntp_time: sent.ntp,
            rtp_time: sent.rtp,
            packet_count: sent.packets,
            octet_count: sent.octets,
            reports,
            ..SenderReport::default()
        }
        .marshal_to(out),
        None => ReceiverReport { ssrc: say.us.0, reports, ..ReceiverReport::default() }.marshal_to(out),
    }
    .ok()?;
    let name = SourceDescriptionItem { sdes_type: SdesType::SdesCname, text: say.name.to_owned().into() };
    let chunk = SourceDescriptionChunk { source: say.us.0, items: vec![name] };
    length += SourceDescription { chunks: vec![chunk] }.marshal_to(out.get_mut(length..)?).ok()?;
    if say.bye {
        let bye = Goodbye { sources: vec![say.us.0], ..Goodbye::default() };
        length += bye.marshal_to(out.get_mut(length..)?).ok()?;
    }
    Some(length)
}

fn reception((report, last_report, delay): (Report, u32, u32)) -> ReceptionReport {
    ReceptionReport {
        ssrc: report.ssrc.0,
        fraction_lost: report.fraction_lost,
        total_lost: report.cumulative_lost as u32 & 0xFF_FFFF,
        last_sequence_number: report.highest_seq,
        jitter: report.jitter,
        last_sender_report: last_report,
        delay,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const US: Ssrc = Ssrc(0xBC5E_9A40);

    /// A receiver report of a browser, with what else stands in such a compound: SDES, BYE, picture loss.
    const RECEIVED: &[u8] = &[
        0x81, 0xC9, 0, 7, 0x90, 0x2F, 0x9E, 0x2E, 0xBC, 0x5E, 0x9A, 0x40, 0x20, 0xFF, 0xFF, 0xFE, 0, 0, 0x46,
        0xE1, 0, 0, 1, 0x11, 0x09, 0xF3, 0x64, 0x32, 0, 2, 0x4A, 0x79, // RR
        0x81, 0xCF, 0, 2, 0x90, 0x2F, 0x9E, 0x2E, 4, 0, 0, 0, // XR
        0x81, 0xCB, 0, 1, 0x90, 0x2F, 0x9E, 0x2E, // BYE
        0x81, 0xDF, 0, 0, // of a type nobody knows
    ];

    fn say(sent: bool, bye: bool) -> Say<'static> {
        let report =
            Report { ssrc: Ssrc(9), fraction_lost: 64, cumulative_lost: -3, highest_seq: 70_000, jitter: 80 };
        let sent = sent.then_some(Sent { ntp: 0x1122_3344_5566_7788, rtp: 1600, packets: 10, octets: 1600 });
        Say { us: US, name: "0123456789abcdef01234567", sent, block: Some((report, 5, 6)), bye }
    }

    #[test]
    fn a_report_about_us_is_found_among_what_is_stepped_over() {
        let heard = read(RECEIVED, US).expect("RTCP");
        let block = Block {
            fraction_lost: 32,
            cumulative_lost: -2,
            highest_seq: 0x46E1,
            jitter: 273,
            last_report: 0x09F3_6432,
            delay: 150_137,
        };
        assert_eq!(heard, Heard { sender: Ssrc(0x902F_9E2E), sent_at: None, block: Some(block), bye: true });
        assert_eq!(read(RECEIVED, Ssrc(1)).map(|heard| heard.block), Ok(None), "about somebody else");
    }

    #[test]
    fn a_sender_report_is_written_and_read() {
        for bye in [false, true] {
            let mut out = [0; MAX_REPORT];
            let n = write(&say(true, bye), &mut out).expect("it fits");
            assert_eq!((n % 4, out[0], out[1]), (0, 0x81, 200));
            let heard = read(&out[..n], Ssrc(9)).expect("RTCP");
            assert_eq!((heard.sender, heard.sent_at, heard.bye), (US, Some(0x3344_5566), bye));
            let block = heard.block.expect("about them");
            assert_eq!((block.cumulative_lost, block.last_report, block.delay), (-3, 5, 6));
            // RFC 3550 §6.5: the name is there, and it is all that is told of us.
            let sdes = &out[28 + 24..];
            assert_eq!(
                (sdes[1], sdes[8], sdes[9], &sdes[10..34]),
                (202, 1, 24, &b"0123456789abcdef01234567"[..])
            );
        }
    }

    #[test]
    fn who_has_sent_nothing_writes_a_receiver_report() {
        let mut out = [0; MAX_REPORT];
        let n = write(&Say { block: None, ..say(false, false) }, &mut out).expect("it fits");
        assert_eq!((&out[..4], n), (&[0x80, 201, 0, 1][..], 8 + 36));
        assert_eq!(write(&say(true, true), &mut [0; 60]), None);
    }

    #[test]
    fn what_is_no_rtcp_is_refused() {
        assert_eq!(read(&[0; 28], US), Err(Malformed::Foreign));
        // An RTP packet whose number reads like a length.
        assert_eq!(read(&[&[0x80, 0, 0, 5][..], &[0; 30]].concat(), US), Err(Malformed::Foreign));
        assert_eq!(read(&RECEIVED[..31], US), Err(Malformed::Short(31)));
        assert_eq!(read(&[0x80, 203, 0, 0], US), Err(Malformed::Short(4)), "it has no sender");
        // More blocks than the packet has room for.
        let mut lying = RECEIVED[..32].to_vec();
        lying[0] = 0x9F;
        assert_eq!(read(&lying, US).map(|heard| heard.block), Ok(None));
    }

    proptest! {
        #[test]
        fn nothing_that_comes_is_too_strange(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0..100_usize, kind in 199..=210_u8
        ) {
            let _ = read(&bytes, US);
            if let Some(head) = bytes.get_mut(..4) {
                (head[0], head[1], head[2], head[3]) = (0x80 | head[0] & 0x3F, kind, 0, head[3] % 60);
            }
            let _ = read(&bytes, US);
            let mut bent = RECEIVED.to_vec();
            let at = at % bent.len();
            bent[at] = bytes.first().copied().unwrap_or(0xFF);
            let _ = read(&bent, US);
        }
    }
}
