//! A stream is opened: the flow's wish becomes a session and a port, or an outcome that says why not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::admission::{Full, StreamPermit};
use super::breaker::Address;
use super::record::Finished;
use super::stage::{Line, MAX_FORKS, Role, Stream};
use super::{Bot, Call, Opening, Output, dynamic};
use crate::flow::{Fact, StreamSettings};
use crate::ids::StreamSid;
use crate::media::{self, StreamSpec};
use crate::stream::{
    self, Baton, BotUrl, DisconnectedBy, Disposition, Egress, End, Figures, Keys, Outcome, StartExtras,
    StartStyle, Status, StreamError,
};
use crate::units::SampleRate;

/// A stream the flow wants.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// The bot, or a web server that is asked for one; user info included.
    pub(super) url: String,
    /// Where the URL came from.
    pub(super) egress: Egress,
    /// What is particular to it.
    pub(super) settings: Arc<StreamSettings>,
    /// Another bot follows if this one cannot be had: it is passed over while its breaker is open.
    pub(super) last: bool,
    /// It goes on for the bot that was lost.
    pub(super) continues: bool,
}

impl Call {
    /// Opens a stream.
    pub(super) fn open_stream(&mut self, now: Instant, wanted: &Wanted) {
        let role = match wanted.settings.fork {
            Some(track) => Role::Fork { track, skip_ringing: wanted.settings.skip_ringing },
            None => Role::Bot,
        };
        let (sid, number) = (StreamSid::fresh(&mut self.chance.wake()), self.stage.number());
        let none = |call: &mut Self, sid, disposition, error| {
            call.no_stream(now, (number, role), failed(sid, disposition, error));
        };
        if role == Role::Bot {
            // the one before is over: its port may still be closing
            let before = self.stage.streams.extract_if(.., |stream| stream.role == Role::Bot);
            self.record.finished.extend(before.filter_map(Stream::finished));
        }
        let limits = self.config.account(&self.account).dialect.limits();
        let bot = match Bot::parse(&wanted.url, limits) {
            Ok(bot) => bot,
            Err(error) => return none(self, Some(sid), Disposition::BadUrl, error),
        };
        let permit = match self.place(role) {
            Ok(permit) => permit,
            Err(full) => {
                let cause = full.map_or("too_many_forks", Full::cause);
                tracing::info!(call = %self.sid, account = %self.account, cause, "stream throttled");
                return none(self, None, Disposition::Throttled, StreamError::Throttled);
            }
        };
        let address = bot.address();
        if !self.admission.breakers().admits(now, &self.config.stream, &address) && !wanted.last {
            tracing::info!(call = %self.sid, bot = %address, cause = "breaker_open", "bot passed over");
            return self.tell(now, Fact::StreamFailed);
        }
        self.enter((sid, number, role), address, bot.host(), wanted);
        match bot {
            Bot::Socket(url) => self.begin(sid, url, wanted.egress.clone(), wanted, permit),
            Bot::Web(url) => self.ask(now, sid, &url, wanted.clone(), permit),
        }
    }

    /// A place among the streams: the one the call's bots share, or a fork's own.
    fn place(&mut self, role: Role) -> Result<Arc<StreamPermit>, Option<Full>> {
        if role != Role::Bot {
            if self.stage.forks() >= MAX_FORKS {
                return Err(None);
            }
            return self.admission.stream(&self.account).map(Arc::new).map_err(Some);
        }
        let place = match self.stage.place.take() {
            Some(place) => place,
            None => Arc::new(self.admission.stream(&self.account).map_err(Some)?),
        };
        self.stage.place = Some(Arc::clone(&place));
        Ok(place)
    }

    /// A stream goes on stage.
    fn enter(
        &mut self,
        (sid, number, role): (StreamSid, u32, Role),
        address: Address,
        host: &str,
        wanted: &Wanted,
    ) {
        let id = self.free_port();
        self.stage.streams.reserve_exact(1); // seldom more than one
        self.stage.streams.push(Stream {
            sid,
            id,
            role,
            number,
            address,
            bot: host.to_owned(),
            asking: None,
            line: None,
            handed: false,
            connecting_audio: wanted.settings.connecting_audio.clone(),
            up: false,
            drain_on_close: self.config.stream.drain_on_close,
            port: None,
            open: false,
            outcome: None,
            counts: None,
            closing: false,
            drained: false,
        });
    }

    /// It is known where it leads: its session and its port begin.
    pub(super) fn begin(
        &mut self,
        sid: StreamSid,
        url: BotUrl,
        egress: Egress,
        wanted: &Wanted,
        permit: Arc<StreamPermit>,
    ) {
        let start = stream::Start {
            stream_sid: sid,
            call_sid: self.sid,
            account_sid: self.account.clone(),
            from: self.parties.from.clone(),
            to: self.parties.to.clone(),
            custom_parameters: self.parties.custom.clone(),
            rate: url.rate(),
        };
        let continues = self.stage.lost.filter(|_| wanted.continues);
        let settings = self.settings(&wanted.settings, continues);
        let keys = self.keys(sid, &settings);
        // where keys are told encrypted their tones tell them to nobody either
        let muted = self.mutes(&wanted.settings);
        let baton = Baton::default();
        let (end, left) = self.line(sid, (url.rate(), muted), &baton);
        let Some(stream) = self.stage.stream(sid) else { return };
        stream.drain_on_close = settings.drain_on_close;
        let bot = stream.bot.clone();
        self.outputs.push_back(Output::OpenStream(Box::new(Opening {
            url,
            bot,
            egress,
            start,
            settings,
            keys,
            end,
            baton,
            permit,
        })));
        if self.leg.is_answered() {
            self.raise(sid); // what the caller says meanwhile is kept for the bot
        }
        if let Some(line) = left {
            self.outputs.push_back(Output::Media(media::Command::Close(line.port)));
        }
    }

    /// The port of a stream: the one that a bot before it left, if it fits, else a new one and what was left.
    fn line(
        &mut self,
        sid: StreamSid,
        (rate, muted): (SampleRate, bool),
        baton: &Baton,
    ) -> (End, Option<Line>) {
        let prebuffer = self.config.stream.playout_prebuffer;
        let is_bot = self.stage.bot().is_some_and(|bot| bot.sid == sid);
        let left = if is_bot { self.stage.left.take() } else { None };
        let fits = left.as_ref().is_some_and(|line| (line.rate, line.muted) == (rate, muted));
        let Some(stream) = self.stage.stream(sid) else { return (End::Left(baton.clone()), left) };
        let (end, left) = match left {
            Some(line) if fits => {
                (stream.id, stream.open) = (line.port, true);
                (End::Left(line.baton), None)
            }
            left => {
                let (port, end) = media::pair(StreamSpec { rate, prebuffer });
                stream.port = Some(if muted { port.without_key_tones() } else { port });
                (End::New(end, left.as_ref().map(|line| line.baton.clone())), left)
            }
        };
        stream.line = is_bot.then(|| Line { port: stream.id, rate, muted, baton: baton.clone() });
        (end, left)
    }

    /// Whether the tones of keys are taken out of what it hears.
    pub(super) fn mutes(&self, wanted: &StreamSettings) -> bool {
        wanted.mute_dtmf_audio || wanted.encrypt_dtmf || self.config.stream.encrypt_dtmf
    }

    /// How the caller's keys are told to it.
    fn keys(&mut self, sid: StreamSid, settings: &stream::Settings) -> Keys {
        if !settings.encrypt_dtmf || settings.one_way {
            return Keys::Clear;
        }
        let account = self.config.account(&self.account);
        let keys = Keys::of(true, account.dtmf_key.as_ref(), self.chance.wake());
        if matches!(keys, Keys::Withheld) {
            tracing::error!(
                call = %self.sid, stream = %sid, account = %self.account, cause = "no_dtmf_key",
                "keys are to be encrypted and the account has no dtmf_key: the bot is told none"
            );
        }
        keys
    }

    /// What the step sets, and for the rest what holds for all streams.
    fn settings(&self, wanted: &StreamSettings, continues: Option<StreamSid>) -> stream::Settings {
        let all = stream::Settings::of(&self.config.stream);
        let extras = match wanted.start_extras {
            Some(true) => Some(StartExtras {
                direction: "inbound".to_owned(),
                stream_name: wanted.name.clone(),
                ..StartExtras::default()
            }),
            Some(false) => None,
            None => all.style.extras,
        };
        stream::Settings {
            one_way: wanted.fork.is_some(),
            frame_ms: wanted.frame_ms.unwrap_or(all.frame_ms),
            style: StartStyle { raw: wanted.raw_media_format.unwrap_or(all.style.raw), extras, continues },
            local_barge_in: wanted.local_barge_in.unwrap_or(all.local_barge_in) && wanted.fork.is_none(),
            drain_on_close: wanted.drain_on_close.unwrap_or(all.drain_on_close),
            encrypt_dtmf: wanted.encrypt_dtmf || all.encrypt_dtmf,
            paused: wanted.skip_ringing && !self.leg.is_answered(),
        }
    }

    /// A stream that never was: into the record, and to the flow if it was the bot's.
    pub(super) fn no_stream(&mut self, now: Instant, (number, role): (u32, Role), outcome: Outcome) {
        let track = match role {
            Role::Bot => None,
            Role::Fork { track, .. } => Some(track),
        };
        dynamic::counted(&outcome);
        let bot = String::new();
        let over =
            Finished { number, track, bot, outcome: Box::new(outcome.clone()), port: None, counts: None };
        self.record.finished.push(over);
        if role == Role::Bot {
            self.stage.last = Some(Box::new(outcome));
            self.tell_end(now);
        }
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
