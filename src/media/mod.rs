//! The audio engine on pinned cores: the front door.
//!
//! ```text
//!  call ── Command ──► courier ──ring──► worker (one thread a core) ──ring──► courier ── Event ──► call
//!                                         │  sockets in → graphs → sockets out, on a grid of 1 ms
//!                                         └─ a pair of rings for every bot's stream (`StreamEnd`), whose socket is
//!                                            served before and behind the graphs (`Streams`)
//! ```
//!
//! A worker owns the sockets, ports and links of its calls. Ports are passive; links say who hears whom;
//! links that end in one inlet are summed there. A worker never waits, locks, allocates or logs per packet.
//!
//! What it deliberately does not know: what a call is for, what SIP is, what stands on the bot's socket.

pub mod bell;
mod counts;
mod engine;
pub mod graph;
mod parcels;
mod patch;
mod pin;
pub mod port;
pub mod ready;
mod reserve;
pub mod ring;
mod socket;
pub mod tick;
mod worker;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

pub use counts::{CoreCounts, Tally};
pub use engine::{CoreLoad, Engine, EngineError, Lane};
pub use graph::Graph;
pub use port::player::Player;
pub use port::stream::{StreamPort, pair};
pub use ready::{Knock, Ready};
pub use reserve::{NoPort, Reservation};
pub use ring::{StreamEnd, Wake};
pub use worker::Streams;

pub use crate::audio::G711;
pub use crate::rtp::latch::{Latch, LatchMode};
pub use crate::rtp::rtcp::WallClock;

use crate::ids::PortId;
use crate::units::{Digit, Gain, SampleRate};

/// What the engine keeps to.
#[derive(Clone, Debug)]
pub struct Config {
    /// Cores the workers are pinned to; one worker each. Empty: one worker, not pinned.
    pub cores: Vec<usize>,
    /// Ask for SCHED_FIFO.
    pub realtime: bool,
    /// Even ports of this range carry RTP, one a leg, and the odd ones above them its RTCP.
    pub ports: std::ops::RangeInclusive<u16>,
    /// Address RTP sockets are bound to; absent: the one that faces the peer.
    pub bind: Option<IpAddr>,
    /// Differentiated services code point of RTP, 46.
    pub dscp: u8,
    /// Longest wait for a missing packet.
    pub jitter_max: Duration,
}

/// What a call tells the engine. A command for a port that is gone changes nothing.
#[derive(Debug)]
pub enum Command {
    /// A port begins to exist. Its graph begins with its first port.
    Open(PortId, Spec),
    /// An RTP port's peer changed (a new SDP).
    Change(PortId, Box<RtpSpec>),
    /// `to` hears `from`.
    Link(Link),
    /// It no longer does.
    Unlink(Link),
    /// The port ends: `Event::Closed` with its counts follows.
    Close(PortId),
}

/// `to` hears `from`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link {
    /// Who speaks.
    pub from: PortId,
    /// Who hears.
    pub to: PortId,
    /// Which of its ears: 0, or 1 where voices stay apart.
    pub inlet: u8,
    /// How loud.
    pub gain: Gain,
}

impl Link {
    /// As loud as it came, into the first inlet.
    pub const fn plain(from: PortId, to: PortId) -> Self {
        Self { from, to, inlet: 0, gain: Gain::UNITY }
    }
}

/// What an RTP port is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpSpec {
    /// Where the SDP says media goes.
    pub remote: SocketAddr,
    /// What we send and expect.
    pub codec: G711,
    /// Its payload type.
    pub payload_type: u8,
    /// The other G.711 variant and its payload type, when both stood in our own offer.
    pub also: Option<(G711, u8)>,
    /// Payload type of telephone-event at 8000 Hz.
    pub telephone_event: Option<u8>,
    /// The number our own offer gave it, when the peer's answer gave it another: keys may come under both.
    pub telephone_event_also: Option<u8>,
    /// Milliseconds a packet we send: 10, 20, 30, 40 or 60.
    pub ptime_ms: u8,
    /// We send audio (the SDP direction allows it).
    pub send: bool,
    /// We expect audio.
    pub receive: bool,
    /// From whom we learn where to send.
    pub latch: Latch,
    /// No RTP and no RTCP for so long is told as `Event::Silent`; zero: never.
    pub timeout: Duration,
    /// RTCP on the socket of RTP (RFC 5761).
    pub rtcp_mux: bool,
    /// Where the SDP says RTCP goes; absent: one port above `remote`.
    pub rtcp: Option<SocketAddr>,
    /// SRTP and SRTCP; absent: plain RTP.
    pub srtp: Option<Box<Srtp>>,
    /// Keys are heard as tones too (`dtmf = "inband"`). The tones stay in what the bot hears.
    pub inband_dtmf: bool,
}

impl RtpSpec {
    /// PCMU or PCMA both ways in packets of 20 ms, telephone-event 101, learning from `remote` alone.
    pub fn new(remote: SocketAddr, codec: G711) -> Self {
        Self {
            remote,
            codec,
            payload_type: if codec == G711::Mu { 0 } else { 8 },
            also: None,
            telephone_event: Some(101),
            telephone_event_also: None,
            ptime_ms: 20,
            send: true,
            receive: true,
            latch: Latch { mode: LatchMode::Auto, signalling: remote.ip(), networks: Vec::new() },
            timeout: Duration::from_secs(60),
            rtcp_mux: false,
            rtcp: None,
            srtp: None,
            inband_dtmf: false,
        }
    }
}

/// What protects the packets of both directions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srtp {
    /// Ours.
    pub send: SrtpKey,
    /// Theirs.
    pub receive: SrtpKey,
    /// Octets of MKI in each packet of theirs, before the tag: 0 to 4.
    pub mki: u8,
}

/// Master key and salt of one direction (RFC 3711 §8.2); never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SrtpKey {
    /// The RTP tag has 32 bits in place of 80; that of RTCP always has 80.
    pub short_tag: bool,
    /// AES_CM_128 master key.
    pub key: [u8; 16],
    /// Master salt.
    pub salt: [u8; 14],
}

impl std::fmt::Debug for SrtpKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SrtpKey").field("short_tag", &self.short_tag).finish_non_exhaustive()
    }
}

/// What the engine tells a call.
#[derive(Debug)]
pub enum Event {
    /// The first audio packet of the peer was taken.
    FirstIn(PortId),
    /// The first audio that is not our own silence went out to the peer.
    FirstOut(PortId),
    /// A key was pressed and released.
    Digit(PortId, Digit, Duration),
    /// No RTP and no RTCP for the port's `timeout`.
    Silent(PortId),
    /// All a bot left behind when its session ended has been played; or a prompt, to its end.
    Drained(PortId),
    /// The port is closed.
    Closed(PortId, Box<Counts>),
}

/// What a port counted, told when it closes.
#[derive(Clone, Debug)]
pub enum Counts {
    /// Of an RTP port.
    Rtp(RtpCounts),
    /// Of a stream port.
    Stream(StreamCounts),
}

/// What an RTP port counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RtpCounts {
    /// Packets of the peer that were taken.
    pub packets_in: u64,
    /// Their octets of payload.
    pub bytes_in: u64,
    /// Never came.
    pub lost: u64,
    /// Came after their place was concealed.
    pub late: u64,
    /// Came twice.
    pub duplicated: u64,
    /// Came after a later one, in time.
    pub reordered: u64,
    /// From a source that is not the call's.
    pub foreign: u64,
    /// Not RTP of this session: version, payload type, lengths.
    pub malformed: u64,
    /// Milliseconds concealed or silent for want of packets.
    pub concealed_ms: u64,
    /// Interarrival jitter (RFC 3550 §A.8) in milliseconds.
    pub jitter_ms: f64,
    /// Longest time between two packets.
    pub longest_gap_ms: u64,
    /// Packets sent.
    pub packets_out: u64,
    /// Octets of payload sent.
    pub bytes_out: u64,
    /// Packets the kernel did not take.
    pub send_failed: u64,
    /// SRTP or SRTCP packets that failed authentication.
    pub unauthentic: u64,
    /// SRTP or SRTCP packets that had come before (RFC 3711 §3.3.2).
    pub replayed: u64,
    /// What the peer told by RTCP; absent: it never did.
    pub told: Option<RtcpTold>,
    /// Estimated quality of what we heard, 1 to 4.41 (ITU-T G.107); absent: nothing came. Rated when the port closes.
    pub mos_in: Option<f64>,
    /// Of what the peer heard, by what it told; absent: it told nothing.
    pub mos_out: Option<f64>,
}

/// What the peer's reports say of what we send (RFC 3550 §6.4).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RtcpTold {
    /// Reports with a block about us.
    pub reports: u64,
    /// Cumulative number of our packets it lost.
    pub lost: u64,
    /// Its interarrival jitter at the last report, in milliseconds.
    pub jitter_ms: f64,
    /// Round trip by the last report that had an LSR of ours, in milliseconds.
    pub round_trip_ms: Option<f64>,
}

/// What a stream port counted; samples at the stream's rate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamCounts {
    /// Samples given to the session.
    pub heard: u64,
    /// Samples the session did not take in time, lost.
    pub heard_lost: u64,
    /// Samples of the bot that went out to the caller, and silence among them that was left out.
    pub played: u64,
    /// Of these, silence left out so that no delay stays behind (docs/agentstream/playout.md).
    pub shed: u64,
    /// Samples dropped because the bot said so.
    pub cleared: u64,
    /// Samples dropped for another reason: beyond the bound of a `Finish`, or there when the port was closed.
    pub discarded: u64,
    /// Times the queue ran empty within an utterance.
    pub starved: u64,
    /// Longest of them in milliseconds.
    pub longest_starvation_ms: u64,
    /// Marks reached by playing.
    pub marks_played: u64,
    /// Marks given back by a clear.
    pub marks_cleared: u64,
    /// Milliseconds from the caller's last word to the bot's answer on the wire, of the first 256 turns.
    pub turns_ms: Vec<u32>,
    /// Milliseconds from the bot's `clear` to silence on the wire, of the first 256 that cut its audio short.
    pub clears_ms: Vec<u32>,
}

impl StreamCounts {
    /// Turns and clears that are listed.
    pub const LISTED: usize = 256;

    /// Nothing counted, and room for the lists of an ordinary call; those of a long one grow, at its 9th turn, its 17th
    /// and so on.
    fn with_room() -> Self {
        let (turns_ms, clears_ms) = (Vec::with_capacity(8), Vec::with_capacity(4));
        Self { turns_ms, clears_ms, ..Self::default() }
    }
}

/// What the session orders of its stream port, in order.
#[derive(Debug)]
pub enum Play {
    /// Audio at the stream's rate, after everything before it.
    Audio(Vec<i16>),
    /// Tell when everything before it has been sent; numbered by the session.
    Mark(u32),
    /// The same of several in a row that stand at one place.
    Marks {
        /// The first's number.
        first: u32,
        /// The last's: the others' lie between.
        last: u32,
    },
    /// Drop everything before it; its marks are told as cleared.
    Clear {
        /// When the bot asked for it; absent: nobody is to hear it any more, and it counts as discarded.
        asked: Option<Instant>,
    },
    /// Marks for which there was no room, and the `Clear` behind them, which waits for none: they are told as cleared.
    MarksAndClear {
        /// The first's number.
        first: u32,
        /// The last's: the others' lie between.
        last: u32,
        /// As of `Clear`.
        asked: Option<Instant>,
    },
    /// No more will come: play what is there up to this many samples of audio ordered since the stream began
    /// (what follows is digital silence), then tell the call `Event::Drained`.
    Finish {
        /// Samples, counted over all `Audio` ever ordered, cleared ones included.
        until: u64,
    },
}

/// What a stream port tells its session besides audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// A mark's turn came.
    Mark {
        /// Its number.
        mark: u32,
        /// Why.
        how: Reached,
    },
    /// The caller pressed a key.
    Digit {
        /// Which.
        digit: Digit,
        /// How long it was held.
        held: Duration,
    },
}

/// Why a mark comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// The last sample before it has been sent to the caller.
    Played,
    /// A clear dropped what stood before it.
    Cleared,
    /// Nothing stood before it.
    Idle,
}

/// What a stream port keeps to.
#[derive(Clone, Copy, Debug)]
pub struct StreamSpec {
    /// Rate of the bot.
    pub rate: SampleRate,
    /// Audio queued before the first utterance begins to play. Later ones wait as long as the bot's messages have been
    /// late, and never longer than this after their first sample came.
    pub prebuffer: Duration,
}

/// A port as it is opened: its sockets and rings come with it, by value.
#[derive(Debug)]
#[non_exhaustive]
pub enum Spec {
    /// A peer's RTP, over a socket of its own.
    Rtp(Box<RtpSpec>, Reservation),
    /// A bot's stream.
    Stream(StreamPort),
    /// A prompt.
    Player(Player),
}
