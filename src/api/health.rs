//! Liveness and readiness, which are different things (reliability R-141).

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use super::Node;

/// `/healthz`: fails only when a restart would help.
pub(super) async fn alive<N: Node>(State(node): State<Arc<N>>) -> (StatusCode, &'static str) {
    if node.alive() { (StatusCode::OK, "alive\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "stuck\n") }
}

/// `/readyz`: 200 while calls are taken, else 503 with the reason.
pub(super) async fn ready<N: Node>(State(node): State<Arc<N>>) -> (StatusCode, String) {
    match node.ready() {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}
