//! What the streams tell: the bot's story is the flow's, a fork's is its own (agentstream.md section 14).

use std::time::Instant;

use super::breaker::Try;
use super::cdr::millis;
use super::stage::Role;
use super::{Call, Output};
use crate::flow::Fact;
use crate::ids::{PortId, StreamSid};
use crate::stream::{self, Command, Disposition, Outcome, Stop};

impl Call {
    pub(super) fn streamed(&mut self, now: Instant, sid: StreamSid, event: stream::Event) {
        let Some(stream) = self.stage.stream(sid) else { return }; // an earlier stream's last word
        let role = stream.role;
        match event {
            stream::Event::Up { connect, attempts } => {
                tracing::debug!(call = %self.sid, stream = %sid, connect_ms = millis(connect), attempts, "stream is up");
                self.stream_up(now, sid, role);
            }
            stream::Event::FirstAudio => self.tell(now, Fact::StreamAudio),
            stream::Event::QueueFull => {
                tracing::warn!(call = %self.sid, stream = %sid, cause = "playout_full", "audio of the bot refused");
            }
            stream::Event::Ended(outcome) => self.stream_ended(now, sid, *outcome),
        }
    }

    fn stream_up(&mut self, now: Instant, sid: StreamSid, role: Role) {
        self.tried(now, sid, Try::CameUp);
        if role == Role::Bot {
            self.record.stream_up(now);
        }
        if self.ending.is_some() {
            return;
        }
        if let Some(stream) = self.stage.stream(sid) {
            stream.up = true;
        }
        self.tune(); // before the bot's first word
        self.raise(sid);
        if role == Role::Bot {
            self.tell(now, Fact::StreamUp);
        }
    }

    /// Tells the bot's breaker.
    pub(super) fn tried(&mut self, now: Instant, sid: StreamSid, what: Try) {
        let Some(stream) = self.stage.stream(sid) else { return };
        self.admission.breakers().tell(now, &self.config.stream, &stream.address, what);
    }

    pub(super) fn stream_ended(&mut self, now: Instant, sid: StreamSid, outcome: Outcome) {
        match outcome.disposition {
            Disposition::ConnectFailed => self.tried(now, sid, Try::Failed),
            _ if outcome.figures.connect.is_none() => self.tried(now, sid, Try::GivenUp),
            _ => {} // it came up, and that was told
        }
        let ending = self.ending.is_some();
        let Some(stream) = self.stage.stream(sid) else { return };
        if stream.role != Role::Bot {
            stream.outcome = Some(Box::new(outcome));
            self.lower(sid);
            self.put_away();
            return self.conclude_if_done(now); // the call is not touched
        }
        let plays_out = outcome.playing_out && stream.open && !stream.drained && !ending;
        let drain = stream.drain_on_close;
        let never_up = outcome.disposition == Disposition::ConnectFailed;
        // what the caller said meanwhile is the next bot's
        let left = stream.line.take_if(|_| never_up && stream.open && !ending);
        if left.is_some() {
            (stream.handed, stream.open) = (true, false);
        }
        stream.outcome = Some(Box::new(outcome.clone()));
        self.stage.last = Some(Box::new(outcome));
        if left.is_some() {
            self.stage.left = left; // else what an earlier one left still waits
        }
        if plays_out {
            self.timers.drain = Some(now + drain);
        } else {
            self.bot_played_out(now);
        }
    }

    /// The engine has played all that the session left.
    pub(super) fn drained(&mut self, now: Instant, port: PortId) {
        let Some(stream) = self.stage.bot_mut().filter(|stream| stream.id == port) else { return };
        stream.drained = true;
        if self.timers.drain.is_some() {
            self.bot_played_out(now);
        }
    }

    /// The bot's session is over and what it left has been played, or is not to be.
    pub(super) fn bot_played_out(&mut self, now: Instant) {
        self.timers.drain = None;
        if let Some(sid) = self.stage.bot().map(|stream| stream.sid) {
            self.lower(sid);
        }
        self.put_away();
        self.tell_end(now);
        self.conclude_if_done(now);
    }

    /// Tells the flow how the bot's last stream ended: whether another bot may do better.
    pub(super) fn tell_end(&mut self, now: Instant) {
        self.timers.wait = None; // what a step waits for, it waits for no longer than its stream
        let last = self.stage.last.as_ref();
        let fact = match last.map(|last| last.disposition) {
            Some(Disposition::ConnectFailed | Disposition::BadUrl) => Fact::StreamFailed,
            Some(Disposition::BotError | Disposition::ConnectionLost) => {
                self.stage.lost = last.and_then(|last| last.stream_sid);
                Fact::StreamLost
            }
            _ => Fact::StreamEnded,
        };
        self.tell(now, fact);
    }

    /// The flow ends the forks; the leg lives on.
    pub(super) fn stop_forks(&mut self, now: Instant) {
        let forks = self.stage.live().filter(|stream| stream.role != Role::Bot);
        for sid in forks.map(|fork| fork.sid).collect::<Vec<_>>() {
            self.stop_stream(now, sid, Stop::Stopped);
        }
        self.put_away();
    }

    /// The leg is answered: what was to wait for that goes on.
    pub(super) fn resume_forks(&mut self) {
        let skips = |role| matches!(role, Role::Fork { skip_ringing: true, .. });
        for fork in self.stage.live().filter(|stream| skips(stream.role)) {
            self.outputs.push_back(Output::Stream(fork.sid, Command::Resume));
        }
    }
}
