//! A worker's thread: which core, which priority, how exact its sleep.

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::prctl;
use nix::unistd::Pid;

/// What the system refused; the thread runs all the same.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// The core does not exist or is not ours.
    #[error("media thread not pinned to core {core}: {errno}")]
    Pin {
        /// Which.
        core: usize,
        /// Why.
        errno: nix::errno::Errno,
    },
    /// No right to real-time scheduling (CAP_SYS_NICE or RLIMIT_RTPRIO).
    #[error("no real-time scheduling for the media thread: {0}")]
    Realtime(nix::errno::Errno),
}

/// Pins the calling thread to `core`.
pub(super) fn to_core(core: usize) -> Result<(), Refused> {
    let refused = |errno| Refused::Pin { core, errno };
    let mut set = CpuSet::new();
    set.set(core).map_err(refused)?;
    sched_setaffinity(Pid::from_raw(0), &set).map_err(refused)
}

/// Lets the calling thread run before all that is not real-time, at the lowest such priority.
pub(super) fn realtime() -> Result<(), Refused> {
    let param = nix::libc::sched_param { sched_priority: 1 };
    // SAFETY: `param` is a valid sched_param that outlives the call; pid 0 is the calling thread.
    let done = unsafe { nix::libc::sched_setscheduler(0, nix::libc::SCHED_FIFO, &raw const param) };
    nix::errno::Errno::result(done).map(drop).map_err(Refused::Realtime)
}

/// Sleeps end when asked, not up to 50 µs later as the system likes by default.
pub(super) fn exact_sleep() {
    // Refused on no known kernel; if it were, the grid is 50 µs less sharp.
    let _ = prctl::set_timerslack(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_pinned_to_a_core_there_is() {
        std::thread::spawn(|| {
            let ours = nix::sched::sched_getaffinity(Pid::from_raw(0)).expect("readable");
            let core = (0..CpuSet::count()).find(|&core| ours.is_set(core) == Ok(true)).expect("a core");
            to_core(core).expect("ours");
            let now = nix::sched::sched_getaffinity(Pid::from_raw(0)).expect("readable");
            assert_eq!((0..CpuSet::count()).filter(|&core| now.is_set(core) == Ok(true)).count(), 1);
            assert!(matches!(to_core(CpuSet::count() - 1), Err(Refused::Pin { .. })));
        })
        .join()
        .expect("the thread ends well");
    }
}
