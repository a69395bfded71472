//! What a bot does, step by step: built by a test, or read from TOML by `streamkit bot --mode script`.
//!
//! ```toml
//! [[step]]
//! say = "hello.wav"        # a WAV beside the script, or builtin:greeting
//! [[step]]
//! mark = "greeted"
//! [[step]]
//! await_mark = "greeted"
//! [[step]]
//! echo_until = "#"
//! [[step]]
//! close = 1000
//! ```
//!
//! The language as a whole: docs/agentstream/bot-script.md.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use crate::lab::sound::{Sound, SoundError};
use crate::lab::speech::Speech;
use crate::units::{Digit, SampleRate};

/// A tone or a silence lasts no longer.
const LONGEST: Duration = Duration::from_secs(600);

/// What a bot does from `start` on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Script {
    /// In this order.
    pub steps: Vec<Step>,
    /// And again from the first when they are done.
    pub repeat: bool,
}

/// One thing a bot does.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Sends audio, converted to the stream's rate.
    Say {
        /// What.
        sound: Sound,
        /// Octets a message; odd numbers cut samples in two.
        chunk: usize,
        /// Between messages; zero: as fast as the socket takes them.
        every: Duration,
    },
    /// Sends back what it hears, at once.
    Echo(Until),
    /// Asks for its name back.
    Mark(String),
    /// Drops what has not been heard.
    Clear,
    /// Does nothing for so long.
    Wait(Duration),
    /// Waits for a mark to come back; passes when it did already.
    AwaitMark(String),
    /// Waits for a key.
    AwaitDigit(Digit),
    /// Waits until the caller speaks.
    AwaitVoice,
    /// Sends this text as it is.
    Text(String),
    /// Sends a binary message.
    Binary(Vec<u8>),
    /// Stops reading for so long.
    Deaf(Duration),
    /// Sends `stop`.
    Stop,
    /// Closes with this code.
    Close(u16, String),
    /// Breaks the connection without a close frame: TCP RST.
    Reset,
}

/// How long to echo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// To the end.
    Forever,
    /// So long.
    For(Duration),
    /// Until this key.
    Digit(Digit),
}

impl Step {
    /// Audio all at once, in messages of 200 ms at 8000 Hz.
    pub fn burst(sound: Sound) -> Self {
        Self::Say { sound, chunk: 3200, every: Duration::ZERO }
    }

    /// Audio at the pace it is heard, 40 ms a message.
    pub fn paced(sound: Sound) -> Self {
        let chunk = 2 * sound.rate.samples(40);
        Self::Say { sound, chunk, every: Duration::from_millis(40) }
    }
}

/// Why a script could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// The file.
    #[error("{0}: {1}")]
    File(String, std::io::Error),
    /// Its TOML.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// A recording it names.
    #[error("step {0}: {1}")]
    Sound(usize, SoundError),
    /// A step.
    #[error("step {0}: {1}")]
    Step(usize, String),
}

impl Script {
    /// These steps, once.
    pub fn of(steps: Vec<Step>) -> Self {
        Self { steps, repeat: false }
    }

    /// Everything heard goes back at once.
    pub fn echo() -> Self {
        Self::of(vec![Step::Echo(Until::Forever)])
    }

    /// A tone of 440 Hz without end.
    pub fn tone(rate: SampleRate) -> Self {
        let second = Sound::tone(rate, 440.0, 8000, Duration::from_secs(1));
        Self { steps: vec![Step::paced(second)], repeat: true }
    }

    /// A recording, and then silence.
    pub fn play(sound: Sound) -> Self {
        Self::of(vec![Step::burst(sound), Step::Mark("played".to_owned())])
    }

    /// Reads a script file.
    ///
    /// # Errors
    /// With the file, the place or the number of the step.
    pub fn read(path: &Path) -> Result<Self, ScriptError> {
        let name = || path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| ScriptError::File(name(), error))?;
        Self::parse(&text, path.parent().unwrap_or(Path::new(".")))
    }

    /// Reads a script; recordings are looked for in `folder`.
    ///
    /// # Errors
    /// With the place or the number of the step.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, ScriptError> {
        let written: Written = toml::from_str(text)?;
        let steps = written.step.into_iter().enumerate().map(|(n, step)| step.meant(n + 1, folder));
        Ok(Self { steps: steps.collect::<Result<_, _>>()?, repeat: written.repeat })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    repeat: bool,
    #[serde(default)]
    step: Vec<WrittenStep>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenStep {
    say: Option<String>,
    tone: Option<f64>,
    silence: Option<f64>,
    seconds: Option<f64>,
    from: Option<f64>,
    to: Option<f64>,
    chunk: Option<usize>,
    every_ms: Option<u64>,
    paced: Option<bool>,
    echo: Option<f64>,
    echo_until: Option<char>,
    mark: Option<String>,
    clear: Option<bool>,
    wait: Option<f64>,
    await_mark: Option<String>,
    await_digit: Option<char>,
    await_voice: Option<bool>,
    text: Option<String>,
    binary: Option<String>,
    deaf: Option<f64>,
    stop: Option<bool>,
    close: Option<u16>,
    reason: Option<String>,
    reset: Option<bool>,
}

impl WrittenStep {
    fn meant(self, n: usize, folder: &Path) -> Result<Step, ScriptError> {
        let digit = |c: char| Digit::from_char(c).ok_or(ScriptError::Step(n, format!("'{c}' is no key")));
        let said = |yes: Option<bool>, step: Step| yes.filter(|&yes| yes).map(|_| step);
        if let Some(why) = self.astray() {
            return Err(ScriptError::Step(n, why.to_owned()));
        }
        let meant = [
            self.sound(n, folder)?.map(|sound| self.says(sound)),
            self.echo.map(|s| Step::Echo(Until::For(seconds(s)))),
            self.echo_until.map(digit).transpose()?.map(|key| Step::Echo(Until::Digit(key))),
            self.mark.map(Step::Mark),
            said(self.clear, Step::Clear),
            self.wait.map(|s| Step::Wait(seconds(s))),
            self.await_mark.map(Step::AwaitMark),
            self.await_digit.map(digit).transpose()?.map(Step::AwaitDigit),
            said(self.await_voice, Step::AwaitVoice),
            self.text.map(Step::Text),
            self.binary.map(|digits| octets(&digits, n)).transpose()?.map(Step::Binary),
            self.deaf.map(|s| Step::Deaf(seconds(s))),
            said(self.stop, Step::Stop),
            self.close.map(|code| Step::Close(code, self.reason.unwrap_or_default())),
            said(self.reset, Step::Reset),
        ];
        let mut meant = meant.into_iter().flatten();
        match (meant.next(), meant.next()) {
            (Some(step), None) => Ok(step),
            (None, _) => Err(ScriptError::Step(n, "says nothing to do".to_owned())),
            (Some(_), Some(_)) => Err(two_things(n)),
        }
    }

    /// A key that belongs to another than stands here.
    fn astray(&self) -> Option<&'static str> {
        let sounds = self.say.is_some() || self.tone.is_some() || self.silence.is_some();
        let paced = self.paced == Some(true) && (self.chunk.is_some() || self.every_ms.is_some());
        let shaped = [self.chunk.is_some(), self.every_ms.is_some(), self.paced.is_some()];
        match () {
            () if shaped.contains(&true) && !sounds => Some("chunk, every_ms and paced belong to a sound"),
            () if (self.from.is_some() || self.to.is_some()) && self.say.is_none() => {
                Some("from and to belong to say")
            }
            () if self.seconds.is_some() && self.tone.is_none() => Some("seconds belongs to tone"),
            () if self.reason.is_some() && self.close.is_none() => Some("reason belongs to close"),
            () if paced => Some("paced has its own chunk and every_ms"),
            () => None,
        }
    }

    /// What is to be heard.
    fn sound(&self, n: usize, folder: &Path) -> Result<Option<Sound>, ScriptError> {
        match (&self.say, self.tone, self.silence) {
            (Some(name), None, None) => {
                let whole = recording(name, n, folder)?;
                let end = self.to.map_or(Duration::MAX, seconds);
                Ok(Some(whole.part(self.from.map_or(Duration::ZERO, seconds), end)))
            }
            (None, Some(hz), None) => {
                let long = seconds(self.seconds.unwrap_or(1.0)).min(LONGEST);
                Ok(Some(Sound::tone(SampleRate::Hz8000, hz, 8000, long)))
            }
            (None, None, Some(long)) => {
                Ok(Some(Sound::silence(SampleRate::Hz8000, seconds(long).min(LONGEST))))
            }
            (None, None, None) => Ok(None),
            _ => Err(two_things(n)),
        }
    }

    /// In which pieces it is sent.
    fn says(&self, sound: Sound) -> Step {
        if self.paced == Some(true) {
            return Step::paced(sound);
        }
        let every = self.every_ms.map_or(Duration::ZERO, Duration::from_millis);
        Step::Say { chunk: self.chunk.unwrap_or(3200).max(1), every, sound }
    }
}

fn two_things(n: usize) -> ScriptError {
    ScriptError::Step(n, "says two things; make it two steps".to_owned())
}

/// Octets written as hexadecimal digits, blanks between them as one likes.
fn octets(digits: &str, n: usize) -> Result<Vec<u8>, ScriptError> {
    let wrong = || ScriptError::Step(n, format!("`{digits}` is not pairs of hexadecimal digits"));
    let plain: Vec<char> = digits.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let pair = |pair: &[char]| match pair {
        [high, low] => Some((high.to_digit(16)? * 16 + low.to_digit(16)?) as u8),
        _ => None,
    };
    plain.chunks(2).map(pair).collect::<Option<_>>().ok_or_else(wrong)
}

/// Up to a day; nonsense is nothing.
fn seconds(s: f64) -> Duration {
    Duration::try_from_secs_f64(s.clamp(0.0, 86_400.0)).unwrap_or_default()
}

fn recording(name: &str, n: usize, folder: &Path) -> Result<Sound, ScriptError> {
    match name.strip_prefix("builtin:") {
        Some(builtin) => {
            let unknown = || ScriptError::Step(n, format!("no recording is called `{builtin}`"));
            Speech::named(builtin).map(Speech::sound).ok_or_else(unknown)
        }
        None => Sound::read(&folder.join(name)).map_err(|error| ScriptError::Sound(n, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Script, ScriptError> {
        Script::parse(text, Path::new("."))
    }

    #[test]
    fn a_script_is_read_in_order() {
        let script = parse(
            "[[step]]\nsay = 'builtin:greeting'\nchunk = 801\nevery_ms = 40\n[[step]]\nmark = 'a'\n\
             [[step]]\nawait_mark = 'a'\n[[step]]\necho_until = '#'\n[[step]]\nclose = 4400\nreason = 'done'\n",
        )
        .unwrap();
        let greeting =
            Step::Say { sound: Speech::Greeting.sound(), chunk: 801, every: Duration::from_millis(40) };
        let key = Digit::from_char('#').unwrap();
        let rest = [
            Step::Mark("a".into()),
            Step::AwaitMark("a".into()),
            Step::Echo(Until::Digit(key)),
            Step::Close(4400, "done".into()),
        ];
        assert_eq!(script.steps[0], greeting);
        assert_eq!(script.steps[1..], rest);
    }

    #[test]
    fn sounds_are_cut_paced_or_made() {
        let script = parse(
            "[[step]]\nsay = 'builtin:story'\nfrom = 0.5\nto = 1.5\n[[step]]\nsilence = 0.25\npaced = true\n\
             [[step]]\ntone = 440.0\nseconds = 2.0\nchunk = 801\n[[step]]\nbinary = '00 fF'\n",
        )
        .unwrap();
        let part = Speech::Story.sound().part(Duration::from_millis(500), Duration::from_millis(1500));
        let quiet = Sound::silence(SampleRate::Hz8000, Duration::from_millis(250));
        assert_eq!(script.steps[0], Step::burst(part));
        assert_eq!(script.steps[1], Step::paced(quiet));
        let tone = Sound::tone(SampleRate::Hz8000, 440.0, 8000, Duration::from_secs(2));
        assert_eq!(script.steps[2], Step::Say { sound: tone, chunk: 801, every: Duration::ZERO });
        assert_eq!(script.steps[3], Step::Binary(vec![0, 255]));
    }

    #[test]
    fn the_documented_example_is_a_script_and_every_step_is_described() {
        let page = include_str!("../../../docs/agentstream/bot-script.md");
        let examples: Vec<&str> =
            page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        assert!(!examples.is_empty());
        for example in &examples {
            let script = parse(example).unwrap_or_else(|error| panic!("{error}\n{example}"));
            assert!(!script.steps.is_empty());
        }
        let unknown = parse("[[step]]\nx = 1\n").unwrap_err().to_string();
        let keys: Vec<&str> = unknown.split('`').skip(1).step_by(2).collect();
        assert!(keys.contains(&"say") && keys.len() > 20, "{unknown}");
        for key in keys.iter().filter(|key| !["x", "x = 1"].contains(key)) {
            assert!(page.contains(&format!("`{key}")), "{key} is not described");
        }
    }

    #[test]
    fn a_wrong_step_is_named_by_its_number() {
        let refused = |text| parse(text).unwrap_err().to_string();
        assert_eq!(refused("[[step]]\nwait = 1\n[[step]]\nawait_digit = 'x'\n"), "step 2: 'x' is no key");
        assert_eq!(refused("[[step]]\nwait = 1\nmark = 'a'\n"), "step 1: says two things; make it two steps");
        assert_eq!(refused("[[step]]\nclear = false\n"), "step 1: says nothing to do");
        assert_eq!(refused("[[step]]\nsay = 'builtin:x'\n"), "step 1: no recording is called `x`");
        assert_eq!(
            refused("[[step]]\nmark = 'a'\nchunk = 2\n"),
            "step 1: chunk, every_ms and paced belong to a sound"
        );
        assert_eq!(refused("[[step]]\ntone = 4.0\nto = 1.0\n"), "step 1: from and to belong to say");
        assert_eq!(
            refused("[[step]]\ntone = 4.0\nsilence = 1.0\n"),
            "step 1: says two things; make it two steps"
        );
        assert!(refused("[[step]]\nbinary = '0'\n").contains("hexadecimal"));
        assert!(refused("[[step]]\nsay = 'none.wav'\n").starts_with("step 1: ./none.wav: "));
        assert!(refused("[[step]]\nspeak = 'x'\n").contains("unknown field `speak`"));
    }
}
