//! What systemd is told (sd_notify(3), reliability R-113): ready, reloading, stopping, and that we make progress.
//! Without systemd each of these does nothing.

use std::time::Duration;

use sd_notify::NotifyState;

/// The node takes calls.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The node reads its configuration again; `ready` ends that. systemd tells this one from an older one by the time.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now, NotifyState::Status("reading the configuration")]),
        Err(error) => tracing::warn!(%error, "systemd could not be told"),
    }
}

/// The node takes no more calls and ends when those that are up have ended, at most after `drain`.
pub fn stopping(status: &str, drain: Duration) {
    let micros = u32::try_from((drain + Duration::from_secs(15)).as_micros()).unwrap_or(u32::MAX);
    // A drain longer than TimeoutStopSec is announced, or we would be killed in the middle of calls.
    tell(&[NotifyState::Stopping, NotifyState::Status(status), NotifyState::ExtendTimeoutUsec(micros)]);
}

/// One line for `systemctl status`.
pub fn status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd could not be told");
    }
}

/// Feeds the watchdog twice in its time while `progress` is true, for ever; a node that is stuck is not fed, and
/// systemd starts it anew. Without a watchdog it waits for ever.
pub async fn watchdog(progress: impl Fn() -> bool) {
    let Some(every) = sd_notify::watchdog_enabled().map(|limit| limit / 2) else {
        return std::future::pending().await;
    };
    let mut beat = tokio::time::interval(every.max(Duration::from_millis(100)));
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        if progress() {
            tell(&[NotifyState::Watchdog]);
        } else {
            tracing::error!(
                cause = "no_progress",
                "signalling, media or timers stand still: the watchdog is not fed"
            );
        }
    }
}
