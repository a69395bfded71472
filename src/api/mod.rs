//! What the node says over HTTP: the front door. `/metrics`, `/healthz`, `/readyz`, and `/`, a page for people.
//!
//! ```text
//!  door (256 connections, 16 KiB and 10 s a request) ──► guard (loopback or allowed) ──► health · metrics · page
//!                                                                                          ▲
//!                                                             `Node`: what is asked of the running daemon
//! ```
//!
//! What it deliberately does not know: legs, ports, and who the daemon is; it asks a `Node`.

mod door;
mod health;
mod metrics;
mod page;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use ipnet::IpNet;
use tokio::net::TcpListener;

use door::{Door, Peer};

/// What the API asks of the running node. Every answer is given at once, from values that are there.
pub trait Node: Send + Sync + 'static {
    /// Whether calls are taken; if not, the reason in a few words: `draining`, `full`, `no listener`.
    ///
    /// # Errors
    /// The reason.
    fn ready(&self) -> Result<(), String>;

    /// Whether a restart would not help: signalling, media and timers make progress.
    fn alive(&self) -> bool;

    /// What is on the line, for the page. Gauges that are not kept up to date are set here, too.
    fn live(&self) -> Live;
}

/// What is on the line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// Name of the node.
    pub node: String,
    /// Calls, and how many there may be.
    pub calls: (u32, u32),
    /// Streams to bots, and how many there may be.
    pub streams: (u32, u32),
    /// RTP ports free, and how many there are.
    pub ports: (usize, usize),
    /// Trunks and their calls.
    pub trunks: Vec<(String, u32)>,
    /// Accounts and their streams.
    pub accounts: Vec<(String, u32)>,
    /// Bots by host.
    pub bots: Vec<String>,
}

/// A socket could not be had.
#[derive(Debug, thiserror::Error)]
#[error("http.listen: {address} cannot be listened on: {source}")]
pub struct Taken {
    /// Which.
    pub address: SocketAddr,
    /// Why.
    pub source: std::io::Error,
}

/// Opens every socket of `http.listen`.
///
/// # Errors
/// The first that cannot be had.
pub async fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, Taken> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for &address in addresses {
        let listener = TcpListener::bind(address).await.map_err(|source| Taken { address, source })?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Answers on this listener until `stop` is done; what is being answered then is finished.
///
/// # Errors
/// When the listener breaks.
pub async fn serve<N: Node>(
    listener: TcpListener,
    node: Arc<N>,
    allow: Vec<IpNet>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let service = router(node, allow).into_make_service_with_connect_info::<Peer>();
    axum::serve(Door::new(listener), service).with_graceful_shutdown(stop).await
}

fn router<N: Node>(node: Arc<N>, allow: Vec<IpNet>) -> Router {
    let open = Router::new()
        .route("/metrics", get(metrics::metrics::<N>))
        .route("/healthz", get(health::alive::<N>))
        .route("/readyz", get(health::ready::<N>))
        .route_layer(from_fn_with_state(Arc::new(allow), allowed));
    let people = Router::new().route("/", get(page::page::<N>)).route_layer(from_fn(near));
    open.merge(people).with_state(node)
}

/// Metrics and health are open on loopback and to `http.metrics_allow`.
async fn allowed(
    State(allow): State<Arc<Vec<IpNet>>>,
    peer: ConnectInfo<Peer>,
    ask: Request,
    next: Next,
) -> Response {
    let address = peer.0.0.ip().to_canonical();
    if address.is_loopback() || allow.iter().any(|net| net.contains(&address)) {
        next.run(ask).await
    } else {
        forbidden()
    }
}

/// The page is for those who are on this machine; a foreign page that leads a browser here by a name of its own
/// is not.
async fn near(peer: ConnectInfo<Peer>, ask: Request, next: Next) -> Response {
    let host = ask.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if peer.0.0.ip().to_canonical().is_loopback() && is_own_name(host) {
        next.run(ask).await
    } else {
        forbidden()
    }
}

fn is_own_name(host: &str) -> bool {
    let name =
        host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |(name, _)| name);
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn forbidden() -> Response {
    (StatusCode::FORBIDDEN, "not from this address\n").into_response()
}

#[cfg(test)]
mod tests;
