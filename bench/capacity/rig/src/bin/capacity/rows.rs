//! The rows of the table: what was found, what is wanted, and what may never be.

use crate::run::{Run, Subject};
use crate::setups::Setups;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Target,
    Within,
    Broken,
    Refused,
}

impl Mark {
    pub fn name(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Within => "within",
            Self::Broken => "broken",
            Self::Refused => "not judged",
        }
    }
}

/// One number with its bounds.
#[derive(Clone, Debug)]
pub struct Measure {
    pub label: &'static str,
    pub value: f64,
    pub target: f64,
    pub never: f64,
    /// More is better.
    pub at_least: bool,
}

impl Measure {
    pub fn at_most(label: &'static str, value: f64, target: f64, never: f64) -> Self {
        Self { label, value, target, never, at_least: false }
    }

    pub fn at_least(label: &'static str, value: f64, target: f64, never: f64) -> Self {
        Self { label, value, target, never, at_least: true }
    }

    fn mark(&self) -> Mark {
        let keeps = |bound: f64| if self.at_least { self.value >= bound } else { self.value <= bound };
        match (keeps(self.target), keeps(self.never)) {
            (true, _) => Mark::Target,
            (false, true) => Mark::Within,
            (false, false) => Mark::Broken, // a number that is none, too
        }
    }
}

#[derive(Clone, Debug)]
pub struct Row {
    pub name: String,
    pub unit: &'static str,
    pub measures: Vec<Measure>,
    /// The product's own numbers, where those with bounds are ratios.
    pub product: Vec<f64>,
    /// The same of the floor, where it has such a thing.
    pub floor: Vec<f64>,
    /// What the numbers come from, or why there are none.
    pub note: String,
}

impl Row {
    pub fn of(name: impl Into<String>, unit: &'static str, measures: Vec<Measure>, floor: Vec<f64>) -> Self {
        let product = measures.iter().map(|measure| measure.value).collect();
        Self { name: name.into(), unit, measures, product, floor, note: String::new() }
    }

    pub fn refused(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self { note: why.into(), ..Self::of(name, "", Vec::new(), Vec::new()) }
    }

    fn noted(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// The worst of its numbers.
    pub fn mark(&self) -> Mark {
        let marks: Vec<Mark> = self.measures.iter().map(Measure::mark).collect();
        let worst = [Mark::Broken, Mark::Within, Mark::Target].into_iter().find(|mark| marks.contains(mark));
        worst.unwrap_or(Mark::Refused)
    }
}

/// Everything that was found.
pub struct Found<'a> {
    pub calls: u32,
    pub few: u32,
    pub many: u32,
    pub runs: &'a [Run],
    pub setups: &'a Setups,
    /// Runs that cannot be trusted are used all the same.
    pub anyway: bool,
}

impl Found<'_> {
    /// The mean of a figure over the rounds; or why there is none.
    fn mean(
        &self,
        subject: Subject,
        calls: u32,
        figure: impl Fn(&Run) -> Option<f64>,
    ) -> Result<f64, String> {
        let of = |run: &&Run| run.subject == subject && run.calls == calls;
        let runs: Vec<&Run> = self.runs.iter().filter(of).collect();
        if let Some((run, why)) =
            runs.iter().find_map(|run| Some((run, run.fault()?))).filter(|_| !self.anyway)
        {
            return Err(format!("{} at {calls}, round {}: {why}", subject.name(), run.round));
        }
        let missing = || format!("{} at {calls}: not measured", subject.name());
        let figures: Vec<f64> =
            runs.iter().map(|run| figure(run)).collect::<Option<_>>().ok_or_else(missing)?;
        match figures.len() {
            0 => Err(missing()),
            count => Ok(figures.iter().sum::<f64>() / count as f64),
        }
    }

    /// Of the product and of the floor, several figures at once.
    fn both(&self, paths: &[&str]) -> Result<(Vec<f64>, Vec<f64>), String> {
        let of = |subject| -> Result<Vec<f64>, String> {
            paths.iter().map(|path| self.mean(subject, self.calls, |run| run.figure(path))).collect()
        };
        Ok((of(Subject::Product)?, of(Subject::Floor)?))
    }
}

/// All rows, those that cannot be judged with their reason.
pub fn rows(found: &Found<'_>) -> Vec<Row> {
    let named: [(&str, Result<Row, String>); 10] = [
        ("CPU a call-second", cpu(found)),
        ("memory a call above idle", memory(found)),
        ("idle memory", idle(found)),
        ("added delay, RTP to socket", delay(found, "/bot/rtp_to_ws_ms", [(0.3, 1.0), (1.5, 3.0)])),
        ("added delay, socket to RTP", delay(found, "/ws_to_rtp_ms", [(8.0, 15.0), (12.0, 22.0)])),
        ("set-up, full handshake", setup(found)),
        ("set-ups a second and core", pace(found)),
        ("context switches a call-second", switches(found)),
        ("audio lost", lost(found)),
        ("cost a call, many against few", cost(found)),
    ];
    let row = |(name, row): (&str, Result<Row, String>)| match row {
        Ok(row) => Row { name: name.to_owned(), ..row },
        Err(why) => Row::refused(name, why),
    };
    named.into_iter().map(row).collect()
}

fn cpu(found: &Found<'_>) -> Result<Row, String> {
    let (product, floor) = found.both(&["/sut_cpu_ms_per_call_s"])?;
    let ratio = Measure::at_most("bounds: times the floor", product[0] / floor[0], 1.3, 1.6);
    Ok(Row { product, ..Row::of("", "ms", vec![ratio], floor) })
}

fn memory(found: &Found<'_>) -> Result<Row, String> {
    let calls = f64::from(found.calls);
    let above = |run: &Run, path: &str, idle: u64| Some((run.figure(path)? - idle as f64) / calls);
    let rss = |subject| found.mean(subject, found.calls, |run| above(run, "/rss_up_kb", run.idle_kb.0));
    let anonymous = |run: &Run| above(run, "/anon_up_kb", run.idle_kb.1);
    let anonymous = found.mean(Subject::Product, found.calls, anonymous)?;
    let measures = vec![Measure::at_most("resident", rss(Subject::Product)?, 32.0, 64.0)];
    Ok(Row::of("", "KB", measures, vec![rss(Subject::Floor)?]).noted(format!("anonymous {anonymous:.1} KB")))
}

fn idle(found: &Found<'_>) -> Result<Row, String> {
    let mb = |subject| found.mean(subject, found.calls, |run| Some(run.idle_kb.0 as f64 / 1024.0));
    let measures = vec![Measure::at_most("resident", mb(Subject::Product)?, 12.0, 20.0)];
    Ok(Row::of("", "MB", measures, vec![mb(Subject::Floor)?]))
}

fn delay(found: &Found<'_>, path: &str, bounds: [(f64, f64); 2]) -> Result<Row, String> {
    let (product, floor) = found.both(&[&format!("{path}/p50"), &format!("{path}/p99")])?;
    let measure = |n: usize, label| Measure::at_most(label, product[n], bounds[n].0, bounds[n].1);
    Ok(Row::of("", "ms", vec![measure(0, "p50"), measure(1, "p99")], floor))
}

fn setup(found: &Found<'_>) -> Result<Row, String> {
    let full = &found.setups.full;
    full.fault().filter(|_| !found.anyway).map_or(Ok(()), Err)?;
    let measures = vec![
        Measure::at_most("p50", full.p50_ms, 1.5, 3.0),
        Measure::at_most("p99", full.p99_ms, 3.0, 6.0),
        Measure::at_most("CPU", full.cpu_ms, 1.0, 2.0),
    ];
    let resumed = &found.setups.resumed;
    let note = format!(
        "resumed: p50 {:.2} p99 {:.2} CPU {:.2} ({} of {} resumed)",
        resumed.p50_ms, resumed.p99_ms, resumed.cpu_ms, resumed.resumed, resumed.calls
    );
    let floor = found
        .setups
        .floor
        .as_ref()
        .map_or(Vec::new(), |floor| vec![floor.p50_ms, floor.p99_ms, floor.cpu_ms]);
    Ok(Row::of("", "ms", measures, floor).noted(note))
}

fn pace(found: &Found<'_>) -> Result<Row, String> {
    let best = found.setups.best().ok_or("not one step of the ramp was clean")?;
    let measures = vec![Measure::at_least("clean", best.per_core(), 500.0, 250.0)];
    let note = format!(
        "{} a second on {:.2} cores; then: {}; {}",
        best.rate,
        best.cores,
        found.setups.stopped,
        if found.setups.idle_again { "descriptors back to idle" } else { "descriptors NOT back to idle" }
    );
    let row = Row::of("", "", measures, Vec::new()).noted(note);
    if found.setups.idle_again { Ok(row) } else { Err(row.note) }
}

fn switches(found: &Found<'_>) -> Result<Row, String> {
    let (product, floor) = found.both(&["/ctxsw_per_call_s/0", "/ctxsw_per_call_s/1"])?;
    let measures = vec![Measure::at_most("all", product[0] + product[1], 25.0, 60.0)];
    Ok(Row::of("", "", measures, vec![floor[0] + floor[1]])
        .noted(format!("{:.1} of them forced", product[1])))
}

/// Frames of either side that the other never heard, told by the stamps in them, and gaps in sequence.
fn lost(found: &Found<'_>) -> Result<Row, String> {
    let percent = |run: &Run| {
        let missing = run.figure("/frames_missing")? + run.figure("/bot/frames_missing")?;
        let heard = run.figure("/ws_to_rtp_ms/n")? + run.figure("/bot/rtp_to_ws_ms/n")?;
        Some(missing.max(run.figure("/rx_seq_gaps")?) / (heard + missing) * 100.0)
    };
    let product = found.mean(Subject::Product, found.calls, percent)?;
    let late = found.mean(Subject::Product, found.calls, |run| run.figure("/late40"))?;
    let floor = vec![found.mean(Subject::Floor, found.calls, percent)?];
    let row = Row::of("", "%", vec![Measure::at_most("", product, 0.0, 0.05)], floor);
    Ok(row.noted(format!("{late:.0} packets more than 40 ms after the one before")))
}

fn cost(found: &Found<'_>) -> Result<Row, String> {
    let at = |calls| found.mean(Subject::Product, calls, |run| run.figure("/sut_cpu_ms_per_call_s"));
    let (few, many) = (at(found.few)?, at(found.many)?);
    let measures = vec![Measure::at_most("times", many / few, 1.0, 1.1)];
    let note = format!("{few:.3} ms at {} calls, {many:.3} ms at {}", found.few, found.many);
    Ok(Row::of("", "", measures, Vec::new()).noted(note))
}

#[cfg(test)]
mod tests;
