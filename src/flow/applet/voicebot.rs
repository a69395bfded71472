//! Voicebot: a bidirectional stream, and waiting for its end (control-apis.md section 11). It answers the leg
//! when the trunk's answer mode says so (operator.md section 3.1).

use std::time::Duration;

use super::{Next, Scene};
use crate::flow::{AnswerMode, Fact, Verb, Verbs};

/// How long `bot_audio` waits for the bot to speak before the leg is answered all the same.
const FIRST_AUDIO: Duration = Duration::from_secs(3);

/// Talks with a bot.
#[derive(Clone, Debug)]
pub struct Voicebot {
    /// The bot's address as configured.
    pub url: String,
}

impl Voicebot {
    pub(super) fn enter(&self, scene: Scene, verbs: &mut Verbs) -> Next {
        if scene.answer == AnswerMode::Immediate && !scene.answered {
            verbs.push(Verb::Answer);
        }
        verbs.push(Verb::OpenStream { url: self.url.clone() });
        Next::Stay
    }

    pub(super) fn tell(&self, scene: Scene, fact: Fact, verbs: &mut Verbs) -> Next {
        use AnswerMode::{BotAudio, BotReady};
        match (fact, scene.answer) {
            (Fact::StreamEnded, _) => return Next::Leave,
            (Fact::StreamUp, BotReady) if !scene.answered => verbs.push(Verb::Answer),
            (Fact::StreamUp, BotAudio) if !scene.answered => verbs.push(Verb::Wait(FIRST_AUDIO)),
            (Fact::StreamAudio | Fact::Waited, BotAudio) if !scene.answered => verbs.push(Verb::Answer),
            _ => {} // what is not in the table changes nothing
        }
        Next::Stay
    }
}
