//! The built-in recordings (their texts: `README.md` beside them), 8000 Hz.

use super::sound::Sound;

/// A built-in recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// The caller asks.
    Caller,
    /// The caller speaks into the bot's story.
    Barge,
    /// The bot greets.
    Greeting,
    /// The bot tells at length.
    Story,
    /// The bot takes leave.
    Goodbye,
}

impl Speech {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Caller, Self::Barge, Self::Greeting, Self::Story, Self::Goodbye];

    /// The name a script calls it by: `builtin:greeting`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Barge => "barge",
            Self::Greeting => "greeting",
            Self::Story => "story",
            Self::Goodbye => "goodbye",
        }
    }

    /// The recording of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|speech| speech.name() == name)
    }

    /// The recording.
    pub fn sound(self) -> Sound {
        let bytes: &[u8] = match self {
            Self::Caller => include_bytes!("caller.wav"),
            Self::Barge => include_bytes!("barge.wav"),
            Self::Greeting => include_bytes!("greeting.wav"),
            Self::Story => include_bytes!("story.wav"),
            Self::Goodbye => include_bytes!("goodbye.wav"),
        };
        Sound::from_wav(bytes, self.name()).expect("the built-in recordings are 16-bit WAV")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::SampleRate;

    #[test]
    fn every_recording_is_telephone_speech_of_a_few_seconds() {
        for speech in Speech::ALL {
            let sound = speech.sound();
            assert_eq!(sound.rate, SampleRate::Hz8000);
            assert!((1.0..8.0).contains(&sound.duration().as_secs_f64()), "{}", speech.name());
            let peak = sound.samples.iter().map(|s| s.unsigned_abs()).max().unwrap();
            assert!((12_000..20_000).contains(&peak), "{} peaks at {peak}", speech.name());
            assert_eq!(Speech::named(speech.name()), Some(speech));
        }
    }
}
