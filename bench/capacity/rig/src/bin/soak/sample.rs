//! One look at the daemon: what it holds, and how late it is.

use rig::process::{Usage, descriptors, memory_kb};
use rig::programs::series;
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Seconds since the load began.
    pub at: f64,
    pub rss_kb: f64,
    pub anonymous_kb: f64,
    pub descriptors: f64,
    pub threads: f64,
    pub tasks: f64,
    pub calls: f64,
    pub streams: f64,
    pub ports_free: f64,
    pub cpu_seconds: f64,
    /// RTP packets sent so far, and blocks of the media cores that were more than 5 ms late.
    pub packets: f64,
    pub late: f64,
}

impl Sample {
    pub fn of(at: f64, pid: i32, metrics: &str) -> Self {
        let of = |name: &str| series(metrics, name);
        let (rss, anonymous) = memory_kb(pid);
        let usage = Usage::of(pid);
        Self {
            at,
            rss_kb: rss as f64,
            anonymous_kb: anonymous as f64,
            descriptors: descriptors(pid) as f64,
            threads: usage.threads as f64,
            tasks: of("streamkit_tasks"),
            calls: of("streamkit_calls_active"),
            streams: of("streamkit_streams_active"),
            ports_free: of("streamkit_media_ports_free"),
            cpu_seconds: usage.cpu_ns as f64 / 1e9,
            packets: of("streamkit_rtp_packets_total{direction=\"out\"}"),
            late: of("streamkit_media_tick_late_seconds_count"),
        }
    }

    /// Whether it holds no more than `idle` did; a port rests for a while after its call.
    pub fn is_idle(&self, idle: &Self) -> bool {
        self.kept(idle).is_empty()
    }

    /// What it still holds beyond that.
    pub fn kept(&self, idle: &Self) -> Vec<String> {
        let held = [
            ("descriptors", self.descriptors - idle.descriptors),
            ("threads", self.threads - idle.threads),
            ("tasks", self.tasks - idle.tasks),
            ("calls", self.calls),
            ("streams", self.streams),
            ("media ports", idle.ports_free - self.ports_free),
        ];
        held.into_iter()
            .filter(|(_, more)| *more > 0.0)
            .map(|(what, more)| format!("{more} {what}"))
            .collect()
    }

    pub fn line(&self) -> String {
        format!(
            "RSS {:.1} MB, {} descriptors, {} threads, {} tasks, {} calls, {} streams, {} ports free, {} blocks late",
            self.rss_kb / 1024.0,
            self.descriptors,
            self.threads,
            self.tasks,
            self.calls,
            self.streams,
            self.ports_free,
            self.late
        )
    }

    pub fn json(&self) -> Value {
        json!({
            "at_seconds": self.at, "rss_kb": self.rss_kb, "anonymous_kb": self.anonymous_kb,
            "descriptors": self.descriptors, "threads": self.threads, "tasks": self.tasks, "calls": self.calls,
            "streams": self.streams, "ports_free": self.ports_free, "cpu_seconds": self.cpu_seconds,
            "packets_out": self.packets, "blocks_late": self.late,
        })
    }
}
