//! The quirk laboratory: what each make of PBX really does, played against a daemon and judged.
//!
//! ```text
//!   plan(&[Pbx]) ─► run(ground, plan) ─► Outcome a case ─► Acceptance ─► text, HTML
//!                       │
//!       case ── stage ──┼─ wire (UDP, TCP, TLS) ── SIP text ──► daemon
//!        │        │     └─ line ───────────────── RTP ────────► daemon ──► bot
//!        │        └─ dialog, dialect, sdp: how this PBX writes        ▲
//!        └── asks, waits (always with an end), judges ────────────────┘ looked at, when it is ours
//! ```
//!
//! The user agent here writes SIP itself, so that it can be as wrong as real equipment is; the product's parser is
//! used to read answers only. A case that cannot travel over what the daemon offers is skipped and says so.

mod call;
mod case;
mod cases;
mod dialect;
mod dialog;
mod ground;
mod pbx;
mod report;
mod rtp;
mod sdp;
mod stage;
mod text;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _};

pub use case::Case;
pub use ground::{Ground, Number, Over};
pub use pbx::Pbx;
pub use report::Acceptance;
pub use stage::Fault;

use super::ladder;
use crate::sip::Transport;
use dialect::Dialect;
use stage::Stage;

/// A case that takes longer is given up.
const LONGEST: Duration = Duration::from_secs(20);

/// How a case went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Who was played.
    pub pbx: Pbx,
    /// What.
    pub case: &'static Case,
    /// Over what.
    pub transport: Option<Transport>,
    /// How it went.
    pub verdict: Verdict,
    /// What is to be said besides.
    pub notes: Vec<&'static str>,
    /// How long it took.
    pub lasted: Duration,
    /// `Server` of the daemon.
    pub server: Option<String>,
    /// Of a failed case: the ladder, and every message in full.
    pub story: String,
}

/// How a case went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should.
    Passed,
    /// It did not.
    Failed(Fault),
    /// It was not played, and why.
    Skipped(String),
}

impl Outcome {
    /// Was it played, and did it go wrong?
    pub fn failed(&self) -> Option<&Fault> {
        match &self.verdict {
            Verdict::Failed(fault) => Some(fault),
            Verdict::Passed | Verdict::Skipped(_) => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match &self.verdict {
            Verdict::Passed => "pass",
            Verdict::Failed(_) => "FAIL",
            Verdict::Skipped(_) => "skip",
        };
        let over = self.transport.map_or("-", Transport::as_str);
        let seconds = self.lasted.as_secs_f64();
        write!(f, "{word}  {:<11}{:<33}{over:<4}{seconds:>6.2} s", self.pbx, self.case.title())?;
        match &self.verdict {
            Verdict::Skipped(why) => write!(f, "  {why}"),
            Verdict::Passed | Verdict::Failed(_) => {
                self.notes.iter().try_for_each(|note| write!(f, "  ({note})"))
            }
        }
    }
}

/// The cases these PBXs do, in order.
pub fn plan(pbxs: &[Pbx]) -> Vec<(Pbx, &'static Case)> {
    let of =
        |pbx: Pbx| cases::all().filter(move |case| case.does.contains(&pbx)).map(move |case| (pbx, case));
    Pbx::ALL.into_iter().filter(|pbx| pbxs.contains(pbx)).flat_map(of).collect()
}

/// Plays them, so many at once; each outcome is told in the order of the plan.
pub async fn run(
    ground: &Arc<Ground>,
    plan: Vec<(Pbx, &'static Case)>,
    at_once: usize,
    mut told: impl FnMut(&Outcome),
) -> Vec<Outcome> {
    let play = |(place, (pbx, case)): (usize, (Pbx, &'static Case))| {
        let played = tokio::spawn(play(ground.clone(), pbx, case, place));
        async move {
            let broken = |why: tokio::task::JoinError| Outcome {
                verdict: Verdict::Failed(Fault::new("a laboratory that works", why.to_string())),
                ..Outcome::nothing(pbx, case)
            };
            played.await.unwrap_or_else(broken)
        }
    };
    // Tasks are spawned when they are polled for: no more than `at_once` of them.
    let mut playing = stream::iter(plan.into_iter().enumerate().map(play)).buffered(at_once.max(1));
    let mut outcomes = Vec::new();
    while let Some(outcome) = playing.next().await {
        told(&outcome);
        outcomes.push(outcome);
    }
    outcomes
}

/// Asks whether anybody is there, over each way: who does not answer now fails every case, and slowly.
///
/// # Errors
/// Nobody answers, or it does not let us in.
pub async fn knock(ground: &Arc<Ground>) -> Result<(), Fault> {
    for door in &ground.doors {
        let mut stage = Stage::open(ground.clone(), Dialect::of(Pbx::Plain), *door, 1).await?;
        let options = stage.dialog().request("OPTIONS");
        stage.send(&options).await?;
        let answer = stage.final_answer(&options, "an answer").await?;
        if answer.message.status() == Some(403) {
            let found = format!("403 for {}", stage.at(0).ip());
            return Err(Fault::new("a trunk that has our address among its peers", found));
        }
    }
    Ok(())
}

impl Outcome {
    fn nothing(pbx: Pbx, case: &'static Case) -> Self {
        Self {
            pbx,
            case,
            transport: None,
            verdict: Verdict::Passed,
            notes: Vec::new(),
            lasted: Duration::ZERO,
            server: None,
            story: String::new(),
        }
    }
}

async fn play(ground: Arc<Ground>, pbx: Pbx, case: &'static Case, place: usize) -> Outcome {
    let nothing = Outcome::nothing(pbx, case);
    let dialect = Dialect::of(pbx);
    let Some(door) = ground.door(case.over, dialect.transport) else {
        let wanted = if case.over == Over::Udp { "UDP" } else { "TCP or TLS" };
        return Outcome { verdict: Verdict::Skipped(format!("needs {wanted}")), ..nothing };
    };
    let transport = Some(door.0);
    // Numbers and tags differ from run to run, or a daemon that stays up would see the same calls again.
    let chance = crate::ids::Entropy::from_os().below(1_000_000);
    let seed = chance.wrapping_mul(1000).wrapping_add(place as u32 % 1000);
    let began = Instant::now();
    let mut stage = match Stage::open(ground, dialect, door, seed).await {
        Ok(stage) => stage,
        Err(error) => {
            let fault = Fault::new("a way to the daemon", error.to_string());
            return Outcome { transport, verdict: Verdict::Failed(fault), ..nothing };
        }
    };
    let played = tokio::time::timeout(LONGEST, (case.play)(&mut stage)).await;
    let long = || Err(Fault::new(format!("an end within {} s", LONGEST.as_secs()), "none"));
    let played = played.unwrap_or_else(|_| long());
    let lasted = began.elapsed();
    let (verdict, story) = match played {
        Ok(()) => (Verdict::Passed, String::new()),
        Err(fault) => (Verdict::Failed(fault), told(&stage)),
    };
    stage.clear_away().await;
    let mut notes = stage.notes.clone();
    notes.dedup();
    Outcome { transport, verdict, notes, lasted, server: stage.server.clone(), story, ..nothing }
}

/// The ladder, and every message in full.
fn told(stage: &Stage) -> String {
    let rungs = stage.story().rungs();
    let mut text = ladder::head() + "\n";
    ladder::lines(&rungs).iter().for_each(|line| text += &format!("{line}\n"));
    for rung in rungs.iter().filter(|rung| rung.is_sip() && !rung.detail.is_empty()) {
        let way = if rung.rightward() { "we sent" } else { "streamkit sent" };
        text += &format!("\n--- {:.3} s, {way}:\n{}\n", rung.at.as_secs_f64(), rung.detail.replace('\r', ""));
    }
    text
}

#[cfg(test)]
mod tests;
