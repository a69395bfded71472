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

/// How full the tables of signalling are.
pub fn sip_load(transactions: usize, dialogs: usize, legs: usize) {
    metrics::gauge!("streamkit_sip_transactions").set(transactions as f64);
    metrics::gauge!("streamkit_sip_dialogs").set(dialogs as f64);
    metrics::gauge!("streamkit_sip_legs").set(legs as f64);
}
