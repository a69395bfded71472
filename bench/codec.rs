//! What a 20 ms frame costs: G.711, resampling, concealment.

use divan::{Bencher, black_box};
use streamkit::audio::{Concealer, G711, Resampler, codec};
use streamkit::units::SampleRate;

const LAWS: [G711; 2] = [G711::Mu, G711::A];
const PAIRS: [(u32, u32); 4] = [(8000, 16_000), (8000, 24_000), (16_000, 8000), (24_000, 8000)];

fn main() {
    divan::main();
}

fn speech(samples: usize) -> Vec<i16> {
    (0..samples)
        .map(|i| (6000.0 * (i as f64 * 0.1).sin() + 3000.0 * (i as f64 * 0.31).sin()) as i16)
        .collect()
}

#[divan::bench(args = LAWS)]
fn decode(bencher: Bencher<'_, '_>, law: G711) {
    let octets: Vec<u8> = (0..160).map(|i| (i * 7) as u8).collect();
    let mut samples = [0; 160];
    bencher.bench_local(|| codec::decode(law, black_box(&octets), black_box(&mut samples)));
}

#[divan::bench(args = LAWS)]
fn encode(bencher: Bencher<'_, '_>, law: G711) {
    let samples = speech(160);
    let mut octets = [0; 160];
    bencher.bench_local(|| codec::encode(law, black_box(&samples), black_box(&mut octets)));
}

#[divan::bench(args = PAIRS)]
fn resample(bencher: Bencher<'_, '_>, (from, to): (u32, u32)) {
    let rate = |hz| SampleRate::from_hz(hz).expect("a rate of ours");
    let mut resampler = Resampler::new(rate(from), rate(to));
    let input = speech(rate(from).samples(20));
    let mut out = vec![0; resampler.max_output(input.len())];
    bencher.bench_local(|| resampler.process(black_box(&input), black_box(&mut out)));
}

#[divan::bench]
fn conceal_one_frame(bencher: Bencher<'_, '_>) {
    let mut heard = Concealer::new();
    heard.good(&mut speech(800));
    let mut out = [0; 160];
    bencher.with_inputs(|| heard.clone()).bench_local_values(|mut concealer| {
        concealer.lost(black_box(&mut out));
        concealer
    });
}

#[divan::bench]
fn remember_one_frame(bencher: Bencher<'_, '_>) {
    let mut concealer = Concealer::new();
    let mut frame = speech(160);
    bencher.bench_local(|| concealer.good(black_box(&mut frame)));
}
