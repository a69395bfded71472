//! The table for people.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::judge::PACE_P99_MS;
use crate::rows::{Measure, Row};
use crate::run::{Run, Subject};

const HEAD: [&str; 8] = ["", "floor", "product", "ratio", "target", "never", "verdict", ""];

/// Numbers side by side, each row with its mark.
pub fn table(rows: &[Row]) -> String {
    let mut lines = vec![HEAD.map(str::to_owned)];
    lines.extend(rows.iter().map(cells));
    let mut widths = [0; 8];
    for line in &lines {
        line.iter().zip(&mut widths).for_each(|(cell, width)| *width = (*width).max(cell.chars().count()));
    }
    let mut text = String::new();
    for line in &lines {
        let padded: Vec<String> =
            line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(text, "{}", padded.join("  ").trim_end());
    }
    text
}

fn cells(row: &Row) -> [String; 8] {
    let joined = |numbers: Vec<f64>| numbers.into_iter().map(number).collect::<Vec<_>>().join(" / ");
    let of = |which: fn(&Measure) -> f64| joined(row.measures.iter().map(which).collect());
    let labels: Vec<&str> =
        row.measures.iter().map(|measure| measure.label).filter(|label| !label.is_empty()).collect();
    let unit = [labels.join(" / "), row.unit.to_owned()]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>();
    let name = if unit.is_empty() { row.name.clone() } else { format!("{} ({})", row.name, unit.join(", ")) };
    let floor = if row.floor.is_empty() { "-".to_owned() } else { joined(row.floor.clone()) };
    let pairs = row.product.iter().zip(&row.floor).filter(|(_, floor)| **floor > 0.0);
    let ratio = joined(pairs.map(|(product, floor)| product / floor).collect());
    let mark = row.mark().name().to_owned();
    [
        name,
        floor,
        joined(row.product.clone()),
        ratio,
        of(|m| m.target),
        of(|m| m.never),
        mark,
        row.note.clone(),
    ]
}

/// As many digits as tell something.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        1000.0.. => format!("{value:.0}"),
        100.0.. => format!("{value:.1}"),
        0.1.. => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// One run in a line.
pub fn line(run: &Run) -> String {
    let number = |path: &str| run.figure(path).unwrap_or(f64::NAN);
    let mut text = format!(
        "{:<8} round {} at {:>3} calls: CPU {:.3} ms a call-second, RTP to socket p50 {:.2} p99 {:.2} ms, socket to RTP p50 \
         {:.1} p99 {:.1} ms, generator late p99 {:.2} ms, stolen {:.1} %, others {:.0} %",
        run.subject.name(),
        run.round,
        run.calls,
        number("/sut_cpu_ms_per_call_s"),
        number("/bot/rtp_to_ws_ms/p50"),
        number("/bot/rtp_to_ws_ms/p99"),
        number("/ws_to_rtp_ms/p50"),
        number("/ws_to_rtp_ms/p99"),
        number("/pace_err_ms/p99"),
        run.stolen,
        run.others,
    );
    if let Some(why) = run.fault() {
        let _ = write!(text, "\n         REFUSED: {why}");
    }
    text
}

/// How quiet the machine was.
pub fn noise(runs: &[Run], calls: u32) -> String {
    let mut text = String::new();
    for subject in [Subject::Floor, Subject::Product] {
        let of = runs.iter().filter(|run| run.subject == subject && run.calls == calls);
        let cpu: Vec<f64> = of.filter_map(|run| run.figure("/sut_cpu_ms_per_call_s")).collect();
        let (least, most) = cpu.iter().fold((f64::MAX, 0.0f64), |(a, b), &ms| (a.min(ms), b.max(ms)));
        if cpu.len() > 1 {
            let apart = (most - least) / least * 100.0;
            let _ =
                writeln!(text, "noise: CPU of the {} {apart:.1} % apart between the rounds", subject.name());
        }
    }
    let worst = |of: fn(&Run) -> f64| runs.iter().map(of).fold(0.0, f64::max);
    let _ = writeln!(
        text,
        "noise: stolen at most {:.1} %, others at most {:.0} % of the machine; generator late p99 at most {:.2} ms \
         ({PACE_P99_MS} are allowed)",
        worst(|run| run.stolen),
        worst(|run| run.others),
        worst(|run| run.figure("/pace_err_ms/p99").unwrap_or(0.0)),
    );
    text
}

/// The same for programs.
pub fn row_json(row: &Row) -> Value {
    let measure =
        |m: &Measure| json!({ "label": m.label, "value": m.value, "target": m.target, "never": m.never });
    json!({
        "name": row.name, "unit": row.unit, "measures": row.measures.iter().map(measure).collect::<Vec<_>>(),
        "product": row.product, "floor": row.floor, "mark": row.mark().name(), "note": row.note,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_stands_beside_the_numbers_it_is_of() {
        let ratio = Measure::at_most("bounds: times the floor", 1.5, 1.3, 1.6);
        let row = Row { product: vec![1.2], ..Row::of("CPU", "ms", vec![ratio], vec![0.8]) };
        let text = table(&[row, Row::refused("delay", "late")]);
        let columns: Vec<&str> = text
            .lines()
            .nth(1)
            .expect("a row")
            .split("  ")
            .filter(|cell| !cell.is_empty())
            .map(str::trim)
            .collect();
        assert_eq!(
            columns,
            ["CPU (bounds: times the floor, ms)", "0.80", "1.20", "1.50", "1.30", "1.60", "within"]
        );
        assert!(text.lines().nth(2).is_some_and(|line| line.contains("not judged  late")), "{text}");
    }
}
