//! What is known of the peer's packets (RFC 3550 §6.4.1, A.1, A.3, A.8).

use std::time::{Duration, Instant};

use crate::units::{SeqNum, Ssrc};

/// A step of the sequence number beyond which a source has begun anew (RFC 3550 §A.1, MAX_DROPOUT).
const MAX_DROPOUT: u64 = 3000;
/// Numbers behind the highest of which we know whether they came.
const MEMORY: u64 = 128;
/// A transit time that changes by more than a second tells of a new time stamp, not of jitter.
const JUMP: f64 = 8000.0;

/// Statistics over all sources of a call, without probation: the latch has judged the source.
#[derive(Clone, Debug, Default)]
pub struct Receiver {
    source: Option<Source>,
    /// Sums of the sources before this one, and what does not depend on the source.
    totals: Totals,
    began: Option<Instant>,
    heard: Option<Instant>,
}

/// Sums over the whole call.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// Packets taken, duplicates included.
    pub packets: u64,
    /// Their octets of payload.
    pub octets: u64,
    /// Never came.
    pub lost: u64,
    /// Runs of numbers that were missing when a later one came.
    pub gaps: u64,
    /// Came after a later one.
    pub reordered: u64,
    /// Came twice.
    pub duplicated: u64,
    /// Longest time between two packets.
    pub longest_gap: Duration,
    /// Interarrival jitter in samples of 8000 Hz, of the present source.
    pub jitter: f64,
}

impl Totals {
    /// Interarrival jitter in milliseconds.
    pub fn jitter_ms(&self) -> f64 {
        self.jitter / 8.0
    }
}

/// A reception report (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whom it is about.
    pub ssrc: Ssrc,
    /// Lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Lost altogether, 24 bits signed; negative when more came than were sent.
    pub cumulative_lost: i32,
    /// Highest number received, extended by its cycles.
    pub highest_seq: u32,
    /// Interarrival jitter in samples.
    pub jitter: u32,
}

#[derive(Clone, Debug)]
struct Source {
    ssrc: Ssrc,
    base: SeqNum,
    highest: SeqNum,
    /// A bit for each number from the highest down: it came.
    seen: u128,
    received: u64,
    duplicated: u64,
    /// The number after an ancient one.
    restart: Option<u16>,
    transit: Option<f64>,
    jitter: f64,
    expected_prior: u64,
    received_prior: u64,
}

enum Came {
    InOrder,
    AfterGap,
    Late,
    Twice,
    Ancient,
}

impl Receiver {
    /// Nothing heard yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A packet was taken. `timed` says that its timestamp tells when it was made: not so for events.
    pub fn push(&mut self, now: Instant, ssrc: Ssrc, seq: u16, timestamp: u32, octets: usize, timed: bool) {
        self.totals.packets += 1;
        self.totals.octets += octets as u64;
        let began = *self.began.get_or_insert(now);
        if let Some(heard) = self.heard.replace(now) {
            self.totals.longest_gap = self.totals.longest_gap.max(now.saturating_duration_since(heard));
        }
        let known = self.source.as_mut().filter(|source| source.ssrc == ssrc);
        let came = known.map_or(Came::Ancient, |source| source.count(seq));
        match came {
            Came::InOrder => {}
            Came::AfterGap => self.totals.gaps += 1,
            Came::Late => self.totals.reordered += 1,
            Came::Twice => self.totals.duplicated += 1,
            // Another source, or this one anew: what is known of the last one is added up.
            Came::Ancient => {
                self.totals.lost = self.totals().lost;
                self.source = Some(Source::begin(ssrc, seq));
            }
        }
        if let Some(source) = self.source.as_mut().filter(|_| timed) {
            source.time(now.saturating_duration_since(began).as_secs_f64() * 8000.0, timestamp);
        }
    }

    /// The sums so far.
    pub fn totals(&self) -> Totals {
        let Some(source) = &self.source else { return self.totals };
        let lost = source.expected().saturating_sub(source.received);
        Totals { lost: self.totals.lost + lost, jitter: source.jitter, ..self.totals }
    }

    /// Who is heard at present.
    pub fn source(&self) -> Option<Ssrc> {
        Some(self.source.as_ref()?.ssrc)
    }

    /// The report block on the present source; begins the next interval.
    pub fn report(&mut self) -> Option<Report> {
        let source = self.source.as_mut()?;
        let (expected, received) = (source.expected(), source.received + source.duplicated);
        let expected_now = expected - source.expected_prior;
        let received_now = received - source.received_prior;
        (source.expected_prior, source.received_prior) = (expected, received);
        let lost_now = expected_now.saturating_sub(received_now);
        Some(Report {
            ssrc: source.ssrc,
            fraction_lost: (lost_now * 256).checked_div(expected_now).unwrap_or(0).min(255) as u8,
            cumulative_lost: (expected as i64 - received as i64).clamp(-0x80_0000, 0x7F_FFFF) as i32,
            highest_seq: (source.highest.0 - 0x1_0000) as u32,
            jitter: source.jitter as u32,
        })
    }
}

impl Source {
    fn begin(ssrc: Ssrc, seq: u16) -> Self {
        let first = SeqNum::first(seq);
        Self {
            ssrc,
            base: first,
            highest: first,
            seen: 1,
            received: 1,
            duplicated: 0,
            restart: None,
            transit: None,
            jitter: 0.0,
            expected_prior: 0,
            received_prior: 0,
        }
    }

    fn expected(&self) -> u64 {
        self.highest.0 - self.base.0 + 1
    }

    fn count(&mut self, seq: u16) -> Came {
        let number = self.highest.nearest(seq);
        let (ahead, behind) = (number.after(self.highest), self.highest.after(number));
        if behind >= MEMORY || ahead > MAX_DROPOUT {
            // Two in a row are a restart; one is a stray that came.
            let restarted = self.restart == Some(seq);
            self.restart = Some(seq.wrapping_add(1));
            return if restarted { Came::Ancient } else { Came::Late };
        }
        self.restart = None;
        if ahead > 0 {
            self.seen = if ahead < MEMORY { self.seen << ahead | 1 } else { 1 };
            self.highest = number;
            self.received += 1;
            return if ahead == 1 { Came::InOrder } else { Came::AfterGap };
        }
        if self.seen >> behind & 1 == 1 {
            self.duplicated += 1;
            return Came::Twice;
        }
        self.seen |= 1 << behind;
        self.base = self.base.min(number);
        self.received += 1;
        Came::Late
    }

    /// Interarrival jitter (RFC 3550 §A.8); `arrival` in samples.
    fn time(&mut self, arrival: f64, timestamp: u32) {
        let modulus = 4_294_967_296.0;
        let transit = arrival - f64::from(timestamp);
        if let Some(last) = self.transit {
            // The time stamp may have wrapped between the two.
            let step = (transit - last).rem_euclid(modulus);
            let d = step.min(modulus - step);
            if d < JUMP {
                self.jitter += (d - self.jitter) / 16.0;
            }
        }
        self.transit = Some(transit);
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a test begins now
mod tests {
    use super::*;

    fn feed(receiver: &mut Receiver, at: Instant, ssrc: u32, packets: impl IntoIterator<Item = u16>) {
        for seq in packets {
            let now = at + Duration::from_millis(20) * u32::from(seq.wrapping_sub(65_000));
            receiver.push(now, Ssrc(ssrc), seq, u32::from(seq.wrapping_sub(65_000)) * 160, 160, true);
        }
    }

    #[test]
    fn loss_reorder_and_doubles_are_told_apart_over_the_wrap() {
        let mut receiver = Receiver::new();
        let all = (65_000..=65_535).chain(0..100).filter(|seq| ![65_100, 65_101, 5].contains(seq));
        feed(&mut receiver, Instant::now(), 1, all.chain([98, 5]));
        let totals = receiver.totals();
        assert_eq!((totals.packets, totals.lost, totals.reordered, totals.duplicated), (635, 2, 1, 1));
        assert_eq!(totals.gaps, 2, "one of two packets, one that closed again");
        assert_eq!(receiver.report().map(|report| report.highest_seq), Some(65_536 + 99));
    }

    #[test]
    fn a_new_source_and_a_restart_add_no_loss() {
        let mut receiver = Receiver::new();
        let at = Instant::now();
        feed(&mut receiver, at, 1, [100, 101, 103]);
        feed(&mut receiver, at, 2, [9000, 9001]);
        feed(&mut receiver, at, 2, [40_000, 40_001, 40_002]);
        let totals = receiver.totals();
        assert_eq!((totals.packets, totals.lost), (8, 1));
    }

    #[test]
    fn a_report_tells_of_its_interval() {
        let mut receiver = Receiver::new();
        let at = Instant::now();
        assert_eq!(receiver.report(), None);
        feed(&mut receiver, at, 7, 0..100);
        let first = receiver.report().unwrap();
        assert_eq!((first.fraction_lost, first.cumulative_lost), (0, 0));
        feed(&mut receiver, at, 7, (100..200).filter(|seq| seq % 4 != 0));
        let second = receiver.report().unwrap();
        assert_eq!((second.ssrc, second.fraction_lost, second.cumulative_lost), (Ssrc(7), 64, 25));
        assert_eq!(receiver.report().unwrap().fraction_lost, 0);
    }

    #[test]
    fn jitter_is_that_of_rfc_3550_and_survives_a_new_time_stamp() {
        let mut receiver = Receiver::new();
        let at = Instant::now();
        for i in 0..500_u32 {
            let late = Duration::from_millis(if i % 2 == 0 { 10 } else { 0 });
            let jump = if i > 250 { 1_000_000 } else { 0 };
            let timestamp = (u32::MAX - 1000).wrapping_add(i * 160 + jump);
            receiver.push(at + Duration::from_millis(20) * i + late, Ssrc(1), i as u16, timestamp, 160, true);
        }
        // Each transit differs from the last by 10 ms.
        assert!((receiver.totals().jitter_ms() - 10.0).abs() < 0.1, "{}", receiver.totals().jitter_ms());
        assert_eq!(receiver.totals().longest_gap, Duration::from_millis(30));
    }
}
