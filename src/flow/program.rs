//! A parsed flow: steps, and where each leads.

use std::sync::Arc;

use super::applet::{Applet, Hangup, Voicebot};
use super::{Reconnect, StreamSettings};

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

/// A flow of the configuration.
#[derive(Clone, Debug)]
pub struct Flow {
    /// What routes call it.
    pub id: String,
    /// For people; may be empty.
    pub name: String,
    /// Whose calls it takes; absent: any account's.
    pub account: Option<String>,
    /// Names of the steps, in the program's order.
    pub names: Vec<String>,
    /// What is run.
    pub program: Arc<Program>,
}

impl Program {
    /// What a route with `bot` means: a voicebot, its bots in the order they are tried, and a hangup.
    pub fn voicebot(urls: Vec<String>, reconnect: Reconnect) -> Self {
        let settings = Arc::new(StreamSettings::default());
        let voicebot = Voicebot { urls, settings, reconnect };
        Self {
            steps: vec![
                Step { applet: Applet::Voicebot(voicebot), next: Some(1) },
                Step { applet: Applet::Hangup(Hangup::default()), next: None },
            ],
        }
    }

    /// Addresses of all bots and forks, as configured.
    pub fn urls(&self) -> impl Iterator<Item = &String> {
        self.steps.iter().flat_map(|step| step.applet.urls())
    }
}
