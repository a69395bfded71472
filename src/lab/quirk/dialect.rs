//! How each PBX writes: its header fields and their order, its routes, its session description. The shapes are those
//! of real traces; addresses, numbers and names are ours.
//!
//! In every text `{ip}` `{port}` `{t}` are our address and transport, `{caller}` the caller's number, `{host}` the
//! host that is called, `{id}` a number of this call, `{hex}` one in hexadecimal.

use super::pbx::Pbx;
use crate::sip::Transport;

/// How a PBX writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialect {
    /// Used when the peer takes several.
    pub(super) transport: Transport,
    /// Names in their order; those that do not stand here follow.
    pub(super) order: &'static [&'static str],
    /// Parameters of our Via, before the branch.
    pub(super) via: &'static str,
    /// Before the rest of a branch.
    pub(super) branch: &'static str,
    /// Vias below ours, as a proxy leaves them.
    pub(super) vias: &'static [&'static str],
    /// Record-Route entries.
    pub(super) routes: &'static [&'static str],
    /// From without its tag.
    pub(super) from: &'static str,
    /// Tag of From.
    pub(super) tag: &'static str,
    /// Call-ID.
    pub(super) call_id: &'static str,
    /// First CSeq.
    pub(super) cseq: u32,
    /// Contact.
    pub(super) contact: &'static str,
    /// Further header fields of an INVITE.
    pub(super) fields: &'static [(&'static str, &'static str)],
    /// User-Agent.
    pub(super) agent: &'static str,
    /// `application/sdp`: besides, `{c}` is the address of the c= line, `{rtp}` the port, `{version}`, `{dir}`,
    /// `{events}` the number of telephone-event, `{ptime}` an a=ptime line or nothing, `{rtcp}` the port after `{rtp}`.
    pub(super) sdp: &'static str,
    /// Number of telephone-event.
    pub(super) events: u8,
    /// a=ptime; 0 is none.
    pub(super) ptime: u8,
}

impl Dialect {
    /// That of this PBX.
    pub(super) const fn of(pbx: Pbx) -> Self {
        match pbx {
            Pbx::Avaya => AVAYA,
            Pbx::Genesys => GENESYS,
            Pbx::Cucm => CUCM,
            Pbx::Cisco => CISCO,
            Pbx::Asterisk => ASTERISK,
            Pbx::Freeswitch => FREESWITCH,
            Pbx::Ameyo => AMEYO,
            Pbx::Kamailio => KAMAILIO,
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

/// Session Manager: P-Location and User-Agent first, a heap of Vias, routes of the proxy and of its own loopback,
/// Content-Length not last, the media server's address in c= only.
const AVAYA: Dialect = Dialect {
    transport: Transport::Tls,
    order: &[
        "P-Location",
        "User-Agent",
        "Via",
        "Supported",
        "Allow",
        "Contact",
        "Accept-Language",
        "Alert-Info",
        "Min-SE",
        "Record-Route",
        "Session-Expires",
        "User-to-User",
        "P-Charging-Vector",
        "Endpoint-View",
        "Max-Breadth",
        "P-Asserted-Identity",
        "History-Info",
        "Route",
        "P-AV-Message-Id",
        "From",
        "To",
        "Call-ID",
        "Max-Forwards",
        "CSeq",
        "Content-Type",
        "Content-Length",
    ],
    via: ";rport",
    branch: "z9hG4bK",
    vias: &[
        "SIP/2.0/UDP 127.0.0.2:15060;rport=15060;ibmsid=local.1570757344337_{id}_63585492;branch=z9hG4bK{hex}",
        "SIP/2.0/TLS 192.0.2.31;branch=z9hG4bK{hex}-AP-AP;ft=121;received=192.0.2.31;rport=23032",
        "SIP/2.0/TLS 198.51.100.145;branch=z9hG4bK{hex}-AP;ft=3",
    ],
    routes: &[
        "<sip:SM01@{ip}:{port};transport={t};lr;av-asset-uid=4e865326>",
        "<sip:127.0.0.2:15060;transport=udp;ibmsid=local.1570757344337_{id}_63585491;lr;ibmdrr>",
    ],
    from: "\"User{caller}\" <sip:{caller}@{host}>",
    tag: "65c2a5724f6141eaadc605{hex}",
    call_id: "65c2a5864f6141eaadc7{hex}",
    cseq: 1,
    contact: "\"User{caller}\" <sip:{caller}@{ip}:{port};transport={t};gsid={hex}-4f61-11ea-bea2-005056b42b9e;\
              epv=%3csip:{caller}%40example.com%3Bgr%3D{hex}%3E>",
    fields: &[
        (
            "P-Location",
            "SM;origlocname=\"CM_Main\";origsiglocname=\"Main\";termlocname=\"XYZ\";smaccounting=\"false\"",
        ),
        ("Supported", "100rel, histinfo, join, replaces, sdp-anat, timer"),
        (
            "Allow",
            "INVITE, ACK, OPTIONS, BYE, CANCEL, SUBSCRIBE, NOTIFY, REFER, INFO, PRACK, PUBLISH, UPDATE",
        ),
        ("Accept-Language", "pt-BR"),
        ("Alert-Info", "<cid:internal@example.com>;cm-alert-type=internal"),
        ("Min-SE", "1200"),
        ("Session-Expires", "1200;refresher=uac"),
        ("User-to-User", "00FA080001247C5E46F6E6;encoding=hex"),
        ("P-Charging-Vector", "icid-value=\"{hex}-4f61-11ea-bea2-005056b42b9e\""),
        (
            "Endpoint-View",
            "<sip:{caller}@example.com;gr={hex}>;local-tag=-307f770b5e46ccb5;call-id={hex}@203.0.113.175",
        ),
        ("Max-Breadth", "60"),
        ("P-Asserted-Identity", "\"User{caller}\" <sip:{caller}@{host}>"),
        ("History-Info", "<sip:71506@example.com>;index=1, \"71506\" <sip:71506@{host}>;index=1.1"),
        ("Route", "<sip:{host};lr;phase=terminating;m-type=audio>"),
        ("P-AV-Message-Id", "3_2, 1_1"),
        ("Av-Global-Session-ID", "{hex}-4f61-11ea-bea2-005056b42b9e"),
    ],
    agent: "Avaya CM/R018x.00.0.822.0 AVAYA-SM-8.1.3.0.813014",
    sdp: "v=0\no=- {id} {version} IN IP4 {ip}\ns=-\nc=IN IP4 {c}\nb=TIAS:64000\nt=0 0\na=avf:avc=n prio=n\n\
          a=csup:avf-v0\nm=audio {rtp} RTP/AVP 0 18 {events}\na={dir}\na=fmtp:18 annexb=no\n\
          a=rtpmap:{events} telephone-event/8000\n{ptime}",
    events: 120,
    ptime: 60,
};

/// SIP Server: identifiers like GUIDs, few header fields, `X-Genesys-CallUUID`.
const GENESYS: Dialect = Dialect {
    transport: Transport::Udp,
    order: &[
        "Via",
        "Max-Forwards",
        "From",
        "To",
        "Call-ID",
        "CSeq",
        "Contact",
        "Allow",
        "X-Genesys-CallUUID",
    ],
    via: "",
    branch: "z9hG4bK1B217BE6-3748-47EC-A4BC-",
    vias: &[],
    routes: &[],
    from: "<sip:{caller}@{ip}:{port}>",
    tag: "1B217BE6-3748-47EC-A4BC-{hex}",
    call_id: "A5894496-78E7-48BA-{hex}@{ip}",
    cseq: 1,
    contact: "<sip:{caller}@{ip}:{port};transport={t}>",
    fields: &[
        (
            "Allow",
            "ACK, BYE, CANCEL, INFO, INVITE, MESSAGE, NOTIFY, OPTIONS, PRACK, REFER, SUBSCRIBE, UPDATE",
        ),
        ("X-Genesys-CallUUID", "4BOKLLA3VH66JF112M1CC9VHKS14F0KP"),
        ("Supported", "timer"),
        ("Session-Expires", "1800;refresher=uac"),
        ("Min-SE", "90"),
    ],
    agent: "",
    sdp: "v=0\no=Genesys {id} {version} IN IP4 {ip}\ns=StreamManager 8.1.000.54\nc=IN IP4 {c}\nt=0 0\n\
          m=audio {rtp} RTP/AVP 8 0 {events}\na=rtpmap:8 pcma/8000\na=rtpmap:0 pcmu/8000\n\
          a=rtpmap:{events} telephone-event/8000\n{ptime}a={dir}\n",
    events: 101,
    ptime: 20,
};

/// CUCM: `CSeq: 101`, Call-Info, Cisco-Guid, Session-ID, a Remote-Party-ID, b= lines, telephone-event 0-15.
const CUCM: Dialect = Dialect {
    transport: Transport::Tcp,
    order: &[
        "Via",
        "From",
        "To",
        "Date",
        "Call-ID",
        "Supported",
        "Min-SE",
        "User-Agent",
        "Allow",
        "CSeq",
        "Expires",
        "Allow-Events",
        "Call-Info",
        "Session-ID",
        "Cisco-Guid",
        "Session-Expires",
        "P-Asserted-Identity",
        "Remote-Party-ID",
        "Contact",
        "Max-Forwards",
        "Content-Type",
        "Content-Length",
    ],
    via: "",
    branch: "z9hG4bK",
    vias: &[],
    routes: &[],
    from: "\"Agent {caller}\" <sip:{caller}@{ip}>",
    tag: "{id}~0a8c2a1b-6d2b-4b6a-ae05-{hex}-{id}",
    call_id: "{hex}-5fc1f3a3-2b1-@{ip}",
    cseq: 101,
    contact: "<sip:{caller}@{ip}:{port};transport={t}>;DeviceName=\"SEP001122334455\"",
    fields: &[
        ("Date", "Fri, 24 May 2024 02:07:39 GMT"),
        ("Supported", "timer,resource-priority,replaces"),
        ("Min-SE", "1800"),
        ("Allow", "INVITE, OPTIONS, INFO, BYE, CANCEL, ACK, PRACK, UPDATE, REFER, SUBSCRIBE, NOTIFY"),
        ("Expires", "180"),
        ("Allow-Events", "presence, kpml"),
        ("Call-Info", "<sip:{ip}:5060>;method=\"NOTIFY;Event=telephone-event;Duration=500\""),
        ("Session-ID", "{hex}00105000a0001122334455;remote=00000000000000000000000000000000"),
        ("Cisco-Guid", "3659524871-1844515286-2148452871-566800187"),
        ("Session-Expires", "1800"),
        ("P-Asserted-Identity", "\"Agent {caller}\" <sip:{caller}@{ip}>"),
        ("Remote-Party-ID", "\"Agent {caller}\" <sip:{caller}@{ip}>;party=calling;screen=yes;privacy=off"),
    ],
    agent: "Cisco-CUCM12.5",
    sdp: "v=0\no=CiscoSystemsCCM-SIP {id} {version} IN IP4 {ip}\ns=SIP Call\nc=IN IP4 {c}\nb=AS:64\nt=0 0\n\
          m=audio {rtp} RTP/AVP 0 8 18 {events}\na=rtpmap:0 PCMU/8000\na=rtpmap:8 PCMA/8000\n\
          a=rtpmap:18 G729/8000\na=fmtp:18 annexb=no\n{ptime}a={dir}\na=rtpmap:{events} telephone-event/8000\n\
          a=fmtp:{events} 0-15\n",
    events: 101,
    ptime: 20,
};

/// IOS gateway and CUBE: Timestamp, Cisco-Guid, c= below the m= line, comfort noise as 19.
const CISCO: Dialect = Dialect {
    transport: Transport::Udp,
    order: &[
        "Via",
        "Remote-Party-ID",
        "From",
        "To",
        "Date",
        "Call-ID",
        "Supported",
        "Min-SE",
        "Cisco-Guid",
        "User-Agent",
        "Allow",
        "CSeq",
        "Max-Forwards",
        "Timestamp",
        "Contact",
        "Expires",
        "Allow-Events",
        "Content-Type",
        "Content-Disposition",
        "Content-Length",
    ],
    via: "",
    branch: "z9hG4bK",
    vias: &[],
    routes: &[],
    from: "\"SIPMWI-1\" <sip:{caller}@{ip}>",
    tag: "A842C-{hex}",
    call_id: "DBAC09D2-6DF111D6-8011CA07-{hex}@{ip}",
    cseq: 101,
    contact: "<sip:{caller}@{ip}:{port};transport={t}>",
    fields: &[
        ("Remote-Party-ID", "\"SIPMWI-1\" <sip:{caller}@{ip}>;party=calling;screen=no;privacy=off"),
        ("Date", "Fri, 24 May 2002 02:07:39 GMT"),
        ("Supported", "100rel,timer"),
        ("Min-SE", "1800"),
        ("Cisco-Guid", "3659524871-1844515286-2148452871-566800187"),
        (
            "Allow",
            "INVITE, OPTIONS, BYE, CANCEL, ACK, PRACK, COMET, REFER, SUBSCRIBE, NOTIFY, INFO, UPDATE, REGISTER",
        ),
        ("Timestamp", "1022206059"),
        ("Expires", "180"),
        ("Allow-Events", "telephone-event"),
        ("Content-Disposition", "session;handling=required"),
    ],
    agent: "Cisco-SIPGateway/IOS-15.6.3.M2",
    sdp: "v=0\no=CiscoSystemsSIP-GW-UserAgent {id} {version} IN IP4 {ip}\ns=SIP Call\nt=0 0\n\
          m=audio {rtp} RTP/AVP 0 8 {events} 19\nc=IN IP4 {c}\na=rtpmap:0 PCMU/8000\na=rtpmap:8 PCMA/8000\n\
          a=rtpmap:{events} telephone-event/8000\na=fmtp:{events} 0-16\na=rtpmap:19 CN/8000\n{ptime}a={dir}\n",
    events: 97,
    ptime: 20,
};

const ASTERISK: Dialect = Dialect {
    transport: Transport::Udp,
    order: &[
        "Via",
        "From",
        "To",
        "Contact",
        "Call-ID",
        "CSeq",
        "Allow",
        "Supported",
        "Session-Expires",
        "Min-SE",
        "Max-Forwards",
        "User-Agent",
        "Content-Type",
        "Content-Length",
    ],
    via: ";rport",
    branch: "z9hG4bKPj6139179d-2e3f-4864-b346-",
    vias: &[],
    routes: &[],
    from: "<sip:{caller}@{ip}>",
    tag: "036176f7-9931-482c-8be8-{hex}",
    call_id: "4515bba6-e134-45cc-b422-{hex}",
    cseq: 501,
    contact: "<sip:asterisk@{ip}:{port};transport={t}>",
    fields: &[
        (
            "Allow",
            "OPTIONS, REGISTER, SUBSCRIBE, NOTIFY, PUBLISH, INVITE, ACK, BYE, CANCEL, UPDATE, PRACK, MESSAGE, REFER",
        ),
        ("Supported", "100rel, timer, replaces, norefersub, histinfo"),
        ("Session-Expires", "1800"),
        ("Min-SE", "90"),
    ],
    agent: "FPBX-15.0.17.55(16.15.1)",
    sdp: "v=0\no=- {id} {version} IN IP4 {ip}\ns=Asterisk\nc=IN IP4 {c}\nt=0 0\n\
          m=audio {rtp} RTP/AVP 8 0 111 9 3 {events}\na=rtpmap:8 PCMA/8000\na=rtpmap:0 PCMU/8000\n\
          a=rtpmap:111 G726-32/8000\na=rtpmap:9 G722/8000\na=rtpmap:3 GSM/8000\n\
          a=rtpmap:{events} telephone-event/8000\na=fmtp:{events} 0-16\n{ptime}a=maxptime:150\na={dir}\n",
    events: 101,
    ptime: 20,
};

/// mod_sofia: header fields behind Content-Length, telephone-event at three rates.
const FREESWITCH: Dialect = Dialect {
    transport: Transport::Udp,
    order: &[
        "Via",
        "Max-Forwards",
        "From",
        "To",
        "Call-ID",
        "CSeq",
        "Contact",
        "User-Agent",
        "Allow",
        "Supported",
        "Allow-Events",
        "Content-Type",
        "Content-Disposition",
        "Content-Length",
        "X-FS-Support",
        "Remote-Party-ID",
    ],
    via: ";rport",
    branch: "z9hG4bK",
    vias: &[],
    routes: &[],
    from: "\"Extension {caller}\" <sip:{caller}@{ip}>",
    tag: "9B06QD1B{hex}",
    call_id: "9a8db3e8-2a6e-1239-0d93-{hex}",
    cseq: 21_601_221,
    contact: "<sip:mod_sofia@{ip}:{port};transport={t}>",
    fields: &[
        (
            "Allow",
            "INVITE, ACK, BYE, CANCEL, OPTIONS, MESSAGE, INFO, UPDATE, REGISTER, REFER, NOTIFY, PUBLISH, SUBSCRIBE",
        ),
        ("Supported", "timer, path, replaces"),
        (
            "Allow-Events",
            "talk, hold, conference, presence, as-feature-event, dialog, line-seize, call-info, sla, refer",
        ),
        ("Content-Disposition", "session"),
        ("X-FS-Support", "update_display,send_info"),
        (
            "Remote-Party-ID",
            "\"Extension {caller}\" <sip:{caller}@{ip}>;party=calling;screen=yes;privacy=off",
        ),
    ],
    agent: "FreeSWITCH-mod_sofia/1.10.11-release~64bit",
    sdp: "v=0\no=FreeSWITCH {id} {version} IN IP4 {ip}\ns=FreeSWITCH\nc=IN IP4 {c}\nt=0 0\n\
          m=audio {rtp} RTP/AVP 8 0 96 97 98 {events} 122 104\na=rtpmap:8 PCMA/8000\na=rtpmap:0 PCMU/8000\n\
          a=rtpmap:96 SPEEX/16000\na=rtpmap:97 SPEEX/8000\na=rtpmap:98 SPEEX/32000\n\
          a=rtpmap:{events} telephone-event/8000\na=fmtp:{events} 0-16\na=rtpmap:122 telephone-event/16000\n\
          a=fmtp:122 0-16\na=rtpmap:104 telephone-event/32000\na=fmtp:104 0-16\n{ptime}a={dir}\n",
    events: 101,
    ptime: 20,
};

/// chan_sip: `Via … ;rport` behind the branch, Contact without transport, session called `Asterisk PBX`.
const AMEYO: Dialect = Dialect {
    transport: Transport::Udp,
    order: &[
        "Via",
        "Max-Forwards",
        "From",
        "To",
        "Contact",
        "Call-ID",
        "CSeq",
        "User-Agent",
        "Date",
        "Allow",
        "Supported",
        "X-UUI",
        "X-Custom-Header",
        "Content-Type",
        "Content-Length",
    ],
    via: ";rport",
    branch: "z9hG4bK",
    vias: &[],
    routes: &[],
    from: "\"{caller}\" <sip:{caller}@{ip}>",
    tag: "as{hex}",
    call_id: "3f2c5e1a0b7d{hex}@{ip}:5060",
    cseq: 102,
    contact: "<sip:{caller}@{ip}:{port};transport={t}>",
    fields: &[
        ("Date", "Fri, 24 May 2024 02:07:39 GMT"),
        ("Allow", "INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, SUBSCRIBE, NOTIFY, INFO, PUBLISH, MESSAGE"),
        ("Supported", "replaces, timer"),
    ],
    agent: "Asterisk PBX 11.25.3",
    sdp: "v=0\no=root {id} {version} IN IP4 {ip}\ns=Asterisk PBX 11.25.3\nc=IN IP4 {c}\nt=0 0\n\
          m=audio {rtp} RTP/AVP 8 0 {events}\na=rtpmap:8 PCMA/8000\na=rtpmap:0 PCMU/8000\n\
          a=rtpmap:{events} telephone-event/8000\na=fmtp:{events} 0-16\n{ptime}a={dir}\n",
    events: 101,
    ptime: 20,
};

/// A proxy: its own Via over the PBX's, two Record-Routes when it changes transport (`r2=on`).
const KAMAILIO: Dialect = Dialect {
    transport: Transport::Udp,
    order: &["Record-Route", "Via", "Max-Forwards", "From", "To", "Call-ID", "CSeq", "Contact", "User-Agent"],
    via: "",
    branch: "z9hG4bK5f2e.",
    vias: &["SIP/2.0/TLS 198.51.100.17:5061;received=198.51.100.17;rport=41822;branch=z9hG4bKPj{hex}"],
    routes: &[
        "<sip:{ip}:{port};transport={t};r2=on;lr;ftag=gK{id};nat=yes>",
        "<sip:{ip}:5061;transport=tls;r2=on;lr;ftag=gK{id};nat=yes>",
    ],
    from: "<sip:{caller}@198.51.100.17>",
    tag: "gK{id}",
    call_id: "{hex}-kamailio",
    cseq: 10,
    contact: "<sip:{caller}@198.51.100.17:5061;transport=tls;alias={ip}~{port}~1>",
    fields: &[
        ("Supported", "timer, path"),
        ("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK, INFO, REFER, NOTIFY"),
        ("X-Forwarded-For", "198.51.100.17"),
        ("P-Asserted-Identity", "<sip:{caller}@198.51.100.17>"),
    ],
    agent: "kamailio (5.7.4 (x86_64/linux))",
    sdp: "v=0\no=- {id} {version} IN IP4 {ip}\ns=-\nc=IN IP4 {c}\nt=0 0\nm=audio {rtp} RTP/AVP 0 8 {events}\n\
          a=rtpmap:0 PCMU/8000\na=rtpmap:8 PCMA/8000\na=rtpmap:{events} telephone-event/8000\n\
          a=fmtp:{events} 0-16\na={dir}\na=rtcp:{rtcp}\n{ptime}",
    events: 96,
    ptime: 20,
};
