//! Whether what was seen is flat. A pure core.
//!
//! The first third is the beginning: calls are placed, memory finds its size. Through the rest a straight line is laid
//! by least squares; what it rises from its beginning to its end may be no more than 2 % of its mean.

use serde_json::{Value, json};

use crate::sample::Sample;

/// A rise beyond this part is growth.
const RISE: f64 = 0.02;
/// A stretch with fewer looks than this says nothing of growth.
const LEAST: usize = 12;
/// So many late blocks in a thousand packets are none, whatever it was before.
const LATE: f64 = 1.0;
/// And in the last third there may be so many times as many as in the first of the stretch.
const LATER: f64 = 2.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Good,
    Broken,
    Unknown,
}

#[derive(Clone, Debug)]
pub struct Finding {
    pub what: &'static str,
    pub mark: Mark,
    pub text: String,
}

impl Finding {
    fn of(what: &'static str, good: bool, text: String) -> Self {
        Self { what, mark: if good { Mark::Good } else { Mark::Broken }, text }
    }

    pub fn line(&self) -> String {
        let mark = match self.mark {
            Mark::Good => "good",
            Mark::Broken => "BROKEN",
            Mark::Unknown => "not judged",
        };
        format!("{:<12} {mark:<10}  {}", self.what, self.text)
    }

    pub fn json(&self) -> Value {
        json!({ "what": self.what, "good": self.mark == Mark::Good, "judged": self.mark != Mark::Unknown, "text": self.text })
    }
}

/// Everything that is judged.
pub fn findings(idle: &Sample, samples: &[Sample], left: &Sample, took: f64, load: &Value) -> Vec<Finding> {
    let stretch = &samples[samples.len() / 3..];
    vec![
        calls(load),
        growth("memory", stretch, |sample| sample.rss_kb, "KB"),
        growth("descriptors", stretch, |sample| sample.descriptors, ""),
        growth("tasks", stretch, |sample| sample.tasks, ""),
        lateness(stretch, load),
        returned(idle, left, took),
    ]
}

fn calls(load: &Value) -> Finding {
    let text = format!(
        "{} placed, {} answered, at most {} at once, {} of {} packets lost",
        load["placed"], load["answered"], load["most_at_once"], load["lost"], load["heard"]
    );
    match load["wrong"].as_str() {
        Some(wrong) => Finding::of("calls", false, format!("{wrong}; {text}")),
        None => Finding::of("calls", load["answered"].as_u64().is_some_and(|answered| answered > 0), text),
    }
}

/// How much a line laid through these rises from its beginning to its end, and its mean.
fn rise(points: &[(f64, f64)]) -> (f64, f64) {
    let count = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
    let (mut both, mut square) = (0.0, 0.0);
    for point in points {
        both += (point.0 - x) * (point.1 - y);
        square += (point.0 - x) * (point.0 - x);
    }
    let long = points.last().map_or(0.0, |last| last.0 - points[0].0);
    (if square > 0.0 { both / square * long } else { 0.0 }, y)
}

fn growth(what: &'static str, stretch: &[Sample], of: fn(&Sample) -> f64, unit: &str) -> Finding {
    let points: Vec<(f64, f64)> = stretch.iter().map(|sample| (sample.at, of(sample))).collect();
    if points.len() < LEAST {
        let text = format!("{} looks after the first third, {LEAST} are needed", points.len());
        return Finding { what, mark: Mark::Unknown, text };
    }
    let (rise, mean) = rise(&points);
    let text = format!(
        "{rise:+.1} {unit} on {mean:.1} ({:+.2} %) over {:.0} s after the first third; {:.0} % are allowed",
        rise / mean.max(1e-9) * 100.0,
        points[points.len() - 1].0 - points[0].0,
        RISE * 100.0
    );
    Finding::of(what, rise <= RISE * mean, text)
}

/// Late blocks in a thousand packets, between the first and the last of these.
fn late(samples: &[Sample]) -> f64 {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return 0.0 };
    (last.late - first.late) / (last.packets - first.packets).max(1.0) * 1000.0
}

fn lateness(stretch: &[Sample], load: &Value) -> Finding {
    let part = stretch.len() / 3;
    let (first, last) = (late(&stretch[..part]), late(&stretch[stretch.len() - part..]));
    let text =
        format!("{first:.2} blocks in a thousand packets were more than 5 ms late, at the end {last:.2}");
    if part < 2 || load["own"]["kept_up"] != true {
        return Finding {
            what: "lateness",
            mark: Mark::Unknown,
            text: format!("{text}; the generator was late itself, or too few looks"),
        };
    }
    Finding::of("lateness", last <= LATE || last <= LATER * first, text)
}

fn returned(idle: &Sample, left: &Sample, took: f64) -> Finding {
    match left.kept(idle) {
        kept if kept.is_empty() => {
            Finding::of("given back", true, format!("everything, {took:.1} s after the last call"))
        }
        kept => {
            Finding::of("given back", false, format!("still held after {took:.0} s: {}", kept.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(count: usize, rss_kb: impl Fn(usize) -> f64) -> Vec<Sample> {
        let sample = |n: usize| Sample {
            at: n as f64 * 10.0,
            rss_kb: rss_kb(n),
            descriptors: 450.0 + (n % 5) as f64,
            tasks: 300.0,
            packets: n as f64 * 1000.0,
            late: n as f64 * 0.1,
            ..Sample::default()
        };
        (0..count).map(sample).collect()
    }

    fn load() -> Value {
        json!({ "placed": 500, "answered": 500, "lost": 0, "heard": 1, "most_at_once": 150, "own": { "kept_up": true } })
    }

    fn mark(findings: &[Finding], what: &str) -> Mark {
        findings.iter().find(|finding| finding.what == what).expect("a finding").mark
    }

    #[test]
    fn memory_that_finds_its_size_in_the_first_third_is_flat() {
        let idle = Sample::default();
        let flat =
            samples(60, |n| 30_000.0 + 300.0 * (n.min(20) as f64) + if n % 2 == 0 { 200.0 } else { 0.0 });
        let findings = findings(&idle, &flat, &idle, 12.0, &load());
        assert!(findings.iter().all(|finding| finding.mark == Mark::Good), "{findings:#?}");
    }

    #[test]
    fn steady_growth_is_found_under_noise() {
        let idle = Sample::default();
        let leak = samples(60, |n| 30_000.0 + 25.0 * n as f64 + if n % 2 == 0 { 500.0 } else { 0.0 });
        let findings = findings(&idle, &leak, &idle, 12.0, &load());
        assert_eq!((mark(&findings, "memory"), mark(&findings, "descriptors")), (Mark::Broken, Mark::Good));
    }

    #[test]
    fn what_is_kept_fails_and_what_is_too_short_is_not_judged() {
        let idle = Sample { descriptors: 20.0, ports_free: 100.0, ..Sample::default() };
        let left = Sample { descriptors: 21.0, ports_free: 98.0, ..idle };
        let findings = findings(&idle, &samples(15, |_| 1.0), &left, 35.0, &load());
        assert_eq!((mark(&findings, "given back"), mark(&findings, "memory")), (Mark::Broken, Mark::Unknown));
        let kept = &findings.last().expect("one").text;
        assert!(kept.contains("1 descriptors") && kept.contains("2 media ports"), "{kept}");
    }

    #[test]
    fn calls_that_failed_are_no_soak_and_a_core_that_grows_late_is_found() {
        let mut told = load();
        told["wrong"] = json!("3 of 500 calls failed");
        let idle = Sample::default();
        let mut late = samples(60, |_| 1.0);
        late.iter_mut().skip(45).enumerate().for_each(|(n, sample)| sample.late += n as f64 * 5.0);
        let findings = findings(&idle, &late, &idle, 1.0, &told);
        assert_eq!((mark(&findings, "calls"), mark(&findings, "lateness")), (Mark::Broken, Mark::Broken));
    }
}
