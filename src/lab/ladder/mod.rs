//! What happened on a call, in order, between three parties: SIP on the left, the bot's socket on the right.
//! Messages are told one by one, audio as sums. It may be followed live, line by line.
//!
//! ```text
//!    0.000   │─ INVITE ─────────────────►│                           │
//!    0.004   │◄───────────── 100 Trying ─│                           │
//!    0.031   │                           │─ start ──────────────────►│
//!    3.040   │═ 150 RTP ════════════════►│═ 150 media ══════════════►│
//! ```

mod draw;
mod watch;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use draw::{head, lines};

/// Rungs kept.
const RUNGS: usize = 10_000;
/// Audio is told when something else happens, once so much time passed since it was last told.
const AUDIO_EVERY: Duration = Duration::from_millis(250);

/// Who.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// The SIP caller.
    Caller,
    /// What is looked at.
    StreamKit,
    /// The voice bot.
    Bot,
}

/// What went from one to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A SIP message, or a message on the bot's socket.
    Message,
    /// A sum of audio.
    Audio,
    /// Something is wrong; or a remark.
    Remark,
}

/// One line of the ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rung {
    /// Since the ladder began.
    pub at: Duration,
    /// From whom.
    pub from: Party,
    /// To whom.
    pub to: Party,
    /// What kind.
    pub kind: Kind,
    /// In few words.
    pub label: String,
    /// In full, if there is more to say.
    pub detail: String,
}

impl Rung {
    /// Between caller and StreamKit, not between StreamKit and the bot.
    pub fn is_sip(&self) -> bool {
        self.from == Party::Caller || self.to == Party::Caller
    }

    /// From the caller's side to the bot's.
    pub fn rightward(&self) -> bool {
        self.from < self.to
    }

    /// Both are sums of audio of one time and one direction, `next` on the bot's side.
    pub fn runs_on(&self, next: &Self) -> bool {
        let audio = self.kind == Kind::Audio && next.kind == Kind::Audio && self.at == next.at;
        audio && self.is_sip() && !next.is_sip() && self.rightward() == next.rightward()
    }
}

/// A ladder that grows; clones grow together.
#[derive(Clone)]
pub struct Ladder(Arc<Shared>);

struct Shared {
    begins: Instant,
    growing: Mutex<Growing>,
    follower: Option<Box<Follower>>,
}

type Follower = dyn Fn(&str) + Send + Sync;

#[derive(Default)]
struct Growing {
    rungs: Vec<Rung>,
    audio: [u64; 4],
    audio_told: Duration,
}

impl fmt::Debug for Ladder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ladder of {} rungs", self.rungs().len())
    }
}

/// The four ways audio takes, in the order it is told.
const WAYS: [(Party, Party, &str); 4] = [
    (Party::Caller, Party::StreamKit, "RTP"),
    (Party::StreamKit, Party::Bot, "media"),
    (Party::StreamKit, Party::Caller, "RTP"),
    (Party::Bot, Party::StreamKit, "media"),
];

impl Ladder {
    /// Begins now.
    pub fn begin() -> Self {
        Self::with(None)
    }

    /// Begins now; each line is given to `follower` as it is drawn.
    pub fn followed(follower: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self::with(Some(Box::new(follower)))
    }

    fn with(follower: Option<Box<Follower>>) -> Self {
        Self(Arc::new(Shared { begins: Instant::now(), growing: Mutex::default(), follower }))
    }

    /// When it began: time 0.
    pub fn begins(&self) -> Instant {
        self.0.begins
    }

    /// A message or remark.
    pub fn tell(
        &self,
        at: Instant,
        way: (Party, Party),
        kind: Kind,
        label: impl Into<String>,
        detail: impl Into<String>,
    ) {
        let at = at.saturating_duration_since(self.0.begins);
        let rung = Rung { at, from: way.0, to: way.1, kind, label: label.into(), detail: detail.into() };
        let mut growing = self.0.growing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new = growing.sums(at);
        new.push(rung);
        // Under the lock, so that lines are drawn in the order they stand.
        self.follow(&new);
        growing.keep(new);
    }

    /// One packet or message of audio.
    pub fn audio(&self, from: Party, to: Party) {
        if let Some(way) = WAYS.iter().position(|(f, t, _)| (*f, *t) == (from, to)) {
            self.0.growing.lock().unwrap_or_else(PoisonError::into_inner).audio[way] += 1;
        }
    }

    /// All rungs so far, in order of time.
    pub fn rungs(&self) -> Vec<Rung> {
        let mut rungs = self.0.growing.lock().unwrap_or_else(PoisonError::into_inner).rungs.clone();
        rungs.sort_by_key(|rung| rung.at);
        rungs
    }

    fn follow(&self, new: &[Rung]) {
        if let Some(follower) = &self.0.follower {
            lines(new).iter().for_each(|line| follower(line));
        }
    }
}

impl Growing {
    /// The audio since it was last told, if that is long enough ago.
    fn sums(&mut self, at: Duration) -> Vec<Rung> {
        if at.saturating_sub(self.audio_told) < AUDIO_EVERY || self.audio == [0; 4] {
            return Vec::new();
        }
        self.audio_told = at;
        let counts = std::mem::take(&mut self.audio);
        let ways = WAYS.iter().zip(counts).filter(|(_, count)| *count > 0);
        ways.map(|(&(from, to, what), count)| Rung {
            at,
            from,
            to,
            kind: Kind::Audio,
            label: format!("{count} {what}"),
            detail: String::new(),
        })
        .collect()
    }

    fn keep(&mut self, new: Vec<Rung>) {
        let room = RUNGS.saturating_sub(self.rungs.len());
        self.rungs.extend(new.into_iter().take(room));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audio_is_told_as_a_sum_before_what_comes_after_it() {
        let drawn = Arc::new(Mutex::new(Vec::new()));
        let seen = drawn.clone();
        let ladder = Ladder::followed(move |line| seen.lock().unwrap().push(line.to_owned()));
        let at = |ms| ladder.begins() + Duration::from_millis(ms);
        let way = (Party::Caller, Party::StreamKit);
        ladder.tell(at(0), way, Kind::Message, "INVITE", "");
        for _ in 0..150 {
            ladder.audio(Party::Caller, Party::StreamKit);
            ladder.audio(Party::StreamKit, Party::Bot);
        }
        ladder.tell(at(3040), way, Kind::Message, "BYE", "");
        let labels: Vec<String> = ladder.rungs().into_iter().map(|r| r.label).collect();
        assert_eq!(labels, ["INVITE", "150 RTP", "150 media", "BYE"]);
        let drawn = drawn.lock().unwrap();
        assert_eq!(drawn.len(), 3, "both sums stand on one line: {drawn:#?}");
        assert!(drawn[1].contains("150 RTP") && drawn[1].contains("150 media"));
    }
}
