//! What the kernel tells of one process.

use std::mem;

/// The monotonic clock in microseconds, the same for every program of the rig.
pub fn now_us() -> u64 {
    let mut t: libc::timespec = unsafe { mem::zeroed() };
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut t) };
    t.tv_sec as u64 * 1_000_000 + t.tv_nsec as u64 / 1000
}

/// CPU time (user + system) a whole process has used, in nanoseconds, by the kernel's own
/// per-process CPU clock: exact, where /proc/PID/stat counts in ticks of 10 ms.
pub fn proc_cpu_ns(pid: i32) -> u64 {
    let clk: libc::clockid_t = ((!pid) << 3) | 2;
    let mut t: libc::timespec = unsafe { mem::zeroed() };
    if unsafe { libc::clock_gettime(clk, &mut t) } != 0 {
        return 0;
    }
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// One reading of what a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    pub cpu_ns: u64,
    /// Ticks in user mode and in the kernel: coarse, for the share alone.
    pub user: u64,
    pub kernel: u64,
    pub threads: u64,
    /// Context switches of all threads: those it asked for and those it did not.
    pub voluntary: u64,
    pub forced: u64,
}

impl Usage {
    pub fn of(pid: i32) -> Self {
        let stat = read(format!("/proc/{pid}/stat"));
        let after_name = stat.rfind(')').and_then(|end| stat.get(end + 2..)).unwrap_or_default();
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let field = |n: usize| fields.get(n).and_then(|text| text.parse().ok()).unwrap_or(0);
        let (voluntary, forced) = switches(pid);
        let (user, kernel, threads) = (field(11), field(12), field(17));
        Self { cpu_ns: proc_cpu_ns(pid), user, kernel, threads, voluntary, forced }
    }
}

fn switches(pid: i32) -> (u64, u64) {
    let (mut voluntary, mut forced) = (0, 0);
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
        voluntary += number(&status, "voluntary_ctxt_switches:");
        forced += number(&status, "nonvoluntary_ctxt_switches:");
    }
    (voluntary, forced)
}

/// Resident memory and the part of it that is no file's, in KiB.
pub fn memory_kb(pid: i32) -> (u64, u64) {
    let status = read(format!("/proc/{pid}/status"));
    (number(&status, "VmRSS:"), number(&read(format!("/proc/{pid}/smaps_rollup")), "Anonymous:"))
}

/// Open file descriptors.
pub fn descriptors(pid: i32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

fn read(path: String) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The first number of the line that begins so.
fn number(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// As many descriptors as the system allows.
pub fn raise_descriptors() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max.min(1 << 20);
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}
