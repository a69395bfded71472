//! What is measured while the window is open.

use rig::histogram::Histogram;
use rig::process::{Usage, memory_kb, now_us, proc_cpu_ns};
use serde_json::{Value, json};

/// Counts and times of the window.
pub struct Window {
    sut: i32,
    bot: i32,
    before: Usage,
    own_before: u64,
    bot_before: u64,
    pub sent: u64,
    pub received: u64,
    pub late: u64,
    /// Frames of the bot's that never came.
    pub missing: u64,
    /// Packets the kernel did not take.
    pub refused: u64,
    /// From the bot to here.
    pub delay: Histogram,
    /// From one packet of a call to the next.
    pub apart: Histogram,
    /// How long after its time a packet of ours left.
    pub pace: Histogram,
}

impl Window {
    pub fn new(sut: i32, bot: i32) -> Self {
        Self {
            sut,
            bot,
            before: Usage::default(),
            own_before: 0,
            bot_before: 0,
            sent: 0,
            received: 0,
            late: 0,
            missing: 0,
            refused: 0,
            delay: Histogram::default(),
            apart: Histogram::default(),
            pace: Histogram::default(),
        }
    }

    pub fn begin(&mut self) {
        self.own_before = own_cpu();
        self.bot_before = proc_cpu_ns(self.bot);
        self.before = Usage::of(self.sut);
    }

    /// What was found since `began`, with so many calls up to the end.
    pub fn end(&mut self, began: u64, up: usize, gaps: u64) -> Value {
        let seconds = (now_us() - began) as f64 / 1e6;
        let after = Usage::of(self.sut);
        let (own, bot) = (own_cpu() - self.own_before, proc_cpu_ns(self.bot).saturating_sub(self.bot_before));
        let (rss, anonymous) = memory_kb(self.sut);
        let cpu = after.cpu_ns.saturating_sub(self.before.cpu_ns);
        let call_seconds = seconds * up.max(1) as f64;
        let per = |ns: u64| ns as f64 / 1e6 / call_seconds;
        let switched = |after: u64, before: u64| after.saturating_sub(before) as f64 / call_seconds;
        let (user, kernel) = (after.user - self.before.user, after.kernel - self.before.kernel);
        json!({
            "up": up, "win_s": seconds,
            "sut_cpu_ms_per_call_s": per(cpu), "sut_cpu_pct": cpu as f64 / 1e7 / seconds,
            "sys_share": kernel as f64 / (user + kernel).max(1) as f64, "threads": after.threads,
            "ctxsw_per_call_s": [
                switched(after.voluntary, self.before.voluntary), switched(after.forced, self.before.forced),
            ],
            "rss_up_kb": rss, "anon_up_kb": anonymous,
            "load_cpu_ms_per_call_s": per(own), "bot_cpu_ms_per_call_s": per(bot),
            "rtp_tx": self.sent, "rtp_rx": self.received, "rtp_rx_rate": self.received as f64 / call_seconds,
            "rx_seq_gaps": gaps, "late40": self.late, "frames_missing": self.missing, "send_err": self.refused,
            "ws_to_rtp_ms": self.delay.json(), "rtp_iat_ms": self.apart.json(), "pace_err_ms": self.pace.json(),
        })
    }
}

fn own_cpu() -> u64 {
    proc_cpu_ns(std::process::id() as i32)
}
