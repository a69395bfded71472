//! What is to be said of a scene (`scene`) once it is over: the figures, and whether everything was as it should
//! be. From the caller's record and the bot's transcript alone; the product is not asked.

mod checks;
mod evidence;

use serde_json::{Value, json};

use super::bot::Transcript;
use super::caller::Record;
use super::ladder::{Ladder, Rung};
use super::report::{Check, Figure, Report, Span, Track};
use super::speech::Speech;
use crate::units::SampleRate;
pub use evidence::Evidence;

/// The two accounts of one call.
#[derive(Debug)]
pub struct Case<'a> {
    /// The caller's.
    pub record: &'a Record,
    /// The bot's.
    pub transcript: &'a Transcript,
    /// The rate the bot asked for.
    pub rate: SampleRate,
    /// The account named in the INVITE.
    pub account: &'a str,
}

/// The judgement.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Figures, the first to be looked at first.
    pub figures: Vec<Figure>,
    /// Checks, in the order of the call.
    pub checks: Vec<Check>,
    evidence: Evidence,
}

impl Verdict {
    /// Judges.
    pub fn of(case: &Case<'_>) -> Self {
        let evidence = Evidence::gather(case);
        Self { figures: checks::figures(case, &evidence), checks: checks::checks(case, &evidence), evidence }
    }

    /// The first check that does not hold.
    pub fn broken(&self) -> Option<&Check> {
        self.checks.iter().find(|check| !check.holds)
    }

    /// The page that shows it.
    pub fn report(&self, case: &Case<'_>, ladder: &Ladder, about: String) -> Report {
        let seconds = |at: std::time::Instant| at.saturating_duration_since(ladder.begins()).as_secs_f64();
        let mut tracks = Vec::new();
        if let Some(begins) = case.record.audio.heard.begins() {
            let sound = case.record.audio.heard.sound(false);
            tracks.push(Track { name: "caller heard".to_owned(), begins: seconds(begins), sound });
        }
        if let Some(begins) = case.transcript.begins() {
            let sound = case.transcript.heard.clone();
            tracks.push(Track { name: "bot heard".to_owned(), begins: seconds(begins), sound });
        }
        let said = case.record.audio.spoken.iter();
        let mut spans: Vec<Span> = said
            .map(|s| Span { lane: 0, from: seconds(s.from), to: seconds(s.to), name: s.name.clone() })
            .collect();
        spans.extend(self.evidence.bot_spans(ladder.begins()));
        Report {
            title: "One call, from both ends".to_owned(),
            about,
            figures: self.figures.clone(),
            checks: self.checks.clone(),
            tracks,
            spans,
            rungs: ladder.rungs(),
        }
    }

    /// Everything as JSON; `cdr` is what the daemon itself wrote of the call, if it is known.
    pub fn json(&self, case: &Case<'_>, rungs: &[Rung], cdr: Option<Value>) -> Value {
        let quality = case.record.audio.heard.quality();
        let check =
            |c: &Check| json!({"name": c.name, "found": c.found, "wanted": c.wanted, "holds": c.holds});
        let rung = |r: &Rung| {
            let (from, to) = (format!("{:?}", r.from).to_lowercase(), format!("{:?}", r.to).to_lowercase());
            json!({"at_ms": r.at.as_secs_f64() * 1000.0, "from": from, "to": to, "what": r.label, "detail": r.detail})
        };
        json!({
            "version": 1,
            "holds": self.broken().is_none(),
            "broken": self.broken().map(|check| &check.name),
            "times": self.evidence.json(),
            "caller": {
                "packets": quality.packets, "sent": case.record.audio.sent, "lost": quality.lost,
                "late": quality.late, "duplicated": quality.duplicated, "reordered": quality.reordered,
                "concealed_ms": quality.concealed_ms, "jitter_ms": quality.jitter_ms,
                "longest_gap_ms": quality.longest_gap_ms, "mos": quality.mos,
            },
            "bot": {
                "frames": case.transcript.frames(), "missing": case.transcript.missing,
                "digits": case.transcript.digits(), "faults": case.transcript.faults,
                "marks": case.transcript.marks().iter().map(|(_, name)| *name).collect::<Vec<_>>(),
                "longest_gap_ms": case.transcript.longest_gap.as_secs_f64() * 1000.0,
            },
            "checks": self.checks.iter().map(check).collect::<Vec<_>>(),
            "ladder": rungs.iter().map(rung).collect::<Vec<_>>(),
            "cdr": cdr,
        })
    }
}

/// What the caller is to hear, with the part of it that a `clear` leaves.
const TOLD: [Speech; 3] = [Speech::Greeting, Speech::Story, Speech::Goodbye];
