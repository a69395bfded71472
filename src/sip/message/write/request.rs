//! Requests of ours: INVITE, ACK, BYE, CANCEL, OPTIONS and their like (RFC 3261 §8.1.1).

use std::borrow::Cow;

use super::Lines;
use crate::sip::Transport;
use crate::sip::message::Method;

/// A request being written.
#[derive(Clone, Debug)]
pub struct Request {
    method: Method,
    uri: Vec<u8>,
    vias: Vec<Vec<u8>>,
    max_forwards: u8,
    routes: Vec<Vec<u8>>,
    from: Vec<u8>,
    to: Vec<u8>,
    call_id: Vec<u8>,
    cseq: u32,
    contact: Option<Vec<u8>>,
    headers: Vec<(Cow<'static, str>, String)>,
    body: Option<(String, Vec<u8>)>,
}

impl Request {
    /// A request to that URI, written as it came.
    pub fn new(method: Method, uri: impl AsRef<[u8]>) -> Self {
        Self {
            method,
            uri: uri.as_ref().to_vec(),
            vias: Vec::new(),
            max_forwards: 70,
            routes: Vec::new(),
            from: Vec::new(),
            to: Vec::new(),
            call_id: Vec::new(),
            cseq: 1,
            contact: None,
            headers: Vec::new(),
            body: None,
        }
    }

    /// What is asked.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Request-URI.
    pub fn uri(&self) -> &[u8] {
        &self.uri
    }

    /// Our Via: `sent_by` is `host` or `host:port`. `rport` is asked for (RFC 3581 §3).
    pub fn via(mut self, transport: Transport, sent_by: &str, branch: &str) -> Self {
        let token = transport.as_str().to_ascii_uppercase();
        self.vias.push(format!("SIP/2.0/{token} {sent_by};rport;branch={branch}").into_bytes());
        self
    }

    /// The same under another branch, of the Via that was written first.
    pub fn branch(mut self, branch: &str) -> Self {
        if let Some(via) = self.vias.first_mut()
            && let Some(at) = memchr::memmem::rfind(via, b";branch=")
        {
            via.truncate(at);
            via.extend_from_slice(format!(";branch={branch}").as_bytes());
        }
        self
    }

    /// A Via as it was: the INVITE's in its CANCEL and in the ACK of a refusal (§9.1, §17.1.1.3).
    pub fn via_raw(mut self, value: impl AsRef<[u8]>) -> Self {
        self.vias.push(value.as_ref().to_vec());
        self
    }

    /// From, with its tag.
    pub fn from(mut self, value: impl AsRef<[u8]>) -> Self {
        self.from = value.as_ref().to_vec();
        self
    }

    /// To, with its tag in a dialog.
    pub fn to(mut self, value: impl AsRef<[u8]>) -> Self {
        self.to = value.as_ref().to_vec();
        self
    }

    /// Call-ID.
    pub fn call_id(mut self, value: impl AsRef<[u8]>) -> Self {
        self.call_id = value.as_ref().to_vec();
        self
    }

    /// Number of CSeq; its method is the request's.
    pub fn cseq(mut self, number: u32) -> Self {
        self.cseq = number;
        self
    }

    /// Max-Forwards, 70 unless said.
    pub fn max_forwards(mut self, hops: u8) -> Self {
        self.max_forwards = hops;
        self
    }

    /// Contact, with its brackets.
    pub fn contact(mut self, value: impl AsRef<[u8]>) -> Self {
        self.contact = Some(value.as_ref().to_vec());
        self
    }

    /// The route set, first hop first, each entry as it came in Record-Route.
    pub fn route<E: AsRef<[u8]>>(mut self, entries: impl IntoIterator<Item = E>) -> Self {
        self.routes.extend(entries.into_iter().map(|entry| entry.as_ref().to_vec()));
        self
    }

    /// A further header field.
    pub fn header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// A body and its Content-Type.
    pub fn body(mut self, content_type: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        self.body = Some((content_type.into(), bytes.into()));
        self
    }

    /// As it goes out.
    pub fn octets(&self) -> Vec<u8> {
        let method = self.method.as_str();
        let mut lines = Lines::begin(&[method.as_bytes(), b" ", &self.uri, b" SIP/2.0"]);
        for via in &self.vias {
            lines.copied("Via", via);
        }
        lines.typed(rsip::Header::MaxForwards(u32::from(self.max_forwards).into()));
        for route in &self.routes {
            lines.copied("Route", route);
        }
        lines.copied("From", &self.from);
        lines.copied("To", &self.to);
        lines.copied("Call-ID", &self.call_id);
        lines.copied("CSeq", format!("{} {method}", self.cseq).as_bytes());
        if let Some(contact) = &self.contact {
            lines.copied("Contact", contact);
        }
        for (name, value) in &self.headers {
            lines.authored(name, value);
        }
        lines.end(self.body.as_ref().map(|(content_type, bytes)| (content_type.as_str(), bytes.as_slice())))
    }
}
