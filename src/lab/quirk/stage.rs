//! Where one case is played: its wires, what passed over them, and what is waited for, always with an end.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;

use super::dialect::Dialect;
use super::dialog::Dialog;
use super::ground::Ground;
use super::text::Request;
use super::wire::{Arrived, Wire};
use crate::lab::bot::Transcript;
use crate::lab::ladder::{Kind, Ladder, Party};
use crate::sip::Transport;
use crate::sip::message::{Framing, Message};

/// What arrives and may wait to be looked at.
const ARRIVALS: usize = 256;

/// Why a case failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What should have been.
    pub expected: String,
    /// What was.
    pub found: String,
}

impl Fault {
    /// One.
    pub(super) fn new(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { expected: expected.into(), found: found.into() }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::new("a socket that works", error.to_string())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}; found {}", self.expected, self.found)
    }
}

/// How a case went.
pub(super) type Played = Result<(), Fault>;

/// A message of the daemon's.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// When it came.
    pub(super) at: Instant,
    /// Over which wire.
    pub(super) wire: usize,
    /// What it says.
    pub(super) message: Message,
    /// As it came.
    pub(super) bytes: Vec<u8>,
}

impl Seen {
    /// `200`, or the method.
    pub(super) fn what(&self) -> String {
        let method = self.message.method().as_str().to_owned();
        self.message.status().map_or(method.clone(), |status| format!("{status} to {method}"))
    }

    /// The first header field of that name, or nothing.
    pub(super) fn header(&self, name: &str) -> String {
        self.message.header(name).map(|value| value.into_owned()).unwrap_or_default()
    }
}

/// Where one case is played.
pub(super) struct Stage {
    /// The daemon.
    pub(super) ground: Arc<Ground>,
    /// Who we are.
    pub(super) dialect: Dialect,
    /// The number we dial.
    pub(super) number: String,
    /// Chance of this case, and its place.
    pub(super) seed: u32,
    /// The ways to the daemon: the first is used, the second is another address of ours.
    wires: Vec<Wire>,
    door: (Transport, std::net::SocketAddr),
    arrivals: (Sender<Arrived>, Receiver<Arrived>),
    inbox: VecDeque<Seen>,
    /// Everything that came, to tell repetitions from what is new.
    known: HashSet<Vec<u8>>,
    /// Every message that came, repetitions as well.
    pub(super) came: Vec<(Instant, Vec<u8>)>,
    /// CRLFs that came by themselves.
    pub(super) pongs: usize,
    /// The connection was closed.
    pub(super) closed: bool,
    /// What is to be said besides.
    pub(super) notes: Vec<&'static str>,
    /// What is cleared away when the case is over.
    open: Vec<(Dialog, Request)>,
    ladder: Ladder,
    /// `Server` or `User-Agent` of the daemon.
    pub(super) server: Option<String>,
}

impl Stage {
    /// Opens its first wire.
    pub(super) async fn open(
        ground: Arc<Ground>,
        dialect: Dialect,
        door: (Transport, std::net::SocketAddr),
        seed: u32,
    ) -> io::Result<Self> {
        let arrivals = channel(ARRIVALS);
        let wire = Wire::open(&ground, door, 0, arrivals.0.clone()).await?;
        let number = ground.number.of(seed % 1_000_000);
        Ok(Self {
            ground,
            dialect,
            number,
            seed,
            wires: vec![wire],
            door,
            arrivals,
            inbox: VecDeque::new(),
            known: HashSet::new(),
            came: Vec::new(),
            pongs: 0,
            closed: false,
            notes: Vec::new(),
            open: Vec::new(),
            ladder: Ladder::begin(),
            server: None,
        })
    }

    /// How the first wire travels.
    pub(super) fn transport(&self) -> Transport {
        self.door.0
    }

    /// Our address on a wire.
    pub(super) fn at(&self, wire: usize) -> std::net::SocketAddr {
        self.wires[wire].local
    }

    /// Opens one more wire; its place.
    pub(super) async fn another_wire(&mut self) -> Result<usize, Fault> {
        let place = self.wires.len();
        let wire = Wire::open(&self.ground, self.door, place, self.arrivals.0.clone()).await?;
        self.wires.push(wire);
        Ok(place)
    }

    /// A dialog of this PBX.
    pub(super) fn dialog(&mut self) -> Dialog {
        self.seed = self.seed.wrapping_add(1_000_003);
        let wire = (self.wires[0].local, self.wires[0].transport.as_str());
        Dialog::new(self.dialect, wire, &self.ground.host, &self.number, self.seed)
    }

    /// Sends a request over the first wire.
    pub(super) async fn send(&mut self, request: &Request) -> Played {
        self.send_bytes(request.text().as_bytes()).await
    }

    /// Sends these octets over the first wire.
    pub(super) async fn send_bytes(&mut self, bytes: &[u8]) -> Played {
        self.send_over(0, bytes).await
    }

    /// Sends these octets over this wire.
    pub(super) async fn send_over(&mut self, wire: usize, bytes: &[u8]) -> Played {
        let text = String::from_utf8_lossy(bytes);
        self.tell(Instant::now(), true, &text);
        Ok(self.wires[wire].send(bytes).await?)
    }

    /// Sends these octets without a word about them: parts of a message.
    pub(super) async fn send_part(&mut self, bytes: &[u8]) -> Played {
        Ok(self.wires[0].send(bytes).await?)
    }

    /// Tells the ladder what passed.
    pub(super) fn tell(&self, at: Instant, sent: bool, text: &str) {
        let way = (Party::Caller, Party::StreamKit);
        let way = if sent { way } else { (way.1, way.0) };
        self.ladder.tell(at, way, Kind::Message, label(text), text);
    }

    /// To be cleared away: an INVITE of ours that went out.
    pub(super) fn clears(&mut self, dialog: &Dialog, invite: &Request) {
        self.open.retain(|(open, _)| open.call_id != dialog.call_id);
        self.open.push((dialog.clone(), invite.clone()));
    }

    /// Nothing is left of this call.
    pub(super) fn cleared(&mut self, call_id: &str) {
        self.open.retain(|(open, _)| open.call_id != call_id);
    }

    /// Whatever the case left open.
    pub(super) fn left_open(&mut self) -> Vec<(Dialog, Request)> {
        std::mem::take(&mut self.open)
    }

    /// Waits for a message that fits; what does not fit stays for later.
    pub(super) async fn waits(
        &mut self,
        what: &str,
        within: Duration,
        fits: impl Fn(&Seen) -> bool,
    ) -> Result<Seen, Fault> {
        let until = Instant::now() + within;
        loop {
            if let Some(place) = self.inbox.iter().position(&fits)
                && let Some(seen) = self.inbox.remove(place)
            {
                return Ok(seen);
            }
            let left = until.saturating_duration_since(Instant::now());
            match timeout(left, self.arrivals.1.recv()).await {
                Ok(Some(arrived)) => self.arrived(arrived)?,
                Ok(None) | Err(_) => return Err(self.missing(what, within)),
            }
        }
    }

    fn missing(&self, what: &str, within: Duration) -> Fault {
        let closed = if self.closed { "; the connection was closed" } else { "" };
        let others: Vec<String> = self.inbox.iter().map(Seen::what).collect();
        let found = if others.is_empty() { "nothing".to_owned() } else { others.join(", ") };
        Fault::new(format!("{what} within {:.1} s", within.as_secs_f64()), format!("{found}{closed}"))
    }

    /// Takes what arrives for so long; nothing of it is lost.
    pub(super) async fn listen(&mut self, long: Duration) -> Played {
        let until = Instant::now() + long;
        while let Ok(Some(arrived)) =
            timeout(until.saturating_duration_since(Instant::now()), self.arrivals.1.recv()).await
        {
            self.arrived(arrived)?;
        }
        Ok(())
    }

    /// Takes out of the inbox what is there and fits.
    pub(super) fn there(&mut self, fits: impl Fn(&Seen) -> bool) -> Option<Seen> {
        let place = self.inbox.iter().position(fits)?;
        self.inbox.remove(place)
    }

    fn arrived(&mut self, arrived: Arrived) -> Played {
        let Arrived { at, wire, bytes } = arrived;
        match bytes.len() {
            0 => self.closed = true,
            2 => self.pongs += 1,
            _ => {
                self.tell(at, false, &String::from_utf8_lossy(&bytes));
                self.came.push((at, bytes.clone()));
                if !self.known.insert(bytes.clone()) {
                    return Ok(()); // said before
                }
                let framing = if self.door.0.is_stream() { Framing::Stream } else { Framing::Datagram };
                let message = Message::parse(&bytes, framing);
                let message = message.map_err(|why| {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    Fault::new("well-formed SIP", format!("{why:?} in\n{text}"))
                })?;
                let named = message.header("Server").or_else(|| message.header("User-Agent"));
                self.server = named.map(|value| value.into_owned()).or(self.server.take());
                self.inbox.push_back(Seen { at, wire, message, bytes });
            }
        }
        Ok(())
    }

    /// How often exactly these octets came.
    pub(super) fn copies(&self, seen: &Seen) -> usize {
        self.came.iter().filter(|(_, bytes)| *bytes == seen.bytes).count()
    }

    /// What the bot knows of this case's call, once `enough`; nothing when there is no bot to look at.
    pub(super) async fn bot(
        &mut self,
        what: &str,
        enough: impl Fn(&Transcript) -> bool,
    ) -> Result<Option<Transcript>, Fault> {
        if self.ground.bots.is_empty() {
            self.notes.push("what the bot got is not observable from here");
            return Ok(None);
        }
        let until = Instant::now() + self.ground.patience;
        loop {
            if let Some(found) =
                self.transcripts(|t| enough(t).then(|| t.clone())).into_iter().flatten().next()
            {
                return Ok(Some(found));
            }
            if Instant::now() >= until {
                let told = self.transcripts(|t| format!("keys {:?}, {:?}", t.digits(), t.start));
                let told = if told.is_empty() { "no stream at all".to_owned() } else { told.join("; ") };
                return Err(Fault::new(format!("at the bot: {what}"), told));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Something of each stream of this case's calls.
    fn transcripts<T>(&self, of: impl Fn(&Transcript) -> T) -> Vec<T> {
        let mine = |t: &&Transcript| t.start.as_ref().is_some_and(|start| start.to == self.number);
        let look = |all: &[Transcript]| all.iter().filter(mine).map(&of).collect::<Vec<_>>();
        self.ground.bots.iter().flat_map(|bot| bot.look(look)).collect()
    }

    /// What passed, with the bot's side of it.
    pub(super) fn story(&self) -> Ladder {
        self.transcripts(|transcript| transcript.events.iter().for_each(|event| self.ladder.bot(event)));
        self.ladder.clone()
    }
}

/// `INVITE`, `200 OK to BYE`.
fn label(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let Some(status) = line.strip_prefix("SIP/2.0 ") else {
        return line.split(' ').next().unwrap_or_default().to_owned();
    };
    let cseq = text.lines().find_map(|line| line.strip_prefix("CSeq:"));
    match cseq.and_then(|value| value.split_whitespace().nth(1)) {
        Some(method) if method != "INVITE" => format!("{status} to {method}"),
        _ => status.to_owned(),
    }
}
