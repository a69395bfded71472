//! Whose fault it was: findings with their evidence, and the side the worst of them lies on (operator.md section 7).

use serde::Serialize;
use serde_json::{Value, json};

use super::cdr::{Media, StreamRecord};

/// A side of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Nothing was wrong.
    None,
    /// The bot.
    Bot,
    /// Between the PBX and us.
    Network,
    /// The PBX.
    Pbx,
    /// We.
    Streamkit,
}

/// One thing that was wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// Where it lies.
    pub side: Side,
    /// A stable word.
    pub what: &'static str,
    /// Figures.
    pub evidence: Value,
    #[serde(skip)]
    text: String,
}

/// One line and the list behind it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// Of the first finding.
    pub side: Side,
    /// For people.
    pub text: String,
    /// The worst first.
    pub findings: Vec<Finding>,
}

impl Verdict {
    /// Judges a call by how it ended and what was counted.
    pub fn of(cause: &'static str, media: Option<&Media>, streams: &[StreamRecord]) -> Self {
        let mut findings = Vec::new();
        findings.extend(ending(cause));
        findings.extend(streams.iter().filter_map(bot_failed));
        findings.extend(media.and_then(lost));
        findings.extend(streams.iter().filter_map(starved));
        findings.extend(media.and_then(silent));
        Self {
            side: findings.first().map_or(Side::None, |finding| finding.side),
            text: findings
                .first()
                .map_or_else(|| "nothing was wrong".to_owned(), |finding| finding.text.clone()),
            findings,
        }
    }
}

fn ending(cause: &'static str) -> Option<Finding> {
    let (side, text) = match cause {
        "ack_timeout" => (Side::Pbx, "the PBX never acknowledged the answer"),
        "prack_timeout" => (Side::Pbx, "the PBX never acknowledged the ringing it asked to be told reliably"),
        "session_expired" => (Side::Pbx, "the PBX did not refresh the session"),
        "media_timeout" => (Side::Network, "no RTP came from the PBX"),
        "internal" => (Side::Streamkit, "a fault of ours ended the call"),
        "no_rtp_port" | "limit_calls" | "limit_rate" => (Side::Streamkit, "the node was full"),
        _ => return None,
    };
    Some(Finding { side, what: cause, evidence: json!({}), text: text.to_owned() })
}

fn bot_failed(stream: &StreamRecord) -> Option<Finding> {
    (stream.status == "failed" && stream.detailed_status.is_none()).then(|| Finding {
        side: Side::Bot,
        what: stream.disposition,
        evidence: json!({ "error": stream.error, "attempts": stream.attempts }),
        text: stream.error.clone().unwrap_or_else(|| "the bot failed".to_owned()),
    })
}

fn lost(media: &Media) -> Option<Finding> {
    let inward = &media.inward;
    let missing = inward.lost + inward.late;
    let percent = (missing as f64 * 10_000.0 / (inward.packets + missing).max(1) as f64).round() / 100.0;
    (missing > 0).then(|| Finding {
        side: Side::Network,
        what: "lost",
        evidence: json!({ "packets": missing, "percent": percent, "longest_gap_ms": inward.longest_gap_ms }),
        text: format!("{percent} % lost from the PBX, longest gap {} ms", inward.longest_gap_ms),
    })
}

fn starved(stream: &StreamRecord) -> Option<Finding> {
    let audio = &stream.audio;
    (audio.starved > 0).then(|| Finding {
        side: Side::Bot,
        what: "starved",
        evidence: json!({ "times": audio.starved, "longest_ms": audio.longest_starvation_ms }),
        text: format!("starved playout {} times, longest {} ms", audio.starved, audio.longest_starvation_ms),
    })
}

fn silent(media: &Media) -> Option<Finding> {
    (media.inward.packets == 0 && media.outward.packets > 100).then(|| Finding {
        side: Side::Network,
        what: "no_rtp",
        evidence: json!({ "packets_out": media.outward.packets, "foreign": media.inward.foreign }),
        text: "no RTP came from the PBX".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{G711, RtpCounts, RtpSpec};

    fn media(counts: &RtpCounts) -> Media {
        Media::new(&RtpSpec::new(([192, 0, 2, 1], 4000).into(), G711::Mu), counts)
    }

    #[test]
    fn a_good_call_is_nobody_s_fault() {
        let media = media(&RtpCounts { packets_in: 500, packets_out: 500, ..RtpCounts::default() });
        let verdict = Verdict::of("bye", Some(&media), &[]);
        assert_eq!((verdict.side, verdict.findings.len()), (Side::None, 0));
    }

    #[test]
    fn loss_is_the_network_s() {
        let counts = RtpCounts { packets_in: 969, lost: 31, longest_gap_ms: 160, ..RtpCounts::default() };
        let verdict = Verdict::of("bye", Some(&media(&counts)), &[]);
        assert_eq!(
            (verdict.side, verdict.text.as_str()),
            (Side::Network, "3.1 % lost from the PBX, longest gap 160 ms")
        );
    }

    #[test]
    fn a_mute_pbx_is_noticed() {
        let counts = RtpCounts { packets_out: 500, ..RtpCounts::default() };
        let verdict = Verdict::of("media_timeout", Some(&media(&counts)), &[]);
        assert_eq!(verdict.findings.len(), 2);
    }
}
