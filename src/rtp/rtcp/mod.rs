//! RTCP of one session (RFC 3550 §6): when a report is due, what stands in it, what the peer's reports tell.
//!
//! A session of two: the interval is 5 s whatever the bandwidth, drawn anew from 2.5 to 7.5 s each time so that no two
//! ends fall into step (§6.2), half of that before the first.

pub mod compound;

use std::time::{Duration, Instant};

pub use compound::{Block, Heard, MAX_REPORT, Malformed};
use compound::{Say, Sent};

use super::receiver::Receiver;
use super::sender::Sender;
use crate::units::Ssrc;

/// Mean time between two reports.
const INTERVAL: Duration = Duration::from_secs(5);
/// Seconds from 1900, where NTP begins, to 1970.
const NTP_EPOCH: u64 = 2_208_988_800;
/// A round trip of more is none: a clock was set, or somebody plays.
const LONGEST_TRIP: Duration = Duration::from_secs(30);

/// The wall clock for whoever has `Instant`s only: read once, when the engine starts. A wall clock that is set later
/// is not followed, which RFC 3550 §6.4.1 allows: what matters is that differences are right.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    began: Instant,
    unix: Duration,
}

impl WallClock {
    /// At `began` so much had passed since 1970.
    pub const fn new(began: Instant, unix: Duration) -> Self {
        Self { began, unix }
    }

    /// NTP time, 32 bits of seconds and 32 of their parts.
    pub fn ntp(&self, now: Instant) -> u64 {
        let unix = self.unix + now.saturating_duration_since(self.began);
        let parts = (u64::from(unix.subsec_nanos()) << 32) / 1_000_000_000;
        (unix.as_secs().wrapping_add(NTP_EPOCH) << 32) | parts
    }
}

/// What the peer told of what we send.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Told {
    /// Reports with a block about us.
    pub reports: u64,
    /// Packets of ours it lost, altogether.
    pub lost: u64,
    /// Packets we had sent by its last report.
    pub of: u64,
    /// Its interarrival jitter at the last report, in samples.
    pub jitter: u32,
    /// Round trip by the last report that knew a report of ours.
    pub round_trip: Option<Duration>,
}

/// The RTCP of one session.
#[derive(Clone, Debug)]
pub struct Session {
    clock: WallClock,
    name: String,
    due: Instant,
    /// Packets we had sent when we last reported: whoever sent none since is a receiver only.
    reported: u64,
    /// Reports we sent.
    reports: u64,
    /// The peer's last sender report.
    last: Option<Last>,
    told: Option<Told>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    of: Ssrc,
    sent_at: u32,
    came: Instant,
}

impl Session {
    /// A session that begins now. `name`: random, it says nothing of the host (RFC 7022 §4.2); `chance`: when the first
    /// report is due.
    pub fn new(now: Instant, clock: WallClock, name: String, chance: u32) -> Self {
        let due = now + interval(chance) / 2;
        Self { clock, name, due, reported: 0, reports: 0, last: None, told: None }
    }

    /// Whether a report is due; the one question asked by the clock.
    pub fn is_due(&self, now: Instant) -> bool {
        self.due <= now
    }

    /// Writes the report that is due and draws the time of the next; its length.
    pub fn report(
        &mut self,
        now: Instant,
        chance: u32,
        sender: &Sender,
        receiver: &mut Receiver,
        out: &mut [u8],
    ) -> Option<usize> {
        self.due = now + interval(chance);
        self.write(now, sender, receiver, false, out)
    }

    /// Writes the last report, with our leave; nothing when we never sent a packet (RFC 3550 §6.3.7).
    pub fn bye(
        &mut self,
        now: Instant,
        sender: &Sender,
        receiver: &mut Receiver,
        out: &mut [u8],
    ) -> Option<usize> {
        let unheard = sender.packets() == 0 && self.reports == 0;
        if unheard { None } else { self.write(now, sender, receiver, true, out) }
    }

    fn write(
        &mut self,
        now: Instant,
        sender: &Sender,
        receiver: &mut Receiver,
        bye: bool,
        out: &mut [u8],
    ) -> Option<usize> {
        let spoke = sender.packets() > self.reported;
        self.reported = sender.packets();
        self.reports += 1;
        let (packets, octets) = sender.sent_as_this_source();
        // Counts wrap as the wire has them.
        let (packets, octets) = (packets as u32, octets as u32);
        let sent = spoke.then(|| Sent { ntp: self.clock.ntp(now), rtp: sender.timestamp(), packets, octets });
        let block = receiver.report().map(|report| {
            let last = self.last.filter(|last| last.of == report.ssrc);
            let (seen, delay) = last.map_or((0, 0), |last| (last.sent_at, short(now, last.came)));
            (report, seen, delay)
        });
        compound::write(&Say { us: sender.ssrc(), name: &self.name, sent, block, bye }, out)
    }

    /// Takes what the peer said; `sender` is us.
    pub fn hear(&mut self, now: Instant, heard: &Heard, sender: &Sender) {
        if let Some(sent_at) = heard.sent_at {
            self.last = Some(Last { of: heard.sender, sent_at, came: now });
        }
        let Some(block) = heard.block else { return };
        let told = self.told.get_or_insert_default();
        told.reports += 1;
        told.lost = u64::try_from(block.cumulative_lost).unwrap_or(0);
        told.of = sender.packets();
        told.jitter = block.jitter;
        if block.last_report != 0 {
            let arrived = (self.clock.ntp(now) >> 16) as u32;
            let units = arrived.wrapping_sub(block.last_report).wrapping_sub(block.delay);
            // Finer clocks than the peer's may make it a little less than nothing.
            let units = if units > u32::MAX - 0x1_0000 { 0 } else { units };
            let trip = Duration::from_nanos(u64::from(units) * 1_000_000_000 / 0x1_0000);
            told.round_trip = (trip <= LONGEST_TRIP).then_some(trip).or(told.round_trip);
        }
    }

    /// What it told so far.
    pub fn told(&self) -> Option<Told> {
        self.told
    }
}

/// 2.5 to 7.5 s.
fn interval(chance: u32) -> Duration {
    INTERVAL / 2 + INTERVAL.mul_f64(f64::from(chance) / f64::from(u32::MAX))
}

/// In 1/65536 s.
fn short(now: Instant, then: Instant) -> u32 {
    let since = now.saturating_duration_since(then).as_nanos();
    u32::try_from(since * 0x1_0000 / 1_000_000_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a test begins now
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// One end: what it sends is heard by the other.
    struct End {
        session: Session,
        sender: Sender,
        receiver: Receiver,
    }

    fn end(now: Instant, ssrc: u32, unix: u64) -> End {
        let clock = WallClock::new(now, Duration::from_secs(unix));
        End {
            session: Session::new(now, clock, "name".repeat(6), 0),
            sender: Sender::new(ssrc, 0, 0),
            receiver: Receiver::new(),
        }
    }

    impl End {
        fn speak(&mut self, now: Instant, to: &mut Self) {
            let mut out = [0; 400];
            let n = self.sender.audio(0, &[0xFF; 160], &mut out).expect("it fits");
            let packet = crate::rtp::Packet::read(&out[..n]).expect("RTP");
            to.receiver.push(now, packet.ssrc, packet.seq, packet.timestamp, 160, true);
        }

        fn report(&mut self, now: Instant) -> Vec<u8> {
            let mut out = [0; MAX_REPORT];
            let Self { session, sender, receiver } = self;
            let n = session.report(now, 0, sender, receiver, &mut out).expect("it fits");
            out[..n].to_vec()
        }

        fn hear(&mut self, now: Instant, bytes: &[u8]) {
            let heard = compound::read(bytes, self.sender.ssrc()).expect("RTCP");
            self.session.hear(now, &heard, &self.sender);
        }
    }

    #[test]
    fn the_round_trip_is_known_after_a_report_each_way_whatever_their_clocks_show() {
        let began = Instant::now();
        // Near the turn of the middle 32 bits, which comes every 18 hours.
        let (mut a, mut b) = (end(began, 1, 0xFFFE - NTP_EPOCH % 0x1_0000), end(began, 2, 5));
        let mut now = began;
        for _ in 0..50 {
            a.speak(now, &mut b);
            b.speak(now, &mut a);
            now += 20 * MS;
        }
        let report = a.report(now);
        now += 30 * MS;
        b.hear(now, &report);
        assert_eq!(b.session.told().and_then(|told| told.round_trip), None, "it knew no report of ours");
        now += 1234 * MS;
        let report = b.report(now);
        now += 50 * MS;
        a.hear(now, &report);
        let told = a.session.told().expect("told");
        let trip = told.round_trip.expect("known").as_secs_f64();
        assert!((trip - 0.080).abs() < 0.0002, "{trip}");
        assert_eq!((told.reports, told.lost, told.of), (1, 0, 50));
    }

    #[test]
    fn what_the_peer_lost_is_told() {
        let now = Instant::now();
        let (mut a, mut b) = (end(now, 1, 0), end(now, 2, 0));
        let mut nowhere = end(now, 3, 0);
        for n in 0..100 {
            let to = if n % 10 == 5 { &mut nowhere } else { &mut b };
            a.speak(now, to);
        }
        let report = b.report(now);
        a.hear(now, &report);
        assert_eq!(a.session.told().map(|told| (told.lost, told.of)), Some((10, 100)));
    }

    #[test]
    fn reports_come_every_2_5_to_7_5_s_and_the_first_after_half() {
        let now = Instant::now();
        for (chance, first, next) in [(0, 1250, 2500), (u32::MAX / 2, 2500, 5000), (u32::MAX, 3750, 7500)] {
            let clock = WallClock::new(now, Duration::ZERO);
            let mut session = Session::new(now, clock, String::new(), chance);
            assert!(!session.is_due(now + first * MS - MS) && session.is_due(now + first * MS + MS));
            let (sender, mut receiver) = (Sender::new(1, 1, 1), Receiver::new());
            session.report(now, chance, &sender, &mut receiver, &mut [0; MAX_REPORT]);
            assert!(!session.is_due(now + next * MS - MS) && session.is_due(now + next * MS + MS));
        }
    }

    #[test]
    fn who_is_held_reports_as_a_receiver_and_who_never_spoke_takes_no_leave() {
        let now = Instant::now();
        let (mut a, mut b) = (end(now, 1, 0), end(now, 2, 0));
        let mut out = [0; MAX_REPORT];
        assert_eq!(a.session.bye(now, &a.sender, &mut a.receiver, &mut out), None);
        a.speak(now, &mut b);
        assert_eq!(a.report(now)[1], 200);
        assert_eq!(a.report(now)[1], 201, "nothing was sent since");
        let n = a.session.bye(now, &a.sender, &mut a.receiver, &mut out).expect("we were heard");
        assert!(compound::read(&out[..n], Ssrc(2)).expect("RTCP").bye);
    }

    #[test]
    fn a_stamp_from_the_future_is_no_round_trip() {
        let now = Instant::now();
        let mut a = end(now, 1, 0);
        let block = Block {
            fraction_lost: 0,
            cumulative_lost: -5,
            highest_seq: 0,
            jitter: 0,
            last_report: 0x7000_0000,
            delay: 1,
        };
        let heard = Heard { sender: Ssrc(2), sent_at: None, block: Some(block), bye: false };
        a.session.hear(now, &heard, &a.sender);
        let told = a.session.told().expect("told");
        assert_eq!((told.round_trip, told.lost), (None, 0));
    }

    #[test]
    fn ntp_counts_from_1900() {
        let now = Instant::now();
        let clock = WallClock::new(now, Duration::from_millis(1500));
        assert_eq!(clock.ntp(now + 1250 * MS), (NTP_EPOCH + 2) << 32 | 0xC000_0000);
    }
}
