//! The buffer against a plain model of what it promises, under seeded networks.

mod press;
mod space;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{Arrival, Counts, Discard, Item, JitterBuffer, Kind};
use crate::units::Ssrc;

const MAX: Duration = Duration::from_millis(200);
const MS: u64 = 1000;

/// What stands at a sample of the sender's time: told apart for 65536 samples and a bit more.
fn octet(sample: u64) -> u8 {
    (sample.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8
}

fn payload(sample: u64, samples: u64) -> Vec<u8> {
    (sample..sample + samples).map(octet).collect()
}

/// A packet on its way: when it arrives, in µs.
#[derive(Clone, Debug)]
struct Flight {
    id: usize,
    at: u64,
    ssrc: u32,
    seq: u16,
    timestamp: u32,
    kind: Kind,
    payload: Vec<u8>,
    faint: bool,
}

/// What came out.
#[derive(Clone, Debug, PartialEq)]
enum Out {
    Audio(Vec<u8>),
    Lost(u64),
    Silence(u64),
}

impl Out {
    fn samples(&self) -> u64 {
        match self {
            Self::Audio(octets) => octets.len() as u64,
            Self::Lost(n) | Self::Silence(n) => *n,
        }
    }
}

/// A line that is driven as the engine drives it: on each arrival, and on a grid of 1 ms when it is due.
struct Ride {
    start: Instant,
    buffer: JitterBuffer,
    out: Vec<(u64, Out)>,
    refused: Vec<(Flight, Discard)>,
    /// In which count of numbers or time each was taken: how often they had begun anew.
    count_of: BTreeMap<usize, u64>,
}

impl Ride {
    fn new() -> Self {
        let start = Instant::now();
        let (out, refused, count_of) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { start, buffer: JitterBuffer::new(start, MAX), out, refused, count_of }
    }

    /// The same with another longest wait, over flights in the order they arrive.
    fn with_max(max: Duration, flights: &[Flight], until: u64) -> Self {
        let mut ride = Self::new();
        ride.buffer = JitterBuffer::new(ride.start, max);
        flights.iter().for_each(|flight| ride.arrive(flight));
        ride.pass(until);
        ride.drain(until);
        ride
    }

    fn at(&self, us: u64) -> Instant {
        self.start + Duration::from_micros(us)
    }

    fn drain(&mut self, us: u64) {
        let now = self.at(us);
        while let Some(item) = self.buffer.pop(now) {
            let item = match item {
                Item::Audio(octets) => Out::Audio(octets.to_vec()),
                Item::Lost { samples } => Out::Lost(samples as u64),
                Item::Silence { samples } => Out::Silence(samples as u64),
            };
            assert!(item.samples() <= 1600);
            self.out.push((us, item));
        }
        let sum: u64 = self.out.iter().map(|(_, item)| item.samples()).sum();
        assert_eq!(sum, self.buffer.delivered());
        assert!(self.buffer.poll_timeout().is_some_and(|at| at > now), "drained, and yet due");
    }

    /// Time passes until `us`: what is due on the way is taken.
    fn pass(&mut self, us: u64) {
        while let Some(due) = self.buffer.poll_timeout() {
            let due = due.duration_since(self.start).as_micros() as u64;
            let due = due.div_ceil(MS) * MS;
            if due >= us {
                break;
            }
            self.drain(due);
        }
    }

    fn arrive(&mut self, flight: &Flight) {
        self.pass(flight.at);
        let arrival = Arrival {
            ssrc: Ssrc(flight.ssrc),
            seq: flight.seq,
            timestamp: flight.timestamp,
            kind: flight.kind,
            payload: &flight.payload,
            faint: flight.faint,
        };
        let now = self.at(flight.at);
        match self.buffer.push(now, arrival) {
            Ok(()) => {
                self.count_of.insert(flight.id, self.buffer.counts().resyncs);
            }
            Err(why) => self.refused.push((flight.clone(), why)),
        }
        self.drain(flight.at);
    }

    fn run(mut flights: Vec<Flight>, until: u64) -> Self {
        flights.sort_by_key(|flight| flight.at);
        let mut ride = Self::new();
        flights.iter().for_each(|flight| ride.arrive(flight));
        ride.pass(until);
        ride.drain(until);
        ride
    }

    fn counts(&self) -> Counts {
        self.buffer.counts()
    }

    fn refused_as(&self, why: Discard) -> usize {
        self.refused.iter().filter(|(_, how)| *how == why).count()
    }

    fn audio(&self) -> u64 {
        self.out
            .iter()
            .filter(|(_, item)| matches!(item, Out::Audio(_)))
            .map(|(_, item)| item.samples())
            .sum()
    }

    /// How far the line is off the time that passed, in ms.
    fn off(&self, us: u64) -> i64 {
        (self.buffer.delivered() as i64 * 125 - us as i64) / 1000
    }
}

/// A seeded generator of the network's moods.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound.max(1)
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// A sender of 20 ms packets over a network.
#[derive(Clone, Debug)]
struct Path {
    seconds: u64,
    samples: u64,
    loss: u64,
    twice: u64,
    jitter_ms: u64,
    skew_ppm: i64,
    first_seq: u16,
    first_time: u32,
    seed: u64,
}

impl Path {
    fn plain(seconds: u64) -> Self {
        Self {
            seconds,
            samples: 160,
            loss: 0,
            twice: 0,
            jitter_ms: 0,
            skew_ppm: 0,
            first_seq: 65_500,
            first_time: u32::MAX - 5000,
            seed: 1,
        }
    }

    fn until(&self) -> u64 {
        self.seconds * 1_000_000
    }

    fn flights(&self) -> Vec<Flight> {
        let mut dice = Dice(self.seed);
        let mut flights = Vec::new();
        for i in 0.. {
            let sample = i * self.samples;
            let made = ((sample + self.samples) * 125) as i64;
            let sent = (made + made * self.skew_ppm / 1_000_000) as u64;
            if sent + (5 + self.jitter_ms) * MS > self.until() {
                break;
            }
            let copies = u64::from(!dice.chance(self.loss)) * (1 + u64::from(dice.chance(self.twice)));
            for _ in 0..copies {
                flights.push(Flight {
                    id: flights.len(),
                    at: sent + 5 * MS + dice.below(self.jitter_ms * MS + 1),
                    ssrc: 7,
                    seq: self.first_seq.wrapping_add(i as u16),
                    timestamp: self.first_time.wrapping_add(sample as u32),
                    kind: Kind::Audio,
                    payload: payload(sample, self.samples),
                    faint: false,
                });
            }
        }
        flights
    }
}

/// The plain model: what arrived, by its place; told when the line moves on, it says what must come out.
/// It knows nothing of bounds: that is checked beside it.
fn check_against_model(path: &Path, ride: &Ride) {
    let first = path.flights().into_iter().min_by_key(|flight| flight.at).expect("a packet");
    let sender_time = |flight: &Flight| u64::from(flight.timestamp.wrapping_sub(path.first_time));
    // Place of the sender's sample 0 in the line: where the first audio came out.
    let mut line = 0;
    let mut zero = None;
    let mut arrived = path.flights();
    arrived.sort_by_key(|flight| flight.at);
    let mut arrived = arrived.into_iter().peekable();
    let mut here: BTreeMap<u64, u64> = BTreeMap::new();
    let refused: BTreeSet<usize> = ride.refused.iter().map(|(flight, _)| flight.id).collect();
    for (at, item) in &ride.out {
        while let Some(flight) = arrived.next_if(|flight| flight.at <= *at) {
            if !refused.contains(&flight.id) {
                here.insert(sender_time(&flight), flight.payload.len() as u64);
            }
        }
        match item {
            Out::Audio(octets) => {
                let zero = *zero.get_or_insert(line as i64 - sender_time(&first) as i64);
                let sample = (line as i64 - zero) as u64;
                assert_eq!(*octets, payload(sample, octets.len() as u64), "other audio at {line}");
                let (&from, &samples) = here.range(..=sample).next_back().expect("it arrived");
                assert_eq!(from + samples, sample + octets.len() as u64, "a packet in pieces");
                here.remove(&from);
            }
            Out::Lost(n) | Out::Silence(n) => {
                if let Some(zero) = zero {
                    let sample = (line as i64 - zero) as u64;
                    let there = here.range(..sample + n).next_back();
                    assert!(
                        there.is_none_or(|(from, samples)| from + samples <= sample),
                        "given up at {line} what had arrived"
                    );
                }
            }
        }
        line += item.samples();
    }
    let left: Vec<_> = here
        .iter()
        .filter(|(from, samples)| zero.is_some_and(|z| (**from + **samples) as i64 + z > line as i64))
        .collect();
    assert!(left.is_empty() && here.is_empty(), "taken and never delivered: {here:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_line_is_what_the_model_says(
        samples in prop::sample::select(vec![80_u64, 160, 240, 320, 480, 1600]),
        loss in 0..=20_u64, twice in 0..=10_u64, jitter_ms in 0..=25_u64,
        first_seq: u16, first_time: u32, seed: u64,
    ) {
        let path = Path { seconds: 20, samples, loss, twice, jitter_ms, skew_ppm: 0, first_seq, first_time, seed };
        let ride = Ride::run(path.flights(), path.until() + 500_000);
        prop_assert_eq!(ride.counts().resyncs, 0);
        prop_assert_eq!(ride.counts().corrections, 0);
        prop_assert_eq!(ride.counts().misplaced, 0);
        check_against_model(&path, &ride);
    }

    #[test]
    fn the_line_is_as_long_as_the_call(
        samples in prop::sample::select(vec![80_u64, 160, 240, 480, 1600]),
        loss in 0..=20_u64, twice in 0..=10_u64, jitter_ms in 0..=100_u64, skew_ppm in -300..=300_i64,
        first_seq: u16, first_time: u32, seed: u64,
    ) {
        let path = Path { seconds: 90, samples, loss, twice, jitter_ms, skew_ppm, first_seq, first_time, seed };
        let ride = Ride::run(path.flights(), path.until());
        // 0.1 % of 90 s, and what the last place is being waited for.
        let waited = ride.buffer.bound().as_millis() as i64 + samples as i64 / 8 + 20;
        prop_assert!((-90 - waited..=90 + samples as i64 / 8).contains(&ride.off(path.until())), "{} ms off", ride.off(path.until()));
        prop_assert_eq!(ride.counts().resyncs, 0);
    }

    #[test]
    fn garbage_neither_panics_nor_stretches_time(
        packets in prop::collection::vec(
            (0..50_000_u64, 0..3_u32, any::<u16>(), any::<u32>(), 0..1700_usize, any::<bool>(), any::<bool>()), 1..300),
    ) {
        let mut at = 0;
        let mut flights = Vec::new();
        let (mut seq, mut time) = (0_u16, 0_u32);
        for (gap, ssrc, any_seq, any_time, octets, near, quiet) in packets {
            at += gap;
            (seq, time) = if near { (seq.wrapping_add(any_seq % 4), time.wrapping_add(any_time % 2000)) } else { (any_seq, any_time) };
            let kind = if quiet { Kind::Quiet } else { Kind::Audio };
            flights.push(Flight { id: 0, at, ssrc, seq, timestamp: time, kind, payload: vec![0; octets], faint: false });
        }
        let ride = Ride::run(flights, at + 1_000_000);
        let off = ride.off(at + 1_000_000);
        // 160 ms ahead of the clock, which the first packet may have put right by its length.
        prop_assert!((-450..=360).contains(&off), "{off} ms off");
    }
}

#[test]
fn in_order_audio_is_not_delayed_at_all() {
    let path = Path { jitter_ms: 15, ..Path::plain(30) };
    let ride = Ride::run(path.flights(), path.until());
    let mut flights = path.flights();
    flights.sort_by_key(|flight| flight.at);
    let audio: Vec<u64> =
        ride.out.iter().filter(|(_, item)| matches!(item, Out::Audio(_))).map(|(at, _)| *at).collect();
    assert_eq!(audio, flights.iter().map(|flight| flight.at).collect::<Vec<_>>());
    assert_eq!(ride.counts().missing, 0);
}

#[test]
fn a_lost_packet_is_waited_for_at_most_60_ms_at_little_jitter() {
    for jitter_ms in [0, 10, 20] {
        let path = Path { loss: 5, jitter_ms, seed: 3, ..Path::plain(60) };
        let ride = Ride::run(path.flights(), path.until());
        let lost: Vec<_> = ride.out.iter().filter(|(_, item)| matches!(item, Out::Lost(_))).collect();
        assert!(lost.len() > 100);
        // Due at its end, 5 ms on its way.
        let mut line = 0;
        for (at, item) in &ride.out {
            line += item.samples();
            if matches!(item, Out::Lost(_)) {
                let waited = *at as i64 - (line * 125) as i64;
                assert!(waited <= 62_000, "{waited} us");
                assert!(jitter_ms > 0 || waited >= 20_000, "{waited} us: impatient");
            }
        }
        assert_eq!(ride.refused_as(Discard::Late), 0);
    }
}

#[test]
fn much_jitter_raises_the_bound_and_ten_calm_seconds_lower_it() {
    let path = Path { jitter_ms: 100, loss: 2, ..Path::plain(40) };
    let mut flights = path.flights();
    for flight in flights.iter_mut().filter(|flight| flight.at > 20_000_000) {
        let sent = u64::from(flight.timestamp.wrapping_sub(path.first_time)) * 125 + 25_000;
        flight.at = sent;
    }
    let until = path.until();
    flights.sort_by_key(|flight| flight.at);
    let mut ride = Ride::new();
    let mut late = 0;
    for flight in &flights {
        ride.arrive(flight);
        let bound = ride.buffer.bound();
        if (10_000_000..19_000_000).contains(&flight.at) {
            assert!(bound >= Duration::from_millis(100), "{bound:?}");
            late = ride.refused_as(Discard::Late);
        }
        if flight.at > 30_000_000 {
            assert_eq!(bound, Duration::from_millis(22));
        }
    }
    assert!(late < 15, "{late} late while it was learned");
    ride.pass(until);
    assert!(ride.off(until).abs() < 150, "{}", ride.off(until));
}

#[test]
fn after_a_stall_at_most_200_ms_are_played_late() {
    let path = Path::plain(40);
    let mut flights = path.flights();
    for flight in flights.iter_mut().filter(|flight| (10_000_000..12_000_000).contains(&flight.at)) {
        flight.at = 12_000_000;
    }
    let ride = Ride::run(flights, path.until());
    let burst: u64 = ride
        .out
        .iter()
        .filter(|(at, item)| *at == 12_000_000 && matches!(item, Out::Audio(_)))
        .map(|(_, item)| item.samples())
        .sum();
    assert!(burst <= 1600, "{burst}");
    // And nothing of it stays: the line is where it was before.
    assert!(ride.off(path.until()).abs() <= 30);
    let calm = ride
        .out
        .iter()
        .filter(|(at, item)| (12_100_000..39_000_000).contains(at) && !matches!(item, Out::Audio(_)));
    assert_eq!(calm.count(), 0);
    assert_eq!(ride.counts().resyncs, 0);
}

#[test]
fn a_stall_at_the_beginning_does_not_put_the_line_ahead() {
    let path = Path::plain(20);
    let mut flights = path.flights();
    for flight in flights.iter_mut().filter(|flight| flight.at < 1_000_000) {
        flight.at = 1_000_000;
    }
    let ride = Ride::run(flights, path.until());
    assert!((-45..=60).contains(&ride.off(path.until())), "{}", ride.off(path.until()));
}

#[test]
fn nothing_at_all_is_silence_in_real_time() {
    let mut ride = Ride::new();
    ride.pass(10_000_000);
    ride.drain(10_000_000);
    assert_eq!(ride.off(10_000_000), -20);
    assert!(ride.out.iter().all(|(_, item)| *item == Out::Silence(160)));
    assert_eq!(ride.counts().missing, 0);
}

#[test]
fn when_the_sender_stops_60_ms_are_concealed_then_it_is_silent() {
    let path = Path::plain(5);
    let ride = Ride::run(path.flights(), 8_000_000);
    let tail: Vec<_> =
        ride.out.iter().map(|(_, item)| item).skip_while(|item| !matches!(item, Out::Lost(_))).collect();
    assert_eq!(tail[..3], [&Out::Lost(160); 3]);
    assert!(tail[3..].iter().all(|item| matches!(item, Out::Silence(160))));
    assert!((-45..=0).contains(&ride.off(8_000_000)), "{}", ride.off(8_000_000));
}

/// Cuts packets out of a stream, as a sender does that sends nothing in silence.
fn with_pause(path: &Path, pause: std::ops::Range<u64>, marks: bool, numbered: bool) -> Vec<Flight> {
    let (mut out, mut seq) = (Vec::new(), path.first_seq);
    for flight in path.flights() {
        let inside = pause.contains(&flight.at);
        if !inside || marks && flight.at < pause.start + 20_000 {
            let kind = if inside { Kind::Quiet } else { Kind::Audio };
            out.push(Flight { seq, kind, ..flight });
        }
        if !inside || numbered || marks && flight.at < pause.start + 20_000 {
            seq = seq.wrapping_add(1);
        }
    }
    out
}

#[test]
fn comfort_noise_makes_silence_and_no_loss() {
    let path = Path::plain(10);
    let ride = Ride::run(with_pause(&path, 3_000_000..6_000_000, true, false), path.until());
    assert_eq!(ride.counts(), Counts::default());
    assert!(ride.out.iter().all(|(_, item)| !matches!(item, Out::Lost(_))));
    assert!((-30..=5).contains(&ride.off(path.until())), "{}", ride.off(path.until()));
}

#[test]
fn a_pause_without_comfort_noise_is_no_loss_either() {
    let path = Path::plain(10);
    let ride = Ride::run(with_pause(&path, 3_000_000..6_000_000, false, false), path.until());
    assert_eq!((ride.counts().missing, ride.counts().late, ride.counts().resyncs), (0, 0, 0));
    let ride = Ride::run(with_pause(&path, 3_000_000..6_000_000, false, true), path.until());
    assert!(
        (2_900 * 8..3_050 * 8).contains(&ride.counts().missing),
        "lost numbers are loss: {:?}",
        ride.counts()
    );
}

#[test]
fn events_between_audio_are_silence_and_lose_no_number() {
    let path = Path::plain(10);
    let mut flights = path.flights();
    // A key of 200 ms: ten packets of one stamp in place of ten of audio.
    let stamp = flights[150].timestamp;
    for flight in &mut flights[150..160] {
        (flight.kind, flight.timestamp) = (Kind::Quiet, stamp);
    }
    flights.remove(155);
    let ride = Ride::run(flights, path.until());
    assert_eq!((ride.counts().missing, ride.counts().resyncs), (0, 0));
    let silent: u64 = ride
        .out
        .iter()
        .filter(|(at, item)| *at > 1_000_000 && *at < 9_000_000 && matches!(item, Out::Silence(_)))
        .map(|(_, item)| item.samples())
        .sum();
    assert_eq!(silent, 1600);
}

#[test]
fn a_gateway_whose_clock_stands_during_events_loses_no_audio_after_them() {
    let path = Path::plain(10);
    let mut flights = path.flights();
    let stamp = flights[150].timestamp;
    for (i, flight) in flights.iter_mut().enumerate().skip(150) {
        if i < 180 {
            (flight.kind, flight.timestamp) = (Kind::Quiet, stamp);
        } else {
            flight.timestamp = flight.timestamp.wrapping_sub(30 * 160);
        }
    }
    let sent = flights.len() as u64 - 30;
    let ride = Ride::run(flights, path.until());
    assert_eq!(ride.audio(), sent * 160);
    assert_eq!(ride.counts().resyncs, 1);
}

#[test]
fn a_jump_of_the_stamp_either_way_loses_nothing() {
    for jump in [9000_u32, 800_000_000, 0x8000_0001, 9000_u32.wrapping_neg(), 800_000_000_u32.wrapping_neg()]
    {
        let path = Path::plain(10);
        let mut flights = path.flights();
        for flight in &mut flights[200..] {
            flight.timestamp = flight.timestamp.wrapping_add(jump);
        }
        let sent = flights.len() as u64;
        let ride = Ride::run(flights, path.until());
        assert_eq!(ride.audio(), sent * 160, "jump of {jump}");
        assert!((-35..=60).contains(&ride.off(path.until())), "jump of {jump}: {}", ride.off(path.until()));
        assert_eq!(ride.counts().late, 0);
    }
}

#[test]
fn a_stamp_a_little_ahead_is_a_pause_and_the_line_returns_to_the_clock() {
    let path = Path::plain(60);
    let mut flights = path.flights();
    for flight in &mut flights[200..] {
        flight.timestamp = flight.timestamp.wrapping_add(400);
    }
    let sent = flights.len() as u64;
    let ride = Ride::run(flights, path.until());
    assert_eq!(ride.audio(), (sent - 1) * 160);
    assert!(ride.off(path.until()).abs() <= 35, "{}", ride.off(path.until()));
}

#[test]
fn a_new_source_goes_on_and_the_old_ones_stragglers_do_not_come_back() {
    let path = Path::plain(10);
    let mut flights = path.flights();
    let straggler = Flight { at: flights[203].at + 1, ..flights[199].clone() };
    for flight in &mut flights[200..] {
        flight.ssrc = 8;
        flight.seq = flight.seq.wrapping_mul(3).wrapping_add(1000);
        flight.timestamp ^= 0x5555_0000;
    }
    for (i, flight) in flights[200..].iter_mut().enumerate() {
        flight.seq = 30_000 + i as u16;
        flight.timestamp = 0x1234_5678 + i as u32 * 160;
    }
    flights.remove(199);
    flights.push(straggler);
    let sent = flights.len() as u64 - 1;
    let ride = Ride::run(flights, path.until());
    assert_eq!(ride.audio(), sent * 160);
    assert_eq!((ride.counts().resyncs, ride.refused_as(Discard::Stray)), (1, 1));
    assert!((-35..=25).contains(&ride.off(path.until())), "{}", ride.off(path.until()));
}

#[test]
fn a_source_that_restarts_its_numbers_is_followed() {
    let path = Path::plain(10);
    let mut flights = path.flights();
    for (i, flight) in flights[200..].iter_mut().enumerate() {
        flight.seq = path.first_seq.wrapping_sub(9000).wrapping_add(i as u16);
        flight.timestamp = i as u32 * 160;
    }
    let sent = flights.len() as u64;
    let ride = Ride::run(flights, path.until());
    assert!(ride.audio() >= (sent - 1) * 160);
    assert_eq!(ride.counts().resyncs, 1);
}

#[test]
fn a_path_that_becomes_longer_for_good_is_followed() {
    for longer in [60_000, 150_000, 500_000] {
        let path = Path::plain(60);
        let mut flights = path.flights();
        for flight in &mut flights[500..] {
            flight.at += longer;
        }
        let until = path.until() + longer;
        let ride = Ride::run(flights, until);
        let heard: u64 = ride
            .out
            .iter()
            .filter(|(at, item)| *at > 11_000_000 && matches!(item, Out::Audio(_)))
            .map(|(_, item)| item.samples())
            .sum();
        let sent =
            160 * path.flights().iter().filter(|flight| flight.at + longer > 11_000_000).count() as u64;
        assert!(heard * 100 >= sent * 99, "{longer}: {heard} of {sent}");
        assert!((-90..=60).contains(&ride.off(until)), "{longer}: {}", ride.off(until));
    }
}

#[test]
fn a_clock_that_is_off_is_followed_where_the_peer_is_silent() {
    for skew_ppm in [-200, 200] {
        let path = Path { skew_ppm, jitter_ms: 10, ..Path::plain(600) };
        let mut flights = path.flights();
        // Half a second of silence in each ten.
        for flight in &mut flights {
            flight.faint = flight.at / MS % 10_000 < 500;
        }
        let ride = Ride::run(flights.clone(), path.until());
        assert!((4..=6).contains(&ride.counts().corrections), "{:?}", ride.counts());
        let joints = ride.out.iter().filter(|(_, item)| matches!(item, Out::Lost(_)));
        for (at, _) in joints {
            assert!(at / MS % 10_000 < 540, "{at}: while he speaks");
        }
        // The delay does not grow: never more than 40 ms off.
        assert!(ride.off(path.until()).abs() < 80, "{}", ride.off(path.until()));
    }
}

#[test]
fn a_clock_that_is_off_costs_a_correction_in_a_minute() {
    for skew_ppm in [-300, 300] {
        let path = Path { skew_ppm, jitter_ms: 10, ..Path::plain(600) };
        let ride = Ride::run(path.flights(), path.until());
        let counts = ride.counts();
        assert!((6..=11).contains(&counts.corrections), "{counts:?}");
        assert!(ride.off(path.until()).abs() < 90, "{}", ride.off(path.until()));
        let joints: Vec<u64> =
            ride.out.iter().filter(|(_, item)| matches!(item, Out::Lost(_))).map(|(at, _)| *at).collect();
        assert_eq!(joints.len() as u64, counts.corrections);
        assert!(joints.windows(2).all(|pair| pair[1] - pair[0] >= 10_000_000));
    }
}

#[test]
fn a_sender_at_a_wrong_rate_cannot_run_away_with_the_line() {
    for skew_ppm in [-50_000, 50_000] {
        let path = Path { skew_ppm, ..Path::plain(60) };
        let ride = Ride::run(path.flights(), path.until());
        let off = ride.off(path.until());
        assert!((-900..=160).contains(&off), "{skew_ppm}: {off} ms");
    }
}
