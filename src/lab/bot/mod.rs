//! A voice bot to point StreamKit at: a WebSocket server that plays a script, keeps what it hears, and finds
//! fault with what is sent to it.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use streamkit::lab::bot::{Bot, Config, Script};
//! let bot = Bot::start(Config { script: Script::echo(), tls: true, ..Config::default() }).await?;
//! println!("wss://{}/media, trusted by {:?}", bot.address(), bot.certificate());
//! let seen = bot.until(|calls| calls.first().is_some_and(|call| call.ended.is_some())).await;
//! assert!(seen[0].faults.is_empty());
//! # Ok(()) }
//! ```

mod dialogue;
mod io;
pub mod message;
mod order;
mod script;
mod tls;
mod transcript;

use std::fmt;
use std::io::Result;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use dialogue::Said;
pub use message::{FromStreamKit, Received, Start};
pub use order::Order;
pub use script::{Script, ScriptError, Step, Until};
pub use tls::Certificate;
pub use transcript::{End, Transcript, Upgrade};

/// What a bot keeps to.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// `wss://` with a certificate of its own making for `localhost` and the address.
    pub tls: bool,
    /// What it does.
    pub script: Script,
    /// How it behaves before the upgrade, and after `stop`.
    pub manners: Manners,
    /// Folder for what it hears, one WAV a session, named by the StreamSID.
    pub record: Option<PathBuf>,
    /// Told of everything.
    pub observer: Observer,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            tls: false,
            script: Script::default(),
            manners: Manners::default(),
            record: None,
            observer: Observer::default(),
        }
    }
}

/// Good manners by default; a test makes them bad.
#[derive(Clone, Debug, Default)]
pub struct Manners {
    /// HTTP statuses the first connections are refused with, in order; 101 lets one pass.
    pub refuse: Vec<u16>,
    /// Waits so long before it answers the upgrade.
    pub delay: Duration,
    /// Breaks every connection as soon as it is accepted.
    pub hang_up: bool,
    /// Answers `stop` with nothing, not even to a close.
    pub ignore_stop: bool,
    /// Sends every mark it gets straight back.
    pub echo_marks: bool,
}

/// Told of everything a bot sees and does, as it happens; must not wait.
#[derive(Clone, Default)]
pub struct Observer(Option<Arc<Told>>);

type Told = dyn Fn(&BotEvent) + Send + Sync;

impl Observer {
    /// Calls this.
    pub fn new(told: impl Fn(&BotEvent) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(told)))
    }

    fn tell(&self, event: &BotEvent) {
        if let Some(told) = &self.0 {
            told(event);
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Observer" } else { "no Observer" })
    }
}

/// Something a bot saw or did.
#[derive(Clone, Debug)]
pub struct BotEvent {
    /// Which of its connections, from 0.
    pub session: usize,
    /// When.
    pub at: Instant,
    /// What.
    pub what: What,
}

/// What a bot saw or did.
#[derive(Clone, Debug)]
pub enum What {
    /// A connection was accepted.
    Accepted(SocketAddr),
    /// TLS or the upgrade failed, or was refused with a status.
    Refused(String),
    /// The upgrade is done.
    Opened(Upgrade),
    /// A message came.
    Received(Received),
    /// A binary message of so many octets came: StreamKit never sends one.
    Binary(usize),
    /// A ping came; the pong goes out by itself.
    Ping,
    /// A message was written to the socket.
    Sent(Said),
    /// Something departs from the protocol.
    Fault(String),
    /// The connection is over.
    Ended(End),
}

/// A running bot; dropping it ends it and all its sessions.
#[derive(Debug)]
pub struct Bot {
    address: SocketAddr,
    certificate: Option<Certificate>,
    shared: Arc<Shared>,
    accept: JoinHandle<()>,
}

impl Bot {
    /// Opens the listener and begins to accept.
    ///
    /// # Errors
    /// What the system says of the listener, or a certificate that could not be made.
    pub async fn start(config: Config) -> Result<Self> {
        let listener = tokio::net::TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let certificate = config.tls.then(|| Certificate::for_address(address.ip())).transpose()?;
        let acceptor = certificate.as_ref().map(Certificate::acceptor).transpose()?;
        let shared = Arc::new(Shared::new(config.observer.clone()));
        let accept = tokio::spawn(io::accept(listener, acceptor, config, shared.clone()));
        Ok(Self { address, certificate, shared, accept })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address as a URL: `ws://127.0.0.1:9000/path`; `path` with its slash and query.
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.certificate.is_some() { "wss" } else { "ws" };
        format!("{scheme}://{}{path}", self.address)
    }

    /// Its certificate, when it speaks TLS.
    pub fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_ref()
    }

    /// What happened on each connection so far.
    pub fn transcripts(&self) -> Vec<Transcript> {
        self.shared.transcripts().clone()
    }

    /// Looks at what happened so far, without a copy of it.
    pub fn look<T>(&self, at: impl FnOnce(&[Transcript]) -> T) -> T {
        at(&self.shared.transcripts())
    }

    /// Waits until what happened satisfies `enough`, and gives it. The caller sets the deadline.
    pub async fn until(&self, enough: impl Fn(&[Transcript]) -> bool) -> Vec<Transcript> {
        let mut changed = self.shared.changed.subscribe();
        loop {
            changed.borrow_and_update();
            {
                let transcripts = self.shared.transcripts();
                if enough(&transcripts) {
                    return transcripts.clone();
                }
            }
            if changed.changed().await.is_err() {
                return self.transcripts();
            }
        }
    }
}

impl Drop for Bot {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

/// What all sessions of a bot share.
#[derive(Debug)]
struct Shared {
    observer: Observer,
    transcripts: Mutex<Vec<Transcript>>,
    changed: watch::Sender<()>,
}

impl Shared {
    fn new(observer: Observer) -> Self {
        Self { observer, transcripts: Mutex::default(), changed: watch::Sender::new(()) }
    }

    fn transcripts(&self) -> MutexGuard<'_, Vec<Transcript>> {
        self.transcripts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of a new session.
    fn open(&self) -> usize {
        let mut transcripts = self.transcripts();
        transcripts.push(Transcript::default());
        transcripts.len() - 1
    }

    fn tell(&self, session: usize, what: What) {
        let event = BotEvent { session, at: Instant::now(), what };
        self.observer.tell(&event);
        let media =
            matches!(&event.what, What::Received(r) if matches!(r.message, FromStreamKit::Media { .. }));
        self.transcripts()[session].note(event);
        // Audio alone wakes those who wait no more often than everything else does: ten times a second.
        if !media || self.transcripts()[session].frames().is_multiple_of(5) {
            self.changed.send_replace(());
        }
    }
}

#[cfg(test)]
mod tests;
