//! RTCP of one port: whom it is taken from and where it goes (sip-trunk.md 11.3, 11.4).

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::super::{RtcpTold, RtpCounts, RtpSpec};
use crate::audio::mos::{Line, mos};
use crate::ids::{Entropy, Seed};
use crate::rtp::latch::{Peer, Verdict};
use crate::rtp::receiver::{Receiver, Totals};
use crate::rtp::rtcp::{Heard, Session, WallClock};
use crate::rtp::sender::Sender;
use crate::units::Ssrc;

/// Hexadecimal digits of the name: 96 random bits (RFC 7022 §5).
const NAME: usize = 24;

/// The RTCP side of a port.
#[derive(Debug)]
pub(in crate::media) struct Control {
    session: Session,
    /// Where RTCP is on its own port; it teaches only itself.
    peer: Peer,
    /// RTCP has no numbers that rise, so each packet is given one.
    heard: u16,
    chance: Seed,
}

impl Control {
    /// Of a port that begins now.
    pub(in crate::media) fn new(
        now: Instant,
        clock: WallClock,
        spec: &RtpSpec,
        chance: &mut Entropy,
    ) -> Self {
        let mut chance = chance.fork();
        let name = chance.token()[..NAME].to_owned();
        let session = Session::new(now, clock, name, chance.u32());
        let peer = Peer::new(now, said(spec), spec.latch.clone());
        Self { session, peer, heard: 0, chance: chance.seed() }
    }

    /// A new SDP.
    pub(in crate::media) fn change(&mut self, now: Instant, spec: &RtpSpec) {
        self.peer.answered(now, said(spec), spec.latch.clone());
    }

    /// Whether a datagram of this source could be the peer's, before it is looked into.
    pub(in crate::media) fn considers(
        &self,
        now: Instant,
        from: SocketAddr,
        muxed: bool,
        media: &Peer,
    ) -> bool {
        if muxed { media.is_at(from) } else { beside(media) == Some(from) || self.peer.considers(now, from) }
    }

    /// Judges an RTCP packet, which SRTCP has authenticated where it is used. On the socket of RTP it teaches nothing.
    pub(in crate::media) fn accept(
        &mut self,
        now: Instant,
        from: SocketAddr,
        sender: Ssrc,
        muxed: bool,
        media: &Peer,
    ) -> Verdict {
        if muxed {
            return if media.is_at(from) { Verdict::Take } else { Verdict::Foreign };
        }
        self.heard = self.heard.wrapping_add(1);
        let verdict = self.peer.accept(now, from, sender, self.heard, true);
        if beside(media) == Some(from) { Verdict::Take } else { verdict }
    }

    /// Where ours goes: learned, beside media that was found elsewhere than the SDP said, or what the SDP says.
    fn target(&self, spec: &RtpSpec, media: &Peer) -> Option<SocketAddr> {
        let target = if spec.rtcp_mux {
            media.target()
        } else if let Some(learned) = self.peer.learned() {
            learned
        } else if media.target().ip() != spec.remote.ip().to_canonical() || spec.rtcp.is_none() {
            beside(media)?
        } else {
            self.peer.target()
        };
        reachable(target).then_some(target)
    }

    /// Takes what the peer said.
    pub(in crate::media) fn hear(&mut self, now: Instant, heard: &Heard, sender: &Sender) {
        self.session.hear(now, heard, sender);
    }

    /// A report, when one is due and has somewhere to go: its length and whither.
    pub(in crate::media) fn report(
        &mut self,
        now: Instant,
        spec: &RtpSpec,
        media: &Peer,
        sender: &Sender,
        receiver: &mut Receiver,
        out: &mut [u8],
    ) -> Option<(usize, SocketAddr)> {
        if !self.session.is_due(now) {
            return None;
        }
        let target = self.target(spec, media)?;
        let length = self.session.report(now, self.chance.wake().u32(), sender, receiver, out)?;
        Some((length, target))
    }

    /// The last report, with BYE.
    pub(in crate::media) fn farewell(
        &mut self,
        now: Instant,
        spec: &RtpSpec,
        media: &Peer,
        sender: &Sender,
        receiver: &mut Receiver,
        out: &mut [u8],
    ) -> Option<(usize, SocketAddr)> {
        let target = self.target(spec, media)?;
        let length = self.session.bye(now, sender, receiver, out)?;
        Some((length, target))
    }

    /// What the peer told.
    pub(in crate::media) fn told(&self) -> Option<RtcpTold> {
        self.session.told().map(|told| RtcpTold {
            reports: told.reports,
            lost: told.lost,
            jitter_ms: f64::from(told.jitter) / 8.0,
            round_trip_ms: told.round_trip.map(|trip| trip.as_secs_f64() * 1000.0),
        })
    }

    /// How either direction would be rated by who listens: `mos_in` and `mos_out` of the counts.
    pub(in crate::media) fn rate(&self, counts: &mut RtpCounts, totals: &Totals, ptime: Duration) {
        let told = self.session.told();
        let trip = told.and_then(|told| told.round_trip).unwrap_or_default();
        // One way: half the round trip, a packet's time, and what a listener waits for stragglers.
        let delay = |jitter_ms: f64| trip / 2 + ptime + Duration::from_secs_f64(jitter_ms.max(0.0) * 2e-3);
        let came = totals.packets.saturating_sub(totals.duplicated);
        if came > 0 {
            let missed = (counts.lost + counts.late) as f64;
            let loss = missed / (came + counts.lost) as f64;
            // A run by chance has 1 / (1 - loss) packets (G.107 §3.5).
            let run = missed / totals.gaps.max(1) as f64;
            let line = Line { loss, burst: run * (1.0 - loss), delay: delay(counts.jitter_ms) };
            counts.mos_in = Some(mos(line));
        }
        counts.mos_out = told.filter(|told| told.of > 0).map(|told| {
            let loss = told.lost as f64 / told.of as f64;
            mos(Line { loss, burst: 1.0, delay: delay(f64::from(told.jitter) / 8.0) })
        });
    }
}

/// What the SDP says: its own attribute, or one port above media (RFC 3605, RFC 3550 §11).
fn said(spec: &RtpSpec) -> SocketAddr {
    let beside = SocketAddr::new(spec.remote.ip(), spec.remote.port().checked_add(1).unwrap_or(0));
    // Port 0 and no port above 65535 alike: nowhere.
    let beside = if spec.remote.port() == 0 { SocketAddr::new(beside.ip(), 0) } else { beside };
    spec.rtcp.unwrap_or(beside)
}

/// One port above where media is.
fn beside(media: &Peer) -> Option<SocketAddr> {
    let target = media.target();
    let port = target.port().checked_add(1).filter(|port| *port > 1)?;
    Some(SocketAddr::new(target.ip(), port))
}

/// Nothing is ever sent to an address that is nobody's.
pub(in crate::media) fn reachable(to: SocketAddr) -> bool {
    let everybody = |ip: IpAddr| ip.is_unspecified() || ip.is_multicast();
    to.port() != 0 && !everybody(to.ip())
}
