//! What becomes of each packet, decided by a seed: the same seed and the same packets, the same fates.

use std::time::{Duration, Instant};

use arrayvec::ArrayVec;

use crate::ids::Entropy;

/// What a stretch of network does to packets; probabilities from 0 to 1. The default does nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Impairment {
    /// Packets lost, over all.
    pub loss: f64,
    /// Mean length of a run of lost packets; up to 1: each by itself (Gilbert's model above).
    pub burst: f64,
    /// Packets that come twice.
    pub duplicate: f64,
    /// Packets that are overtaken: held back by `held` while others pass.
    pub reorder: f64,
    /// How long those are held back.
    pub held: Duration,
    /// Every packet is so late.
    pub delay: Duration,
    /// And up to so much later, evenly spread, without overtaking.
    pub jitter: Duration,
}

/// Decides in order of arrival.
#[derive(Debug)]
pub struct Fates {
    impairment: Impairment,
    chance: Entropy,
    losing: bool,
    last: Option<Instant>,
}

impl Fates {
    /// Fates drawn from `seed`.
    pub fn new(seed: u64, impairment: Impairment) -> Self {
        Self { impairment, chance: Entropy::seeded(seed), losing: false, last: None }
    }

    /// When the packet that came at `now` is delivered: never, once or twice.
    pub fn judge(&mut self, now: Instant) -> ArrayVec<Instant, 2> {
        let mut due = ArrayVec::new();
        // Every packet draws the same number of lots, so that changing one probability leaves the others' fates.
        let [loss, duplicate, reorder, jitter] = [(); 4].map(|()| self.lot());
        let Impairment { held, delay, jitter: most, .. } = self.impairment;
        if self.loses(loss) {
            return due;
        }
        let mut at = now + delay + most.mul_f64(jitter);
        if reorder < self.impairment.reorder {
            at += held;
        } else {
            at = self.last.map_or(at, |last| at.max(last));
            self.last = Some(at);
        }
        due.push(at);
        if duplicate < self.impairment.duplicate {
            due.push(at);
        }
        due
    }

    /// Two states: within a run of losses the next is lost with 1 - 1/burst.
    fn loses(&mut self, lot: f64) -> bool {
        let Impairment { loss, burst, .. } = self.impairment;
        let end = 1.0 / burst.max(1.0);
        let begin = end * loss / (1.0 - loss);
        self.losing = match (burst > 1.0 && loss < 1.0, self.losing) {
            (false, _) => lot < loss,
            (true, true) => lot >= end,
            (true, false) => lot < begin,
        };
        self.losing
    }

    fn lot(&mut self) -> f64 {
        f64::from(self.chance.u32()) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(impairment: Impairment, packets: u32) -> Vec<ArrayVec<Instant, 2>> {
        let (mut fates, start) = (Fates::new(3, impairment), Instant::now());
        (0..packets).map(|n| fates.judge(start + n * Duration::from_millis(20))).collect()
    }

    fn lost(fates: &[ArrayVec<Instant, 2>]) -> usize {
        fates.iter().filter(|f| f.is_empty()).count()
    }

    #[test]
    fn losses_come_as_often_and_in_such_runs_as_asked() {
        for burst in [1.0, 4.0] {
            let fates = fates(Impairment { loss: 0.1, burst, ..Impairment::default() }, 20_000);
            assert!((1700..2300).contains(&lost(&fates)), "{}", lost(&fates));
            let runs = fates.windows(2).filter(|w| !w[0].is_empty() && w[1].is_empty()).count();
            let mean = lost(&fates) as f64 / runs as f64;
            assert!((mean - burst).abs() < 0.4 * burst, "{mean}");
        }
        assert_eq!(lost(&fates(Impairment { loss: 1.0, burst: 3.0, ..Impairment::default() }, 50)), 50);
    }

    #[test]
    fn jitter_keeps_the_order_and_holding_back_breaks_it() {
        let jittered = Impairment { jitter: Duration::from_millis(80), ..Impairment::default() };
        let order = |fates: &[ArrayVec<Instant, 2>]| fates.windows(2).filter(|w| w[1][0] < w[0][0]).count();
        assert_eq!(order(&fates(jittered, 500)), 0);
        let held = Duration::from_millis(50);
        assert!(order(&fates(Impairment { reorder: 0.1, held, ..jittered }, 500)) > 20);
    }

    #[test]
    fn duplicates_come_twice() {
        let twice = fates(Impairment { duplicate: 0.25, ..Impairment::default() }, 1000);
        let count = twice.iter().filter(|f| f.len() == 2).count();
        assert!((200..300).contains(&count), "{count}");
    }
}
