//! How arrival times spread: transit times of the last seconds, in microseconds.

/// Seconds that are looked back: a disturbance is forgotten after 8 to 9 s (reliability R-46 allows 10).
const SECONDS: usize = 9;

/// Least and largest transit time of the last seconds.
///
/// A transit time is when a packet arrived less when its last sample was due: only differences mean
/// anything. The least is the path without queues, and follows a sender's clock that is off.
#[derive(Clone, Debug)]
pub(super) struct Spread {
    seconds: [Second; SECONDS],
    last_least: i64,
}

#[derive(Clone, Copy, Debug)]
struct Second {
    number: i64,
    least: i64,
    most: i64,
}

impl Spread {
    pub(super) fn new() -> Self {
        Self { seconds: [Second { number: i64::MIN, least: 0, most: 0 }; SECONDS], last_least: 0 }
    }

    /// A packet was under way for so long.
    pub(super) fn observe(&mut self, now: i64, transit: i64) {
        let number = now.div_euclid(1_000_000);
        let second = &mut self.seconds[number.rem_euclid(SECONDS as i64) as usize];
        if second.number == number {
            second.least = second.least.min(transit);
            second.most = second.most.max(transit);
        } else {
            *second = Second { number, least: transit, most: transit };
        }
        self.last_least = self.known(now).map_or(transit, |(least, _)| least);
    }

    /// The line was moved under the packets: so much is added to all transit times.
    pub(super) fn shift(&mut self, by: i64) {
        self.last_least += by;
        for second in &mut self.seconds {
            second.least += by;
            second.most += by;
        }
    }

    /// The least transit time, the last one known when nothing came of late.
    pub(super) fn least(&self) -> i64 {
        self.last_least
    }

    /// How far apart the least and the largest are.
    pub(super) fn width(&self, now: i64) -> i64 {
        self.known(now).map_or(0, |(least, most)| most - least)
    }

    fn known(&self, now: i64) -> Option<(i64, i64)> {
        let oldest = now.div_euclid(1_000_000) - SECONDS as i64;
        let recent = self.seconds.iter().filter(|second| second.number > oldest);
        recent.map(|second| (second.least, second.most)).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disturbance_is_forgotten_within_ten_seconds() {
        let mut spread = Spread::new();
        for packet in 0..600 {
            let now = packet * 20_000;
            spread.observe(now, if packet == 10 { 150_000 } else { packet % 5 * 1000 });
            if now == 7_000_000 {
                assert_eq!(spread.width(now), 150_000);
            }
            if now >= 10_200_000 {
                assert_eq!(spread.width(now), 4000);
            }
        }
    }

    #[test]
    fn what_was_known_last_holds_when_nothing_comes() {
        let mut spread = Spread::new();
        spread.observe(0, -700);
        assert_eq!((spread.least(), spread.width(60_000_000)), (-700, 0));
        spread.shift(1000);
        assert_eq!(spread.least(), 300);
    }
}
