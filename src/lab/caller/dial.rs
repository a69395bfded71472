//! What is dialled: a call to place, and where that leads.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use super::super::ladder::Ladder;
use crate::sdp::Law;
use crate::sip::message::{Scheme, Uri};
use crate::sip::{Credentials, Transport};

/// A call to place.
#[derive(Clone, Debug)]
pub struct Dial {
    /// Request-URI and To: `sip:user@host:port;transport=tcp`.
    pub uri: String,
    /// From; absent: `sip:caller@` and our address.
    pub from: Option<String>,
    /// Where it is sent instead of the URI's host.
    pub via: Option<SocketAddr>,
    /// Absent: the URI's `transport`, else UDP.
    pub transport: Option<Transport>,
    /// Further header fields.
    pub headers: Vec<(String, String)>,
    /// Offered, the favourite first.
    pub codecs: Vec<Law>,
    /// Offer keys by RFC 4733; without it they are pressed in band.
    pub telephone_event: bool,
    /// Keys are told by INFO.
    pub keys_by_info: bool,
    /// The INVITE has no session description; the answer goes with the ACK.
    pub late_offer: bool,
    /// RTP/SAVP with keys in the description (RFC 4568), or no call.
    pub srtp: bool,
    /// a=ptime of our descriptions, in place of 20.
    pub ptime: Option<u8>,
    /// For a challenge of the peer's (digest).
    pub credentials: Option<Credentials>,
    /// RTP by way of an impaired path.
    pub media_via: Option<MediaVia>,
    /// Told of every message and sums of audio.
    pub ladder: Option<Ladder>,
}

/// RTP goes by way of an impaired path.
#[derive(Clone, Copy, Debug)]
pub struct MediaVia {
    /// Where RTP is sent in place of the peer's address.
    pub near: SocketAddr,
    /// The address shown in the SDP.
    pub far: SocketAddr,
}

impl Dial {
    /// A plain call.
    pub fn to(uri: impl Into<String>) -> Self {
        Self {
            uri: uri.into(),
            from: None,
            via: None,
            transport: None,
            headers: Vec::new(),
            codecs: vec![Law::Mu, Law::A],
            telephone_event: true,
            keys_by_info: false,
            late_offer: false,
            srtp: false,
            ptime: None,
            credentials: None,
            media_via: None,
            ladder: None,
        }
    }

    /// With one more header field.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Told to this ladder.
    pub fn on(mut self, ladder: &Ladder) -> Self {
        self.ladder = Some(ladder.clone());
        self
    }
}

/// Why a call could not be placed.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The URI.
    #[error("`{0}` is no SIP URI such as sip:1000@192.0.2.10:5060")]
    Uri(String),
    /// Nothing to make TLS with.
    #[error("TLS: no certificate to trust was given")]
    NoTls,
    /// Its host.
    #[error("{0}: no address")]
    NoAddress(String),
    /// A header field that would end early.
    #[error("header field `{0}`: control characters, or no name")]
    Header(String),
    /// The system.
    #[error("{0}")]
    Io(#[from] io::Error),
}

pub(in crate::lab) fn check_headers(headers: &[(String, String)]) -> Result<(), DialError> {
    let bad = |(name, value): &&(String, String)| {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b);
        name.is_empty() || !name.bytes().all(token) || value.chars().any(char::is_control)
    };
    headers
        .iter()
        .find(bad)
        .map_or(Ok(()), |(name, _)| Err(DialError::Header(name.escape_default().to_string())))
}

/// Where the call goes, and how.
pub(super) async fn target(dial: &Dial) -> Result<(SocketAddr, Transport), DialError> {
    let uri = Uri::parse(dial.uri.as_bytes()).map_err(|_| DialError::Uri(dial.uri.clone()))?;
    if !matches!(uri.scheme(), Scheme::Sip | Scheme::Sips) {
        return Err(DialError::Uri(dial.uri.clone()));
    }
    let transport = match (dial.transport, uri.scheme(), uri.param("transport").as_deref()) {
        (Some(transport), ..) => transport,
        (None, Scheme::Sips, _) => Transport::Tls,
        (None, _, Some(tcp)) if tcp.eq_ignore_ascii_case("tcp") => Transport::Tcp,
        (None, _, Some(tls)) if tls.eq_ignore_ascii_case("tls") => Transport::Tls,
        (None, ..) => Transport::Udp,
    };
    if let Some(via) = dial.via {
        return Ok((via, transport));
    }
    let host = uri.host().trim_matches(['[', ']']);
    let port = uri.port().unwrap_or(if transport == Transport::Tls { 5061 } else { 5060 });
    let mut found = tokio::net::lookup_host((host, port)).await?;
    found.next().map(|to| (to, transport)).ok_or_else(|| DialError::NoAddress(host.to_owned()))
}

/// The address of ours that packets to `to` leave from.
pub(in crate::lab) fn facing(bind: IpAddr, to: SocketAddr) -> io::Result<IpAddr> {
    if !bind.is_unspecified() {
        return Ok(bind);
    }
    let any: SocketAddr = if to.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
    let probe = UdpSocket::bind(any)?;
    probe.connect(to)?;
    Ok(probe.local_addr()?.ip())
}
