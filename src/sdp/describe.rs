//! A description of our own and how it is written: short, CRLF, always in one order (RFC 8866 §5).

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use super::codec::Events;
use super::crypto::{Keyed, Master};
use super::{Direction, Law};

/// What we are about to send; [`super::Session::render`] writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Address of the c= and port of the audio line.
    pub(super) local: SocketAddr,
    /// The m= lines, exactly one of them audio of ours.
    pub(super) lines: Vec<OwnLine>,
    /// Dynamic payload types the peer uses for something that is not ours, a bit each.
    pub(super) bound: u128,
}

/// One m= line of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OwnLine {
    /// The audio.
    Audio(Audio),
    /// A line of the peer's that we do not take, answered in its place.
    Off { media: String, proto: String, formats: String },
}

/// The audio line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Audio {
    pub(super) formats: Vec<(Law, u8)>,
    pub(super) events: Option<(u8, Events)>,
    pub(super) ptime_ms: u8,
    pub(super) direction: Direction,
    pub(super) rtcp_mux: bool,
    /// Our key and, once it is known, theirs: RTP/SAVP.
    pub(super) keys: Option<Keys>,
}

/// The key we tell, and the one that it was told for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) ours: Keyed,
    pub(super) theirs: Option<Master>,
}

impl Description {
    /// The audio line and its place.
    pub(super) fn audio(&self) -> Option<(usize, &Audio)> {
        self.lines.iter().enumerate().find_map(|(place, line)| match line {
            OwnLine::Audio(audio) => Some((place, audio)),
            OwnLine::Off { .. } => None,
        })
    }

    /// The o= line.
    pub(super) fn origin(&self, id: u32, version: u64) -> String {
        format!("o=- {id} {version} {}\r\n", network(self.local.ip()))
    }

    /// Everything after the o= line.
    pub(super) fn rest(&self) -> String {
        let mut text = format!("s=-\r\nc={}\r\nt=0 0\r\n", network(self.local.ip()));
        for line in &self.lines {
            match line {
                OwnLine::Audio(audio) => audio.write(self.local.port(), &mut text),
                OwnLine::Off { media, proto, formats } => {
                    put(&mut text, format_args!("m={media} 0 {proto} {formats}"));
                }
            }
        }
        text
    }
}

impl Audio {
    fn write(&self, port: u16, text: &mut String) {
        let numbers =
            self.formats.iter().map(|&(_, number)| number).chain(self.events.map(|(number, _)| number));
        let numbers: String = numbers.map(|number| format!(" {number}")).collect();
        let profile = if self.keys.is_some() { "SAVP" } else { "AVP" };
        put(text, format_args!("m=audio {port} RTP/{profile}{numbers}"));
        for (law, number) in &self.formats {
            put(text, format_args!("a=rtpmap:{number} {}/8000", law.name()));
        }
        if let Some((number, events)) = self.events {
            put(text, format_args!("a=rtpmap:{number} telephone-event/8000"));
            put(text, format_args!("a=fmtp:{number} {events}"));
        }
        put(text, format_args!("a=ptime:{}", self.ptime_ms));
        put(text, format_args!("a={}", self.direction.name()));
        if self.rtcp_mux {
            put(text, format_args!("a=rtcp-mux"));
        }
        if let Some(keys) = &self.keys {
            put(text, format_args!("a=crypto:{}", keys.ours));
        }
    }
}

fn put(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = write!(text, "{line}\r\n");
}

fn network(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => format!("IN IP4 {ip}"),
        IpAddr::V6(ip) => format!("IN IP6 {ip}"),
    }
}
