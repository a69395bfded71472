//! What is looked at from time to time: how full the node is, and whether it makes progress.
#![allow(clippy::disallowed_methods)] // a shell: it looks every so often

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::cores::Cores;
use crate::api::{Live, Node};
use crate::call;
use crate::call::admission::{Admission, InUse};
use crate::media::Engine;
use crate::route::Target;
use crate::sip::{self, Gate};
use crate::stream::BotUrl;
use crate::telemetry::metrics;

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
}

impl Watched {
    fn gate(&self, used: &InUse) -> Gate {
        let few_ports = self.engine.ports_free() <= self.engine.ports_total() / RESERVE;
        match used {
            InUse { draining: true, .. } => Gate::Draining,
            _ if used.all_calls >= used.calls_limit || few_ports => Gate::Full,
            _ => Gate::Open,
        }
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
            Gate::Open => Ok(()),
            Gate::Full => Err("full".to_owned()),
            Gate::Draining => Err("draining".to_owned()),
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

/// Bots of the routes by host.
pub(super) fn bots(config: &call::Config) -> Vec<String> {
    let host = |route: &crate::route::Route| match &route.target {
        Target::Bot(url) => BotUrl::parse(url).ok().map(|url| url.host().to_owned()),
        Target::Flow(_) | Target::Reject(_) => None,
    };
    let mut bots: Vec<String> = config.routes.routes.iter().filter_map(host).collect();
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
        let gate = watched.gate(&used);
        watched.publish(&used);
        if gate != told && commands.send(sip::Command::Gate(gate)).await.is_ok() {
            told = gate;
        }
        watched.alive.store(!commands.is_closed(), Ordering::Relaxed);
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = stopped.wait_for(|stop| *stop) => return,
        }
    }
}
