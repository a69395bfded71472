//! Memory that calls have left goes back to the system once many of them are over: the allocator keeps it by itself.

use std::time::{Duration, Instant};

/// Between two times at least: it costs a millisecond or two.
const EVERY: Duration = Duration::from_secs(10);
/// Calls that must have gone since the last time: what fewer leave behind is soon used again.
const WORTH: u32 = 16;

/// When memory is worth giving back.
#[derive(Debug, Default)]
pub(super) struct Heap {
    /// Most calls there were since the last time.
    most: u32,
    last: Option<Instant>,
}

impl Heap {
    /// So many calls are up; true: now is the time.
    pub(super) fn look(&mut self, now: Instant, calls: u32) -> bool {
        self.most = self.most.max(calls);
        let rested = self.last.is_none_or(|last| now.saturating_duration_since(last) >= EVERY);
        let worth = self.most - calls >= WORTH && calls <= self.most / 2;
        if rested && worth {
            (self.most, self.last) = (calls, Some(now));
        }
        rested && worth
    }
}

/// Gives back what is free.
pub(super) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes a number and touches nothing but free memory, under the allocator's own locks.
    unsafe {
        nix::libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)] // any beginning will do
    use super::*;

    #[test]
    fn memory_is_given_back_once_after_a_rush_and_not_between_calls() {
        let (began, mut heap) = (Instant::now(), Heap::default());
        let mut look = |second, calls| heap.look(began + Duration::from_secs(second), calls);
        assert!(!look(0, 0));
        assert!(!look(1, 100));
        assert!(!look(2, 60), "most are up");
        assert!(look(3, 50));
        assert!(!look(4, 20), "so soon again");
        assert!(look(13, 20));
        assert!(look(30, 4));
        assert!(!look(60, 0), "four calls are not worth it");
    }
}
