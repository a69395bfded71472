//! A SIP caller: dials, speaks, presses keys, keeps what it heard, hangs up. One caller places any number of
//! calls at once: one task for signalling, one thread for the audio of all.
//!
//! ```text
//!   Call ── say, press, hang_up ──►  pacer (thread) ──► RTP sockets
//!     ▲                              │
//!     │ answered, ended              └ heard: every packet with its time
//!     └───────────── wire ◄──── sip::io::drive (task) ◄──► UDP, TCP
//! ```
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use streamkit::lab::{caller::{Caller, Config, Dial}, speech::Speech};
//! let caller = Caller::start(Config::default()).await?;
//! let call = caller.dial(Dial::to("sip:1000@127.0.0.1:5060")).await?;
//! if call.answered().await.is_ok() {
//!     call.say("hello", &Speech::Caller.sound()).await;
//!     call.press("12#").await;
//! }
//! let record = call.finish().await;
//! println!("{:?}", record.audio.heard.quality());
//! # Ok(()) }
//! ```

mod call;
mod heard;
mod mouth;
mod pacer;
mod wire;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub use call::{Call, Record, Times};
pub use heard::{Arrival, Heard, PLAYOUT, Quality};
pub use mouth::Spoken;
pub use pacer::Audio;
pub use wire::SipSeen;

use super::ladder::Ladder;
use crate::audio::G711;
use crate::ids::{Entropy, LegId, TrunkId};
use crate::rtp::sender::Sender;
use crate::sdp::{self, Law, Session, Wish};
use crate::sip::io::drive;
use crate::sip::message::{Scheme, Uri};
use crate::sip::{Body, Command, Destination, Transport};
use call::Progress;
use mouth::Terms;
use pacer::{Line, Order, Pacer};
use wire::{Exchange, Sink};

/// What a caller keeps to.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address of its sockets; unspecified: all, and each call shows the one that faces its target.
    pub bind: IpAddr,
    /// Port for SIP over UDP and TCP; 0 takes a free one.
    pub port: u16,
    /// RFC 3261 T1; a test on loopback may want it shorter.
    pub t1: Duration,
    /// `User-Agent`.
    pub user_agent: String,
    /// Keep whole SIP messages, not their first lines only.
    pub keep_messages: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bind: Ipv4Addr::UNSPECIFIED.into(),
            port: 0,
            t1: Duration::from_millis(500),
            user_agent: concat!("StreamKit-caller/", env!("CARGO_PKG_VERSION")).to_owned(),
            keep_messages: true,
        }
    }
}

/// A call to place.
#[derive(Clone, Debug)]
pub struct Dial {
    /// Request-URI and To: `sip:user@host:port;transport=tcp`.
    pub uri: String,
    /// From; absent: `sip:caller@` and our address.
    pub from: Option<String>,
    /// Where it is sent instead of the URI's host.
    pub via: Option<SocketAddr>,
    /// Absent: the URI's `transport`, else UDP.
    pub transport: Option<Transport>,
    /// Further header fields.
    pub headers: Vec<(String, String)>,
    /// Offered, the favourite first.
    pub codecs: Vec<Law>,
    /// Offer keys by RFC 4733; without it they are pressed in band.
    pub telephone_event: bool,
    /// RTP by way of an impaired path.
    pub media_via: Option<MediaVia>,
    /// Told of every message and sums of audio.
    pub ladder: Option<Ladder>,
}

/// RTP goes by way of an impaired path.
#[derive(Clone, Copy, Debug)]
pub struct MediaVia {
    /// Where RTP is sent in place of the peer's address.
    pub near: SocketAddr,
    /// The address shown in the SDP.
    pub far: SocketAddr,
}

impl Dial {
    /// A plain call.
    pub fn to(uri: impl Into<String>) -> Self {
        Self {
            uri: uri.into(),
            from: None,
            via: None,
            transport: None,
            headers: Vec::new(),
            codecs: vec![Law::Mu, Law::A],
            telephone_event: true,
            media_via: None,
            ladder: None,
        }
    }

    /// With one more header field.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Told to this ladder.
    pub fn on(mut self, ladder: &Ladder) -> Self {
        self.ladder = Some(ladder.clone());
        self
    }
}

/// Why a call could not be placed.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The URI.
    #[error("`{0}` is no SIP URI such as sip:1000@192.0.2.10:5060")]
    Uri(String),
    /// What we do not do.
    #[error("{0} is not in this release")]
    NotYet(&'static str),
    /// Its host.
    #[error("{0}: no address")]
    NoAddress(String),
    /// A header field that would end early.
    #[error("header field `{0}`: control characters, or no name")]
    Header(String),
    /// The system.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A caller; dropping it ends its calls without a word.
pub struct Caller {
    inner: Arc<Inner>,
    wire: JoinHandle<()>,
}

struct Inner {
    config: Config,
    port: u16,
    commands: mpsc::Sender<Command>,
    exchange: Arc<Exchange>,
    /// Held while a leg is announced and dialled, so that INVITEs go out in the order they are expected.
    turn: tokio::sync::Mutex<()>,
    pacer: Pacer,
    entropy: Mutex<Entropy>,
    legs: AtomicU64,
}

impl Caller {
    /// Opens the SIP sockets and starts the thread for audio.
    ///
    /// # Errors
    /// What the system says of them.
    pub async fn start(config: Config) -> io::Result<Self> {
        let mut entropy = Entropy::from_os();
        let (commands, commanded) = mpsc::channel(1024);
        let exchange = Exchange::new(&config);
        let (sockets, port) = wire::sockets(&config)?;
        let (endpoint, told) = (wire::endpoint(&config, entropy.fork()), exchange.clone());
        let trace = Some(exchange.trace());
        let wire = tokio::spawn(async move {
            drive(endpoint, sockets, commanded, move |event| told.tell(event), trace).await;
        });
        let inner = Inner {
            config,
            port,
            commands,
            exchange,
            turn: tokio::sync::Mutex::default(),
            pacer: Pacer::start()?,
            entropy: Mutex::new(entropy),
            legs: AtomicU64::new(1 << 63), // below are the endpoint's own
        };
        Ok(Self { inner: Arc::new(inner), wire })
    }

    /// Port of its SIP sockets.
    pub fn port(&self) -> u16 {
        self.inner.port
    }

    /// Places a call; it is under way when this returns.
    ///
    /// # Errors
    /// What is wrong with the URI, or what the system says.
    pub async fn dial(&self, dial: Dial) -> Result<Call, DialError> {
        let inner = &self.inner;
        check_headers(&dial.headers)?;
        let (to, transport) = target(&dial).await?;
        let ip = facing(inner.config.bind, to)?;
        let socket = pacer::socket(ip)?;
        let media = socket.local_addr()?;
        let shown = dial.media_via.map_or(media, |via| via.far);
        let wish =
            Wish { codecs: dial.codecs.clone(), telephone_event: dial.telephone_event, ..Wish::new(shown) };
        let (mut session, rtp) = inner.chance();
        let offer = sdp::offer(&mut session, &wish);
        let leg = LegId(inner.legs.fetch_add(1, Relaxed));
        let terms = Terms { law: G711::Mu, payload_type: 0, telephone_event: None, ptime_ms: 20 };
        let line = Line::new(socket, terms, rtp, dial.ladder.clone());
        let voiced = line.voiced.clone();
        inner.pacer.order(Order::Open(leg.0, Box::new(line)));
        let (events, told) = mpsc::channel(256);
        let seen = Arc::<Mutex<Vec<SipSeen>>>::default();
        let sink = Sink::new(events, seen.clone(), dial.ladder.clone());
        let (progress, watched) = watch::channel(Progress::default());
        let desk =
            call::Desk { inner: inner.clone(), leg, wish, session, media_via: dial.media_via, progress };
        tokio::spawn(desk.attend(told));
        let from = dial.from.unwrap_or_else(|| format!("sip:caller@{}", SocketAddr::new(ip, inner.port)));
        let (uri, headers, trunk) = (dial.uri, dial.headers, TrunkId(0));
        let body = Some(Body::sdp(offer));
        let (to, ring_limit) = (Destination::Address(to, transport), Duration::from_secs(180));
        let command = Box::new(crate::sip::Dial {
            leg,
            trunk,
            uri,
            to,
            from,
            headers,
            body,
            ring_limit,
            credentials: None,
        });
        let turn = inner.turn.lock().await;
        inner.exchange.expect(leg, sink);
        inner.command(Command::Dial(command)).await;
        drop(turn);
        Ok(Call { inner: inner.clone(), leg, media, watched, seen, voiced })
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.wire.abort();
    }
}

impl Inner {
    fn chance(&self) -> (Session, Sender) {
        let mut entropy = self.entropy.lock().unwrap_or_else(PoisonError::into_inner);
        let session = Session::new(entropy.u32());
        (session, Sender::new(entropy.u32(), entropy.u32() as u16, entropy.u32()))
    }

    /// A caller whose task is gone does nothing any more.
    async fn command(&self, command: Command) {
        drop(self.commands.send(command).await);
    }
}

fn check_headers(headers: &[(String, String)]) -> Result<(), DialError> {
    let bad = |(name, value): &&(String, String)| {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b);
        name.is_empty() || !name.bytes().all(token) || value.chars().any(char::is_control)
    };
    headers
        .iter()
        .find(bad)
        .map_or(Ok(()), |(name, _)| Err(DialError::Header(name.escape_default().to_string())))
}

/// Where the call goes, and how.
async fn target(dial: &Dial) -> Result<(SocketAddr, Transport), DialError> {
    let uri = Uri::parse(dial.uri.as_bytes()).map_err(|_| DialError::Uri(dial.uri.clone()))?;
    match uri.scheme() {
        Scheme::Sip => {}
        Scheme::Sips => return Err(DialError::NotYet("SIP over TLS")),
        _ => return Err(DialError::Uri(dial.uri.clone())),
    }
    let transport = match (dial.transport, uri.param("transport").as_deref()) {
        (Some(transport), _) => transport,
        (None, Some(tcp)) if tcp.eq_ignore_ascii_case("tcp") => Transport::Tcp,
        (None, Some(tls)) if tls.eq_ignore_ascii_case("tls") => Transport::Tls,
        (None, _) => Transport::Udp,
    };
    if transport == Transport::Tls {
        return Err(DialError::NotYet("SIP over TLS"));
    }
    if let Some(via) = dial.via {
        return Ok((via, transport));
    }
    let host = uri.host().trim_matches(['[', ']']);
    let port = uri.port().unwrap_or(5060);
    let mut found = tokio::net::lookup_host((host, port)).await?;
    found.next().map(|to| (to, transport)).ok_or_else(|| DialError::NoAddress(host.to_owned()))
}

/// The address of ours that packets to `to` leave from.
fn facing(bind: IpAddr, to: SocketAddr) -> io::Result<IpAddr> {
    if !bind.is_unspecified() {
        return Ok(bind);
    }
    let any: SocketAddr = if to.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
    let probe = UdpSocket::bind(any)?;
    probe.connect(to)?;
    Ok(probe.local_addr()?.ip())
}

#[cfg(test)]
mod tests;
