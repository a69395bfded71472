//! What may be judged, and what follows from it.

use serde_json::Value;

use crate::rows::{Mark, Row};

/// A generator whose packets left later than this, 99 of 100, has measured itself.
pub const PACE_P99_MS: f64 = 2.0;

/// Why what the generator told cannot be judged, if it cannot.
pub fn fault(told: &Value, calls: u32) -> Option<String> {
    let count = |name: &str| told[name].as_u64().unwrap_or(0);
    for (name, what) in
        [("failed", "failed"), ("early_bye", "ended early"), ("calls_without_rx", "heard nothing")]
    {
        if count(name) > 0 {
            return Some(format!("{} of {calls} calls {what} {}", count(name), reasons(told)));
        }
    }
    let Some(pace) = told.pointer("/pace_err_ms/p99").and_then(Value::as_f64) else {
        return Some("no packet was sent in the window".to_owned());
    };
    (pace > PACE_P99_MS).then(|| {
        format!("the generator was late: 1 of 100 packets left {pace:.1} ms or more after its time, {PACE_P99_MS} are allowed")
    })
}

fn reasons(told: &Value) -> String {
    match told["why"].as_object() {
        Some(why) if !why.is_empty() => format!("({})", told["why"]),
        _ => String::new(),
    }
}

/// What all rows come to.
pub struct Verdict {
    pub code: u8,
    pub text: String,
}

pub fn verdict(rows: &[Row]) -> Verdict {
    let names = |mark: Mark| {
        let named: Vec<&str> =
            rows.iter().filter(|row| row.mark() == mark).map(|row| row.name.as_str()).collect();
        named.join("; ")
    };
    let (refused, broken) = (names(Mark::Refused), names(Mark::Broken));
    if !refused.is_empty() {
        let also = if broken.is_empty() { String::new() } else { format!("; broken all the same: {broken}") };
        return Verdict { code: 2, text: format!("not judged: {refused}{also}") };
    }
    if !broken.is_empty() {
        return Verdict { code: 1, text: format!("broken: {broken}") };
    }
    Verdict { code: 0, text: "nothing is worse than it may ever be".to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::rows::Measure;

    fn row(value: f64) -> Row {
        Row::of("x", "ms", vec![Measure::at_most("p50", value, 1.0, 2.0)], Vec::new())
    }

    #[test]
    fn a_late_generator_and_failed_calls_are_not_judged() {
        let good = json!({ "failed": 0, "pace_err_ms": { "p99": 0.4 } });
        assert_eq!(fault(&good, 5), None);
        let late = json!({ "failed": 0, "pace_err_ms": { "p99": 2.1 } });
        assert!(fault(&late, 5).is_some_and(|why| why.contains("2.1 ms")));
        let failed = json!({ "failed": 2, "why": { "503": 2 }, "pace_err_ms": { "p99": 0.1 } });
        assert!(
            fault(&failed, 5).is_some_and(|why| why.contains("2 of 5 calls failed") && why.contains("503"))
        );
        assert!(fault(&json!({}), 5).is_some());
    }

    #[test]
    fn what_is_refused_goes_before_what_is_broken() {
        let refused = Row::refused("y", "late");
        assert_eq!(verdict(&[row(0.5), row(1.5)]).code, 0);
        assert_eq!(verdict(&[row(0.5), row(2.5)]).code, 1);
        let both = verdict(&[row(2.5), refused]);
        assert!(both.code == 2 && both.text.contains("y") && both.text.contains("x"), "{}", both.text);
    }
}
