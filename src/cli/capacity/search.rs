//! Which number of calls is tried next: doubled until one breaks, then between. A pure core.

/// Two numbers closer than this part of the lower one are one.
const NEAR: u32 = 10;
/// And never closer than so many calls.
const NEAREST: u32 = 5;

/// The search for the highest number that keeps every promise.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    good: u32,
    bad: Option<u32>,
    from: u32,
    most: u32,
}

impl Search {
    pub(super) fn new(from: u32, most: u32) -> Self {
        Self { good: 0, bad: None, from: from.min(most), most }
    }

    /// What to try; none when it is found.
    pub(super) fn next(&self) -> Option<u32> {
        let Some(bad) = self.bad else {
            let next = if self.good == 0 { self.from } else { self.good.saturating_mul(2).min(self.most) };
            return (next > self.good).then_some(next);
        };
        let near = (self.good / NEAR).max(NEAREST);
        let between = self.good + (bad - self.good) / 2;
        (bad - self.good > near && between > self.good).then_some(between)
    }

    /// How it went.
    pub(super) fn found(&mut self, calls: u32, good: bool) {
        match good {
            true => self.good = self.good.max(calls),
            false => self.bad = Some(self.bad.map_or(calls, |bad| bad.min(calls))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers tried on a machine that takes so many.
    fn tried(from: u32, most: u32, takes: u32) -> (Vec<u32>, u32) {
        let mut search = Search::new(from, most);
        let mut tried = Vec::new();
        while let Some(calls) = search.next() {
            search.found(calls, calls <= takes);
            tried.push(calls);
        }
        (tried, search.good)
    }

    #[test]
    fn it_doubles_until_one_breaks_and_then_goes_between() {
        let (tried, good) = tried(50, 5000, 370);
        assert_eq!(tried, [50, 100, 200, 400, 300, 350, 375]);
        assert_eq!(good, 350);
    }

    #[test]
    fn it_ends_at_the_most_and_at_nothing() {
        assert_eq!(tried(50, 120, 5000), (vec![50, 100, 120], 120));
        assert_eq!(tried(50, 5000, 0), (vec![50, 25, 12, 6, 3], 0));
        assert_eq!(tried(50, 20, 20), (vec![20], 20));
    }

    #[test]
    fn it_is_always_within_a_tenth_and_never_takes_long() {
        for takes in 0..3000 {
            let (tried, good) = tried(50, 5000, takes);
            assert!(good <= takes && takes - good <= (good / 10).max(NEAREST), "{takes}: {good}");
            assert!(tried.len() <= 13, "{takes}: {tried:?}");
        }
    }
}
