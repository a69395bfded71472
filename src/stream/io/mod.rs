//! The shell of a stream: reaches the bot, and carries messages between its socket, the session and the audio.
//!
//! ```text
//!   run: a task ── name, TCP, TLS, upgrade ──► up ──► a seat in a lane: on its call's media core ──► over
//! ```
//!
//! While the bot is being reached a stream is a task: that is rare, and all waiting. Once it is up it is none: what a
//! stream costs then is being woken, and a lane has its part of each step of its core, for all its streams (`lane`).
#![allow(clippy::disallowed_methods)] // a shell: the only clock of this folder is `clock`

mod acks;
mod dial;
mod lane;
mod seat;
#[cfg(test)]
mod tests;
mod tls;
mod wire;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use self::dial::{Dial, Upgraded};
use self::seat::{GULP, Guest, deliver, hear, tell};
use self::wire::Wire;
use super::connect::Attempts;
use super::session::Input;
use super::{BotUrl, Command, Config, Direction, Egress, Event, Keys, Session, Settings, Start, Stop};
use crate::media::{Knock, Play, StreamEnd, Told};

pub use lane::{Lane, Lanes};
pub use tls::{Connector, Trust, TrustError};

/// The session's end of the audio: `media`'s rings, or a test's.
pub trait Audio: Send {
    /// Moves up to `out.len()` samples of the caller; 0: nothing now.
    fn hear(&mut self, out: &mut [i16]) -> usize;
    /// The next mark reached or key pressed.
    fn told(&mut self) -> Option<Told>;
    /// Leaves an order.
    ///
    /// # Errors
    /// The order itself when there is no room; `woken` tells when there is.
    fn play(&mut self, order: Play) -> Result<(), Play>;
    /// Samples of `Play::Audio` that have left the playout.
    fn taken(&self) -> u64;
    /// Resolves when there is something to hear or to be told. May be dropped at any time.
    fn woken(&mut self) -> impl Future<Output = ()> + Send
    where
        Self: Sized;
    /// From now on this is knocked at instead, also when there is room again. What was there before is not told.
    fn knock_at(&mut self, knock: Knock);
}

impl Audio for StreamEnd {
    fn hear(&mut self, out: &mut [i16]) -> usize {
        self.hear(out)
    }

    fn told(&mut self) -> Option<Told> {
        self.told()
    }

    fn play(&mut self, order: Play) -> Result<(), Play> {
        self.play_at(clock(), order)
    }

    fn taken(&self) -> u64 {
        self.taken()
    }

    fn woken(&mut self) -> impl Future<Output = ()> + Send {
        self.woken()
    }

    fn knock_at(&mut self, knock: Knock) {
        self.knock_at(knock);
    }
}

/// Sees every text message, as it is written or read.
pub type Trace = Arc<dyn Fn(Direction, &str) + Send + Sync>;

/// A stream to be opened.
pub struct Open<A = StreamEnd> {
    /// What every stream keeps to.
    pub config: Arc<Config>,
    /// The bot.
    pub url: BotUrl,
    /// What `start` says.
    pub start: Start,
    /// What is particular to it.
    pub settings: Settings,
    /// How the caller's keys are told.
    pub keys: Keys,
    /// The audio, at the URL's rate.
    pub end: A,
    /// TLS.
    pub connector: Arc<Connector>,
    /// Who carries it once it is up.
    pub lane: Lane,
    /// Where the URL may lead.
    pub egress: Egress,
    /// For demonstrations.
    pub trace: Option<Trace>,
    /// What the caller said before, at the URL's rate.
    pub kept: Vec<i16>,
    /// Who gets the audio, and what was heard of it, if the bot cannot be had: told before the end is.
    pub leave: Option<Leave<A>>,
}

/// Takes what a stream that never came up leaves.
pub type Leave<A> = Box<dyn FnOnce(A, Vec<i16>) + Send>;

/// Opens the stream and stays with it to its end; `events` ends with `Event::Ended`. A call that drops its sender of
/// commands has ended.
///
/// # Panics
/// When the stream failed in its lane, by a fault of ours (reliability R-2).
pub fn run<A: Audio + 'static>(
    open: Open<A>,
    commands: mpsc::Receiver<Command>,
    events: impl Fn(Event) + Send + 'static,
) -> impl Future<Output = ()> + Send {
    // on the heap, so that what it takes to reach the bot is given back once the stream has its seat
    let begins = Box::pin(begin(open, commands, events));
    async move {
        let Some(leaves) = begins.await else { return };
        if leaves.await.is_err() {
            std::panic::resume_unwind(Box::new("a stream failed in its lane")); // told where it happened
        }
    }
}

/// Up to its seat in the lane; what is given resolves when it leaves that. Nothing: its audio went to another stream.
async fn begin<A: Audio + 'static>(
    open: Open<A>,
    mut commands: mpsc::Receiver<Command>,
    events: impl Fn(Event) + Send + 'static,
) -> Option<oneshot::Receiver<()>> {
    let Open { config, url, start, settings, keys, end, connector, lane, egress, trace, kept, leave } = open;
    let session = Session::new(Arc::clone(&config), start, &url, &settings, clock()).telling(keys);
    let mut stream = Stream { session, end };
    stream.session.keep(&kept);
    drop(kept);
    let dial = Dial { url: &url, config: &config, connector: &connector, egress: &egress };
    let reached = stream.connect(dial, &mut commands).await;
    drop((url, connector, egress));
    let Stream { mut session, mut end } = stream;
    let upgraded = match (reached, leave) {
        (Reached::Not(kept), Some(leave)) => {
            leave(end, kept);
            tell(&mut session, &events);
            return None;
        }
        (Reached::Not(_) | Reached::GivenUp, _) => None,
        (Reached::Up(upgraded), _) => Some(upgraded),
    };
    deliver(&mut session, &mut end, &events);
    let wire = match upgraded.map(|upgraded| Wire::new(upgraded, config.max_message_bytes)).transpose() {
        Ok(wire) => wire,
        Err(error) => {
            session.handle(clock(), Input::Lost(&words(&error)));
            None
        }
    };
    let (over, leaves) = oneshot::channel();
    let (end, events) = (Box::new(end), Box::new(events));
    lane.seat(Guest { session, end, events, commands, wire, trace, over }).await;
    Some(leaves)
}

/// The time, which a test may hold.
pub(super) fn clock() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// An error's words without the system's number.
pub(super) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.as_str(), |(words, _)| words).to_lowercase()
}

struct Stream<A> {
    session: Session,
    end: A,
}

/// What became of reaching the bot.
enum Reached {
    Up(Upgraded),
    /// It could not be had; what was heard meanwhile.
    Not(Vec<i16>),
    GivenUp,
}

impl<A: Audio> Stream<A> {
    /// Reaches the bot while the caller is listened to.
    async fn connect(&mut self, dial: Dial<'_>, commands: &mut mpsc::Receiver<Command>) -> Reached {
        let mut attempts = Attempts::new(dial.config, clock());
        // On the heap, so that what a handshake needs is given back after it.
        let mut dialled = Box::pin(dial.run(&mut attempts));
        let result = loop {
            tokio::select! {
                biased;
                command = commands.recv() => match obeyed(command) {
                    Input::Stop(stop) => break Err(stop),
                    key => self.session.handle(clock(), key),
                },
                done = &mut dialled => break Ok(done),
                () = self.end.woken() => hear(&mut self.session, &mut self.end, &mut [0; GULP], clock()),
            }
        };
        drop(dialled);
        self.session.attempted(attempts.made());
        let now = clock();
        let (input, reached) = match result {
            Ok(Ok(upgraded)) => (Input::Up { connect: attempts.elapsed(now) }, Reached::Up(upgraded)),
            Ok(Err(failure)) => {
                hear(&mut self.session, &mut self.end, &mut [0; GULP], now);
                (Input::Failed(failure.error(dial.url)), Reached::Not(self.session.kept()))
            }
            Err(stop) => (Input::Stop(stop), Reached::GivenUp),
        };
        self.session.handle(now, input);
        reached
    }
}

/// What a word of the call is to the session; a call that is gone has ended.
fn obeyed(command: Option<Command>) -> Input<'static> {
    match command {
        Some(Command::Stop(stop)) => Input::Stop(stop),
        Some(Command::Key { digit, held_ms }) => {
            Input::Key { digit, held: Duration::from_millis(held_ms.into()) }
        }
        Some(Command::Pause) => Input::Pause(true),
        Some(Command::Resume) => Input::Pause(false),
        None => Input::Stop(Stop::CallEnded),
    }
}
