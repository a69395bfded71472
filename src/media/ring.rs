//! The rings of one bot's stream: the only memory a media core and a session share.
//!
//! ```text
//!  session (tokio)                                   media core
//!    StreamEnd ──orders──► (audio, marks, clear) ──► CoreEnd
//!              ◄──heard──  (samples at its rate) ──
//!              ◄──told───  (marks, digits) ────────
//!              ◄──spent──  (buffers played, freed on the session's side)
//!              ◄ taken     (a number: samples that left the playout)
//! ```
//!
//! The core never wakes anybody itself: while the bot is being reached the session is a task, and is woken by the
//! core's courier; once it is up it has a place among the streams of a thread (`Knock`), which the worker marks.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rtrb::{Consumer, Producer, RingBuffer};
use tokio::sync::Notify;

use super::bell::Bell;
use super::ready::Knock;
use super::{Play, Reached, StreamSpec, Told};
use crate::units::{Digit, SampleRate};

/// Orders under way to the core; what waits beyond them waits with the session.
const ORDERS: usize = 32;
/// Orders kept free for `Clear` and `Finish`, so that they pass when audio is refused.
const KEPT_FREE: usize = 8;
/// Runs of marks, and digits, under way to the session.
const TOLD: usize = 16;
/// Buffers that may be with the core at once: no more come back than this ring holds.
const SPENT: usize = 40;
/// Milliseconds of heard audio under way to the session, longer than it is kept from reading on a machine that keeps up.
const HEARD_MS: u32 = 80;
/// What is beyond it waits with the core, in room that is taken then and given back: together longer than a session is
/// ever kept from reading, and than what a jitter buffer lets go at once.
const HELD_BACK_MS: u32 = 240;

/// An order, and when it was left.
type Stamped = (Play, Option<Instant>);

/// Marks numbered in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) first: u32,
    pub(super) last: u32,
}

impl Run {
    pub(super) fn one(mark: u32) -> Self {
        Self { first: mark, last: mark }
    }

    /// How many; their numbers may turn over.
    pub(super) fn len(self) -> u64 {
        u64::from(self.last.wrapping_sub(self.first)) + 1
    }

    /// Takes in those that follow; false: they do not.
    pub(super) fn join(&mut self, next: Self) -> bool {
        let follows = next.first == self.last.wrapping_add(1);
        if follows {
            self.last = next.last;
        }
        follows
    }
}

/// What is under way to the session: `Told`, marks in runs.
#[derive(Clone, Copy, Debug)]
pub(super) enum News {
    Marks { run: Run, how: Reached },
    Digit { digit: Digit, held: Duration },
}

/// Wakes a session.
#[derive(Clone, Debug)]
pub enum Wake {
    /// Its task: fired by a courier.
    Task(Arc<Notify>),
    /// Its thread: marked by the worker, which rings once at the end of a step.
    Place(Knock),
}

impl Wake {
    /// The session looks at what there is.
    pub fn fire(&self) {
        match self {
            Self::Task(task) => task.notify_one(),
            Self::Place(knock) => knock.now(),
        }
    }
}

#[derive(Debug)]
struct Shared {
    taken: AtomicU64,
    bell: Bell,
    /// Who is told instead of the task that waits at the bell.
    knock: OnceLock<Knock>,
    /// An order was given back: room is worth telling.
    refused: AtomicBool,
    /// Where the core is told of audio while it plays none.
    hail: OnceLock<Knock>,
    silent: AtomicBool,
}

/// The two ends of a stream's rings.
pub(super) fn rings(spec: StreamSpec) -> (CoreEnd, StreamEnd) {
    let (orders, order_queue) = RingBuffer::new(ORDERS);
    let (heard_in, heard) = RingBuffer::new(spec.rate.samples(HEARD_MS));
    let (told_in, told) = RingBuffer::new(TOLD);
    let (spent_in, spent) = RingBuffer::new(SPENT);
    let shared = Arc::new(Shared {
        taken: AtomicU64::new(0),
        bell: Bell::new(),
        knock: OnceLock::new(),
        refused: AtomicBool::new(false),
        hail: OnceLock::new(),
        silent: AtomicBool::new(true),
    });
    let notify = Arc::new(Notify::new());
    let core = CoreEnd {
        orders: order_queue,
        heard: heard_in,
        held_back: Vec::new(),
        most_held: spec.rate.samples(HELD_BACK_MS),
        told: told_in,
        spent: spent_in,
        shared: Arc::clone(&shared),
        task: Arc::clone(&notify),
        news: false,
    };
    let end = StreamEnd {
        rate: spec.rate,
        orders,
        heard,
        told,
        telling: None,
        spent,
        shared,
        notify,
        away: 0,
        finished: false,
    };
    (core, end)
}

/// The session's end of a stream port.
#[derive(Debug)]
pub struct StreamEnd {
    rate: SampleRate,
    orders: Producer<Stamped>,
    heard: Consumer<i16>,
    told: Consumer<News>,
    /// What is left of a run of marks.
    telling: Option<(Run, Reached)>,
    spent: Consumer<Vec<i16>>,
    shared: Arc<Shared>,
    notify: Arc<Notify>,
    /// Buffers ordered that have not come back.
    away: usize,
    finished: bool,
}

impl StreamEnd {
    /// Rate of `hear` and `play`.
    pub fn rate(&self) -> SampleRate {
        self.rate
    }

    /// Moves up to `out.len()` heard samples; 0: nothing now.
    pub fn hear(&mut self, out: &mut [i16]) -> usize {
        self.heard.pop_partial_slice(out).0.len()
    }

    /// Heard samples that wait.
    pub fn heard(&self) -> usize {
        self.heard.slots()
    }

    /// The next mark reached or digit pressed.
    pub fn told(&mut self) -> Option<Told> {
        if self.telling.is_none() {
            match self.told.pop().ok()? {
                News::Marks { run, how } => self.telling = Some((run, how)),
                News::Digit { digit, held } => return Some(Told::Digit { digit, held }),
            }
        }
        let (run, how) = self.telling.take()?;
        if run.len() > 1 {
            self.telling = Some((Run { first: run.first.wrapping_add(1), ..run }, how));
        }
        Some(Told::Mark { mark: run.first, how })
    }

    /// Leaves an order for the core.
    ///
    /// # Errors
    /// The order itself when the ring is full: to be tried again after `woken`. Room is kept for `Clear` and
    /// `Finish`, which pass while audio and marks are refused.
    pub fn play(&mut self, order: Play) -> Result<(), Play> {
        self.order(order, None)
    }

    /// The same, and when what is ordered came from the bot: what its delay is judged by. Without it, it is taken to have
    /// come when the core finds it.
    ///
    /// # Errors
    /// As of `play`.
    pub fn play_at(&mut self, now: Instant, order: Play) -> Result<(), Play> {
        self.order(order, Some(now))
    }

    fn order(&mut self, order: Play, at: Option<Instant>) -> Result<(), Play> {
        let order = match self.leave(order, at) {
            Ok(()) => return Ok(()),
            Err(order) => order,
        };
        self.shared.refused.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst); // either the core sees this, or we see the room it made
        self.leave(order, at)
    }

    fn leave(&mut self, order: Play, at: Option<Instant>) -> Result<(), Play> {
        while self.spent().is_some() {}
        let audio = matches!(order, Play::Audio(_));
        let room = match order {
            Play::Audio(_) => self.orders.slots() > KEPT_FREE && self.away < SPENT,
            Play::Mark(_) | Play::Marks { .. } => self.orders.slots() > KEPT_FREE,
            Play::Clear { .. } | Play::MarksAndClear { .. } | Play::Finish { .. } => true,
        };
        if !room {
            return Err(order);
        }
        let finish = matches!(order, Play::Finish { .. });
        match self.orders.push((order, at)) {
            Ok(()) => {
                self.away += usize::from(audio);
                if audio && self.shared.silent.load(Ordering::Relaxed) {
                    self.shared.hail.get().into_iter().for_each(Knock::mark);
                }
                self.finished |= finish;
                Ok(())
            }
            Err(rtrb::PushError::Full((order, _))) => Err(order),
        }
    }

    /// Samples of `Audio` orders that have left the playout, played or cleared: what is queued is what was
    /// ordered less this.
    pub fn taken(&self) -> u64 {
        self.shared.taken.load(Ordering::Acquire)
    }

    /// A buffer whose samples are played, to be filled again or dropped. `play` drops those nobody fetched.
    pub fn spent(&mut self) -> Option<Vec<i16>> {
        let buffer = self.spent.pop().ok()?;
        self.away = self.away.saturating_sub(1);
        Some(buffer)
    }

    /// Whether the port is gone: nothing more is heard or told, and orders lead nowhere.
    pub fn is_closed(&self) -> bool {
        self.orders.is_abandoned()
    }

    /// From now on this place is marked when the core left something or made room for a refused order, and `woken`
    /// resolves no more. What was left before is to be looked at once.
    pub fn knock_at(&mut self, knock: Knock) {
        let _ = self.shared.knock.set(knock); // a stream moves once
        fence(Ordering::SeqCst); // either the core sees it, or we see what the core left
    }

    /// Resolves when the media core left something (audio, marks, digits) or made room for a refused order; at
    /// once if such is there already. May be dropped at any await.
    pub async fn woken(&mut self) {
        loop {
            self.shared.bell.arm();
            if self.something() {
                self.shared.bell.disarm();
                self.shared.refused.store(false, Ordering::Relaxed);
                return;
            }
            self.notify.notified().await;
        }
    }

    fn something(&self) -> bool {
        let room = self.shared.refused.load(Ordering::Relaxed)
            && self.orders.slots() > KEPT_FREE
            && self.away.saturating_sub(self.spent.slots()) < SPENT;
        !self.heard.is_empty() || !self.told.is_empty() || self.telling.is_some() || room
    }
}

/// The core's end: owned by a stream port.
#[derive(Debug)]
pub(super) struct CoreEnd {
    orders: Consumer<Stamped>,
    heard: Producer<i16>,
    /// Heard samples that found no room, before all that follow.
    held_back: Vec<i16>,
    most_held: usize,
    told: Producer<News>,
    spent: Producer<Vec<i16>>,
    shared: Arc<Shared>,
    task: Arc<Notify>,
    /// Something was left since the session was last woken.
    news: bool,
}

impl CoreEnd {
    /// The next order, and when it was left if that is known.
    pub(super) fn order(&mut self) -> Option<(Play, Option<Instant>)> {
        self.orders.pop().ok()
    }

    /// Orders up to and with the last `Clear` that waits: 0 if none does. Looks without taking.
    pub(super) fn until_clear(&mut self) -> usize {
        let waiting = self.orders.slots();
        let Ok(chunk) = self.orders.read_chunk(waiting) else { return 0 };
        let (head, tail) = chunk.as_slices();
        let clear = |order: &Stamped| matches!(order.0, Play::Clear { .. } | Play::MarksAndClear { .. });
        match tail.iter().rposition(clear) {
            Some(at) => head.len() + at + 1,
            None => head.iter().rposition(clear).map_or(0, |at| at + 1),
        }
    }

    /// Whether the session's end was dropped and all it ordered is taken.
    pub(super) fn abandoned(&self) -> bool {
        // The order matters: what was pushed before the drop is seen after it.
        self.orders.is_abandoned() && self.orders.is_empty()
    }

    /// Leaves heard samples; the number that found no room. The one place where a core may allocate while a call is up:
    /// the session has not read for long.
    pub(super) fn hear(&mut self, samples: &[i16]) -> usize {
        self.catch_up();
        self.news = true;
        let rest = match self.held_back.is_empty() {
            true => self.heard.push_partial_slice(samples).1,
            false => samples,
        };
        let kept = rest.len().min(self.most_held - self.held_back.len());
        self.held_back.extend_from_slice(&rest[..kept]);
        rest.len() - kept
    }

    /// Leaves what was held back, as far as there is room now; true: some of it.
    pub(super) fn catch_up(&mut self) -> bool {
        if self.held_back.is_empty() || self.heard.is_full() {
            return false;
        }
        self.news = true;
        let left = self.heard.push_partial_slice(&self.held_back).1.len();
        if left == 0 {
            self.held_back = Vec::new();
        } else {
            self.held_back.drain(..self.held_back.len() - left);
        }
        true
    }

    /// Leaves marks or a digit; false: no room.
    pub(super) fn tell(&mut self, news: News) -> bool {
        self.news = true;
        self.told.push(news).is_ok()
    }

    /// Sends a buffer home. There is room: `StreamEnd::play` lets no more out than the ring holds.
    pub(super) fn spend(&mut self, buffer: Vec<i16>) {
        let sent = self.spent.push(buffer);
        debug_assert!(sent.is_ok(), "more buffers with the core than the ring home holds");
    }

    /// Where audio is marked that comes while none plays: a core that is awake finds it in its next step, one that
    /// sleeps when it wakes.
    pub(super) fn hailed_by(&mut self, hail: Knock) {
        let _ = self.shared.hail.set(hail); // a port stays on its core
    }

    /// Whether nothing plays.
    pub(super) fn set_silent(&self, silent: bool) {
        self.shared.silent.store(silent, Ordering::Relaxed);
    }

    /// So many samples have left the playout.
    pub(super) fn set_taken(&self, samples: u64) {
        self.shared.taken.store(samples, Ordering::Release);
    }

    /// The session's wake-up, if there is something for it and it may not know: to be fired by the courier, or marked.
    pub(super) fn wake(&mut self) -> Option<Wake> {
        fence(Ordering::SeqCst); // what was left stands before the looks at who is to be told, and whether
        let Some(knock) = self.shared.knock.get() else {
            return self.shared.bell.ring().then(|| Wake::Task(Arc::clone(&self.task)));
        };
        let room =
            self.shared.refused.load(Ordering::Relaxed) && self.shared.refused.swap(false, Ordering::AcqRel);
        (std::mem::take(&mut self.news) || room).then(|| Wake::Place(knock.clone()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn spec() -> StreamSpec {
        StreamSpec { rate: SampleRate::Hz8000, prebuffer: Duration::from_millis(60) }
    }

    #[test]
    fn a_clear_passes_when_audio_is_refused() {
        let (mut core, mut end) = rings(spec());
        while end.play(Play::Audio(vec![1])).is_ok() {}
        assert!(matches!(end.play(Play::Mark(1)), Err(Play::Mark(1))));
        assert!(end.play(Play::Clear { asked: None }).is_ok());
        assert_eq!(core.until_clear(), ORDERS - KEPT_FREE + 1);
        assert!(end.play(Play::MarksAndClear { first: 1, last: 2, asked: None }).is_ok());
        assert_eq!(core.until_clear(), ORDERS - KEPT_FREE + 2);
        while core.order().is_some() {}
        assert!(end.play(Play::Mark(1)).is_ok());
        assert_eq!(core.until_clear(), 0);
    }

    #[test]
    fn no_more_buffers_are_out_than_can_come_home() {
        let (mut core, mut end) = rings(spec());
        let mut kept = Vec::new();
        loop {
            match end.play(Play::Audio(vec![1])) {
                Ok(()) => match core.order() {
                    Some((Play::Audio(buffer), _)) => kept.push(buffer),
                    other => panic!("{other:?}"),
                },
                Err(order) => break drop(order),
            }
        }
        assert_eq!(kept.len(), SPENT);
        for buffer in kept {
            core.spend(buffer);
        }
        assert!(end.play(Play::Audio(vec![1])).is_ok());
    }

    #[test]
    fn what_a_session_does_not_read_for_long_is_held_back_in_order_and_its_room_given_back() {
        let (mut core, mut end) = rings(spec());
        let all: Vec<i16> = (0..320 * 8).collect();
        assert_eq!(all.chunks(160).map(|piece| core.hear(piece)).sum::<usize>(), 0);
        assert_eq!(core.hear(&[-1; 160]), 160, "beyond that it is lost");
        let (mut heard, mut out) = (Vec::new(), [0; 480]);
        for _ in 0..10 {
            while let n @ 1.. = end.hear(&mut out) {
                heard.extend_from_slice(&out[..n]);
            }
            core.hear(&[]);
        }
        assert_eq!(heard, all);
        assert_eq!(core.held_back.capacity(), 0);
    }

    #[tokio::test]
    async fn a_session_is_woken_once_a_sleep_and_only_then() {
        let (mut core, mut end) = rings(spec());
        assert!(core.wake().is_none(), "nobody sleeps yet");
        let sleeper = tokio::spawn(async move {
            end.woken().await;
            end
        });
        tokio::task::yield_now().await;
        core.hear(&[1, 2, 3]);
        let wake = core.wake().expect("the session sleeps");
        assert!(core.wake().is_none(), "one wake a sleep");
        wake.fire();
        let mut end = sleeper.await.expect("the session lives");
        let mut out = [0; 8];
        assert_eq!((end.hear(&mut out), &out[..3]), (3, &[1, 2, 3][..]));
    }

    #[tokio::test]
    async fn room_wakes_only_those_who_were_refused() {
        let (mut core, mut end) = rings(spec());
        while end.play(Play::Mark(7)).is_ok() {}
        assert!(!end.something());
        assert!(core.order().is_some());
        end.woken().await;
        assert!(end.play(Play::Mark(8)).is_ok());
        assert!(!end.something());
    }

    #[test]
    fn a_dropped_session_is_noticed_when_all_it_ordered_is_taken() {
        let (mut core, mut end) = rings(spec());
        end.play(Play::Mark(1)).expect("room");
        drop(end);
        assert!(!core.abandoned());
        assert!(core.order().is_some());
        assert!(core.abandoned());
    }
}
