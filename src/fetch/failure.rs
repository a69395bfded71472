//! Why nothing was fetched: words for people, and a stable word for logs and metrics.

use std::time::Duration;

/// Why an errand failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The name leads nowhere.
    #[error("lookup {0}: {1}")]
    Lookup(String, String),
    /// No address may be connected to; why.
    #[error("dial tcp {0}: {1}")]
    Forbidden(String, &'static str),
    /// TCP was refused.
    #[error("dial tcp {0}: connect: connection refused")]
    Refused(String),
    /// TCP said no.
    #[error("dial tcp {0}: connect: {1}")]
    Dial(String, String),
    /// Name, TCP and TLS took too long.
    #[error("dial tcp {0}: i/o timeout")]
    DialTimeout(String),
    /// TLS; the cause is `tls`, `tls_expired`, `tls_name` or `tls_issuer`.
    #[error("tls: {reason}")]
    Tls {
        /// The stable word.
        cause: &'static str,
        /// For people.
        reason: String,
    },
    /// The connection broke, or what came is not HTTP.
    #[error("http: {0}")]
    Broken(String),
    /// The header is too large.
    #[error("header of the answer over 16 KiB")]
    HeaderTooLarge,
    /// The body is too large.
    #[error("answer over 64 KiB")]
    BodyTooLarge,
    /// Neither a 200 nor a redirect.
    #[error("unexpected status {0}")]
    Status(u16),
    /// More redirects than are followed.
    #[error("more than 3 redirects")]
    Redirects,
    /// A redirect that is not followed; why.
    #[error("redirect refused: {0}")]
    Redirect(&'static str),
    /// All of it took too long.
    #[error("timeout after {}s", .0.as_secs_f64())]
    Deadline(Duration),
    /// The program failed.
    #[error("internal error")]
    Internal,
}

impl Failure {
    /// Every word there is.
    pub const CAUSES: &[&str] = crate::telemetry::table::FETCH_CAUSES;

    /// The stable word.
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Lookup(..) => "dns",
            Self::Forbidden(..) => "forbidden",
            Self::Refused(_) => "refused",
            Self::Dial(..) => "dial",
            Self::DialTimeout(_) | Self::Deadline(_) => "timeout",
            Self::Tls { cause, .. } => cause,
            Self::Broken(_) => "http",
            Self::HeaderTooLarge => "header_too_large",
            Self::BodyTooLarge => "body_too_large",
            Self::Status(_) => "status",
            Self::Redirects => "redirects",
            Self::Redirect(_) => "redirect",
            Self::Internal => "internal",
        }
    }

    /// Whether another attempt may go better: our own rules and what the server means do not change within seconds.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Lookup(..)
            | Self::Refused(_)
            | Self::Dial(..)
            | Self::DialTimeout(_)
            | Self::Tls { .. }
            | Self::Broken(_) => true,
            Self::Status(status) => (500..600).contains(status),
            Self::Forbidden(..)
            | Self::HeaderTooLarge
            | Self::BodyTooLarge
            | Self::Redirects
            | Self::Redirect(_)
            | Self::Deadline(_)
            | Self::Internal => false,
        }
    }
}
