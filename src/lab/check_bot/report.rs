//! What was found of a bot, for people and for programs.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Checked, Fault, Figures, Finding, Report, Severity};

/// A check on a machine that stands still longer is none of time.
const LATE: Duration = Duration::from_millis(200);

impl Report {
    /// The worst there is.
    pub fn worst(&self) -> Option<Severity> {
        self.calls.iter().flat_map(|call| &call.findings).map(|finding| finding.fault.severity()).max()
    }

    /// For people: each fault once, with the rates it was found at.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let mut count = [0; 3];
        for severity in [Severity::Error, Severity::Warning, Severity::Advice] {
            for fault in Fault::ALL.iter().filter(|fault| fault.severity() == severity) {
                let found = self.found(*fault);
                if let Some((_, first)) = found.first() {
                    count[severity as usize] += 1;
                    describe(&mut out, first, &rates(&found, self.calls.len()));
                }
            }
        }
        let late = self.calls.iter().map(|call| call.figures.late).max().unwrap_or_default();
        if late > LATE {
            let ms = late.as_millis();
            let _ = writeln!(
                out,
                "this machine was up to {ms} ms late itself: what is said of time may be its own\n"
            );
        }
        let [advice, warnings, errors] = count;
        let _ = writeln!(out, "{}: {errors} errors, {warnings} warnings, {advice} advice", self.url);
        out
    }

    /// For programs: one object; the keys are stable.
    pub fn json(&self) -> Value {
        let worst = self.worst().map(Severity::word);
        let calls: Vec<Value> = self.calls.iter().map(call).collect();
        json!({ "version": 1, "url": self.url, "worst": worst, "calls": calls })
    }

    fn found(&self, fault: Fault) -> Vec<(&Checked, &Finding)> {
        let of = |call| -> Option<(&Checked, &Finding)> {
            let call: &Checked = call;
            call.findings.iter().find(|finding| finding.fault == fault).map(|finding| (call, finding))
        };
        self.calls.iter().filter_map(of).collect()
    }
}

impl Checked {
    /// One call in a line.
    pub fn line(&self) -> String {
        let Figures { connect, first_audio, slowest_reply, messages, .. } = &self.figures;
        let ms = |long: &Option<Duration>| long.map_or("-".to_owned(), |long| long.as_millis().to_string());
        format!(
            "{:>5} Hz  connect {} ms  first audio {} ms  slowest reply {} ms  audio {:.1} s in {messages} messages  \
             marks {}  clears {}  findings {}",
            self.rate,
            ms(connect),
            ms(first_audio),
            ms(slowest_reply),
            self.rate.duration(self.figures.octets / 2).as_secs_f64(),
            self.figures.marks,
            self.figures.clears,
            self.findings.len()
        )
    }
}

fn describe(out: &mut String, finding: &Finding, rates: &str) {
    let Finding { fault, times, at, evidence } = finding;
    let often = if *times == 1 { String::new() } else { format!(", {times} times") };
    let (word, section) = (fault.severity().word(), fault.section());
    let _ = writeln!(out, "{word:<8} {}\n         agentstream.md {section}{rates}{often}", fault.text());
    if !evidence.is_empty() {
        let _ = writeln!(out, "         at {:.2} s: {evidence}", at.as_secs_f64());
    }
    out.push('\n');
}

/// Not told where it is so at all of them.
fn rates(found: &[(&Checked, &Finding)], calls: usize) -> String {
    if found.len() == calls {
        return String::new();
    }
    let rates: Vec<String> = found.iter().map(|(call, _)| call.rate.to_string()).collect();
    format!(", at {} Hz", rates.join(" and "))
}

fn call(call: &Checked) -> Value {
    let ms = |long: Duration| u64::try_from(long.as_millis()).unwrap_or(u64::MAX);
    let figures = &call.figures;
    let findings: Vec<Value> = call.findings.iter().map(|found| finding(found, &ms)).collect();
    json!({
        "sample_rate": call.rate.hz(),
        "connect_ms": figures.connect.map(ms),
        "first_audio_ms": figures.first_audio.map(ms),
        "slowest_reply_ms": figures.slowest_reply.map(ms),
        "close_ms": figures.close.map(ms),
        "messages": figures.messages,
        "audio_ms": ms(call.rate.duration(figures.octets / 2)),
        "longest_queue_ms": ms(figures.queued),
        "starved": figures.holes.0,
        "longest_starvation_ms": ms(figures.holes.1),
        "marks": figures.marks,
        "clears": figures.clears,
        "late_ms": ms(figures.late),
        "findings": findings,
    })
}

fn finding(finding: &Finding, ms: &impl Fn(Duration) -> u64) -> Value {
    let Finding { fault, times, at, evidence } = finding;
    json!({
        "what": fault.word(),
        "severity": fault.severity().word(),
        "section": fault.section(),
        "text": fault.text(),
        "times": times,
        "at_ms": ms(*at),
        "evidence": evidence,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::SampleRate;

    fn report() -> Report {
        let found = |fault, evidence: &str| Finding {
            fault,
            times: 2,
            at: Duration::from_millis(1500),
            evidence: evidence.to_owned(),
        };
        let call = |rate, findings| Checked { rate, figures: Figures::default(), findings };
        let both = || found(Fault::NoMarks, "");
        let calls = vec![
            call(SampleRate::Hz8000, vec![both()]),
            call(SampleRate::Hz16000, vec![found(Fault::Binary, "640 bytes"), both()]),
        ];
        Report { url: "wss://bot.example.com/".to_owned(), calls }
    }

    #[test]
    fn people_read_the_worst_first_with_rate_and_evidence() {
        let text = report().text();
        assert!(text.starts_with("error    sends binary messages"), "{text}");
        assert!(text.contains("agentstream.md 6.5, at 16000 Hz, 2 times\n         at 1.50 s: 640 bytes\n"));
        assert!(text.contains("advice   sends no marks"), "{text}");
        assert!(!text.contains("this machine"));
        let mut busy = report();
        busy.calls[0].figures.late = Duration::from_millis(350);
        assert!(busy.text().contains("this machine was up to 350 ms late itself"));
        assert!(text.ends_with("wss://bot.example.com/: 1 errors, 0 warnings, 1 advice\n"), "{text}");
    }

    #[test]
    fn programs_read_the_same() {
        let json = report().json();
        assert_eq!((json["worst"].as_str(), json["calls"][0]["connect_ms"].is_null()), (Some("error"), true));
        let finding = &json["calls"][1]["findings"][0];
        assert_eq!((finding["what"].as_str(), finding["at_ms"].as_u64()), (Some("binary"), Some(1500)));
    }
}
