//! The bot on the call: its stream, and the port it plays through.

use super::admission::{Full, StreamPermit};
use super::breaker::{Address, Try};
use super::cdr::millis;
use super::record::Finished;
use super::{Call, Opening, Output};
use crate::flow::Fact;
use crate::ids::{PortId, StreamSid};
use crate::media::{self, Spec, StreamCounts, StreamPort, StreamSpec};
use crate::stream::{self, BotUrl, DisconnectedBy, Disposition, Figures, Outcome, Status, StreamError};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is on stage.
#[derive(Debug, Default)]
pub(super) struct Stage {
    /// The stream that was opened last.
    pub(super) stream: Option<Stream>,
    /// How the one before it, or this one, ended: what a hangup says.
    pub(super) last: Option<Outcome>,
    /// Place among the streams: bots that are tried one after the other share it.
    pub(super) place: Option<Arc<StreamPermit>>,
}

/// A stream and its port.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) sid: StreamSid,
    pub(super) id: PortId,
    bot: Address,
    /// Until it is opened in the engine.
    pub(super) port: Option<StreamPort>,
    /// The engine has it.
    pub(super) open: bool,
    /// Told by the session when it ended.
    pub(super) outcome: Option<Outcome>,
    /// Told by the engine when it closed.
    pub(super) counts: Option<StreamCounts>,
    /// `Close` was sent.
    pub(super) closing: bool,
    /// All it left has been played, as the engine tells; the session may tell of its end after that.
    pub(super) drained: bool,
}

impl Stage {
    /// The stream's port, if the engine has it.
    pub(super) fn open_port(&self) -> Option<PortId> {
        self.stream.as_ref().filter(|stream| stream.open).map(|stream| stream.id)
    }

    /// The session still runs.
    pub(super) fn is_live(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.outcome.is_none())
    }
}

impl Stream {
    /// For the record; nothing, if it is not over.
    pub(super) fn finished(self) -> Option<Finished> {
        let (port, counts) = (Some(self.id), self.counts);
        self.outcome.map(|outcome| Finished { outcome, port, counts })
    }
}

impl Call {
    /// Opens a stream to this bot; where it is not the `last` one it is passed over while its breaker is open.
    pub(super) fn open_stream(&mut self, now: Instant, url: &str, last: bool) {
        // the one before is over: its port may still be closing
        self.record.finished.extend(self.stage.stream.take().and_then(Stream::finished));
        let sid = StreamSid::fresh(&mut self.entropy);
        let url = match BotUrl::parse(url) {
            Ok(url) => url,
            Err(error) => return self.no_stream(now, Some(sid), Disposition::BadUrl, error),
        };
        let permit = match self.place() {
            Ok(permit) => permit,
            Err(full) => {
                tracing::info!(call = %self.sid, account = %self.account, cause = full.cause(), "stream throttled");
                return self.no_stream(now, None, Disposition::Throttled, StreamError::Throttled);
            }
        };
        let bot = Address::of(&url);
        if !self.admission.breakers().admits(now, &self.config.stream, &bot) && !last {
            tracing::info!(call = %self.sid, %bot, cause = "breaker_open", "bot passed over");
            return self.tell(now, Fact::StreamFailed);
        }
        self.set_up(sid, bot, url, permit);
    }

    /// The place the call has among the streams, or a new one.
    fn place(&mut self) -> Result<Arc<StreamPermit>, Full> {
        let place = match self.stage.place.take() {
            Some(place) => place,
            None => Arc::new(self.admission.stream(&self.account)?),
        };
        self.stage.place = Some(Arc::clone(&place));
        Ok(place)
    }

    fn set_up(&mut self, sid: StreamSid, bot: Address, url: BotUrl, permit: Arc<StreamPermit>) {
        let (port, end) =
            media::pair(StreamSpec { rate: url.rate(), prebuffer: self.config.stream.playout_prebuffer });
        let id = PortId { call: self.key, index: self.next_port };
        self.next_port = self.next_port.wrapping_add(1).max(1); // 0 is the caller's
        let start = stream::Start {
            stream_sid: sid,
            call_sid: self.sid,
            account_sid: self.account.clone(),
            from: self.parties.from.clone(),
            to: self.parties.to.clone(),
            custom_parameters: self.parties.custom.clone(),
            rate: url.rate(),
        };
        self.stage.stream = Some(Stream {
            sid,
            id,
            bot,
            port: Some(port),
            open: false,
            outcome: None,
            counts: None,
            closing: false,
            drained: false,
        });
        self.outputs.push_back(Output::OpenStream(Box::new(Opening { url, start, end, permit })));
        if self.leg.is_answered() {
            self.raise(); // what the caller says meanwhile is kept for the bot
        }
    }

    /// Opens the stream's port in the engine.
    pub(super) fn raise(&mut self) {
        let Some(stream) = &mut self.stage.stream else { return };
        let Some(port) = stream.port.take() else { return };
        stream.open = true;
        self.outputs.push_back(Output::Media(media::Command::Open(stream.id, Spec::Stream(port))));
        self.rewire();
    }

    pub(super) fn streamed(&mut self, now: Instant, sid: StreamSid, event: stream::Event) {
        if self.stage.stream.as_ref().is_none_or(|stream| stream.sid != sid) {
            return; // an earlier stream's last word
        }
        match event {
            stream::Event::Up { connect, attempts } => {
                tracing::debug!(call = %self.sid, stream = %sid, connect_ms = millis(connect), attempts, "bot is up");
                self.record.stream_up(now);
                self.tried(now, Try::CameUp);
                if self.ending.is_none() {
                    self.raise();
                    self.tell(now, Fact::StreamUp);
                }
            }
            stream::Event::FirstAudio => self.tell(now, Fact::StreamAudio),
            stream::Event::QueueFull => {
                tracing::warn!(call = %self.sid, stream = %sid, cause = "playout_full", "audio of the bot refused");
            }
            stream::Event::Ended(outcome) => self.stream_ended(now, *outcome),
        }
    }

    /// Tells the bot's breaker.
    fn tried(&self, now: Instant, what: Try) {
        if let Some(stream) = &self.stage.stream {
            self.admission.breakers().tell(now, &self.config.stream, &stream.bot, what);
        }
    }

    fn stream_ended(&mut self, now: Instant, outcome: Outcome) {
        match outcome.disposition {
            Disposition::ConnectFailed => self.tried(now, Try::Failed),
            _ if outcome.figures.connect.is_none() => self.tried(now, Try::GivenUp),
            _ => {} // it came up, and that was told
        }
        let Some(stream) = &mut self.stage.stream else { return };
        let plays_out = outcome.playing_out && stream.open && !stream.drained && self.ending.is_none();
        self.stage.last = Some(outcome.clone());
        stream.outcome = Some(outcome);
        if plays_out {
            self.timers.drain = Some(now + self.config.stream.drain_on_close);
        } else {
            self.stream_played_out(now);
        }
    }

    /// The engine has played all that the session left.
    pub(super) fn drained(&mut self, now: Instant, port: PortId) {
        let Some(stream) = self.stage.stream.as_mut().filter(|stream| stream.id == port) else { return };
        stream.drained = true;
        if self.timers.drain.is_some() {
            self.stream_played_out(now);
        }
    }

    /// The session is over and what it left has been played, or is not to be.
    pub(super) fn stream_played_out(&mut self, now: Instant) {
        self.timers.drain = None;
        self.lower();
        self.put_away();
        self.tell_end(now);
        self.conclude_if_done(now);
    }

    /// Closes the stream's port.
    pub(super) fn lower(&mut self) {
        let Some(stream) = &mut self.stage.stream else { return };
        stream.port = None;
        if stream.open && !stream.closing {
            stream.closing = true;
            stream.open = false;
            let id = stream.id;
            self.rewire();
            self.outputs.push_back(Output::Media(media::Command::Close(id)));
        }
    }

    /// Moves a stream of which nothing more will be told into the record.
    pub(super) fn put_away(&mut self) {
        let done =
            |stream: &mut Stream| stream.outcome.is_some() && (stream.counts.is_some() || !stream.closing);
        let finished = self.stage.stream.take_if(done).and_then(Stream::finished);
        self.record.finished.extend(finished);
    }

    /// Tells the flow how the last stream ended: whether another bot may do better.
    fn tell_end(&mut self, now: Instant) {
        let failed = [Disposition::ConnectFailed, Disposition::BadUrl];
        if self.stage.last.as_ref().is_some_and(|last| failed.contains(&last.disposition)) {
            return self.tell(now, Fact::StreamFailed);
        }
        self.stage.place = None;
        self.tell(now, Fact::StreamEnded);
    }

    fn no_stream(
        &mut self,
        now: Instant,
        stream_sid: Option<StreamSid>,
        disposition: Disposition,
        error: StreamError,
    ) {
        let outcome = failed(stream_sid, disposition, error);
        self.stage.last = Some(outcome.clone());
        self.record.finished.push(Finished { outcome, port: None, counts: None });
        self.tell_end(now);
    }
}

/// The outcome of a stream that never came up, or whose task failed.
pub(super) fn failed(stream_sid: Option<StreamSid>, disposition: Disposition, error: StreamError) -> Outcome {
    Outcome {
        stream_sid,
        url: None,
        status: Status::Failed,
        disconnected_by: DisconnectedBy::NotApplicable,
        disposition,
        error: Some(error),
        duration: Duration::ZERO,
        playing_out: false,
        figures: Figures::default(),
    }
}
