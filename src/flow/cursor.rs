//! A place in a flow: which applet is on, and what has been told to it.

use std::sync::Arc;

use super::applet::{Next, Scene};
use super::{AnswerMode, Fact, Program, Step, Verb, Verbs};

/// More steps than this in one call end it (control-apis.md section 10).
const MAX_STEPS: u32 = 1000;

/// One call's way through a program.
#[derive(Debug)]
pub struct Cursor {
    program: Arc<Program>,
    at: Option<usize>,
    steps: u32,
    scene: Scene,
}

impl Cursor {
    /// At the beginning.
    pub fn new(program: Arc<Program>, answer: AnswerMode) -> Self {
        Self { program, at: None, steps: 0, scene: Scene { answer, answered: false, failed: 0, lost: false } }
    }

    /// Tells what happened; gives what is to be done, in order.
    pub fn tell(&mut self, fact: Fact) -> Verbs {
        let mut verbs = Verbs::new();
        match fact {
            Fact::Answered => self.scene.answered = true,
            Fact::StreamFailed => self.scene.failed += 1,
            Fact::StreamLost => (self.scene.failed, self.scene.lost) = (self.scene.failed + 1, true),
            _ => {} // the rest is the step's alone
        }
        let next = match (fact, self.step()) {
            (fact, Some(step)) => step.applet.tell(self.scene, fact, &mut verbs),
            (Fact::Began, None) => Next::Leave,
            (_, None) => Next::Stay,
        };
        if matches!(next, Next::Leave) {
            self.advance(&mut verbs);
        }
        verbs
    }

    /// The step that is on; none before the beginning and past the end.
    fn step(&self) -> Option<&Step> {
        self.at.and_then(|at| self.program.steps.get(at))
    }

    /// Goes on to the first applet that stays.
    fn advance(&mut self, verbs: &mut Verbs) {
        loop {
            self.steps += 1;
            let next = match self.at {
                None => Some(0),
                Some(_) => self.step().and_then(|step| step.next),
            };
            let step = next.and_then(|at| self.program.steps.get(at));
            let Some(step) = step.filter(|_| self.steps <= MAX_STEPS) else {
                self.at = Some(usize::MAX); // past the end: nothing is asked of the flow any more
                verbs.push(Verb::Hangup { reason: None });
                return;
            };
            (self.at, self.scene.failed, self.scene.lost) = (next, 0, false);
            match step.applet.enter(self.scene, verbs) {
                Next::Stay => return,
                Next::Leave => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Reconnect;
    use crate::flow::applet::{Applet, Stream};
    use std::time::Duration;

    fn cursor(answer: AnswerMode) -> Cursor {
        Cursor::new(Arc::new(Program::voicebot(vec!["ws://bot".into()], Reconnect::No)), answer)
    }

    fn opens(url: &str, last: bool) -> Verb {
        let settings = Arc::default();
        Verb::OpenStream { url: url.into(), settings, last, continues: false }
    }

    const HANGUP: Verb = Verb::Hangup { reason: None };

    fn open() -> Verb {
        opens("ws://bot", true)
    }

    #[test]
    fn bot_ready_answers_when_the_bot_is_there() {
        let mut cursor = cursor(AnswerMode::BotReady);
        assert_eq!(cursor.tell(Fact::Began)[..], [open()]);
        assert_eq!(cursor.tell(Fact::StreamUp)[..], [Verb::Answer]);
        assert!(cursor.tell(Fact::Answered).is_empty());
        assert!(cursor.tell(Fact::StreamAudio).is_empty());
        assert_eq!(cursor.tell(Fact::StreamEnded)[..], [HANGUP]);
        assert!(cursor.tell(Fact::StreamEnded).is_empty());
    }

    #[test]
    fn immediate_answers_first() {
        let mut cursor = cursor(AnswerMode::Immediate);
        assert_eq!(cursor.tell(Fact::Began)[..], [Verb::Answer, open()]);
        assert!(cursor.tell(Fact::Answered).is_empty());
        assert!(cursor.tell(Fact::StreamUp).is_empty());
    }

    #[test]
    fn bot_audio_answers_on_the_first_audio_or_after_three_seconds() {
        for last in [Fact::StreamAudio, Fact::Waited] {
            let mut cursor = cursor(AnswerMode::BotAudio);
            assert_eq!(cursor.tell(Fact::Began)[..], [open()]);
            assert_eq!(cursor.tell(Fact::StreamUp)[..], [Verb::Wait(Duration::from_secs(3))]);
            assert_eq!(cursor.tell(last)[..], [Verb::Answer]);
            assert!(cursor.tell(Fact::Answered).is_empty());
            assert!(cursor.tell(Fact::Waited).is_empty());
        }
    }

    #[test]
    fn a_bot_that_cannot_be_had_ends_the_call() {
        let mut cursor = cursor(AnswerMode::BotReady);
        cursor.tell(Fact::Began);
        assert_eq!(cursor.tell(Fact::StreamFailed)[..], [HANGUP]);
        assert!(cursor.tell(Fact::StreamFailed).is_empty());
    }

    #[test]
    fn the_next_bot_follows_one_that_cannot_be_had_and_none_follows_one_that_was_there() {
        let two = || Program::voicebot(vec!["ws://a".into(), "ws://b".into()], Reconnect::No);
        let open = opens;
        let mut cursor = Cursor::new(Arc::new(two()), AnswerMode::BotReady);
        assert_eq!(cursor.tell(Fact::Began)[..], [open("ws://a", false)]);
        assert_eq!(cursor.tell(Fact::StreamFailed)[..], [open("ws://b", true)]);
        assert_eq!(cursor.tell(Fact::StreamUp)[..], [Verb::Answer]);
        assert_eq!(cursor.tell(Fact::StreamEnded)[..], [HANGUP]);

        let mut cursor = Cursor::new(Arc::new(two()), AnswerMode::Immediate);
        assert_eq!(cursor.tell(Fact::Began)[..], [Verb::Answer, open("ws://a", false)]);
        cursor.tell(Fact::Answered);
        assert!(cursor.tell(Fact::StreamUp).is_empty());
        assert_eq!(cursor.tell(Fact::StreamEnded)[..], [HANGUP]);
    }

    #[test]
    fn a_step_without_a_bot_is_passed() {
        let mut cursor =
            Cursor::new(Arc::new(Program::voicebot(Vec::new(), Reconnect::No)), AnswerMode::BotReady);
        assert_eq!(cursor.tell(Fact::Began)[..], [HANGUP]);
    }

    #[test]
    fn a_program_that_never_stays_is_ended() {
        let round = Program { steps: vec![Step { applet: Applet::Pass, next: Some(0) }] };
        let mut cursor = Cursor::new(Arc::new(round), AnswerMode::BotReady);
        assert_eq!(cursor.tell(Fact::Began)[..], [HANGUP]);
    }

    #[test]
    fn a_bot_that_is_lost_is_followed_where_that_is_wanted() {
        let three = ["ws://a", "ws://b", "ws://c"].map(String::from);
        let with = |reconnect| {
            let program = Program::voicebot(three.to_vec(), reconnect);
            let mut cursor = Cursor::new(Arc::new(program), AnswerMode::Immediate);
            cursor.tell(Fact::Began);
            cursor.tell(Fact::StreamUp);
            cursor
        };
        assert_eq!(with(Reconnect::No).tell(Fact::StreamLost)[..], [HANGUP]);

        let mut cursor = with(Reconnect::Next);
        let goes_on = |verbs: &Verbs, to: &str| matches!(&verbs[..], [Verb::OpenStream { url, continues: true, .. }] if url == to);
        assert!(goes_on(&cursor.tell(Fact::StreamLost), "ws://b"));
        assert!(
            goes_on(&cursor.tell(Fact::StreamFailed), "ws://c"),
            "it still continues the one that was there"
        );
        assert_eq!(cursor.tell(Fact::StreamLost)[..], [HANGUP], "no bot is called twice");
        assert_eq!(
            with(Reconnect::Next).tell(Fact::StreamEnded)[..],
            [HANGUP],
            "a bot that ends has done its work"
        );
    }

    #[test]
    fn a_fork_goes_on_at_once_and_before_the_answer() {
        let start = Stream::Start { url: "ws://fork".into(), settings: Arc::default() };
        let bot = Program::voicebot(vec!["ws://bot".into()], Reconnect::No).steps.remove(0).applet;
        let step = |applet, next| Step { applet, next };
        let steps = vec![
            step(Applet::Stream(start), Some(1)),
            step(bot, Some(2)),
            step(Applet::Stream(Stream::Stop), None),
        ];
        let mut cursor = Cursor::new(Arc::new(Program { steps }), AnswerMode::Immediate);
        assert_eq!(cursor.tell(Fact::Began)[..], [opens("ws://fork", true), Verb::Answer, open()]);
        assert_eq!(cursor.tell(Fact::StreamEnded)[..], [Verb::StopForks, HANGUP]);
    }

    #[test]
    fn as_many_forks_as_steps_are_wished_for_at_most() {
        let start = Stream::Start { url: "ws://fork".into(), settings: Arc::default() };
        let round = Program { steps: vec![Step { applet: Applet::Stream(start), next: Some(0) }] };
        let verbs = Cursor::new(Arc::new(round), AnswerMode::BotReady).tell(Fact::Began);
        assert_eq!((verbs.len(), verbs.last()), (1001, Some(&HANGUP)));
    }
}
