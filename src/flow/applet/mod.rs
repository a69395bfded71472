//! The kinds of step, joined by an enum; one file each, with the same two functions: `enter` and `tell`.

mod hangup;
mod stream;
mod voicebot;

pub use hangup::Hangup;
pub use stream::Stream;
pub use voicebot::Voicebot;

use super::{AnswerMode, Fact, Verbs};

/// What a step does.
#[derive(Clone, Debug)]
pub enum Applet {
    /// A bidirectional stream, and waiting for its end.
    Voicebot(Voicebot),
    /// Unidirectional streams beside the call.
    Stream(Stream),
    /// The end of the call.
    Hangup(Hangup),
    /// Nothing, at once.
    #[cfg(test)]
    Pass,
}

/// What an applet may look at.
#[derive(Clone, Copy, Debug)]
pub struct Scene {
    /// The trunk's answer mode.
    pub answer: AnswerMode,
    /// Whether the leg is answered.
    pub answered: bool,
    /// Bots of this step that could not be had or were lost.
    pub failed: usize,
    /// One of them was lost.
    pub lost: bool,
}

/// Whether an applet has more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It waits for facts.
    Stay,
    /// It is done; the program says where to go.
    Leave,
}

impl Applet {
    pub(crate) fn enter(&self, scene: Scene, verbs: &mut Verbs) -> Next {
        match self {
            Self::Voicebot(voicebot) => voicebot.enter(scene, verbs),
            Self::Stream(stream) => stream.enter(scene, verbs),
            Self::Hangup(hangup) => hangup.enter(scene, verbs),
            #[cfg(test)]
            Self::Pass => Next::Leave,
        }
    }

    pub(crate) fn tell(&self, scene: Scene, fact: Fact, verbs: &mut Verbs) -> Next {
        match self {
            Self::Voicebot(voicebot) => voicebot.tell(scene, fact, verbs),
            Self::Stream(stream) => stream.tell(scene, fact, verbs),
            Self::Hangup(hangup) => hangup.tell(scene, fact, verbs),
            #[cfg(test)]
            Self::Pass => Next::Leave,
        }
    }

    /// Addresses it leads to, as configured.
    pub fn urls(&self) -> &[String] {
        match self {
            Self::Voicebot(voicebot) => &voicebot.urls,
            Self::Stream(Stream::Start { url, .. }) => std::slice::from_ref(url),
            Self::Stream(Stream::Stop) | Self::Hangup(_) => &[],
            #[cfg(test)]
            Self::Pass => &[],
        }
    }
}
