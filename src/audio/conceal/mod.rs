//! Packet loss concealment at 8000 Hz, after ITU-T G.711 Appendix I but without its delay of 3.75 ms.
//!
//! What is missing is made of the last pitch periods, one at first and a further one each 10 ms, repeated
//! with their ends overlapped; it fades from 10 ms on and is silent 60 ms after the loss began. What comes
//! after it is overlapped with what would have been made up, so neither edge clicks.

mod bridge;
mod pitch;

/// Samples remembered: three of the longest periods and a quarter of one.
const HISTORY: usize = 400;
const TEN_MS: usize = 80;
const SILENT_AFTER: usize = 6 * TEN_MS;
/// The least overlap with what follows, and how fast a known silence begins.
const EDGE: usize = 40;

/// Conceals what is missing in one line of audio at 8000 Hz.
#[derive(Clone, Debug)]
pub struct Concealer {
    /// What was heard last, made-up samples included.
    history: [i16; HISTORY],
    /// Taken at the first loss of all: most lines have none.
    loss: Option<Box<Loss>>,
    /// The loss goes on; else it is only kept for its room.
    lossy: bool,
    /// Anything came: what is first of all needs no joint.
    heard: bool,
}

/// A loss that goes on: it is made of what was heard before it.
#[derive(Clone, Debug)]
struct Loss {
    template: [i16; HISTORY],
    period: usize,
    /// Place in the template of the next sample.
    at: usize,
    /// Samples made so far.
    made: usize,
    /// Of them, those since a known silence began.
    silence: Option<usize>,
    /// Step between the last sample heard and the first of the template, undone over the first samples.
    step: i32,
    /// It fades no further: what follows is known.
    steady: Option<i32>,
}

impl Default for Concealer {
    fn default() -> Self {
        Self::new()
    }
}

impl Concealer {
    /// Nothing heard yet: a loss is silence.
    pub fn new() -> Self {
        Self { history: [0; HISTORY], loss: None, lossy: false, heard: false }
    }

    /// A frame that came: remembered, and its beginning joined smoothly to what was made up before it.
    pub fn good(&mut self, frame: &mut [i16]) {
        // After a loss that has faded out, or a silence, this fades in.
        if std::mem::take(&mut self.lossy)
            && let Some(loss) = &mut self.loss
        {
            let overlap = (EDGE + loss.made / TEN_MS * 8).min(TEN_MS).min(frame.len());
            for (k, sample) in frame[..overlap].iter_mut().enumerate() {
                let (made, weight) = (i32::from(loss.next()), (k + 1) as i32);
                let all = overlap as i32 + 1;
                *sample = ((made * (all - weight) + i32::from(*sample) * weight) / all) as i16;
            }
        }
        self.heard = true;
        self.remember(frame);
    }

    /// A frame that is missing: `out` is filled. An empty `out` says that audio was left out here, and has
    /// the next good frame joined smoothly.
    pub fn lost(&mut self, out: &mut [i16]) {
        let loss = self.loss();
        out.fill_with(|| loss.next());
        self.remember(out);
    }

    /// A frame that is missing, and `next` that follows it is here: `out` is filled so that the two sides of the gap
    /// are joined. The next input must be the good frame that begins with `next`: it stays as it came.
    pub fn bridge(&mut self, out: &mut [i16], next: &[i16]) {
        let (early, gap) = out.split_at_mut(out.len().saturating_sub(bridge::MOST));
        if !early.is_empty() {
            self.lost(early);
        }
        if gap.is_empty() || next.len() < bridge::LEAST_AFTER {
            return self.lost(gap);
        }
        let loss = self.loss();
        loss.steady = Some(loss.gain());
        gap.fill_with(|| loss.next());
        bridge::bridge(gap, loss.period, next);
        self.lossy = false;
        self.remember(gap);
    }

    /// A frame of known silence: `out` is filled; what was heard or made up before it fades out in 5 ms.
    pub fn silence(&mut self, out: &mut [i16]) {
        if !self.heard {
            return out.fill(0);
        }
        let loss = self.loss();
        loss.silence.get_or_insert(0);
        out.fill_with(|| loss.next());
        self.remember(out);
    }

    /// The loss that goes on, or begins.
    fn loss(&mut self) -> &mut Loss {
        let begins = !std::mem::replace(&mut self.lossy, true);
        let loss = match self.loss.take() {
            Some(mut loss) => {
                if begins {
                    *loss = Loss::begin(&self.history);
                }
                loss
            }
            None => Box::new(Loss::begin(&self.history)),
        };
        self.loss.insert(loss)
    }

    fn remember(&mut self, frame: &[i16]) {
        if let Some(kept) = HISTORY.checked_sub(frame.len()) {
            self.history.copy_within(frame.len().., 0);
            self.history[kept..].copy_from_slice(frame);
        } else {
            self.history.copy_from_slice(&frame[frame.len() - HISTORY..]);
        }
    }
}

impl Loss {
    fn begin(history: &[i16; HISTORY]) -> Self {
        let period = pitch::last(history);
        let step = i32::from(history[HISTORY - 1]) - i32::from(history[HISTORY - 1 - period]);
        Self { template: *history, period, at: HISTORY - period, made: 0, silence: None, step, steady: None }
    }

    fn next(&mut self) -> i16 {
        let gain = self.gain();
        if gain == 0 {
            self.made += 1;
            return 0;
        }
        let periods = (1 + self.made / TEN_MS).min(3);
        let cycle = self.period * periods;
        let mut sample = self.repeated(cycle);
        let edge = (self.period / 4) as i32;
        let undone = edge - self.made as i32;
        if undone > 0 {
            sample += self.step * undone / edge;
        }
        self.at += 1;
        if self.at == HISTORY {
            self.at -= cycle;
        }
        self.made += 1;
        if let Some(silence) = &mut self.silence {
            *silence += 1;
        }
        ((sample * gain) >> 12).clamp(i16::MIN.into(), i16::MAX.into()) as i16
    }

    /// The template's sample; towards its end it becomes what stood before its beginning.
    fn repeated(&self, cycle: usize) -> i32 {
        let edge = self.period / 4;
        let sample = i32::from(self.template[self.at]);
        let into_edge = (self.at + edge + 1).saturating_sub(HISTORY) as i32;
        if into_edge == 0 {
            return sample;
        }
        let before = i32::from(self.template[self.at - cycle]);
        sample + (before - sample) * into_edge / (edge as i32 + 1)
    }

    /// In 1/4096: full for 10 ms, none after 60 ms.
    fn gain(&self) -> i32 {
        if let Some(gain) = self.steady {
            return gain;
        }
        let faded = SILENT_AFTER.saturating_sub(self.made).min(SILENT_AFTER - TEN_MS);
        let gain = (faded * 4096 / (SILENT_AFTER - TEN_MS)) as i32;
        match self.silence {
            Some(silence) => gain * EDGE.saturating_sub(silence) as i32 / EDGE as i32,
            None => gain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::level;
    use crate::audio::tone::Tone;
    use crate::units::SampleRate;

    /// A voice of 125 Hz with overtones that sinks a little from period to period.
    fn voice(n: usize) -> Vec<i16> {
        let sample = |i: usize| {
            let t = i as f64 / 8000.0 * std::f64::consts::TAU * (125.0 - i as f64 / 4000.0);
            6000.0 * t.sin() + 3000.0 * (2.0 * t).sin() + 1500.0 * (5.0 * t + 1.0).sin()
        };
        (0..n).map(|i| sample(i) as i16).collect()
    }

    fn largest_step(samples: &[i16]) -> i32 {
        samples.windows(2).map(|w| (i32::from(w[1]) - i32::from(w[0])).abs()).max().unwrap_or(0)
    }

    #[test]
    fn a_lost_frame_of_voice_is_made_up_like_it() {
        let original = voice(1600);
        let mut line = original.clone();
        let mut concealer = Concealer::new();
        for (i, frame) in line.chunks_mut(160).enumerate() {
            if i == 5 { concealer.lost(frame) } else { concealer.good(frame) }
        }
        let error: Vec<i16> = line[800..960].iter().zip(&original[800..960]).map(|(a, b)| a - b).collect();
        assert!(level::rms(&error) < 0.35 * level::rms(&original[800..960]), "{}", level::rms(&error));
        // Neither edge clicks.
        assert!(largest_step(&line[780..1060]) < 2 * largest_step(&original));
    }

    #[test]
    fn a_gap_whose_two_sides_are_known_is_filled_better_and_what_follows_stays() {
        let original = voice(1600);
        let error = |bridged: bool| {
            let mut line = original.clone();
            let mut concealer = Concealer::new();
            let (before, rest) = line.split_at_mut(800);
            let (gap, after) = rest.split_at_mut(160);
            concealer.good(before);
            if bridged {
                concealer.bridge(gap, &after[..160]);
            } else {
                concealer.lost(gap);
            }
            concealer.good(&mut after[..160]);
            assert!(!bridged || after == &original[960..], "what came is as it came");
            let error: Vec<i16> = gap.iter().zip(&original[800..]).map(|(a, b)| a - b).collect();
            assert!(largest_step(&line[780..1060]) < 2 * largest_step(&original));
            level::rms(&error)
        };
        assert!(error(true) < 0.5 * error(false), "{} and {}", error(true), error(false));
        assert!(error(true) < 0.15 * level::rms(&original[800..960]));
    }

    #[test]
    fn a_long_loss_is_silent_after_60_ms_for_every_frame_length() {
        for length in [80, 160, 240, 480, 1600] {
            let mut concealer = Concealer::new();
            concealer.good(&mut voice(800));
            let mut made = vec![1; 3200];
            made.chunks_mut(length).for_each(|frame| concealer.lost(frame));
            assert!(level::rms(&made[..80]) > 3000.0);
            assert!(level::is_digital_silence(&made[480..]), "frames of {length}");
            assert!(made[..481].windows(2).all(|w| (i32::from(w[1]) - i32::from(w[0])).abs() < 6000));
        }
    }

    #[test]
    fn what_is_made_does_not_depend_on_how_it_is_cut() {
        let run = |length: usize| {
            let mut concealer = Concealer::new();
            concealer.good(&mut voice(800));
            let mut made = vec![0; 480];
            made.chunks_mut(length).for_each(|frame| concealer.lost(frame));
            made
        };
        assert_eq!(run(480), run(80));
        assert_eq!(run(480), run(7));
    }

    #[test]
    fn a_tone_goes_on_in_phase_through_a_loss() {
        let mut tone = Tone::sine(SampleRate::Hz8000, 200.0, 10_000);
        let (mut heard, mut wanted) = ([0; 800], [0; 80]);
        tone.fill(&mut heard);
        tone.fill(&mut wanted);
        let mut concealer = Concealer::new();
        concealer.good(&mut heard);
        let mut made = [0; 80];
        concealer.lost(&mut made);
        assert!(made.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 300), "{made:?}");
    }

    #[test]
    fn without_loss_every_sample_stays_as_it_came() {
        let original = voice(3200);
        let (mut line, mut concealer) = (original.clone(), Concealer::new());
        concealer.silence(&mut [0; 320]); // the line is there before the first packet
        line.chunks_mut(160).for_each(|frame| concealer.good(frame));
        assert_eq!(line, original);
    }

    #[test]
    fn nothing_heard_conceals_to_silence() {
        let mut made = [5; 160];
        Concealer::new().lost(&mut made);
        assert!(level::is_digital_silence(&made));
    }

    #[test]
    fn known_silence_begins_within_5_ms_and_without_a_click() {
        let mut concealer = Concealer::new();
        let mut heard = voice(810);
        concealer.good(&mut heard);
        let mut out = [1; 320];
        concealer.silence(&mut out);
        assert!(level::is_digital_silence(&out[40..]));
        assert!((i32::from(out[0]) - i32::from(heard[809])).abs() < largest_step(&heard) * 2);
    }

    #[test]
    fn audio_left_out_is_joined_without_a_click() {
        let original = voice(1600);
        let mut concealer = Concealer::new();
        concealer.good(&mut original[..800].to_vec());
        concealer.lost(&mut []);
        // 6.6 ms are left out: the phase is elsewhere.
        let mut next = original[853..1013].to_vec();
        concealer.good(&mut next);
        assert!((i32::from(next[0]) - i32::from(original[799])).abs() < 2 * largest_step(&original));
    }

    #[test]
    fn extreme_samples_do_not_overflow() {
        let mut concealer = Concealer::new();
        for period in [40, 77, 120] {
            let mut loud: Vec<i16> =
                (0..800).map(|i| if i % period < period / 2 { i16::MAX } else { i16::MIN }).collect();
            concealer.good(&mut loud);
            concealer.lost(&mut [0; 333]);
        }
    }
}
