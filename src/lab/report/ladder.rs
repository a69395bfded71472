//! The ladder as a drawing: time runs down, three parties across.

use std::fmt::{Result, Write};

use super::timeline::WIDTH;
use super::{Report, Text};
use crate::lab::ladder::{Kind, Rung};

const PLACES: [f64; 3] = [150.0, 640.0, 1130.0];
const ROW: f64 = 25.0;
const TOP: f64 = 44.0;

pub(super) fn write(out: &mut String, report: &Report) -> Result {
    let rows = rows(&report.rungs);
    let height = rows.last().map_or(TOP, |(y, _)| *y) + 24.0;
    writeln!(out, "<svg id=\"ladder\" class=\"ladder\" viewBox=\"0 0 {WIDTH} {height:.1}\">")?;
    for (place, name) in PLACES.iter().zip(["caller", "streamkit", "bot"]) {
        writeln!(out, "<line class=\"life\" x1=\"{place}\" x2=\"{place}\" y1=\"30\" y2=\"{height:.1}\"/>")?;
        writeln!(out, "<text class=\"party\" x=\"{place}\" y=\"20\">{name}</text>")?;
    }
    let mut last = 0.0;
    for (y, rung) in &rows {
        row(out, *y, rung, *y > last)?;
        last = *y;
    }
    writeln!(out, "</svg>\n<pre id=\"detail\" class=\"detail\">Choose a line to read it in full.</pre>")
}

/// Where each rung stands: evenly, with more room where nothing happened for long; sums of audio that run on
/// stand beside each other.
fn rows(rungs: &[Rung]) -> Vec<(f64, &Rung)> {
    let mut y = TOP;
    let mut rows: Vec<(f64, &Rung)> = Vec::with_capacity(rungs.len());
    for rung in rungs {
        if let Some((_, before)) = rows.last() {
            let silence = (rung.at.saturating_sub(before.at)).as_secs_f64();
            y += if before.runs_on(rung) { 0.0 } else { ROW + (silence * 6.0).min(24.0) };
        }
        rows.push((y, rung));
    }
    rows
}

fn row(out: &mut String, y: f64, rung: &Rung, timed: bool) -> Result {
    let (from, to) = (PLACES[rung.from as usize], PLACES[rung.to as usize]);
    let class = match rung.kind {
        Kind::Message => "message",
        Kind::Audio => "audio",
        Kind::Remark => "remark",
    };
    let seconds = rung.at.as_secs_f64();
    let detail = if rung.detail.is_empty() { &rung.label } else { &rung.detail };
    writeln!(
        out,
        "<g class=\"rung {class}\" data-at=\"{seconds:.4}\" data-detail=\"{}\" tabindex=\"0\">",
        Text(detail)
    )?;
    writeln!(out, "<rect class=\"row\" x=\"0\" y=\"{:.1}\" width=\"{WIDTH}\" height=\"{ROW}\"/>", y - 17.0)?;
    if timed {
        writeln!(out, "<text class=\"time\" x=\"66\" y=\"{:.1}\">{seconds:.3}</text>", y + 2.0)?;
    }
    let side = (to - from).signum();
    let (start, end) = (from + 4.0 * side, to - 4.0 * side);
    let middle = (from + to) / 2.0;
    if rung.kind != Kind::Remark {
        writeln!(out, "<line class=\"shaft\" x1=\"{start}\" x2=\"{end}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>")?;
        let back = end - 9.0 * side;
        let (up, down) = (y - 4.5, y + 4.5);
        writeln!(out, "<path class=\"tip\" d=\"M{end} {y:.1} {back} {up:.1} {back} {down:.1}Z\"/>")?;
    }
    let label: String = rung.label.chars().take(64).collect();
    writeln!(out, "<text class=\"label\" x=\"{middle}\" y=\"{:.1}\">{}</text></g>", y - 5.0, Text(&label))
}
