//! What a packet costs in the jitter buffer, and in the plain one that others use: a map behind a lock.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use divan::{Bencher, black_box};
use streamkit::rtp::jitter::{Arrival, Item, JitterBuffer, Kind};
use streamkit::units::Ssrc;

const PACKETS: u32 = 1000;
const PTIME: Duration = Duration::from_millis(20);
const PAYLOAD: [u8; 160] = [0xD5; 160];

/// Which packets come, and in which order.
#[derive(Clone, Copy, Debug)]
enum Network {
    InOrder,
    ATenthLost,
    EveryPairSwapped,
}

const NETWORKS: [Network; 3] = [Network::InOrder, Network::ATenthLost, Network::EveryPairSwapped];

impl Network {
    /// The packet that comes at this time, if one does.
    fn packet(self, time: u32) -> Option<u32> {
        match self {
            Self::InOrder => Some(time),
            Self::ATenthLost => (time % 10 != 3).then_some(time),
            Self::EveryPairSwapped => Some(time ^ 1),
        }
    }
}

fn main() {
    divan::main();
    compare();
}

#[divan::bench(args = NETWORKS)]
fn ours(bencher: Bencher<'_, '_>, network: Network) {
    let start = now();
    bencher.counter(PACKETS).with_inputs(|| fresh(start)).bench_local_refs(|line| feed(line, start, network));
}

#[divan::bench(args = NETWORKS)]
fn map_behind_a_lock(bencher: Bencher<'_, '_>, network: Network) {
    bencher.counter(PACKETS).with_inputs(Locked::default).bench_local_refs(|line| feed_locked(line, network));
}

fn fresh(start: Instant) -> JitterBuffer {
    JitterBuffer::new(start, Duration::from_millis(200))
}

/// Twenty seconds of packets; samples that came out.
fn feed(line: &mut JitterBuffer, start: Instant, network: Network) -> usize {
    let mut samples = 0;
    for time in 0..PACKETS {
        let now = start + PTIME * (time + 1);
        if let Some(i) = network.packet(time) {
            let arrival = Arrival {
                ssrc: Ssrc(1),
                seq: i as u16,
                timestamp: i * 160,
                kind: Kind::Audio,
                payload: black_box(&PAYLOAD),
                faint: false,
            };
            let _ = line.push(now, arrival);
        }
        while let Some(item) = line.pop(now) {
            samples += match item {
                Item::Audio(octets) => black_box(octets).len(),
                Item::Lost { samples } | Item::Silence { samples } => samples,
            };
        }
        black_box(line.poll_timeout());
    }
    samples
}

/// A map of numbers to payloads behind a lock, as thread per socket wants it. It knows neither clock nor spread: a packet
/// is waited for until the next but one is here.
#[derive(Default)]
struct Locked(Mutex<(BTreeMap<u64, Vec<u8>>, u64)>);

impl Locked {
    fn push(&self, number: u64, payload: &[u8]) {
        let mut inside = self.0.lock().expect("nobody panics");
        if number >= inside.1 {
            inside.0.insert(number, payload.to_vec());
        }
    }

    fn pop(&self) -> Option<Vec<u8>> {
        let mut inside = self.0.lock().expect("nobody panics");
        let (packets, next) = &mut *inside;
        let missing = packets.first_key_value().is_some_and(|(first, _)| *first != *next);
        if missing && packets.len() < 2 {
            return None;
        }
        let payload = if missing { Some(Vec::new()) } else { packets.remove(next) };
        *next += u64::from(payload.is_some());
        payload
    }
}

fn feed_locked(line: &mut Locked, network: Network) -> usize {
    let mut samples = 0;
    for time in 0..PACKETS {
        if let Some(i) = network.packet(time) {
            line.push(i.into(), black_box(&PAYLOAD));
        }
        while let Some(payload) = line.pop() {
            samples += black_box(&payload).len();
        }
    }
    samples
}

/// The two in turn, the best of each: what the machine does beside hits both alike.
fn compare() {
    let start = now();
    for network in NETWORKS {
        let (mut best, mut best_locked) = (f64::MAX, f64::MAX);
        for _ in 0..200 {
            let (mut line, mut locked) = (fresh(start), Locked::default());
            best = best.min(nanoseconds(|| feed(&mut line, start, network)));
            best_locked = best_locked.min(nanoseconds(|| feed_locked(&mut locked, network)));
        }
        let ratio = best_locked / best;
        eprintln!(
            "{network:?}: {best:.0} ns a packet, map behind a lock {best_locked:.0} ns: {ratio:.2} times ours"
        );
    }
}

/// What a packet takes.
fn nanoseconds(run: impl FnOnce() -> usize) -> f64 {
    let begun = now();
    black_box(run());
    begun.elapsed().as_nanos() as f64 / f64::from(PACKETS)
}

#[allow(clippy::disallowed_methods)] // a bench measures time
fn now() -> Instant {
    Instant::now()
}
