//! `/metrics`: Prometheus text, OpenMetrics on request.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;

use super::Node;
use crate::telemetry::exposition::{Format, render};
use crate::telemetry::metrics as count;

/// Everything that is counted, with the gauges of this moment.
pub(super) async fn metrics<N: Node>(State(node): State<Arc<N>>, headers: HeaderMap) -> impl IntoResponse {
    let live = node.live();
    for (trunk, calls) in &live.trunks {
        count::calls_active(trunk, *calls);
    }
    for (account, streams) in &live.accounts {
        count::streams_active(account, *streams);
    }
    count::calls_limit(live.calls.1);
    count::resource("calls", live.calls.0 as usize, live.calls.1 as usize);
    count::resource("streams", live.streams.0 as usize, live.streams.1 as usize);
    count::media_ports(live.ports.0, live.ports.1);
    let format = Format::accepted(headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()));
    ([(header::CONTENT_TYPE, format.content_type())], render(format))
}
