//! What a message is matched to its transaction by (RFC 3261 §17.1.3, §17.2.3, §8.2.2.2).

use crate::sip::message::{Message, Method};

/// Matches a request to the server transaction it repeats, acknowledges or cancels.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ServerKey {
    /// Branch with the magic cookie, sent-by, method.
    Branch(Box<str>, Box<str>, &'static str),
    /// RFC 2543 peers: the whole top Via, From tag, Call-ID, CSeq number, method.
    Legacy(Box<str>, Box<str>, Box<[u8]>, u32, &'static str),
}

impl ServerKey {
    /// The key of the transaction that `request` begins or belongs to: an ACK belongs to its INVITE.
    pub(crate) fn of(request: &Message) -> Self {
        let method = match request.method() {
            Method::Ack => Method::Invite.label(),
            method => method.label(),
        };
        Self::with_method(request, method)
    }

    /// The key of the INVITE that `cancel` is about (§9.2).
    pub(crate) fn cancelled_by(cancel: &Message) -> Self {
        Self::with_method(cancel, Method::Invite.label())
    }

    fn with_method(request: &Message, method: &'static str) -> Self {
        let via = request.via();
        let sent_by = format!("{}:{}", via.host().to_ascii_lowercase(), via.port().unwrap_or(5060));
        match via.branch() {
            Some(branch) if via.has_cookie() => Self::Branch(branch.into(), sent_by.into(), method),
            branch => Self::Legacy(
                format!("{sent_by};{}", branch.unwrap_or_default()).into(),
                request.from().tag().unwrap_or_default().into(),
                request.call_id_octets().into(),
                request.cseq(),
                method,
            ),
        }
    }
}

/// Matches a response to the request of ours: our branch and the method of CSeq.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ClientKey {
    /// As in our Via.
    pub(crate) branch: Box<str>,
    /// A CANCEL has the branch of its INVITE.
    pub(crate) method: &'static str,
}

/// Two requests alike in these that came by different branches are one request merged (§8.2.2.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MergeKey(Box<[u8]>, Box<str>, u32, &'static str);

impl MergeKey {
    /// Of a request outside a dialog.
    pub(crate) fn of(request: &Message) -> Self {
        Self(
            request.call_id_octets().into(),
            request.from().tag().unwrap_or_default().into(),
            request.cseq(),
            request.method().label(),
        )
    }
}
