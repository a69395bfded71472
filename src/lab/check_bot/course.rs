//! What the platform does in a call that checks a bot, and when: laid out before the call begins.

use std::collections::VecDeque;
use std::time::Duration;

use crate::lab::sound::Sound;
use crate::units::{Digit, SampleRate};

/// A frame lasts so long.
const FRAME: Duration = Duration::from_millis(20);
/// The first ping; the platform's own come every 10 s.
const PING: Duration = Duration::from_millis(500);

/// What a call that checks a bot is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What the caller says first.
    pub speech: Sound,
    /// What it says again, into the answer if there is one.
    pub interruption: Sound,
    /// Before it speaks, for a greeting.
    pub greeting: Duration,
    /// From its speech to its interruption.
    pub answer: Duration,
    /// After its interruption, after its key and after the stall.
    pub pause: Duration,
    /// No frame for so long, and then all at once.
    pub stall: Duration,
    /// From `stop` to our close.
    pub leave: Duration,
    /// For the answer to our close.
    pub close: Duration,
}

impl Plan {
    /// The caller's speech and interruption; about 20 s.
    pub fn new(speech: Sound, interruption: Sound) -> Self {
        let seconds = Duration::from_secs;
        Self {
            speech,
            interruption,
            greeting: seconds(3),
            answer: Duration::from_millis(2500),
            pause: seconds(3),
            stall: Duration::from_millis(600),
            leave: seconds(1),
            close: seconds(2),
        }
    }
}

/// One thing the platform does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Act {
    /// Sends a frame of the caller.
    Frame(Vec<u8>),
    /// The caller begins or ends to speak.
    Speaks(bool),
    /// The line was stuck until now: what the bot did meanwhile says nothing of it.
    Stuck,
    /// The caller pressed a key.
    Key(Digit),
    Ping,
    Stop,
    Close,
    /// Has waited for the bot's close long enough.
    GiveUp,
}

/// Every act with its time from `start`.
pub(super) fn lay_out(plan: &Plan, rate: SampleRate) -> VecDeque<(Duration, Act)> {
    let mut course = Course { rate, at: Duration::ZERO, acts: VecDeque::new() };
    course.hold(plan.greeting);
    course.say(&plan.speech);
    course.hold(plan.answer);
    course.say(&plan.interruption);
    course.hold(plan.pause);
    course.acts.extend(Digit::from_char('5').map(|digit| (course.at, Act::Key(digit))));
    course.hold(plan.pause);
    course.stall(plan.stall);
    course.hold(plan.pause);
    let Course { at, mut acts, .. } = course;
    acts.push_back((at, Act::Stop));
    acts.push_back((at + plan.leave, Act::Close));
    acts.push_back((at + plan.leave + plan.close, Act::GiveUp));
    let ping = acts.iter().position(|(due, _)| *due >= PING).unwrap_or(0);
    acts.insert(ping, (PING, Act::Ping));
    acts
}

struct Course {
    rate: SampleRate,
    at: Duration,
    acts: VecDeque<(Duration, Act)>,
}

impl Course {
    /// Silence.
    fn hold(&mut self, long: Duration) {
        self.frames(&Sound::silence(self.rate, long));
    }

    fn say(&mut self, sound: &Sound) {
        self.acts.push_back((self.at, Act::Speaks(true)));
        self.frames(&sound.at(self.rate));
        self.acts.push_back((self.at, Act::Speaks(false)));
    }

    /// The frames of so long are all sent at its end: a line that was stuck.
    fn stall(&mut self, long: Duration) {
        let first = self.acts.len();
        self.acts.push_back((self.at, Act::Stuck));
        self.hold(long);
        let at = self.at;
        self.acts.iter_mut().skip(first).for_each(|(due, _)| *due = at);
    }

    /// A frame is sent when its last sample was heard; the last is filled up with silence.
    fn frames(&mut self, sound: &Sound) {
        for part in sound.samples.chunks(self.rate.samples(20)) {
            let mut pcm: Vec<u8> = part.iter().flat_map(|sample| sample.to_le_bytes()).collect();
            pcm.resize(2 * self.rate.samples(20), 0);
            self.at += FRAME;
            self.acts.push_back((self.at, Act::Frame(pcm)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::speech::Speech;

    #[test]
    fn frames_run_without_a_gap_and_times_never_go_back() {
        for rate in SampleRate::ALL {
            let plan = Plan::new(Speech::Caller.sound(), Speech::Barge.sound());
            let acts = lay_out(&plan, rate);
            assert!(acts.iter().is_sorted_by_key(|(due, _)| *due));
            let frames: Vec<_> =
                acts.iter().filter(|(_, act)| matches!(act, Act::Frame(_))).map(|(due, _)| *due).collect();
            let Some((stop, _)) = acts.iter().find(|(_, act)| *act == Act::Stop) else { panic!("no stop") };
            assert_eq!(FRAME * frames.len() as u32, *stop, "a frame for every 20 ms");
            let together = frames.chunk_by(|a, b| a == b).map(<[_]>::len).max();
            assert_eq!(together, Some(30), "600 ms at once");
            assert!(
                acts.iter()
                    .all(|(_, act)| !matches!(act, Act::Frame(pcm) if pcm.len() != 2 * rate.samples(20)))
            );
        }
    }
}
