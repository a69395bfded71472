//! Every metric in one table (operator.md section 6), and one function for each thing that is counted.
//! Labels come from configuration or from fixed lists, never from a call.

/// A SIP request came in or went out.
pub fn sip_request(transport: &'static str, direction: &'static str, method: &'static str) {
    metrics::counter!("streamkit_sip_requests_total", "transport" => transport, "direction" => direction, "method" => method)
        .increment(1);
}

/// A SIP response came in or went out.
pub fn sip_response(transport: &'static str, direction: &'static str, code: u16) {
    metrics::counter!("streamkit_sip_responses_total", "transport" => transport, "direction" => direction, "code" => code.to_string())
        .increment(1);
}

/// A SIP message was sent again.
pub fn sip_retransmission(transport: &'static str) {
    metrics::counter!("streamkit_sip_retransmissions_total", "transport" => transport).increment(1);
}

/// A SIP message or datagram was dropped without effect.
pub fn sip_dropped(transport: &'static str, cause: &'static str) {
    metrics::counter!("streamkit_sip_dropped_total", "transport" => transport, "cause" => cause).increment(1);
}

/// Something was wrong and taken all the same.
pub fn repair(cause: &'static str) {
    metrics::counter!("streamkit_repairs_total", "cause" => cause).increment(1);
}

/// Messages on streams: `direction` is `in` (of the bot) or `out`.
pub fn stream_messages(direction: &'static str, event: &'static str, count: u64) {
    metrics::counter!("streamkit_stream_messages_total", "direction" => direction, "event" => event)
        .increment(count);
}

/// Something on a stream was dropped or passed over.
pub fn stream_dropped(cause: &'static str, count: u64) {
    metrics::counter!("streamkit_stream_dropped_total", "cause" => cause).increment(count);
}

/// A stream ended.
pub fn stream_outcome(status: &'static str, disconnected_by: &'static str, disposition: &'static str) {
    metrics::counter!("streamkit_stream_outcomes_total", "status" => status, "disconnected_by" => disconnected_by, "disposition" => disposition)
        .increment(1);
}
