//! Where media is sent and from whom it is taken: latching done safely (sip-trunk section 11.3,
//! reliability R-40, R-41).
//!
//! ```text
//!             3 rising packets of one SSRC, from whom we may learn, inside a window
//!   SDP only ───────────────────────────────────────────────────────────────────► learned ◄─┐
//!       ▲                                                                            │      │ 2 s silent, then 3 rising
//!       └──────────────────────── SDP with another address or port ──────────────────┴──────┘ of its IP and SSRC
//! ```

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use ipnet::IpNet;

use crate::units::{SeqNum, Ssrc};

/// After each SDP answer another source may teach us for so long.
const WINDOW: Duration = Duration::from_secs(5);
/// Until the first packet it may for so long after the call began.
const FIRST_WINDOW: Duration = Duration::from_secs(60);
/// A learned source that is silent for so long may have moved.
const MOVED: Duration = Duration::from_secs(2);
/// Packets that teach.
const RISING: u8 = 3;

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
    /// Its source may become the peer's, and is not yet: dropped, not counted as foreign.
    Learning,
    /// Not of this call: dropped and counted.
    Foreign,
}

/// Knows where the peer is.
#[derive(Clone, Debug)]
pub struct Peer {
    latch: Latch,
    /// What the SDP says.
    remote: SocketAddr,
    began: Instant,
    answered: Instant,
    /// A packet was taken in this call.
    taken: bool,
    learned: Option<Learned>,
    /// The SDP's own address on its way to being learned.
    own: Option<Candidate>,
    /// Another one on its way.
    other: Option<Candidate>,
}

#[derive(Clone, Copy, Debug)]
struct Learned {
    from: SocketAddr,
    ssrc: Ssrc,
    heard: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    from: SocketAddr,
    ssrc: Ssrc,
    highest: SeqNum,
    rising: u8,
}

impl Peer {
    /// The call begins with an SDP that names `remote`.
    pub fn new(now: Instant, remote: SocketAddr, latch: Latch) -> Self {
        let remote = plain(remote);
        Self { latch, remote, began: now, answered: now, taken: false, learned: None, own: None, other: None }
    }

    /// Another SDP came or went. An address of 0.0.0.0, a port of 0 and an unchanged address reset nothing.
    pub fn answered(&mut self, now: Instant, remote: SocketAddr, latch: Latch) {
        let remote = plain(remote);
        self.latch = latch;
        self.answered = now;
        if remote != self.remote && !remote.ip().is_unspecified() && remote.port() != 0 {
            self.remote = remote;
            (self.learned, self.own, self.other) = (None, None, None);
        }
    }

    /// Judges a packet. `pt_ok`: its payload type was negotiated (with SRTP: and it was authentic); one that
    /// is not teaches nothing.
    pub fn accept(&mut self, now: Instant, from: SocketAddr, ssrc: Ssrc, seq: u16, pt_ok: bool) -> Verdict {
        let from = plain(from);
        let verdict = match self.learned {
            Some(learned) => self.accept_learned(now, learned, from, ssrc, seq, pt_ok),
            None if from == self.remote => {
                if pt_ok && rises(&mut self.own, from, ssrc, seq) {
                    self.learn(now, from, ssrc);
                }
                Verdict::Take
            }
            None if self.open(now) && self.may_teach(from.ip()) => self.hear(now, from, ssrc, seq, pt_ok),
            None => Verdict::Foreign,
        };
        self.taken |= pt_ok && verdict == Verdict::Take;
        verdict
    }

    /// Whether a packet of this source could be anything but foreign. Asking changes nothing: it spares the cipher.
    pub fn considers(&self, now: Instant, from: SocketAddr) -> bool {
        let from = plain(from);
        match self.learned {
            Some(learned) if from == learned.from => true,
            Some(learned) => self.moved(now, &learned) && from.ip() == learned.from.ip(),
            None => from == self.remote || self.open(now) && self.may_teach(from.ip()),
        }
    }

    /// Whether this is where we know the peer to be.
    pub fn is_at(&self, from: SocketAddr) -> bool {
        plain(from) == self.target()
    }

    /// What was learned.
    pub fn learned(&self) -> Option<SocketAddr> {
        Some(self.learned?.from)
    }

    /// Where media goes. Nowhere, while its address is unspecified or its port 0.
    pub fn target(&self) -> SocketAddr {
        self.learned.map_or(self.remote, |learned| learned.from)
    }

    fn accept_learned(
        &mut self,
        now: Instant,
        learned: Learned,
        from: SocketAddr,
        ssrc: Ssrc,
        seq: u16,
        pt_ok: bool,
    ) -> Verdict {
        if from == learned.from {
            if pt_ok {
                self.learned = Some(Learned { from, ssrc, heard: now });
                self.other = None;
            }
            return Verdict::Take;
        }
        let same = from.ip() == learned.from.ip() && ssrc == learned.ssrc;
        if same && self.moved(now, &learned) {
            return self.hear(now, from, ssrc, seq, pt_ok);
        }
        Verdict::Foreign
    }

    /// A source that may teach.
    fn hear(&mut self, now: Instant, from: SocketAddr, ssrc: Ssrc, seq: u16, pt_ok: bool) -> Verdict {
        if !pt_ok {
            return Verdict::Foreign;
        }
        if !rises(&mut self.other, from, ssrc, seq) {
            return Verdict::Learning;
        }
        self.learn(now, from, ssrc);
        Verdict::Take
    }

    fn learn(&mut self, now: Instant, from: SocketAddr, ssrc: Ssrc) {
        self.learned = Some(Learned { from, ssrc, heard: now });
        (self.own, self.other) = (None, None);
    }

    /// The learned source may have moved.
    fn moved(&self, now: Instant, learned: &Learned) -> bool {
        let silent = now.saturating_duration_since(learned.heard) >= MOVED;
        silent && self.latch.mode != LatchMode::Strict
    }

    fn open(&self, now: Instant) -> bool {
        let since = |then| now.saturating_duration_since(then);
        since(self.answered) < WINDOW || !self.taken && since(self.began) < FIRST_WINDOW
    }

    fn may_teach(&self, ip: IpAddr) -> bool {
        match self.latch.mode {
            LatchMode::Strict => false,
            LatchMode::Any => true,
            LatchMode::Auto => {
                ip == self.remote.ip()
                    || ip == self.latch.signalling.to_canonical()
                    || self.latch.networks.iter().any(|network| network.contains(&ip))
            }
        }
    }
}

/// Counts a packet; whether the source has now sent as many rising ones as teach.
fn rises(candidate: &mut Option<Candidate>, from: SocketAddr, ssrc: Ssrc, seq: u16) -> bool {
    let known = candidate.filter(|known| known.from == from && known.ssrc == ssrc);
    let next = match known {
        Some(known) => {
            let number = known.highest.nearest(seq);
            // One that comes twice or out of order neither helps nor harms.
            let rises = number > known.highest;
            Candidate { highest: known.highest.max(number), rising: known.rising + u8::from(rises), ..known }
        }
        None => Candidate { from, ssrc, highest: SeqNum::first(seq), rising: 1 },
    };
    *candidate = Some(next);
    next.rising >= RISING
}

/// An IPv4 address that a dual-stack socket shows as IPv6 is the same address.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a test begins now
mod tests {
    use super::Verdict::{Foreign, Learning, Take};
    use super::*;

    const SDP: &str = "192.0.2.1:4000";
    const NATTED: &str = "192.0.2.1:61000";
    const SIGNALLING: &str = "198.51.100.5:20000";
    const STRANGER: &str = "203.0.113.9:4000";

    struct World {
        now: Instant,
        peer: Peer,
    }

    fn latch(mode: LatchMode) -> Latch {
        let networks = vec!["10.1.0.0/16".parse().unwrap()];
        Latch { mode, signalling: "198.51.100.5".parse().unwrap(), networks }
    }

    fn world(mode: LatchMode) -> World {
        let now = Instant::now();
        World { now, peer: Peer::new(now, SDP.parse().unwrap(), latch(mode)) }
    }

    impl World {
        fn send(&mut self, from: &str, ssrc: u32, packets: impl IntoIterator<Item = u16>) -> Vec<Verdict> {
            let from = from.parse().unwrap();
            packets.into_iter().map(|seq| self.peer.accept(self.now, from, Ssrc(ssrc), seq, true)).collect()
        }

        fn wait(&mut self, ms: u64) {
            self.now += Duration::from_millis(ms);
        }

        fn sdp(&mut self, remote: &str) {
            self.peer.answered(self.now, remote.parse().unwrap(), latch(LatchMode::Auto));
        }

        fn target(&self) -> String {
            self.peer.target().to_string()
        }
    }

    #[test]
    fn strict_knows_the_sdp_address_only() {
        let mut w = world(LatchMode::Strict);
        assert_eq!(w.send(NATTED, 1, 0..4), [Foreign; 4]);
        assert_eq!(w.send(SDP, 1, 0..4), [Take; 4]);
        w.wait(3000);
        assert_eq!(w.send(NATTED, 1, 4..9), [Foreign; 5]);
        assert_eq!(w.target(), SDP);
    }

    #[test]
    fn three_rising_packets_teach_and_shut_the_others_out() {
        for source in [NATTED, SIGNALLING, "10.1.200.3:9"] {
            let mut w = world(LatchMode::Auto);
            assert_eq!(
                w.send(source, 1, [65_535, 65_535, 65_534, 0, 1]),
                [Learning, Learning, Learning, Learning, Take]
            );
            assert_eq!(w.target(), source);
            assert_eq!(w.send(SDP, 1, 2..6), [Foreign; 4]);
        }
    }

    #[test]
    fn a_stranger_teaches_nothing_unless_anyone_may() {
        let mut w = world(LatchMode::Auto);
        assert_eq!(w.send(STRANGER, 1, 0..9), [Foreign; 9]);
        assert_eq!(w.target(), SDP);
        let mut w = world(LatchMode::Any);
        assert_eq!(w.send(STRANGER, 1, 0..3), [Learning, Learning, Take]);
        assert_eq!(w.target(), STRANGER);
    }

    #[test]
    fn an_ssrc_that_changes_begins_anew() {
        let mut w = world(LatchMode::Auto);
        w.send(NATTED, 1, 0..2);
        assert_eq!(w.send(NATTED, 2, 2..5), [Learning, Learning, Take]);
    }

    #[test]
    fn a_payload_type_that_was_not_negotiated_teaches_nothing() {
        let mut w = world(LatchMode::Auto);
        for seq in 0..9 {
            assert_eq!(w.peer.accept(w.now, NATTED.parse().unwrap(), Ssrc(1), seq, false), Foreign);
        }
        assert_eq!(w.send(NATTED, 1, 9..12), [Learning, Learning, Take]);
    }

    #[test]
    fn the_window_closes_after_5_s_but_waits_a_minute_for_the_first_packet() {
        let mut w = world(LatchMode::Auto);
        w.wait(59_000);
        assert_eq!(w.send(NATTED, 1, 0..3), [Learning, Learning, Take]);
        let mut w = world(LatchMode::Auto);
        w.wait(60_000);
        assert_eq!(w.send(NATTED, 1, 0..3), [Foreign; 3]);
        let mut w = world(LatchMode::Auto);
        w.send(SDP, 1, [0]);
        w.wait(5000);
        assert_eq!(w.send(NATTED, 1, 0..3), [Foreign; 3]);
        w.sdp(SDP);
        assert_eq!(w.send(NATTED, 1, 3..6), [Learning, Learning, Take]);
    }

    #[test]
    fn the_sdp_address_is_learned_like_any_other() {
        let mut w = world(LatchMode::Auto);
        assert_eq!(w.send(SDP, 1, 0..3), [Take; 3]);
        assert_eq!(w.send(NATTED, 2, 0..9), [Foreign; 9]);
    }

    #[test]
    fn a_rebound_nat_is_learned_after_2_s_from_the_same_address_and_ssrc() {
        let mut w = world(LatchMode::Auto);
        w.send(NATTED, 1, 0..3);
        w.wait(1999);
        assert_eq!(w.send("192.0.2.1:62000", 1, 3..6), [Foreign; 3]);
        w.wait(1);
        assert_eq!(w.send("192.0.2.1:62000", 2, 3..6), [Foreign; 3]);
        assert_eq!(w.send(SIGNALLING, 1, 3..6), [Foreign; 3]);
        assert_eq!(w.send("192.0.2.1:62000", 1, 3..6), [Learning, Learning, Take]);
        assert_eq!(w.target(), "192.0.2.1:62000");
    }

    #[test]
    fn only_an_sdp_that_changes_the_address_resets() {
        let mut w = world(LatchMode::Auto);
        w.send(NATTED, 1, 0..3);
        for remote in [SDP, "0.0.0.0:4000", "192.0.2.1:0", "[::]:4000"] {
            w.sdp(remote);
            assert_eq!(w.target(), NATTED, "{remote}");
        }
        w.sdp("192.0.2.1:4002");
        assert_eq!(w.target(), "192.0.2.1:4002");
        assert_eq!(w.send("192.0.2.1:4002", 1, 3..5), [Take; 2]);
    }

    #[test]
    fn what_is_asked_beforehand_is_never_stricter_than_the_verdict() {
        let sources =
            [SDP, NATTED, SIGNALLING, STRANGER, "192.0.2.1:62000"].map(|from| from.parse().unwrap());
        for mode in [LatchMode::Strict, LatchMode::Auto, LatchMode::Any] {
            let mut w = world(mode);
            for step in 0..400_u32 {
                let from = sources[(step.wrapping_mul(0x9E37_79B9) >> 16) as usize % 5];
                let considered = w.peer.considers(w.now, from);
                let verdict = w.peer.accept(w.now, from, Ssrc(step / 40), step as u16, true);
                assert!(considered || verdict == Foreign, "{mode:?}, step {step}: {from} {verdict:?}");
                w.wait(u64::from(step % 7) * 400);
                if step % 50 == 49 {
                    w.sdp(if step % 100 == 99 { SDP } else { NATTED });
                }
            }
        }
    }

    #[test]
    fn a_mapped_address_is_the_same_address() {
        let mut w = world(LatchMode::Strict);
        assert_eq!(w.send("[::ffff:192.0.2.1]:4000", 1, [0]), [Take]);
    }
}
