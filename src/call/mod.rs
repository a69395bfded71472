//! The orchestration: legs, ports and a place in a flow, joined. The front door.
//!
//! ```text
//!  sip::Event    ─┐                         ┌─► sip::Command
//!  media::Event  ─┤                         ├─► media::Command
//!  stream::Event ─┼─► Call ── Fact ─► flow  ├─► a stream to open or to stop
//!  Request       ─┤    ▲                │   ├─► a port to reserve
//!  Timeout       ─┘    └──── Verb ──────┘   └─► the CDR
//! ```
//!
//! A call is a pure state machine: one `Input` in, then every `Output` it causes out. It decides who hears whom in
//! one function (`wiring`), asks the flow what comes next, and is over when its CDR is written. `intake` judges an
//! INVITE before a call exists (sip-trunk.md section 4, steps 10 to 14).
//!
//! What it deliberately does not know: sockets, tasks, clocks; what a SIP message looks like on the wire.

pub mod admission;
mod bot;
pub mod breaker;
pub mod cdr;
mod config;
mod dynamic;
mod ending;
mod input;
pub mod intake;
pub mod io;
mod leg;
mod music;
mod offer;
mod opening;
mod output;
mod record;
pub mod refusal;
mod request;
mod signal;
mod stage;
mod streamed;
pub mod switchboard;
mod verb;
mod verdict;
pub mod wiring;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

pub use bot::Bot;
pub use config::{
    AccountSettings, Config, Dialect, Dtmf, Identity, Privacy, Ring, Srtp, Trunk, UuiDecode, UuiSource,
};
pub use input::Input;
pub use output::{Opening, Output};
pub use request::Request;

use admission::{Admission, CallPermit};
use cdr::Began;
use ending::Ending;
use intake::{Admitted, Parties};
use leg::Leg;
use music::Music;
use record::Record;
use stage::Stage;

use crate::flow::{Cursor, Fact};
use crate::ids::{CallKey, CallSid, Entropy, PortId, Seed, TrunkId};
use crate::media::Link;
use crate::sip::{self, Incoming};

/// One call.
#[derive(Debug)]
pub struct Call {
    key: CallKey,
    sid: CallSid,
    account: String,
    parties: Parties,
    config: Arc<Config>,
    admission: Admission,
    chance: Seed,
    leg: Leg,
    flow: Cursor,
    /// What the flow is still to be told.
    facts: VecDeque<Fact>,
    /// It is being told something.
    telling: bool,
    stage: Stage,
    /// What the caller hears until a bot is there.
    music: Option<Music>,
    links: Box<[Link]>,
    next_port: u8,
    timers: Timers,
    ending: Option<Ending>,
    record: Record,
    outputs: VecDeque<Output>,
    origin: Origin,
    /// Held as long as the call.
    _permit: CallPermit,
}

/// What is kept of the INVITE; the rest of it is in the record, and given back.
#[derive(Debug)]
struct Origin {
    trunk: TrunkId,
    transport: sip::Transport,
    remote: SocketAddr,
    reliable: bool,
    /// Its offer, until it is answered.
    offer: Option<Box<crate::sdp::Offer>>,
}

/// When something is due.
#[derive(Debug, Default)]
struct Timers {
    /// The flow's wait is over.
    wait: Option<Instant>,
    /// The call has lasted long enough.
    max_call: Option<Instant>,
    /// Playing out what a bot left has lasted long enough.
    drain: Option<Instant>,
    /// What is still to be told of an ended call is not waited for any longer.
    ending: Option<Instant>,
}

/// What a call begins with.
#[derive(Debug)]
pub struct Beginning {
    /// Its name.
    pub sid: CallSid,
    /// When the INVITE came.
    pub began: Began,
    /// What it keeps to.
    pub config: Arc<Config>,
    /// The door its streams go through.
    pub admission: Admission,
    /// Chance of its own.
    pub entropy: Entropy,
    /// The INVITE.
    pub incoming: Box<Incoming>,
    /// Who calls whom.
    pub parties: Parties,
    /// What `intake` found.
    pub admitted: Admitted,
}

impl Call {
    /// An inbound call that was let in. Its first output asks for an RTP port.
    /// `key` is what its ports and its mailbox are found by.
    pub fn inbound(key: CallKey, beginning: Beginning) -> Self {
        let Beginning { sid, began, config, admission, mut entropy, incoming, parties, admitted } = beginning;
        let trunk = &config.trunks[usize::from(incoming.trunk.0)]; // `intake::judge` found it there
        let record = Record::new(sid, began, &config.node, &trunk.name, &admitted, &parties, &incoming);
        let mut call = Self {
            flow: Cursor::new(admitted.program, trunk.answer),
            leg: Leg::inbound(&incoming, PortId { call: key, index: 0 }, entropy.u32()),
            account: admitted.account,
            _permit: admitted.permit,
            facts: VecDeque::new(),
            telling: false,
            stage: Stage::default(),
            music: None,
            links: Box::default(),
            next_port: 1,
            timers: Timers::default(),
            ending: None,
            outputs: VecDeque::new(),
            key,
            sid,
            parties,
            config,
            admission,
            chance: entropy.seed(),
            record,
            origin: Origin {
                trunk: incoming.trunk,
                transport: incoming.transport,
                remote: incoming.remote,
                reliable: incoming.reliable,
                offer: admitted.offer,
            },
        };
        call.reserve();
        call
    }

    /// Its name.
    pub fn sid(&self) -> CallSid {
        self.sid
    }

    /// One input; then drain `poll_output`.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Reserved(Ok(reservation)) => self.reserved(now, reservation),
            Input::Reserved(Err(_)) => self.deny(now, &refusal::Denied::NoPort),
            Input::Sip(event) => self.signalled(now, event),
            Input::Media(event) => self.heard(now, event),
            Input::Stream(sid, event) => self.streamed(now, sid, event),
            Input::Fetched(sid, fetched) => self.fetched(now, sid, fetched),
            Input::Request(request) => self.asked(now, request),
            Input::Timeout => self.timeout(now),
        }
    }

    /// What it causes, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        let next = self.outputs.pop_front();
        if next.is_none() {
            self.outputs = VecDeque::new(); // a call that talks has none for minutes
        }
        next
    }

    /// When `Input::Timeout` is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let Timers { wait, max_call, drain, ending } = self.timers;
        [wait, max_call, drain, ending].into_iter().flatten().min()
    }

    fn trunk(&self) -> &Trunk {
        &self.config.trunks[usize::from(self.origin.trunk.0)] // `intake::judge` found it there
    }

    fn timeout(&mut self, now: Instant) {
        let due = |timer: &mut Option<Instant>| timer.take_if(|at| *at <= now).is_some();
        if due(&mut self.timers.wait) {
            self.tell(now, Fact::Waited);
        }
        if due(&mut self.timers.drain) {
            self.bot_played_out(now);
        }
        if due(&mut self.timers.max_call) {
            self.hang_up(now, ending::Why::Limit);
        }
        if due(&mut self.timers.ending) {
            self.conclude(now);
        }
    }

    /// Makes who hears whom true.
    fn rewire(&mut self) {
        let wanted = wiring::wiring(&wiring::Ports {
            caller: self.leg.open.then_some(self.leg.port),
            bot: self.stage.open_port(),
            prompt: self.music.as_ref().map(|music| music.port),
            forks: self.stage.open_forks().collect(),
            held: self.leg.held && !self.trunk().hold_passes,
        });
        for gone in self.links.iter().filter(|link| !wanted.contains(link)) {
            self.outputs.push_back(Output::Media(crate::media::Command::Unlink(*gone)));
        }
        for new in wanted.iter().filter(|link| !self.links.contains(link)) {
            self.outputs.push_back(Output::Media(crate::media::Command::Link(*new)));
        }
        self.links = wanted.into_iter().collect();
    }
}
