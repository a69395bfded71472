//! Where a piece of audio may be shortened unheard: in its longest silence, of which at least half is left.

/// Peak up to which a sample is silence: -60 dB of full scale.
pub(in crate::media) const QUIET: u16 = 32;
/// Milliseconds a silence lasts at the least: what is shorter belongs to a sound.
const SILENCE_MS: usize = 10;
/// Milliseconds over which one end of a cut passes into the other.
const FADE_MS: usize = 2;

/// A cut: so many samples from this one on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::media) struct Cut {
    pub(in crate::media) at: usize,
    pub(in crate::media) length: usize,
}

/// The cut of up to `most` samples that nobody hears, at so many samples a millisecond; none if there is no silence.
pub(in crate::media) fn cut(audio: &[i16], most: usize, a_ms: usize) -> Option<Cut> {
    let (mut longest, mut begin) = (0..0, 0);
    for (at, &sample) in audio.iter().enumerate() {
        if sample.unsigned_abs() > QUIET {
            begin = at + 1;
        } else if at + 1 - begin > longest.len() {
            longest = begin..at + 1;
        }
    }
    let length = most.min(longest.len() / 2);
    let at = longest.start + (longest.len() - length) / 2;
    (longest.len() >= SILENCE_MS * a_ms && length > 0).then_some(Cut { at, length })
}

/// `audio` without the cut, as much as `out` holds; the two ends pass into each other.
pub(in crate::media) fn leave_out(audio: &[i16], cut: Cut, a_ms: usize, out: &mut [i16]) {
    let fade = FADE_MS * a_ms;
    for (at, out) in out.iter_mut().enumerate() {
        let kept = audio.get(at).copied().unwrap_or(0);
        let next = audio.get(at + cut.length).copied().unwrap_or(0);
        *out = match at.checked_sub(cut.at) {
            None => kept,
            Some(into) if into >= fade => next,
            Some(into) => {
                let (kept, next) = (i32::from(kept), i32::from(next));
                ((kept * (fade - into) as i32 + next * into as i32) / fade as i32) as i16
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_is_halved_at_the_most_and_in_its_middle() {
        let mut audio = [5000; 400];
        audio[100..228].fill(-20);
        assert_eq!(cut(&audio, 400, 8), Some(Cut { at: 132, length: 64 }));
        assert_eq!(cut(&audio, 10, 8), Some(Cut { at: 159, length: 10 }));
        assert_eq!(cut(&audio, 0, 8), None);
    }

    #[test]
    fn a_sound_and_a_short_silence_in_it_are_left_alone() {
        let mut audio = [5000; 400];
        assert_eq!(cut(&audio, 100, 8), None);
        audio[100..179].fill(0);
        assert_eq!(cut(&audio, 100, 8), None);
        assert_eq!(cut(&audio, 100, 16), None);
        audio[179] = 33;
        assert_eq!(cut(&audio, 100, 8), None);
    }

    #[test]
    fn what_is_left_is_every_sound_in_its_order() {
        let audio: Vec<i16> = (0..480).map(|n| if (200..360).contains(&n) { 0 } else { 1000 + n }).collect();
        let found = cut(&audio, 80, 8).expect("a silence");
        let mut out = [0; 400];
        leave_out(&audio, found, 8, &mut out);
        let sounds = |audio: &[i16]| audio.iter().copied().filter(|&s| s != 0).collect::<Vec<_>>();
        assert_eq!(sounds(&out), sounds(&audio));
    }

    #[test]
    fn a_noise_is_not_torn() {
        let audio: Vec<i16> = (0..480).map(|n| if n % 60 < 30 { 30 } else { -30 }).collect();
        let found = cut(&audio, 83, 8).expect("it is faint");
        let mut out = [0; 397];
        leave_out(&audio, found, 8, &mut out);
        let steepest = out[found.at..found.at + 16].windows(2).map(|pair| (pair[1] - pair[0]).abs()).max();
        assert!(steepest <= Some(60), "{steepest:?}");
    }
}
