//! The handshake between one who leaves things in a ring and one who may be asleep: at most one wake-up is sent
//! for a sleep, none to somebody awake, and none is ever missing.
//!
//! ```text
//!  sleeper:  drain · arm · look once more · sleep        other side:  leave · ring ── true ──► wake the sleeper
//! ```
//!
//! Both sides write first and read the other's word second, with a full fence between (Dekker): at least one of
//! them sees the other. `tests/loom` checks every interleaving.

#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, Ordering, fence};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// Whether the sleeper wants to be woken.
#[derive(Debug)]
pub struct Bell {
    armed: AtomicBool,
}

impl Bell {
    /// Nobody sleeps.
    pub fn new() -> Self {
        Self { armed: AtomicBool::new(false) }
    }

    /// Before sleeping. The sleeper must look once more at all it waits for after this.
    pub fn arm(&self) {
        // Swapped, so that it stands after a `ring` of an earlier sleep in every order there is.
        self.armed.swap(true, Ordering::AcqRel);
        fence(Ordering::SeqCst);
    }

    /// Awake again: wake-ups would be wasted.
    pub fn disarm(&self) {
        self.armed.store(false, Ordering::Relaxed);
    }

    /// After something was left: true exactly once a sleep, for the one who must send the wake-up.
    pub fn ring(&self) -> bool {
        fence(Ordering::SeqCst);
        self.armed.load(Ordering::Relaxed) && self.armed.swap(false, Ordering::AcqRel)
    }
}

impl Default for Bell {
    fn default() -> Self {
        Self::new()
    }
}
