//! What the operator asks by signals (reliability ): SIGTERM and SIGINT, once to drain and once more to
//! end at once; SIGHUP to reload.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// No new calls; end when those that are up have ended.
    Drain,
    /// End now, with BYE to every call.
    StopNow,
    /// Read the configuration again.
    Reload,
}

/// The signals of this process, as long as it is kept.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    stops: Stops,
}

impl Signals {
    /// Listens from now on; what comes is not lost before `next` is called.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            stops: Stops::default(),
        })
    }

    /// The next thing asked. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            Some(()) = self.terminate.recv() => self.stops.another(),
            Some(()) = self.interrupt.recv() => self.stops.another(),
            Some(()) = self.hang_up.recv() => Asked::Reload,
            else => std::future::pending().await, // the runtime goes down
        }
    }
}

/// How often an end was asked for.
#[derive(Debug, Default)]
struct Stops(bool);

impl Stops {
    fn another(&mut self) -> Asked {
        if std::mem::replace(&mut self.0, true) { Asked::StopNow } else { Asked::Drain }
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{Signal, raise};

    use super::*;

    #[test]
    fn the_first_asks_for_a_drain_the_second_for_the_end_and_hang_up_for_a_reload() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut signals = Signals::listen().expect("handlers");
            for (sent, asked) in [
                (Signal::SIGHUP, Asked::Reload),
                (Signal::SIGTERM, Asked::Drain),
                (Signal::SIGHUP, Asked::Reload),
                (Signal::SIGINT, Asked::StopNow),
            ] {
                raise(sent).expect("a signal to ourselves");
                assert_eq!(signals.next().await, asked);
            }
        });
    }
}
