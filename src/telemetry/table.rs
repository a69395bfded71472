//! The table of every metric this release counts (operator.md section 6): name, kind, help, labels with
//! the values they may take. What is not in this table is not exported.

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size, with these upper bounds.
    Histogram(&'static [f64]),
}

/// Labels of a metric and the values they take. The series of a metric are all combinations of its axes.
#[derive(Clone, Copy, Debug)]
pub enum Axis {
    /// A label with a fixed list of values.
    Of(&'static str, &'static [&'static str]),
    /// Two labels of which only some pairs happen.
    Pairs(&'static str, &'static str, &'static [(&'static str, &'static str)]),
    /// Three labels of which only some rows happen.
    Triples([&'static str; 3], &'static [[&'static str; 3]]),
    /// `trunk`: the names of the configured trunks.
    Trunk,
    /// `account`: the accounts named in the configuration.
    Account,
    /// `bot`: hosts of the bots named in the configuration.
    Bot,
    /// `bot`: the same bots one by one, as scheme, host, port and path.
    BotAddress,
    /// `core`: the media cores.
    Core,
    /// `trunk` and `target`: what the configured trunks call; no series before the first is looked at.
    Target,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Full name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// One sentence for whoever meets it on a dashboard.
    pub help: &'static str,
    /// Its labels.
    pub axes: &'static [Axis],
}

use Axis::{Account, Bot, BotAddress, Core, Of, Pairs, Target, Triples, Trunk};
use Kind::{Counter, Gauge, Histogram};

const TRANSPORT: Axis = Of("transport", &["udp", "tcp", "tls"]);
const DIRECTION: Axis = Of("direction", &["in", "out"]);

/// Methods that have a series of their own; any other is `OTHER`.
pub const METHODS: &[&str] = &[
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "OPTIONS",
    "UPDATE",
    "PRACK",
    "INFO",
    "NOTIFY",
    "REFER",
    "REGISTER",
    "SUBSCRIBE",
    "MESSAGE",
    "PUBLISH",
    "OTHER",
];

/// Status codes that have a series from the start.
pub const CODES: &[&str] = &[
    "100", "180", "183", "200", "202", "400", "401", "403", "404", "405", "407", "408", "413", "414", "415",
    "416", "420", "422", "480", "481", "482", "483", "486", "487", "488", "491", "500", "501", "502", "503",
    "504", "505", "513", "603",
];

/// Why a SIP message came to nothing.
pub const SIP_DROPS: &[&str] = &[
    "not_sip",
    "start_line",
    "version",
    "uri",
    "uri_too_long",
    "scheme",
    "header_name",
    "line_ends",
    "unfinished",
    "head_too_large",
    "too_many_fields",
    "line_too_long",
    "no_via",
    "via",
    "from",
    "to",
    "call_id",
    "cseq",
    "cseq_method",
    "repeated_header",
    "id_too_long",
    "too_many_hops",
    "max_forwards",
    "number",
    "contact",
    "content_length",
    "no_content_length",
    "body_too_large",
    "message_too_large",
    "stranger",
    "flood",
    "unmatched_response",
    "stray_ack",
    "no_ack",
    "forks",
    "transactions",
    "connection",
    "connections",
    "destination",
    "not_sent",
    "outbox",
    "deadline",
    "no_way_back",
    "authentication",
    "handshake",
    "handshakes",
    "certificate",
    "waited",
    "kernel",
];

/// What was wrong in a SIP message and taken all the same.
pub const REPAIRS: &[&str] =
    &["udp_oversize", "header_cut", "optional_header", "control_characters", "progress_queue"];

/// How a call went, and why: only these pairs happen.
pub const ENDINGS: &[(&str, &str)] = &[
    ("answered", "bye"),
    ("answered", "hangup"),
    ("answered", "flow_end"),
    ("answered", "bot_closed"),
    ("answered", "bot_error"),
    ("answered", "connection_lost"),
    ("answered", "connect_failed"),
    ("answered", "bad_url"),
    ("answered", "throttled"),
    ("answered", "stopped"),
    ("answered", "duration_limit"),
    ("answered", "protocol_error"),
    ("answered", "call_limit"),
    ("answered", "media_timeout"),
    ("answered", "ack_timeout"),
    ("answered", "session_expired"),
    ("answered", "no_sdp_answer"),
    ("answered", "signalling_lost"),
    ("answered", "shutdown"),
    ("answered", "internal"),
    ("cancelled", "cancel"),
    ("refused", "account_missing"),
    ("refused", "account_unknown"),
    ("refused", "account_ill_formed"),
    ("refused", "no_route"),
    ("refused", "route_rejects"),
    ("refused", "sdp_too_big"),
    ("refused", "sdp_malformed"),
    ("refused", "body_type"),
    ("refused", "sdp_absent"),
    ("refused", "sdp_limit"),
    ("refused", "no_audio"),
    ("refused", "rtp_profile"),
    ("refused", "srtp_key"),
    ("refused", "srtp_without_tls"),
    ("refused", "prack_timeout"),
    ("refused", "session_interval"),
    ("refused", "no_codec"),
    ("refused", "media_address"),
    ("refused", "media_family"),
    ("refused", "media_multicast"),
    ("refused", "no_rtp_port"),
    ("refused", "hangup"),
    ("refused", "bot_unavailable"),
    ("refused", "bot_timeout"),
    ("refused", "throttled"),
    ("refused", "limit_calls"),
    ("refused", "limit_rate"),
    ("refused", "trunk_limit_calls"),
    ("refused", "trunk_limit_rate"),
    ("refused", "limit_streams"),
    ("refused", "account_limit_streams"),
    ("refused", "draining"),
    ("refused", "signalling_lost"),
    ("refused", "internal"),
];

/// Why a packet of media was not taken or not sent.
pub const RTP_DROPS: &[(&str, &str)] = &[
    ("in", "foreign"),
    ("in", "malformed"),
    ("in", "unauthentic"),
    ("in", "replayed"),
    ("in", "duplicate"),
    ("in", "early"),
    ("in", "overrun"),
    ("in", "kernel"),
    ("out", "send_failed"),
];

/// Events on the bot's socket, by direction.
pub const STREAM_EVENTS: &[(&str, &str)] = &[
    ("out", "connected"),
    ("out", "start"),
    ("out", "media"),
    ("out", "dtmf"),
    ("out", "mark"),
    ("out", "stop"),
    ("in", "media"),
    ("in", "mark"),
    ("in", "clear"),
    ("in", "stop"),
    ("in", "other"),
];

/// Why something on the bot's socket came to nothing.
pub const STREAM_DROPS: &[&str] = &[
    "send_queue",
    "playout_full",
    "no_payload",
    "bad_payload",
    "nameless_mark",
    "too_many_marks",
    "nonsense",
    "rate",
    "wrong_stream",
    "no_dtmf_key",
];

/// Why nothing was fetched.
pub const FETCH_CAUSES: &[&str] = &[
    "dns",
    "forbidden",
    "refused",
    "dial",
    "timeout",
    "tls",
    "tls_expired",
    "tls_name",
    "tls_issuer",
    "http",
    "header_too_large",
    "body_too_large",
    "status",
    "redirects",
    "redirect",
    "internal",
];

/// The same, and that something was.
const FETCH_RESULTS: &[&str] = &{
    let mut results = ["ok"; FETCH_CAUSES.len() + 1];
    let (_, causes) = results.split_at_mut(1);
    causes.copy_from_slice(FETCH_CAUSES);
    results
};

/// What was wrong with the answer to a dynamic URL (agentstream.md section 3.3); with `sample_rate` it is taken all the same.
pub const ANSWER_CAUSES: &[&str] = &["not_json", "no_url", "bad_url", "over_limit", "sample_rate"];

/// Outcomes of a stream (agentstream.md section 10).
pub const OUTCOMES: &[[&str; 3]] = &[
    ["cancelled", "user", "caller_hangup_before_stream"],
    ["cancelled", "user", "caller_hangup_during_setup"],
    ["completed", "user", "caller_hangup"],
    ["completed", "bot", "bot_closed"],
    ["failed", "bot", "bot_error"],
    ["failed", "NA", "connection_lost"],
    ["failed", "NA", "connect_failed"],
    ["failed", "NA", "bad_url"],
    ["failed", "NA", "throttled"],
    ["completed", "NA", "stopped"],
    ["completed", "NA", "duration_limit"],
    ["completed", "NA", "shutdown"],
    ["failed", "bot", "protocol_error"],
];

/// Bounded things, each with its fill and its limit (reliability R-3).
pub const RESOURCES: &[&str] = &[
    "calls",
    "streams",
    "media_ports",
    "file_descriptors",
    "sip_transactions",
    "sip_connections",
    "sip_handshakes",
];

/// 1 ms to 32 s, doubling: times on a network.
const NETWORK: &[f64] =
    &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0];
const CALL: &[f64] = &[1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 14_400.0];
const JITTER: &[f64] = &[0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2];
const MOS: &[f64] = &[1.0, 2.0, 2.5, 3.0, 3.25, 3.5, 3.75, 4.0, 4.1, 4.2, 4.3, 4.4, 4.5];
const LATENESS: &[f64] =
    &[0.000_05, 0.0001, 0.000_25, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5];
const QUEUE: &[f64] = &[0.02, 0.06, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0];

const fn metric(name: &'static str, kind: Kind, axes: &'static [Axis], help: &'static str) -> Metric {
    Metric { name, kind, help, axes }
}

/// The table. `build_info`, `process_*` and `media_concealed_seconds_total` are written by `exposition`.
#[rustfmt::skip]
pub const TABLE: &[Metric] = &[
    metric("streamkit_calls_active", Gauge, &[Trunk], "Calls that are up or being set up."),
    metric("streamkit_streams_active", Gauge, &[Account], "Streams to bots that are open or being opened."),
    metric("streamkit_calls_limit", Gauge, &[], "Calls this node takes at most (limits.calls)."),
    metric("streamkit_calls_total", Counter, &[Trunk, Of("direction", &["inbound", "outbound"]), Pairs("outcome", "cause", ENDINGS)], "Calls that are over, by how they went and why."),
    metric("streamkit_call_setup_seconds", Histogram(NETWORK), &[Trunk], "INVITE received to final answer sent."),
    metric("streamkit_call_answer_seconds", Histogram(NETWORK), &[Trunk], "INVITE received to 200 sent, answered calls only."),
    metric("streamkit_call_duration_seconds", Histogram(CALL), &[Trunk], "200 to the end, answered calls only."),
    metric("streamkit_call_panics_total", Counter, &[], "Panics in the handling of one call, each ended that call only."),

    metric("streamkit_sip_requests_total", Counter, &[TRANSPORT, DIRECTION, Of("method", METHODS)], "SIP requests received and sent."),
    metric("streamkit_sip_responses_total", Counter, &[TRANSPORT, DIRECTION, Of("code", CODES)], "SIP responses received and sent."),
    metric("streamkit_sip_retransmissions_total", Counter, &[TRANSPORT], "SIP messages sent again."),
    metric("streamkit_sip_dropped_total", Counter, &[TRANSPORT, Of("cause", SIP_DROPS)], "SIP messages and datagrams dropped without effect."),
    metric("streamkit_sip_target_up", Gauge, &[Target], "Whether a target of a trunk answers our OPTIONS: 1 or 0."),
    metric("streamkit_repairs_total", Counter, &[Of("cause", REPAIRS)], "What was wrong and taken all the same."),
    metric("streamkit_resource_used", Gauge, &[Of("resource", RESOURCES)], "Fill of a bounded queue, table or pool."),
    metric("streamkit_resource_limit", Gauge, &[Of("resource", RESOURCES)], "Limit of a bounded queue, table or pool."),
    metric("streamkit_tasks", Gauge, &[], "Tasks of the control plane that are alive."),

    metric("streamkit_rtp_packets_total", Counter, &[DIRECTION], "RTP packets taken and sent."),
    metric("streamkit_rtp_bytes_total", Counter, &[DIRECTION], "Octets of RTP payload taken and sent."),
    metric("streamkit_rtp_lost_total", Counter, &[DIRECTION], "RTP packets that never came: to us, and by RTCP to the peers."),
    metric("streamkit_rtp_late_total", Counter, &[Of("direction", &["in"])], "RTP packets that came after their place was concealed."),
    metric("streamkit_rtp_dropped_total", Counter, &[Pairs("direction", "cause", RTP_DROPS)], "Media datagrams not taken or not sent."),
    metric("streamkit_rtp_jitter_seconds", Histogram(JITTER), &[Trunk], "Interarrival jitter of a call (RFC 3550 A.8), at its end."),
    metric("streamkit_rtp_round_trip_seconds", Histogram(NETWORK), &[Trunk], "Round trip told by RTCP, at the end of a call."),
    metric("streamkit_call_mos", Histogram(MOS), &[Trunk], "Estimated quality of what the caller sent us, at the end of a call."),

    metric("streamkit_media_tick_late_seconds", Histogram(LATENESS), &[Core], "How late a media core woke for its tick."),
    metric("streamkit_media_core_busy_ratio", Gauge, &[Core], "Share of time a media core worked."),
    metric("streamkit_media_ports_free", Gauge, &[], "RTP ports that a new call could take."),
    metric("streamkit_media_events_lost_total", Counter, &[], "Events a media core could not tell because its ring was full."),

    metric("streamkit_stream_connect_seconds", Histogram(NETWORK), &[Bot], "First attempt to the upgrade."),
    metric("streamkit_stream_breaker_state", Gauge, &[BotAddress], "Whether a bot is called as usual (0), tried by one call (1), or passed over for others (2)."),
    metric("streamkit_stream_first_audio_seconds", Histogram(NETWORK), &[Bot], "start to the bot's first audio."),
    metric("streamkit_stream_turn_seconds", Histogram(NETWORK), &[Bot], "End of the caller's speech to the bot's answer on the wire, at the end of the call."),
    metric("streamkit_stream_clear_seconds", Histogram(NETWORK), &[Bot], "clear received to silence on the wire, at the end of the call."),
    metric("streamkit_stream_messages_total", Counter, &[Pairs("direction", "event", STREAM_EVENTS)], "Messages on the bots' sockets."),
    metric("streamkit_stream_dropped_total", Counter, &[Of("cause", STREAM_DROPS)], "Messages or audio on the bots' sockets that came to nothing."),
    metric("streamkit_stream_outcomes_total", Counter, &[Triples(["status", "disconnected_by", "disposition"], OUTCOMES)], "Streams that are over."),
    metric("streamkit_playout_queue_seconds", Histogram(QUEUE), &[Bot], "Longest audio of the bot that waited, per stream."),
    metric("streamkit_playout_underruns_total", Counter, &[Bot], "Times the bot's audio ran dry within an utterance."),

    metric("streamkit_fetches_total", Counter, &[Of("result", FETCH_RESULTS)], "Errands to web servers that are over, by what became of them."),
    metric("streamkit_fetch_seconds", Histogram(NETWORK), &[], "Errands to web servers, from beginning to end."),
    metric("streamkit_fetch_answers_refused_total", Counter, &[Of("cause", ANSWER_CAUSES)], "Answers to dynamic URLs with something wrong."),

    metric("streamkit_call_mailbox_overflows_total", Counter, &[], "Calls ended because their mailbox was full."),
    metric("streamkit_cdr_failed_total", Counter, &[], "CDR lines that could not be written."),
    metric("streamkit_log_suppressed_total", Counter, &[], "Log lines held back because their cause repeats."),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_say_their_kind() {
        let mut seen = HashSet::new();
        for metric in TABLE {
            assert!(seen.insert(metric.name), "{} stands twice", metric.name);
            assert!(metric.name.starts_with("streamkit_"), "{}", metric.name);
            assert_eq!(metric.name.ends_with("_total"), metric.kind == Counter, "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
    }

    #[test]
    fn every_cause_of_a_fetch_has_its_series() {
        assert_eq!(FETCH_RESULTS.split_first(), Some((&"ok", FETCH_CAUSES)));
    }

    #[test]
    fn bounds_of_a_histogram_rise() {
        for metric in TABLE {
            if let Histogram(bounds) = metric.kind {
                assert!(bounds.is_sorted_by(|a, b| a < b), "{}", metric.name);
            }
        }
    }
}
