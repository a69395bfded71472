//! What one audio line of the peer says besides its codecs: the same questions for offers and answers.

use std::net::{IpAddr, SocketAddr};

use super::crypto::Keyed;
use super::read::Line;
use super::{Agreed, Direction, Law, Refused, Srtp, address, ptime};

/// Where, how often and which way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    remote: SocketAddr,
    rtcp: Option<SocketAddr>,
    rtcp_mux: bool,
    ptime_ms: u8,
    /// As the peer sees it.
    theirs: Direction,
}

impl Terms {
    /// The terms of a line for one who has the address `local` and may share a port with RTCP if `mux`.
    ///
    /// # Errors
    /// `Address`, `Multicast`, or `Family` when `local` is of another family or cannot be shown.
    pub(super) fn of(line: &Line<'_>, local: IpAddr, mux: bool) -> Result<Self, Refused> {
        let ip = line.address()?;
        let local = local.to_canonical();
        if ip.is_ipv4() != local.is_ipv4() || !address::is_presentable(local) {
            return Err(Refused::Family);
        }
        let remote = SocketAddr::new(ip, line.media.port);
        let rtcp_mux = mux && line.own("rtcp-mux").is_some();
        let named = || line.own("rtcp").and_then(|value| address::of_rtcp(value, ip));
        Ok(Self {
            remote,
            rtcp: if rtcp_mux { Some(remote).filter(|_| !ip.is_unspecified()) } else { named() },
            rtcp_mux,
            ptime_ms: ptime::choose(line.attribute("ptime"), line.attribute("maxptime")),
            theirs: line.direction(),
        })
    }

    /// Our side's direction, where we want `ours`.
    pub(super) const fn direction(&self, ours: Direction) -> Direction {
        self.theirs.mirrored().and(ours)
    }

    /// All of it, with a codec.
    pub(super) const fn agreed(self, law: Law, payload_type: u8, direction: Direction) -> Agreed {
        Agreed {
            remote: self.remote,
            rtcp: self.rtcp,
            rtcp_mux: self.rtcp_mux,
            law,
            payload_type,
            also: None,
            telephone_event: None,
            telephone_event_also: None,
            crypto: None,
            ptime_ms: self.ptime_ms,
            send: direction.sends(),
            receive: direction.listens(),
            held: !self.theirs.listens(),
        }
    }
}

/// The key of a line whose profile we take; none when it is plain.
///
/// # Errors
/// `Profile`, `NoKey` or `Unsafe`.
pub(super) fn keyed(line: &Line<'_>, srtp: Srtp) -> Result<Option<Keyed>, Refused> {
    let (plain, secret) = match srtp {
        Srtp::Off => (true, false),
        Srtp::Optional => (true, true),
        Srtp::Required => (false, true),
        Srtp::Unsafe => return Err(Refused::Unsafe),
    };
    let profile = |name| line.media.proto.eq_ignore_ascii_case(name);
    if plain && profile("RTP/AVP") {
        return Ok(None);
    }
    if secret && profile("RTP/SAVP") {
        return Keyed::first(line).map(Some).ok_or(Refused::NoKey);
    }
    Err(Refused::Profile)
}
