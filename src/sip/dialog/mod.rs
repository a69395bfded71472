//! Dialogs (RFC 3261 §12): what two ends agree on so that a request finds its call.
//!
//! ```text
//!  INVITE in ──► Dialog::of_invite   early at our 18x, confirmed by our 2xx
//!  2xx in    ──► Dialog::of_answer   confirmed at once
//!  request   ──► key (Call-ID, our tag) ─► leg ─► `admits` (their tag, CSeq)
//! ```
//!
//! A dialog knows how its requests are addressed, not over which socket they go.

pub(crate) mod ack_wait;
pub(crate) mod reliable;
pub(crate) mod route_set;
pub(crate) mod session_timer;

use super::hop::Hop;
use super::message::{Message, Method, NameAddr, Scheme, Uri};
use route_set::{Aim, RouteSet};

/// A dialog is found by these two; our tag is at least 64 random bits, so no two dialogs of ours share them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DialogKey {
    call_id: Box<[u8]>,
    local_tag: Box<str>,
}

impl DialogKey {
    /// The dialog a request of the peer says it belongs to: To has our tag.
    pub(crate) fn of_request(request: &Message) -> Option<Self> {
        let local_tag = request.to().tag()?.into();
        Some(Self { call_id: request.call_id_octets().into(), local_tag })
    }

    /// The dialog that has this Call-ID and tag of ours.
    pub(crate) fn new(call_id: &[u8], local_tag: &str) -> Self {
        Self { call_id: call_id.into(), local_tag: local_tag.into() }
    }
}

/// Why a request inside a dialog is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutOfOrder {
    /// It belongs to another dialog: 481.
    OtherDialog,
    /// Its CSeq is lower than that of the last: 500 (§12.2.2).
    OldSequence,
}

/// One end of a dialog.
#[derive(Clone, Debug)]
pub(crate) struct Dialog {
    call_id: Box<[u8]>,
    local: Box<[u8]>,
    local_tag: Box<str>,
    remote: Box<[u8]>,
    remote_tag: Box<str>,
    local_seq: u32,
    remote_seq: Option<u32>,
    target: Uri,
    routes: RouteSet,
    /// The peer gave no Contact: its requests' source is all we know of where it is.
    nowhere: bool,
    /// Our Contact is `sips:`, for the whole dialog (§12.1.1).
    pub(crate) secure: bool,
    /// Our INVITE has no answer yet: the peer's tag is not known, any may turn out to be it.
    half: bool,
    /// Where the last message of the peer came from.
    pub(crate) hop: Hop,
}

impl Dialog {
    /// Of an INVITE that came over `hop` and is answered with `local_tag`.
    pub(crate) fn of_invite(invite: &Message, local_tag: &str, hop: Hop) -> Self {
        let routes = RouteSet::of_request(invite);
        let sips = |uri: Option<&Uri>| uri.is_some_and(|uri| uri.scheme() == Scheme::Sips);
        let contact = invite.contact().filter(|contact| is_sip(&contact.uri));
        Self {
            call_id: invite.call_id_octets().into(),
            local: with_tag(&first_raw(invite, "To"), local_tag),
            local_tag: local_tag.into(),
            remote: first_raw(invite, "From").into(),
            remote_tag: invite.from().tag().unwrap_or_default().into(),
            local_seq: 0,
            remote_seq: Some(invite.cseq()),
            target: contact.map_or_else(|| invite.from().uri.clone(), |contact| contact.uri.clone()),
            nowhere: contact.is_none(),
            secure: sips(invite.request_uri()) || sips(routes.first()),
            routes,
            half: false,
            hop,
        }
    }

    /// Half a dialog: of an INVITE of ours to `target`, without an answer. `local` is our From.
    pub(crate) fn of_dial(call_id: &[u8], local: &str, local_tag: &str, target: Uri, hop: Hop) -> Self {
        Self {
            call_id: call_id.into(),
            local: local.as_bytes().into(),
            local_tag: local_tag.into(),
            remote: format!("<{}>", target.as_str()).into_bytes().into(),
            remote_tag: "".into(),
            local_seq: 1,
            remote_seq: None,
            nowhere: false,
            secure: target.scheme() == Scheme::Sips,
            target,
            routes: RouteSet::default(),
            half: true,
            hop,
        }
    }

    /// What a 2xx to our INVITE makes of the half that the INVITE began.
    pub(crate) fn answered(&self, answer: &Message, hop: Hop) -> Self {
        let contact = answer.contact().filter(|contact| is_sip(&contact.uri));
        Self {
            remote: first_raw(answer, "To").into(),
            remote_tag: answer.to().tag().unwrap_or_default().into(),
            local_seq: answer.cseq(),
            remote_seq: None,
            target: contact.map_or_else(|| self.target.clone(), |contact| contact.uri.clone()),
            nowhere: contact.is_none(),
            routes: RouteSet::of_response(answer),
            half: false,
            hop,
            ..self.clone()
        }
    }

    /// What it is found by.
    pub(crate) fn key(&self) -> DialogKey {
        DialogKey::new(&self.call_id, &self.local_tag)
    }

    /// Our tag.
    pub(crate) fn local_tag(&self) -> &str {
        &self.local_tag
    }

    /// The peer's tag; empty for an RFC 2543 peer.
    pub(crate) fn remote_tag(&self) -> &str {
        &self.remote_tag
    }

    /// Call-ID as it came.
    pub(crate) fn call_id(&self) -> &[u8] {
        &self.call_id
    }

    /// Our From or To, with our tag.
    pub(crate) fn local(&self) -> &[u8] {
        &self.local
    }

    /// Theirs.
    pub(crate) fn remote(&self) -> &[u8] {
        &self.remote
    }

    /// CSeq of our last request.
    pub(crate) fn local_seq(&self) -> u32 {
        self.local_seq
    }

    /// CSeq of our next request but ACK and CANCEL.
    pub(crate) fn next_seq(&mut self) -> u32 {
        self.local_seq = (self.local_seq + 1) & 0x7FFF_FFFF;
        self.local_seq
    }

    /// Our numbers go on behind this one: what an early dialog used up is used in the dialog it became.
    pub(crate) fn number_from(&mut self, seq: u32) {
        self.local_seq = self.local_seq.max(seq);
    }

    /// How our next request is addressed.
    pub(crate) fn aim(&self) -> Aim<'_> {
        self.routes.aim(&self.target)
    }

    /// Whether a proxy says where our requests go, rather than the peer's Contact.
    pub(crate) fn is_routed(&self) -> bool {
        !self.routes.is_empty()
    }

    /// Whether the peer never said where it is.
    pub(crate) fn is_nowhere(&self) -> bool {
        self.nowhere
    }

    /// Takes note of a request of the peer, if it belongs here and is in order. ACK has the number of
    /// its INVITE, so it is in order always.
    pub(crate) fn admit(&mut self, request: &Message, hop: Hop) -> Result<(), OutOfOrder> {
        if !self.half && request.from().tag().unwrap_or_default() != &*self.remote_tag {
            return Err(OutOfOrder::OtherDialog);
        }
        if *request.method() != Method::Ack {
            if self.remote_seq.is_some_and(|last| request.cseq() < last) {
                return Err(OutOfOrder::OldSequence);
            }
            self.remote_seq = Some(request.cseq());
        }
        if !self.half {
            self.hop = hop;
        }
        Ok(())
    }

    /// The Contact of a re-INVITE or UPDATE we accepted, or of a 2xx to ours, is where the peer is from now on.
    pub(crate) fn refresh_target(&mut self, message: &Message) {
        if let Some(contact) = message.contact().filter(|contact| is_sip(&contact.uri)) {
            self.target = contact.uri.clone();
            self.nowhere = false;
        }
    }
}

/// A target we can send a request to.
fn is_sip(uri: &Uri) -> bool {
    matches!(uri.scheme(), Scheme::Sip | Scheme::Sips)
}

fn first_raw(message: &Message, name: &str) -> Vec<u8> {
    message.raw(name).next().map(|value| value.into_owned()).unwrap_or_default()
}

/// From or To with our tag behind it; a header parameter, with `<>` or without.
fn with_tag(value: &[u8], tag: &str) -> Box<[u8]> {
    if NameAddr::parse(value).is_ok_and(|address| address.tag().is_some()) {
        return value.into();
    }
    [value, b";tag=", tag.as_bytes()].concat().into()
}
