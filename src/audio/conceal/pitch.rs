//! The pitch period of a voice: the lag at which it is most like itself.

/// 66 to 200 Hz.
pub(super) const SHORTEST: usize = 40;
const LONGEST: usize = 120;
/// Samples that are compared to find the period.
const COMPARED: usize = 160;

/// What a lag twice the expected one is held to be worse.
const NEAR: f32 = 0.5;

/// The lag at which the last 20 ms are most like what stood before: every second one first, then about it.
pub(super) fn last(history: &[i16]) -> usize {
    let likeness = |lag: usize, step| {
        let from = history.len() - COMPARED;
        likeness(&history[from..], &history[from - lag..], step)
    };
    let about = best((SHORTEST..=LONGEST).step_by(2), |lag| likeness(lag, 2));
    best(about.max(SHORTEST + 1) - 1..=(about + 1).min(LONGEST), |lag| likeness(lag, 1))
}

/// The lag at which the beginning of `after` (two of the shortest periods or more) is most like what follows it, near
/// another one where that is as good: little is known of it.
pub(super) fn first(after: &[i16], near: usize) -> usize {
    let longest = LONGEST.min(after.len() / 2);
    let compared = after.len() - longest;
    best(SHORTEST..=longest, |lag| {
        let off = lag.abs_diff(near) as f32 / near as f32;
        likeness(&after[..compared], &after[lag..], 1) * (1.0 - NEAR * off.min(1.0))
    })
}

fn best(lags: impl Iterator<Item = usize>, likeness: impl Fn(usize) -> f32) -> usize {
    lags.map(|lag| (lag, likeness(lag))).max_by(|a, b| a.1.total_cmp(&b.1)).map_or(LONGEST, |(lag, _)| lag)
}

fn likeness(one: &[i16], other: &[i16], step: usize) -> f32 {
    let (mut product, mut energy) = (0.0_f32, 1.0_f32);
    for (&a, &b) in one.iter().zip(other).step_by(step) {
        product += f32::from(a) * f32::from(b);
        energy += f32::from(b) * f32::from(b);
    }
    product / energy.sqrt()
}
