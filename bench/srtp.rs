//! What SRTP costs a packet of 20 ms, and what a forger costs.

use std::time::Instant;

use divan::{Bencher, black_box};
use streamkit::rtp::Packet;
use streamkit::rtp::srtp::{Key, Receiving, Sending};
use streamkit::units::Ssrc;

const PACKETS: u16 = 1000;

fn main() {
    divan::main();
}

fn key(short_tag: bool) -> Key {
    Key { short_tag, key: [1; 16], salt: [2; 14] }
}

/// A packet of G.711, and its length.
fn packet(seq: u16) -> ([u8; 200], usize) {
    let mut bytes = [0; 200];
    let timestamp = u32::from(seq) * 160;
    let packet =
        Packet { payload_type: 0, marker: false, seq, timestamp, ssrc: Ssrc(7), payload: &[0x80; 160] };
    let length = packet.write(&mut bytes).expect("it fits");
    (bytes, length)
}

fn sealed(key: Key) -> Vec<([u8; 200], usize)> {
    let mut sending = Sending::new(key);
    let seal = |seq| {
        let (mut bytes, length) = packet(seq);
        let length = sending.protect(&mut bytes, length).expect("it fits");
        (bytes, length)
    };
    (0..PACKETS).map(seal).collect()
}

#[divan::bench(args = [false, true])]
fn protect(bencher: Bencher<'_, '_>, short_tag: bool) {
    let plain: Vec<_> = (0..PACKETS).map(packet).collect();
    bencher
        .counter(u32::from(PACKETS))
        .with_inputs(|| (Sending::new(key(short_tag)), plain.clone()))
        .bench_local_refs(|(sending, packets)| {
            for (bytes, length) in packets {
                black_box(sending.protect(bytes, *length));
            }
        });
}

#[divan::bench(args = [false, true])]
fn open(bencher: Bencher<'_, '_>, short_tag: bool) {
    let sealed = sealed(key(short_tag));
    let now = begin();
    bencher.counter(u32::from(PACKETS)).with_inputs(|| Receiving::new(key(short_tag), 0)).bench_local_refs(
        |receiving| {
            for (bytes, length) in &sealed {
                black_box(receiving.open(now, &bytes[..*length])).expect("authentic");
            }
        },
    );
}

/// Packets of the call's own source with a wrong tag, and packets of sources that are made up.
#[divan::bench(args = [false, true])]
fn refuse(bencher: Bencher<'_, '_>, made_up: bool) {
    let good = sealed(key(false));
    let mut forged = good.clone();
    for (at, (bytes, length)) in forged.iter_mut().enumerate() {
        bytes[*length - 1] ^= 1;
        if made_up {
            bytes[10..12].copy_from_slice(&(at as u16).to_be_bytes());
        }
    }
    let now = begin();
    let opened = || {
        let mut receiving = Receiving::new(key(false), 0);
        receiving.open(now, &good[0].0[..good[0].1]).expect("authentic");
        receiving
    };
    bencher.counter(u32::from(PACKETS)).with_inputs(opened).bench_local_refs(|receiving| {
        for (bytes, length) in &forged {
            assert!(black_box(receiving.open(now, &bytes[..*length])).is_err());
        }
    });
}

/// New keys: what a call's beginning and a re-keying cost.
#[divan::bench]
fn new_keys(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| black_box((Sending::new(key(false)), Receiving::new(key(false), 0))));
}

#[allow(clippy::disallowed_methods)] // a bench begins now
fn begin() -> Instant {
    Instant::now()
}
