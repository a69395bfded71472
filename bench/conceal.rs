//! What a frame of 20 ms costs in concealment: one that came, one that is lost, one whose two sides are known.

use divan::{Bencher, black_box};
use streamkit::audio::Concealer;

const FRAME: usize = 160;

fn main() {
    divan::main();
}

/// A voice of 125 Hz with overtones.
fn voice() -> Vec<i16> {
    let sample = |i: usize| {
        let t = i as f64 / 8000.0 * std::f64::consts::TAU * 125.0;
        6000.0 * t.sin() + 3000.0 * (2.0 * t).sin() + 1500.0 * (5.0 * t + 1.0).sin()
    };
    (0..6 * FRAME).map(|i| sample(i) as i16).collect()
}

fn primed() -> Concealer {
    let mut concealer = Concealer::new();
    voice()[..4 * FRAME].chunks(FRAME).for_each(|frame| concealer.good(&mut frame.to_vec()));
    concealer
}

fn run(bencher: Bencher<'_, '_>, step: fn(&mut Concealer, &mut [i16; FRAME], &[i16])) {
    let (primed, next) = (primed(), voice());
    let next = &next[5 * FRAME..];
    bencher.with_inputs(|| (primed.clone(), [100; FRAME])).bench_local_values(
        |(mut concealer, mut frame)| {
            step(&mut concealer, black_box(&mut frame), black_box(next));
            (concealer, frame)
        },
    );
}

#[divan::bench]
fn came(bencher: Bencher<'_, '_>) {
    run(bencher, |concealer, frame, _| concealer.good(frame));
}

#[divan::bench]
fn lost(bencher: Bencher<'_, '_>) {
    run(bencher, |concealer, frame, _| concealer.lost(frame));
}

#[divan::bench]
fn bridged(bencher: Bencher<'_, '_>) {
    run(bencher, |concealer, frame, next| concealer.bridge(frame, next));
}
