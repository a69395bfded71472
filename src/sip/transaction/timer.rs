//! The timers of RFC 3261 Table 4, and the queue of everything that waits for a time.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// The values every timer is made of (sip-trunk.md section 5).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timers {
    /// Estimate of the round trip.
    pub(crate) t1: Duration,
    /// Longest interval between two repetitions.
    pub(crate) t2: Duration,
    /// Longest a message stays in the network.
    pub(crate) t4: Duration,
}

impl Timers {
    /// T2 and T4 are the RFC's; a T1 longer than T2 (a satellite) lifts T2 with it.
    pub(crate) fn new(t1: Duration) -> Self {
        let t1 = t1.clamp(Duration::from_millis(10), Duration::from_secs(10));
        Self { t1, t2: t1.max(Duration::from_secs(4)), t4: Duration::from_secs(5) }
    }

    /// Timers B, F, H, L and M, J on datagrams, and the wait for an ACK: 64·T1.
    pub(crate) fn give_up(&self) -> Duration {
        64 * self.t1
    }

    /// Timer D: at least 32 s on datagrams.
    pub(crate) fn absorb_failure(&self) -> Duration {
        self.give_up().max(Duration::from_secs(32))
    }
}

/// When to send again: the interval doubles up to a cap, if there is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    /// When.
    pub(crate) at: Instant,
    interval: Duration,
    cap: Option<Duration>,
}

impl Backoff {
    /// First after `first`, then ever later: timer A has no cap, E, G and the 2xx have T2.
    pub(crate) fn new(now: Instant, first: Duration, cap: Option<Duration>) -> Self {
        Self { at: now + first, interval: first, cap }
    }

    /// Whether it is time; if so the next time is set.
    pub(crate) fn due(&mut self, now: Instant) -> bool {
        if now < self.at {
            return false;
        }
        let doubled = self.interval * 2;
        self.interval = self.cap.map_or(doubled, |cap| doubled.min(cap));
        self.at = now + self.interval;
        true
    }

    /// From now on the longest interval only (timer E in Proceeding).
    pub(crate) fn slow_down(&mut self) {
        self.interval = self.cap.unwrap_or(self.interval);
    }
}

/// Times at which what is over is forgotten, all of it at once: nobody hears of it, and being woken is what it costs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Grid(Option<Instant>);

impl Grid {
    const STEP: Duration = Duration::from_millis(100);

    /// The first of them that is not before `at`, and less than a step after it.
    pub(crate) fn from(&mut self, at: Instant) -> Instant {
        let origin = *self.0.get_or_insert(at);
        let steps = at.saturating_duration_since(origin).as_nanos().div_ceil(Self::STEP.as_nanos());
        u32::try_from(steps).map_or(at, |steps| origin + Self::STEP * steps)
    }
}

/// The earlier of two times that may not be set.
pub(crate) fn earliest(times: impl IntoIterator<Item = Option<Instant>>) -> Option<Instant> {
    times.into_iter().flatten().min()
}

/// Who waits for when: one deadline a key, the earliest first.
#[derive(Debug)]
pub(crate) struct Deadlines<K> {
    queue: BTreeSet<(Instant, K)>,
    armed: HashMap<K, Instant>,
}

impl<K: Copy + Ord + Hash> Deadlines<K> {
    /// Nobody waits.
    pub(crate) fn new() -> Self {
        Self { queue: BTreeSet::new(), armed: HashMap::new() }
    }

    /// `key` waits for `when`, whatever it waited for before.
    pub(crate) fn arm(&mut self, key: K, when: Option<Instant>) {
        let before = match when {
            Some(when) => self.armed.insert(key, when),
            None => self.armed.remove(&key),
        };
        if before == when {
            return;
        }
        if let Some(before) = before {
            self.queue.remove(&(before, key));
        }
        if let Some(when) = when {
            self.queue.insert((when, key));
        }
    }

    /// When the first of them is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(when, _)| *when)
    }

    /// One whose time has come; it no longer waits.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<K> {
        let (when, key) = *self.queue.first()?;
        if when > now {
            return None;
        }
        self.queue.pop_first();
        self.armed.remove(&key);
        Some(key)
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.armed.len()
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a beginning for simulated time
mod tests {
    use super::*;

    #[test]
    fn an_interval_doubles_up_to_its_cap() {
        let start = Instant::now();
        let timers = Timers::new(Duration::from_millis(500));
        let mut backoff = Backoff::new(start, timers.t1, Some(timers.t2));
        let mut at = Vec::new();
        for _ in 0..6 {
            let now = backoff.at;
            assert!(backoff.due(now));
            at.push((now - start).as_millis());
        }
        assert_eq!(at, [500, 1500, 3500, 7500, 11_500, 15_500]);
    }

    #[test]
    fn a_grid_gathers_times_and_puts_none_forward() {
        let (start, mut grid) = (Instant::now(), Grid::default());
        let mut at = |ms| (grid.from(start + Duration::from_millis(ms)) - start).as_millis();
        assert_eq!((at(7), at(8), at(106), at(107), at(108)), (7, 107, 107, 107, 207));
    }

    #[test]
    fn arming_again_replaces_and_none_forgets() {
        let now = Instant::now();
        let mut deadlines = Deadlines::new();
        deadlines.arm(1, Some(now + Duration::from_secs(5)));
        deadlines.arm(1, Some(now + Duration::from_secs(1)));
        deadlines.arm(2, Some(now + Duration::from_secs(2)));
        assert_eq!(deadlines.pop(now), None);
        assert_eq!(deadlines.pop(now + Duration::from_secs(9)), Some(1));
        deadlines.arm(2, None);
        assert_eq!((deadlines.next(), deadlines.len()), (None, 0));
    }
}
