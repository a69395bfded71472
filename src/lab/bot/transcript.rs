//! What happened on one connection of a bot: built from its events, so that whoever watched could build it.

use std::time::{Duration, Instant};

use super::message::{FromStreamKit, Start};
use super::{BotEvent, Order, Said, What};
use crate::lab::sound::Sound;

/// Events kept besides audio; heard audio is kept for half an hour.
const EVENTS: usize = 20_000;
const HEARD: usize = 30 * 60;

/// What happened on one connection.
#[derive(Clone, Debug, Default)]
pub struct Transcript {
    /// The HTTP request, once upgraded.
    pub upgrade: Option<Upgrade>,
    /// When the upgrade was done.
    pub opened: Option<Instant>,
    /// What `start` said.
    pub start: Option<Start>,
    /// When `start` came.
    pub started: Option<Instant>,
    /// The caller's audio, each frame at the place its timestamp names; what never came is silence.
    pub heard: Sound,
    /// When each frame came, and where it stands in `heard`.
    pub arrivals: Vec<(Instant, usize)>,
    /// When audio was sent, and how many octets.
    pub spoken: Vec<(Instant, usize)>,
    /// Everything but audio and pings, in order.
    pub events: Vec<BotEvent>,
    /// What departed from the protocol.
    pub faults: Vec<String>,
    /// Messages counted by number that never came.
    pub missing: u64,
    /// The longest time between two messages with audio.
    pub longest_gap: Duration,
    /// How it ended.
    pub ended: Option<(Instant, End)>,
}

/// The HTTP request that became a socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upgrade {
    /// Path and query as they came.
    pub target: String,
    /// Header fields in order; names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Upgrade {
    /// The value of a header field.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// StreamKit closed first, with this code.
    ByStreamKit(Option<u16>),
    /// The bot closed with this code, and it was answered.
    ByBot(u16),
    /// The bot broke the connection.
    Reset,
    /// It broke.
    Lost(String),
    /// It never became a socket.
    Refused(String),
}

impl Transcript {
    /// Adds one more event.
    pub fn note(&mut self, event: BotEvent) {
        let at = event.at;
        match &event.what {
            What::Received(received) => match &received.message {
                FromStreamKit::Media { timestamp, samples, .. } => return self.hear(at, *timestamp, samples),
                FromStreamKit::Start(start) => {
                    self.started = Some(at);
                    self.heard.rate = start.rate;
                    self.start = Some((**start).clone());
                }
                _ => {}
            },
            What::Sent(Said::Media(octets)) => {
                if self.spoken.len() < EVENTS * 10 {
                    self.spoken.push((at, *octets));
                }
                return;
            }
            What::Opened(upgrade) => {
                (self.upgrade, self.opened) = (Some(upgrade.clone()), Some(at));
            }
            What::Refused(why) => self.ended = Some((at, End::Refused(why.clone()))),
            What::Ended(end) => self.ended = Some((at, end.clone())),
            What::Fault(fault) if self.faults.len() < EVENTS => self.faults.push(fault.clone()),
            What::Ping => return,
            What::Accepted(_) | What::Binary(_) | What::Sent(_) | What::Fault(_) => {}
        }
        if self.events.len() < EVENTS {
            self.events.push(event);
        }
    }

    /// When the first sample of `heard` was heard: as if every frame had come as soon as the quickest.
    pub fn begins(&self) -> Option<Instant> {
        let place = |place: usize| self.heard.rate.duration(place as u64);
        self.arrivals.iter().filter_map(|(at, n)| at.checked_sub(place(*n))).min()
    }

    /// Frames of audio heard.
    pub fn frames(&self) -> usize {
        self.arrivals.len()
    }

    /// Messages received other than audio, in order.
    pub fn received(&self) -> impl Iterator<Item = (Instant, &FromStreamKit)> {
        self.events.iter().filter_map(|event| match &event.what {
            What::Received(received) => Some((event.at, &received.message)),
            _ => None,
        })
    }

    /// Messages sent other than audio, in order.
    pub fn sent(&self) -> impl Iterator<Item = (Instant, &Said)> {
        self.events.iter().filter_map(|event| match &event.what {
            What::Sent(said) => Some((event.at, said)),
            _ => None,
        })
    }

    /// The keys reported, as one text.
    pub fn digits(&self) -> String {
        let digit = |m: &FromStreamKit| match m {
            FromStreamKit::Dtmf { digit, .. } => Some(digit.clone()),
            _ => None,
        };
        self.received().filter_map(|(_, m)| digit(m)).collect()
    }

    /// The marks that came back, in order.
    pub fn marks(&self) -> Vec<(Instant, &str)> {
        let mut marks = Vec::new();
        for (at, message) in self.received() {
            if let FromStreamKit::Mark(name) = message {
                marks.push((at, name.as_str()));
            }
        }
        marks
    }

    fn hear(&mut self, at: Instant, timestamp: u64, samples: &[i16]) {
        if let Some((before, _)) = self.arrivals.last() {
            self.longest_gap = self.longest_gap.max(at - *before);
        }
        let per_ms = u64::from(self.heard.rate.hz()) / 1000;
        let place = timestamp.saturating_mul(per_ms) as usize;
        let end = place.saturating_add(samples.len());
        if end > HEARD * self.heard.rate.hz() as usize {
            return;
        }
        if self.heard.samples.len() < end {
            self.heard.samples.resize(end, 0);
        }
        self.heard.samples[place..end].copy_from_slice(samples);
        self.arrivals.push((at, place));
    }

    pub(super) fn count(&mut self, order: &Order) {
        self.missing = order.missing();
    }
}
