//! Marks of the machine over which no new call is taken: processor time and descriptors (sip-trunk.md section 16,
//! reliability R-103). Calls, calls a second and ports are `admission`'s and the engine's.
//!
//! A mark is left again only some way below where it was reached, so that a node at the edge does not flicker.

use std::time::{Duration, Instant};

/// Processor time is looked at over so long.
const SPAN: Duration = Duration::from_secs(1);
/// Below the mark by so much it is left again.
const SLACK: f64 = 0.1;
/// Share of the descriptors that may be in use: the rest is for calls that are up.
const DESCRIPTORS: f64 = 0.9;

/// What was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// Processor time.
    Cpu,
    /// Descriptors.
    Descriptors,
}

impl Mark {
    /// For people and labels.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Descriptors => "descriptors",
        }
    }
}

/// What the process uses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Used {
    /// Processor time since it began, on all cores.
    pub(super) cpu: Duration,
    /// Cores it may run on.
    pub(super) cores: usize,
    /// Descriptors open, and the most there may be.
    pub(super) descriptors: (usize, usize),
}

/// Which marks are reached.
#[derive(Debug)]
pub(super) struct Overload {
    /// Share of all cores; zero: no mark.
    cpu_mark: f64,
    last: Option<(Instant, Duration)>,
    cpu: bool,
    descriptors: bool,
}

impl Overload {
    /// Nothing is reached yet; `cpu_percent` of all cores is the mark, zero: there is none.
    pub(super) const fn new(cpu_percent: u8) -> Self {
        Self { cpu_mark: cpu_percent as f64 / 100.0, last: None, cpu: false, descriptors: false }
    }

    /// Whether it is time to look again: counting descriptors costs more than most looks.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.last.is_none_or(|(at, _)| now.saturating_duration_since(at) >= SPAN)
    }

    /// Takes note of what is used now.
    pub(super) fn look(&mut self, now: Instant, used: Used) {
        if let Some((at, before)) = self.last.replace((now, used.cpu)) {
            let time = now.saturating_duration_since(at).as_secs_f64() * used.cores.max(1) as f64;
            let share = used.cpu.saturating_sub(before).as_secs_f64() / time.max(f64::MIN_POSITIVE);
            self.cpu = self.cpu_mark > 0.0 && reached(share, self.cpu_mark, self.cpu);
        }
        let (open, most) = used.descriptors;
        self.descriptors = reached(open as f64 / most.max(1) as f64, DESCRIPTORS, self.descriptors);
    }

    /// The first mark that is reached.
    pub(super) fn reached(&self) -> Option<Mark> {
        match (self.cpu, self.descriptors) {
            (_, true) => Some(Mark::Descriptors),
            (true, false) => Some(Mark::Cpu),
            (false, false) => None,
        }
    }
}

fn reached(share: f64, mark: f64, before: bool) -> bool {
    share >= if before { mark - SLACK } else { mark }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a beginning for simulated time
mod tests {
    use super::*;

    struct Seen {
        overload: Overload,
        now: Instant,
        cpu: Duration,
    }

    impl Seen {
        fn new(mark: u8) -> Self {
            Self { overload: Overload::new(mark), now: Instant::now(), cpu: Duration::ZERO }
        }

        /// A second in which this share of two cores was used.
        fn second(&mut self, share: f64, descriptors: usize) -> Option<Mark> {
            self.now += SPAN;
            self.cpu += SPAN.mul_f64(share * 2.0);
            assert!(self.overload.is_due(self.now));
            self.overload.look(self.now, Used { cpu: self.cpu, cores: 2, descriptors: (descriptors, 1000) });
            assert!(!self.overload.is_due(self.now + SPAN / 2));
            self.overload.reached()
        }
    }

    #[test]
    fn a_mark_is_left_some_way_below_where_it_was_reached() {
        let mut seen = Seen::new(90);
        let shares = [0.0, 0.85, 0.95, 0.85, 0.81, 0.75, 0.85];
        let reached: Vec<bool> = shares.iter().map(|share| seen.second(*share, 10).is_some()).collect();
        assert_eq!(reached, [false, false, true, true, true, false, false]);
    }

    #[test]
    fn descriptors_have_a_mark_of_their_own() {
        let mut seen = Seen::new(90);
        let used = [10, 899, 900, 850, 790];
        let reached: Vec<_> = used.iter().map(|used| seen.second(0.0, *used)).collect();
        let mark = Some(Mark::Descriptors);
        assert_eq!(reached, [None, None, mark, mark, None]);
    }

    #[test]
    fn zero_is_no_mark() {
        let mut seen = Seen::new(0);
        assert!([1.0, 1.0, 1.0].iter().all(|share| seen.second(*share, 10).is_none()));
    }
}
