//! The shell of a stream: reaches the bot, and carries messages between its socket, the session and the audio.
//!
//! One task a stream. It never waits for one side while another has something: the socket is read whether or not it
//! can be written, and audio is taken whether or not it can be sent.
#![allow(clippy::disallowed_methods)] // a shell: the only clock of this folder is `clock`

mod acks;
mod dial;
mod line;
mod socket;
#[cfg(test)]
mod tests;
mod tls;

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::{sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;

use self::acks::Acks;
use self::dial::Dial;
use self::line::Line;
use self::socket::{Socket, Step};
use super::connect::Attempts;
use super::session::Input;
use super::{BotUrl, Command, Config, Direction, Egress, Event, Session, Start, StartStyle, Stop};
use crate::media::{Play, StreamEnd, Told};
use crate::telemetry::metrics;

pub use tls::{Connector, Trust, TrustError};

/// Samples taken from the ring at a time.
const GULP: usize = 480;
/// For the orders a stream leaves behind, once its socket is gone.
const LEAVE: Duration = Duration::from_secs(10);

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
    /// Resolves when there is something to hear or to be told, or room again. May be dropped at any time.
    fn woken(&mut self) -> impl Future<Output = ()> + Send;
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
    /// How `start` is written.
    pub style: StartStyle,
    /// Milliseconds a frame: 20, 40, 60, 80 or 100.
    pub frame_ms: u32,
    /// The audio, at the URL's rate.
    pub end: A,
    /// TLS.
    pub connector: Arc<Connector>,
    /// Where the URL may lead.
    pub egress: Egress,
    /// For demonstrations.
    pub trace: Option<Trace>,
}

/// Opens the stream and stays with it to its end; `events` ends with `Event::Ended`. A call that drops its sender of
/// commands has ended.
pub async fn run<A: Audio>(
    open: Open<A>,
    mut commands: mpsc::Receiver<Command>,
    events: impl Fn(Event) + Send,
) {
    let Open { config, url, start, style, frame_ms, end, connector, egress, trace } = open;
    let session = Session::new(Arc::clone(&config), start, &url, frame_ms, &style, clock());
    let mut stream = Stream { session, end, events };
    let dial = Dial { url: &url, config: &config, connector: &connector, egress: &egress };
    if let Some(socket) = stream.connect(dial, &mut commands).await {
        drop((url, connector, egress));
        stream.drive(Socket::new(socket, trace), &mut commands).await;
    }
    stream.leave().await;
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

struct Stream<A, E> {
    session: Session,
    end: A,
    events: E,
}

impl<A: Audio, E: Fn(Event) + Send> Stream<A, E> {
    /// Reaches the bot while the caller is listened to. `None`: the end is told.
    async fn connect(
        &mut self,
        dial: Dial<'_>,
        commands: &mut mpsc::Receiver<Command>,
    ) -> Option<WebSocketStream<Line>> {
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
                () = self.end.woken() => self.hear(),
            }
        };
        drop(dialled);
        self.session.attempted(attempts.made());
        let now = clock();
        let (input, socket) = match result {
            Ok(Ok(socket)) => (Input::Up { connect: attempts.elapsed(now) }, Some(socket)),
            Ok(Err(failure)) => (Input::Failed(failure.error(dial.url)), None),
            Err(stop) => (Input::Stop(stop), None),
        };
        self.session.handle(now, input);
        self.deliver();
        socket
    }

    /// Carries messages until the connection may be dropped.
    async fn drive(&mut self, mut socket: Socket, commands: &mut mpsc::Receiver<Command>) {
        let mut sleep = pin!(sleep_until(clock().into()));
        let (mut called, mut acks, mut look) = (true, Acks::default(), clock() + acks::EVERY);
        while !self.session.is_over() {
            let now = clock();
            if look <= now {
                look = now + acks::EVERY;
                if acks.look(now, socket.tcp()) {
                    self.session.handle(now, Input::Unacknowledged);
                    self.deliver();
                }
            }
            let wake = self.session.poll_timeout(now).map_or(look, |wake| wake.min(look));
            if wake <= now {
                self.timeout(now);
                continue;
            }
            if sleep.deadline() != wake.into() {
                sleep.as_mut().reset(wake.into());
            }
            tokio::select! {
                biased;
                command = commands.recv(), if called => {
                    called = command.is_some();
                    self.session.handle(clock(), obeyed(command));
                }
                () = self.end.woken() => self.hear(),
                step = socket.step(&mut self.session) => self.take(step),
                () = &mut sleep => self.timeout(clock()),
            }
            self.deliver();
        }
        // What TLS has to say at the end; a peer that does not take it is not waited for.
        let _ = timeout(Duration::from_millis(200), socket.shut()).await;
    }

    /// The last orders go to the playout: they may have found its ring full.
    async fn leave(&mut self) {
        self.session.tally().publish();
        let orders = async {
            while !self.session.is_silent() {
                self.end.woken().await;
                self.hear();
                self.deliver();
            }
        };
        let _ = timeout(LEAVE, orders).await;
    }

    fn timeout(&mut self, now: Instant) {
        self.session.handle(now, Input::Timeout);
        self.session.tally().publish();
        self.deliver();
    }

    fn take(&mut self, step: Step) {
        self.session.taken(self.end.taken());
        step.tell(&mut self.session, clock());
    }

    fn hear(&mut self) {
        let now = clock();
        let mut samples = [0; GULP];
        loop {
            let heard = self.end.hear(&mut samples);
            if heard == 0 {
                break;
            }
            self.session.handle(now, Input::Heard(&samples[..heard.min(GULP)]));
        }
        self.session.taken(self.end.taken());
        while let Some(told) = self.end.told() {
            self.session.handle(now, Input::Told(told));
        }
    }

    fn deliver(&mut self) {
        while let Some(order) = self.session.poll_play() {
            if let Err(order) = self.end.play(order) {
                self.session.give_back(order);
                break;
            }
        }
        while let Some(event) = self.session.poll_event() {
            if let Event::Ended(outcome) = &event {
                let (status, by) = (outcome.status.as_str(), outcome.disconnected_by.as_str());
                metrics::stream_outcome(status, by, outcome.disposition.as_str());
            }
            (self.events)(event);
        }
    }
}

/// What a word of the call is to the session; a call that is gone has ended.
fn obeyed(command: Option<Command>) -> Input<'static> {
    match command {
        Some(Command::Stop(stop)) => Input::Stop(stop),
        Some(Command::Key { digit, held }) => Input::Key { digit, held },
        None => Input::Stop(Stop::CallEnded),
    }
}
