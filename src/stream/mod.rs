//! The voice bot over WebSocket (agentstream.md): the front door.
//!
//! ```text
//!  call ── Command ──► session ── Event ──► call
//!                       │   ▲
//!        `media::StreamEnd` │ text messages
//!        (rings to the      ▼
//!         media core)      io: dial, TLS, upgrade, socket ──► bot
//! ```
//!
//! While the bot is being reached a stream is a task; once it is up it has a seat in a lane, a part of its call's
//! media core (`io::lane` says why). The session is a pure core: `connected`, `start`, `media`, `dtmf`, `mark`,
//! `clear`, `stop`; `framing` is the one below it.
//!
//! What it deliberately does not know: SIP, RTP, what the call does next.

pub mod chunk;
pub mod cipher;
pub mod connect;
pub mod dynamic;
pub mod framing;
pub mod io;
pub mod message;
pub mod outcome;
pub mod parse;
pub mod session;
pub mod tally;
pub mod upgrade;
pub mod url;

mod backlog;
mod barge;
mod baton;
mod limit;
mod marks;
mod outbox;
mod speech;

use std::time::Duration;

pub use baton::{Baton, End, Left};
pub use cipher::{DtmfKey, Keys};
pub use session::Session;
pub use url::{BotUrl, UrlLimits};

pub use crate::egress::{self, Egress, PlainTo as PlainWs};
use crate::ids::{CallSid, StreamSid};
use crate::units::{Digit, SampleRate};

/// What every stream keeps to (agentstream.md section 12).
#[derive(Clone, Debug)]
pub struct Config {
    /// Budget of all attempts together.
    pub connect_timeout: Duration,
    /// Further attempts: 0 or 1.
    pub connect_retries: u8,
    /// Streams in a row that a bot could not be had for, and it is left alone.
    pub breaker_failures: u32,
    /// For so long.
    pub breaker_rest: Duration,
    /// Longest stream.
    pub max_stream_duration: Duration,
    /// Milliseconds a message to the bot: 20, 40, 60, 80 or 100.
    pub frame_ms: u32,
    /// See `media::StreamSpec::prebuffer`.
    pub playout_prebuffer: Duration,
    /// Longest audio of the bot that waits to be played.
    pub max_queue: Duration,
    /// Longest message of the bot in octets.
    pub max_message_bytes: usize,
    /// Longest audio that waits for the bot's socket.
    pub send_queue: Duration,
    /// Longest playing out after the bot closed.
    pub drain_on_close: Duration,
    /// Between our pings.
    pub ping_interval: Duration,
    /// Nothing at all for so long: the stream failed.
    pub silence_timeout: Duration,
    /// Marks that may wait.
    pub max_pending_marks: usize,
    /// What the bot said is cleared when the caller begins to speak.
    pub local_barge_in: bool,
    /// Keys are told encrypted, under the account's key, or not at all.
    pub encrypt_dtmf: bool,
    /// How `start` is written for all bots.
    pub start_style: StartStyle,
    /// To whom plain `ws://` may lead.
    pub allow_plain_ws: PlainWs,
    /// `User-Agent` of the upgrade.
    pub user_agent: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            connect_retries: 1,
            breaker_failures: 5,
            breaker_rest: Duration::from_secs(30),
            max_stream_duration: Duration::from_secs(3600),
            frame_ms: 20,
            playout_prebuffer: Duration::from_millis(60),
            max_queue: Duration::from_secs(120),
            max_message_bytes: 1 << 20,
            send_queue: Duration::from_secs(2),
            drain_on_close: Duration::from_secs(5),
            ping_interval: Duration::from_secs(10),
            silence_timeout: Duration::from_secs(30),
            max_pending_marks: 8192,
            local_barge_in: false,
            encrypt_dtmf: false,
            start_style: StartStyle::default(),
            allow_plain_ws: PlainWs::Private,
            user_agent: concat!("StreamKit/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// What one stream keeps to besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Unidirectional (agentstream.md section 14): neither keys nor marks are told, and nothing is heard of the peer.
    pub one_way: bool,
    /// Milliseconds a message: 20, 40, 60, 80 or 100.
    pub frame_ms: u32,
    /// How `start` is written.
    pub style: StartStyle,
    /// What the bot said is cleared when the caller begins to speak.
    pub local_barge_in: bool,
    /// Longest playing out after the bot closed.
    pub drain_on_close: Duration,
    /// Keys are told encrypted, or not at all.
    pub encrypt_dtmf: bool,
    /// It begins as after `Command::Pause`.
    pub paused: bool,
}

impl Settings {
    /// A bidirectional stream as all are by this configuration.
    pub fn of(config: &Config) -> Self {
        Self {
            one_way: false,
            frame_ms: config.frame_ms,
            style: config.start_style.clone(),
            local_barge_in: config.local_barge_in,
            drain_on_close: config.drain_on_close,
            encrypt_dtmf: config.encrypt_dtmf,
            paused: false,
        }
    }
}

/// What `start` says of the call (agentstream.md section 5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// This stream.
    pub stream_sid: StreamSid,
    /// Its call.
    pub call_sid: CallSid,
    /// Its account.
    pub account_sid: String,
    /// The caller, as `sip:08061234509`.
    pub from: String,
    /// The number dialled.
    pub to: String,
    /// SIP custom headers; parameters of the URL are added by the session and win.
    pub custom_parameters: Vec<(String, String)>,
    /// The same in both directions.
    pub rate: SampleRate,
}

/// How `start` is written (agentstream.md section 5.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartStyle {
    /// `media_format_style: raw`.
    pub raw: bool,
    /// `start_extras: true`.
    pub extras: Option<StartExtras>,
    /// The stream of a bot that was lost, which this one goes on for (`reconnect`).
    pub continues: Option<StreamSid>,
}

/// What `start_extras` adds to `start`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartExtras {
    /// `inbound`, `outbound-api`, `outbound-dial`.
    pub direction: String,
    /// Name of the stream.
    pub stream_name: String,
    /// The call's custom field.
    pub custom_field: String,
}

/// Which way a message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From us.
    ToBot,
    /// To us.
    FromBot,
}

/// What a call tells its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Send `stop` and close; before the stream is up: give up.
    Stop(Stop),
    /// The caller's signalling told of a key; what RTP tells comes with the audio.
    Key {
        /// Which.
        digit: Digit,
        /// Milliseconds it was held.
        held_ms: u32,
    },
    /// Send no audio until `Resume`; its time goes on, so that the gap shows (`skip_ringing`).
    Pause,
    /// Send audio again.
    Resume,
}

/// Why the call ends its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The caller's leg ended: `callended`, 1000.
    CallEnded,
    /// The stream ends while the leg lives: `stopped`, 1000.
    Stopped,
    /// The node shuts down: `stopped`, 1001.
    Shutdown,
}

/// What a stream tells its call.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The upgrade is done; `connected` and `start` are written.
    Up {
        /// From the first attempt's beginning.
        connect: Duration,
        /// 1 or 2.
        attempts: u8,
    },
    /// The bot's first audio is queued for playing.
    FirstAudio,
    /// The bot sent more than may wait for playing; the surplus is dropped. Told once.
    QueueFull,
    /// The stream is over; nothing more is told of it. Audio it left may still be playing (`media::Event::Drained`).
    Ended(Box<Outcome>),
}

/// How a stream ended (agentstream.md section 10) and what it did (operator.md section 7).
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Absent if no attempt was begun.
    pub stream_sid: Option<StreamSid>,
    /// Without user info.
    pub url: Option<String>,
    /// How it went.
    pub status: Status,
    /// By whom.
    pub disconnected_by: DisconnectedBy,
    /// Finer.
    pub disposition: Disposition,
    /// On failure.
    pub error: Option<StreamError>,
    /// From `start` written to the end; zero if never established.
    pub duration: Duration,
    /// True if the bot left audio that is to be played out (it closed with 1000 or 1001, or sent `stop`).
    pub playing_out: bool,
    /// Figures.
    pub figures: Figures,
}

/// Figures of one stream for the CDR.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// First attempt's beginning to the upgrade.
    pub connect: Option<Duration>,
    /// Attempts made.
    pub attempts: u8,
    /// The stream's rate in Hz; 0 if never known.
    pub sample_rate: u32,
    /// Messages we sent, `connected` included.
    pub messages_out: u64,
    /// Messages the bot sent.
    pub messages_in: u64,
    /// Messages of the bot that were passed over.
    pub ignored: u64,
    /// Media messages dropped because the bot did not read.
    pub dropped_out: u64,
    /// Milliseconds of audio of the bot that were accepted.
    pub received_ms: u64,
    /// The same in samples.
    pub received: u64,
    /// Samples dropped by `clear` before the playout heard of them: it counts the others.
    pub cleared_unsent: u64,
    /// Longest audio that waited to be played, in milliseconds.
    pub longest_queue_ms: u64,
    /// Milliseconds refused because the queue was full.
    pub refused_ms: u64,
    /// Milliseconds played to the caller.
    pub played_ms: u64,
    /// Milliseconds dropped by `clear`.
    pub cleared_ms: u64,
    /// Marks accepted.
    pub marks_received: u64,
    /// Marks echoed by playing, and because nothing stood before them.
    pub marks_played: u64,
    /// Marks echoed by a clear, or because the stream ended.
    pub marks_cleared: u64,
    /// Of those, the ones a clear overtook on their way to the playout, which found nothing before them.
    pub marks_overtaken: u64,
    /// The bot's first audio, from `start`.
    pub first_audio: Option<Duration>,
}

/// `Status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It was up and ended as it should.
    Completed,
    /// It did not come up, or broke.
    Failed,
    /// The caller was gone before it was up.
    Cancelled,
}

/// `DisconnectedBy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisconnectedBy {
    /// `user`.
    User,
    /// `bot`.
    Bot,
    /// `NA`.
    NotApplicable,
}

/// `Disposition`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Before any attempt.
    CallerHangupBeforeStream,
    /// While connecting.
    CallerHangupDuringSetup,
    /// After `start`.
    CallerHangup,
    /// 1000, 1001, no code, or `stop`.
    BotClosed,
    /// Any other code.
    BotError,
    /// No close frame, or keep-alive lost.
    ConnectionLost,
    /// Also after the retry.
    ConnectFailed,
    /// Bad URL or parameters.
    BadUrl,
    /// Concurrency limit.
    Throttled,
    /// By the flow or an API.
    Stopped,
    /// `max_stream_duration`.
    DurationLimit,
    /// The node.
    Shutdown,
    /// 1002, 1007, 1008, 1009 by us.
    ProtocolError,
}

/// Why a stream to a voice bot could not start or did not last; printed as agentstream.md section 11 says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// 3001.
    #[error("3001 invalid stream url: {0}")]
    InvalidUrl(String),
    /// 3002: what a dynamic URL leads to gave no usable HTTP answer.
    #[error("3002 failed to fetch stream url: {0}")]
    Fetch(String),
    /// 3003: there is no usable URL in its answer.
    #[error("3003 invalid response from stream url endpoint: {0}")]
    Answer(String),
    /// 3004.
    #[error("3004 custom parameters over limit")]
    ParametersOverLimit,
    /// 3009; the reason, and whether it was the time that ran out.
    #[error("3009 failed to establish ws conn: {reason}")]
    Connect {
        /// For humans.
        reason: String,
        /// A stable word: `refused`, `dns`, `tls`, `timeout`, `status`, `handshake`, `forbidden`.
        cause: &'static str,
    },
    /// 3010.
    #[error("3010 streaming call throttled")]
    Throttled,
    /// 3011.
    #[error("3011 ws connection lost: {0}")]
    Lost(String),
    /// 3012.
    #[error("3012 ws closed by peer: code={code} reason={reason}")]
    ClosedByPeer {
        /// The close code.
        code: u16,
        /// Its text.
        reason: String,
    },
    /// 3013.
    #[error("3013 protocol violation: {0}")]
    Protocol(String),
    /// 3014.
    #[error("3014 ws peer unresponsive")]
    Unresponsive,
    /// 3099.
    #[error("3099 internal error")]
    Internal,
}
