//! Who is on stage: the bot's stream and the forks beside it, and the ports they go through.

use std::sync::Arc;
use std::time::Duration;

use super::admission::StreamPermit;
use super::breaker::Address;
use super::dynamic::Asking;
use super::record::Finished;
use super::{Call, Output};
use crate::flow::Track;
use crate::ids::{PortId, StreamSid};
use crate::media::{self, Spec, StreamCounts, StreamPort};
use crate::stream::{Baton, Outcome};
use crate::units::SampleRate;

/// Forks of one call at once; beyond, further ones are throttled.
pub(super) const MAX_FORKS: usize = 8;

/// What is on stage.
#[derive(Debug, Default)]
pub(super) struct Stage {
    /// Streams of which something more will be told, in the order they were opened: at most one bot's, and forks.
    pub(super) streams: Vec<Stream>,
    /// How the last bot's stream ended: what a hangup says.
    pub(super) last: Option<Box<Outcome>>,
    /// The bot's place among the streams: bots that are tried one after the other share it.
    pub(super) place: Option<Arc<StreamPermit>>,
    /// The stream of the bot that was lost last.
    pub(super) lost: Option<StreamSid>,
    /// What a bot that could not be had left to the next.
    pub(super) left: Option<Line>,
    /// Streams opened so far.
    opened: u32,
}

/// A bot's port, and where its session leaves the end of it.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) port: PortId,
    pub(super) rate: SampleRate,
    /// It hears no tones of keys.
    pub(super) muted: bool,
    pub(super) baton: Baton,
}

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It talks with the caller.
    Bot,
    /// It listens.
    Fork {
        /// To whom.
        track: Track,
        /// Not before the answer.
        skip_ringing: bool,
    },
}

/// A stream and its port.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) sid: StreamSid,
    pub(super) id: PortId,
    pub(super) role: Role,
    /// Its place among all streams of the call.
    pub(super) number: u32,
    pub(super) address: Address,
    /// The host that stands in the configuration, for metrics.
    pub(super) bot: String,
    /// Its URL is being fetched: there is neither a port nor a session yet.
    pub(super) asking: Option<Asking>,
    /// Longest playing out after the bot closed.
    pub(super) drain_on_close: Duration,
    /// Its port as the next stream may have it; a fork's nobody has after it.
    pub(super) line: Option<Line>,
    /// The next stream has its port.
    pub(super) handed: bool,
    /// What the caller hears until it is up.
    pub(super) connecting_audio: Option<Arc<str>>,
    /// Its socket is open and `start` is written.
    pub(super) up: bool,
    /// Until it is opened in the engine.
    pub(super) port: Option<StreamPort>,
    /// The engine has it.
    pub(super) open: bool,
    /// Told by the session when it ended.
    pub(super) outcome: Option<Box<Outcome>>,
    /// Told by the engine when it closed.
    pub(super) counts: Option<Box<StreamCounts>>,
    /// `Close` was sent.
    pub(super) closing: bool,
    /// All it left has been played, as the engine tells; the session may tell of its end after that.
    pub(super) drained: bool,
}

impl Stage {
    /// The bot's stream.
    pub(super) fn bot(&self) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.role == Role::Bot)
    }

    /// The same, to be changed.
    pub(super) fn bot_mut(&mut self) -> Option<&mut Stream> {
        self.streams.iter_mut().find(|stream| stream.role == Role::Bot)
    }

    /// A stream by its name.
    pub(super) fn stream(&mut self, sid: StreamSid) -> Option<&mut Stream> {
        self.streams.iter_mut().find(|stream| stream.sid == sid)
    }

    /// The bot's port, if the engine has it; between two bots, the one that was left.
    pub(super) fn open_port(&self) -> Option<PortId> {
        let own = self.bot().filter(|stream| stream.open).map(|stream| stream.id);
        own.or(self.left.as_ref().map(|line| line.port))
    }

    /// What the caller hears as long as the bot is being reached.
    pub(super) fn awaited_audio(&self) -> Option<&Arc<str>> {
        self.bot().filter(|stream| stream.is_live() && !stream.up)?.connecting_audio.as_ref()
    }

    /// The forks' ports the engine has, and what they get.
    pub(super) fn open_forks(&self) -> impl Iterator<Item = (PortId, Track)> {
        self.streams
            .iter()
            .filter(|stream| stream.open)
            .filter_map(|stream| Some((stream.id, stream.track()?)))
    }

    /// Forks that are not over.
    pub(super) fn forks(&self) -> usize {
        self.streams.iter().filter(|stream| stream.is_live() && stream.role != Role::Bot).count()
    }

    /// The bot's stream, if its session still runs.
    pub(super) fn live_bot(&self) -> Option<StreamSid> {
        self.bot().filter(|stream| stream.is_live()).map(|stream| stream.sid)
    }

    /// Streams whose session still runs.
    pub(super) fn live(&self) -> impl Iterator<Item = &Stream> {
        self.streams.iter().filter(|stream| stream.is_live())
    }

    /// The number of the next stream.
    pub(super) fn number(&mut self) -> u32 {
        self.opened += 1;
        self.opened
    }
}

impl Stream {
    fn track(&self) -> Option<Track> {
        match self.role {
            Role::Bot => None,
            Role::Fork { track, .. } => Some(track),
        }
    }

    /// Its session still runs.
    pub(super) fn is_live(&self) -> bool {
        self.outcome.is_none()
    }

    /// For the record; nothing, if it is not over.
    pub(super) fn finished(self) -> Option<Finished> {
        let (number, track) = (self.number, self.track());
        // where the next stream has its port, what that counts is the next one's
        let port = (!self.handed).then_some(self.id);
        let (bot, counts) = (self.bot, self.counts);
        self.outcome.map(|outcome| Finished { number, track, bot, outcome, port, counts })
    }
}

impl Call {
    /// A port that no stream has.
    pub(super) fn free_port(&mut self) -> PortId {
        loop {
            let id = PortId { call: self.key, index: self.next_port };
            self.next_port = self.next_port.wrapping_add(1).max(1); // 0 is the caller's
            let used = |stream: &Stream| stream.id == id;
            let music = self.music.as_ref().is_some_and(|music| music.port == id);
            let left = self.stage.left.as_ref().is_some_and(|line| line.port == id);
            if !music && !left && !self.stage.streams.iter().any(used) {
                return id;
            }
        }
    }

    /// Opens the ports of all streams in the engine.
    pub(super) fn raise_all(&mut self) {
        for sid in self.stage.streams.iter().map(|stream| stream.sid).collect::<Vec<_>>() {
            self.raise(sid);
        }
    }

    /// Opens a stream's port in the engine.
    pub(super) fn raise(&mut self, sid: StreamSid) {
        let Some(stream) = self.stage.stream(sid) else { return };
        let Some(port) = stream.port.take() else { return };
        stream.open = true;
        let id = stream.id;
        self.outputs.push_back(Output::Media(media::Command::Open(id, Spec::Stream(port))));
        self.rewire();
    }

    /// Closes a stream's port.
    pub(super) fn lower(&mut self, sid: StreamSid) {
        let Some(stream) = self.stage.stream(sid) else { return };
        stream.port = None;
        if stream.open && !stream.closing {
            (stream.closing, stream.open) = (true, false);
            let id = stream.id;
            self.rewire();
            self.outputs.push_back(Output::Media(media::Command::Close(id)));
        }
    }

    /// Nobody wants what was left.
    pub(super) fn drop_left(&mut self) {
        if let Some(line) = self.stage.left.take() {
            self.rewire();
            self.outputs.push_back(Output::Media(media::Command::Close(line.port)));
        }
    }

    /// Moves streams of which nothing more will be told into the record.
    pub(super) fn put_away(&mut self) {
        let done =
            |stream: &mut Stream| stream.outcome.is_some() && (stream.counts.is_some() || !stream.closing);
        let over = self.stage.streams.extract_if(.., done).filter_map(Stream::finished);
        self.record.finished.extend(over);
    }
}
