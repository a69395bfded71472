//! The tasks that drive calls: `Desk` takes what signalling and the engine tell and begins calls, `drive` runs one.
#![allow(clippy::disallowed_methods)] // a shell: it reads the clock for the cores it drives

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use futures_util::FutureExt;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep_until;

use super::admission::Admission;
use super::cdr::{Began, Cdr, StreamRecord};
use super::switchboard::{Line, Mailbox, Slot, Switchboard};
use super::{Beginning, Call, Config, Input, Opening, Output, intake};
use crate::fetch::{self, Errand};
use crate::ids::{CallKey, CallSid, Entropy, PortId, StreamSid};
use crate::media::{self, Engine, Lane};
use crate::sip::{self, Incoming};
use crate::stream::io::{Connector, Lanes, Trace};
use crate::stream::{self, Baton, Left};
use crate::telemetry::{log, metrics};

/// How often a caller is heard whose bot is being asked for: well within what his line holds.
const LISTEN: Duration = Duration::from_millis(60);

/// What calls are joined to.
pub struct Wires {
    /// To signalling.
    pub sip: mpsc::Sender<sip::Command>,
    /// Audio.
    pub engine: Engine,
    /// To bots.
    pub connector: Arc<Connector>,
    /// Who carries streams.
    pub lanes: Lanes,
    /// To web servers.
    pub fetch: Arc<fetch::Client>,
    /// Where finished CDRs go, as JSON lines.
    pub cdrs: mpsc::Sender<Vec<u8>>,
    /// Who is on the line.
    pub board: Switchboard,
    /// Who may come in.
    pub admission: Admission,
    /// Sees every message on a bot's socket, if someone looks.
    pub trace: Option<Trace>,
}

/// Where calls begin.
pub struct Desk {
    wires: Arc<Wires>,
    config: RwLock<Arc<Config>>,
    entropy: Mutex<Entropy>,
}

impl Desk {
    /// A desk with this configuration.
    pub fn new(wires: Wires, config: Config, entropy: Entropy) -> Self {
        Self { wires: Arc::new(wires), config: RwLock::new(Arc::new(config)), entropy: Mutex::new(entropy) }
    }

    /// New calls keep to this from now on.
    pub fn reload(&self, config: Config) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    /// Takes what signalling tells; never waits for a call.
    pub fn signalled(&self, event: sip::Event) {
        match event {
            sip::Event::Incoming(incoming) => self.begin(incoming),
            event => {
                if let Some(slot) = self.wires.board.by_leg(event.leg()) {
                    slot.put(Input::Sip(event));
                }
            }
        }
    }

    /// Takes what the engine tells.
    pub fn heard(board: &Switchboard, key: CallKey, event: media::Event) {
        if let Some(slot) = board.by_call(key) {
            slot.put(Input::Media(event));
        }
    }

    fn begin(&self, incoming: Box<Incoming>) {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner).clone();
        let began = Began { at: incoming.at, wall: SystemTime::now() };
        let chance = {
            let mut entropy = self.entropy.lock().unwrap_or_else(PoisonError::into_inner);
            (CallSid::fresh(&mut entropy), entropy.fork())
        };
        match intake::receive(config, &self.wires.admission, began, chance, incoming) {
            Ok(beginning) => {
                let Beginning { sid, parties, incoming, config, .. } = &beginning;
                tracing::info!(
                    call = %sid, trunk = %config.trunks[usize::from(incoming.trunk.0)].name,
                    from = %log::number(&parties.from), to = %log::number(&parties.to),
                    call_id = %incoming.invite.call_id(), "call begins"
                );
                let (line, mailbox) = self.wires.board.open(incoming.leg);
                let wires = Arc::clone(&self.wires);
                tokio::spawn(attend(Box::new(Start { wires, beginning, mailbox }), line));
            }
            Err(refused) => {
                let (cdr, reject) = *refused;
                if let Err(TrySendError::Full(reject)) = self.wires.sip.try_send(reject) {
                    // Of these there are never more than signalling has transactions.
                    let sip = self.wires.sip.clone();
                    tokio::spawn(async move { drop(sip.send(reject).await) });
                }
                finished(&self.wires, &cdr);
            }
        }
    }
}

/// What a call's task begins with. In a box, as all that is over when the call is up, or is rare, is in boxes here: a
/// task takes what it takes at most as long as it lives.
struct Start {
    wires: Arc<Wires>,
    beginning: Beginning,
    mailbox: Mailbox,
}

/// Runs one call; a panic in it ends it alone (reliability R-2).
async fn attend(start: Box<Start>, line: Line) {
    let (wires, lane) = (Arc::clone(&start.wires), start.wires.engine.place());
    let (config, trunk) = (Arc::clone(&start.beginning.config), start.beginning.incoming.trunk);
    let call = drive(start, lane.clone(), (line.key, line.slot.clone()));
    if AssertUnwindSafe(call).catch_unwind().await.is_err() {
        let trunk = &config.trunks[usize::from(trunk.0)].name; // `intake::judge` found it there
        tracing::error!(trunk = %trunk, cause = "internal", "a call failed and was ended");
        metrics::call_panicked();
        Box::pin(clear_away(&wires, &lane, &line)).await;
    }
}

/// Ends what a call that failed has left.
async fn clear_away(wires: &Wires, lane: &Lane, line: &Line) {
    let reason = Some("Q.850;cause=41".to_owned());
    let refusal = super::refusal::Denied::Internal.refusal();
    // whichever of the two fits the leg's state takes effect
    let _ = wires.sip.send(sip::Command::Reject { leg: line.leg, refusal }).await;
    let _ = wires.sip.send(sip::Command::Hangup { leg: line.leg, reason }).await;
    for index in 0..=u8::MAX {
        lane.send(media::Command::Close(PortId { call: line.key, index })).await;
    }
}

/// What a call's task holds besides its call.
struct Driver {
    wires: Arc<Wires>,
    lane: Lane,
    slot: Slot,
    /// To the streams that are not over.
    streams: Vec<(StreamSid, mpsc::Sender<stream::Command>)>,
    /// Fetches under way: each ends when it is dropped here.
    fetches: Vec<(StreamSid, oneshot::Sender<()>)>,
    stream_config: Arc<stream::Config>,
}

/// The call itself, and what drives it; the box it began in is given back.
fn begun(start: Box<Start>, lane: Lane, (key, slot): (CallKey, Slot)) -> (Box<Call>, Driver, Mailbox) {
    let Start { wires, beginning, mailbox } = *start;
    let stream_config = beginning.config.stream.clone();
    let call = Box::new(Call::inbound(key, beginning));
    let driver = Driver { wires, lane, slot, streams: Vec::new(), fetches: Vec::new(), stream_config };
    (call, driver, mailbox)
}

async fn drive(start: Box<Start>, lane: Lane, line: (CallKey, Slot)) {
    let (mut call, mut driver, mut mailbox) = begun(start, lane, line);
    loop {
        while let Some(output) = call.poll_output() {
            match Box::pin(driver.carry_out(output)).await {
                Then::Drain => {}
                Then::Feed(input) => call.handle(Instant::now(), input),
                Then::Over => return,
            }
        }
        let input = tokio::select! {
            biased;
            input = mailbox.next() => input,
            () = until(call.poll_timeout()) => Input::Timeout,
        };
        call.handle(Instant::now(), input);
    }
}

/// Hears the caller for a bot that is not known yet; never ends by itself.
async fn listen(caller: Option<Baton>) {
    let Some(caller) = caller else { return std::future::pending().await };
    loop {
        tokio::time::sleep(LISTEN).await;
        caller.hear();
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// What follows an output.
enum Then {
    Drain,
    Feed(Input),
    Over,
}

impl Driver {
    async fn carry_out(&mut self, output: Output) -> Then {
        match output {
            Output::Sip(command) => {
                if self.wires.sip.send(command).await.is_err() {
                    tracing::error!(cause = "internal", "signalling is gone");
                }
            }
            Output::Media(command) => self.lane.send(command).await,
            Output::Reserve(peer) => return Then::Feed(Input::Reserved(self.wires.engine.reserve(peer))),
            Output::Fetch(sid, errand, caller) => self.fetch(sid, *errand, caller),
            Output::Unfetch(sid) => self.fetches.retain(|(of, _)| *of != sid),
            Output::OpenStream(opening) => self.open(*opening),
            Output::Stream(sid, command) => self.tell_stream(sid, command),
            Output::Done(cdr) => {
                finished(&self.wires, &cdr);
                return Then::Over;
            }
        }
        Then::Drain
    }

    /// Never waits: a key that finds no room is lost, and always leaves some for a stop.
    fn tell_stream(&self, sid: StreamSid, command: stream::Command) {
        let Some((_, stream)) = self.streams.iter().find(|(of, _)| *of == sid) else { return };
        let room = match command {
            stream::Command::Stop(_) | stream::Command::Pause | stream::Command::Resume => true,
            stream::Command::Key { .. } => stream.capacity() > 1,
        };
        if room {
            let _ = stream.try_send(command); // full: it is stopping already
        }
    }

    /// Begins a fetch; it is over when it is forgotten here.
    fn fetch(&mut self, sid: StreamSid, errand: Errand, caller: Option<Baton>) {
        let (slot, client) = (self.slot.clone(), Arc::clone(&self.wires.fetch));
        let (held, forgotten) = oneshot::channel::<()>();
        self.fetches.retain(|(_, fetch)| !fetch.is_closed());
        self.fetches.push((sid, held));
        tokio::spawn(async move {
            let fetch = tokio::spawn(async move {
                tokio::select! {
                    fetched = client.get(errand) => Some(fetched),
                    _ = forgotten => None,
                    () = listen(caller) => None,
                }
            });
            match fetch.await {
                Ok(Some(fetched)) => slot.put(Input::Fetched(sid, fetched)),
                Ok(None) => {}
                Err(_) => {
                    metrics::call_panicked();
                    slot.put(Input::Fetched(sid, Err(fetch::Failure::Internal)));
                }
            }
        });
    }

    fn open(&mut self, opening: Opening) {
        let Opening { url, bot, egress, start, settings, keys, end, baton, permit } = opening;
        let sid = start.stream_sid;
        let Some(Left { end, kept }) = end.take() else {
            tracing::error!(stream = %sid, cause = "internal", "a stream left nothing to the next");
            return self.slot.put(Input::Stream(sid, broken(sid)));
        };
        let (commands, receiver) = mpsc::channel(4);
        self.streams.retain(|(_, stream)| !stream.is_closed());
        self.streams.push((sid, commands));
        let slot = self.slot.clone();
        let open = stream::io::Open {
            config: self.stream_config.clone(),
            settings,
            egress,
            keys,
            connector: self.wires.connector.clone(),
            lane: self.wires.lanes.on(self.lane.number()),
            trace: self.wires.trace.clone(),
            url,
            start,
            end,
            kept,
            leave: Some(Box::new(move |end, kept| baton.pass(Left { end, kept }))),
        };
        let told = slot.clone();
        let run = stream::io::run(open, receiver, move |event| {
            count(&bot, &event);
            told.put(Input::Stream(sid, event));
        });
        tokio::spawn(async move {
            if AssertUnwindSafe(run).catch_unwind().await.is_err() {
                metrics::call_panicked();
                slot.put(Input::Stream(sid, broken(sid)));
            }
            drop(permit);
        });
    }
}

/// The end of a stream by a fault of ours.
fn broken(sid: StreamSid) -> stream::Event {
    let (lost, error) = (stream::Disposition::ConnectionLost, stream::StreamError::Internal);
    stream::Event::Ended(Box::new(super::opening::failed(Some(sid), lost, error)))
}

fn finished(wires: &Wires, cdr: &Cdr) {
    metrics::call_ended(&cdr.trunk, cdr.direction, outcome(cdr), cdr.end.cause);
    if cdr.times.answer_ms.is_some() {
        metrics::call_duration(&cdr.trunk, Duration::from_millis(cdr.times.duration_ms));
    }
    if let Some(media) = &cdr.media {
        let round_trip = media.outward.round_trip_ms.map(|ms| Duration::from_secs_f64(ms.max(0.0) / 1000.0));
        metrics::call_quality(&cdr.trunk, media.inward.jitter_ms / 1000.0, round_trip, media.mos.inward);
    }
    for stream in &cdr.streams {
        if !stream.bot.is_empty() && stream.stream_url.is_some() {
            played(&stream.bot, stream);
        }
    }
    tracing::info!(
        call = %cdr.call_sid, trunk = %cdr.trunk, outcome = outcome(cdr), by = ?cdr.end.by, cause = cdr.end.cause,
        detail = %cdr.end.detail, code = cdr.sip.code, duration_ms = cdr.times.duration_ms,
        verdict = %cdr.verdict.text, "call ended"
    );
    let line = serde_json::to_vec(cdr).map(|mut line| {
        line.push(b'\n');
        line
    });
    if line.map_or(true, |line| wires.cdrs.try_send(line).is_err()) {
        tracing::error!(call = %cdr.call_sid, cause = "cdr_queue_full", "a call record could not be written");
        metrics::cdr_failed();
    }
}

/// What one stream adds to the figures of its bot.
fn played(bot: &str, stream: &StreamRecord) {
    metrics::playout_underruns(bot, stream.audio.starved);
    metrics::playout_queue(bot, Duration::from_millis(stream.audio.longest_queue_ms));
    let time = |ms: &u32| Duration::from_millis(u64::from(*ms));
    stream.turns_ms.iter().map(time).for_each(|took| metrics::stream_turn(bot, took));
    stream.clear_ms.iter().map(time).for_each(|took| metrics::stream_clear(bot, took));
}

fn count(bot: &str, event: &stream::Event) {
    match event {
        stream::Event::Up { connect, .. } => metrics::stream_connect(bot, *connect),
        stream::Event::Ended(outcome) => {
            if let Some(first) = outcome.figures.first_audio {
                metrics::stream_first_audio(bot, first);
            }
        }
        stream::Event::FirstAudio | stream::Event::QueueFull => {}
    }
}

/// Label of `calls_total`.
fn outcome(cdr: &Cdr) -> &'static str {
    match (cdr.times.answer_ms, cdr.end.cause) {
        (Some(_), _) => "answered",
        (None, "cancel") => "cancelled",
        (None, _) => "refused",
    }
}
