//! Hangup: ends the call.

use std::sync::Arc;

use super::{Next, Scene};
use crate::flow::{Fact, Verb, Verbs};

/// Ends the call.
#[derive(Clone, Debug, Default)]
pub struct Hangup {
    /// Words for the Reason header field of the BYE.
    pub reason: Option<Arc<str>>,
}

impl Hangup {
    pub(super) fn enter(&self, _: Scene, verbs: &mut Verbs) -> Next {
        verbs.push(Verb::Hangup { reason: self.reason.clone() });
        Next::Stay
    }

    pub(super) fn tell(&self, _: Scene, _: Fact, _: &mut Verbs) -> Next {
        Next::Stay
    }
}
