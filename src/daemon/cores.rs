//! What the media cores counted, brought into the metrics. The cores count in plain numbers; the difference to the last
//! look is added here.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::media::{CoreCounts, Engine, Tally};
use crate::telemetry::metrics;

/// Later than this is a late block; how much later is not kept on the core.
const LATE: Duration = Duration::from_millis(5);
/// Late blocks of one look that are told one by one.
const TOLD: u64 = 1000;

/// The last look.
pub(super) struct Cores(Mutex<(Instant, Vec<CoreCounts>)>);

impl Cores {
    /// From here on.
    pub(super) fn new(now: Instant) -> Self {
        Self(Mutex::new((now, Vec::new())))
    }

    /// Adds what was counted since the last look.
    pub(super) fn publish(&self, now: Instant, engine: &Engine) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, before) = std::mem::replace(&mut *last, (now, engine.cores()));
        for core in &last.1 {
            let earlier = before.iter().find(|earlier| earlier.core == core.core);
            let earlier = earlier.map(|earlier| earlier.tally).unwrap_or_default();
            add(core.core, &earlier, &core.tally, now.saturating_duration_since(since));
        }
    }
}

fn add(core: usize, before: &Tally, now: &Tally, time: Duration) {
    let more = |number: fn(&Tally) -> u64| number(now).saturating_sub(number(before));
    metrics::rtp_in(more(|t| t.packets_in), more(|t| t.bytes_in));
    metrics::rtp_out(more(|t| t.packets_out), more(|t| t.bytes_out));
    metrics::rtp_lost("in", more(|t| t.lost));
    metrics::rtp_lost("out", more(|t| t.lost_out));
    metrics::rtp_late(more(|t| t.late));
    metrics::rtp_dropped("in", "duplicate", more(|t| t.duplicated));
    metrics::rtp_dropped("in", "foreign", more(|t| t.foreign));
    metrics::rtp_dropped("in", "malformed", more(|t| t.malformed));
    metrics::rtp_dropped("in", "unauthentic", more(|t| t.unauthentic));
    metrics::rtp_dropped("in", "replayed", more(|t| t.replayed));
    metrics::rtp_dropped("out", "send_failed", more(|t| t.send_failed));
    metrics::media_concealed(core, Duration::from_millis(more(|t| t.concealed_ms)));
    for _ in 0..more(|t| t.ticks_late).min(TOLD) {
        metrics::media_tick_late(core, LATE);
    }
    if !time.is_zero() {
        metrics::media_core_busy(
            core,
            Duration::from_nanos(more(|t| t.busy_ns)).as_secs_f64() / time.as_secs_f64(),
        );
    }
}
