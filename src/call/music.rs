//! What the caller hears while a bot is being reached (`connecting_audio`, agentstream.md section 2): over and over
//! until the bot is there, and no moment longer.

use std::sync::Arc;

use super::{Call, Output};
use crate::ids::PortId;
use crate::media::{Command, Player, Spec};

/// A prompt that is being played.
#[derive(Clone, Debug)]
pub(super) struct Music {
    /// Its port.
    pub(super) port: PortId,
    name: Arc<str>,
}

impl Call {
    /// Makes true what is to be heard now. A caller who cannot hear anything yet hears the ringing of his own side.
    pub(super) fn tune(&mut self) {
        let wanted = self.stage.awaited_audio().filter(|_| self.leg.open && self.ending.is_none()).cloned();
        if self.music.as_ref().map(|music| &music.name) == wanted.as_ref() {
            return;
        }
        if let Some(before) = self.music.take() {
            self.rewire();
            self.outputs.push_back(Output::Media(Command::Close(before.port)));
        }
        let Some(name) = wanted else { return };
        let Some(prompt) = self.config.prompts.get(&name) else { return };
        let player = Player::new(prompt.samples(), true);
        let port = self.free_port();
        self.outputs.push_back(Output::Media(Command::Open(port, Spec::Player(player))));
        self.music = Some(Music { port, name });
        self.rewire();
    }
}
