//! What comes next: the front door.
//!
//! ```text
//!  call ── Fact ──► cursor ──► applet ── Verb ──► call
//!                     └─ program: steps, each an applet and where it leads
//! ```
//!
//! A flow is told facts and says verbs, in the call's words; it is pure. An applet is entered, is told what
//! happens, and leaves; where the program leads nowhere the flow hangs up. A caller who is gone ends the flow:
//! the call asks it nothing more.
//!
//! What it deliberately does not know: SIP messages, samples, sockets; why an answer is a 200.

pub mod applet;
mod cursor;
mod program;
mod settings;

use std::sync::Arc;
use std::time::Duration;

pub use cursor::Cursor;
pub use program::{Flow, Program, Step};
pub use settings::{Reconnect, StreamSettings, Track};

/// When the 200 OK goes out (`answer` of the trunk, operator.md section 3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnswerMode {
    /// When the bot's socket is open and `start` is written.
    #[default]
    BotReady,
    /// At once.
    Immediate,
    /// When the bot's first audio is queued, at most 3 s after its socket is open.
    BotAudio,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The leg waits for an answer.
    Began,
    /// The leg is answered.
    Answered,
    /// The bot's socket is open and `start` is written.
    StreamUp,
    /// The bot's first audio is queued.
    StreamAudio,
    /// There is no stream: this bot could not be had. Another one may.
    StreamFailed,
    /// The bot was there and was lost: it closed with an error, or its connection broke.
    StreamLost,
    /// The stream is over and what it left has been played.
    StreamEnded,
    /// The time asked for by `Verb::Wait` is over.
    Waited,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Answer the leg.
    Answer,
    /// Open a stream to this URL. Of a bidirectional one facts are told; a fork is on its own.
    OpenStream {
        /// As configured, user info included.
        url: String,
        /// What is particular to it.
        settings: Arc<StreamSettings>,
        /// No other bot follows if this one cannot be had: it is tried whatever is known of it.
        last: bool,
        /// It goes on where the bot that was lost last left off.
        continues: bool,
    },
    /// End the forks there are.
    StopForks,
    /// `Fact::Waited` after this; a newer wait takes the place of an older one.
    Wait(Duration),
    /// End the leg: a refusal before the answer, BYE after.
    Hangup {
        /// Words for the Reason header field of a BYE; absent: as the last stream ended.
        reason: Option<Arc<str>>,
    },
}

/// Verbs in order: at most those of the steps one call may take.
pub type Verbs = Vec<Verb>;
