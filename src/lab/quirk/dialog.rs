//! What a dialog is made of, as its PBX writes it.

use super::dialect::Dialect;
use super::sdp::Ours;
use super::text::Request;
use crate::sip::message::Message;
use std::net::SocketAddr;

/// Our side of a dialog.
#[derive(Clone, Debug)]
pub(super) struct Dialog {
    dialect: Dialect,
    /// Where we are.
    pub(super) at: SocketAddr,
    transport: &'static str,
    host: String,
    caller: String,
    id: u32,
    /// Request-URI of the INVITE, and To.
    pub(super) uri: String,
    /// Call-ID.
    pub(super) call_id: String,
    /// The daemon's tag, once it is known.
    pub(super) to_tag: Option<String>,
    /// The daemon's Contact, once it is known.
    pub(super) target: Option<String>,
    /// Of the last request.
    pub(super) cseq: u32,
    branches: u32,
}

impl Dialog {
    /// One that has not begun.
    pub(super) fn new(
        dialect: Dialect,
        wire: (SocketAddr, &'static str),
        host: &str,
        number: &str,
        id: u32,
    ) -> Self {
        let mut dialog = Self {
            dialect,
            at: wire.0,
            transport: wire.1,
            host: host.to_owned(),
            caller: format!("0806{:07}", id % 10_000_000),
            id,
            uri: format!("sip:{number}@{host}"),
            call_id: String::new(),
            to_tag: None,
            target: None,
            cseq: dialect.cseq,
            branches: 0,
        };
        dialog.call_id = dialog.filled(dialect.call_id);
        dialog
    }

    /// The caller's number.
    pub(super) fn caller(&self) -> &str {
        &self.caller
    }

    fn filled(&self, text: &str) -> String {
        let ip = if self.at.is_ipv6() { format!("[{}]", self.at.ip()) } else { self.at.ip().to_string() };
        text.replace("{ip}", &ip)
            .replace("{port}", &self.at.port().to_string())
            .replace("{t}", self.transport)
            .replace("{host}", &self.host)
            .replace("{caller}", &self.caller)
            .replace("{id}", &self.id.to_string())
            .replace("{hex}", &format!("{:08x}", self.id.wrapping_mul(0x9e37_79b1)))
    }

    /// From with its tag.
    pub(super) fn from(&self) -> String {
        self.filled(self.dialect.from) + ";tag=" + &self.filled(self.dialect.tag)
    }

    /// Record-Route entries of the INVITE.
    pub(super) fn routes(&self) -> Vec<String> {
        self.dialect.routes.iter().map(|route| self.filled(route)).collect()
    }

    /// A branch no other request has.
    pub(super) fn branch(&mut self) -> String {
        self.branches += 1;
        let hex = self.filled("{hex}");
        format!("{}{hex}-{}", self.dialect.branch, self.branches)
    }

    /// The INVITE.
    pub(super) fn invite(&mut self, offer: Option<&Ours>) -> Request {
        let mut invite = self.request("INVITE");
        for route in self.routes() {
            invite.add("Record-Route", route);
        }
        for (name, value) in self.dialect.fields {
            // A body that is not there has no disposition.
            if *name != "Content-Disposition" || offer.is_some() {
                invite.add(name, self.filled(value));
            }
        }
        if let Some(offer) = offer {
            invite.describe(offer.text());
        }
        invite.arrange(self.dialect.order);
        invite
    }

    /// The next request; inside the dialog once the daemon's tag is known.
    pub(super) fn request(&mut self, method: &str) -> Request {
        let cseq = self.cseq;
        self.cseq += 1;
        self.numbered(method, cseq)
    }

    /// A request of this number: ACK and CANCEL have that of their INVITE.
    pub(super) fn numbered(&mut self, method: &str, cseq: u32) -> Request {
        let uri = self.target.clone().unwrap_or_else(|| self.uri.clone());
        let mut request = Request::new(method, &uri);
        let branch = self.branch();
        let sent_by = format!("SIP/2.0/{} {}", self.transport.to_uppercase(), self.at);
        request.add("Via", format!("{sent_by}{};branch={branch}", self.dialect.via));
        for via in self.dialect.vias {
            request.add("Via", self.filled(via));
        }
        request.add("Max-Forwards", "70").add("From", self.from());
        let to = format!("<{}>", self.uri);
        request.add("To", self.to_tag.as_ref().map_or(to.clone(), |tag| format!("{to};tag={tag}")));
        request.add("Call-ID", self.call_id.clone()).add("CSeq", format!("{cseq} {method}"));
        request.add("Contact", self.filled(self.dialect.contact));
        if !self.dialect.agent.is_empty() {
            request.add("User-Agent", self.dialect.agent);
        }
        request.add("Content-Length", "0").arrange(self.dialect.order);
        request
    }

    /// The ACK or CANCEL that goes hop by hop with this INVITE.
    pub(super) fn hop(&mut self, method: &str, invite: &Request) -> Request {
        let cseq = invite.value("CSeq").split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        let mut request = self.numbered(method, cseq);
        request.uri.clone_from(&invite.uri);
        let via = invite.value("Via").to_owned();
        request.remove("Via").add("Via", via).remove("Contact");
        if method == "CANCEL" {
            request.set("To", invite.value("To"));
        }
        request.arrange(self.dialect.order);
        request
    }

    /// Learns what an answer tells.
    pub(super) fn learn(&mut self, answer: &Message) {
        if let Some(tag) = answer.to().tag() {
            self.to_tag = Some(tag.to_owned());
        }
        if let Some(contact) = answer.contact() {
            self.target = Some(contact.uri.as_str().to_owned());
        }
    }
}
