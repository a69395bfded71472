//! SIP signalling: the front door.
//!
//! ```text
//!            bytes                Event ─► the call (through the switchboard)
//!  io ──► message ──► transaction ──► dialog ──► endpoint
//!            bytes ◄──────────────────────────── Command ◄─ the call
//! ```
//!
//! The endpoint is told of datagrams, of commands and of time; it tells what to transmit and what happened.
//! It judges everything up to step 9 of sip-trunk.md section 4 (source, flood, method, Require, merged
//! requests, drain, body type), keeps transactions and dialogs, and answers OPTIONS by itself.
//!
//! What it deliberately does not know: what a body says, which number leads where, what a call is.

pub mod auth;
pub(crate) mod dialog;
pub mod endpoint;
pub mod hop;
pub mod io;
pub mod message;
pub mod target;
pub(crate) mod transaction;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use ipnet::IpNet;

use crate::ids::{LegId, TrunkId};
use crate::units::Digit;
pub use endpoint::{Endpoint, Input, Load, Output, TargetState};
pub use hop::{Hop, Way};
use message::Message;
pub use transaction::Octets;

/// How a message travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// One datagram is one message.
    Udp,
    /// A stream framed by Content-Length.
    Tcp,
    /// The same, encrypted.
    Tls,
}

impl Transport {
    /// As in a Via or a label: `udp`, `tcp`, `tls`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }

    /// A stream keeps order and repeats nothing: no retransmission by us.
    pub const fn is_stream(self) -> bool {
        !matches!(self, Self::Udp)
    }
}

/// What the endpoint keeps to.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who may talk to us; a `TrunkId` is the place in this list.
    pub trunks: Vec<Trunk>,
    /// What a source of no trunk gets (reliability R-21).
    pub strangers: Strangers,
    /// `Server` and `User-Agent`; empty: neither is written.
    pub user_agent: String,
    /// RFC 3261 T1, 500 ms.
    pub t1: Duration,
    /// Requests outside a dialog a second from one address.
    pub source_requests_per_second: u32,
    /// Answers to one stranger in 10 s (reliability R-22).
    pub stranger_answers: usize,
    /// Answers to all strangers in a second.
    pub strangers_per_second: usize,
    /// Server transactions at once (reliability R-30).
    pub max_transactions: usize,
    /// Address or name written in Contact and Via in place of our own.
    pub advertise: Option<String>,
    /// A peer that is asked who it is may answer in MD5 (reliability R-24).
    pub digest_md5: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            trunks: Vec::new(),
            strangers: Strangers::Refuse,
            user_agent: concat!("StreamKit/", env!("CARGO_PKG_VERSION")).to_owned(),
            t1: Duration::from_millis(500),
            source_requests_per_second: 2000,
            stranger_answers: 5,
            strangers_per_second: 200,
            max_transactions: 20_000,
            advertise: None,
            digest_md5: true,
        }
    }
}

/// What a source of no trunk gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strangers {
    /// 403, at most 5 in 10 s a source and 200 a second in all, then nothing.
    Refuse,
    /// Nothing.
    Silent,
}

/// A trunk as signalling sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trunk {
    /// Name, for logs.
    pub name: String,
    /// Networks that may send us requests; the narrowest over all trunks wins.
    pub peers: Vec<IpNet>,
    /// Where requests of ours may go besides; those in use and by which priority are the endpoint's to choose.
    pub targets: Vec<Target>,
    /// Transports it may use.
    pub transports: Vec<Transport>,
    /// Answer to the source port though no rport was asked for.
    pub force_rport: bool,
    /// Send in-dialog requests to the source when the Contact is unreachable.
    pub nat_contact: bool,
    /// Session-Expires of ours (RFC 4028); zero: none is begun by us, the peer's is honoured.
    pub session_timer: Duration,
    /// Who may send, on top of the address (reliability R-24); empty: nobody is challenged.
    pub digest_users: Vec<Credentials>,
    /// How they may prove it, in the order they are asked: some read the first of several challenges alone.
    pub digest_algorithms: Vec<auth::Algorithm>,
    /// Names one of which a certificate of its peers has to be for: as clients (reliability R-23; empty: any
    /// certificate will do), and as servers, besides those of its targets.
    pub tls_names: Vec<String>,
    /// Between two OPTIONS of ours to each target; zero: none.
    pub options_ping: Duration,
    /// 3xx are followed, at most 3, to hosts of the trunk.
    pub follow_redirect: bool,
}

impl Trunk {
    /// A trunk with every default (operator.md section 3.1), without peers.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            peers: Vec::new(),
            targets: Vec::new(),
            transports: vec![Transport::Udp, Transport::Tcp],
            force_rport: false,
            nat_contact: true,
            session_timer: Duration::from_secs(1800),
            digest_users: Vec::new(),
            digest_algorithms: vec![auth::Algorithm::Sha256, auth::Algorithm::Md5],
            tls_names: Vec::new(),
            options_ping: Duration::from_secs(30),
            follow_redirect: false,
        }
    }
}

/// One target of a trunk: `host[:port];transport=` (sip-trunk.md section 15).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Name or address, an IPv6 one without brackets.
    pub host: String,
    /// Absent: by SRV, else 5060 or 5061 over TLS.
    pub port: Option<u16>,
    /// Absent: by SRV, else the first of the trunk's.
    pub transport: Option<Transport>,
    /// The lowest goes first.
    pub priority: u16,
    /// Share among those of one priority.
    pub weight: u16,
    /// For a challenge of this target.
    pub credentials: Option<Credentials>,
}

impl Target {
    /// An address, the rest by default.
    pub fn address(ip: IpAddr) -> Self {
        Self { host: ip.to_string(), port: None, transport: None, priority: 0, weight: 0, credentials: None }
    }

    /// Its address, when it is written as one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok().map(|ip: IpAddr| ip.to_canonical())
    }
}

/// `host[:port]` with `;transport=` where one is named, as in the configuration.
impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]", self.host)?,
            false => f.write_str(&self.host)?,
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        match self.transport {
            Some(transport) => write!(f, ";transport={}", transport.as_str()),
            None => Ok(()),
        }
    }
}

/// A user of digest authentication; its password is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Name.
    pub user: String,
    /// Secret.
    pub password: String,
    /// Given to this realm only; absent: to any.
    pub realm: Option<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .field("realm", &self.realm)
            .finish_non_exhaustive()
    }
}

/// A body with its Content-Type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// As it stands in Content-Type, parameters included: a multipart body cannot be read without its boundary.
    pub content_type: String,
    /// The octets.
    pub bytes: Vec<u8>,
}

impl Body {
    /// A session description.
    pub fn sdp(text: impl Into<Vec<u8>>) -> Self {
        Self { content_type: "application/sdp".to_owned(), bytes: text.into() }
    }
}

/// What a call may ask of signalling. A command for a leg that is no longer there changes nothing.
#[derive(Debug)]
pub enum Command {
    /// 180 or 183 to the INVITE of an inbound leg.
    Progress {
        /// The leg.
        leg: LegId,
        /// 180 or 183.
        status: u16,
        /// With 183.
        body: Option<Body>,
    },
    /// 200 to the INVITE of an inbound leg.
    Answer {
        /// The leg.
        leg: LegId,
        /// The SDP answer, or our offer when the INVITE had none; absent when offer and answer are done already,
        /// in a reliable 183 and its PRACK.
        body: Option<Body>,
    },
    /// A final refusal of the INVITE of an inbound leg, or of a re-INVITE, UPDATE or PRACK with an offer when one is
    /// open. A 422 gets its Min-SE.
    Reject {
        /// The leg.
        leg: LegId,
        /// What is answered.
        refusal: Refusal,
    },
    /// 200 to an open re-INVITE, UPDATE or PRACK with an offer.
    Accept {
        /// The leg.
        leg: LegId,
        /// The SDP answer.
        body: Option<Body>,
    },
    /// A re-INVITE or UPDATE of ours; `Event::Modified` tells its result. One that glares is sent again by itself. One
    /// before the answer, or beside another, is refused with 491 by the endpoint.
    Modify {
        /// The leg.
        leg: LegId,
        /// By UPDATE, if the peer allows it; a re-INVITE else.
        update: bool,
        /// Our offer; absent: one is asked for (re-INVITE only).
        body: Option<Body>,
    },
    /// The ACK to a 2xx that held an offer: `Event::Answered` or `Event::Modified` after an INVITE of ours without
    /// one. It is not sent before.
    Acknowledge {
        /// The leg.
        leg: LegId,
        /// Our answer; absent: there is none, and what follows is a `Hangup`.
        body: Option<Body>,
    },
    /// An INFO of ours inside the dialog: a key.
    Info {
        /// The leg.
        leg: LegId,
        /// As `application/dtmf-relay`.
        body: Body,
    },
    /// Ends the leg: BYE when it is up (with early dialogs of ours: CANCEL; before any 1xx: as soon as one is in;
    /// inbound and not answered: 487 never, use `Reject`).
    Hangup {
        /// The leg.
        leg: LegId,
        /// Value of the Reason header field, e.g. `Q.850;cause=16;text="bot ended the call"`.
        reason: Option<String>,
    },
    /// Calls out.
    Dial(Box<Dial>),
    /// What new INVITEs and OPTIONS outside a dialog get from now on.
    Gate(Gate),
    /// What is new from now on keeps to this; calls that are up, connections and transactions stay as they are.
    Reload(Box<Reload>),
}

/// What a running endpoint may be told to keep to.
#[derive(Clone, Debug)]
pub struct Reload {
    /// A trunk keeps its place in the list; one that is gone leaves it empty, without peers and targets. `advertise`
    /// and `t1` stay as they were at the start.
    pub config: Config,
    /// Connections.
    pub limits: io::Limits,
}

/// A call of ours.
#[derive(Debug)]
pub struct Dial {
    /// Named by the caller of this command, from 2^63 up: inbound legs are numbered below by the endpoint.
    pub leg: LegId,
    /// Trunk it goes through.
    pub trunk: TrunkId,
    /// Request-URI and To.
    pub uri: String,
    /// Where it is sent.
    pub to: Destination,
    /// From URI without tag, e.g. `sip:1000@192.0.2.1`.
    pub from: String,
    /// Further header fields as name and value; CR, LF and NUL were refused before.
    pub headers: Vec<(String, String)>,
    /// SDP offer; absent: one is asked for, and `Event::Answered` brings it.
    pub body: Option<Body>,
    /// It rings no longer than this, all tries together: CANCEL, and `Ended::Refused` with 408.
    pub ring_limit: Duration,
    /// For a challenge; absent: those of the trunk's target that is called.
    pub credentials: Option<Credentials>,
}

/// Where a call of ours goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// There, and nowhere else.
    Address(SocketAddr, Transport),
    /// To the trunk's targets by priority and weight, the next when one fails (sip-trunk.md section 15).
    Targets,
}

/// Whether new work is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// It is.
    Open,
    /// 503 with Retry-After 1..5 at random.
    Full,
    /// 503 with Retry-After 30.
    Draining,
}

/// A final refusal (sip-trunk.md section 7.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// 300..=699.
    pub status: u16,
    /// Reason header field value, e.g. `Q.850;cause=21`.
    pub reason: Option<String>,
    /// Retry-After in seconds.
    pub retry_after: Option<RetryAfter>,
    /// Warning: code and text; the agent is our address.
    pub warning: Option<(u16, &'static str)>,
}

/// What Retry-After says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// 1..=5 s, drawn for each answer.
    Random,
    /// So many seconds.
    Seconds(u32),
}

/// What signalling tells a call.
#[derive(Debug)]
pub enum Event {
    /// An INVITE for us passed every check of signalling; 100 went out. The leg waits for a `Command`.
    Incoming(Box<Incoming>),
    /// Provisional answer to a leg of ours (not 100).
    Progress {
        /// The leg.
        leg: LegId,
        /// 101..=199.
        status: u16,
        /// SDP, if any.
        body: Option<Body>,
    },
    /// 2xx to a leg of ours; the ACK went out.
    Answered {
        /// The leg.
        leg: LegId,
        /// The SDP answer.
        body: Option<Body>,
    },
    /// The ACK to our 200 came.
    Confirmed {
        /// The leg.
        leg: LegId,
        /// SDP in the ACK (late offer).
        body: Option<Body>,
    },
    /// The PRACK of a reliable 183 that held our offer, with its answer. It has been answered itself.
    Acknowledged {
        /// The leg.
        leg: LegId,
        /// The SDP answer; absent: there was none, and the 200 offers again.
        body: Option<Body>,
    },
    /// `Modify` is done, or a re-INVITE that refreshed the session by itself brought an answer.
    Modified {
        /// The leg.
        leg: LegId,
        /// What the 2xx holds: the answer, or an offer when `Modify` had none (`Acknowledge` it); or the status that
        /// refused it, which leaves the call as it was.
        result: Result<Option<Body>, u16>,
    },
    /// A re-INVITE, an UPDATE or a PRACK with an offer waits for `Accept` or `Reject`.
    Reoffer {
        /// The leg.
        leg: LegId,
        /// The offer; absent: one is asked of us.
        body: Option<Body>,
    },
    /// A key was pressed, told by INFO.
    Digit {
        /// The leg.
        leg: LegId,
        /// Which.
        digit: Digit,
        /// How long it was held.
        held: Duration,
    },
    /// The leg is over; nothing more is told of it.
    Ended {
        /// The leg.
        leg: LegId,
        /// How.
        how: Ended,
    },
}

impl Event {
    /// The leg it is about.
    pub fn leg(&self) -> LegId {
        match self {
            Self::Incoming(incoming) => incoming.leg,
            Self::Progress { leg, .. }
            | Self::Answered { leg, .. }
            | Self::Confirmed { leg, .. }
            | Self::Acknowledged { leg, .. }
            | Self::Modified { leg, .. }
            | Self::Reoffer { leg, .. }
            | Self::Digit { leg, .. }
            | Self::Ended { leg, .. } => *leg,
        }
    }
}

/// An INVITE that waits for an answer.
#[derive(Debug)]
pub struct Incoming {
    /// Our side of it.
    pub leg: LegId,
    /// Whose it is.
    pub trunk: TrunkId,
    /// When it came.
    pub at: Instant,
    /// Our address it came to; never unspecified.
    pub local: SocketAddr,
    /// Source of the packet or connection.
    pub remote: SocketAddr,
    /// How it came.
    pub transport: Transport,
    /// Whether a 18x goes out reliably (RFC 3262): by it alone an offer of ours may go out before the 200.
    pub reliable: bool,
    /// The INVITE itself, for its header fields and its body.
    pub invite: Message,
}

/// How a leg ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The peer sent BYE; its Reason, if any.
    Bye {
        /// Reason header field value.
        reason: Option<String>,
    },
    /// The peer gave up before the answer (CANCEL, BYE in the early dialog, or Expires ran out).
    Cancelled {
        /// Reason header field value.
        reason: Option<String>,
    },
    /// Our BYE, CANCEL or refusal is done.
    ByUs,
    /// No ACK to our 200 for 64*T1; BYE went out.
    AckTimeout,
    /// No PRACK to a reliable 18x of ours for 64*T1; 504 went out (RFC 3262 §3).
    PrackTimeout,
    /// The session timer ran out (RFC 4028); BYE went out.
    SessionExpired,
    /// A call of ours was refused.
    Refused {
        /// 300..=699; 408 when nothing came.
        status: u16,
        /// Reason header field value.
        reason: Option<String>,
    },
    /// The transport failed for good.
    Lost,
}
