//! What is promised, whether a step kept it, and what the steps come to. A pure core.

use serde_json::{Value, json};

use super::watch::Seen;
use crate::lab::load::Report;

/// INVITE to 200, 99 of 100, in milliseconds.
const SETUP_P99_MS: f64 = 250.0;
/// Packets that came more than 40 ms behind the earliest they could have come, in percent.
const LATE_PERCENT: f64 = 0.1;
/// Packets that never came, in percent.
const LOST_PERCENT: f64 = 0.05;
/// A media core that works longer than this has nothing left for a bad moment.
const BUSY: f64 = 0.85;

pub(super) const HEAD: &str = "\
calls  answered  set-up p99    late      lost  media core  daemon cores  generator and bot";

/// Who broke it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A promise of ours.
    Product(String),
    /// This machine could not make the load.
    Generator(String),
}

/// So many calls, and what was found.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) calls: u32,
    pub(super) report: Report,
    pub(super) seen: Seen,
}

impl Step {
    /// The first promise that is broken. What a late generator measured is its own lateness, and no promise of ours.
    pub(super) fn fault(&self) -> Option<Fault> {
        let (report, sums) = (&self.report, &self.report.sums);
        if !report.kept_up() {
            let late = sums.own_late.at(0.99).unwrap_or_default();
            return Some(Fault::Generator(format!("the generator's packets left up to {late:.0} ms late")));
        }
        let setup = report.taken.setup.at(0.99).unwrap_or_default();
        let (late, lost) = (sums.late_percent(), sums.lost_percent());
        let busy = self.seen.busy.unwrap_or_default();
        let promises = [
            (report.wrong().is_some(), report.wrong().unwrap_or_default()),
            (setup > SETUP_P99_MS, format!("set-up p99 {setup:.0} ms, {SETUP_P99_MS:.0} are promised")),
            (lost > LOST_PERCENT, format!("{lost:.3} % of the audio lost, {LOST_PERCENT} are promised")),
            (late > LATE_PERCENT, format!("{late:.3} % of the audio late, {LATE_PERCENT} are promised")),
            (busy > BUSY, format!("a media core is busy for {:.0} % of its time", busy * 100.0)),
        ];
        promises.into_iter().find_map(|(broken, what)| broken.then_some(Fault::Product(what)))
    }

    /// A line of the table.
    pub(super) fn line(&self) -> String {
        let sums = &self.report.sums;
        let setup = self.report.taken.setup.at(0.99);
        let or_not =
            |value: Option<f64>, unit: &str| value.map_or("-".to_owned(), |v| format!("{v:.2}{unit}"));
        let percent = self.seen.busy.map(|busy| busy * 100.0);
        let fault = self.fault().map_or(String::new(), |fault| format!("  {fault}"));
        format!(
            "{:>5}  {:>8}  {:>10}  {:>6.3} %  {:>6.3} %  {:>8}  {:>12}  {:>17}{fault}",
            self.calls,
            self.report.tally.answered,
            or_not(setup, " ms"),
            sums.late_percent(),
            sums.lost_percent(),
            or_not(percent, " %"),
            or_not(self.seen.daemon_cores, ""),
            or_not(self.seen.own_cores, ""),
        )
    }

    pub(super) fn json(&self) -> Value {
        let Seen { busy, daemon_cores, own_cores } = self.seen;
        json!({
            "calls": self.calls, "broken": self.fault().map(|fault| fault.to_string()),
            "by_generator": matches!(self.fault(), Some(Fault::Generator(_))), "media_core_busy": busy,
            "daemon_cores": daemon_cores, "generator_and_bot_cores": own_cores, "load": self.report.json(),
        })
    }
}

/// The highest number of calls that kept every promise, and the whole in words.
pub(super) fn verdict(steps: &[Step]) -> (u32, String) {
    let bad = steps.iter().filter_map(|step| Some((step, step.fault()?))).min_by_key(|(step, _)| step.calls);
    let least_bad = bad.as_ref().map_or(u32::MAX, |(step, _)| step.calls);
    let good = steps.iter().filter(|step| step.fault().is_none() && step.calls < least_bad);
    let good = good.max_by_key(|step| step.calls);
    let takes = good.map_or(0, |step| step.calls);
    let mut text = match (&bad, takes) {
        (_, 0) if steps.is_empty() => "nothing was measured".to_owned(),
        (Some((step, Fault::Product(what))), 0) => format!("not even {} calls: {what}", step.calls),
        (Some((step, Fault::Generator(what))), 0) => {
            format!("nothing can be said: at {} calls already {what}", step.calls)
        }
        (Some((step, Fault::Product(what))), _) => format!("{takes} calls; at {}: {what}", step.calls),
        (Some((step, Fault::Generator(what))), _) => format!(
            "at least {takes} calls; at {} {what}: for more the load must come from another machine",
            step.calls
        ),
        (None, _) => format!("{takes} calls, and no promise broke: more were not asked for"),
    };
    if let Some((daemon, own)) = good.and_then(|step| Some((step.seen.daemon_cores?, step.seen.own_cores?))) {
        text += &format!(
            "\nat {takes} calls the daemon took {daemon:.2} cores, generator and bot {own:.2}, of the same machine"
        );
    }
    (takes, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::load::report::tests::report;

    fn step(calls: u32, change: impl FnOnce(&mut Step)) -> Step {
        let seen = Seen { busy: Some(0.2), daemon_cores: Some(0.5), own_cores: Some(0.25) };
        let mut step = Step { calls, report: report(calls), seen };
        change(&mut step);
        step
    }

    #[test]
    fn each_promise_is_named_when_it_breaks() {
        type Change = fn(&mut Step);
        let broken: [(Change, &str); 6] = [
            (|step| step.report.tally.failed.extend([("503".to_owned(), 1)]), "1 x 503"),
            (|step| step.report.tally.early.extend([("BYE".to_owned(), 1)]), "ended early"),
            (|step| step.report.taken.setup.add(300_000), "set-up p99 300 ms"),
            (|step| step.report.sums.heard.lost = 20, "lost"),
            (|step| step.report.sums.heard.late = 20, "late"),
            (|step| step.seen.busy = Some(0.9), "media core"),
        ];
        assert_eq!(step(20, |_| ()).fault(), None);
        for (change, what) in broken {
            let fault = step(20, change).fault();
            assert!(matches!(&fault, Some(Fault::Product(told)) if told.contains(what)), "{what}: {fault:?}");
        }
    }

    #[test]
    fn a_late_generator_is_no_fault_of_the_daemons() {
        let late = step(100, |step| {
            (0..100).for_each(|_| step.report.sums.own_late.add(20_000));
            step.report.sums.heard.late = 5000;
        });
        assert!(matches!(late.fault(), Some(Fault::Generator(_))));
        let (takes, text) = verdict(&[step(50, |_| ()), late]);
        assert_eq!(takes, 50);
        assert!(text.contains("at least 50 calls") && text.contains("another machine"), "{text}");
    }

    #[test]
    fn the_verdict_is_the_highest_number_below_every_broken_one() {
        let busy = |calls| step(calls, |step| step.seen.busy = Some(0.9));
        let (takes, text) =
            verdict(&[step(50, |_| ()), busy(200), step(100, |_| ()), busy(150), step(175, |_| ())]);
        assert_eq!(takes, 100);
        assert!(text.contains("100 calls; at 150: a media core") && text.contains("0.50 cores"), "{text}");
        assert_eq!(verdict(&[busy(50)]).0, 0);
        assert_eq!(verdict(&[]).0, 0);
    }
}
