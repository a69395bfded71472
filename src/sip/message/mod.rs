//! A SIP message as it came: the octets, and where each header field stands in them.
//!
//! ```text
//!  stream ─► Framer ─┐                              ┌─► Message ─► transaction, dialog
//!                    ├─► Message::parse (checks) ───┤
//!  datagram ─────────┘                              └─► Malformed ─► 400 and its like, or nothing
//!
//!  Response::to(&message, 200) … octets() ─► bytes      Request::new(method, uri) … octets() ─► bytes
//! ```
//!
//! Reading is lenient where real equipment is careless and strict where two readers could differ
//! (sip-trunk.md section 3). A [`Message`] that exists has passed every check that can be made from the
//! message alone. What is copied into an answer is the octets as they came.

mod checks;
pub mod frame;
pub mod header;
mod lex;
mod lines;
mod malformed;
mod method;
mod parse;
pub mod uri;
pub mod write;

use std::borrow::Cow;
use std::fmt;

pub use frame::{Frame, Framed, Framer, frame};
pub use header::{IllFormed, NameAddr, Via};
use lex::Span;
pub use malformed::{Cause, Malformed};
pub use method::Method;
pub use uri::{Scheme, Uri};
pub use write::{Request, Response, response_destination};

/// How the end of a message is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One datagram is one message: without Content-Length the body goes to its end, octets behind the
    /// declared body are cut off (reliability R-17).
    Datagram,
    /// Content-Length says it and must be there.
    Stream,
}

/// A SIP message as it came.
#[derive(Clone)]
pub struct Message {
    octets: Box<[u8]>,
    fields: Vec<Field>,
    start: Start,
    method: Method,
    via: Via,
    via_count: usize,
    call_id: Span,
    call_id_text: String,
    cseq: u32,
    from: NameAddr,
    to: NameAddr,
    contact: Option<NameAddr>,
    max_forwards: Option<u8>,
    expires: Option<u32>,
    body: Span,
}

/// One header field: its name, the long form of a compact one, and its value with folds, trimmed.
#[derive(Clone, Copy, Debug)]
struct Field {
    name: Span,
    long: Option<&'static str>,
    value: Span,
}

/// What the first line says.
#[derive(Clone, Debug)]
enum Start {
    Request(Option<Uri>),
    Response { status: u16, reason: Span },
}

impl Message {
    /// Reads one message and checks all that can be judged from the message alone.
    ///
    /// # Errors
    /// The first fault found, and what is needed to answer it.
    pub fn parse(bytes: &[u8], framing: Framing) -> Result<Self, Malformed> {
        parse::parse(bytes, framing)
    }

    /// Is it a request?
    pub fn is_request(&self) -> bool {
        matches!(self.start, Start::Request(_))
    }

    /// What is asked; of a response the method of its CSeq.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Request-URI; absent in a response.
    pub fn request_uri(&self) -> Option<&Uri> {
        match &self.start {
            Start::Request(uri) => uri.as_ref(),
            Start::Response { .. } => None,
        }
    }

    /// 100..=699; absent in a request.
    pub fn status(&self) -> Option<u16> {
        match self.start {
            Start::Request(_) => None,
            Start::Response { status, .. } => Some(status),
        }
    }

    /// Reason phrase of a response.
    pub fn reason_phrase(&self) -> Option<Cow<'_, str>> {
        match self.start {
            Start::Request(_) => None,
            Start::Response { reason, .. } => Some(String::from_utf8_lossy(reason.of(&self.octets))),
        }
    }

    /// The topmost Via.
    pub fn via(&self) -> &Via {
        &self.via
    }

    /// How many entries Via has. A response with more than one is not for us (RFC 3261 §8.1.3.3).
    pub fn via_count(&self) -> usize {
        self.via_count
    }

    /// Call-ID; octets that are no UTF-8 are U+FFFD here, see [`Message::call_id_octets`].
    pub fn call_id(&self) -> &str {
        &self.call_id_text
    }

    /// Call-ID as it came, to be compared octet by octet.
    pub fn call_id_octets(&self) -> &[u8] {
        self.call_id.of(&self.octets)
    }

    /// Number of CSeq, below 2^31.
    pub fn cseq(&self) -> u32 {
        self.cseq
    }

    /// From. Of a message in [`Malformed::answerable`] it may be empty.
    pub fn from(&self) -> &NameAddr {
        &self.from
    }

    /// To. Of a message in [`Malformed::answerable`] it may be empty.
    pub fn to(&self) -> &NameAddr {
        &self.to
    }

    /// The first Contact, if it is well-formed; never `*`.
    pub fn contact(&self) -> Option<&NameAddr> {
        self.contact.as_ref()
    }

    /// Max-Forwards; absent counts as 70.
    pub fn max_forwards(&self) -> Option<u8> {
        self.max_forwards
    }

    /// Expires in seconds; absent when it is no number.
    pub fn expires(&self) -> Option<u32> {
        self.expires
    }

    /// The first header field of that name: unfolded, trimmed, as text.
    pub fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        self.raw(name).next().map(lex::text)
    }

    /// Every header field of that name.
    pub fn headers<'a>(&'a self, name: &str) -> impl Iterator<Item = Cow<'a, str>> {
        self.raw(name).map(lex::text)
    }

    /// Every header field of that name as octets, for what must go back as it came.
    pub fn raw<'a>(&'a self, name: &str) -> impl Iterator<Item = Cow<'a, [u8]>> {
        let name = long_name(name.as_bytes()).unwrap_or(name);
        self.fields
            .iter()
            .filter(move |field| field.is(name, &self.octets))
            .map(|field| lex::unfold(field.value.of(&self.octets)))
    }

    /// The entries of all header fields of that name, split at commas outside quotes and `<>`; empty
    /// entries are passed over.
    pub fn list(&self, name: &str) -> Vec<Cow<'_, str>> {
        self.list_octets(name).into_iter().map(lex::text).collect()
    }

    /// As [`Message::list`], as octets: Record-Route entries that become a route set.
    pub fn list_octets(&self, name: &str) -> Vec<Cow<'_, [u8]>> {
        let name = long_name(name.as_bytes()).unwrap_or(name);
        self.fields
            .iter()
            .filter(|field| field.is(name, &self.octets))
            .flat_map(|field| lex::split(field.value.of(&self.octets), b','))
            .map(lex::trim)
            .filter(|entry| !entry.is_empty())
            .map(lex::unfold)
            .collect()
    }

    /// Does a list header hold that token, in any case? (`Supported`, `Require`, `Allow`)
    pub fn lists(&self, name: &str, token: &str) -> bool {
        self.list(name).iter().any(|entry| entry.eq_ignore_ascii_case(token))
    }

    /// Names, long where they came compact, and values of all header fields, in order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        self.fields.iter().map(|field| {
            let name = std::str::from_utf8(field.name.of(&self.octets)).unwrap_or_default();
            (field.long.unwrap_or(name), lex::text(lex::unfold(field.value.of(&self.octets))))
        })
    }

    /// The body, as long as Content-Length says.
    pub fn body(&self) -> &[u8] {
        self.body.of(&self.octets)
    }

    /// `type/subtype` of Content-Type in lower case, without parameters.
    pub fn content_type(&self) -> Option<String> {
        let value = self.header("Content-Type")?;
        let kind = value.split(';').next()?;
        Some(kind.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase())
    }

    /// A parameter of Content-Type: `boundary` of a multipart body.
    pub fn content_type_param(&self, name: &str) -> Option<String> {
        let value = self.raw("Content-Type").next()?;
        let params = value.get(memchr::memchr(b';', &value)?..)?;
        let params = header::name_addr::read_params(params).ok()?;
        params.into_iter().find(|param| param.name.eq_ignore_ascii_case(name))?.value
    }

    /// The boundary of a multipart body.
    pub fn boundary(&self) -> Option<String> {
        self.content_type_param("boundary")
    }

    /// The message as it came, cut behind its body.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }
}

/// One line for a log; what a stranger wrote is escaped (reliability R-20).
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = f.debug_struct("Message");
        match &self.start {
            Start::Request(uri) => line.field("method", &self.method.as_str()).field("uri", uri),
            Start::Response { status, .. } => {
                line.field("status", status).field("method", &self.method.as_str())
            }
        };
        line.field("call_id", &self.call_id_text).field("cseq", &self.cseq).finish_non_exhaustive()
    }
}

impl Field {
    fn is(&self, name: &str, octets: &[u8]) -> bool {
        match self.long {
            Some(long) => long.eq_ignore_ascii_case(name),
            None => self.name.of(octets).eq_ignore_ascii_case(name.as_bytes()),
        }
    }
}

/// The long form of a compact name (RFC 3261 §7.3.3 and the registry).
fn long_name(name: &[u8]) -> Option<&'static str> {
    let &[letter] = name else { return None };
    Some(match letter.to_ascii_lowercase() {
        b'a' => "Accept-Contact",
        b'b' => "Referred-By",
        b'c' => "Content-Type",
        b'd' => "Request-Disposition",
        b'e' => "Content-Encoding",
        b'f' => "From",
        b'i' => "Call-ID",
        b'j' => "Reject-Contact",
        b'k' => "Supported",
        b'l' => "Content-Length",
        b'm' => "Contact",
        b'n' => "Identity-Info",
        b'o' => "Event",
        b'r' => "Refer-To",
        b's' => "Subject",
        b't' => "To",
        b'u' => "Allow-Events",
        b'v' => "Via",
        b'x' => "Session-Expires",
        b'y' => "Identity",
        _ => return None,
    })
}
