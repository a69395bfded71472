//! The RTCP side of an RTP port: reports in and out, the leave, and how the call is rated (sip-trunk.md 11.4).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::super::super::RtpCounts;
use super::{Outgoing, RtpPort};
use crate::rtp::latch::Verdict;
use crate::rtp::rtcp::compound;
use crate::rtp::srtp::Refused;

impl RtpPort {
    /// Takes a datagram of RTCP in: from its own socket, or, `muxed`, from that of RTP. One on the socket that was not
    /// agreed on is passed over.
    pub(in crate::media) fn rtcp(&mut self, now: Instant, from: SocketAddr, bytes: &[u8], muxed: bool) {
        if muxed != self.spec.rtcp_mux {
            return;
        }
        if !self.control.considers(now, from, muxed, &self.peer) {
            self.counts.foreign += 1;
            return;
        }
        let heard = match &mut self.guard {
            None => compound::read(bytes, self.sender.ssrc()),
            Some(guard) => match guard.receiving.open_rtcp(now, bytes) {
                Ok(opened) => compound::read(&opened, self.sender.ssrc()),
                Err(refused) => return self.refuse(refused),
            },
        };
        let Ok(heard) = heard else {
            self.counts.malformed += 1;
            return;
        };
        match self.control.accept(now, from, heard.sender, muxed, &self.peer) {
            Verdict::Take => {}
            Verdict::Learning => return,
            Verdict::Foreign => {
                self.counts.foreign += 1;
                return;
            }
        }
        self.last_in = now;
        self.silent = false;
        self.control.hear(now, &heard, &self.sender);
    }

    pub(super) fn refuse(&mut self, refused: Refused) {
        match refused {
            Refused::Unauthentic => self.counts.unauthentic += 1,
            Refused::Replayed => self.counts.replayed += 1,
        }
    }

    /// A report of ours, when it is due; on hold too.
    pub(in crate::media) fn report(&mut self, now: Instant) -> Option<Outgoing> {
        let Self { control, spec, peer, sender, receiver, .. } = self;
        let mut packet = Outgoing::new(peer.target(), !spec.rtcp_mux);
        let (length, to) = control.report(now, spec, peer, sender, receiver, &mut packet.bytes)?;
        self.seal_rtcp(packet, length, to)
    }

    /// Our leave.
    pub(in crate::media) fn farewell(&mut self, now: Instant) -> Option<Outgoing> {
        let Self { control, spec, peer, sender, receiver, .. } = self;
        let mut packet = Outgoing::new(peer.target(), !spec.rtcp_mux);
        let (length, to) = control.farewell(now, spec, peer, sender, receiver, &mut packet.bytes)?;
        self.seal_rtcp(packet, length, to)
    }

    fn seal_rtcp(&mut self, mut packet: Outgoing, length: usize, to: SocketAddr) -> Option<Outgoing> {
        packet.to = to;
        packet.length = match &mut self.guard {
            Some(guard) => guard.sending.protect_rtcp(&mut packet.bytes, length)?,
            None => length,
        };
        Some(packet)
    }

    /// The same when all is over, and how it is to be rated.
    pub(in crate::media) fn last_counts(&self) -> RtpCounts {
        let mut counts = self.counts();
        let ptime = Duration::from_millis(self.spec.ptime_ms.into());
        self.control.rate(&mut counts, &self.receiver.totals(), ptime);
        counts
    }
}
