//! How each PBX writes: its header fields and their order, its routes, its session description. The shapes of Avaya,
//! Cisco, Asterisk, FreeSWITCH and of Genesys' late offer are those of traces (`tests/vectors/pbx`); those of CUCM,
//! Kamailio and Ameyo are what they are known to write. Addresses, numbers and names are ours.
//!
//! In every text `{ip}` `{port}` `{t}` are our address and transport, `{caller}` the caller's number, `{host}` the
//! host that is called, `{id}` a number of this call, `{hex}` one in hexadecimal.

mod makes;

use super::pbx::Pbx;
use crate::sip::Transport;

/// How a PBX writes.
#[derive(Clone, Copy, Debug)]
pub(in crate::lab::quirk) struct Dialect {
    /// Used when the peer takes several.
    pub(in crate::lab::quirk) transport: Transport,
    /// Names in their order; those that do not stand here follow.
    pub(in crate::lab::quirk) order: &'static [&'static str],
    /// Parameters of our Via, before the branch.
    pub(in crate::lab::quirk) via: &'static str,
    /// Before the rest of a branch.
    pub(in crate::lab::quirk) branch: &'static str,
    /// Vias below ours, as a proxy leaves them.
    pub(in crate::lab::quirk) vias: &'static [&'static str],
    /// Record-Route entries.
    pub(in crate::lab::quirk) routes: &'static [&'static str],
    /// From without its tag.
    pub(in crate::lab::quirk) from: &'static str,
    /// Tag of From.
    pub(in crate::lab::quirk) tag: &'static str,
    /// Call-ID.
    pub(in crate::lab::quirk) call_id: &'static str,
    /// First CSeq.
    pub(in crate::lab::quirk) cseq: u32,
    /// Contact.
    pub(in crate::lab::quirk) contact: &'static str,
    /// Further header fields of an INVITE.
    pub(in crate::lab::quirk) fields: &'static [(&'static str, &'static str)],
    /// User-Agent.
    pub(in crate::lab::quirk) agent: &'static str,
    /// `application/sdp`: besides, `{c}` is the address of the c= line, `{rtp}` the port, `{version}`, `{dir}`,
    /// `{events}` the number of telephone-event, `{ptime}` an a=ptime line or nothing, `{rtcp}` the port after `{rtp}`.
    pub(in crate::lab::quirk) sdp: &'static str,
    /// Number of telephone-event.
    pub(in crate::lab::quirk) events: u8,
    /// a=ptime; 0 is none.
    pub(in crate::lab::quirk) ptime: u8,
}

impl Dialect {
    /// That of this PBX.
    pub(in crate::lab::quirk) const fn of(pbx: Pbx) -> Self {
        match pbx {
            Pbx::Avaya => makes::AVAYA,
            Pbx::Genesys => makes::GENESYS,
            Pbx::Cucm => makes::CUCM,
            Pbx::Cisco => makes::CISCO,
            Pbx::Asterisk => makes::ASTERISK,
            Pbx::Freeswitch => makes::FREESWITCH,
            Pbx::Ameyo => makes::AMEYO,
            Pbx::Kamailio => makes::KAMAILIO,
            Pbx::Plain => PLAIN,
        }
    }
}

const USUAL: &[&str] = &[
    "Via",
    "Record-Route",
    "Route",
    "Max-Forwards",
    "From",
    "To",
    "Call-ID",
    "CSeq",
    "Contact",
    "User-Agent",
];

const PLAIN: Dialect = Dialect {
    transport: Transport::Udp,
    order: USUAL,
    via: ";rport",
    branch: "z9hG4bK",
    vias: &[],
    routes: &[],
    from: "<sip:{caller}@{ip}>",
    tag: "{hex}",
    call_id: "{hex}@{ip}",
    cseq: 1,
    contact: "<sip:{caller}@{ip}:{port};transport={t}>",
    fields: &[("Supported", "timer"), ("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK")],
    agent: "StreamKit-selftest",
    sdp: "v=0\no=- {id} {version} IN IP4 {ip}\ns=-\nc=IN IP4 {c}\nt=0 0\nm=audio {rtp} RTP/AVP 0 8 {events}\n\
          a=rtpmap:0 PCMU/8000\na=rtpmap:8 PCMA/8000\na=rtpmap:{events} telephone-event/8000\n\
          a=fmtp:{events} 0-15\n{ptime}a={dir}\n",
    events: 101,
    ptime: 20,
};
