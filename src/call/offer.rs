//! SDP for a leg: what we can do, and what was agreed, put into the words of the engine. The only place where
//! signalling's body and `sdp` meet.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::leg::Leg;
use super::{Dtmf, Srtp, Trunk};
use crate::media::{self, G711, Latch, RtpSpec};
use crate::sdp::{self, Agreed, Crypto, Law, Master, Order, Suite};
use crate::sip::Transport;

/// What we can do on this trunk, audio at this address, in a call that came over this transport.
pub(super) fn wish(trunk: &Trunk, transport: Transport, local: SocketAddr) -> sdp::Wish {
    sdp::Wish {
        codecs: trunk.codecs.iter().map(|codec| law(*codec)).collect(),
        order: if trunk.local_order { Order::Local } else { Order::Offer },
        srtp: encryption(trunk, transport),
        telephone_event: trunk.dtmf != Dtmf::Info,
        ..sdp::Wish::new(local)
    }
}

/// Keys are told over encrypted signalling only, unless the trunk says otherwise (reliability R-42).
pub(super) fn encryption(trunk: &Trunk, transport: Transport) -> sdp::Srtp {
    let safe = transport == Transport::Tls || trunk.srtp_without_tls;
    match trunk.srtp {
        Srtp::Off => sdp::Srtp::Off,
        Srtp::Optional if safe => sdp::Srtp::Optional,
        Srtp::Optional => sdp::Srtp::Off,
        Srtp::Required if safe => sdp::Srtp::Required,
        Srtp::Required => sdp::Srtp::Unsafe,
    }
}

/// The address to write for media: what is configured for the family, else our own.
pub(super) fn written(advertise: &[IpAddr], local: SocketAddr) -> SocketAddr {
    let same = |ip: &&IpAddr| ip.is_ipv4() == local.ip().to_canonical().is_ipv4();
    SocketAddr::new(advertise.iter().find(same).copied().unwrap_or(local.ip().to_canonical()), local.port())
}

/// The spec of the leg's port for what was agreed.
pub(super) fn spec(trunk: &Trunk, leg: &Leg, agreed: &Agreed) -> RtpSpec {
    let before = leg.spec.as_ref();
    RtpSpec {
        // a description that names no address leaves what was known (sip-trunk.md section 11.3)
        remote: agreed.target().or(before.map(|spec| spec.remote)).unwrap_or(agreed.remote),
        codec: g711(agreed.law),
        payload_type: agreed.payload_type,
        also: agreed.also.map(|(other, number)| (g711(other), number)),
        telephone_event: agreed.telephone_event,
        telephone_event_also: agreed.telephone_event_also,
        ptime_ms: agreed.ptime_ms,
        send: agreed.send && agreed.target().is_some(),
        receive: agreed.receive,
        latch: Latch {
            mode: trunk.latch,
            signalling: leg.peer.ip().to_canonical(),
            networks: trunk.media_peers.clone(),
        },
        // one-way media and hold are silent by agreement (reliability R-49)
        timeout: if agreed.receive && !agreed.held { trunk.media_timeout } else { Duration::ZERO },
        rtcp_mux: agreed.rtcp_mux,
        rtcp: agreed.rtcp,
        srtp: agreed.crypto.map(|crypto| Box::new(keys(crypto))),
        inband_dtmf: trunk.dtmf == Dtmf::Inband,
    }
}

fn keys(crypto: Crypto) -> media::Srtp {
    let key = |master: Master| {
        let (key, salt) = master.split();
        media::SrtpKey { short_tag: crypto.suite == Suite::Tag32, key, salt }
    };
    media::Srtp { send: key(crypto.send), receive: key(crypto.receive), mki: crypto.mki }
}

fn law(codec: G711) -> Law {
    match codec {
        G711::Mu => Law::Mu,
        G711::A => Law::A,
    }
}

fn g711(law: Law) -> G711 {
    match law {
        Law::Mu => G711::Mu,
        Law::A => G711::A,
    }
}

/// As SDP and the CDR name it.
pub(super) fn codec_name(codec: G711) -> &'static str {
    law(codec).name()
}
