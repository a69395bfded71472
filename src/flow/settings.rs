//! What a step may set for its stream (control-apis.md section 11); what it does not set is as for all streams.

use std::sync::Arc;
use std::time::Duration;

/// Which voices a fork gets (agentstream.md section 14).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Track {
    /// The caller.
    #[default]
    Inbound,
    /// What the caller hears.
    Outbound,
    /// Both, summed.
    Mixed,
}

impl Track {
    /// As it is written in a flow and in the call's record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
            Self::Mixed => "mixed",
        }
    }
}

/// What follows a bot that was there and was lost (agentstream.md section 9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reconnect {
    /// The flow's next step.
    #[default]
    No,
    /// The next bot of the list, as long as there is one.
    Next,
}

/// One stream's own settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamSettings {
    /// Name of the step, for `stream_name` of `start_extras`.
    pub name: String,
    /// A unidirectional stream and what it gets; absent: a bidirectional one, the bot.
    pub fork: Option<Track>,
    /// Of a fork: nothing is sent from the start of dialling to the answer.
    pub skip_ringing: bool,
    /// Milliseconds a message: 20, 40, 60, 80 or 100.
    pub frame_ms: Option<u32>,
    /// What the bot said is cleared when the caller begins to speak.
    pub local_barge_in: Option<bool>,
    /// Longest playing out after the bot closed.
    pub drain_on_close: Option<Duration>,
    /// `start` says more of the call.
    pub start_extras: Option<bool>,
    /// `media_format` of `start` is written `audio/x-raw`.
    pub raw_media_format: Option<bool>,
    /// Tones of keys are taken out of what the bot hears.
    pub mute_dtmf_audio: bool,
    /// Keys are told encrypted.
    pub encrypt_dtmf: bool,
    /// Name of the audio the caller hears while the bot is being reached; absent: silence.
    pub connecting_audio: Option<Arc<str>>,
}
