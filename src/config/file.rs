//! The tables of the file that stand once: what is written there, and what it means (operator.md section 3).

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use tracing_subscriber::filter::LevelFilter;

use super::error::Place;
use super::kinds::{Ports, Secret, Size, even};
use super::read::Section;
use super::{Http, Node, StreamTls};
use crate::flow::Reconnect;
use crate::media;
use crate::sip::io::Limits as Connections;
use crate::stream::{self, PlainWs, StartExtras, StartStyle};
use crate::telemetry::log;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
/// File descriptors of one call: RTP, RTCP, the bot's socket.
const DESCRIPTORS_A_CALL: u64 = 3;
/// File descriptors besides: listeners, stream connections of SIP, files.
const DESCRIPTORS_BESIDES: u64 = 512;

/// `[node]`.
pub(super) fn node(mut node: Section<'_>) -> Node {
    let host = node.reading.surroundings.host_name.clone();
    let read = Node {
        name: node.key("name", host),
        state_dir: node.key("state_dir", PathBuf::from("/var/lib/streamkit")),
        run_dir: node.key("run_dir", PathBuf::from("/run/streamkit")),
        drain_timeout: node.within("drain_timeout", 600 * SECOND, Duration::ZERO..=24 * HOUR),
    };
    node.done();
    read
}

/// `[media]`, and the addresses written in SDP.
pub(super) fn media(mut media: Section<'_>, sip_advertise: Option<&str>) -> (media::Config, Vec<IpAddr>) {
    let config = media::Config {
        cores: cores(&mut media),
        realtime: media.key("realtime", false),
        ports: media.key("ports", Ports(10_000..=29_999)).0,
        bind: media.maybe("bind"),
        dscp: media.within("dscp", 46, 0..=63),
        jitter_max: {
            let mut jitter = media.section("jitter");
            let max = jitter.within(
                "max",
                Duration::from_millis(200),
                Duration::from_millis(20)..=Duration::from_millis(1000),
            );
            jitter.done();
            max
        },
    };
    let advertise: Vec<IpAddr> = match media.maybe("advertise") {
        Some(addresses) => addresses,
        None => sip_advertise.and_then(|name| name.parse().ok()).into_iter().collect(),
    };
    for version in [IpAddr::is_ipv4, IpAddr::is_ipv6] {
        if advertise.iter().filter(|address| version(address)).count() > 1 {
            media.refuse("advertise", "two addresses of one family stand in it", "write one of each at most");
        }
    }
    media.done();
    (config, advertise)
}

/// `"auto"`: all but one from four up, else the last; on a single core there is nothing to pin to.
fn cores(media: &mut Section<'_>) -> Vec<usize> {
    let there = media.reading.surroundings.cores.clone();
    let auto = match there.as_slice() {
        [] | [_] => Vec::new(),
        [_, rest @ ..] if rest.len() >= 3 => rest.to_vec(),
        [.., last] => vec![*last],
    };
    if !media.has("cores") {
        media.word("cores", (), &[]);
        return auto;
    }
    if media.is_word("cores") {
        media.word("cores", (), &[("auto", Some(()))]);
        return auto;
    }
    let mut cores: Vec<usize> = media.key("cores", Vec::new());
    for core in cores.iter().filter(|core| !there.contains(core)) {
        let right = format!("this process may run on {there:?}");
        media.refuse("cores", format!("there is no core {core} for this process"), right);
    }
    if cores.is_empty() {
        media.refuse("cores", "no core is left", "write \"auto\" or a list of cores");
    }
    cores.dedup();
    cores
}

/// `[http]`.
pub(super) fn http(mut http: Section<'_>) -> Http {
    let listen: Vec<SocketAddr> = http.key("listen", vec![SocketAddr::from(([127, 0, 0, 1], 9464))]);
    for address in listen.iter().filter(|address| !address.ip().to_canonical().is_loopback()) {
        http.refuse(
            "listen",
            format!(
                "{address} is beyond loopback, which needs TLS, and HTTP over TLS is not in this release"
            ),
            "listen on 127.0.0.1 and let a proxy on this machine lead to it",
        );
    }
    let read = Http { listen, metrics_allow: http.key::<Vec<IpNet>>("metrics_allow", Vec::new()) };
    let _public: Option<String> = http.maybe("public_url");
    let mut tls = http.section("tls");
    for name in ["certificate", "key", "client_ca"] {
        if tls.maybe::<PathBuf>(name).is_some() {
            tls.not_yet(name, "HTTP over TLS");
        }
    }
    tls.done();
    http.done();
    read
}

/// `[limits]`.
pub(super) struct Limits {
    pub(super) calls: u32,
    pub(super) calls_per_second: u32,
    pub(super) streams: u32,
    pub(super) source_requests_per_second: u32,
    /// Answers to one stranger in 10 s, and to all in a second (reliability R-22).
    pub(super) stranger_answers: (usize, usize),
    pub(super) connections: Connections,
    /// Of all cores; 0: no mark.
    pub(super) cpu_percent: u8,
}

/// `[limits]`: what is written must fit this machine; the default is made to fit.
pub(super) fn limits(mut limits: Section<'_>, ports: &RangeInclusive<u16>) -> Limits {
    let descriptors = limits.reading.surroundings.descriptors;
    let by_descriptors = descriptors.saturating_sub(DESCRIPTORS_BESIDES) / DESCRIPTORS_A_CALL;
    let by_ports = even(ports) as u64 * 10 / 11; // a tenth is resting after use
    let fits = u32::try_from(by_descriptors.min(by_ports)).unwrap_or(u32::MAX).max(1);
    let calls = limits.within("calls", 5000.min(fits), 1..=1_000_000);
    if u64::from(calls) > by_descriptors {
        let needed = u64::from(calls) * DESCRIPTORS_A_CALL + DESCRIPTORS_BESIDES;
        limits.refuse(
            "calls",
            format!("{calls} calls need {needed} file descriptors, this process may have {descriptors}"),
            format!("set LimitNOFILE to {needed} or allow {} calls at most", by_descriptors.max(1)),
        );
    }
    if u64::from(calls) > by_ports {
        limits.refuse(
            "calls",
            format!(
                "{calls} calls need {calls} RTP ports and a tenth spare, media.ports has {}",
                even(ports)
            ),
            format!("widen media.ports or allow {by_ports} calls at most"),
        );
    }
    if !limits.has("calls") && calls < 5000 {
        limits
            .reading
            .note(format!("limits.calls is {calls} on this machine, for want of descriptors or ports"));
    }
    let read = Limits {
        calls,
        calls_per_second: limits.within("calls_per_second", 200, 1..=100_000),
        streams: limits.within("streams", calls, 0..=1_000_000),
        source_requests_per_second: limits.within("source_requests_per_second", 2000, 1..=1_000_000),
        stranger_answers: (
            limits.within("stranger_answers", 5, 0..=1000),
            limits.within("strangers_per_second", 200, 0..=10_000),
        ),
        connections: connections(&mut limits),
        cpu_percent: limits.within("cpu_percent", 90, 0..=100),
    };
    limits.done();
    read
}

/// SIP connections (reliability R-28), idle times excepted.
fn connections(limits: &mut Section<'_>) -> Connections {
    let default = Connections::default();
    let read = Connections {
        connections: limits.within("connections", default.connections, 1..=65_536),
        of_stranger: limits.within("source_connections", default.of_stranger, 1..=65_536),
        of_trunk: limits.within("trunk_connections", default.of_trunk, 1..=65_536),
        ..default
    };
    if read.of_stranger.max(read.of_trunk) > read.connections {
        let right = "allow more in all, or fewer of one address";
        limits.refuse("connections", "one address may have more than all together", right);
    }
    read
}

/// `[log]`.
pub(super) fn log(mut log: Section<'_>) -> log::Config {
    let levels = [
        ("error", Some(LevelFilter::ERROR)),
        ("warn", Some(LevelFilter::WARN)),
        ("info", Some(LevelFilter::INFO)),
        ("debug", Some(LevelFilter::DEBUG)),
        ("trace", Some(LevelFilter::TRACE)),
    ];
    let formats = [
        ("auto", Some(log::Format::Auto)),
        ("text", Some(log::Format::Text)),
        ("json", Some(log::Format::Json)),
    ];
    let read = log::Config {
        level: log.word("level", LevelFilter::INFO, &levels),
        format: log.word("format", log::Format::Auto, &formats),
        mask_numbers: log.key("mask_numbers", false),
    };
    log.done();
    read
}

/// `[stream]`.
pub(super) struct Streams {
    pub(super) config: stream::Config,
    pub(super) tls: StreamTls,
    /// Of the fetch of a dynamic URL.
    pub(super) url_timeout: Duration,
    /// Where it is written that keys are told encrypted, if they are.
    pub(super) encrypts: Option<Place>,
    /// What follows a bot that is lost.
    pub(super) reconnect: Reconnect,
}

/// `[stream]` (agentstream.md section 12).
pub(super) fn stream(mut stream: Section<'_>) -> Streams {
    let default = stream::Config::default();
    let plain =
        [("private", Some(PlainWs::Private)), ("all", Some(PlainWs::All)), ("none", Some(PlainWs::None))];
    let (raw, extras) = (
        stream.word("media_format_style", false, &[("base64", Some(false)), ("raw", Some(true))]),
        stream.key("start_extras", false).then(inbound),
    );
    let read = stream::Config {
        connect_timeout: stream.within("connect_timeout", default.connect_timeout, SECOND..=30 * SECOND),
        connect_retries: stream.within("connect_retries", default.connect_retries, 0..=1),
        breaker_failures: stream.within("breaker_failures", default.breaker_failures, 1..=10_000),
        breaker_rest: stream.within("breaker_rest", default.breaker_rest, SECOND..=HOUR),
        max_stream_duration: stream.within(
            "max_stream_duration",
            default.max_stream_duration,
            SECOND..=4 * HOUR,
        ),
        frame_ms: frame_ms(&mut stream, default.frame_ms),
        playout_prebuffer: ms(&mut stream, "playout_prebuffer_ms", default.playout_prebuffer, 0..=500),
        max_queue: ms(&mut stream, "max_queue_ms", default.max_queue, 10_000..=600_000),
        max_message_bytes: stream
            .within("max_message_bytes", Size(default.max_message_bytes), Size(128 << 10)..=Size(16 << 20))
            .0,
        send_queue: ms(&mut stream, "send_queue_ms", default.send_queue, 200..=10_000),
        drain_on_close: ms(&mut stream, "drain_on_close_ms", default.drain_on_close, 0..=60_000),
        ping_interval: stream.within("ping_interval", default.ping_interval, SECOND..=60 * SECOND),
        silence_timeout: stream.within("silence_timeout", default.silence_timeout, 2 * SECOND..=300 * SECOND),
        max_pending_marks: stream.within("max_pending_marks", default.max_pending_marks, 1..=65_536),
        local_barge_in: stream.key("local_barge_in", default.local_barge_in),
        encrypt_dtmf: stream.key("encrypt_dtmf", default.encrypt_dtmf),
        start_style: StartStyle { raw, extras, continues: None },
        allow_plain_ws: stream.word("allow_plain_ws", default.allow_plain_ws, &plain),
        ..default
    };
    if read.silence_timeout <= read.ping_interval {
        stream.refuse(
            "silence_timeout",
            "it is not longer than ping_interval",
            "leave room for an answer to a ping",
        );
    }
    let url_timeout = stream.within("url_timeout", 5 * SECOND, SECOND..=15 * SECOND);
    let encrypts = read.encrypt_dtmf.then(|| stream.place("encrypt_dtmf"));
    let tls = StreamTls {
        ca_file: stream.maybe("ca_file"),
        client_certificate: stream.maybe("client_certificate"),
        client_key: stream.maybe("client_key"),
    };
    if tls.client_certificate.is_some() != tls.client_key.is_some() {
        let name = if tls.client_key.is_some() { "client_key" } else { "client_certificate" };
        stream.refuse(
            name,
            "a certificate and its key go together",
            "write both client_certificate and client_key",
        );
    }
    for (name, path) in [
        ("ca_file", &tls.ca_file),
        ("client_certificate", &tls.client_certificate),
        ("client_key", &tls.client_key),
    ] {
        if let Some(Err(e)) = path.as_ref().map(std::fs::File::open) {
            stream.refuse(name, format!("the file cannot be read: {e}"), "name a readable PEM file");
        }
    }
    let reconnect = super::flows::reconnect(&mut stream);
    stream.done();
    Streams { config: read, tls, url_timeout, encrypts, reconnect }
}

/// What `start_extras` says of a call that came over a trunk.
fn inbound() -> StartExtras {
    StartExtras { direction: "inbound".to_owned(), ..StartExtras::default() }
}

/// A length of a frame, where it is written.
pub(super) fn frame_ms(stream: &mut Section<'_>, default: u32) -> u32 {
    let frame = stream.key("frame_ms", default);
    if ![20, 40, 60, 80, 100].contains(&frame) {
        stream.refuse(
            "frame_ms",
            format!("{frame} is no length of a frame"),
            "right is 20, 40, 60, 80 or 100",
        );
    }
    frame
}

/// Milliseconds.
pub(super) fn ms(
    stream: &mut Section<'_>,
    name: &'static str,
    default: Duration,
    range: RangeInclusive<u64>,
) -> Duration {
    Duration::from_millis(stream.within(name, default.as_millis() as u64, range))
}

/// Tables whose features come later: read, so that a slip is found, and refused where they ask for something.
pub(super) fn later(root: &mut Section<'_>) {
    let mut cdr = root.section("cdr");
    if cdr.maybe::<Secret>("webhook").is_some() {
        cdr.not_yet("webhook", "a webhook for CDRs");
    }
    cdr.done();
    let mut hep = root.section("hep");
    if hep.maybe::<String>("collector").is_some() {
        hep.not_yet("collector", "HEP");
    }
    hep.done();
}
