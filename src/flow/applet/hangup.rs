//! Hangup: ends the call.

use super::{Next, Scene};
use crate::flow::{Fact, Verb, Verbs};

/// Ends the call.
#[derive(Clone, Copy, Debug)]
pub struct Hangup;

impl Hangup {
    pub(super) fn enter(self, _: Scene, verbs: &mut Verbs) -> Next {
        verbs.push(Verb::Hangup);
        Next::Stay
    }

    pub(super) fn tell(self, _: Scene, _: Fact, _: &mut Verbs) -> Next {
        Next::Stay
    }
}
