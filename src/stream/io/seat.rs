//! One stream that is up: its session between its socket and its audio. It never waits for one side while another
//! has something: the socket is read whether or not it can be written, and audio is taken whether or not it can be
//! sent.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::acks::{self, Acks};
use super::wire::{Came, End, Wire};
use super::{Audio, Trace, obeyed, words};
use crate::ids::Entropy;
use crate::media::Knock;
use crate::stream::framing::{Item, Opcode};
use crate::stream::outcome::Violation;
use crate::stream::session::{Input, Session, Transmit};
use crate::stream::{Command, Direction, Event};
use crate::telemetry::metrics;

/// Samples taken from the ring at a time.
pub(super) const GULP: usize = 480;
/// For the orders a stream leaves behind, once its socket is gone.
const LEAVE: Duration = Duration::from_secs(10);
/// Octets read at a time from a plain socket.
const OCTETS: usize = 16 * 1024;

/// A stream on its way to its seat.
pub(super) struct Guest {
    pub(super) session: Session,
    pub(super) end: Box<dyn Audio>,
    pub(super) events: Box<dyn Fn(Event) + Send>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) wire: Option<Wire>,
    pub(super) trace: Option<Trace>,
    /// Told when all is over; dropped untold if the stream failed us.
    pub(super) over: oneshot::Sender<()>,
}

/// A stream at its place.
pub(super) struct Seat {
    guest: Guest,
    /// Whether there is a command, and who tells.
    call: Arc<Call>,
    waker: Waker,
    /// The call is gone.
    uncalled: bool,
    acks: Acks,
    look: Instant,
    /// What the session was last told of the framing.
    framing: (u64, bool),
    /// The socket is gone: how long the last orders may take.
    until: Option<Instant>,
}

/// Wakes a stream for a command of its call.
struct Call {
    any: AtomicBool,
    knock: Knock,
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.any.store(true, Ordering::Release);
        self.knock.now();
    }
}

/// What all streams of a thread share, so that none has a buffer of its own while it has nothing to put there.
pub(super) struct Desk {
    text: String,
    frame: Vec<u8>,
    octets: Box<[u8]>,
    samples: [i16; GULP],
    chance: Entropy,
}

impl Desk {
    pub(super) fn new(chance: Entropy) -> Self {
        Self {
            text: String::new(),
            frame: Vec::new(),
            octets: vec![0; OCTETS].into(),
            samples: [0; GULP],
            chance,
        }
    }
}

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// All was done that could be.
    Done,
    /// There is more to read.
    More,
    /// The stream is over.
    Over,
}

impl Seat {
    pub(super) fn new(mut guest: Guest, now: Instant, knock: Knock) -> Self {
        guest.end.knock_at(knock.clone());
        let call = Arc::new(Call { any: AtomicBool::new(true), knock });
        Self {
            guest,
            waker: Waker::from(Arc::clone(&call)),
            call,
            uncalled: false,
            acks: Acks::default(),
            look: now + acks::EVERY,
            framing: (0, false),
            until: None,
        }
    }

    pub(super) fn tcp(&self) -> Option<&TcpStream> {
        self.guest.wire.as_ref().map(Wire::tcp)
    }

    /// The socket says that it is at its end.
    pub(super) fn ending(&mut self) {
        if let Some(wire) = &mut self.guest.wire {
            wire.ending();
        }
    }

    /// When its next turn is, if nothing calls for it before.
    pub(super) fn due(&self, now: Instant) -> Instant {
        match self.until {
            Some(until) => until,
            None => self.guest.session.poll_timeout(now).map_or(self.look, |wake| wake.min(self.look)),
        }
    }

    /// Does what there is to do. `readable`: the socket has something, or more than its share at the last turn.
    pub(super) fn turn(&mut self, now: Instant, readable: bool, desk: &mut Desk) -> Turn {
        self.obey(now);
        hear(&mut self.guest.session, &mut *self.guest.end, &mut desk.samples, now);
        self.pass(now);
        let read = if readable { self.read(now, desk) } else { Came::All };
        self.write(now, desk);
        self.deliver();
        if self.guest.session.is_over() && self.until.is_none() {
            self.until = Some(now + LEAVE);
            if let Some(wire) = self.guest.wire.take() {
                wire.shut();
            }
            self.guest.session.tally().publish();
        }
        match self.until {
            Some(until) if until <= now || self.guest.session.is_silent() => Turn::Over,
            _ if read == Came::Share => Turn::More,
            _ => Turn::Done,
        }
    }

    /// All is over, as it should be.
    pub(super) fn leave(self) {
        let _ = self.guest.over.send(()); // who opened it may be gone
    }

    fn obey(&mut self, now: Instant) {
        if !self.call.any.load(Ordering::Relaxed) || !self.call.any.swap(false, Ordering::AcqRel) {
            return;
        }
        let mut cx = Context::from_waker(&self.waker);
        while !self.uncalled {
            let Poll::Ready(command) = self.guest.commands.poll_recv(&mut cx) else { return };
            self.uncalled = command.is_none();
            self.guest.session.handle(now, obeyed(command));
        }
    }

    /// What time brings.
    fn pass(&mut self, now: Instant) {
        let Guest { session, wire: Some(wire), .. } = &mut self.guest else { return };
        if self.look <= now {
            self.look = now + acks::EVERY;
            if self.acks.look(now, wire.tcp()) {
                session.handle(now, Input::Unacknowledged);
            }
        }
        if session.poll_timeout(now).is_some_and(|wake| wake <= now) {
            session.handle(now, Input::Timeout);
            session.tally().publish();
        }
    }

    fn read(&mut self, now: Instant, desk: &mut Desk) -> Came {
        let end = match self.read_share(now, desk) {
            Ok(came) => return came,
            Err(end) => end,
        };
        let session = &mut self.guest.session;
        match end {
            End::Eof => session.handle(now, Input::Lost("unexpected EOF")),
            End::Io(error) => lost(session, now, &error),
            End::Broken(broken) => {
                self.guest.wire.iter_mut().for_each(Wire::deafen);
                let violation = Violation::new(broken.code(), broken.to_string());
                session.handle(now, Input::Violation(violation));
                return Came::Share; // what is left is thrown away
            }
        }
        Came::All
    }

    /// Tells the session what has come.
    fn read_share(&mut self, now: Instant, desk: &mut Desk) -> Result<Came, End> {
        let Guest { session, wire: Some(wire), trace, .. } = &mut self.guest else { return Ok(Came::All) };
        let read = wire.read(&mut desk.octets, |item| match item {
            Item::Text(text) => {
                if let Some(trace) = trace {
                    trace(Direction::FromBot, text);
                }
                session.handle(now, Input::Text(text));
            }
            Item::Binary => session.handle(now, Input::Binary),
            Item::Ping(_) | Item::Pong => session.handle(now, Input::Control),
            Item::Close(said) => {
                let (code, reason) = said.map_or((None, ""), |(code, reason)| (Some(code), reason));
                session.handle(now, Input::Closed { code, reason });
            }
        });
        let (complete, open) = wire.progress();
        if open || self.framing.1 {
            self.framing = (complete, open);
            session.handle(now, Input::Framing { complete, open });
        }
        read
    }

    fn write(&mut self, now: Instant, desk: &mut Desk) {
        let Err(error) = self.write_all(now, desk) else { return };
        // The bot's last words may have come before its socket broke; how they end is no news.
        let _ = self.read_share(now, desk);
        lost(&mut self.guest.session, now, &error);
    }

    /// Writes what can be written.
    fn write_all(&mut self, now: Instant, desk: &mut Desk) -> std::io::Result<()> {
        let Guest { session, wire: Some(wire), trace, .. } = &mut self.guest else { return Ok(()) };
        let Desk { text, frame, chance, .. } = desk;
        let mut mask = || (chance.u64() as u32).to_ne_bytes();
        if wire.is_blocked() {
            let before = wire.written();
            let free = wire.is_free(frame, &mut mask)?;
            if wire.written() != before {
                session.handle(now, Input::Progress);
            }
            if !free {
                return Ok(());
            }
        }
        while wire.is_free(frame, &mut mask)? {
            match session.poll_transmit(now, text) {
                Some(Transmit::Text) => {
                    if let Some(trace) = trace {
                        trace(Direction::ToBot, text);
                    }
                    wire.put(Opcode::Text, text.as_bytes(), frame, mask())?;
                }
                Some(Transmit::Ping) => wire.put(Opcode::Ping, &[], frame, mask())?,
                Some(Transmit::Close(code)) => wire.close(code, frame, mask())?,
                None => break,
            }
        }
        wire.flush().map(drop)
    }

    fn deliver(&mut self) {
        deliver(&mut self.guest.session, &mut *self.guest.end, &*self.guest.events);
    }
}

fn lost(session: &mut Session, now: Instant, error: &std::io::Error) {
    match error.kind() {
        std::io::ErrorKind::TimedOut => session.handle(now, Input::Unacknowledged),
        _ => session.handle(now, Input::Lost(&words(error))),
    }
}

/// Takes what the caller said, and what the playout tells.
pub(super) fn hear(session: &mut Session, end: &mut dyn Audio, samples: &mut [i16; GULP], now: Instant) {
    loop {
        let heard = end.hear(samples);
        if heard == 0 {
            break;
        }
        session.handle(now, Input::Heard(&samples[..heard.min(GULP)]));
    }
    session.taken(end.taken());
    while let Some(told) = end.told() {
        session.handle(now, Input::Told(told));
    }
}

/// Orders go to the playout, events to the call.
pub(super) fn deliver(session: &mut Session, end: &mut dyn Audio, events: &dyn Fn(Event)) {
    while let Some(order) = session.poll_play() {
        if let Err(order) = end.play(order) {
            session.give_back(order);
            break;
        }
    }
    tell(session, events);
}

/// Events go to the call.
pub(super) fn tell(session: &mut Session, events: &dyn Fn(Event)) {
    while let Some(event) = session.poll_event() {
        if let Event::Ended(outcome) = &event {
            let (status, by) = (outcome.status.as_str(), outcome.disconnected_by.as_str());
            metrics::stream_outcome(status, by, outcome.disposition.as_str());
        }
        events(event);
    }
}
