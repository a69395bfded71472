//! How punctual a bot's messages are, and so how long its audio has to wait (docs/agentstream/playout.md).
//!
//! An utterance is a **line**: sample `p` of it, heard at `begin + p + delay`. Each message **needs** a delay: how much
//! later it came than its place on the line, and by how much the block that has to be full with it goes out before its
//! first sample's own time. The least need of late is where a punctual bot would stand; the farthest any message was
//! behind that is the bot's **spread**; what is enough for both is the delay that is wanted.
//!
//! ```text
//!   need     ·   ·  ·      ·        · = a message                      ▲
//!            · ·   ·    ·  · ·  ·                                      │ spread
//!   least   ─·──·────·──────·───·─·───  of the last 4 s of audio      ─┴─
//! ```

use std::time::{Duration, Instant};

/// Kept beyond the spread.
const GUARD: i64 = 2_000;
/// The least that is kept at all. The first utterance begins so long after a message too: as blocks leave at a steady
/// pace, what it can be brought down to later is this and whole blocks.
const LEAST: i64 = 7_000;
/// Pieces the memory is made of.
const PIECES: usize = 8;
/// Audio of one piece: 4 s are remembered, or a minute where queues ran empty again and again.
const PIECE: i64 = 500_000;
const LONG_PIECE: i64 = 7_500_000;
/// An empty queue is followed by another one so soon: the bot has fits.
const FITS: Duration = Duration::from_secs(60);
/// After so much audio, in so many messages, the bot is known.
const KNOWN: (i64, u32) = (1_000_000, 8);
/// A bot that is farther ahead than this sends faster than real time: what it sent early is no delay of ours.
const AHEAD: i64 = 200_000;

/// The arrivals of one stream. Times are microseconds.
#[derive(Debug)]
pub(super) struct Arrivals {
    /// The wait while nothing is known, and the longest of any.
    prebuffer: i64,
    line: Option<Line>,
    pieces: [Piece; PIECES],
    at: usize,
    /// Audio in the present piece.
    filled: i64,
    known: (i64, u32),
    starved: Option<Instant>,
    fits: bool,
}

#[derive(Clone, Copy, Debug)]
struct Line {
    begin: Instant,
    /// Audio that came of it.
    came: i64,
    /// Silence there was within it for want of audio, and is not made up for.
    debt: i64,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    least: i64,
    spread: i64,
}

impl Piece {
    const EMPTY: Self = Self { least: i64::MAX, spread: 0 };
}

impl Arrivals {
    pub(super) fn new(prebuffer: Duration) -> Self {
        Self {
            prebuffer: micros(prebuffer),
            line: None,
            pieces: [Piece::EMPTY; PIECES],
            at: 0,
            filled: 0,
            known: (0, 0),
            starved: None,
            fits: false,
        }
    }

    /// A message came: so much audio, whose first sample has its place `into` a block.
    pub(super) fn came(&mut self, at: Instant, length: Duration, into: Duration) {
        let length = micros(length);
        let line = self.line.get_or_insert(Line { begin: at, came: 0, debt: 0 });
        let need = since(at, line.begin) - line.came + micros(into);
        line.came += length;
        let piece = &mut self.pieces[self.at];
        piece.least = piece.least.min(need);
        let least = self.least();
        let piece = &mut self.pieces[self.at];
        piece.spread = piece.spread.max(need - least);
        self.known = (self.known.0 + length, self.known.1.saturating_add(1));
        self.filled += length;
        if self.filled >= if self.fits { LONG_PIECE } else { PIECE } {
            self.filled = 0;
            self.at = (self.at + 1) % PIECES;
            self.pieces[self.at] = Piece::EMPTY;
        }
    }

    /// The next message begins an utterance of its own; what is known of the bot is kept.
    pub(super) fn over(&mut self) {
        self.line = None;
        self.pieces.iter_mut().for_each(|piece| piece.least = i64::MAX);
    }

    /// The queue ran empty within an utterance, and audio came again now, so long after.
    pub(super) fn starved(&mut self, now: Instant, gap: Duration) {
        self.fits = self.starved.is_some_and(|last| now.saturating_duration_since(last) < FITS);
        self.starved = Some(now);
        if let Some(line) = &mut self.line {
            line.debt += micros(gap);
        }
    }

    /// When to begin to play: `first` came first of what is queued, which is so much audio; and `enough` of it was there
    /// then, if it is. Little later than the prebuffer after the first at the latest.
    pub(super) fn begin(&self, first: Instant, queued: Duration, enough: Option<Instant>) -> Instant {
        let last = self.last(first);
        let begin = match self.line.filter(|_| self.is_known()) {
            Some(line) => {
                let delay = line.came - micros(queued) + self.least() + self.cushion();
                (line.begin + from_micros(delay)).clamp(first, last)
            }
            None => last,
        };
        let soon = LEAST.min(self.prebuffer);
        enough.map_or(begin, |enough| begin.min(enough + from_micros(soon)))
    }

    /// When to begin to play whatever there is, of which this came first.
    pub(super) fn last(&self, first: Instant) -> Instant {
        first + from_micros(self.prebuffer + LEAST.min(self.prebuffer))
    }

    /// So much behind the first block is enough to begin with, however soon it came.
    pub(super) fn enough(&self) -> Duration {
        from_micros(self.cushion().min(self.prebuffer))
    }

    /// What may be left out of silence, when the block that goes out at `at` begins where so much of what came is left.
    pub(super) fn excess(&self, at: Instant, queued: Duration) -> Duration {
        let Some(line) = self.line.filter(|_| self.is_known()) else { return Duration::ZERO };
        let delay = since(at, line.begin) - (line.came - micros(queued));
        let excess = delay - self.least() - self.cushion();
        from_micros(if excess > AHEAD + line.debt { 0 } else { excess })
    }

    /// So much was left out.
    pub(super) fn shed(&mut self, length: Duration) {
        if let Some(line) = &mut self.line {
            line.debt = (line.debt - micros(length)).max(0);
        }
    }

    fn is_known(&self) -> bool {
        self.known.0 >= KNOWN.0 && self.known.1 >= KNOWN.1
    }

    /// Wanted beyond the least need.
    fn cushion(&self) -> i64 {
        let spread = self.pieces.iter().map(|piece| piece.spread).max().unwrap_or(0);
        let wanted = (spread + GUARD).max(LEAST);
        if self.is_known() { wanted } else { wanted.max(self.prebuffer) }
    }

    fn least(&self) -> i64 {
        let least = self.pieces.iter().map(|piece| piece.least).min().unwrap_or(i64::MAX);
        if least == i64::MAX { 0 } else { least }
    }
}

fn micros(length: Duration) -> i64 {
    i64::try_from(length.as_micros()).unwrap_or(i64::MAX / 4)
}

fn from_micros(length: i64) -> Duration {
    Duration::from_micros(u64::try_from(length).unwrap_or(0))
}

fn since(at: Instant, before: Instant) -> i64 {
    match at.checked_duration_since(before) {
        Some(after) => micros(after),
        None => -micros(before.saturating_duration_since(at)),
    }
}
