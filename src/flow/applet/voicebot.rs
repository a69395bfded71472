//! Voicebot: a bidirectional stream, and waiting for its end (control-apis.md section 11). It answers the leg
//! when the trunk's answer mode says so (operator.md section 3.1). Where the first bot cannot be had the next is
//! tried, and so on; a bot that was there is followed by another only where it was lost and `reconnect` says so.

use std::sync::Arc;
use std::time::Duration;

use super::{Next, Scene};
use crate::flow::{AnswerMode, Fact, Reconnect, StreamSettings, Verb, Verbs};

/// How long `bot_audio` waits for the bot to speak before the leg is answered all the same.
const FIRST_AUDIO: Duration = Duration::from_secs(3);

/// Talks with a bot.
#[derive(Clone, Debug)]
pub struct Voicebot {
    /// The bots' addresses as configured, in the order they are tried.
    pub urls: Vec<String>,
    /// What is particular to its streams.
    pub settings: Arc<StreamSettings>,
    /// What follows a bot that is lost.
    pub reconnect: Reconnect,
}

impl Voicebot {
    pub(super) fn enter(&self, scene: Scene, verbs: &mut Verbs) -> Next {
        if scene.answer == AnswerMode::Immediate && !scene.answered {
            verbs.push(Verb::Answer);
        }
        self.open(scene, verbs)
    }

    pub(super) fn tell(&self, scene: Scene, fact: Fact, verbs: &mut Verbs) -> Next {
        use AnswerMode::{BotAudio, BotReady};
        match (fact, scene.answer) {
            (Fact::StreamEnded, _) => return Next::Leave,
            (Fact::StreamLost, _) if self.reconnect == Reconnect::No => return Next::Leave,
            (Fact::StreamFailed | Fact::StreamLost, _) => return self.open(scene, verbs),
            (Fact::StreamUp, BotReady) if !scene.answered => verbs.push(Verb::Answer),
            (Fact::StreamUp, BotAudio) if !scene.answered => verbs.push(Verb::Wait(FIRST_AUDIO)),
            (Fact::StreamAudio | Fact::Waited, BotAudio) if !scene.answered => verbs.push(Verb::Answer),
            _ => {} // what is not in the table changes nothing
        }
        Next::Stay
    }

    /// The first bot that was not tried yet.
    fn open(&self, scene: Scene, verbs: &mut Verbs) -> Next {
        let Some(url) = self.urls.get(scene.failed) else { return Next::Leave };
        verbs.push(Verb::OpenStream {
            url: url.clone(),
            settings: Arc::clone(&self.settings),
            last: scene.failed + 1 == self.urls.len(),
            continues: scene.lost,
        });
        Next::Stay
    }
}
