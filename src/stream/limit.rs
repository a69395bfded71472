//! How much of a thing there may be in a time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// So many at once, then one every so often: the generic cell rate algorithm, one instant of memory.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    /// When the bucket is full again.
    full: Option<Instant>,
    every: Duration,
    burst: u32,
}

impl Bucket {
    pub(crate) fn new(burst: u32, per_second: u32) -> Self {
        Self { full: None, every: Duration::from_secs(1) / per_second, burst }
    }

    /// Takes one, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        if now < self.ready(now) {
            return false;
        }
        self.full = Some(self.full.map_or(now, |full| full.max(now)) + self.every);
        true
    }

    /// When there is one to take: `now` if there is.
    pub(crate) fn ready(&self, now: Instant) -> Instant {
        let spare = self.every * (self.burst - 1);
        self.full.and_then(|full| full.checked_sub(spare)).map_or(now, |ready| ready.max(now))
    }
}

/// More than so many within a span of time.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    seen: VecDeque<Instant>,
    most: usize,
    span: Duration,
}

impl Window {
    pub(crate) fn new(most: usize, span: Duration) -> Self {
        Self { seen: VecDeque::new(), most, span }
    }

    /// One more was seen; true if that is too many.
    pub(crate) fn add(&mut self, now: Instant) -> bool {
        while self.seen.front().is_some_and(|&at| now.saturating_duration_since(at) >= self.span) {
            self.seen.pop_front();
        }
        if self.seen.len() >= self.most {
            return true;
        }
        self.seen.push_back(now);
        false
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)] // any instant will do: only differences are looked at
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let (now, mut bucket) = (Instant::now(), Bucket::new(500, 100));
        assert_eq!((0..1000).filter(|_| bucket.take(now)).count(), 500);
        assert_eq!(bucket.ready(now) - now, Duration::from_millis(10));
        let later = now + Duration::from_secs(1);
        assert_eq!((0..1000).filter(|_| bucket.take(later)).count(), 100);
        let rested = later + Duration::from_secs(60);
        assert_eq!((0..1000).filter(|_| bucket.take(rested)).count(), 500);
    }

    #[test]
    fn a_window_forgets_what_is_past() {
        let (now, mut window) = (Instant::now(), Window::new(200, Duration::from_secs(10)));
        assert!((0..200).all(|_| !window.add(now)));
        assert!(window.add(now));
        assert!(!window.add(now + Duration::from_secs(10)));
    }
}
