//! How times are spread, in buckets of 0.1 ms up to a second: no larger for a million packets than for one.

const BUCKET_US: u64 = 100;
const BUCKETS: usize = 10_000;

/// Times and what is said of them, in milliseconds.
#[derive(Clone, Debug)]
pub struct Spread {
    buckets: Vec<u32>,
    count: u64,
    sum_us: u64,
    worst_us: u64,
}

impl Default for Spread {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS + 1], count: 0, sum_us: 0, worst_us: 0 }
    }
}

impl Spread {
    /// One more, in microseconds.
    pub fn add(&mut self, us: u64) {
        let bucket = usize::try_from(us / BUCKET_US).unwrap_or(BUCKETS).min(BUCKETS);
        self.buckets[bucket] = self.buckets[bucket].saturating_add(1);
        self.count += 1;
        self.sum_us = self.sum_us.saturating_add(us);
        self.worst_us = self.worst_us.max(us);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The time that this part of all does not exceed (0.5: the median), to 0.1 ms; none when there are none.
    pub fn at(&self, part: f64) -> Option<f64> {
        let rank = ((self.count as f64 * part).ceil() as u64).max(1);
        let mut before = 0;
        let bucket = self.buckets.iter().position(|&n| {
            before += u64::from(n);
            before >= rank
        })?;
        let end_us = if bucket == BUCKETS { self.worst_us } else { (bucket as u64 + 1) * BUCKET_US };
        Some(end_us.min(self.worst_us) as f64 / 1000.0)
    }

    /// The longest.
    pub fn worst(&self) -> f64 {
        self.worst_us as f64 / 1000.0
    }

    /// The mean; 0 when there are none.
    pub fn mean(&self) -> f64 {
        self.sum_us as f64 / self.count.max(1) as f64 / 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_all_is_told_to_a_tenth_of_a_millisecond() {
        let mut spread = Spread::default();
        assert_eq!(spread.at(0.5), None);
        (1..=100).for_each(|ms| spread.add(ms * 1000 - 50));
        assert_eq!((spread.at(0.5), spread.at(0.99), spread.worst()), (Some(50.0), Some(99.0), 99.95));
        spread.add(9_000_000);
        assert_eq!((spread.at(1.0), spread.count()), (Some(9000.0), 101));
    }
}
