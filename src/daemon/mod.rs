//! Start order, gauges, drain and stop: knows everyone, decides no call.
//!
//! ```text
//!  call records ─► engine ─► bots' trust ─► SIP sockets ─► HTTP sockets ─► signalling ─► ready
//!  drain: the door closes (503) ─► calls go on ─► BYE to those left ─► signalling ─► engine ─► records
//! ```
//!
//! Whatever can be wrong with the surroundings (a taken port, an unreadable file) is found before the first call
//! (reliability R-114).
#![allow(clippy::disallowed_methods)] // a shell: it waits for calls to end

mod cores;
mod gauges;
mod heap;
mod overload;
mod reload;
mod serve;
pub mod signal;
pub mod systemd;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::call::Request;
use crate::call::admission::Admission;
use crate::call::io::{Desk, Wires};
use crate::call::switchboard::Switchboard;
use crate::config::{Config, StreamTls};
use crate::ids::Entropy;
use crate::media::{Engine, EngineError};
use crate::sip::io::{Tls, TlsError};
use crate::sip::{self, Transport};
use crate::stream::io::{Connector, Lanes, Trace, Trust, TrustError};
use crate::{api, fetch, notify};

pub use reload::ReloadError;
pub use serve::run;

/// Commands to signalling that may wait.
const COMMANDS: usize = 4096;
/// How long calls that were told to end may take for it: BYE, `stop` and a bot's close frame.
const LAST_CALLS: Duration = Duration::from_secs(6);

/// Why the daemon did not start. One line each; exit code 3.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Call records cannot be written.
    #[error("node.state_dir: {path}: {source}")]
    Records {
        /// Where.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The engine did not start.
    #[error("media: {0}")]
    Engine(#[from] EngineError),
    /// The system refused what a lane of streams waits by.
    #[error("stream: {0}")]
    Lanes(std::io::Error),
    /// A certificate or key cannot be used.
    #[error("stream: {0}")]
    Trust(#[from] TrustError),
    /// A certificate of SIP cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A SIP socket could not be had.
    #[error("sip.listen: {0}")]
    Sip(#[from] std::io::Error),
    /// An HTTP socket could not be had.
    #[error("{0}")]
    Http(#[from] api::Taken),
}

/// Who looks on.
#[derive(Clone, Default)]
pub struct Onlookers {
    /// Sees every SIP message.
    pub sip: Option<sip::io::Trace>,
    /// Sees every message on a bot's socket.
    pub stream: Option<Trace>,
}

/// The daemon while it runs.
pub struct Running {
    /// Where SIP is listened for, ports as they were given.
    pub sip: Vec<(Transport, SocketAddr)>,
    /// Where HTTP is.
    pub http: Vec<SocketAddr>,
    /// Who is on the line.
    pub board: Switchboard,
    /// Who may come in.
    pub admission: Admission,
    /// Audio.
    pub engine: Engine,
    /// What it runs by.
    config: Config,
    tls: Option<Tls>,
    connector: Arc<Connector>,
    fetch: Arc<fetch::Client>,
    watched: Arc<gauges::Watched>,
    commands: mpsc::Sender<sip::Command>,
    desk: Arc<Desk>,
    signalling: JoinHandle<sip::Endpoint>,
    records: JoinHandle<()>,
    servers: Vec<JoinHandle<std::io::Result<()>>>,
    pulse: JoinHandle<()>,
    alive: Arc<AtomicBool>,
    stop: watch::Sender<bool>,
}

/// Starts everything on this runtime.
///
/// # Errors
/// The first thing that could not be had; what was started before it is stopped by being dropped.
pub async fn start(config: Config, onlookers: Onlookers) -> Result<Running, StartError> {
    let kept = config.clone();
    let Config { node, listen, sip_dscp, sip_limits, sip_tls, sip, media, call, stream_tls, http, .. } =
        config;
    let records_dir = node.state_dir.join("cdr");
    let (lines, records) = notify::cdr::start(&records_dir)
        .map_err(|source| StartError::Records { path: records_dir, source })?;
    let connector = Arc::new(Connector::new(&trust(&stream_tls))?);
    let fetch = Arc::new(fetch::Client::new(stream_tls.ca_file.as_deref())?);
    let tls = sip_tls.as_ref().map(Tls::read).transpose()?;
    let mut sockets = sip::io::Sockets::bind_with(&listen, tls.clone())?;
    sockets.set_dscp(sip_dscp);
    sockets.set_limits(sip_limits);
    let listeners = api::bind(&http.listen).await?;
    let board = Switchboard::default();
    let (lanes, streams) = Lanes::new(media.cores.len()).map_err(StartError::Lanes)?;
    let engine = Engine::start(media, streams, {
        let board = board.clone();
        move |key, event| Desk::heard(&board, key, event)
    })?;
    let admission = Admission::new(call.limits.clone(), trunk_limits(&call));
    let (commands, queue) = mpsc::channel(COMMANDS);
    let wires = Wires {
        sip: commands.clone(),
        engine: engine.clone(),
        connector: Arc::clone(&connector),
        lanes,
        fetch: Arc::clone(&fetch),
        cdrs: lines,
        board: board.clone(),
        admission: admission.clone(),
        trace: onlookers.stream,
    };
    let bots = gauges::bots(&call);
    let desk = Arc::new(Desk::new(wires, call, Entropy::from_os()));
    let sip_addresses = sockets.local_addrs().iter().map(|at| (at.transport, at.addr)).collect();
    let endpoint = sip::Endpoint::new(sip, Entropy::from_os());
    let signalling = tokio::spawn({
        // the desk commands signalling: held by it, signalling would never end
        let desk = Arc::downgrade(&desk);
        let told = move |event| {
            if let Some(desk) = desk.upgrade() {
                desk.signalled(event);
            }
        };
        sip::io::drive(endpoint, sockets, queue, told, onlookers.sip)
    });
    let (stop, stopped) = watch::channel(false);
    let alive = Arc::new(AtomicBool::new(true));
    let watched = Arc::new(gauges::Watched {
        node: node.name,
        bots: std::sync::Mutex::new(bots),
        admission: admission.clone(),
        engine: engine.clone(),
        alive: Arc::clone(&alive),
        cores: cores::Cores::new(Instant::now()),
        overload: std::sync::Mutex::new(overload::Overload::new(kept.cpu_percent)),
    });
    let http_addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
    let servers = listeners
        .into_iter()
        .map(|listener| {
            let mut stopped = stopped.clone();
            let until = async move {
                let _ = stopped.wait_for(|stop| *stop).await; // the sender gone is an end, too
            };
            tokio::spawn(api::serve(listener, Arc::clone(&watched), http.metrics_allow.clone(), until))
        })
        .collect();
    let pulse = tokio::spawn(gauges::pulse(Arc::clone(&watched), commands.clone(), stopped));
    Ok(Running {
        sip: sip_addresses,
        http: http_addresses,
        board,
        admission,
        engine,
        config: kept,
        tls,
        connector,
        fetch,
        watched,
        commands,
        desk,
        signalling,
        records,
        servers,
        pulse,
        alive,
        stop,
    })
}

/// Whom streams trust.
fn trust(tls: &StreamTls) -> Trust {
    let client = tls.client_certificate.clone().zip(tls.client_key.clone());
    Trust { ca_file: tls.ca_file.clone(), client }
}

/// Name, `max_calls` and `max_cps` of each trunk.
fn trunk_limits(call: &crate::call::Config) -> Vec<(String, Option<u32>, Option<u32>)> {
    call.trunks.iter().map(|trunk| (trunk.name.clone(), trunk.max_calls, trunk.max_cps)).collect()
}

impl Running {
    /// Whether signalling, media and timers make progress.
    pub fn alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed) && !self.signalling.is_finished()
    }

    /// Refuses new calls from now on (503, Retry-After 30); calls go on.
    pub async fn close_door(&self) {
        self.admission.drain(true);
        let _ = self.commands.send(sip::Command::Gate(sip::Gate::Draining)).await;
    }

    /// Drains: no new calls; those that are up go on, at most for `node.drain_timeout` or until `hurry` is done.
    pub async fn drain(&self, hurry: impl Future<Output = ()>) {
        self.close_door().await;
        tokio::select! {
            () = self.empty(self.config.node.drain_timeout) => {}
            () = hurry => {}
        }
    }

    async fn empty(&self, at_most: Duration) {
        let until = Instant::now() + at_most;
        while !self.board.is_empty() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends what is left with BYE and returns when everything is written and given back: what signalling still
    /// held, which is nothing but transactions that absorb retransmissions.
    pub async fn stop(self) -> sip::Load {
        self.close_door().await;
        self.board.ask_all(Request::Shutdown);
        self.empty(LAST_CALLS).await;
        let Self { commands, desk, signalling, records, servers, pulse, engine, stop, .. } = self;
        stop.send_replace(true);
        let _ = pulse.await;
        for server in servers {
            server.abort(); // a client that keeps its connection open keeps nothing else
        }
        drop((commands, desk)); // signalling ends when nobody can command it any more
        let held = signalling.await.map(|endpoint| endpoint.load()).unwrap_or_default();
        engine.stop().await;
        let _ = records.await;
        held
    }
}
