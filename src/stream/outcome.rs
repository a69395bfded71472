//! What a stream's end is called (agentstream.md sections 9 and 10), as one table.

use super::connect::one_line;
use super::{DisconnectedBy, Disposition, Status, Stop, StreamError};

/// How a stream ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The call ends it before it was up.
    GivenUp(Stop),
    /// The call ends it.
    Stopped(Stop),
    /// It lasted too long.
    DurationLimit,
    /// The bot asked for the end.
    BotStop,
    /// The bot closed the socket.
    BotClosed {
        /// Absent where the frame had none (1005).
        code: Option<u16>,
        /// Its text.
        reason: String,
    },
    /// The connection broke.
    Lost(String),
    /// Nothing came, or nothing was taken, for too long.
    Unresponsive,
    /// The bot broke the protocol or a limit: what we close with.
    Violation(Violation),
    /// It never came up.
    Failed(StreamError),
}

/// What a bot did wrong, and the close code it gets for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// 1002, 1007, 1008, 1009.
    pub code: u16,
    /// For humans.
    pub reason: String,
}

impl Violation {
    /// A violation as a close code and words.
    pub fn new(code: u16, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }
}

/// The words for an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How it went.
    pub status: Status,
    /// By whom.
    pub by: DisconnectedBy,
    /// Finer.
    pub disposition: Disposition,
    /// On failure.
    pub error: Option<StreamError>,
    /// What the bot left is played out.
    pub plays_out: bool,
}

impl End {
    /// The row of the table.
    pub fn verdict(&self) -> Verdict {
        use DisconnectedBy::{Bot, NotApplicable, User};
        use Status::{Cancelled, Completed, Failed};
        let (status, by, disposition) = match self {
            Self::GivenUp(Stop::CallEnded) => (Cancelled, User, Disposition::CallerHangupDuringSetup),
            Self::Stopped(Stop::CallEnded) => (Completed, User, Disposition::CallerHangup),
            Self::GivenUp(Stop::Stopped) | Self::Stopped(Stop::Stopped) => {
                (Completed, NotApplicable, Disposition::Stopped)
            }
            Self::GivenUp(Stop::Shutdown) | Self::Stopped(Stop::Shutdown) => {
                (Completed, NotApplicable, Disposition::Shutdown)
            }
            Self::DurationLimit => (Completed, NotApplicable, Disposition::DurationLimit),
            Self::BotStop | Self::BotClosed { code: None | Some(1000 | 1001), .. } => {
                (Completed, Bot, Disposition::BotClosed)
            }
            Self::BotClosed { .. } => (Failed, Bot, Disposition::BotError),
            Self::Lost(_) | Self::Unresponsive => (Failed, NotApplicable, Disposition::ConnectionLost),
            Self::Violation(_) => (Failed, Bot, Disposition::ProtocolError),
            Self::Failed(StreamError::Connect { .. }) => (Failed, NotApplicable, Disposition::ConnectFailed),
            Self::Failed(StreamError::Throttled) => (Failed, NotApplicable, Disposition::Throttled),
            Self::Failed(_) => (Failed, NotApplicable, Disposition::BadUrl),
        };
        let error = (status == Failed).then(|| self.error());
        Verdict { status, by, disposition, error, plays_out: (status, by) == (Completed, Bot) }
    }

    fn error(&self) -> StreamError {
        match self {
            Self::BotClosed { code, reason } => {
                StreamError::ClosedByPeer { code: code.unwrap_or(1005), reason: one_line(reason, 123) }
            }
            Self::Lost(reason) => StreamError::Lost(one_line(reason, 200)),
            Self::Unresponsive => StreamError::Unresponsive,
            Self::Violation(violation) => StreamError::Protocol(one_line(&violation.reason, 200)),
            Self::Failed(error) => error.clone(),
            Self::GivenUp(_) | Self::Stopped(_) | Self::DurationLimit | Self::BotStop => {
                StreamError::Internal
            }
        }
    }
}

impl Status {
    /// As Passthru and callbacks write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl DisconnectedBy {
    /// As Passthru and callbacks write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Bot => "bot",
            Self::NotApplicable => "NA",
        }
    }
}

impl Disposition {
    /// As Passthru and callbacks write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CallerHangupBeforeStream => "caller_hangup_before_stream",
            Self::CallerHangupDuringSetup => "caller_hangup_during_setup",
            Self::CallerHangup => "caller_hangup",
            Self::BotClosed => "bot_closed",
            Self::BotError => "bot_error",
            Self::ConnectionLost => "connection_lost",
            Self::ConnectFailed => "connect_failed",
            Self::BadUrl => "bad_url",
            Self::Throttled => "throttled",
            Self::Stopped => "stopped",
            Self::DurationLimit => "duration_limit",
            Self::Shutdown => "shutdown",
            Self::ProtocolError => "protocol_error",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(end: End) -> (Status, DisconnectedBy, Disposition, Option<String>, bool) {
        let verdict = end.verdict();
        let error = verdict.error.map(|error| error.to_string());
        (verdict.status, verdict.by, verdict.disposition, error, verdict.plays_out)
    }

    #[test]
    fn every_end_has_its_row() {
        use DisconnectedBy::{Bot, NotApplicable, User};
        use Disposition as D;
        use Status::{Cancelled, Completed, Failed};
        let closed = |code| End::BotClosed { code, reason: "bye\n".into() };
        let text = |text: &str| Some(text.to_owned());
        let rows = [
            (End::GivenUp(Stop::CallEnded), (Cancelled, User, D::CallerHangupDuringSetup, None, false)),
            (End::Stopped(Stop::CallEnded), (Completed, User, D::CallerHangup, None, false)),
            (End::Stopped(Stop::Stopped), (Completed, NotApplicable, D::Stopped, None, false)),
            (End::Stopped(Stop::Shutdown), (Completed, NotApplicable, D::Shutdown, None, false)),
            (End::DurationLimit, (Completed, NotApplicable, D::DurationLimit, None, false)),
            (End::BotStop, (Completed, Bot, D::BotClosed, None, true)),
            (closed(Some(1000)), (Completed, Bot, D::BotClosed, None, true)),
            (closed(Some(1001)), (Completed, Bot, D::BotClosed, None, true)),
            (closed(None), (Completed, Bot, D::BotClosed, None, true)),
            (
                closed(Some(1011)),
                (Failed, Bot, D::BotError, text("3012 ws closed by peer: code=1011 reason=bye "), false),
            ),
            (
                closed(Some(4400)),
                (Failed, Bot, D::BotError, text("3012 ws closed by peer: code=4400 reason=bye "), false),
            ),
            (
                End::Lost("reset".into()),
                (Failed, NotApplicable, D::ConnectionLost, text("3011 ws connection lost: reset"), false),
            ),
            (
                End::Unresponsive,
                (Failed, NotApplicable, D::ConnectionLost, text("3014 ws peer unresponsive"), false),
            ),
            (
                End::Violation(Violation::new(1009, "message too big")),
                (Failed, Bot, D::ProtocolError, text("3013 protocol violation: message too big"), false),
            ),
            (
                End::Failed(StreamError::Throttled),
                (Failed, NotApplicable, D::Throttled, text("3010 streaming call throttled"), false),
            ),
            (
                End::Failed(StreamError::ParametersOverLimit),
                (Failed, NotApplicable, D::BadUrl, text("3004 custom parameters over limit"), false),
            ),
        ];
        for (end, expected) in rows {
            assert_eq!(row(end.clone()), expected, "{end:?}");
        }
    }
}
