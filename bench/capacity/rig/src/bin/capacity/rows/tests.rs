use serde_json::json;

use super::*;
use crate::setups::{Pass, Setups};

fn run(subject: Subject, calls: u32, cpu: f64, failed: u64) -> Run {
    let told = json!({
        "failed": failed, "sut_cpu_ms_per_call_s": cpu, "rss_up_kb": 16_384, "anon_up_kb": 8_192,
        "pace_err_ms": { "p99": 0.3 }, "ws_to_rtp_ms": { "p50": 9.0, "p99": 11.0, "n": 6000 },
        "ctxsw_per_call_s": [10.0, 5.0], "rx_seq_gaps": 0, "late40": 0, "frames_missing": 0,
        "bot": { "rtp_to_ws_ms": { "p50": 0.2, "p99": 5.0, "n": 5997 }, "frames_missing": 3 },
    });
    let (stolen, others) = (0.0, 0.0);
    Run { subject, round: 1, calls, idle_kb: (10_240, 2_048), told, stolen, others, load: String::new() }
}

fn setups() -> Setups {
    let pass = |rate, cores, failed| Pass {
        calls: 100,
        rate,
        cores,
        failed,
        p50_ms: 1.0,
        p99_ms: 2.0,
        cpu_ms: 1.0,
        ..Pass::default()
    };
    Setups {
        full: pass(40, 0.1, 0),
        resumed: pass(40, 0.1, 0),
        floor: None,
        ramp: vec![pass(100, 0.2, 0), pass(150, 0.4, 0), pass(225, 0.5, 1)],
        stopped: "1 of 100 failed".to_owned(),
        idle_again: true,
    }
}

fn found<'a>(runs: &'a [Run], setups: &'a Setups) -> Found<'a> {
    Found { calls: 200, few: 100, many: 500, runs, setups, anyway: false }
}

fn row<'a>(rows: &'a [Row], name: &str) -> &'a Row {
    rows.iter().find(|row| row.name.starts_with(name)).expect("a row")
}

#[test]
fn each_row_is_the_mean_of_its_rounds_against_its_bounds() {
    let of = |subject, cpu| run(subject, 200, cpu, 0);
    let mut runs = vec![
        of(Subject::Floor, 0.7),
        of(Subject::Product, 1.0),
        of(Subject::Floor, 0.9),
        of(Subject::Product, 1.4),
    ];
    runs.extend([run(Subject::Product, 100, 1.0, 0), run(Subject::Product, 500, 1.2, 0)]);
    let setups = setups();
    let rows = rows(&found(&runs, &setups));
    let cpu = row(&rows, "CPU");
    assert!((cpu.measures[0].value - 1.5).abs() < 1e-9 && cpu.mark() == Mark::Within, "{cpu:?}");
    assert!((row(&rows, "memory a call").measures[0].value - 30.72).abs() < 1e-9);
    assert_eq!(row(&rows, "added delay, RTP").mark(), Mark::Broken, "the worse of p50 and p99");
    assert_eq!(row(&rows, "added delay, socket").mark(), Mark::Within);
    assert_eq!(row(&rows, "set-ups a second").measures[0].value, 375.0, "the last clean step");
    let lost = row(&rows, "audio lost");
    assert!((lost.measures[0].value - 0.025).abs() < 1e-9 && lost.mark() == Mark::Within, "{lost:?}");
    assert_eq!(row(&rows, "cost a call").mark(), Mark::Broken);
}

#[test]
fn one_refused_run_refuses_its_rows_and_no_other() {
    let runs = vec![
        run(Subject::Floor, 200, 0.7, 0),
        run(Subject::Product, 200, 1.0, 0),
        run(Subject::Product, 100, 1.0, 0),
        run(Subject::Product, 500, 1.0, 9),
    ];
    let setups = setups();
    let judged = rows(&found(&runs, &setups));
    assert_eq!(row(&judged, "cost a call").mark(), Mark::Refused);
    assert!(row(&judged, "cost a call").note.contains("product at 500, round 1: 9 of 500 calls failed"));
    assert_eq!(row(&judged, "CPU").mark(), Mark::Within);
    let anyway = rows(&Found { anyway: true, ..found(&runs, &setups) });
    assert_eq!(row(&anyway, "cost a call").mark(), Mark::Target);
}

#[test]
fn a_number_that_is_none_is_broken_and_what_was_not_measured_is_not_judged() {
    assert_eq!(
        Row::of("x", "", vec![Measure::at_most("", f64::NAN, 1.0, 2.0)], Vec::new()).mark(),
        Mark::Broken
    );
    let setups = setups();
    assert!(rows(&found(&[], &setups)).iter().filter(|row| row.mark() == Mark::Refused).count() >= 8);
}
