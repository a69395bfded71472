//! When a media core runs, and each call's own clock.
//!
//! ```text
//!  sparse:  ───wait for a socket or the next due moment────►│run│───wait…
//!  dense:   │run│─rest 0.75 ms─►│─wait for RTP, until 1 ms─►│run│─rest─►│─wait─►│run│
//! ```
//!
//! Wake-ups are what costs, more than the work: with many calls up a core runs about once a millisecond for all of them.
//! While runs follow one another it rests from one to the next and finds all that came meanwhile. Who sends RTP sends that
//! of many calls together, by a timer of its own: a run that waits a little for them takes all of them when they are fresh.
//! When few calls are up it waits for what comes, and a rest would be one wake-up more. No clock is read here: the worker
//! does.

use std::time::{Duration, Instant};

/// Runs that follow one another are so far apart.
pub const STEP: Duration = Duration::from_millis(1);
/// After a run nothing is looked for so long.
const REST: Duration = Duration::from_micros(750);
/// Runs no farther apart than this follow one another.
const CLOSE: Duration = Duration::from_micros(1250);
/// After so many that did, it rests between them; and again as soon as two do, so long after.
const STREAK: u32 = 4;
const WARM: Duration = Duration::from_millis(100);
/// Time of one sample of a graph, which runs at 8000 Hz.
const SAMPLE: Duration = Duration::from_micros(125);

/// How a worker is to pass the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// Until then, whatever comes.
    Sleep(Instant),
    /// Until the first moment, whatever comes; then until RTP comes, or the second.
    Rest(Instant, Instant),
    /// Until something comes, or then; `None`: for ever.
    Wait(Option<Instant>),
}

/// The runs of one core.
#[derive(Debug)]
pub struct Grid {
    origin: Instant,
    /// The last run that had work, and how many followed one another up to it.
    last: Option<Instant>,
    streak: u32,
    /// Until then it is busy, though a run may find nothing.
    warm: Option<Instant>,
}

impl Grid {
    /// What is due waits for whole steps from `origin`, so that the blocks of many calls are run together.
    pub fn new(origin: Instant) -> Self {
        Self { origin, last: None, streak: 0, warm: None }
    }

    /// What to do until the next run, when the earliest moment anything is due is `due`.
    pub fn pause(&self, now: Instant, due: Option<Instant>) -> Pause {
        match (self.last, due.map(|due| self.up(due))) {
            (Some(last), _) if self.rests(now) => Pause::Rest(last + REST, last + STEP),
            (last, Some(due)) if due <= now => Pause::Sleep(last.unwrap_or(now) + STEP), // never twice a step
            (_, due) => Pause::Wait(due),
        }
    }

    /// After a wait: the moment to sleep on to, if it is busy and the last run was just now.
    pub fn hold(&self, now: Instant) -> Option<Instant> {
        let last = self.last.filter(|_| self.is_warm(now))?;
        Some(last + REST).filter(|until| *until > now)
    }

    fn is_warm(&self, now: Instant) -> bool {
        self.warm.is_some_and(|until| now < until)
    }

    fn rests(&self, now: Instant) -> bool {
        self.streak >= if self.is_warm(now) { 1 } else { STREAK }
    }

    /// A run is over, begun at `now`; `worked`: it had something to do.
    pub fn ran(&mut self, now: Instant, worked: bool) {
        let close = |last| now.saturating_duration_since(last) <= CLOSE;
        self.streak = if worked && self.last.is_some_and(close) { self.streak.saturating_add(1) } else { 0 };
        if worked {
            self.last = Some(now);
        }
        if self.rests(now) {
            self.warm = Some(now + WARM);
        }
    }

    /// The first whole step that is not before `at`.
    fn up(&self, at: Instant) -> Instant {
        let steps = at.saturating_duration_since(self.origin).as_nanos().div_ceil(STEP.as_nanos());
        self.origin + Duration::from_millis(u64::try_from(steps).unwrap_or(u64::MAX))
    }
}

/// A call's clock: blocks of 20 ms, or of 10 ms while a packet time asks for it, their mean exact for ever. While nothing
/// is to be heard it may run ahead of itself by up to a block, so that what is to be heard next has not to wait for it.
#[derive(Debug)]
pub struct Clock {
    origin: Instant,
    ticked: u64,
    block: usize,
    /// Samples it runs ahead.
    ahead: usize,
}

impl Clock {
    /// Longest run of blocks that makes up for lateness (R-121); what is beyond is passed over.
    pub const CATCH_UP: u64 = 3;
    /// Samples of an ordinary block, 20 ms.
    pub const BLOCK: usize = 160;
    /// What it falls back in a block of silence, 1 ms.
    const EASE: usize = 8;

    /// The first block ends 20 ms from now.
    pub fn new(now: Instant) -> Self {
        Self { origin: now, ticked: 0, block: Self::BLOCK, ahead: 0 }
    }

    /// When the next block is due.
    pub fn due(&self) -> Instant {
        self.at(self.ticked + self.block as u64)
    }

    /// The next block is due sooner, as soon after `at` as may be: no more than a block before its time. True: it is.
    pub fn hasten(&mut self, at: Instant) -> bool {
        let sooner = self.due().saturating_duration_since(at).as_nanos() / SAMPLE.as_nanos();
        let room = self.block.saturating_sub(self.ahead);
        let samples = usize::try_from(sooner).unwrap_or(usize::MAX).min(room);
        self.ahead += samples;
        samples > 0
    }

    /// The next block is due so much sooner, where there is room for that. True: it is.
    pub fn shift(&mut self, sooner: Duration) -> bool {
        let samples = usize::try_from(sooner.as_nanos() / SAMPLE.as_nanos()).unwrap_or(usize::MAX);
        let fits = samples > 0 && samples <= self.block.saturating_sub(self.ahead);
        self.ahead += if fits { samples } else { 0 };
        fits
    }

    /// The next block is due up to 1 ms later, until the clock is itself again.
    pub fn relax(&mut self) {
        self.ahead = self.ahead.saturating_sub(Self::EASE);
    }

    /// Takes the next block: samples ticked since the beginning, its own included.
    pub fn tick(&mut self) -> u64 {
        self.ticked += self.block as u64;
        self.ticked
    }

    /// Blocks to pass over so that no more than `CATCH_UP` are due.
    pub fn behind(&self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.at(self.ticked)).as_nanos();
        let due = elapsed / (SAMPLE.as_nanos() * self.block as u128);
        u64::try_from(due).unwrap_or(u64::MAX).saturating_sub(Self::CATCH_UP)
    }

    /// Passes over so many blocks; the samples they would have had.
    pub fn skip(&mut self, blocks: u64) -> u64 {
        let samples = blocks.saturating_mul(self.block as u64);
        self.ticked += samples;
        samples
    }

    /// Samples of a block.
    pub fn block(&self) -> usize {
        self.block
    }

    /// From the next block on: 10 ms blocks, or 20.
    pub fn set_short(&mut self, short: bool) {
        self.block = if short { Self::BLOCK / 2 } else { Self::BLOCK };
    }

    /// Samples ticked since the beginning.
    pub fn ticked(&self) -> u64 {
        self.ticked
    }

    /// Samples of real time since the beginning.
    pub fn elapsed(&self, now: Instant) -> u64 {
        let samples = now.saturating_duration_since(self.origin).as_nanos() / SAMPLE.as_nanos();
        u64::try_from(samples).unwrap_or(u64::MAX)
    }

    fn at(&self, samples: u64) -> Instant {
        // 125 µs a sample, exactly.
        self.origin + Duration::from_micros(samples.saturating_sub(self.ahead as u64) * 125)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a beginning for simulated time
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_core_without_calls_waits_for_ever() {
        let origin = Instant::now();
        assert_eq!(Grid::new(origin).pause(origin + 7 * MS, None), Pause::Wait(None));
    }

    #[test]
    fn what_is_due_waits_for_a_whole_step() {
        let origin = Instant::now();
        let grid = Grid::new(origin);
        let due = origin + Duration::from_micros(20_300);
        assert_eq!(grid.pause(origin + 5 * MS, Some(due)), Pause::Wait(Some(origin + 21 * MS)));
        assert_eq!(grid.pause(origin + 5 * MS, Some(origin + 20 * MS)), Pause::Wait(Some(origin + 20 * MS)));
    }

    #[test]
    fn what_stays_due_is_run_again_a_step_later() {
        let origin = Instant::now();
        let mut grid = Grid::new(origin);
        grid.ran(origin + 5 * MS, true);
        let later = origin + 5 * MS + MS / 2;
        assert_eq!(grid.pause(later, Some(later - MS / 2)), Pause::Sleep(origin + 6 * MS));
    }

    #[test]
    fn runs_that_follow_one_another_rest_between_and_wait_a_little_for_rtp() {
        let origin = Instant::now();
        let mut grid = Grid::new(origin);
        for n in 0..STREAK {
            grid.ran(origin + n * MS, true);
            assert_eq!(
                grid.pause(origin + n * MS, None),
                Pause::Wait(None),
                "a few, as a call that begins has"
            );
        }
        let last = origin + STREAK * MS;
        grid.ran(last, true);
        assert_eq!(grid.pause(last + MS / 4, Some(origin + 30 * MS)), Pause::Rest(last + REST, last + STEP));
        grid.ran(last + MS, false);
        assert_eq!(grid.pause(last + MS, None), Pause::Wait(None), "nothing was found");
        let (next, busy) = (last + 9 * MS, last + 10 * MS);
        grid.ran(next, true);
        assert_eq!(grid.hold(next + MS / 4), Some(next + REST), "it is still busy");
        grid.ran(busy, true);
        assert_eq!(grid.pause(busy, None), Pause::Rest(busy + REST, busy + STEP));
        let idle = busy + 500 * MS;
        grid.ran(idle, true);
        assert_eq!((grid.hold(idle), grid.pause(idle, None)), (None, Pause::Wait(None)), "no more");
    }

    #[test]
    fn an_hour_of_blocks_is_an_hour() {
        let origin = Instant::now();
        let mut clock = Clock::new(origin);
        for _ in 0..180_000 {
            clock.tick();
        }
        assert_eq!(clock.due(), origin + Duration::from_secs(3600) + 20 * MS);
        assert_eq!(clock.elapsed(origin + Duration::from_secs(3600)), clock.ticked());
    }

    #[test]
    fn lateness_is_made_up_by_three_blocks_at_most() {
        let origin = Instant::now();
        let mut clock = Clock::new(origin);
        assert_eq!(clock.behind(origin + 79 * MS), 0);
        assert_eq!(clock.behind(origin + 200 * MS), 7);
        assert_eq!(clock.skip(7), 7 * 160);
        assert_eq!(clock.behind(origin + 200 * MS), 0);
        assert_eq!(clock.due(), origin + 160 * MS);
    }

    #[test]
    fn a_clock_runs_ahead_by_a_block_at_most_and_falls_back_by_a_millisecond() {
        let origin = Instant::now();
        let mut clock = Clock::new(origin);
        clock.tick();
        assert!(clock.hasten(origin + 27 * MS) && clock.due() == origin + 27 * MS);
        assert!(!clock.hasten(origin + 30 * MS), "never later");
        clock.tick();
        assert!(clock.hasten(origin + 30 * MS) && clock.due() == origin + 40 * MS, "a block before its time");
        clock.tick();
        clock.relax();
        assert_eq!(clock.due(), origin + 61 * MS);
        assert!(!clock.shift(5 * MS) && clock.due() == origin + 61 * MS, "there is room for one");
        assert!(clock.shift(MS) && clock.due() == origin + 60 * MS);
        (0..30).for_each(|_| clock.relax());
        assert_eq!(clock.due(), origin + 80 * MS);
    }

    #[test]
    fn short_blocks_keep_the_time() {
        let origin = Instant::now();
        let mut clock = Clock::new(origin);
        clock.tick();
        clock.set_short(true);
        assert_eq!((clock.due(), clock.block()), (origin + 30 * MS, 80));
    }
}
