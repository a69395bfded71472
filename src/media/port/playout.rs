//! What waits to be played of a bot: audio and marks in the order received (agentstream.md sections 7.2, 8).
//!
//! ```text
//!            first audio                 prebuffer full, or its time is up, or Finish
//!   Idle ───────────────────► Filling ──────────────────────────────────────────────► Playing
//!    ▲ ▲                         │                                                       │
//!    │ └──────── Clear ──────────┴───────────────────── Clear ───────────────────────────┤
//!    └──────────────────────────────────── queue empty ──────────────────────────────────┘
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::super::ring::{CoreEnd, ORDERS};
use super::super::{Play, Reached, StreamCounts, StreamSpec, Told};
use crate::audio::Resampler;
use crate::units::SampleRate;

/// Pieces that wait here; what is beyond stays in the ring, and then with the session.
const ITEMS: usize = 256;
/// Marks told that wait for room in the ring; at so many no order is taken until the session has read some.
const HELD: usize = 256;
/// A queue that is fed again after so long was not starved: the bot had said all it wanted.
pub(super) const PAUSE: Duration = Duration::from_secs(1);
/// Nobody answers a word sooner after his own: a shorter gap in the bot's audio is not the caller's turn.
pub(super) const REPLY: Duration = Duration::from_millis(300);
/// Samples of a block at the highest rate.
const SOURCE: usize = SampleRate::Hz24000.samples(20);

#[derive(Debug)]
enum Item {
    Audio(Vec<i16>),
    Mark(u32),
}

#[derive(Clone, Copy, Debug)]
enum State {
    Idle,
    Filling(Instant),
    Playing,
}

/// A bot's playout.
#[derive(Debug)]
pub(super) struct Playout {
    rate: SampleRate,
    prebuffer: Duration,
    state: State,
    items: VecDeque<Item>,
    /// Samples of the first item that are played.
    cursor: usize,
    /// Samples that wait.
    queued: u64,
    /// Samples that left, played or cleared.
    taken: u64,
    /// Marks whose audio is in a block; told when that has been sent.
    reached: VecDeque<u32>,
    /// Told as soon as the ring has room.
    told: VecDeque<Told>,
    down: Resampler,
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
            prebuffer: spec.prebuffer,
            state: State::Idle,
            items: VecDeque::with_capacity(ITEMS + ORDERS),
            cursor: 0,
            queued: 0,
            taken: 0,
            reached: VecDeque::with_capacity(ITEMS),
            told: VecDeque::with_capacity(HELD + 2 * ITEMS + ORDERS),
            down: Resampler::new(spec.rate, SampleRate::Hz8000),
            tail: 0,
            empty: None,
            finish: None,
            refused: 0,
            counts: StreamCounts::with_room(),
        }
    }

    /// Takes the orders that came; true: there were some. A `Clear` is never kept waiting by what stands before it.
    pub(super) fn intake(&mut self, now: Instant, end: &mut CoreEnd) -> Intake {
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
            let Some(order) = end.order() else { return intake };
            intake.any = true;
            match order {
                Play::Audio(samples) => self.queue(now, samples, end),
                Play::Mark(mark) if self.queued == 0 => self.tell(mark, Reached::Idle),
                Play::Mark(mark) => self.items.push_back(Item::Mark(mark)),
                Play::Clear { asked } => self.clear(asked, &mut intake, end),
                Play::Finish { until } => self.finish = self.finish.or(Some(until)),
            }
        }
    }

    /// Fills a block at 8000 Hz; true: some of it is the bot's. `spoke`: when the caller last did.
    pub(super) fn pull(
        &mut self,
        now: Instant,
        spoke: Option<Instant>,
        out: &mut [i16],
        end: &mut CoreEnd,
    ) -> bool {
        if let State::Filling(since) = self.state
            && (self.finish.is_some()
                || self.rate.duration(self.queued) >= self.prebuffer
                || now >= since + self.prebuffer)
        {
            self.start(now, spoke);
        }
        let mut source = [0; SOURCE];
        let wanted = (out.len() * self.rate.times_8k()).min(SOURCE);
        let got = match self.state {
            State::Playing => self.take(&mut source[..wanted], end),
            State::Idle | State::Filling(_) => 0,
        };
        if got < wanted && matches!(self.state, State::Playing) {
            self.state = State::Idle;
            self.empty = Some(now);
        }
        self.convert(&source[..wanted], got, out);
        self.conclude(end);
        got > 0
    }

    /// The audio of the last blocks has been sent: marks in it are told.
    pub(super) fn sent(&mut self) {
        while let Some(mark) = self.reached.pop_front() {
            self.tell(mark, Reached::Played);
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
        any
    }

    /// A key for the session; false: no room, it is lost.
    pub(super) fn digit(&mut self, told: Told) -> bool {
        let room = self.told.len() < self.told.capacity();
        if room {
            self.told.push_back(told);
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
        while let Some(order) = end.order() {
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

    fn queue(&mut self, now: Instant, samples: Vec<i16>, end: &mut CoreEnd) {
        if samples.is_empty() || self.finish.is_some() {
            self.refused += samples.len() as u64; // what follows a Finish is not played
            self.counts.discarded += samples.len() as u64;
            return end.spend(samples);
        }
        self.queued += samples.len() as u64;
        self.items.push_back(Item::Audio(samples));
        if matches!(self.state, State::Idle) {
            self.state = State::Filling(now);
        }
    }

    /// Playing begins. A gap in which the caller spoke was a turn, and no want of audio.
    fn start(&mut self, now: Instant, spoke: Option<Instant>) {
        self.state = State::Playing;
        self.tail = 0;
        let Some(since) = self.empty.take() else { return };
        let gap = now.saturating_duration_since(since);
        let turn = gap >= REPLY && spoke.is_some_and(|spoke| spoke > since);
        if gap < PAUSE && !turn {
            self.counts.starved += 1;
            let gap = gap.as_millis() as u64;
            self.counts.longest_starvation_ms = self.counts.longest_starvation_ms.max(gap);
        }
    }

    /// Moves queued samples to `out`, passing the marks before and after them; how many.
    fn take(&mut self, out: &mut [i16], end: &mut CoreEnd) -> usize {
        let allowed = self.finish.map_or(u64::MAX, |until| until.saturating_sub(self.taken));
        let wanted = out.len().min(usize::try_from(allowed).unwrap_or(usize::MAX));
        let mut got = 0;
        loop {
            match self.items.front() {
                Some(&Item::Mark(mark)) => {
                    self.reached.push_back(mark);
                    self.items.pop_front();
                }
                Some(Item::Audio(samples)) => {
                    let n = (samples.len() - self.cursor).min(wanted - got);
                    if n == 0 {
                        break;
                    }
                    out[got..got + n].copy_from_slice(&samples[self.cursor..self.cursor + n]);
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
        got
    }

    /// The first item leaves; its buffer goes home.
    fn drop_front(&mut self, end: &mut CoreEnd) -> Option<u32> {
        self.cursor = 0;
        match self.items.pop_front()? {
            Item::Audio(samples) => {
                end.spend(samples);
                None
            }
            Item::Mark(mark) => Some(mark),
        }
    }

    /// `source` at the graph's rate, its first `got` samples the bot's. What the filter still holds of an utterance
    /// is let out after it, then the filter forgets.
    fn convert(&mut self, source: &[i16], got: usize, out: &mut [i16]) {
        if got > 0 {
            self.tail = 2 * self.down.delay(); // what comes after the middle of the filter as well
        }
        if got == 0 && self.tail == 0 {
            return out.fill(0);
        }
        let made = self.down.process(source, out);
        out[made..].fill(0);
        if got < source.len() {
            let silent = (source.len() - got) / self.rate.times_8k();
            self.tail = self.tail.saturating_sub(silent);
            if self.tail == 0 {
                self.down.reset();
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
            if let Some(mark) = self.drop_front(end) {
                self.tell(mark, Reached::Cleared);
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
            if let Some(mark) = self.drop_front(end) {
                self.tell(mark, Reached::Cleared);
            }
        }
        self.state = State::Idle;
        self.empty = None;
        self.tail = 0;
        self.down.reset();
    }

    /// Takes so many orders that stand before a clear, the clear with them, without queueing them.
    fn pass(&mut self, orders: usize, intake: &mut Intake, end: &mut CoreEnd) {
        for _ in 0..orders {
            match end.order() {
                Some(Play::Audio(samples)) => {
                    self.queued += samples.len() as u64;
                    // Counted as cleared with what is queued; kept in order behind it only as a number.
                    end.spend(samples);
                }
                Some(Play::Mark(mark)) => self.items.push_back(Item::Mark(mark)),
                Some(Play::Finish { until }) => self.finish = self.finish.or(Some(until)),
                Some(Play::Clear { asked }) => self.clear(asked, intake, end),
                None => {}
            }
        }
    }

    fn tell(&mut self, mark: u32, how: Reached) {
        match how {
            Reached::Played | Reached::Idle => self.counts.marks_played += 1,
            Reached::Cleared => self.counts.marks_cleared += 1,
        }
        self.told.push_back(Told::Mark { mark, how });
    }
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
