//! What the system knows of this process, read from `/proc` when asked. The names are those every
//! Prometheus client uses.

use std::fmt::Write as _;
use std::fs;
use std::sync::LazyLock;

use nix::unistd::{SysconfVar, sysconf};

/// Clock ticks a second in `/proc/self/stat`.
static TICKS: LazyLock<f64> = LazyLock::new(|| match sysconf(SysconfVar::CLK_TCK) {
    Ok(Some(ticks)) if ticks > 0 => ticks as f64,
    _ => 100.0,
});

static PAGE: LazyLock<u64> = LazyLock::new(|| match sysconf(SysconfVar::PAGE_SIZE) {
    Ok(Some(bytes)) => u64::try_from(bytes).unwrap_or(4096),
    _ => 4096,
});

/// When this was first asked, at the start: `/proc/stat` is hidden from a service with `ProcSubset=pid`.
pub(super) static STARTED: LazyLock<jiff::Timestamp> = LazyLock::new(jiff::Timestamp::now);

/// Appends `process_*`; what cannot be read is left out.
pub(super) fn write(text: &mut String) {
    if let Some(stat) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(Stat::parse) {
        let one = &mut *text;
        line(
            one,
            "process_cpu_seconds_total",
            "counter",
            "User and system time.",
            stat.cpu_ticks as f64 / *TICKS,
        );
        line(one, "process_threads", "gauge", "Threads.", stat.threads as f64);
        line(one, "process_resident_memory_bytes", "gauge", "Resident memory.", (stat.pages * *PAGE) as f64);
        line(one, "process_virtual_memory_bytes", "gauge", "Virtual memory.", stat.virtual_bytes as f64);
    }
    let started = STARTED.as_millisecond() as f64 / 1000.0;
    line(text, "process_start_time_seconds", "gauge", "Start, seconds since 1970.", started);
    if let Some((open, limit)) = descriptors() {
        line(text, "process_open_fds", "gauge", "Open file descriptors.", open as f64);
        line(text, "process_max_fds", "gauge", "Limit of file descriptors.", limit as f64);
    }
}

/// Open file descriptors, and how many there may be.
pub(crate) fn descriptors() -> Option<(usize, usize)> {
    let open = fs::read_dir("/proc/self/fd").ok()?.count();
    let (soft, _) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).ok()?;
    Some((open, usize::try_from(soft).unwrap_or(usize::MAX)))
}

fn line(text: &mut String, name: &str, kind: &str, help: &str, value: f64) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
}

/// Fields of `/proc/self/stat` (proc(5)).
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    virtual_bytes: u64,
    pages: u64,
}

impl Stat {
    /// The name in parentheses may hold spaces and parentheses itself: fields are counted after the last one.
    fn parse(stat: &str) -> Option<Self> {
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split_ascii_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: number(14)? + number(15)?,
            threads: number(20)?,
            virtual_bytes: number(23)?,
            pages: number(24)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_parenthesis_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 1 1 0 -1 0 0 0 0 0 11 5 0 0 20 0 9 0 333 4096 77 18446744073709551615";
        let parsed = Stat { cpu_ticks: 16, threads: 9, virtual_bytes: 4096, pages: 77 };
        assert_eq!(Stat::parse(stat), Some(parsed));
        assert_eq!(Stat::parse("7 (a"), None);
    }
}
