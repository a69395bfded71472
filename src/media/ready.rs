//! Who of many is to be looked at: marked by media cores and whoever else has something for a stream, swept by the
//! one thread that looks after them all.
//!
//! ```text
//!  media core:  leave in a ring · mark ·  …  · mark · end of the step: ring ──► one wake-up ──► sweep: the marked
//! ```
//!
//! A mark is one bit, so that marking twice costs nothing, nothing overflows, and any thread may do it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use nix::sys::eventfd::EventFd;

use super::bell::Bell;
use super::socket::event_fd;

/// Places there are.
pub const PLACES: u32 = 1 << 16;
const BITS: u32 = u64::BITS;

/// The marks of one thread's streams, and the bell that wakes it.
#[derive(Debug)]
pub struct Ready {
    marks: Box<[AtomicU64]>,
    /// Words of `marks` that have ever had a mark: what lies behind them need not be swept.
    used: AtomicUsize,
    bell: Bell,
    fd: EventFd,
}

impl Ready {
    /// No marks.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn new() -> io::Result<Self> {
        let marks = (0..PLACES / BITS).map(|_| AtomicU64::new(0)).collect();
        Ok(Self { marks, used: AtomicUsize::new(0), bell: Bell::new(), fd: event_fd()? })
    }

    /// Becomes readable, anew with every wake-up; it is never to be read: who waits for its edges sees each.
    pub fn fd(&self) -> &EventFd {
        &self.fd
    }

    /// Marks a place, below `PLACES`. Its thread sees it at its next sweep; `ring` brings that about.
    pub fn mark(&self, place: u32) {
        let (word, bit) = ((place / BITS) as usize, 1 << (place % BITS));
        if let Some(marks) = self.marks.get(word) {
            if self.used.load(Ordering::Relaxed) <= word {
                self.used.fetch_max(word + 1, Ordering::Relaxed);
            }
            marks.fetch_or(bit, Ordering::AcqRel);
        }
    }

    /// Wakes the thread if it sleeps.
    pub fn ring(&self) {
        if self.bell.ring() {
            let _ = self.fd.write(1); // fails only when it has been rung 2^64 times
        }
    }

    /// To be called before sleeping. False: something is marked, there is no time to sleep.
    pub fn may_sleep(&self) -> bool {
        self.bell.arm();
        let marked = self.words().iter().any(|marks| marks.load(Ordering::Acquire) != 0);
        if marked {
            self.bell.disarm();
        }
        !marked
    }

    /// To be called after sleeping.
    pub fn awake(&self) {
        self.bell.disarm();
    }

    /// Takes away the marks, and calls with each.
    pub fn sweep(&self, mut each: impl FnMut(u32)) {
        for (word, marks) in self.words().iter().enumerate() {
            if marks.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let mut found = marks.swap(0, Ordering::AcqRel);
            while found != 0 {
                each(word as u32 * BITS + found.trailing_zeros());
                found &= found - 1;
            }
        }
    }

    fn words(&self) -> &[AtomicU64] {
        let used = self.used.load(Ordering::Relaxed).min(self.marks.len());
        self.marks.get(..used).unwrap_or_default()
    }
}

/// One stream's place in a `Ready`.
#[derive(Clone, Debug)]
pub struct Knock {
    ready: Arc<Ready>,
    place: u32,
}

impl Knock {
    /// The place, below `PLACES`.
    pub fn new(ready: Arc<Ready>, place: u32) -> Self {
        Self { ready, place }
    }

    /// Marks it; `Ready::ring` is to follow.
    pub fn mark(&self) {
        self.ready.mark(self.place);
    }

    /// Where it is.
    pub fn ready(&self) -> &Arc<Ready> {
        &self.ready
    }

    /// Marks it and wakes its thread.
    pub fn now(&self) {
        self.mark();
        self.ready.ring();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn swept(ready: &Ready) -> Vec<u32> {
        let mut places = Vec::new();
        ready.sweep(|place| places.push(place));
        places
    }

    #[test]
    fn every_mark_is_swept_once_and_in_order() {
        let ready = Ready::new().expect("a descriptor");
        for place in [700, 3, 64, 63, 3, PLACES - 1, PLACES] {
            ready.mark(place);
        }
        assert_eq!(swept(&ready), [3, 63, 64, 700, PLACES - 1], "the last is no place");
        assert!(swept(&ready).is_empty());
    }

    #[test]
    fn who_is_marked_is_not_let_sleep_and_who_sleeps_is_woken_once() {
        let ready = Arc::new(Ready::new().expect("a descriptor"));
        let knock = Knock::new(Arc::clone(&ready), 9);
        knock.now();
        assert!(ready.fd.read().is_err(), "nobody slept");
        assert!(!ready.may_sleep());
        assert_eq!(swept(&ready), [9]);
        assert!(ready.may_sleep());
        knock.now();
        knock.now();
        assert_eq!(ready.fd.read().ok(), Some(1));
        ready.awake();
        assert_eq!(swept(&ready), [9]);
    }
}
