//! Calls from end to end, in a world of our own: a scenario a test, a subject a file.

#[path = "../world/mod.rs"]
mod world;

mod accounts;
mod answering;
mod barging;
mod bot_leaves;
mod cancelling;
mod conformance;
mod connecting;
mod dynamic;
mod encryption;
mod floods;
mod forks;
mod keys;
mod ladder;
mod limits;
mod manners;
mod network;
mod partings;
mod plain;
mod playing;
mod refusals;
mod reoffers;
mod sessions;
mod signalling;
mod storm;

use streamkit::audio::tone::Tone;
use streamkit::ids::Entropy;
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

/// So many milliseconds at the telephone's rate of which no part is like another, and no sample is silent: what is lost
/// of it, or said twice, is seen.
fn words(seed: u64, length_ms: usize) -> Vec<i16> {
    let mut chance = Entropy::seeded(seed);
    let mut sample = || {
        let loud = 200 + chance.below(8000) as i16;
        if chance.below(2) == 0 { loud } else { -loud }
    };
    std::iter::repeat_with(&mut sample).take(8 * length_ms).collect()
}
