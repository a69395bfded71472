//! What a call is told.

use crate::ids::StreamSid;
use crate::media::{self, NoPort, Reservation};
use crate::{fetch, sip, stream};

/// One input of a call.
#[derive(Debug)]
pub enum Input {
    /// Signalling, of the call's leg.
    Sip(sip::Event),
    /// The engine, of one of its ports.
    Media(media::Event),
    /// Its stream.
    Stream(StreamSid, stream::Event),
    /// What `Output::Fetch` asked for: the body of a 200.
    Fetched(StreamSid, Result<Vec<u8>, fetch::Failure>),
    /// What `Output::Reserve` asked for.
    Reserved(Result<Reservation, NoPort>),
    /// The API, the operator or the daemon.
    Request(super::Request),
    /// The time of `poll_timeout` has come.
    Timeout,
}
