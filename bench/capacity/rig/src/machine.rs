//! What the kernel tells of the whole machine.

use std::fs::read_to_string;

/// Ticks of all cores so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ticks {
    pub busy: u64,
    pub stolen: u64,
    pub all: u64,
}

impl Ticks {
    pub fn now() -> Self {
        Self::read(&read_to_string("/proc/stat").unwrap_or_default())
    }

    fn read(stat: &str) -> Self {
        let line = stat.lines().next().unwrap_or_default();
        let ticks: Vec<u64> = line.split_whitespace().skip(1).filter_map(|text| text.parse().ok()).collect();
        let at = |n: usize| ticks.get(n).copied().unwrap_or(0);
        let (idle, stolen) = (at(3) + at(4), at(7));
        let all: u64 = ticks.iter().take(8).sum();
        Self { busy: all - idle - stolen, stolen, all }
    }

    /// Parts of the machine's time since then, in percent: busy, and stolen by the host.
    pub fn since(&self, before: &Self) -> (f64, f64) {
        let all = self.all.saturating_sub(before.all).max(1) as f64;
        let part = |now: u64, before: u64| now.saturating_sub(before) as f64 / all * 100.0;
        (part(self.busy, before.busy), part(self.stolen, before.stolen))
    }
}

/// Load averages of 1, 5 and 15 minutes.
pub fn load() -> String {
    let text = read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The processor, as it calls itself.
pub fn processor() -> String {
    let text = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or("unknown".to_owned(), |(_, name)| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stolen_time_is_neither_busy_nor_idle() {
        let before = Ticks::read("cpu  10 0 10 80 0 0 0 0 0 0\n");
        let after = Ticks::read("cpu  30 0 20 140 10 0 0 10 7 0\n");
        assert_eq!(after.since(&before), (27.27272727272727, 9.090909090909092));
    }
}
