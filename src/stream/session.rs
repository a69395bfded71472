//! One stream to one bot, from the first attempt to its outcome (agentstream.md). A pure core: inputs and the time go
//! in; messages, orders for the playout and events are polled out.
//!
//! ```text
//!  Connecting ──Up──► Up ──bot's stop──► Leaving ──1 s──► Stopping ──close written──► Closing ──2 s, EOF──► Over
//!      │              │ └──stop, duration limit, violation────▲                          ▲                  ▲
//!      │              └──bot closed──────────────────────────────────────────────────────┘                  │
//!      └──given up, failed────────────────────────────────────────── connection lost ───────────────────────┘
//! ```
//!
//! The end is decided once; whatever the peer does after it has no influence.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::barge::Barge;
use super::limit::{Bucket, Window};
use super::marks::Marks;
use super::outbox::{Outbox, Sent};
use super::outcome::{End, Verdict, Violation};
use super::speech::Speech;
use super::tally::{Drop, Tally};
use super::{BotUrl, Config, Event, Figures, Keys, Settings, Start, Stop, StreamError, message};
use crate::media::{Play, Reached, Told};
use crate::units::Digit;

mod close;
mod listen;
#[cfg(test)]
mod tests;

/// After the bot's `stop`, for its close.
const LEAVE: Duration = Duration::from_secs(1);
/// After `stop` is queued, for the socket to take it; after the close is sent, for the peer's.
const CLOSE: Duration = Duration::from_secs(2);
/// A socket that takes nothing.
const STALL: Duration = Duration::from_secs(15);
/// A message that does not become complete (reliability R-62).
const INCOMPLETE: Duration = Duration::from_secs(10);
/// A key told by RTP and by signalling within so long is one press (sip-trunk.md section 11.5).
const TWICE_TOLD: Duration = Duration::from_millis(400);
/// Keys kept while the stream is not up.
const KEPT_KEYS: usize = 32;

/// What happens to a session.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// The upgrade is done.
    Up {
        /// Since the first attempt began.
        connect: Duration,
    },
    /// No attempt succeeded.
    Failed(StreamError),
    /// A text message of the bot.
    Text(&'a str),
    /// A binary message of the bot.
    Binary,
    /// A ping or pong of the bot.
    Control,
    /// The bot closed the socket.
    Closed {
        /// Absent where the frame had none.
        code: Option<u16>,
        /// Its text.
        reason: &'a str,
    },
    /// The connection is gone; before the end is decided, without a close frame.
    Lost(&'a str),
    /// TCP gave up: nothing was acknowledged.
    Unacknowledged,
    /// The bot broke the framing or a size.
    Violation(Violation),
    /// Data messages completed so far, and whether another has begun.
    Framing {
        /// Complete.
        complete: u64,
        /// One is under way.
        open: bool,
    },
    /// The socket took some octets.
    Progress,
    /// The caller said something: samples at the stream's rate.
    Heard(&'a [i16]),
    /// The playout tells of a mark or a key.
    Told(Told),
    /// Signalling tells of a key.
    Key {
        /// Which.
        digit: Digit,
        /// How long it was held.
        held: Duration,
    },
    /// The caller's audio is sent again, or not any more until then.
    Pause(bool),
    /// The call ends the stream.
    Stop(Stop),
    /// The time of `poll_timeout` has come.
    Timeout,
}

/// What is to be written to the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transmit {
    /// The text in the buffer.
    Text,
    /// A ping.
    Ping,
    /// A close frame; nothing after it.
    Close(u16),
}

/// Who tells of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Teller {
    Rtp,
    Signalling,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Connecting,
    Up,
    Leaving { until: Instant },
    Stopping { until: Instant, code: u16 },
    Closing { until: Instant },
    Over,
}

/// The core of one stream.
#[derive(Debug)]
pub struct Session {
    config: Arc<Config>,
    start: Start,
    sid: String,
    /// The `start` message, until it is sent.
    opening: String,
    url: String,
    state: State,
    outbox: Outbox,
    speech: Speech,
    marks: Marks,
    keys: Vec<(Digit, Duration)>,
    /// How they are told.
    telling: Keys,
    /// The key that was told last, by whom and when.
    key: Option<(Digit, Teller, Instant)>,
    nonsense: Window,
    /// The bot said something since the last clear.
    said: bool,
    controls: Bucket,
    /// Listens for a caller who begins to speak.
    barge: Option<Barge>,
    /// Only the caller is carried: the peer is not listened to.
    one_way: bool,
    /// Longest playing out after the bot closed.
    drain_on_close: Duration,
    timers: Timers,
    /// The end, once it is decided, and how long the stream had lasted.
    verdict: Option<(Verdict, Duration)>,
    /// The call was told of it.
    told: bool,
    /// It was told that the playout's queue is full.
    full: bool,
    figures: Figures,
    tally: Tally,
    events: VecDeque<Event>,
}

#[derive(Debug)]
struct Timers {
    /// `start` was written.
    began: Option<Instant>,
    ping: Instant,
    ping_due: bool,
    /// The bot was last heard of.
    heard: Instant,
    /// Something waits for the socket, which took nothing since.
    stuck: Option<Instant>,
    /// A message of the bot is under way, the one after so many, since.
    incomplete: Option<(u64, Instant)>,
}

impl Session {
    /// A stream whose first attempt begins now.
    pub fn new(
        config: Arc<Config>,
        mut start: Start,
        url: &BotUrl,
        settings: &Settings,
        now: Instant,
    ) -> Self {
        start.rate = url.rate();
        let mut opening = String::new();
        message::start(&mut opening, &start, url.parameters(), &settings.style);
        let figures = Figures { sample_rate: start.rate.hz(), ..Figures::default() };
        let timers =
            Timers { began: None, ping: now, ping_due: false, heard: now, stuck: None, incomplete: None };
        let mut outbox = Outbox::new(start.rate, settings.frame_ms, config.send_queue);
        outbox.pause(settings.paused);
        Self {
            sid: start.stream_sid.to_string(),
            opening,
            url: url.to_string(),
            state: State::Connecting,
            outbox,
            speech: Speech::new(start.rate, config.max_queue),
            marks: Marks::new(),
            keys: Vec::new(),
            telling: Keys::Clear,
            key: None,
            said: false,
            nonsense: Window::new(200, Duration::from_secs(10)),
            controls: Bucket::new(100, 100),
            barge: settings.local_barge_in.then(|| Barge::new(start.rate)),
            one_way: settings.one_way,
            drain_on_close: settings.drain_on_close,
            timers,
            verdict: None,
            told: false,
            full: false,
            figures,
            tally: Tally::default(),
            events: VecDeque::new(),
            start,
            config,
        }
    }

    /// How the caller's keys are told; in clear, where nothing else is said.
    #[must_use]
    pub fn telling(mut self, keys: Keys) -> Self {
        self.telling = keys;
        self
    }

    /// What the caller said before it, to a bot that could not be had.
    pub fn keep(&mut self, samples: &[i16]) {
        self.outbox.heard(samples);
    }

    /// What it has heard and never sent, to be told before `Input::Failed`: the next bot's.
    pub fn kept(&mut self) -> Vec<i16> {
        self.outbox.kept()
    }

    /// So many attempts were begun.
    pub fn attempted(&mut self, attempts: u8) {
        self.figures.attempts = attempts;
    }

    /// So many samples have left the playout (`StreamEnd::taken`); to be told before a message of the bot is.
    pub fn taken(&mut self, samples: u64) {
        self.speech.taken(samples);
    }

    /// Takes one input. What it causes is polled afterwards.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Heard(samples) if self.speaks() => self.heard(now, samples),
            Input::Heard(_) => {}
            Input::Told(told) => self.told(now, told),
            Input::Key { digit, held } => self.key(now, Teller::Signalling, digit, held),
            Input::Pause(paused) => self.outbox.pause(paused),
            Input::Stop(stop) => self.stop(now, stop),
            Input::Timeout => self.timeout(now),
            Input::Progress => self.timers.stuck = self.timers.stuck.map(|_| now),
            Input::Up { connect } if self.state == State::Connecting => self.up(now, connect),
            Input::Up { .. } => {}
            Input::Failed(error) => self.end(now, End::Failed(error)),
            Input::Lost(reason) => self.gone(now, End::Lost(reason.to_owned())),
            Input::Unacknowledged => self.gone(now, End::Unresponsive),
            Input::Violation(violation) => self.violation(now, violation),
            Input::Closed { code, reason } => self.closed(now, code, reason),
            Input::Framing { complete, open } => {
                let since = self.timers.incomplete.filter(|&(number, _)| number == complete);
                self.timers.incomplete = open.then_some(since.unwrap_or((complete, now)));
            }
            Input::Text(text) => self.text(now, text),
            Input::Binary => self.binary(now),
            Input::Control => self.control(now),
        }
        if self.speaks() {
            self.echo(now);
        }
        self.timers.stuck = match self.outbox.is_empty() && !self.timers.ping_due {
            true => None,
            false => self.timers.stuck.or(Some(now)),
        };
    }

    /// The next message for the socket, asked for when the socket can take one; a text is left in `out`.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut String) -> Option<Transmit> {
        if matches!(self.state, State::Connecting | State::Closing { .. } | State::Over) {
            return None;
        }
        if self.timers.ping_due && self.timers.began.is_some() && self.verdict.is_none() {
            self.timers.ping_due = false;
            self.timers.stuck = (!self.outbox.is_empty()).then_some(now);
            return Some(Transmit::Ping);
        }
        let Some(sent) = self.outbox.next(out, &self.start, &self.sid, &self.opening) else {
            return self.close(now);
        };
        self.tally.sent(sent);
        self.figures.messages_out += 1;
        self.timers.stuck = (!self.outbox.is_empty()).then_some(now);
        if sent == Sent::Start {
            self.began(now);
        }
        Some(Transmit::Text)
    }

    /// The next order for the playout.
    pub fn poll_play(&mut self) -> Option<Play> {
        self.speech.orders().next()
    }

    /// The playout's ring could not take it: it is the next again.
    pub fn give_back(&mut self, order: Play) {
        self.speech.orders().give_back(order);
    }

    /// The next event for the call.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// There is an event to poll, or the stream is over.
    pub fn has_news(&self) -> bool {
        !self.events.is_empty() || self.is_over()
    }

    /// When `Input::Timeout` is due.
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        match self.state {
            State::Connecting | State::Over => None,
            State::Stopping { until, .. } | State::Closing { until } => Some(until),
            State::Up | State::Leaving { .. } => self.deadlines(now).into_iter().flatten().min(),
        }
    }

    /// The connection may be dropped.
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// The end is decided and its orders have gone to the playout: its `StreamEnd` may be dropped.
    pub fn is_silent(&mut self) -> bool {
        self.verdict.is_some() && self.speech.orders().is_empty()
    }

    /// What was counted for the metrics.
    pub fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    // ---- inputs ----

    /// The bot still hears the caller.
    fn speaks(&self) -> bool {
        matches!(self.state, State::Connecting | State::Up | State::Leaving { .. })
    }

    fn listens(&self) -> bool {
        matches!(self.state, State::Up | State::Leaving { .. })
    }

    fn heard(&mut self, now: Instant, samples: &[i16]) {
        self.outbox.heard(samples);
        let began = self.barge.as_mut().is_some_and(|barge| barge.hear(samples));
        if began && self.listens() {
            self.clear(now);
        }
    }

    fn up(&mut self, now: Instant, connect: Duration) {
        self.state = State::Up;
        self.figures.connect = Some(connect);
        (self.timers.heard, self.timers.ping) = (now, now + self.config.ping_interval);
        self.outbox.open();
        for (digit, held) in std::mem::take(&mut self.keys) {
            self.press(digit, held);
        }
    }

    fn began(&mut self, now: Instant) {
        self.opening = String::new();
        self.timers.began = Some(now);
        let connect = self.figures.connect.unwrap_or_default();
        self.events.push_back(Event::Up { connect, attempts: self.figures.attempts });
    }

    fn told(&mut self, now: Instant, told: Told) {
        match told {
            Told::Digit { digit, held } => self.key(now, Teller::Rtp, digit, held),
            Told::Mark { mark, how } => match self.marks.reached(mark, how) {
                Some(Reached::Played | Reached::Idle) => self.figures.marks_played += 1,
                Some(Reached::Cleared) => {
                    self.figures.marks_cleared += 1;
                    self.figures.marks_overtaken += u64::from(how == Reached::Idle);
                }
                None => {}
            },
        }
    }

    fn key(&mut self, now: Instant, by: Teller, digit: Digit, held: Duration) {
        let again = |&(last, teller, at): &(Digit, Teller, Instant)| {
            last == digit && teller != by && now.saturating_duration_since(at) <= TWICE_TOLD
        };
        if self.one_way || self.key.take_if(|key| again(key)).is_some() {
            return;
        }
        self.key = Some((digit, by, now));
        if self.listens() {
            self.press(digit, held);
        } else if self.speaks() && self.keys.len() < KEPT_KEYS {
            self.keys.push((digit, held));
        }
    }

    /// A key is told to the bot as it may be.
    fn press(&mut self, digit: Digit, held: Duration) {
        let sealed = match &mut self.telling {
            Keys::Clear => return self.outbox.digit(digit, held),
            Keys::Sealed(cipher) => cipher.seal(digit, &self.sid),
            Keys::Withheld => None,
        };
        match sealed {
            Some(text) => self.outbox.sealed(text.into(), held),
            None => self.tally.dropped(Drop::NoDtmfKey, 1),
        }
    }

    fn timeout(&mut self, now: Instant) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        match self.state {
            State::Connecting | State::Over => {}
            State::Stopping { until, .. } | State::Closing { until } if until <= now => self.over(),
            State::Stopping { .. } | State::Closing { .. } => {}
            State::Leaving { until } if until <= now => self.leave(now, Stop::Stopped),
            State::Up | State::Leaving { .. } => {
                let [_, silence, stall, incomplete, limit, ..] = self.deadlines(now);
                if due(silence) || due(stall) {
                    return self.gone(now, End::Unresponsive);
                }
                if due(incomplete) {
                    let slow = Violation::new(1008, "message not complete within 10s");
                    return self.violation(now, slow);
                }
                if due(limit) {
                    return self.end(now, End::DurationLimit);
                }
                if self.timers.ping <= now {
                    (self.timers.ping, self.timers.ping_due) = (now + self.config.ping_interval, true);
                }
            }
        }
    }

    fn deadlines(&self, now: Instant) -> [Option<Instant>; 7] {
        let leave = match self.state {
            State::Leaving { until } => Some(until),
            _ => None,
        };
        [
            Some(self.timers.ping),
            Some(self.timers.heard + self.config.silence_timeout),
            self.timers.stuck.map(|since| since + STALL),
            self.timers.incomplete.map(|(_, since)| since + INCOMPLETE),
            self.timers.began.map(|began| began + self.config.max_stream_duration),
            self.marks.wake(now),
            leave,
        ]
    }
}
