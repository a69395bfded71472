//! Both waveforms, what was said, and when: one axis, in seconds of the ladder.

use std::fmt::{Result, Write};

use super::{Report, Span, Text, Track};
use crate::lab::ear::extremes;
use crate::lab::ladder::{Kind, Rung};

/// The drawing is so wide; the axis begins at `LEFT`.
pub(super) const WIDTH: f64 = 1200.0;
const LEFT: f64 = 96.0;
const RIGHT: f64 = 12.0;
const LANE: f64 = 26.0;
const WAVE: f64 = 96.0;

pub(super) fn write(out: &mut String, report: &Report) -> Result {
    let length = report.length();
    let x = |seconds: f64| LEFT + seconds / length * (WIDTH - LEFT - RIGHT);
    let waves = LANE * 2.0 + 8.0;
    let bottom = waves + (WAVE + 10.0) * report.tracks.len() as f64;
    let height = bottom + LANE * 2.0 + 22.0;
    write!(out, "<svg id=\"timeline\" class=\"timeline\" viewBox=\"0 0 {WIDTH} {height}\" ")?;
    writeln!(out, "data-left=\"{LEFT}\" data-right=\"{}\" data-length=\"{length:.4}\">", WIDTH - RIGHT)?;
    grid(out, length, height - 20.0, x)?;
    lane(out, 0.0, "SIP", report.rungs.iter().filter(|r| r.is_sip()), x)?;
    spans(out, LANE, &report.spans, x)?;
    for (n, track) in report.tracks.iter().enumerate() {
        wave(out, waves + (WAVE + 10.0) * n as f64, track, n, x)?;
    }
    lane(out, bottom, "socket", report.rungs.iter().filter(|r| !r.is_sip()), x)?;
    writeln!(
        out,
        "<line id=\"cursor\" class=\"cursor\" y1=\"0\" y2=\"{:.1}\" x1=\"-9\" x2=\"-9\"/>",
        height - 20.0
    )?;
    writeln!(
        out,
        "<text id=\"cursor-time\" class=\"cursor-time\" y=\"{:.1}\" x=\"-99\"></text></svg>",
        height - 4.0
    )
}

fn grid(out: &mut String, length: f64, height: f64, x: impl Fn(f64) -> f64) -> Result {
    let step =
        [0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0].into_iter().find(|s| length / s <= 16.0).unwrap_or(300.0);
    let mut at = 0.0;
    while at <= length {
        let place = x(at);
        writeln!(
            out,
            "<line class=\"grid\" x1=\"{place:.1}\" x2=\"{place:.1}\" y1=\"0\" y2=\"{height:.1}\"/>"
        )?;
        writeln!(out, "<text class=\"tick\" x=\"{place:.1}\" y=\"{:.1}\">{at} s</text>", height + 14.0)?;
        at += step;
    }
    Ok(())
}

/// Messages as flags; those that would lie over the one before go to a second row, without words if need be.
fn lane<'a>(
    out: &mut String,
    top: f64,
    name: &str,
    rungs: impl Iterator<Item = &'a Rung>,
    x: impl Fn(f64) -> f64,
) -> Result {
    writeln!(out, "<text class=\"lane\" x=\"0\" y=\"{:.1}\">{name}</text>", top + 17.0)?;
    let mut free = [LEFT, LEFT];
    let rows = if name == "SIP" { 1 } else { 2 };
    for rung in rungs.filter(|rung| rung.kind != Kind::Audio) {
        let place = x(rung.at.as_secs_f64());
        let class = if rung.kind == Kind::Remark { "flag bad" } else { "flag" };
        // Only what it is: the rest is in the ladder.
        let label: String = rung.label.split(',').next().unwrap_or_default().chars().take(22).collect();
        let title = Text(&rung.label);
        writeln!(
            out,
            "<line class=\"{class}\" x1=\"{place:.1}\" x2=\"{place:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"><title>{:.3} s {title}</title></line>",
            top + 4.0,
            top + LANE * rows as f64 - 4.0,
            rung.at.as_secs_f64(),
        )?;
        let width = 9.0 + 6.3 * label.chars().count() as f64;
        if place + width > WIDTH {
            continue; // no room for words at the edge: the flag says them when pointed at
        }
        if let Some(row) = free.iter().take(rows as usize).position(|free| *free <= place) {
            free[row] = place + width;
            let y = top + LANE * row as f64 + 17.0;
            writeln!(
                out,
                "<text class=\"flagged\" x=\"{:.1}\" y=\"{y:.1}\">{}</text>",
                place + 4.0,
                Text(&label)
            )?;
        }
    }
    Ok(())
}

fn spans(out: &mut String, top: f64, spans: &[Span], x: impl Fn(f64) -> f64) -> Result {
    writeln!(out, "<text class=\"lane\" x=\"0\" y=\"{:.1}\">says</text>", top + 17.0)?;
    for span in spans {
        let (from, to) = (x(span.from), x(span.to));
        let (name, lane, width) = (Text(&span.name), span.lane.min(1), (to - from).max(2.0));
        let y = top + 3.0 + 13.0 * lane as f64;
        writeln!(
            out,
            "<rect class=\"span who{lane}\" x=\"{from:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"12\" rx=\"3\"><title>{name}</title></rect>"
        )?;
        if width > 6.0 * span.name.chars().count() as f64 {
            writeln!(
                out,
                "<text class=\"spanned\" x=\"{:.1}\" y=\"{:.1}\">{name}</text>",
                from + 5.0,
                y + 9.5
            )?;
        }
    }
    Ok(())
}

fn wave(out: &mut String, top: f64, track: &Track, n: usize, x: impl Fn(f64) -> f64) -> Result {
    let (from, to) = (x(track.begins), x(track.begins + track.sound.duration().as_secs_f64()));
    let middle = top + WAVE / 2.0;
    let mut words = track.name.splitn(2, ' ');
    for (row, word) in words.by_ref().enumerate() {
        writeln!(
            out,
            "<text class=\"lane\" x=\"0\" y=\"{:.1}\">{}</text>",
            middle - 2.0 + 15.0 * row as f64,
            Text(word)
        )?;
    }
    writeln!(
        out,
        "<rect class=\"bed\" x=\"{LEFT}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{WAVE}\" rx=\"4\"/>",
        WIDTH - LEFT - RIGHT
    )?;
    let columns = ((to - from) * 1.5).clamp(1.0, 4000.0) as usize;
    let drawn = extremes(&track.sound.samples, columns);
    let scale = WAVE / 2.0 / 20_000.0;
    let place = |n: usize| from + (to - from) * n as f64 / columns as f64;
    let y = |sample: i16| middle - (f64::from(sample) * scale).clamp(-WAVE / 2.0, WAVE / 2.0);
    write!(out, "<path class=\"wave wave{n}\" d=\"M")?;
    for (n, (_, high)) in drawn.iter().enumerate() {
        write!(out, "{:.1} {:.1} ", place(n), y(*high) - 0.4)?;
    }
    for (n, (low, _)) in drawn.iter().enumerate().rev() {
        write!(out, "{:.1} {:.1} ", place(n), y(*low) + 0.4)?;
    }
    if drawn.is_empty() {
        write!(out, "{from:.1} {middle:.1} ")?;
    }
    writeln!(out, "Z\"/>")
}
