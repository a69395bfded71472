//! Where the laboratory plays: the daemon, the ways to it, and the ears at its bot.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::lab::bot::Bot;
use crate::sip::Transport;

/// A daemon to play against.
#[derive(Clone)]
pub struct Ground {
    /// Where it takes SIP.
    pub doors: Vec<(Transport, SocketAddr)>,
    /// Host of the Request-URI.
    pub host: String,
    /// Whom we call.
    pub number: Number,
    /// Numbers that begin so lead to a bot that takes a second or two to answer.
    pub slow: Option<String>,
    /// Value of X-Exotel-AccountSid; absent: the field is left out.
    pub account: Option<String>,
    /// Our own address.
    pub ip: IpAddr,
    /// Our port for UDP; 0 takes a free one for each case.
    pub port: u16,
    /// The bots behind the daemon, when they are ours to look at.
    pub bots: Vec<Arc<Bot>>,
    /// How TLS is made, when a door wants it.
    pub tls: Option<(TlsConnector, ServerName<'static>)>,
    /// How long anything is waited for.
    pub patience: Duration,
}

/// Which number is dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Number {
    /// This one.
    One(String),
    /// One of its own for each case, beginning so.
    Each(String),
}

impl Number {
    /// The number of the case with this place.
    pub(super) fn of(&self, place: u32) -> String {
        match self {
            Self::One(number) => number.clone(),
            Self::Each(prefix) => format!("{prefix}{place:06}"),
        }
    }
}

impl Ground {
    /// The way that is asked for, else the one that is preferred, else the first.
    pub(super) fn door(&self, over: Over, preferred: Transport) -> Option<(Transport, SocketAddr)> {
        let fits = |door: &&(Transport, SocketAddr)| match over {
            Over::Any => true,
            Over::Udp => door.0 == Transport::Udp,
            Over::Stream => door.0.is_stream(),
        };
        let mut doors = self.doors.iter().filter(fits);
        let same = doors.clone().find(|door| door.0 == preferred);
        let alike = || doors.clone().find(|door| door.0.is_stream() == preferred.is_stream());
        same.or_else(alike).or_else(|| doors.next()).copied()
    }
}

/// What a case needs to travel over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Anything.
    Any,
    /// Datagrams.
    Udp,
    /// A stream.
    Stream,
}
