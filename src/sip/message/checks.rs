//! The header fields that are read with every message, and what is wrong with them (sip-trunk.md section 3).

use std::borrow::Cow;

use super::Start;
use super::header::{NameAddr, Via};
use super::lex::{self, NotANumber, Span};
use super::malformed::Cause;
use super::method::Method;
use super::parse::Draft;
use crate::telemetry::metrics;

const MAX_VIAS: usize = 70;
const MAX_ROUTES: usize = 30;
const MAX_ID: usize = 256;

/// Header fields that may stand once (reliability R-13).
const SINGLE: [&str; 8] =
    ["Call-ID", "CSeq", "From", "To", "Max-Forwards", "Content-Length", "Content-Type", "Session-Expires"];

/// Header fields that begin with a number; one that overflows spoils the message (reliability R-14).
const NUMBERS: [&str; 6] = ["Expires", "Min-Expires", "Min-SE", "Session-Expires", "Retry-After", "RSeq"];

impl Draft {
    /// Via, From, To, Call-ID, CSeq.
    pub(super) fn read_ids(&mut self, bytes: &[u8]) {
        self.read_vias(bytes);
        match self.first("From", bytes).map(|value| NameAddr::parse(&value)) {
            Some(Ok(from)) => self.message.from = from,
            _ => self.blame(Cause::From),
        }
        match self.first("To", bytes).map(|value| NameAddr::parse(&value)) {
            Some(Ok(to)) => self.message.to = to,
            _ => self.blame(Cause::To),
        }
        let tags = [&self.message.from, &self.message.to].map(|field| field.tag().map_or(0, str::len));
        if tags.into_iter().any(|len| len > MAX_ID) {
            self.blame(Cause::IdTooLong);
        }
        self.read_call_id(bytes);
        self.read_cseq(bytes);
    }

    fn read_vias(&mut self, bytes: &[u8]) {
        let values: Vec<Span> = self.values("Via", bytes).collect();
        let (mut count, mut good) = (0, true);
        for value in values {
            for entry in lex::split(value.of(bytes), b',') {
                count += 1;
                if count > MAX_VIAS {
                    return self.blame(Cause::TooManyHops);
                }
                let read = Via::read(&lex::unfold(lex::trim(entry)));
                good &= matches!(read, Some((_, true)));
                if let (1, Some((via, _))) = (count, read) {
                    self.routable = true;
                    self.message.via = via;
                }
            }
        }
        self.message.via_count = count;
        match (count, good) {
            (0, _) => self.blame(Cause::NoVia),
            (_, false) => self.blame(Cause::Via),
            _ if self.message.via.branch().is_some_and(|branch| branch.len() > MAX_ID) => {
                self.blame(Cause::IdTooLong);
            }
            _ => {}
        }
    }

    fn read_call_id(&mut self, bytes: &[u8]) {
        let Some(span) = self.values("Call-ID", bytes).next() else { return self.blame(Cause::CallId) };
        let id = span.of(bytes);
        if id.is_empty() || id.iter().any(|&octet| octet <= b' ' || octet == 0x7F) {
            return self.blame(Cause::CallId);
        }
        if id.len() > MAX_ID {
            return self.blame(Cause::IdTooLong);
        }
        self.message.call_id_text = String::from_utf8_lossy(id).into_owned();
        self.message.call_id = span;
    }

    fn read_cseq(&mut self, bytes: &[u8]) {
        let Some(value) = self.first("CSeq", bytes) else { return self.blame(Cause::CSeq) };
        let end = value.iter().position(|&octet| lex::is_blank(octet)).unwrap_or(value.len());
        let (number, method) = value.split_at(end);
        let method = lex::trim(method);
        let (Ok(number), true) = (lex::number(number, (1 << 31) - 1), lex::is_token(method)) else {
            return self.blame(Cause::CSeq);
        };
        self.message.cseq = number;
        let method = Method::from_token(&String::from_utf8_lossy(method));
        match self.message.start {
            Start::Request(_) if self.message.method != method => self.blame(Cause::CSeqMethod),
            Start::Request(_) => {}
            Start::Response { .. } => self.message.method = method,
        }
    }

    pub(super) fn check_repeats(&mut self, bytes: &[u8]) {
        if SINGLE.iter().any(|name| self.values(name, bytes).count() > 1) {
            self.blame(Cause::Repeated);
        }
    }

    pub(super) fn check_numbers(&mut self, bytes: &[u8]) {
        match self.first("Max-Forwards", bytes).map(|value| lex::number(&value, 255)) {
            None => {}
            Some(Ok(hops)) => self.message.max_forwards = u8::try_from(hops).ok(),
            Some(Err(_)) => self.blame(Cause::MaxForwards),
        }
        for name in NUMBERS {
            let Some(value) = self.first(name, bytes) else { continue };
            let digits = value.iter().position(|octet| !octet.is_ascii_digit()).unwrap_or(value.len());
            match lex::number(value.get(..digits).unwrap_or_default(), u32::MAX) {
                Ok(number) if name == "Expires" => self.message.expires = Some(number),
                Ok(_) | Err(NotANumber::Letters) => {}
                Err(NotANumber::TooLarge) => self.blame(Cause::Number),
            }
        }
        self.content_length =
            match self.first("Content-Length", bytes).map(|value| lex::number(&value, u32::MAX)) {
                None => Ok(None),
                Some(Ok(length)) => Ok(Some(length as usize)),
                Some(Err(_)) => Err(()),
            };
    }

    /// An INVITE names one Contact or none; elsewhere a bad one counts as absent.
    pub(super) fn read_contact(&mut self, bytes: &[u8]) {
        let (contact, more) = {
            let mut entries = self.values("Contact", bytes).flat_map(|span| lex::split(span.of(bytes), b','));
            let first = entries.next().map(|entry| lex::unfold(lex::trim(entry)));
            (first, entries.next().is_some())
        };
        let invite = self.message.method == Method::Invite && matches!(self.message.start, Start::Request(_));
        // `*` takes back all registrations (§10.2.2); it names nobody.
        let contact = contact.filter(|entry| invite || **entry != *b"*").map(|entry| NameAddr::parse(&entry));
        match contact {
            None => {}
            Some(Ok(contact)) if !(invite && more) => self.message.contact = Some(contact),
            Some(_) if invite => self.blame(Cause::Contact),
            Some(_) => metrics::repair("optional_header"),
        }
    }

    pub(super) fn check_routes(&mut self, bytes: &[u8]) {
        for name in ["Record-Route", "Route"] {
            let entries = self.values(name, bytes).flat_map(|span| lex::split(span.of(bytes), b','));
            if entries.take(MAX_ROUTES + 1).count() > MAX_ROUTES {
                self.blame(Cause::TooManyHops);
            }
        }
    }

    fn values(&self, name: &str, bytes: &[u8]) -> impl Iterator<Item = Span> {
        self.message.fields.iter().filter(move |field| field.is(name, bytes)).map(|field| field.value)
    }

    fn first<'b>(&self, name: &str, bytes: &'b [u8]) -> Option<Cow<'b, [u8]>> {
        self.values(name, bytes).next().map(|span| lex::unfold(span.of(bytes)))
    }
}
