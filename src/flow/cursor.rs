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
        Self { program, at: None, steps: 0, scene: Scene { answer, answered: false, failed: 0 } }
    }

    /// Tells what happened; gives what is to be done, in order.
    pub fn tell(&mut self, fact: Fact) -> Verbs {
        let mut verbs = Verbs::new();
        match fact {
            Fact::Answered => self.scene.answered = true,
            Fact::StreamFailed => self.scene.failed += 1,
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
                verbs.push(Verb::Hangup);
                return;
            };
            (self.at, self.scene.failed) = (next, 0);
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
    use std::time::Duration;

    fn cursor(answer: AnswerMode) -> Cursor {
        Cursor::new(Arc::new(Program::voicebot(vec!["ws://bot".into()])), answer)
    }

    fn open() -> Verb {
        Verb::OpenStream { url: "ws://bot".into(), last: true }
    }

    #[test]
    fn bot_ready_answers_when_the_bot_is_there() {
        let mut cursor = cursor(AnswerMode::BotReady);
        assert_eq!(cursor.tell(Fact::Began)[..], [open()]);
        assert_eq!(cursor.tell(Fact::StreamUp)[..], [Verb::Answer]);
        assert!(cursor.tell(Fact::Answered).is_empty());
        assert!(cursor.tell(Fact::StreamAudio).is_empty());
        assert_eq!(cursor.tell(Fact::StreamEnded)[..], [Verb::Hangup]);
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
        assert_eq!(cursor.tell(Fact::StreamFailed)[..], [Verb::Hangup]);
        assert!(cursor.tell(Fact::StreamFailed).is_empty());
    }

    #[test]
    fn the_next_bot_follows_one_that_cannot_be_had_and_none_follows_one_that_was_there() {
        let two = || Program::voicebot(vec!["ws://a".into(), "ws://b".into()]);
        let open = |url: &str, last| Verb::OpenStream { url: url.into(), last };
        let mut cursor = Cursor::new(Arc::new(two()), AnswerMode::BotReady);
        assert_eq!(cursor.tell(Fact::Began)[..], [open("ws://a", false)]);
        assert_eq!(cursor.tell(Fact::StreamFailed)[..], [open("ws://b", true)]);
        assert_eq!(cursor.tell(Fact::StreamUp)[..], [Verb::Answer]);
        assert_eq!(cursor.tell(Fact::StreamEnded)[..], [Verb::Hangup]);

        let mut cursor = Cursor::new(Arc::new(two()), AnswerMode::Immediate);
        assert_eq!(cursor.tell(Fact::Began)[..], [Verb::Answer, open("ws://a", false)]);
        cursor.tell(Fact::Answered);
        assert!(cursor.tell(Fact::StreamUp).is_empty());
        assert_eq!(cursor.tell(Fact::StreamEnded)[..], [Verb::Hangup]);
    }

    #[test]
    fn a_step_without_a_bot_is_passed() {
        let mut cursor = Cursor::new(Arc::new(Program::voicebot(Vec::new())), AnswerMode::BotReady);
        assert_eq!(cursor.tell(Fact::Began)[..], [Verb::Hangup]);
    }

    #[test]
    fn a_program_that_never_stays_is_ended() {
        use crate::flow::Step;
        use crate::flow::applet::Applet;
        let round = Program { steps: vec![Step { applet: Applet::Pass, next: Some(0) }] };
        let mut cursor = Cursor::new(Arc::new(round), AnswerMode::BotReady);
        assert_eq!(cursor.tell(Fact::Began)[..], [Verb::Hangup]);
    }
}
