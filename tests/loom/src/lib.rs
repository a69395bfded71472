//! Every interleaving of the bell's two sides (`src/media/bell.rs`), with a ring between them of which only the
//! order of its writes matters: one counter, stored with Release and read with Acquire, as `rtrb` does.
#![cfg(all(test, loom))]

#[path = "../../../src/media/bell.rs"]
mod bell;

use bell::Bell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

/// What the sleeper saw on its last look before it would sleep.
fn look(bell: &Bell, left: &AtomicUsize) -> usize {
    bell.arm();
    left.load(Ordering::Acquire)
}

#[test]
fn a_sleeper_sees_what_was_left_or_is_woken() {
    loom::model(|| {
        let (bell, left) = (Arc::new(Bell::new()), Arc::new(AtomicUsize::new(0)));
        let other = {
            let (bell, left) = (Arc::clone(&bell), Arc::clone(&left));
            thread::spawn(move || {
                left.store(1, Ordering::Release);
                bell.ring()
            })
        };
        let seen = look(&bell, &left);
        let woken = other.join().unwrap();
        assert!(seen == 1 || woken, "asleep beside a full ring");
    });
}

#[test]
fn what_is_left_twice_wakes_once_a_sleep_and_is_never_missed() {
    loom::model(|| {
        let (bell, left) = (Arc::new(Bell::new()), Arc::new(AtomicUsize::new(0)));
        let other = {
            let (bell, left) = (Arc::clone(&bell), Arc::clone(&left));
            thread::spawn(move || {
                left.store(1, Ordering::Release);
                let first = bell.ring();
                left.store(2, Ordering::Release);
                let second = bell.ring();
                (first, second)
            })
        };
        let seen = look(&bell, &left);
        let (first, second) = other.join().unwrap();
        assert!(!(first && second), "two wake-ups for one sleep");
        assert!(seen == 2 || first || second, "asleep beside a full ring");
    });
}

#[test]
fn a_sleeper_who_wakes_by_itself_and_sleeps_again_misses_nothing() {
    loom::model(|| {
        let (bell, left) = (Arc::new(Bell::new()), Arc::new(AtomicUsize::new(0)));
        let wakes = Arc::new(AtomicUsize::new(0));
        let other = {
            let (bell, left, wakes) = (Arc::clone(&bell), Arc::clone(&left), Arc::clone(&wakes));
            thread::spawn(move || {
                for n in 1..=2 {
                    left.store(n, Ordering::Release);
                    if bell.ring() {
                        wakes.fetch_add(1, Ordering::Release);
                    }
                }
            })
        };
        look(&bell, &left); // woken by something else
        bell.disarm();
        let drained = left.load(Ordering::Acquire);
        let before = wakes.load(Ordering::Acquire);
        let seen = look(&bell, &left);
        other.join().unwrap();
        // What came after the last look must have rung; a wake-up from before counts too, for it is kept by an
        // eventfd or a Notify until the sleep.
        assert!(seen == 2 || wakes.load(Ordering::Acquire) > 0, "asleep beside a full ring ({drained}, {before})");
    });
}
