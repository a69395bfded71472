//! A parsed flow: steps, and where each leads.

use super::applet::{Applet, Hangup, Voicebot};

/// One step.
#[derive(Clone, Debug)]
pub struct Step {
    /// What it does.
    pub applet: Applet,
    /// The step after it; none: hang up.
    pub next: Option<usize>,
}

/// A flow as it is run; shared by the calls in it and never changed.
#[derive(Clone, Debug)]
pub struct Program {
    /// The first is where a call begins.
    pub steps: Vec<Step>,
}

impl Program {
    /// What a route with `bot` means: a voicebot, its bots in the order they are tried, and a hangup.
    pub fn voicebot(urls: Vec<String>) -> Self {
        Self {
            steps: vec![
                Step { applet: Applet::Voicebot(Voicebot { urls }), next: Some(1) },
                Step { applet: Applet::Hangup(Hangup), next: None },
            ],
        }
    }
}
