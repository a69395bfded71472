//! One function for each thing that is counted; names, labels and their values stand in `table`.
//! Labels come from configuration or from fixed lists, never from a call.
//!
//! What is counted per packet or per message goes through a handle taken once (`Hot`): one atomic addition.
//! What is counted a few times a call is looked up by its labels (`Kept`), the rest by the recorder: the control plane.

use std::fmt::Write as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrayvec::ArrayString;
use metrics::{Counter, Histogram, counter, gauge, histogram};

use super::kept::Kept;
use super::table::{RTP_DROPS, STREAM_EVENTS};

/// Handles of what is counted per packet or per message. Before `exposition::install` nothing is counted.
pub(super) struct Hot {
    rtp_packets: [Counter; 2],
    rtp_bytes: [Counter; 2],
    rtp_lost: [Counter; 2],
    rtp_late: Counter,
    rtp_dropped: Vec<Counter>,
    stream_messages: Vec<Counter>,
}

static HOT: OnceLock<Hot> = OnceLock::new();

/// Audio made up for want of packets in milliseconds, by core: a counter of fractions, which the recorder has not.
pub(super) static CONCEALED_MS: [AtomicU64; MAX_CORES] = [const { AtomicU64::new(0) }; MAX_CORES];

/// More media cores than any machine we run on will give us.
pub(super) const MAX_CORES: usize = 256;

impl Hot {
    /// Takes the handles; the recorder is installed.
    pub(super) fn take() {
        let both = |name: &'static str| ["in", "out"].map(|way| counter!(name, "direction" => way));
        HOT.get_or_init(|| Self {
            rtp_packets: both("streamkit_rtp_packets_total"),
            rtp_bytes: both("streamkit_rtp_bytes_total"),
            rtp_lost: both("streamkit_rtp_lost_total"),
            rtp_late: counter!("streamkit_rtp_late_total", "direction" => "in"),
            rtp_dropped: RTP_DROPS
                .iter()
                .map(|&(way, cause)| counter!("streamkit_rtp_dropped_total", "direction" => way, "cause" => cause))
                .collect(),
            stream_messages: STREAM_EVENTS
                .iter()
                .map(|&(way, event)| {
                    counter!("streamkit_stream_messages_total", "direction" => way, "event" => event)
                })
                .collect(),
        });
    }
}

/// Whether there is a recorder.
pub(super) fn counts() -> bool {
    HOT.get().is_some()
}

/// The handle of a pair in the list its handles were taken from.
fn of<'a>(handles: &'a [Counter], pairs: &[(&str, &str)], pair: (&str, &str)) -> Option<&'a Counter> {
    handles.get(pairs.iter().position(|&known| known == pair)?)
}

// --- signalling ---

/// A SIP request came in or went out.
pub fn sip_request(transport: &'static str, direction: &'static str, method: &'static str) {
    static KEPT: Kept<Counter> = Kept::new();
    let make = || counter!("streamkit_sip_requests_total", "transport" => transport, "direction" => direction, "method" => method);
    KEPT.of(&[transport, direction, method], make).increment(1);
}

/// A SIP response came in or went out.
pub fn sip_response(transport: &'static str, direction: &'static str, code: u16) {
    static KEPT: Kept<Counter> = Kept::new();
    let mut text = ArrayString::<5>::new();
    let _ = write!(text, "{code}"); // it has room for every u16
    let make = || counter!("streamkit_sip_responses_total", "transport" => transport, "direction" => direction, "code" => code.to_string());
    KEPT.of(&[transport, direction, &text], make).increment(1);
}

/// A SIP message was sent again.
pub fn sip_retransmission(transport: &'static str) {
    counter!("streamkit_sip_retransmissions_total", "transport" => transport).increment(1);
}

/// A SIP message or datagram was dropped without effect.
pub fn sip_dropped(transport: &'static str, cause: &'static str) {
    counter!("streamkit_sip_dropped_total", "transport" => transport, "cause" => cause).increment(1);
}

/// A target of a trunk answers our OPTIONS, or does not.
pub fn sip_target_up(trunk: &str, target: &str, up: bool) {
    gauge!("streamkit_sip_target_up", "trunk" => trunk.to_owned(), "target" => target.to_owned())
        .set(f64::from(u8::from(up)));
}

/// So many SIP datagrams found no room in the queue of their socket.
pub fn sip_kernel_dropped(count: u64) {
    counter!("streamkit_sip_dropped_total", "transport" => "udp", "cause" => "kernel").increment(count);
}

/// Something was wrong and taken all the same.
pub fn repair(cause: &'static str) {
    counter!("streamkit_repairs_total", "cause" => cause).increment(1);
}

/// Fill and limit of a bounded queue, table or pool (reliability R-3).
pub fn resource(resource: &'static str, used: usize, limit: usize) {
    gauge!("streamkit_resource_used", "resource" => resource).set(used as f64);
    gauge!("streamkit_resource_limit", "resource" => resource).set(limit as f64);
}

/// Tasks of the control plane that are alive (reliability R-5: none stays when its call is over).
pub fn tasks(alive: usize) {
    gauge!("streamkit_tasks").set(alive as f64);
}

// --- calls ---

/// Calls of this trunk that are up or being set up.
pub fn calls_active(trunk: &str, calls: u32) {
    gauge!("streamkit_calls_active", "trunk" => trunk.to_owned()).set(calls);
}

/// A call is over: `direction` is `inbound` or `outbound`, outcome and cause stand in `table::ENDINGS`.
pub fn call_ended(trunk: &str, direction: &'static str, outcome: &'static str, cause: &'static str) {
    static KEPT: Kept<Counter> = Kept::new();
    let make = || counter!("streamkit_calls_total", "trunk" => trunk.to_owned(), "direction" => direction, "outcome" => outcome, "cause" => cause);
    KEPT.of(&[trunk, direction, outcome, cause], make).increment(1);
}

/// The INVITE of a call got its final answer so long after it came.
pub fn call_set_up(trunk: &str, took: Duration, answered: bool) {
    static SET_UP: Kept<Histogram> = Kept::new();
    static ANSWERED: Kept<Histogram> = Kept::new();
    let make = || histogram!("streamkit_call_setup_seconds", "trunk" => trunk.to_owned());
    SET_UP.of(&[trunk], make).record(took);
    if answered {
        let make = || histogram!("streamkit_call_answer_seconds", "trunk" => trunk.to_owned());
        ANSWERED.of(&[trunk], make).record(took);
    }
}

/// An answered call lasted so long.
pub fn call_duration(trunk: &str, lasted: Duration) {
    static KEPT: Kept<Histogram> = Kept::new();
    let make = || histogram!("streamkit_call_duration_seconds", "trunk" => trunk.to_owned());
    KEPT.of(&[trunk], make).record(lasted);
}

/// What the media of a call was like, when it ended. Jitter in seconds, `mos` from 1 to 4.5.
pub fn call_quality(trunk: &str, jitter: f64, round_trip: Option<Duration>, mos: Option<f64>) {
    static JITTER: Kept<Histogram> = Kept::new();
    static ROUND_TRIP: Kept<Histogram> = Kept::new();
    static MOS: Kept<Histogram> = Kept::new();
    let make = || histogram!("streamkit_rtp_jitter_seconds", "trunk" => trunk.to_owned());
    JITTER.of(&[trunk], make).record(jitter);
    if let Some(round_trip) = round_trip {
        let make = || histogram!("streamkit_rtp_round_trip_seconds", "trunk" => trunk.to_owned());
        ROUND_TRIP.of(&[trunk], make).record(round_trip);
    }
    if let Some(mos) = mos {
        let make = || histogram!("streamkit_call_mos", "trunk" => trunk.to_owned());
        MOS.of(&[trunk], make).record(mos);
    }
}

/// The handling of one call panicked; that call ended (reliability R-2).
pub fn call_panicked() {
    counter!("streamkit_call_panics_total").increment(1);
}

/// Calls this node takes at most.
pub fn calls_limit(limit: u32) {
    gauge!("streamkit_calls_limit").set(limit);
}

/// A call's mailbox was full; the call ends.
pub fn mailbox_overflow() {
    counter!("streamkit_call_mailbox_overflows_total").increment(1);
}

/// A CDR could not be written.
pub fn cdr_failed() {
    counter!("streamkit_cdr_failed_total").increment(1);
}

// --- media: from any thread, also a media core ---

/// RTP packets of the peers were taken, with so many octets of payload.
pub fn rtp_in(packets: u64, bytes: u64) {
    if let Some(hot) = HOT.get() {
        hot.rtp_packets[0].increment(packets);
        hot.rtp_bytes[0].increment(bytes);
    }
}

/// RTP packets went out, with so many octets of payload.
pub fn rtp_out(packets: u64, bytes: u64) {
    if let Some(hot) = HOT.get() {
        hot.rtp_packets[1].increment(packets);
        hot.rtp_bytes[1].increment(bytes);
    }
}

/// RTP packets never came: `in` to us, `out` to a peer that told so.
pub fn rtp_lost(direction: &str, packets: u64) {
    if let Some(hot) = HOT.get() {
        hot.rtp_lost[usize::from(direction == "out")].increment(packets);
    }
}

/// RTP packets came after their place was concealed.
pub fn rtp_late(packets: u64) {
    if let Some(hot) = HOT.get() {
        hot.rtp_late.increment(packets);
    }
}

/// Datagrams were not taken (`in`) or not sent (`out`); the cause stands in `table::RTP_DROPS`.
pub fn rtp_dropped(direction: &'static str, cause: &'static str, packets: u64) {
    if let Some(counter) = HOT.get().and_then(|hot| of(&hot.rtp_dropped, RTP_DROPS, (direction, cause))) {
        counter.increment(packets);
    }
}

/// A core made up so much audio for want of packets.
pub fn media_concealed(core: usize, made_up: Duration) {
    if let Some(sum) = CONCEALED_MS.get(core) {
        sum.fetch_add(made_up.as_millis() as u64, Ordering::Relaxed);
    }
}

// --- media: from the courier of a core, never from the core itself ---

/// A core woke so late for its tick.
pub fn media_tick_late(core: usize, late: Duration) {
    histogram!("streamkit_media_tick_late_seconds", "core" => core.to_string()).record(late);
}

/// Share of time a core worked, 0 to 1.
pub fn media_core_busy(core: usize, ratio: f64) {
    gauge!("streamkit_media_core_busy_ratio", "core" => core.to_string()).set(ratio);
}

/// RTP ports a new call could take, and how many there are.
pub fn media_ports(free: usize, all: usize) {
    gauge!("streamkit_media_ports_free").set(free as f64);
    resource("media_ports", all.saturating_sub(free), all);
}

/// A core could not tell so many events.
pub fn media_events_lost(events: u64) {
    counter!("streamkit_media_events_lost_total").increment(events);
}

// --- streams ---

/// Streams of this account that are open or being opened.
pub fn streams_active(account: &str, streams: u32) {
    gauge!("streamkit_streams_active", "account" => account.to_owned()).set(streams);
}

/// A stream is over; the words are those of agentstream.md section 10.
pub fn stream_outcome(status: &'static str, disconnected_by: &'static str, disposition: &'static str) {
    static KEPT: Kept<Counter> = Kept::new();
    let make = || counter!("streamkit_stream_outcomes_total", "status" => status, "disconnected_by" => disconnected_by, "disposition" => disposition);
    KEPT.of(&[status, disconnected_by, disposition], make).increment(1);
}

/// A stream came up so long after its first attempt began.
pub fn stream_connect(bot: &str, took: Duration) {
    static KEPT: Kept<Histogram> = Kept::new();
    let make = || histogram!("streamkit_stream_connect_seconds", "bot" => bot.to_owned());
    KEPT.of(&[bot], make).record(took);
}

/// Whether a bot is called as usual (0), tried by one call (1), or left alone (2); by scheme, host, port and path.
pub fn stream_breaker(bot: &str, state: u8) {
    gauge!("streamkit_stream_breaker_state", "bot" => bot.to_owned()).set(state);
}

/// The bot's first audio came so long after `start`.
pub fn stream_first_audio(bot: &str, took: Duration) {
    static KEPT: Kept<Histogram> = Kept::new();
    let make = || histogram!("streamkit_stream_first_audio_seconds", "bot" => bot.to_owned());
    KEPT.of(&[bot], make).record(took);
}

/// The bot's answer left so long after the caller's last word; told when the call ends.
pub fn stream_turn(bot: &str, took: Duration) {
    static KEPT: Kept<Histogram> = Kept::new();
    let make = || histogram!("streamkit_stream_turn_seconds", "bot" => bot.to_owned());
    KEPT.of(&[bot], make).record(took);
}

/// Silence left so long after `clear` came; told when the call ends.
pub fn stream_clear(bot: &str, took: Duration) {
    static KEPT: Kept<Histogram> = Kept::new();
    let make = || histogram!("streamkit_stream_clear_seconds", "bot" => bot.to_owned());
    KEPT.of(&[bot], make).record(took);
}

/// Messages went to a bot (`out`) or came from one (`in`); an event of no name of ours is `other`.
pub fn stream_messages(direction: &'static str, event: &'static str, count: u64) {
    let Some(hot) = HOT.get() else { return };
    let known = of(&hot.stream_messages, STREAM_EVENTS, (direction, event));
    if let Some(counter) = known.or_else(|| of(&hot.stream_messages, STREAM_EVENTS, (direction, "other"))) {
        counter.increment(count);
    }
}

/// Messages or pieces of audio came to nothing; the cause stands in `table::STREAM_DROPS`.
pub fn stream_dropped(cause: &'static str, count: u64) {
    counter!("streamkit_stream_dropped_total", "cause" => cause).increment(count);
}

/// The longest audio of one stream's bot that waited to be played.
pub fn playout_queue(bot: &str, longest: Duration) {
    static KEPT: Kept<Histogram> = Kept::new();
    let make = || histogram!("streamkit_playout_queue_seconds", "bot" => bot.to_owned());
    KEPT.of(&[bot], make).record(longest);
}

/// How often a bot's audio ran dry within an utterance.
pub fn playout_underruns(bot: &str, underruns: u64) {
    static KEPT: Kept<Counter> = Kept::new();
    let make = || counter!("streamkit_playout_underruns_total", "bot" => bot.to_owned());
    KEPT.of(&[bot], make).increment(underruns);
}

// --- fetches ---

/// An errand to a web server is over after so long: `ok`, or its cause of `table::FETCH_CAUSES`.
pub fn fetched(result: &'static str, took: Duration) {
    counter!("streamkit_fetches_total", "result" => result).increment(1);
    histogram!("streamkit_fetch_seconds").record(took);
}

/// What was fetched names no bot, or one with something wrong: a cause of `table::ANSWER_CAUSES`.
pub fn fetched_answer(cause: &'static str) {
    counter!("streamkit_fetch_answers_refused_total", "cause" => cause).increment(1);
}

// --- log ---

/// A line was held back.
pub(super) fn log_suppressed() {
    counter!("streamkit_log_suppressed_total").increment(1);
}
