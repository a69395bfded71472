//! What a call does.

use std::net::IpAddr;
use std::sync::Arc;

use super::admission::StreamPermit;
use super::cdr::Cdr;
use crate::ids::StreamSid;
use crate::media;
use crate::{fetch, sip, stream};

/// One output of a call.
#[derive(Debug)]
pub enum Output {
    /// To signalling.
    Sip(sip::Command),
    /// To the call's media core.
    Media(media::Command),
    /// An RTP port towards this peer: `Input::Reserved` follows.
    Reserve(IpAddr),
    /// The URL of a stream is to be fetched: `Input::Fetched` follows, unless it is given up. Meanwhile the caller is
    /// heard, if there is something to hear him by.
    Fetch(StreamSid, Box<fetch::Errand>, Option<stream::Baton>),
    /// It is given up.
    Unfetch(StreamSid),
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
    /// Its host as it stands in the configuration, for metrics.
    pub bot: String,
    /// Where its URL came from.
    pub egress: stream::Egress,
    /// What it is told first.
    pub start: stream::Start,
    /// What is particular to the stream.
    pub settings: stream::Settings,
    /// How it is told the caller's keys.
    pub keys: stream::Keys,
    /// Its end of the audio.
    pub end: stream::End,
    /// Where it leaves that if the bot cannot be had.
    pub baton: stream::Baton,
    /// Held until the stream is over; bots that are tried one after the other share it.
    pub permit: Arc<StreamPermit>,
}
