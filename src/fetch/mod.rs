//! Outbound HTTP for flows: the front door (reliability R-70, R-71, R-74; agentstream.md section 3.3).
//!
//! ```text
//!  Errand ─► Course ── url, deadlines ─► io: names, judged addresses, TCP, TLS, one request ── Reply ─┐
//!              ▲                                                                                      │
//!              └── once more, another URL, done, failed ◄─────────────────────────────────────────────┘
//! ```
//!
//! One GET on one connection of its own, within one budget of time: at most one further attempt, at most three
//! redirects. Proxy variables of the environment are not looked at.
//!
//! What it deliberately does not know: who asks, what the answer means.

pub mod course;
mod failure;
pub mod io;
mod url;

use std::sync::Arc;
use std::time::Duration;

pub use failure::Failure;
pub use io::Client;
pub use url::{HttpUrl, MAX_URL};

use crate::egress::{Allowed, Egress, PlainTo};

/// Octets of a body.
pub const MAX_BODY: usize = 64 * 1024;
/// Octets of the header of an answer.
pub const MAX_HEADER: usize = 16 * 1024;
/// Redirects of one errand.
pub const MAX_REDIRECTS: u8 = 3;

/// What every errand keeps to.
#[derive(Clone, Debug)]
pub struct Config {
    /// Of one errand, with every attempt and redirect (`stream.url_timeout`).
    pub timeout: Duration,
    /// To whom plain `http://` may lead.
    pub plain: PlainTo,
    /// `User-Agent`.
    pub user_agent: String,
    /// Where an errand may be led besides public addresses: `egress.allow`, and the hosts of the configuration.
    pub allow: Arc<[Allowed]>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            plain: PlainTo::Private,
            user_agent: concat!("StreamKit/", env!("CARGO_PKG_VERSION")).to_owned(),
            allow: [].into(),
        }
    }
}

/// Something to be fetched.
#[derive(Clone, Debug)]
pub struct Errand {
    /// From where, with its parameters.
    pub url: HttpUrl,
    /// How far its host is trusted; one a redirect leads to is trusted by `Config::allow` alone.
    pub egress: Egress,
    /// What it keeps to.
    pub config: Arc<Config>,
}

/// An answer to one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Where it leads, in a redirect.
    pub location: Option<String>,
    /// Of a 200; of others it is not read.
    pub body: Vec<u8>,
}
