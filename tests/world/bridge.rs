//! One stream's shell: attempts at the bot's door, then its socket, between the session and the audio.

use std::sync::Arc;
use std::time::{Duration, Instant};

use streamkit::call::admission::StreamPermit;
use streamkit::call::{self, Opening};
use streamkit::ids::{CallKey, StreamSid};
use streamkit::media::{self, StreamEnd, StreamSpec};
use streamkit::stream::connect::{Attempts, Failure};
use streamkit::stream::session::{Input, Transmit};
use streamkit::stream::tally::Drop;
use streamkit::stream::{self, Baton, BotUrl, Command, Left, Session};

use super::bot::Door;
use super::clock::{Frame, Lane, Parcel, Post, Teller};

/// What a stream leaves is not waited for any longer.
const LEAVE: Duration = Duration::from_secs(10);

/// A stream that is opened, up, or leaving.
#[derive(Debug)]
pub(crate) struct Bridge {
    pub(crate) key: CallKey,
    pub(crate) index: usize,
    pub(crate) sid: StreamSid,
    url: BotUrl,
    config: Arc<stream::Config>,
    session: Session,
    end: StreamEnd,
    baton: Baton,
    dial: Option<Dial>,
    up: bool,
    over: Option<Instant>,
    delay: Duration,
    _permit: Arc<StreamPermit>,
}

#[derive(Debug)]
struct Dial {
    attempts: Attempts,
    doors: Vec<Door>,
    next: Next,
}

#[derive(Debug)]
enum Next {
    Begin(Instant),
    Conclude(Instant, Option<Failure>),
}

impl Bridge {
    pub(crate) fn new(
        now: Instant,
        index: usize,
        key: CallKey,
        opening: Opening,
        config: Arc<stream::Config>,
        doors: Vec<Door>,
        delay: Duration,
    ) -> Self {
        let Opening { url, start, settings, keys, end, baton, permit, .. } = opening;
        let Left { end, kept } = end.take().expect("what was left is there");
        let sid = start.stream_sid;
        let mut session = Session::new(config.clone(), start, &url, &settings, now).telling(keys);
        session.keep(&kept);
        let dial = Some(Dial { attempts: Attempts::new(&config, now), doors, next: Next::Begin(now) });
        Self {
            key,
            index,
            sid,
            url,
            config,
            session,
            end,
            baton,
            dial,
            up: false,
            over: None,
            delay,
            _permit: permit,
        }
    }

    /// Takes a message of the bot's socket.
    pub(crate) fn take(&mut self, now: Instant, frame: Frame) {
        if !self.up || self.over.is_some() {
            return;
        }
        self.session.taken(self.end.taken());
        match &frame {
            Frame::Text(text) => self.session.handle(now, Input::Text(text)),
            Frame::Binary => self.session.handle(now, Input::Binary),
            Frame::Ping | Frame::Pong => self.session.handle(now, Input::Control),
            Frame::Close(code, reason) => self.session.handle(now, Input::Closed { code: *code, reason }),
            Frame::Gone => self.session.handle(now, Input::Lost("connection reset by peer")),
        }
    }

    /// Takes a word of its call.
    pub(crate) fn obey(&mut self, now: Instant, command: Command) {
        let input = match command {
            Command::Key { digit, held_ms } => {
                Input::Key { digit, held: Duration::from_millis(held_ms.into()) }
            }
            Command::Pause => Input::Pause(true),
            Command::Resume => Input::Pause(false),
            Command::Stop(stop) => {
                if let Some(dial) = self.dial.take() {
                    self.session.attempted(dial.attempts.made());
                }
                Input::Stop(stop)
            }
        };
        self.session.handle(now, input);
    }

    /// How often the session dropped or passed over something for this cause.
    pub(crate) fn drops(&mut self, why: Drop) -> u64 {
        self.session.tally().drops(why)
    }

    /// When something is due.
    pub(crate) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let dial = self.dial.as_ref().map(|dial| match dial.next {
            Next::Begin(at) | Next::Conclude(at, _) => at,
        });
        [dial, self.session.poll_timeout(now), self.over.map(|at| at + LEAVE)].into_iter().flatten().min()
    }

    /// Its time has come.
    pub(crate) fn timeout(&mut self, now: Instant) {
        if let Some(mut dial) = self.dial.take() {
            match dial.step(now, &self.config) {
                Ok(None) => self.dial = Some(dial),
                Ok(Some(connect)) => {
                    self.up = true;
                    self.session.attempted(dial.attempts.made());
                    self.session.handle(now, Input::Up { connect });
                }
                Err(failure) => {
                    self.session.attempted(dial.attempts.made());
                    self.hear(now);
                    let nothing =
                        media::pair(StreamSpec { rate: self.end.rate(), prebuffer: Duration::ZERO }).1;
                    let end = std::mem::replace(&mut self.end, nothing);
                    self.baton.pass(Left { end, kept: self.session.kept() });
                    self.session.handle(now, Input::Failed(failure.error(&self.url)));
                }
            }
        } else if self.session.poll_timeout(now).is_some_and(|at| at <= now) {
            self.session.handle(now, Input::Timeout);
        }
    }

    /// Carries what there is; `reads`: the bot's socket takes something. False once all is over.
    pub(crate) fn drain(&mut self, post: &mut Post, reads: bool) -> bool {
        self.hear(post.now);
        let mut text = String::new();
        while let Some(sent) = if reads { self.session.poll_transmit(post.now, &mut text) } else { None } {
            let frame = match sent {
                Transmit::Text => Frame::Text(text.clone()),
                Transmit::Ping => Frame::Ping,
                Transmit::Close(code) => Frame::Close(Some(code), String::new()),
            };
            post.at(post.now + self.delay, Parcel::ToBot(self.index, frame));
        }
        while let Some(order) = self.session.poll_play() {
            if let Err(order) = self.end.play_at(post.now, order) {
                self.session.give_back(order);
                break;
            }
        }
        while let Some(event) = self.session.poll_event() {
            let input = call::Input::Stream(self.sid, event);
            post.inside(Lane::Call(self.key, Teller::Stream), Parcel::Call(self.key, Box::new(input)));
        }
        if self.session.is_over() && self.over.is_none() {
            self.over = Some(post.now);
            post.at(post.now + self.delay, Parcel::ToBot(self.index, Frame::Gone));
        }
        let left = self.over.is_some_and(|at| post.now >= at + LEAVE);
        !(self.over.is_some() && (left || self.session.is_silent()))
    }

    fn hear(&mut self, now: Instant) {
        let mut samples = [0; 480];
        loop {
            let heard = self.end.hear(&mut samples);
            if heard == 0 {
                break;
            }
            self.session.handle(now, Input::Heard(&samples[..heard]));
        }
        self.session.taken(self.end.taken());
        while let Some(told) = self.end.told() {
            self.session.handle(now, Input::Told(told));
        }
    }
}

impl Dial {
    /// `Some`: it is up, so long after the first attempt.
    fn step(&mut self, now: Instant, config: &stream::Config) -> Result<Option<Duration>, Failure> {
        match std::mem::replace(&mut self.next, Next::Begin(now)) {
            Next::Begin(at) if at > now => self.next = Next::Begin(at),
            Next::Conclude(at, failure) if at > now => self.next = Next::Conclude(at, failure),
            Next::Begin(_) => {
                let door = match self.doors.len() {
                    0 | 1 => self.doors.first().cloned().unwrap_or(Door::Silent),
                    _ => self.doors.remove(0),
                };
                let until = self.attempts.begin(now).answer;
                let budget = Failure::Budget(config.connect_timeout);
                self.next = match door {
                    Door::Opens(after) if now + after < until => Next::Conclude(now + after, None),
                    Door::Fails(after, failure) if now + after < until => {
                        Next::Conclude(now + after, Some(failure))
                    }
                    Door::Opens(_) | Door::Fails(..) | Door::Silent => Next::Conclude(until, Some(budget)),
                };
            }
            Next::Conclude(_, None) => return Ok(Some(self.attempts.elapsed(now))),
            Next::Conclude(_, Some(failure)) => match self.attempts.failed(now, &failure) {
                Some(again) => self.next = Next::Begin(again),
                None => return Err(failure),
            },
        }
        Ok(None)
    }
}
