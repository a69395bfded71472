//! Calls from end to end, in a world of our own: a scenario a test, a subject a file.

#[path = "../world/mod.rs"]
mod world;

mod accounts;
mod answering;
mod bot_leaves;
mod cancelling;
mod encryption;
mod keys;
mod ladder;
mod limits;
mod network;
mod plain;
mod playing;
mod refusals;
mod reoffers;
mod sessions;
mod signalling;
mod storm;

use streamkit::audio::tone::Tone;
use streamkit::units::SampleRate;

/// So many milliseconds of a tone at a rate.
fn tone_at(rate: SampleRate, hz: f64, length_ms: u32) -> Vec<i16> {
    let mut samples = vec![0; rate.samples(length_ms)];
    Tone::sine(rate, hz, 8000).fill(&mut samples);
    samples
}

/// The same at the telephone's rate.
fn tone(hz: f64, length_ms: u32) -> Vec<i16> {
    tone_at(SampleRate::Hz8000, hz, length_ms)
}
