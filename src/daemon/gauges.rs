//! What is looked at from time to time: how full the node is, and whether it makes progress.
#![allow(clippy::disallowed_methods)] // a shell: it looks every so often

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use nix::sys::resource::{UsageWho, getrusage};

use super::cores::Cores;
use super::overload::{Overload, Used};
use crate::api::{Live, Node};
use crate::call::admission::{Admission, InUse};
use crate::call::{self, Bot};
use crate::media::Engine;
use crate::route::Target;
use crate::sip::{self, Gate};
use crate::stream::UrlLimits;
use crate::telemetry::{metrics, process};

/// Between two looks.
const EVERY: Duration = Duration::from_millis(200);
/// The share of RTP ports kept back for calls that are being set up: one in so many.
const RESERVE: usize = 20;

/// What is looked at.
pub(super) struct Watched {
    pub(super) node: String,
    pub(super) bots: Mutex<Vec<String>>,
    pub(super) admission: Admission,
    pub(super) engine: Engine,
    pub(super) alive: Arc<AtomicBool>,
    pub(super) cores: Cores,
    pub(super) overload: Mutex<Overload>,
}

impl Watched {
    /// Whether new calls are taken; where they are not, what is full.
    fn gate(&self, used: &InUse) -> (Gate, &'static str) {
        let few_ports = self.engine.ports_free() <= self.engine.ports_total() / RESERVE;
        let mark = self.overload.lock().unwrap_or_else(PoisonError::into_inner).reached();
        match (used, mark) {
            (InUse { draining: true, .. }, _) => (Gate::Draining, "draining"),
            _ if used.all_calls >= used.calls_limit => (Gate::Full, "calls"),
            _ if few_ports => (Gate::Full, "media_ports"),
            (_, Some(mark)) => (Gate::Full, mark.as_str()),
            (_, None) => (Gate::Open, ""),
        }
    }

    /// Looks at what the process uses of the machine, once a second.
    fn look(&self, now: Instant) {
        let mut overload = self.overload.lock().unwrap_or_else(PoisonError::into_inner);
        if !overload.is_due(now) {
            return;
        }
        if let Some(used) = used() {
            overload.look(now, used);
        }
    }

    /// From now on this is the mark of processor time.
    pub(super) fn set_cpu_mark(&self, percent: u8) {
        *self.overload.lock().unwrap_or_else(PoisonError::into_inner) = Overload::new(percent);
    }

    /// From now on these are the bots.
    pub(super) fn set_bots(&self, config: &call::Config) {
        *self.bots.lock().unwrap_or_else(PoisonError::into_inner) = bots(config);
    }

    fn publish(&self, used: &InUse) {
        metrics::calls_limit(used.calls_limit);
        metrics::resource("calls", used.all_calls as usize, used.calls_limit as usize);
        metrics::resource("streams", used.all_streams as usize, used.streams_limit as usize);
        for (trunk, calls) in &used.calls {
            metrics::calls_active(trunk, *calls);
        }
        for (account, streams) in &used.streams {
            metrics::streams_active(account, *streams);
        }
        self.cores.publish(Instant::now(), &self.engine);
        metrics::media_ports(self.engine.ports_free(), self.engine.ports_total());
    }
}

impl Node for Watched {
    fn ready(&self) -> Result<(), String> {
        match self.gate(&self.admission.in_use()) {
            (Gate::Open, _) => Ok(()),
            (Gate::Full, what) => Err(format!("full: {what}")),
            (Gate::Draining, _) => Err("draining".to_owned()),
        }
    }

    fn alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed)
    }

    fn live(&self) -> Live {
        let used = self.admission.in_use();
        self.publish(&used);
        Live {
            node: self.node.clone(),
            calls: (used.all_calls, used.calls_limit),
            streams: (used.all_streams, used.streams_limit),
            ports: (self.engine.ports_free(), self.engine.ports_total()),
            trunks: used.calls,
            accounts: used.streams,
            bots: self.bots.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

/// What this process uses; nothing where the system does not tell.
fn used() -> Option<Used> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let time = |at: nix::sys::time::TimeVal| {
        Duration::from_micros(u64::try_from(at.tv_sec() * 1_000_000 + at.tv_usec()).unwrap_or(0))
    };
    Some(Used {
        cpu: time(usage.user_time()) + time(usage.system_time()),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        descriptors: process::descriptors()?,
    })
}

/// Bots of the routes and flows by host.
pub(super) fn bots(config: &call::Config) -> Vec<String> {
    let urls = config.routes.routes.iter().flat_map(|route| match &route.target {
        Target::Bot(urls) => urls.as_slice(),
        Target::Flow(_) | Target::Reject(_) => &[],
    });
    let of_flows = config.flows.values().flat_map(|flow| flow.program.urls());
    let mut bots: Vec<String> = urls
        .chain(of_flows)
        .filter_map(|url| Bot::parse(url, UrlLimits::DEFAULT).ok())
        .map(|bot| bot.host().to_owned())
        .collect();
    bots.sort();
    bots.dedup();
    bots
}

/// Tells signalling when the node is full, so that OPTIONS says so before a call is lost (sip-trunk.md section 16).
pub(super) async fn pulse(
    watched: Arc<Watched>,
    commands: mpsc::Sender<sip::Command>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut told = Gate::Open;
    loop {
        let used = watched.admission.in_use();
        watched.look(Instant::now());
        let (gate, what) = watched.gate(&used);
        watched.publish(&used);
        if gate != told && commands.send(sip::Command::Gate(gate)).await.is_ok() {
            match gate {
                Gate::Full => tracing::warn!(cause = what, "the node is full: new calls get 503"),
                Gate::Open => tracing::info!("the node takes calls again"),
                Gate::Draining => {}
            }
            told = gate;
        }
        watched.alive.store(!commands.is_closed(), Ordering::Relaxed);
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = stopped.wait_for(|stop| *stop) => return,
        }
    }
}
