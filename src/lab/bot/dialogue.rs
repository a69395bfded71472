//! Runs a script against what is heard: a pure core. It is told what came and what time it is; it says
//! what to send and when to wake it.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use super::message;
use super::script::{Script, Step, Until};
use crate::lab::ear::dbfs;
use crate::lab::sound::{Sound, samples_in};
use crate::units::{Digit, SampleRate};

/// Messages that may wait for a socket that does not take them.
const OUTBOX: usize = 4096;
/// A voice is louder than this, for so many samples at 8000 Hz.
const VOICE_DBFS: f64 = -38.0;
const VOICE_FOR: Duration = Duration::from_millis(80);

/// What came from StreamKit.
#[derive(Clone, Copy, Debug)]
pub(super) enum Input<'a> {
    /// `start` with the stream's id.
    Start(&'a str, SampleRate),
    /// Audio.
    Heard(&'a [i16]),
    /// A key.
    Digit(Digit),
    /// A mark came back.
    Mark(&'a str),
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Output {
    /// Send this text; milliseconds of audio in it.
    Send(Said, String),
    /// Send this binary message.
    Binary(Vec<u8>),
    /// Stop reading for so long.
    Deaf(Duration),
    /// Close.
    Close(u16, String),
    /// Break the connection.
    Reset,
}

/// What a message sent by a bot says.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// Audio of so many octets.
    Media(usize),
    /// A mark.
    Mark(String),
    /// `clear`.
    Clear,
    /// `stop`.
    Stop,
    /// Something of the script's own.
    Text,
}

/// A script being played.
#[derive(Debug)]
pub(super) struct Dialogue {
    script: Script,
    next: usize,
    doing: Doing,
    sid: String,
    rate: SampleRate,
    outbox: VecDeque<Output>,
    marks: HashSet<String>,
    voiced: Duration,
}

#[derive(Debug)]
enum Doing {
    /// No `start` yet.
    Nothing,
    Saying {
        pcm: Vec<u8>,
        sent: usize,
        chunk: usize,
        every: Duration,
        due: Instant,
    },
    Waiting(Instant),
    AwaitingMark(String),
    AwaitingDigit(Digit),
    AwaitingVoice,
    Echoing(Option<Instant>, Option<Digit>),
    /// The step is over.
    Done,
}

impl Dialogue {
    pub(super) fn new(script: Script) -> Self {
        Self {
            script,
            next: 0,
            doing: Doing::Nothing,
            sid: String::new(),
            rate: SampleRate::default(),
            outbox: VecDeque::new(),
            marks: HashSet::new(),
            voiced: Duration::ZERO,
        }
    }

    pub(super) fn handle(&mut self, now: Instant, input: Input<'_>) {
        match (input, &self.doing) {
            (Input::Start(sid, rate), Doing::Nothing) => {
                (self.sid, self.rate, self.doing) = (sid.to_owned(), rate, Doing::Done);
            }
            (Input::Heard(samples), doing) => {
                let echoes = matches!(doing, Doing::Echoing(..));
                self.listen(samples);
                if echoes && self.outbox.len() < OUTBOX {
                    let pcm: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
                    self.outbox
                        .push_back(Output::Send(Said::Media(pcm.len()), message::media(&self.sid, &pcm)));
                }
            }
            (Input::Digit(key), Doing::AwaitingDigit(wanted) | Doing::Echoing(_, Some(wanted)))
                if key == *wanted =>
            {
                self.doing = Doing::Done;
            }
            (Input::Mark(name), doing) => {
                if matches!(doing, Doing::AwaitingMark(wanted) if wanted == name) {
                    self.doing = Doing::Done;
                }
                if self.marks.len() < OUTBOX {
                    self.marks.insert(name.to_owned());
                }
            }
            (Input::Start(..) | Input::Digit(_), _) => {}
        }
        self.run(now);
    }

    /// Time passed.
    pub(super) fn wake(&mut self, now: Instant) {
        self.run(now);
    }

    /// Sends a mark that no step asks for.
    pub(super) fn say_mark(&mut self, name: &str) {
        if self.outbox.len() < OUTBOX {
            let text = message::mark(&self.sid, name);
            self.outbox.push_back(Output::Send(Said::Mark(name.to_owned()), text));
        }
    }

    /// When to be woken if nothing comes before.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        match &self.doing {
            Doing::Saying { due, .. } => Some(*due),
            Doing::Waiting(until) | Doing::Echoing(Some(until), _) => Some(*until),
            _ => None,
        }
    }

    pub(super) fn has_output(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// What to do next; asked when the socket has room, so that a burst is not made before it can be sent.
    pub(super) fn poll_output(&mut self, now: Instant) -> Option<Output> {
        let output = self.outbox.pop_front();
        self.run(now);
        output
    }

    fn listen(&mut self, samples: &[i16]) {
        let long = self.rate.duration(samples.len() as u64);
        self.voiced = if dbfs(samples) > VOICE_DBFS { self.voiced + long } else { Duration::ZERO };
        if matches!(self.doing, Doing::AwaitingVoice) && self.voiced >= VOICE_FOR {
            self.doing = Doing::Done;
        }
    }

    /// Goes on as far as it can without more input: one message waits at most, unless echoed. A script that
    /// repeats begins each step once at most, so that one which asks for nothing does not turn on the spot.
    fn run(&mut self, now: Instant) {
        let mut begun = 0;
        while begun <= self.script.steps.len() {
            match &mut self.doing {
                Doing::Saying { pcm, sent, chunk, every, due } => {
                    if *due > now || !self.outbox.is_empty() {
                        return;
                    }
                    let end = sent.saturating_add(*chunk).min(pcm.len());
                    let part = &pcm[*sent..end];
                    let text = message::media(&self.sid, part);
                    self.outbox.push_back(Output::Send(Said::Media(part.len()), text));
                    (*sent, *due) = (end, *due + *every);
                    if end == pcm.len() {
                        // The last piece lasts as long as the others when the next recording follows it.
                        self.doing = if every.is_zero() { Doing::Done } else { Doing::Waiting(*due) };
                    }
                }
                Doing::Waiting(until) | Doing::Echoing(Some(until), _) if *until <= now => {
                    self.doing = Doing::Done;
                }
                Doing::Done => {
                    let Some(step) = self.next_step() else { return };
                    let output = self.begin(now, step);
                    self.outbox.extend(output);
                    begun += 1;
                }
                _ => return,
            }
        }
    }

    /// None when there is none, or when what it repeats is not yet sent.
    fn next_step(&mut self) -> Option<Step> {
        if self.script.repeat {
            if self.has_output() {
                return None;
            }
            self.next %= self.script.steps.len().max(1);
        }
        let step = self.script.steps.get(self.next)?.clone();
        self.next += 1;
        Some(step)
    }

    /// What the step sends at once; what it does from now on is kept in `doing`.
    fn begin(&mut self, now: Instant, step: Step) -> Option<Output> {
        let bare = |said, event| Some(Output::Send(said, message::bare(&self.sid, event)));
        match step {
            Step::Mark(name) => {
                self.marks.remove(&name);
                let text = message::mark(&self.sid, &name);
                return Some(Output::Send(Said::Mark(name), text));
            }
            Step::Clear => return bare(Said::Clear, "clear"),
            Step::Stop => return bare(Said::Stop, "stop"),
            Step::Text(text) => return Some(Output::Send(Said::Text, text)),
            Step::Binary(bytes) => return Some(Output::Binary(bytes)),
            Step::Close(code, reason) => return Some(Output::Close(code, reason)),
            Step::Reset => return Some(Output::Reset),
            Step::Deaf(long) => {
                self.doing = Doing::Waiting(now + long);
                return Some(Output::Deaf(long));
            }
            Step::Say { sound, chunk, every } => self.doing = self.saying(now, &sound, chunk, every),
            Step::Echo(Until::Forever) => self.doing = Doing::Echoing(None, None),
            Step::Echo(Until::For(long)) => self.doing = Doing::Echoing(Some(now + long), None),
            Step::Echo(Until::Digit(key)) => self.doing = Doing::Echoing(None, Some(key)),
            Step::Wait(long) => self.doing = Doing::Waiting(now + long),
            Step::AwaitMark(name) => {
                if !self.marks.remove(&name) {
                    self.doing = Doing::AwaitingMark(name);
                }
            }
            Step::AwaitDigit(key) => self.doing = Doing::AwaitingDigit(key),
            Step::AwaitVoice => (self.doing, self.voiced) = (Doing::AwaitingVoice, Duration::ZERO),
        }
        None
    }

    /// A chunk is so many octets at 8000 Hz when paced by time: at other rates as many more.
    fn saying(&self, now: Instant, sound: &Sound, chunk: usize, every: Duration) -> Doing {
        let samples = sound.at(self.rate).samples;
        let pcm: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
        let paced = !every.is_zero() && chunk == 2 * samples_in(sound.rate, every);
        let chunk = if paced { 2 * samples_in(self.rate, every) } else { chunk.max(1) };
        if pcm.is_empty() {
            return Doing::Done;
        }
        Doing::Saying { pcm, sent: 0, chunk, every, due: now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: SampleRate = SampleRate::Hz8000;

    fn started(script: Script) -> (Dialogue, Instant) {
        let (mut dialogue, now) = (Dialogue::new(script), Instant::now());
        dialogue.handle(now, Input::Start("b6", RATE));
        (dialogue, now)
    }

    fn drain(dialogue: &mut Dialogue, now: Instant) -> Vec<Said> {
        let mut said = Vec::new();
        while let Some(output) = dialogue.poll_output(now) {
            match output {
                Output::Send(what, _) => said.push(what),
                other => panic!("{other:?}"),
            }
        }
        said
    }

    fn key(c: char) -> Digit {
        Digit::from_char(c).unwrap()
    }

    #[test]
    fn nothing_is_said_before_start() {
        let mut dialogue = Dialogue::new(Script::of(vec![Step::Clear]));
        dialogue.handle(Instant::now(), Input::Heard(&[1; 160]));
        assert_eq!(dialogue.poll_output(Instant::now()), None);
    }

    #[test]
    fn a_burst_is_cut_as_asked_and_followed_by_its_mark() {
        let sound = Sound::silence(RATE, Duration::from_millis(60));
        let say = Step::Say { sound, chunk: 801, every: Duration::ZERO };
        let (mut dialogue, now) = started(Script::of(vec![say, Step::Mark("a".into())]));
        assert_eq!(drain(&mut dialogue, now), [Said::Media(801), Said::Media(159), Said::Mark("a".into())]);
    }

    #[test]
    fn a_paced_recording_keeps_absolute_time() {
        let script =
            Script::of(vec![Step::paced(Sound::silence(RATE, Duration::from_millis(120))), Step::Clear]);
        let (mut dialogue, mut now) = started(script);
        let mut sent = Vec::new();
        for _ in 0..13 {
            dialogue.wake(now);
            sent.extend(drain(&mut dialogue, now));
            now += Duration::from_millis(10);
        }
        assert_eq!(sent, [Said::Media(640), Said::Media(640), Said::Media(640), Said::Clear]);
    }

    #[test]
    fn echo_ends_at_its_key() {
        let (mut dialogue, now) = started(Script::of(vec![Step::Echo(Until::Digit(key('#'))), Step::Clear]));
        dialogue.handle(now, Input::Heard(&[5; 160]));
        dialogue.handle(now, Input::Digit(key('1')));
        assert_eq!(drain(&mut dialogue, now), [Said::Media(320)]);
        dialogue.handle(now, Input::Digit(key('#')));
        dialogue.handle(now, Input::Heard(&[5; 160]));
        assert_eq!(drain(&mut dialogue, now), [Said::Clear]);
    }

    #[test]
    fn a_mark_that_came_back_early_is_not_waited_for() {
        let steps = vec![
            Step::Mark("a".into()),
            Step::Wait(Duration::from_secs(1)),
            Step::AwaitMark("a".into()),
            Step::Stop,
        ];
        let (mut dialogue, now) = started(Script::of(steps));
        assert_eq!(drain(&mut dialogue, now), [Said::Mark("a".into())]);
        dialogue.handle(now, Input::Mark("a"));
        let later = dialogue.wakes_at().unwrap();
        dialogue.wake(later);
        assert_eq!(drain(&mut dialogue, later), [Said::Stop]);
    }

    #[test]
    fn only_speech_that_lasts_is_a_voice() {
        let (mut dialogue, now) = started(Script::of(vec![Step::AwaitVoice, Step::Clear]));
        for _ in 0..3 {
            dialogue.handle(now, Input::Heard(&[3000; 160]));
        }
        dialogue.handle(now, Input::Heard(&[3; 160]));
        assert_eq!(drain(&mut dialogue, now), []);
        for _ in 0..4 {
            dialogue.handle(now, Input::Heard(&[3000; 160]));
        }
        assert_eq!(drain(&mut dialogue, now), [Said::Clear]);
    }

    #[test]
    fn a_tone_goes_on_without_end() {
        let (mut dialogue, mut now) = started(Script::tone(RATE));
        let mut sent = 0;
        for _ in 0..1000 {
            dialogue.wake(now);
            sent += drain(&mut dialogue, now).len();
            now += Duration::from_millis(4);
        }
        assert_eq!(sent, 100);
    }
}
