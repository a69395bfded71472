//! What will be said of a call when it is over: one JSON line (operator.md section 7). Keys are stable: new ones may
//! be added, none renamed. Times are RFC 3339 UTC, durations milliseconds; what did not happen is absent.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;

use super::verdict::Verdict;
use crate::flow::Track;
use crate::ids::{CallSid, StreamSid};
use crate::media::{RtpCounts, RtpSpec, StreamCounts};
use crate::stream::{Disposition, Figures, Outcome};

/// One call's record.
#[derive(Clone, Debug, Serialize)]
pub struct Cdr {
    /// Of this form: 1.
    pub version: u8,
    /// The call.
    #[serde(serialize_with = "printed")]
    pub call_sid: CallSid,
    /// `node.name`.
    pub node: String,
    /// `inbound` or `outbound`.
    pub direction: &'static str,
    /// Name of the trunk.
    pub trunk: String,
    /// Place of the route in the configuration, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<usize>,
    /// The account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_sid: Option<String>,
    /// The caller, as told to the bot.
    pub from: String,
    /// The number dialled.
    pub to: String,
    /// Headers passed on.
    pub custom_headers: BTreeMap<String, String>,
    /// Signalling.
    pub sip: Sip,
    /// When.
    pub times: Times,
    /// How it ended.
    pub end: End,
    /// Media of the caller's leg.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media: Option<Box<Media>>,
    /// Streams in the order they were opened.
    pub streams: Vec<StreamRecord>,
    /// Whose fault it was.
    pub verdict: Verdict,
}

/// Signalling of the caller's leg.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Sip {
    /// Call-ID.
    pub call_id: String,
    /// Source of the INVITE.
    pub peer: String,
    /// `udp`, `tcp`, `tls`.
    pub transport: &'static str,
    /// What it calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// X-UUI or User-to-User as it came, at most 256 octets (sip-trunk.md section 9.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uui: Option<String>,
    /// Avaya's call identifier out of it, 16 hex digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ucid: Option<String>,
    /// X-Genesys-CallUUID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub genesys_call_uuid: Option<String>,
    /// Who sent the call on and why, the last first (RFC 5806): at most 8.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub diversion: Vec<Diverted>,
    /// Where it had been, the oldest first (RFC 7044): at most 8.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<String>,
    /// Final answer to the INVITE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// Reason header field of the BYE, CANCEL or refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One who sent the call on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diverted {
    /// The number, or the user of the address.
    pub from: String,
    /// `unconditional`, `user-busy`, `no-answer`, ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// When; all but the first and last are milliseconds from the INVITE.
#[derive(Clone, Debug, Serialize)]
pub struct Times {
    /// Wall time of the INVITE.
    pub invite: String,
    /// 180 or 183 sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ringing_ms: Option<u64>,
    /// 200 sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_ms: Option<u64>,
    /// `start` written to the first bot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_ms: Option<u64>,
    /// First RTP of the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_audio_in_ms: Option<u64>,
    /// First audio of the bot sent to the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_audio_out_ms: Option<u64>,
    /// Wall time of the end.
    pub end: String,
    /// Answer to end; 0 when never answered.
    pub duration_ms: u64,
}

/// How it ended.
#[derive(Clone, Debug, Serialize)]
pub struct End {
    /// `caller`, `bot`, `streamkit`.
    pub by: By,
    /// The stable word.
    pub cause: &'static str,
    /// For people.
    pub detail: String,
}

/// Who ended a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// The caller or its PBX.
    Caller,
    /// The bot.
    Bot,
    /// We.
    Streamkit,
}

/// Media of a leg.
#[derive(Clone, Debug, Serialize)]
pub struct Media {
    /// `PCMU` or `PCMA`.
    pub codec: &'static str,
    /// Milliseconds a packet we sent.
    pub ptime_ms: u8,
    /// From the caller.
    #[serde(rename = "in")]
    pub inward: MediaIn,
    /// To the caller.
    #[serde(rename = "out")]
    pub outward: MediaOut,
    /// Estimated quality (ITU-T G.107).
    pub mos: Mos,
    /// Whether it was encrypted.
    pub srtp: bool,
}

/// What came from the caller.
#[derive(Clone, Debug, Serialize)]
pub struct MediaIn {
    /// Packets taken.
    pub packets: u64,
    /// Never came.
    pub lost: u64,
    /// Came too late.
    pub late: u64,
    /// Came twice.
    pub duplicated: u64,
    /// Came out of order, in time.
    pub reordered: u64,
    /// Made up by us.
    pub concealed_ms: u64,
    /// Interarrival jitter.
    pub jitter_ms: f64,
    /// Longest time between two packets.
    pub longest_gap_ms: u64,
    /// From strangers, dropped.
    pub foreign: u64,
    /// Not RTP of this call, dropped.
    pub malformed: u64,
    /// SRTP that failed authentication, dropped.
    pub unauthentic: u64,
    /// SRTP that had come before, dropped.
    pub replayed: u64,
}

/// What went to the caller.
#[derive(Clone, Debug, Serialize)]
pub struct MediaOut {
    /// Packets sent.
    pub packets: u64,
    /// Of those, lost on the way as the peer's RTCP tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost_remote: Option<u64>,
    /// Interarrival jitter at the peer, as its RTCP tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter_ms: Option<f64>,
    /// To the peer and back, by RTCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_trip_ms: Option<f64>,
}

/// Estimated mean opinion scores.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Mos {
    /// Of what the caller sent, as the bot heard it; absent when nothing came.
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    pub inward: Option<f64>,
    /// Of what we sent, as the peer's RTCP tells; absent when it tells nothing.
    #[serde(rename = "out", skip_serializing_if = "Option::is_none")]
    pub outward: Option<f64>,
}

/// One stream: its outcome under the names of agentstream.md section 10, and its figures.
#[derive(Clone, Debug, Serialize)]
pub struct StreamRecord {
    /// For metrics: the bot's host as it stands in the configuration; empty if none was tried.
    #[serde(skip)]
    pub bot: String,
    /// Absent if no attempt was begun.
    #[serde(rename = "StreamSID", skip_serializing_if = "Option::is_none")]
    pub stream_sid: Option<String>,
    /// Without user info.
    #[serde(rename = "StreamUrl", skip_serializing_if = "Option::is_none")]
    pub stream_url: Option<String>,
    /// `completed`, `failed`, `cancelled`.
    #[serde(rename = "Status")]
    pub status: &'static str,
    /// Whole seconds.
    #[serde(rename = "Duration")]
    pub duration: String,
    /// `unidirectional`; absent: bidirectional.
    #[serde(rename = "StreamType", skip_serializing_if = "Option::is_none")]
    pub stream_type: Option<&'static str>,
    /// What a unidirectional stream got: `inbound`, `outbound`, `mixed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub track: Option<&'static str>,
    /// `user`, `bot`, `NA`.
    #[serde(rename = "DisconnectedBy")]
    pub disconnected_by: &'static str,
    /// Only when throttled.
    #[serde(rename = "DetailedStatus", skip_serializing_if = "Option::is_none")]
    pub detailed_status: Option<&'static str>,
    /// Only on failure.
    #[serde(rename = "Error", skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Finer.
    #[serde(rename = "Disposition")]
    pub disposition: &'static str,
    /// First attempt to the upgrade.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_ms: Option<u64>,
    /// Attempts made.
    pub attempts: u8,
    /// Hz.
    pub sample_rate: u32,
    /// Messages.
    pub messages: Messages,
    /// The bot's audio.
    pub audio: Audio,
    /// The bot's marks.
    pub marks: Marks,
    /// From the caller's last word to the bot's answer on the wire, turn by turn: the first 256.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub turns_ms: Vec<u32>,
    /// From the bot's `clear` to silence on the wire, of those that cut its audio short: the first 256.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clear_ms: Vec<u32>,
}

/// Messages on the socket.
#[derive(Clone, Debug, Serialize)]
pub struct Messages {
    /// Ours.
    pub out: u64,
    /// The bot's.
    #[serde(rename = "in")]
    pub inward: u64,
    /// Of those, passed over.
    pub ignored: u64,
    /// Frames of the caller dropped because the bot did not read.
    pub dropped: u64,
}

/// What became of the bot's audio: what was received was played, cleared or discarded.
#[derive(Clone, Debug, Serialize)]
pub struct Audio {
    /// Accepted.
    pub received_ms: u64,
    /// Heard by the caller.
    pub played_ms: u64,
    /// Dropped by `clear`.
    pub cleared_ms: u64,
    /// Neither: it waited when the caller hung up or the stream ended, or was silence behind a bot's last word.
    pub discarded_ms: u64,
    /// Refused because the queue was full.
    pub refused_ms: u64,
    /// Times it ran dry within an utterance.
    pub starved: u64,
    /// Longest of them.
    pub longest_starvation_ms: u64,
    /// Longest that ever waited.
    pub longest_queue_ms: u64,
}

/// What became of the bot's marks: those received were played, cleared or discarded.
#[derive(Clone, Debug, Serialize)]
pub struct Marks {
    /// Accepted.
    pub received: u64,
    /// Echoed in their turn.
    pub played: u64,
    /// Echoed by a `clear`, or unheard before our `stop`.
    pub cleared: u64,
    /// Neither: the bot had gone.
    #[serde(skip_serializing_if = "is_zero")]
    pub discarded: u64,
}

impl StreamRecord {
    /// Of a stream that is over and the port it played through, if it had one.
    pub fn new(outcome: &Outcome, track: Option<Track>, port: Option<&StreamCounts>) -> Self {
        let figures = &outcome.figures;
        Self {
            bot: String::new(),
            stream_sid: outcome.stream_sid.map(|sid: StreamSid| sid.to_string()),
            stream_url: outcome.url.clone(),
            status: outcome.status.as_str(),
            duration: outcome.duration.as_secs().to_string(),
            stream_type: track.map(|_| "unidirectional"),
            track: track.map(Track::as_str),
            disconnected_by: outcome.disconnected_by.as_str(),
            detailed_status: (outcome.disposition == Disposition::Throttled)
                .then_some("Streaming_call_throttled"),
            error: outcome.error.as_ref().map(|error| error.to_string().chars().take(256).collect()),
            disposition: outcome.disposition.as_str(),
            connect_ms: figures.connect.map(millis),
            attempts: figures.attempts,
            sample_rate: figures.sample_rate,
            messages: Messages {
                out: figures.messages_out,
                inward: figures.messages_in,
                ignored: figures.ignored,
                dropped: figures.dropped_out,
            },
            audio: Audio::new(figures, port),
            marks: Marks::new(figures, port),
            turns_ms: port.map(|port| port.turns_ms.clone()).unwrap_or_default(),
            clear_ms: port.map(|port| port.clears_ms.clone()).unwrap_or_default(),
        }
    }
}

impl Audio {
    /// What the port played and cleared is the truth; without one, what the session made of it.
    fn new(figures: &Figures, port: Option<&StreamCounts>) -> Self {
        let rate = u64::from(figures.sample_rate).max(1);
        let ms = |samples: u64| samples * 1000 / rate;
        let (played_ms, gone_ms) = match port {
            // Rounded as one sum, so that the parts make up the whole to the millisecond.
            Some(port) => (ms(port.played), ms(port.played + port.cleared + figures.cleared_unsent)),
            None => (figures.played_ms, figures.played_ms + figures.cleared_ms),
        };
        Self {
            received_ms: figures.received_ms,
            played_ms,
            cleared_ms: gone_ms - played_ms,
            discarded_ms: figures.received_ms.saturating_sub(gone_ms),
            refused_ms: figures.refused_ms,
            starved: port.map_or(0, |port| port.starved),
            longest_starvation_ms: port.map_or(0, |port| port.longest_starvation_ms),
            longest_queue_ms: figures.longest_queue_ms,
        }
    }
}

impl Marks {
    /// The port goes on playing when the session is over: it knows which were reached.
    fn new(figures: &Figures, port: Option<&StreamCounts>) -> Self {
        let received = figures.marks_received;
        let reached = port
            .map_or(figures.marks_played, |port| port.marks_played.saturating_sub(figures.marks_overtaken));
        let played = reached.min(received);
        let cleared = figures.marks_cleared.min(received - played);
        Self { received, played, cleared, discarded: received - played - cleared }
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Media {
    /// Of a leg's port when it is closed.
    pub fn new(spec: &RtpSpec, counts: &RtpCounts) -> Self {
        let told = counts.told.as_ref();
        Self {
            codec: super::offer::codec_name(spec.codec),
            ptime_ms: spec.ptime_ms,
            inward: MediaIn {
                packets: counts.packets_in,
                lost: counts.lost,
                late: counts.late,
                duplicated: counts.duplicated,
                reordered: counts.reordered,
                concealed_ms: counts.concealed_ms,
                jitter_ms: tenths(counts.jitter_ms),
                longest_gap_ms: counts.longest_gap_ms,
                foreign: counts.foreign,
                malformed: counts.malformed,
                unauthentic: counts.unauthentic,
                replayed: counts.replayed,
            },
            outward: MediaOut {
                packets: counts.packets_out,
                lost_remote: told.map(|told| told.lost),
                jitter_ms: told.map(|told| tenths(told.jitter_ms)),
                round_trip_ms: told.and_then(|told| told.round_trip_ms).map(tenths),
            },
            mos: Mos { inward: counts.mos_in.map(hundredths), outward: counts.mos_out.map(hundredths) },
            srtp: spec.srtp.is_some(),
        }
    }
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// To one digit behind the point.
fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// Wall and monotonic time of one moment: all times of a record are told from it (reliability R-120).
#[derive(Clone, Copy, Debug)]
pub struct Began {
    /// Monotonic.
    pub at: Instant,
    /// Wall.
    pub wall: SystemTime,
}

impl Began {
    /// Milliseconds from then to `now`.
    pub fn ms(&self, now: Instant) -> u64 {
        millis(now.saturating_duration_since(self.at))
    }

    /// Wall time of `now`, RFC 3339 UTC with milliseconds.
    pub fn wall(&self, now: Instant) -> String {
        let wall = self.wall + now.saturating_duration_since(self.at);
        jiff::Timestamp::try_from(wall).map_or_else(|_| String::new(), |at| format!("{at:.3}"))
    }

    /// The same as `YYYY-MM-DD HH:mm:ss`.
    pub fn stamp(&self, now: Instant) -> String {
        let text = self.wall(now);
        text.split('.').next().unwrap_or_default().replace('T', " ")
    }
}

/// Whole milliseconds.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn printed<S: serde::Serializer>(sid: &CallSid, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(sid)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a test begins somewhere in time
mod tests {
    use super::*;

    #[test]
    fn times_are_told_from_the_invite() {
        let began = Began { at: Instant::now(), wall: SystemTime::UNIX_EPOCH + Duration::from_secs(86_400) };
        assert_eq!(began.wall(began.at + Duration::from_millis(1500)), "1970-01-02T00:00:01.500Z");
        assert_eq!(began.stamp(began.at + Duration::from_millis(1500)), "1970-01-02 00:00:01");
        assert_eq!(began.ms(began.at + Duration::from_millis(1500)), 1500);
    }
}
