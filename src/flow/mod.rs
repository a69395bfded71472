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

use std::time::Duration;

pub use cursor::Cursor;
pub use program::{Program, Step};

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
    /// Open a bidirectional stream to this bot.
    OpenStream {
        /// As configured, user info included.
        url: String,
        /// No other bot follows if this one cannot be had: it is tried whatever is known of it.
        last: bool,
    },
    /// `Fact::Waited` after this; a newer wait takes the place of an older one.
    Wait(Duration),
    /// End the leg: a refusal before the answer, BYE after.
    Hangup,
}

/// Verbs in order.
pub type Verbs = arrayvec::ArrayVec<Verb, 4>;
