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
mod desk;
pub(in crate::lab) mod dial;
pub(in crate::lab) mod guard;
mod heard;
pub(in crate::lab) mod line;
mod mouth;
mod pacer;
pub(in crate::lab) mod wire;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub use call::{Call, Record, Times};
pub use dial::{Dial, DialError, MediaVia};
pub use heard::{Arrival, Heard, PLAYOUT, Quality};
pub use line::Audio;
pub use mouth::Spoken;
pub use wire::SipSeen;

use crate::audio::G711;
use crate::ids::{Entropy, LegId, TrunkId};
use crate::rtp::sender::Sender;
use crate::sdp::{self, Master, Session, Wish};
use crate::sip::io::{Tls, drive};
use crate::sip::{Command, Destination, Transport};
use call::Progress;
use desk::Desk;
use dial::{check_headers, facing, target};
use line::Line;
use mouth::Terms;
use pacer::{Order, Pacer};
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
    /// With what TLS connections are made, by both sides: with a certificate of our own. Absent: there is no calling
    /// over TLS.
    pub tls: Option<Tls>,
    /// Names one of which a server's certificate has to be for, besides its address.
    pub tls_names: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bind: Ipv4Addr::UNSPECIFIED.into(),
            port: 0,
            t1: Duration::from_millis(500),
            user_agent: concat!("StreamKit-caller/", env!("CARGO_PKG_VERSION")).to_owned(),
            keep_messages: true,
            tls: None,
            tls_names: Vec::new(),
        }
    }
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
        if transport == Transport::Tls && inner.config.tls.is_none() {
            return Err(DialError::NoTls);
        }
        let ip = facing(inner.config.bind, to)?;
        let pair = line::pair(ip)?;
        let media = pair.rtp.local_addr()?;
        let leg = LegId(inner.legs.fetch_add(1, Relaxed));
        let (session, rtp, chance) = inner.chance();
        let terms = Terms { law: G711::Mu, payload_type: 0, telephone_event: None, ptime_ms: 20 };
        let line = Line::new(pair, terms, rtp, dial.ladder.clone(), chance);
        let voiced = line.voiced.clone();
        inner.pacer.order(Order::Open(leg.0, Box::new(line)));
        let seen = Arc::<Mutex<Vec<SipSeen>>>::default();
        let (events, told) = mpsc::channel(256);
        let sink = Sink::new(events, seen.clone(), dial.ladder.clone());
        let (progress, watched) = watch::channel(Progress::default());
        let (asks, asked) = mpsc::channel(4);
        let mut desk = Desk {
            inner: inner.clone(),
            leg,
            wish: wish(&dial, media),
            session,
            media_via: dial.media_via,
            ptime: dial.ptime,
            late: dial.late_offer,
            offered: false,
            changing: None,
            progress,
        };
        let body = (!dial.late_offer).then(|| desk.offer());
        tokio::spawn(desk.attend(told, asked));
        let command = Box::new(crate::sip::Dial {
            leg,
            trunk: TrunkId(0),
            uri: dial.uri,
            to: Destination::Address(to, transport),
            from: dial.from.unwrap_or_else(|| format!("sip:caller@{}", SocketAddr::new(ip, inner.port))),
            headers: dial.headers,
            body,
            ring_limit: Duration::from_secs(180),
            credentials: dial.credentials,
        });
        let turn = inner.turn.lock().await;
        inner.exchange.expect(leg, sink);
        inner.command(Command::Dial(command)).await;
        drop(turn);
        let keys_by_info = dial.keys_by_info;
        Ok(Call { inner: inner.clone(), leg, media, watched, seen, voiced, asks, keys_by_info })
    }
}

/// What we can do in this call, audio at `media`.
fn wish(dial: &Dial, media: SocketAddr) -> Wish {
    let shown = dial.media_via.map_or(media, |via| via.far);
    let srtp = if dial.srtp { sdp::Srtp::Required } else { sdp::Srtp::Off };
    Wish { codecs: dial.codecs.clone(), telephone_event: dial.telephone_event, srtp, ..Wish::new(shown) }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.wire.abort();
    }
}

impl Inner {
    fn chance(&self) -> (Session, Sender, Entropy) {
        let mut entropy = self.entropy.lock().unwrap_or_else(PoisonError::into_inner);
        let session = Session::new(entropy.u32());
        let rtp = Sender::new(entropy.u32(), entropy.u32() as u16, entropy.u32());
        (session, rtp, entropy.fork())
    }

    /// The next key of SRTP.
    fn secret(&self) -> Master {
        let mut entropy = self.entropy.lock().unwrap_or_else(PoisonError::into_inner);
        Master(std::array::from_fn(|_| entropy.u32() as u8))
    }

    /// A caller whose task is gone does nothing any more.
    async fn command(&self, command: Command) {
        drop(self.commands.send(command).await);
    }
}

#[cfg(test)]
mod tests;
