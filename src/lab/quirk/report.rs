//! The acceptance report: what was played against which daemon, and how it went. For a terminal, a file, a customer.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Outcome, Pbx, Verdict};
use crate::lab::report::Text;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1c2430}\
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}table{border-collapse:collapse;width:100%}\
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #dde3ea;vertical-align:top}\
.pass{color:#17703a}.fail{color:#b3261e;font-weight:600}.skip{color:#6b7480}td.why,td.note{color:#4a5563;font-size:13px}\
pre{background:#f4f6f9;padding:1rem;overflow:auto;font-size:12px;line-height:1.35}dt{color:#6b7480}dd{margin:0 0 .4rem}\
@media print{pre{white-space:pre-wrap}}";

/// Everything the report says.
#[derive(Clone, Debug, Default)]
pub struct Acceptance {
    /// When it began, as the reader writes it.
    pub date: String,
    /// What was called.
    pub target: String,
    /// Who was played.
    pub played: Vec<Pbx>,
    /// How it went.
    pub outcomes: Vec<Outcome>,
}

impl Acceptance {
    /// How many passed, failed, were skipped.
    pub fn counts(&self) -> (usize, usize, usize) {
        let of = |fits: fn(&Verdict) -> bool| self.outcomes.iter().filter(|one| fits(&one.verdict)).count();
        (
            of(|verdict| *verdict == Verdict::Passed),
            of(|verdict| matches!(verdict, Verdict::Failed(_))),
            of(|verdict| matches!(verdict, Verdict::Skipped(_))),
        )
    }

    /// Something was played, and nothing failed.
    pub fn accepted(&self) -> bool {
        let (passed, failed, _) = self.counts();
        failed == 0 && passed > 0
    }

    /// `Server` or `User-Agent` of the daemon.
    pub fn server(&self) -> &str {
        let named = self.outcomes.iter().find_map(|outcome| outcome.server.as_deref());
        named.unwrap_or("(not told)")
    }

    fn verdict(&self) -> String {
        let (passed, failed, skipped) = self.counts();
        let word = if self.accepted() { "ACCEPTED" } else { "NOT ACCEPTED" };
        format!("{word}: {passed} passed, {failed} failed, {skipped} not played")
    }

    fn played(&self) -> String {
        self.played.iter().map(Pbx::to_string).collect::<Vec<_>>().join(", ")
    }

    /// The table at the end: a row a PBX, and what failed by name.
    pub fn table(&self) -> String {
        let mut rows: BTreeMap<Pbx, [usize; 3]> = BTreeMap::new();
        for outcome in &self.outcomes {
            let row = rows.entry(outcome.pbx).or_default();
            match outcome.verdict {
                Verdict::Passed => row[0] += 1,
                Verdict::Failed(_) => row[1] += 1,
                Verdict::Skipped(_) => row[2] += 1,
            }
        }
        let mut out = format!("{:<12}{:>7}{:>7}{:>12}\n", "played", "passed", "failed", "not played");
        for (pbx, [passed, failed, skipped]) in rows {
            // Writing to a String does not fail.
            let _ = writeln!(out, "{pbx:<12}{passed:>7}{failed:>7}{skipped:>12}");
        }
        out + "\n" + &self.verdict() + "\n"
    }

    /// As text.
    pub fn text(&self) -> String {
        let mut out = format!(
            "SIP trunk acceptance report\n\ndate    {}\ntarget  {}\nserver  {}\nplayed  {}\nby      streamkit {}\n\n",
            self.date,
            self.target,
            self.server(),
            self.played(),
            env!("CARGO_PKG_VERSION"),
        );
        for outcome in &self.outcomes {
            let _ = writeln!(out, "{outcome}\n      {}", outcome.case.why);
            if let Some(fault) = outcome.failed() {
                let _ = writeln!(out, "      expected {}\n      found    {}", fault.expected, fault.found);
            }
        }
        let _ = write!(out, "\n{}", self.table());
        for outcome in self.outcomes.iter().filter(|outcome| outcome.failed().is_some()) {
            let _ = write!(out, "\n=== {}, {}\n{}", outcome.pbx, outcome.case.title(), outcome.story);
        }
        out
    }

    /// As a page that needs nothing from outside.
    pub fn html(&self) -> String {
        let mut out = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>SIP trunk acceptance \
             report</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>SIP trunk acceptance report</h1>\n"
        );
        let class = if self.accepted() { "pass" } else { "fail" };
        let _ = writeln!(out, "<p class=\"{class}\">{}</p>\n<dl>", Text(&self.verdict()));
        let by = format!("streamkit {}", env!("CARGO_PKG_VERSION"));
        for (name, value) in [
            ("Date", self.date.as_str()),
            ("Target", &self.target),
            ("Server", self.server()),
            ("Played", &self.played()),
            ("By", &by),
        ] {
            let _ = writeln!(out, "<dt>{name}</dt><dd>{}</dd>", Text(value));
        }
        out += "</dl>\n<h2>Cases</h2>\n<table>\n<thead><tr><th></th><th>PBX</th><th>Case</th><th>Why</th>\
                <th>Over</th><th>Seconds</th></tr></thead>\n<tbody>\n";
        self.outcomes.iter().for_each(|outcome| row(&mut out, outcome));
        out += "</tbody>\n</table>\n";
        for outcome in &self.outcomes {
            let Some(fault) = outcome.failed() else { continue };
            let _ = writeln!(
                out,
                "<h2>{}: {}</h2>\n<dl><dt>Expected</dt><dd>{}</dd><dt>Found</dt><dd>{}</dd></dl>\n<pre>{}</pre>",
                outcome.pbx,
                Text(&outcome.case.title()),
                Text(&fault.expected),
                Text(&fault.found),
                Text(&outcome.story)
            );
        }
        out + "</body>\n</html>\n"
    }
}

fn row(out: &mut String, outcome: &Outcome) {
    let (class, note) = match &outcome.verdict {
        Verdict::Passed => ("pass", outcome.notes.join("; ")),
        Verdict::Failed(fault) => ("fail", fault.to_string()),
        Verdict::Skipped(why) => ("skip", why.clone()),
    };
    let over = outcome.transport.map_or("", crate::sip::Transport::as_str);
    let _ = writeln!(
        out,
        "<tr><td class=\"{class}\">{class}</td><td>{}</td><td>{}</td><td class=\"why\">{}{}</td><td>{over}</td>\
         <td>{:.2}</td></tr>",
        outcome.pbx,
        Text(&outcome.case.title()),
        Text(outcome.case.why),
        if note.is_empty() { String::new() } else { format!("<br>{}", Text(&note)) },
        outcome.lasted.as_secs_f64()
    );
}
