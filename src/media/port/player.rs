//! A prompt being played: samples at 8000 Hz, once or for ever.

use std::sync::Arc;

/// A player.
#[derive(Debug)]
pub struct Player {
    samples: Arc<[i16]>,
    loops: bool,
    at: usize,
    told: bool,
}

impl Player {
    /// Plays `samples` from its opening on; `loops`: and again, until it is closed.
    pub fn new(samples: Arc<[i16]>, loops: bool) -> Self {
        Self { samples, loops, at: 0, told: false }
    }

    /// Fills a block; true: some of it is the prompt.
    pub(in crate::media) fn pull(&mut self, out: &mut [i16]) -> bool {
        let mut filled = 0;
        while filled < out.len() {
            if self.at == self.samples.len() {
                if !self.loops || self.samples.is_empty() {
                    break;
                }
                self.at = 0;
            }
            let n = (self.samples.len() - self.at).min(out.len() - filled);
            out[filled..filled + n].copy_from_slice(&self.samples[self.at..self.at + n]);
            (self.at, filled) = (self.at + n, filled + n);
        }
        out[filled..].fill(0);
        filled > 0
    }

    /// True once, when all has been played.
    pub(in crate::media) fn drained(&mut self) -> bool {
        let over = !self.loops && self.at == self.samples.len();
        over && !std::mem::replace(&mut self.told, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_played_once_and_told() {
        let mut player = Player::new((1..=5).collect(), false);
        let mut out = [9; 4];
        assert!(player.pull(&mut out) && !player.drained());
        assert_eq!(out, [1, 2, 3, 4]);
        assert!(player.pull(&mut out) && player.drained() && !player.drained());
        assert_eq!(out, [5, 0, 0, 0]);
        assert!(!player.pull(&mut out));
    }

    #[test]
    fn music_goes_round_without_a_seam_and_nothing_is_silence() {
        let mut player = Player::new((1..=3).collect(), true);
        let mut out = [0; 8];
        assert!(player.pull(&mut out) && !player.drained());
        assert_eq!(out, [1, 2, 3, 1, 2, 3, 1, 2]);
        assert!(!Player::new(Arc::new([]), true).pull(&mut out));
        assert_eq!(out, [0; 8]);
    }
}
