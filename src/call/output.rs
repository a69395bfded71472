//! What a call does.

use std::net::IpAddr;
use std::sync::Arc;

use super::admission::StreamPermit;
use super::cdr::Cdr;
use crate::ids::StreamSid;
use crate::media::{self, StreamEnd};
use crate::{sip, stream};

/// One output of a call.
#[derive(Debug)]
pub enum Output {
    /// To signalling.
    Sip(sip::Command),
    /// To the call's media core.
    Media(media::Command),
    /// An RTP port towards this peer: `Input::Reserved` follows.
    Reserve(IpAddr),
    /// A stream is to be opened.
    OpenStream(Box<Opening>),
    /// To a stream that was opened.
    Stream(StreamSid, stream::Command),
    /// The call is over; nothing follows.
    Done(Box<Cdr>),
}

/// A stream to open.
#[derive(Debug)]
pub struct Opening {
    /// The bot.
    pub url: stream::BotUrl,
    /// Where its URL came from.
    pub egress: stream::Egress,
    /// What it is told first.
    pub start: stream::Start,
    /// What is particular to the stream.
    pub settings: stream::Settings,
    /// Its end of the audio.
    pub end: StreamEnd,
    /// Held until the stream is over; bots that are tried one after the other share it.
    pub permit: Arc<StreamPermit>,
}
