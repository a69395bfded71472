//! Why a call cannot be served, and what is answered then (sip-trunk.md section 7.1).

use super::admission::Full;
use crate::route::NoAccount;
use crate::sdp;
use crate::sip::{Refusal, RetryAfter};
use crate::stream::{Disposition, Outcome, StreamError};

/// Why a call is not served. Each has one word, the same in log, metric, CDR and (as a code) in the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No account, or not one of the trunk's.
    Account(NoAccount),
    /// X-Exotel-AccountSid is ill-formed or contradicts itself.
    AccountIllFormed,
    /// No route fits.
    NoRoute,
    /// The route says so.
    Route(u16),
    /// The session description.
    Sdp(sdp::Refused),
    /// Session-Expires is too short (RFC 4028 section 6).
    Interval,
    /// A limit.
    Full(Full),
    /// No RTP port is free.
    NoPort,
    /// The bot could not be had.
    Bot {
        /// Its time ran out.
        late: bool,
        /// The account's or node's streams are all in use.
        throttled: bool,
    },
    /// An operator or the API wants the end.
    Asked,
    /// A fault of ours.
    Internal,
}

impl Denied {
    /// What the end of its last stream means for a caller who was never answered.
    pub fn from_outcome(outcome: Option<&Outcome>) -> Self {
        let late = matches!(
            outcome.and_then(|outcome| outcome.error.as_ref()),
            Some(StreamError::Connect { cause: "timeout", .. })
        );
        let throttled = outcome.is_some_and(|outcome| outcome.disposition == Disposition::Throttled);
        Self::Bot { late, throttled }
    }

    /// The stable word.
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Account(why) => why.cause(),
            Self::AccountIllFormed => "account_ill_formed",
            Self::NoRoute => "no_route",
            Self::Route(_) => "route_rejects",
            Self::Sdp(why) => why.cause(),
            Self::Interval => "session_interval",
            Self::Full(which) => which.cause(),
            Self::NoPort => "no_rtp_port",
            Self::Bot { throttled: true, .. } => "throttled",
            Self::Bot { late: true, .. } => "bot_timeout",
            Self::Bot { .. } => "bot_unavailable",
            Self::Asked => "hangup",
            Self::Internal => "internal",
        }
    }

    /// The answer.
    pub fn refusal(&self) -> Refusal {
        let with = |status, q850: Option<u8>| Refusal {
            status,
            reason: q850.map(|cause| format!("Q.850;cause={cause}")),
            retry_after: None,
            warning: None,
        };
        match self {
            Self::Account(_) | Self::AccountIllFormed => with(403, Some(21)),
            Self::NoRoute => with(404, Some(1)),
            Self::Route(status) => with(*status, cause_of(*status)),
            Self::Sdp(why) => {
                Refusal { warning: why.warning(), ..with(why.status(), (why.status() == 488).then_some(65)) }
            }
            Self::Interval => with(422, None), // signalling adds Min-SE
            Self::Full(Full::Draining) => {
                Refusal { retry_after: Some(RetryAfter::Seconds(30)), ..with(503, Some(42)) }
            }
            Self::Full(Full::NodeCalls | Full::NodeRate) | Self::NoPort => {
                Refusal { retry_after: Some(RetryAfter::Random), ..with(503, Some(42)) }
            }
            Self::Full(Full::TrunkCalls | Full::TrunkRate | Full::NodeStreams | Full::AccountStreams)
            | Self::Bot { throttled: true, .. } => with(503, Some(34)),
            Self::Bot { late: true, .. } => with(504, Some(102)),
            Self::Bot { .. } => with(502, Some(38)),
            Self::Asked => with(480, Some(16)),
            Self::Internal => with(500, Some(41)),
        }
    }
}

/// Q.850 cause of an answer a route asks for.
fn cause_of(status: u16) -> Option<u8> {
    match status {
        403 => Some(21),
        404 => Some(1),
        480 => Some(18),
        486 | 600 => Some(17),
        603 => Some(21),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answers_are_those_of_section_7_1() {
        let seen = |denied: Denied| {
            let refusal = denied.refusal();
            (refusal.status, refusal.reason, refusal.retry_after)
        };
        let q = |cause: u8| Some(format!("Q.850;cause={cause}"));
        assert_eq!(seen(Denied::Account(NoAccount::Unknown)), (403, q(21), None));
        assert_eq!(seen(Denied::NoRoute), (404, q(1), None));
        assert_eq!(seen(Denied::Bot { late: false, throttled: false }), (502, q(38), None));
        assert_eq!(seen(Denied::Bot { late: true, throttled: false }), (504, q(102), None));
        assert_eq!(seen(Denied::Bot { late: false, throttled: true }), (503, q(34), None));
        assert_eq!(seen(Denied::NoPort), (503, q(42), Some(RetryAfter::Random)));
        assert_eq!(seen(Denied::Full(Full::Draining)), (503, q(42), Some(RetryAfter::Seconds(30))));
        assert_eq!(seen(Denied::Full(Full::TrunkCalls)), (503, q(34), None));
        assert_eq!(seen(Denied::Route(486)), (486, q(17), None));
    }
}
