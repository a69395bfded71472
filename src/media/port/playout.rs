//! What waits to be played of a bot: audio and marks in the order received (agentstream.md sections 7.2, 8).
//!
//! ```text
//!            first audio                 enough is there, or the time is up, or Finish
//!   Idle ───────────────────► Filling ──────────────────────────────────────────────► Playing
//!    ▲ ▲                         │                                                       │
//!    │ └──────── Clear ──────────┴───────────────────── Clear ───────────────────────────┤
//!    └──────────────────────────────────── queue empty ──────────────────────────────────┘
//! ```
//!
//! What is enough, and what of a standing delay is too much, `arrivals` knows; what is too much is left out of silence.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::super::ring::{CoreEnd, News, Run};
use super::super::{Play, Reached, StreamCounts, StreamSpec};
use super::arrivals::Arrivals;
use super::quiet;
use crate::audio::Resampler;
use crate::units::{Digit, SampleRate};

/// Pieces that wait here; what is beyond stays in the ring, and then with the session, which joins it.
const ITEMS: usize = 32;
/// Runs of marks, and keys, that wait for room in the ring; at so many no order is taken until the session has read some.
const HELD: usize = 16;
/// Less of a delay than this is not worth a move of the clock.
const WORTH: Duration = Duration::from_millis(4);
/// A delay is cut by blocks of so many milliseconds, or messages would no longer fill whole ones; of silence within one
/// block that is left out, so much at the most at a time.
const BLOCK_MS: u32 = 20;
/// A delay of whole blocks is seldom one to the microsecond: what is short of a block by this is one.
const ABOUT: Duration = Duration::from_millis(1);
const CUT_MS: u32 = 10;
/// A queue that is fed again after so long was not starved: the bot had said all it wanted.
pub(super) const PAUSE: Duration = Duration::from_secs(1);
/// Nobody answers a word sooner after his own: a shorter gap in the bot's audio is not the caller's turn.
pub(super) const REPLY: Duration = Duration::from_millis(300);
/// Samples of a block at the highest rate.
const SOURCE: usize = SampleRate::Hz24000.samples(20);
const WINDOW: usize = SOURCE + SampleRate::Hz24000.samples(CUT_MS);

#[derive(Debug)]
enum Item {
    Audio(Vec<i16>),
    Marks(Run),
}

#[derive(Clone, Copy, Debug)]
enum State {
    Idle,
    /// Since the first audio came; and when there was enough of it, if there is.
    Filling {
        first: Instant,
        enough: Option<Instant>,
    },
    Playing,
}

/// A bot's playout.
#[derive(Debug)]
pub(super) struct Playout {
    rate: SampleRate,
    arrivals: Arrivals,
    state: State,
    items: VecDeque<Item>,
    /// Samples of the first item that are played.
    cursor: usize,
    /// Samples that wait.
    queued: u64,
    /// Samples to be left out of silence, of a block that is too much.
    surplus: usize,
    /// Samples that left, played or cleared.
    taken: u64,
    /// Marks whose audio is in a block; told when that has been sent.
    reached: VecDeque<Run>,
    /// Told as soon as the ring has room.
    told: VecDeque<News>,
    /// From the bot's rate, where that is another.
    down: Option<Box<Resampler>>,
    /// Samples at 8000 Hz that the resampler still owes of what it was given.
    tail: usize,
    /// When the queue ran empty, until audio comes again.
    empty: Option<Instant>,
    finish: Option<u64>,
    /// Samples ordered after that.
    refused: u64,
    counts: StreamCounts,
}

impl Playout {
    /// Empty.
    pub(super) fn new(spec: StreamSpec) -> Self {
        Self {
            rate: spec.rate,
            arrivals: Arrivals::new(spec.prebuffer),
            state: State::Idle,
            items: VecDeque::with_capacity(ITEMS),
            cursor: 0,
            queued: 0,
            surplus: 0,
            taken: 0,
            reached: VecDeque::with_capacity(4),
            told: VecDeque::with_capacity(HELD),
            down: (spec.rate != SampleRate::Hz8000)
                .then(|| Box::new(Resampler::new(spec.rate, SampleRate::Hz8000))),
            tail: 0,
            empty: None,
            finish: None,
            refused: 0,
            counts: StreamCounts::with_room(),
        }
    }

    /// Takes the orders that came. A `Clear` is never kept waiting by what stands before it. `spoke`: when the caller last
    /// did.
    pub(super) fn intake(&mut self, now: Instant, spoke: Option<Instant>, end: &mut CoreEnd) -> Intake {
        let mut intake = Intake::default();
        loop {
            if self.told.len() >= HELD {
                return intake; // the session does not read: it is not read either
            }
            if self.items.len() >= ITEMS {
                let passed = end.until_clear();
                if passed == 0 {
                    return intake;
                }
                self.pass(passed, &mut intake, end);
            }
            let Some((order, left)) = end.order() else { return intake };
            intake.any = true;
            match order {
                Play::Audio(samples) => self.queue(left.unwrap_or(now).min(now), spoke, samples, end),
                Play::Mark(mark) => self.mark(Run::one(mark)),
                Play::Marks { first, last } => self.mark(Run { first, last }),
                Play::Clear { asked } => self.clear(asked, &mut intake, end),
                Play::MarksAndClear { first, last, asked } => {
                    self.items.push_back(Item::Marks(Run { first, last }));
                    self.clear(asked, &mut intake, end);
                }
                Play::Finish { until } => self.finish = self.finish.or(Some(until)),
            }
        }
    }

    /// When what came is to begin to play; nothing waits to, where there is nothing, or it plays.
    pub(super) fn begins(&self) -> Option<Instant> {
        let State::Filling { first, enough } = self.state else { return None };
        if self.finish.is_some() {
            return Some(first);
        }
        let whole = self.queued >= self.rate.samples(BLOCK_MS) as u64;
        Some(match whole {
            true => self.arrivals.begin(first, self.rate.duration(self.queued), enough),
            false => self.arrivals.last(first),
        })
    }

    /// Whether there is something of the bot's to be heard, now or soon.
    pub(super) fn plays(&self) -> bool {
        !matches!(self.state, State::Idle)
    }

    /// By how much less than a block the block due at `at` could leave sooner, if that is worth it: what plays is late by
    /// that.
    pub(super) fn late(&self, at: Instant) -> Option<Duration> {
        let late = self.excess(at);
        let playing = matches!(self.state, State::Playing) && self.queued > 0;
        (playing && late >= WORTH && late < Duration::from_millis(BLOCK_MS.into())).then_some(late)
    }

    /// Fills the block at 8000 Hz that is due at `at`; true: some of it is the bot's. `spoke`: when the caller last did.
    pub(super) fn pull(
        &mut self,
        (now, at): (Instant, Instant),
        spoke: Option<Instant>,
        out: &mut [i16],
        end: &mut CoreEnd,
    ) -> bool {
        if self.begins().is_some_and(|begin| begin <= now) {
            self.start(at, spoke);
        }
        let mut source = [0; SOURCE];
        let wanted = (out.len() * self.rate.times_8k()).min(SOURCE);
        let got = match self.state {
            State::Playing => self.next(at, &mut source[..wanted], end),
            State::Idle | State::Filling { .. } => 0,
        };
        if got < wanted && matches!(self.state, State::Playing) {
            self.state = State::Idle;
            self.empty = Some(at);
            self.surplus = 0;
        }
        self.convert(&source[..wanted], got, out);
        self.conclude(end);
        got > 0
    }

    /// The audio of the last blocks has been sent: marks in it are told.
    pub(super) fn sent(&mut self) {
        while let Some(run) = self.reached.pop_front() {
            self.tell(run, Reached::Played);
        }
    }

    /// Leaves what is to be told, and the number of samples that left; true: something was left.
    pub(super) fn report(&mut self, end: &mut CoreEnd) -> bool {
        let mut any = false;
        while let Some(&told) = self.told.front()
            && end.tell(told)
        {
            self.told.pop_front();
            any = true;
        }
        end.set_taken(self.taken + self.refused);
        end.set_silent(!matches!(self.state, State::Playing));
        any
    }

    /// A key for the session; false: no room, it is lost.
    pub(super) fn digit(&mut self, digit: Digit, held: Duration) -> bool {
        let room = self.told.len() < 2 * HELD;
        if room {
            self.told.push_back(News::Digit { digit, held });
        }
        room
    }

    /// The session's end is gone: what it ordered is played out.
    pub(super) fn orphaned(&mut self) {
        self.finish = self.finish.or(Some(u64::MAX));
    }

    /// Behind the last sample that left, and behind the last that came: places on the line of all that was ordered.
    pub(super) fn places(&self) -> (u64, u64) {
        (self.taken, self.taken + self.queued)
    }

    /// The last word of what was counted: what still waits is not heard any more.
    pub(super) fn close(&mut self, end: &mut CoreEnd) -> StreamCounts {
        self.counts.discarded += std::mem::take(&mut self.queued);
        while let Some((order, _)) = end.order() {
            if let Play::Audio(samples) = order {
                self.counts.discarded += samples.len() as u64;
                end.spend(samples);
            }
        }
        std::mem::take(&mut self.counts)
    }

    /// Whether all is played after the last order, and told.
    pub(super) fn drained(&self) -> bool {
        self.finish.is_some() && self.queued == 0 && self.reached.is_empty() && self.tail == 0
    }

    /// What was counted.
    pub(super) fn counts(&self) -> &StreamCounts {
        &self.counts
    }

    /// To count what is heard.
    pub(super) fn counts_mut(&mut self) -> &mut StreamCounts {
        &mut self.counts
    }

    fn queue(&mut self, at: Instant, spoke: Option<Instant>, samples: Vec<i16>, end: &mut CoreEnd) {
        if samples.is_empty() || self.finish.is_some() {
            self.refused += samples.len() as u64; // what follows a Finish is not played
            self.counts.discarded += samples.len() as u64;
            return end.spend(samples);
        }
        if matches!(self.state, State::Idle) {
            if self.empty.is_some_and(|since| is_anew(since, at, spoke)) {
                self.arrivals.over();
            }
            self.state = State::Filling { first: at, enough: None };
        }
        let block = self.rate.samples(BLOCK_MS) as u64;
        let length = self.rate.duration(samples.len() as u64);
        let into = (self.queued + block - self.surplus as u64) % block;
        self.arrivals.came(at, length, self.rate.duration(into));
        self.queued += samples.len() as u64;
        self.items.push_back(Item::Audio(samples));
        if let State::Filling { enough: enough @ None, .. } = &mut self.state
            && self.rate.duration(self.queued.saturating_sub(block)) >= self.arrivals.enough()
        {
            *enough = Some(at);
        }
    }

    fn mark(&mut self, run: Run) {
        if self.queued == 0 {
            return self.tell(run, Reached::Idle);
        }
        let joined = match self.items.back_mut() {
            Some(Item::Marks(last)) => last.join(run),
            Some(Item::Audio(_)) | None => false,
        };
        if !joined {
            self.items.push_back(Item::Marks(run));
        }
    }

    /// Playing begins. A gap in which the caller spoke was a turn, and no want of audio.
    fn start(&mut self, at: Instant, spoke: Option<Instant>) {
        self.state = State::Playing;
        self.tail = 0;
        let Some(since) = self.empty.take() else { return };
        if !is_anew(since, at, spoke) {
            let gap = at.saturating_duration_since(since);
            self.arrivals.starved(at, gap);
            self.counts.starved += 1;
            self.counts.longest_starvation_ms = self.counts.longest_starvation_ms.max(gap.as_millis() as u64);
        }
    }

    /// The samples of the block that goes out at `at`, without silence that is too much; how many.
    fn next(&mut self, at: Instant, out: &mut [i16], end: &mut CoreEnd) -> usize {
        let block = self.rate.samples(BLOCK_MS);
        if self.surplus == 0 && self.excess(at) >= Duration::from_millis(BLOCK_MS.into()) - ABOUT {
            self.surplus = block;
        }
        if self.surplus == 0 || self.finish.is_some() {
            return self.take(out, end);
        }
        let (most, a_ms) = (self.surplus.min(self.rate.samples(CUT_MS)), self.rate.samples(1));
        let mut window = [0; WINDOW];
        let window = &mut window[..(out.len() + most).min(WINDOW)];
        let found = if self.peek(window) == window.len() { quiet::cut(window, most, a_ms) } else { None };
        let Some(cut) = found else { return self.take(out, end) };
        quiet::leave_out(window, cut, a_ms, out);
        self.pass_over(out.len() + cut.length, end, |_| ());
        self.surplus -= cut.length;
        self.arrivals.shed(self.rate.duration(cut.length as u64));
        self.counts.shed += cut.length as u64;
        out.len()
    }

    /// What plays too late, of audio that goes out from `at` on, when all is left out that is to be.
    fn excess(&self, at: Instant) -> Duration {
        let queued = self.queued.saturating_sub(self.surplus as u64);
        self.arrivals.excess(at, self.rate.duration(queued))
    }

    /// Copies what is queued, as far as it goes, and leaves it there; how much.
    fn peek(&self, out: &mut [i16]) -> usize {
        let (mut got, mut from) = (0, self.cursor);
        for item in &self.items {
            if let Item::Audio(samples) = item {
                let n = (samples.len() - from).min(out.len() - got);
                out[got..got + n].copy_from_slice(&samples[from..from + n]);
                (got, from) = (got + n, 0);
            }
        }
        got
    }

    /// Moves queued samples to `out`, as far as a `Finish` allows; how many.
    fn take(&mut self, out: &mut [i16], end: &mut CoreEnd) -> usize {
        let allowed = self.finish.map_or(u64::MAX, |until| until.saturating_sub(self.taken));
        let wanted = out.len().min(usize::try_from(allowed).unwrap_or(usize::MAX));
        let mut got = 0;
        self.pass_over(wanted, end, |samples| {
            out[got..got + samples.len()].copy_from_slice(samples);
            got += samples.len();
        });
        got
    }

    /// So many queued samples leave, and the marks before and after them.
    fn pass_over(&mut self, wanted: usize, end: &mut CoreEnd, mut each: impl FnMut(&[i16])) {
        let mut got = 0;
        loop {
            match self.items.front() {
                Some(&Item::Marks(run)) => {
                    if !self.reached.back_mut().is_some_and(|last| last.join(run)) {
                        self.reached.push_back(run);
                    }
                    self.items.pop_front();
                }
                Some(Item::Audio(samples)) => {
                    let n = (samples.len() - self.cursor).min(wanted - got);
                    if n == 0 {
                        break;
                    }
                    each(&samples[self.cursor..self.cursor + n]);
                    got += n;
                    self.cursor += n;
                    if self.cursor == samples.len() {
                        self.drop_front(end);
                    }
                }
                None => break,
            }
        }
        self.queued -= got as u64;
        self.taken += got as u64;
        self.counts.played += got as u64;
    }

    /// The first item leaves; its buffer goes home.
    fn drop_front(&mut self, end: &mut CoreEnd) -> Option<Run> {
        self.cursor = 0;
        match self.items.pop_front()? {
            Item::Audio(samples) => {
                end.spend(samples);
                None
            }
            Item::Marks(run) => Some(run),
        }
    }

    /// `source` at the graph's rate, its first `got` samples the bot's. What the filter still holds of an utterance
    /// is let out after it, then the filter forgets.
    fn convert(&mut self, source: &[i16], got: usize, out: &mut [i16]) {
        let Some(down) = &mut self.down else { return out.copy_from_slice(&source[..out.len()]) };
        if got > 0 {
            self.tail = 2 * down.delay(); // what comes after the middle of the filter as well
        }
        if got == 0 && self.tail == 0 {
            return out.fill(0);
        }
        let made = down.process(source, out);
        out[made..].fill(0);
        if got < source.len() {
            let silent = (source.len() - got) / self.rate.times_8k();
            self.tail = self.tail.saturating_sub(silent);
            if self.tail == 0 {
                down.reset();
            }
        }
    }

    /// After the last order: what lies beyond its bound is digital silence, and leaves unplayed.
    fn conclude(&mut self, end: &mut CoreEnd) {
        let Some(until) = self.finish else { return };
        if self.taken < until && self.queued > 0 {
            return;
        }
        self.taken += self.queued;
        self.counts.discarded += self.queued;
        self.queued = 0;
        while !self.items.is_empty() {
            if let Some(run) = self.drop_front(end) {
                self.tell(run, Reached::Cleared);
            }
        }
        self.state = State::Idle;
    }

    fn clear(&mut self, asked: Option<Instant>, intake: &mut Intake, end: &mut CoreEnd) {
        (intake.any, intake.cleared) = (true, true);
        if matches!(self.state, State::Playing) || self.tail > 0 {
            intake.silenced = asked;
        }
        self.sent(); // what was reached was reached before the clear
        self.taken += self.queued;
        match asked {
            Some(_) => self.counts.cleared += self.queued,
            None => self.counts.discarded += self.queued,
        }
        self.queued = 0;
        while !self.items.is_empty() {
            if let Some(run) = self.drop_front(end) {
                self.tell(run, Reached::Cleared);
            }
        }
        self.state = State::Idle;
        self.arrivals.over();
        self.surplus = 0;
        self.empty = None;
        self.tail = 0;
        if let Some(down) = &mut self.down {
            down.reset();
        }
    }

    /// Takes so many orders that stand before a clear, the clear with them, without queueing them.
    fn pass(&mut self, orders: usize, intake: &mut Intake, end: &mut CoreEnd) {
        for _ in 0..orders {
            match end.order().map(|(order, _)| order) {
                Some(Play::Audio(samples)) => {
                    self.queued += samples.len() as u64;
                    // Counted as cleared with what is queued; kept in order behind it only as a number.
                    end.spend(samples);
                }
                Some(Play::Mark(mark)) => self.items.push_back(Item::Marks(Run::one(mark))),
                Some(Play::Marks { first, last }) => self.items.push_back(Item::Marks(Run { first, last })),
                Some(Play::Finish { until }) => self.finish = self.finish.or(Some(until)),
                Some(Play::Clear { asked }) => self.clear(asked, intake, end),
                Some(Play::MarksAndClear { first, last, asked }) => {
                    self.items.push_back(Item::Marks(Run { first, last }));
                    self.clear(asked, intake, end);
                }
                None => {}
            }
        }
    }

    fn tell(&mut self, run: Run, how: Reached) {
        match how {
            Reached::Played | Reached::Idle => self.counts.marks_played += run.len(),
            Reached::Cleared => self.counts.marks_cleared += run.len(),
        }
        let joined = match self.told.back_mut() {
            Some(News::Marks { run: last, how: same }) => *same == how && last.join(run),
            Some(News::Digit { .. }) | None => false,
        };
        if !joined {
            self.told.push_back(News::Marks { run, how });
        }
    }
}

/// Whether audio that comes at `at` to a queue that has been empty since then begins anew: after a pause, or after a
/// shorter silence in which the caller spoke.
fn is_anew(since: Instant, at: Instant, spoke: Option<Instant>) -> bool {
    let gap = at.saturating_duration_since(since);
    gap >= PAUSE || gap >= REPLY && spoke.is_some_and(|spoke| spoke > since)
}

/// What came in of orders.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Intake {
    /// Anything.
    pub(super) any: bool,
    /// A clear.
    pub(super) cleared: bool,
    /// When the bot asked for the one that cut its audio short.
    pub(super) silenced: Option<Instant>,
}
