//! What we write ourselves: the header fields of our answers and requests, and where they go.

use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

use super::leg::Leg;
use super::oversize::SAFE_DATAGRAM;
use super::{Endpoint, Hop, Way};
use crate::ids::TrunkId;
use crate::sip::dialog::Dialog;
use crate::sip::hop;
use crate::sip::message::{Message, Method, Request, Response, response_destination};
use crate::sip::{Transport, Trunk};
use crate::telemetry::metrics;

/// Methods we serve.
pub(super) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK, INFO, NOTIFY";
/// Extensions we know.
pub(super) const SUPPORTED: &str = "timer, 100rel";
/// Events we take notices of: `refer`, after a REFER of ours.
pub(super) const ALLOW_EVENTS: &str = "refer";
/// Bodies we understand, of OPTIONS and in a 415 to an INVITE.
pub(super) const ACCEPT: &str = "application/sdp";
/// Bodies of INFO.
pub(super) const ACCEPT_INFO: &str = "application/dtmf-relay, application/dtmf";

/// Octets of a Via branch that begin it (RFC 3261 §8.1.1.7).
const COOKIE: &str = "z9hG4bK";

impl Endpoint {
    /// A tag of 64 random bits.
    pub(super) fn tag(&mut self) -> String {
        format!("{:016x}", self.entropy.u64())
    }

    /// A branch nobody can guess.
    pub(super) fn branch(&mut self) -> String {
        format!("{COOKIE}{}", self.entropy.token())
    }

    /// The tag of an answer without state: the same for each copy of the request.
    pub(super) fn stateless_tag(&self, request: &Message) -> String {
        let mut hasher = std::hash::DefaultHasher::new();
        (self.salt, request.via().branch(), request.call_id_octets(), request.from().tag()).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }

    /// A branch that nobody can guess, and that we know for our own when its call is long forgotten.
    pub(super) fn sealed_branch(&mut self) -> String {
        let token = self.entropy.token();
        format!("{COOKIE}{token}{}", self.seal(&token))
    }

    /// Whether we made that branch of an INVITE.
    pub(super) fn is_sealed(&self, branch: &str) -> bool {
        let parts = branch.strip_prefix(COOKIE).and_then(|rest| rest.split_at_checked(32));
        parts.is_some_and(|(token, seal)| seal == self.seal(token))
    }

    fn seal(&self, token: &str) -> String {
        let mut hasher = std::hash::DefaultHasher::new();
        (self.salt, token).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }

    /// The branch of a request without state: the same for each copy of the response it is about.
    pub(super) fn stateless_branch(&self, response: &Message) -> String {
        let mut hasher = std::hash::DefaultHasher::new();
        (self.stateless_tag(response), response.to().tag()).hash(&mut hasher);
        format!("{COOKIE}{:016x}", hasher.finish())
    }

    /// The beginning of an answer to a request that came over `hop`.
    pub(super) fn answer<'m>(
        &self,
        request: &'m Message,
        status: u16,
        hop: Hop,
        trunk: Option<TrunkId>,
    ) -> Response<'m> {
        let response = Response::to(request, status).source(hop.remote, self.force_rport(trunk));
        if self.config.user_agent.is_empty() || trunk.is_none() || status == 100 {
            return response;
        }
        response.header("Server", self.config.user_agent.clone())
    }

    /// Where the answers to a request go.
    pub(super) fn way_back(&self, request: &Message, hop: Hop, trunk: Option<TrunkId>) -> Way {
        if hop.transport.is_stream() {
            let port = request.via().port().unwrap_or(default_port(hop.transport));
            // Nothing of ours ever goes to a stranger's listener.
            let otherwise = trunk.map(|_| SocketAddr::new(hop.remote.ip(), port));
            return Way { hop, otherwise };
        }
        let remote = response_destination(request, hop.remote, self.force_rport(trunk));
        Hop { remote, ..hop }.into()
    }

    fn force_rport(&self, trunk: Option<TrunkId>) -> bool {
        trunk.and_then(|id| self.trunk(id)).is_some_and(|trunk| trunk.force_rport)
    }

    /// Our host and port as the far end of `hop` knows them.
    pub(super) fn sent_by(&self, hop: Hop) -> String {
        let host = match &self.config.advertise {
            Some(name) => bracketed(name),
            None => bracketed(&hop.local.ip().to_string()),
        };
        format!("{host}:{}", hop.local.port())
    }

    /// The one Contact we ever give in a dialog.
    pub(super) fn contact(&self, hop: Hop, secure: bool) -> String {
        let scheme = if secure { "sips" } else { "sip" };
        format!("<{scheme}:streamkit@{};transport={}>", self.sent_by(hop), hop.transport.as_str())
    }

    /// A request of ours in a dialog, numbered, and where it goes. INVITE's number is its ACK's.
    pub(super) fn request(
        &mut self,
        dialog: &mut Dialog,
        trunk: &Trunk,
        method: Method,
    ) -> (Request, Way, String) {
        let seq = if method == Method::Ack { dialog.local_seq() } else { dialog.next_seq() };
        self.numbered(dialog, trunk, method, seq)
    }

    /// The same with a number of its own: the ACK's is its INVITE's, whatever went out since.
    pub(super) fn numbered(
        &mut self,
        dialog: &Dialog,
        trunk: &Trunk,
        method: Method,
        seq: u32,
    ) -> (Request, Way, String) {
        let (way, branch) = (self.way_to(dialog, trunk), self.branch());
        let aim = dialog.aim();
        let request = Request::new(method, &aim.request_uri)
            .via(way.hop.transport, &self.sent_by(way.hop), &branch)
            .route(&aim.routes)
            .from(dialog.local())
            .to(dialog.remote())
            .call_id(dialog.call_id())
            .cseq(seq);
        (self.signed(request), way, branch)
    }

    /// With our User-Agent.
    pub(super) fn signed(&self, request: Request) -> Request {
        if self.config.user_agent.is_empty() {
            return request;
        }
        request.header("User-Agent", self.config.user_agent.clone())
    }

    /// Where a request of the dialog goes (sip-trunk.md section 6): to the first Route, else to the Contact,
    /// by the transport that one names; to where the peer's last message came from when that is a name, lies
    /// outside the trunk, or cannot be reached from here.
    fn way_to(&self, dialog: &Dialog, trunk: &Trunk) -> Way {
        let (hop, aim) = (dialog.hop, dialog.aim());
        let transport = match aim.next_hop.param("transport").map(|name| name.to_ascii_lowercase()).as_deref()
        {
            Some("udp") => Transport::Udp,
            Some("tcp") => Transport::Tcp,
            Some("tls") => Transport::Tls,
            _ => hop.transport,
        };
        let back = back_to(hop, aim.next_hop.port());
        let Some(ip) = aim.next_hop.host_ip() else { return back };
        let to = SocketAddr::new(ip, aim.next_hop.port().unwrap_or(default_port(transport)));
        if !self.may_reach(dialog, trunk, to) {
            return back;
        }
        if transport == hop.transport && to.is_ipv4() == hop.local.is_ipv4() {
            return match transport.is_stream() {
                true => Way { hop, otherwise: Some(to) },
                false => Hop { remote: to, ..hop }.into(),
            };
        }
        match self.listener(transport, to.ip(), hop.local.ip()) {
            Some(local) => Way { hop: Hop { transport, local, remote: to }, otherwise: Some(to) },
            None => back,
        }
    }

    fn may_reach(&self, dialog: &Dialog, trunk: &Trunk, to: SocketAddr) -> bool {
        if !self.targets.is_of(trunk, to.ip()) || !hop::may_be_sent_to(to) {
            return false;
        }
        let elsewhere = to.ip() != dialog.hop.remote.ip();
        let unreachable = trunk.nat_contact && hop::is_private(to.ip()) && elsewhere;
        dialog.is_routed() || !(dialog.is_nowhere() || unreachable)
    }

    /// Our address on another transport than the one a dialog came by.
    pub(super) fn listener(&self, transport: Transport, to: IpAddr, ours: IpAddr) -> Option<SocketAddr> {
        let fits =
            |(of, local): &&(Transport, SocketAddr)| *of == transport && local.is_ipv4() == to.is_ipv4();
        let (_, local) = self.listeners.iter().find(fits)?;
        if !local.ip().is_unspecified() {
            return Some(*local);
        }
        (ours.is_ipv4() == to.is_ipv4()).then(|| SocketAddr::new(ours, local.port()))
    }

    /// The Contact of a leg.
    pub(super) fn contact_of(&self, leg: &Leg) -> String {
        self.contact(leg.dialog.hop, leg.dialog.secure)
    }

    /// Seconds a refused peer is asked to wait, so that not all come back at once.
    pub(super) fn retry_after(&mut self, from: u32, to: u32) -> String {
        (from + self.entropy.below(to - from + 1)).to_string()
    }
}

/// Counts a message that goes out for the first time, by what its first line says.
pub(super) fn count_out(transport: &'static str, bytes: &[u8]) {
    let line = bytes.split(|&octet| octet == b'\r').next().unwrap_or_default();
    let Ok(line) = std::str::from_utf8(line) else { return };
    match line.strip_prefix("SIP/2.0 ") {
        Some(rest) => {
            let code = rest.get(..3).and_then(|code| code.parse().ok());
            metrics::sip_response(transport, "out", code.unwrap_or(0));
        }
        None => {
            if transport == Transport::Udp.as_str() && bytes.len() > SAFE_DATAGRAM {
                metrics::repair("udp_oversize");
            }
            let method = Method::from_token(line.split(' ').next().unwrap_or_default());
            metrics::sip_request(transport, "out", method.label());
        }
    }
}

/// Back to where the dialog's last message came from; should that connection be closed, to the port that
/// the Contact names, for its own may have been any.
fn back_to(hop: Hop, port: Option<u16>) -> Way {
    let port = port.unwrap_or(default_port(hop.transport));
    let otherwise = hop.transport.is_stream().then(|| SocketAddr::new(hop.remote.ip(), port));
    Way { hop, otherwise }
}

fn default_port(transport: Transport) -> u16 {
    if transport == Transport::Tls { 5061 } else { 5060 }
}

/// An IPv6 address stands in brackets.
fn bracketed(host: &str) -> String {
    if host.parse::<std::net::Ipv6Addr>().is_ok() { format!("[{host}]") } else { host.to_owned() }
}
