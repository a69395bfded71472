//! How a listener would rate the line: an estimate by the E-model (ITU-T G.107) for G.711 with loss
//! concealment. All that is not named here has the model's default value, so the best is 4.41.

use std::time::Duration;

/// What is known of a line in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Line {
    /// Packets that never came or came too late to be played, 0 to 1.
    pub loss: f64,
    /// Mean length of a run of lost packets against what chance would give; 1 for random loss.
    pub burst: f64,
    /// Mouth to ear, one way.
    pub delay: Duration,
}

/// Mean opinion score 1.0 to 4.41 (G.107: R factor, Annex B). Equipment impairment of G.711 is 0 and its
/// robustness 25.1 with concealment (G.113 Appendix I).
pub fn mos(line: Line) -> f64 {
    const ROBUSTNESS: f64 = 25.1;
    let percent = (line.loss * 100.0).clamp(0.0, 100.0);
    let equipment = 95.0 * percent / (percent / line.burst.max(1.0) + ROBUSTNESS);
    let delay = line.delay.as_secs_f64() * 1000.0;
    let late = 0.024 * delay + 0.11 * (delay - 177.3).max(0.0);
    let rating = (93.2 - equipment - late).clamp(0.0, 100.0);
    (1.0 + 0.035 * rating + rating * (rating - 60.0) * (100.0 - rating) * 7e-6).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_line_is_rated_as_the_model_says() {
        assert!((mos(Line::default()) - 4.41).abs() < 0.005);
    }

    #[test]
    fn loss_bursts_and_delay_each_lower_it() {
        let lossy = Line { loss: 0.03, ..Line::default() };
        // R = 93.2 - 95 * 3 / 28.1 = 83.06
        assert!((mos(lossy) - 4.136).abs() < 0.01, "{}", mos(lossy));
        assert!(mos(Line { burst: 2.0, ..lossy }) < mos(lossy));
        assert!(mos(Line { delay: Duration::from_millis(300), ..lossy }) < 3.6);
        assert_eq!(mos(Line { loss: 1.0, burst: 100.0, delay: Duration::from_secs(9) }), 1.0);
    }
}
