//! Times in microseconds, all of them kept, and what is said of them.

use serde_json::{Value, json};

#[derive(Default, Clone)]
pub struct Histogram {
    values: Vec<i32>,
}

impl Histogram {
    pub fn add(&mut self, us: i64) {
        self.values.push(us.clamp(i32::MIN.into(), i32::MAX.into()) as i32);
    }

    pub fn clear(&mut self) {
        self.values.clear();
    }

    /// In milliseconds; null when there is nothing.
    pub fn json(&mut self) -> Value {
        if self.values.is_empty() {
            return Value::Null;
        }
        self.values.sort_unstable();
        let last = self.values.len() - 1;
        let ms = |us: f64| (us / 1000.0 * 1000.0).round() / 1000.0;
        let at = |part: f64| ms(f64::from(self.values[(last as f64 * part) as usize]));
        let mean = self.values.iter().map(|&us| f64::from(us)).sum::<f64>() / self.values.len() as f64;
        json!({
            "n": self.values.len(), "mean": ms(mean),
            "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p999": at(0.999), "max": at(1.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_was_there() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.json(), Value::Null);
        (1..=100).rev().for_each(|us| histogram.add(us * 1000));
        let told = histogram.json();
        assert_eq!((&told["p50"], &told["p99"], &told["max"]), (&json!(50.0), &json!(99.0), &json!(100.0)));
    }
}
