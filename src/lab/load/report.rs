//! What load found, as a table for people and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::Config;
use super::desk::Tally;
use super::ear::Heard;
use super::spread::Spread;
use super::times::Taken;

/// A generator whose packets left later than this, 99 of 100, tells of itself and not of the other side.
pub const KEPT_UP_MS: f64 = 5.0;

/// A call that was over sooner may have been over before the first word came.
const HEARD_BY: Duration = Duration::from_millis(500);

/// The audio of all calls together.
#[derive(Clone, Debug, Default)]
pub struct Sums {
    /// Packets sent.
    pub sent: u64,
    /// Packets left out because this machine was too late for them.
    pub skipped: u64,
    /// Packets not authentic under the key agreed on (SRTP).
    pub unauthentic: u64,
    /// Calls that were up.
    pub calls: u64,
    /// Of them, those that heard nothing in half a second or more.
    pub unheard: u64,
    /// What came; jitter is the mean of the calls, the gap the longest of all.
    pub heard: Heard,
    /// The worst jitter of a call, in milliseconds.
    pub worst_jitter_ms: f64,
    /// How far behind the earliest possible time packets came.
    pub behind: Spread,
    /// How long after its time a packet of ours left.
    pub own_late: Spread,
}

impl Sums {
    /// One more call, and for how long it was up.
    pub(super) fn add(&mut self, lasted: Duration, heard: Heard, sent: u64, skipped: u64, unauthentic: u64) {
        self.sent += sent;
        self.skipped += skipped;
        self.unauthentic += unauthentic;
        self.calls += 1;
        self.unheard += u64::from(heard.packets == 0 && lasted >= HEARD_BY);
        let sum = &mut self.heard;
        sum.packets += heard.packets;
        sum.lost += heard.lost;
        sum.late += heard.late;
        sum.duplicated += heard.duplicated;
        sum.reordered += heard.reordered;
        sum.jitter_ms += (heard.jitter_ms - sum.jitter_ms) / self.calls as f64;
        sum.longest_gap_ms = sum.longest_gap_ms.max(heard.longest_gap_ms);
        self.worst_jitter_ms = self.worst_jitter_ms.max(heard.jitter_ms);
    }

    /// Lost of what should have come, in percent.
    pub fn lost_percent(&self) -> f64 {
        percent(self.heard.lost, self.heard.lost + self.heard.packets)
    }

    /// Late of what came, in percent.
    pub fn late_percent(&self) -> f64 {
        percent(self.heard.late, self.heard.packets)
    }
}

fn percent(part: u64, of: u64) -> f64 {
    part as f64 / of.max(1) as f64 * 100.0
}

/// Everything that was found.
#[derive(Clone, Debug)]
pub struct Report {
    /// Whom.
    pub target: String,
    /// Calls at once that were asked for.
    pub calls: u32,
    /// Calls a second that were asked for.
    pub rate: f64,
    /// How many went which way.
    pub tally: Tally,
    /// Set-ups and hang-ups.
    pub taken: Taken,
    /// Audio.
    pub sums: Sums,
    /// From the first INVITE to the last answer to a BYE.
    pub took: Duration,
}

impl Report {
    pub(super) fn new(config: &Config, tally: Tally, taken: Taken, sums: Sums, took: Duration) -> Self {
        let (target, calls, rate) = (config.uri.clone(), config.calls, config.rate);
        Self { target, calls, rate, tally, taken, sums, took }
    }

    /// Whether this machine sent its packets in time: else the figures are its own.
    pub fn kept_up(&self) -> bool {
        self.sums.own_late.at(0.99).is_none_or(|late| late <= KEPT_UP_MS)
    }

    /// The first thing that is wrong: a call that failed, ended early, or heard nothing.
    pub fn wrong(&self) -> Option<String> {
        let causes = |counted: &BTreeMap<String, u64>| {
            let sum: u64 = counted.values().sum();
            let named: Vec<String> =
                counted.iter().map(|(cause, count)| format!("{count} x {cause}")).collect();
            (sum > 0).then(|| (sum, named.join("; ")))
        };
        if let Some((sum, named)) = causes(&self.tally.failed) {
            return Some(format!("{sum} of {} calls failed: {named}", self.tally.placed));
        }
        if let Some((sum, named)) = causes(&self.tally.early) {
            return Some(format!("{sum} of {} calls ended early: {named}", self.tally.answered));
        }
        if self.tally.hanging > 0 {
            return Some(format!("{} calls: no answer to BYE", self.tally.hanging));
        }
        (self.sums.unheard > 0)
            .then(|| format!("{} of {} calls heard nothing", self.sums.unheard, self.sums.calls))
    }

    /// For people.
    pub fn table(&self) -> String {
        let Self { tally, taken, sums, .. } = self;
        let mut text = String::new();
        let mut line = |name: &str, told: String| {
            let _ = writeln!(text, "{name:<10} {told}"); // into a String
        };
        let failed: u64 = tally.failed.values().sum();
        let early: u64 = tally.early.values().sum();
        line(
            "calls",
            format!(
                "{} placed, {} answered, {failed} failed, {early} ended early, at most {} at once, in {:.1} s",
                tally.placed,
                tally.answered,
                tally.most,
                self.took.as_secs_f64()
            ),
        );
        for (what, counted) in [("failed", &tally.failed), ("early", &tally.early)] {
            counted.iter().for_each(|(cause, count)| line(what, format!("{count} x {cause}")));
        }
        if tally.given_up > 0 {
            line("", format!("{} were not answered yet at the end", tally.given_up));
        }
        line("set-up", format!("INVITE to 200 {}", spread(&taken.setup)));
        line(
            "hang-up",
            format!("BYE to 200 {}; {} requests repeated", spread(&taken.goodbye), taken.repeated),
        );
        line("sent", format!("{} packets", sums.sent));
        let Heard { packets, lost, late, duplicated, reordered, jitter_ms, longest_gap_ms } = sums.heard;
        line(
            "heard",
            format!(
                "{packets} packets, {lost} lost ({:.3} %), {late} late by more than 40 ms ({:.3} %), {duplicated} \
                 duplicated, {reordered} reordered; {} calls heard nothing",
                sums.lost_percent(),
                sums.late_percent(),
                sums.unheard
            ),
        );
        line(
            "timing",
            format!(
                "behind the earliest possible {}; jitter {jitter_ms:.2} ms on average, {:.2} at worst; longest gap \
                 {longest_gap_ms:.0} ms",
                spread(&sums.behind),
                sums.worst_jitter_ms
            ),
        );
        if sums.unauthentic > 0 {
            line("SRTP", format!("{} packets were not authentic", sums.unauthentic));
        }
        line(
            "here",
            format!("packets left {} after their time, {} left out", spread(&sums.own_late), sums.skipped),
        );
        if !self.kept_up() {
            line("", "this machine did not keep up: the figures above are its own as well".to_owned());
        }
        text
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let Self { tally, taken, sums, .. } = self;
        json!({
            "target": self.target, "calls": self.calls, "rate": self.rate, "seconds": self.took.as_secs_f64(),
            "placed": tally.placed, "answered": tally.answered, "most_at_once": tally.most,
            "failed": tally.failed, "ended_early": tally.early, "not_answered_yet": tally.given_up, "no_answer_to_bye": tally.hanging,
            "setup_ms": spread_json(&taken.setup), "bye_ms": spread_json(&taken.goodbye),
            "requests_repeated": taken.repeated,
            "sent": sums.sent, "heard": sums.heard.packets, "unheard_calls": sums.unheard,
            "lost": sums.heard.lost, "lost_percent": sums.lost_percent(),
            "late": sums.heard.late, "late_percent": sums.late_percent(),
            "duplicated": sums.heard.duplicated, "reordered": sums.heard.reordered,
            "jitter_ms": { "mean": sums.heard.jitter_ms, "worst": sums.worst_jitter_ms },
            "longest_gap_ms": sums.heard.longest_gap_ms, "behind_ms": spread_json(&sums.behind),
            "unauthentic": sums.unauthentic,
            "own": {
                "late_ms": spread_json(&sums.own_late), "left_out": sums.skipped, "kept_up": self.kept_up(),
            },
            "wrong": self.wrong(),
        })
    }
}

fn spread(spread: &Spread) -> String {
    match (spread.at(0.5), spread.at(0.99)) {
        (Some(half), Some(most)) => format!("p50 {half:.1} p99 {most:.1} max {:.1} ms", spread.worst()),
        _ => "-".to_owned(),
    }
}

fn spread_json(spread: &Spread) -> Value {
    json!({
        "count": spread.count(), "mean": spread.mean(), "p50": spread.at(0.5), "p90": spread.at(0.9),
        "p99": spread.at(0.99), "max": spread.worst(),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Of so many calls, all well.
    pub(crate) fn report(calls: u32) -> Report {
        let mut sums = Sums::default();
        for n in 0..calls {
            let jitter_ms = 1.0 + f64::from(n % 2);
            let heard = Heard { packets: 500, jitter_ms, longest_gap_ms: 25.0, ..Heard::default() };
            sums.add(Duration::from_secs(10), heard, 500, 0, 0);
        }
        let tally =
            Tally { placed: calls.into(), answered: calls.into(), most: calls.into(), ..Tally::default() };
        let (target, rate, took) = ("sip:1@a".to_owned(), 40.0, Duration::from_secs(10));
        Report { target, calls, rate, tally, taken: Taken::default(), sums, took }
    }

    #[test]
    fn all_calls_are_summed() {
        let mut report = report(10);
        report.sums.add(HEARD_BY, Heard { lost: 5, ..Heard::default() }, 0, 0, 0);
        assert_eq!((report.sums.heard.packets, report.sums.unheard), (5000, 1));
        assert!((report.sums.lost_percent() - 0.0999).abs() < 1e-3);
        assert!(
            (report.sums.heard.jitter_ms - 15.0 / 11.0).abs() < 1e-9 && report.sums.worst_jitter_ms == 2.0
        );
        assert_eq!(report.wrong().as_deref(), Some("1 of 11 calls heard nothing"));
        report.sums.add(HEARD_BY / 2, Heard::default(), 7, 0, 0);
        assert_eq!((report.sums.calls, report.sums.unheard), (12, 1), "too short to be told");
    }

    #[test]
    fn what_failed_is_told_with_its_causes_in_both_forms() {
        let mut report = report(4);
        assert_eq!(report.wrong(), None);
        report.tally.failed.insert("503".to_owned(), 2);
        assert_eq!(report.wrong().as_deref(), Some("2 of 4 calls failed: 2 x 503"));
        assert!(report.table().contains("2 x 503"), "{}", report.table());
        assert_eq!(report.json()["failed"]["503"], 2);
    }

    #[test]
    fn a_late_generator_says_so() {
        let mut report = report(1);
        assert!(report.kept_up() && !report.table().contains("keep up"));
        (0..100).for_each(|_| report.sums.own_late.add(9000));
        assert!(!report.kept_up() && report.table().contains("this machine did not keep up"));
        assert_eq!(report.json()["own"]["kept_up"], false);
    }
}
