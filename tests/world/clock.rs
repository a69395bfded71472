//! Virtual time, and everything that is under way in it.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use streamkit::call;
use streamkit::ids::{CallKey, Entropy};
use streamkit::{media, sip, stream};

/// So many milliseconds.
pub(crate) const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// So many seconds.
pub(crate) const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// What is under way.
#[derive(Debug)]
pub(crate) enum Parcel {
    /// On the telephone side's network.
    Datagram { from: SocketAddr, to: SocketAddr, bytes: Vec<u8> },
    /// A call's word to signalling.
    Sip(sip::Command),
    /// Anybody's word to a call.
    Call(CallKey, Box<call::Input>),
    /// A call's word to its media core.
    Media(CallKey, media::Command),
    /// A call's word to its stream.
    Stream(usize, stream::Command),
    /// On a bot's socket.
    ToBot(usize, Frame),
    /// The other way.
    FromBot(usize, Frame),
}

/// What a bot's socket carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary,
    /// A ping.
    Ping,
    /// Its answer.
    Pong,
    /// A close frame.
    Close(Option<u16>, String),
    /// The connection is no more.
    Gone,
}

/// Who keeps order among its parcels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    /// A call's mailbox.
    Call(CallKey),
    /// Signalling's.
    Sip,
    /// A call's lane to its core.
    Media(CallKey),
    /// A stream's commands.
    Stream(usize),
    /// A path of the network that keeps order.
    Path(SocketAddr, SocketAddr),
}

/// The clock, and the parcels that wait for their time.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) now: Instant,
    pub(crate) start: Instant,
    waiting: BTreeMap<(Instant, u64), Parcel>,
    lanes: HashMap<Lane, Instant>,
    sent: u64,
    /// How long a border inside the daemon may take, drawn anew for each parcel.
    lag: Duration,
    chance: Entropy,
}

impl Post {
    pub(crate) fn new(lag: Duration, chance: Entropy) -> Self {
        #[allow(clippy::disallowed_methods)] // any instant will do: only differences are looked at
        let start = Instant::now();
        let (waiting, lanes) = (BTreeMap::new(), HashMap::new());
        Self { now: start, start, waiting, lanes, sent: 0, lag, chance }
    }

    /// To arrive then.
    pub(crate) fn at(&mut self, at: Instant, parcel: Parcel) {
        self.sent += 1;
        self.waiting.insert((at, self.sent), parcel);
    }

    /// To arrive after everything sent on this lane before.
    pub(crate) fn behind(&mut self, lane: Lane, at: Instant, parcel: Parcel) {
        let last = self.lanes.entry(lane).or_insert(at);
        *last = at.max(*last);
        let at = *last;
        self.at(at, parcel);
    }

    /// Over a border inside the daemon.
    pub(crate) fn inside(&mut self, lane: Lane, parcel: Parcel) {
        let lag = self.chance.below(self.lag.as_micros() as u32 + 1);
        self.behind(lane, self.now + Duration::from_micros(lag.into()), parcel);
    }

    /// The next that has arrived by now.
    pub(crate) fn take(&mut self) -> Option<Parcel> {
        let entry = self.waiting.first_entry()?;
        (entry.key().0 <= self.now).then(|| entry.remove())
    }

    /// When the next arrives.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.waiting.keys().next().map(|(at, _)| *at)
    }
}
