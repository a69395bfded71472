//! Stream: forks a unidirectional stream, or ends those there are, and goes on at once (agentstream.md section 14). It
//! does not answer the leg.

use std::sync::Arc;

use super::{Next, Scene};
use crate::flow::{Fact, StreamSettings, Verb, Verbs};

/// Lets others listen.
#[derive(Clone, Debug)]
pub enum Stream {
    /// Begins a fork.
    Start {
        /// To whom, as configured.
        url: String,
        /// What it gets.
        settings: Arc<StreamSettings>,
    },
    /// Ends the forks of this call.
    Stop,
}

impl Stream {
    pub(super) fn enter(&self, _: Scene, verbs: &mut Verbs) -> Next {
        verbs.push(match self {
            Self::Start { url, settings } => Verb::OpenStream {
                url: url.clone(),
                settings: Arc::clone(settings),
                last: true,
                continues: false,
            },
            Self::Stop => Verb::StopForks,
        });
        Next::Leave
    }

    pub(super) fn tell(&self, _: Scene, _: Fact, _: &mut Verbs) -> Next {
        Next::Leave // it never stays, so nothing is told to it
    }
}
