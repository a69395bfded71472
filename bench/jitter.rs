//! What a packet costs in the jitter buffer.

use std::time::{Duration, Instant};

use divan::{Bencher, black_box};
use streamkit::rtp::jitter::{Arrival, Item, JitterBuffer, Kind};
use streamkit::units::Ssrc;

const PACKETS: u32 = 1000;

fn main() {
    divan::main();
}

/// A second's worth of packets times twenty; `skip` says which do not come.
fn run(bencher: Bencher<'_, '_>, skip: fn(u32) -> bool, swap: bool) {
    #![allow(clippy::disallowed_methods)] // a bench begins now
    let start = Instant::now();
    let payload = [0xD5; 160];
    bencher
        .counter(PACKETS)
        .with_inputs(|| JitterBuffer::new(start, Duration::from_millis(200)))
        .bench_local_values(|mut line| {
            for i in 0..PACKETS {
                let i = if swap { i ^ 1 } else { i };
                let now = start + Duration::from_millis(20) * (i + 1);
                if !skip(i) {
                    let arrival = Arrival {
                        ssrc: Ssrc(1),
                        seq: i as u16,
                        timestamp: i * 160,
                        kind: Kind::Audio,
                        payload: black_box(&payload),
                    };
                    let _ = line.push(now, arrival);
                }
                while let Some(item) = line.pop(now) {
                    if let Item::Audio(octets) = item {
                        black_box(octets);
                    }
                }
                black_box(line.poll_timeout());
            }
            line
        });
}

#[divan::bench]
fn in_order(bencher: Bencher<'_, '_>) {
    run(bencher, |_| false, false);
}

#[divan::bench]
fn a_tenth_lost(bencher: Bencher<'_, '_>) {
    run(bencher, |i| i % 10 == 3, false);
}

#[divan::bench]
fn every_pair_swapped(bencher: Bencher<'_, '_>) {
    run(bencher, |_| false, true);
}
