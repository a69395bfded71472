//! A gap whose two sides are known: what stood before it fades into what comes after it, each carried on through the
//! gap by its own pitch periods.
//!
//! Nothing is stretched to bring the phases of the two together: it was tried, and is worse by PESQ (P.862). Where the
//! sides differ their sum is smaller than either, and that is heard less than a wrong guess.

use super::pitch;

/// Samples bridged at most: further from both sides nothing is known.
pub(super) const MOST: usize = 160;
/// Samples of what follows that must be known: twice the shortest period, and some more.
pub(super) const LEAST_AFTER: usize = 3 * pitch::SHORTEST;

/// The fade takes the middle of the gap, a little before the half, in parts of it.
const FADE: (f32, f32) = (0.10, 0.80);

/// Leads `gap`, filled with what stood before it carried on by `period`, into `after`.
pub(super) fn bridge(gap: &mut [i16], period: usize, after: &[i16]) {
    let back = Backward::new(after, period);
    let length = gap.len();
    for (k, sample) in gap.iter_mut().enumerate() {
        let place = (k + 1) as f32 / (length + 1) as f32;
        let weight = ((place - FADE.0) / (FADE.1 - FADE.0)).clamp(0.0, 1.0);
        *sample = (f32::from(*sample) * (1.0 - weight) + back.before(length - k) * weight) as i16;
    }
}

/// What follows, carried on backward.
struct Backward<'a> {
    after: &'a [i16],
    period: usize,
    /// A quarter of it, over which it is joined to itself.
    edge: usize,
}

impl<'a> Backward<'a> {
    fn new(after: &'a [i16], near: usize) -> Self {
        let period = pitch::first(after, near);
        Self { after, period, edge: (period / 4).min(after.len() - period) }
    }

    /// The sample so many before the first: the first period again and again, its beginning led out of its end.
    fn before(&self, n: usize) -> f32 {
        let place = (self.period - n % self.period) % self.period;
        let sample = f32::from(self.after[place]);
        if place >= self.edge {
            return sample;
        }
        let weight = (place + 1) as f32 / (self.edge + 1) as f32;
        f32::from(self.after[self.period + place]) * (1.0 - weight) + sample * weight
    }
}
