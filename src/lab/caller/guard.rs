//! SRTP of one call (RFC 4568): the keys of both directions, as descriptions bring them.

use std::time::Instant;

use crate::rtp::srtp::{Key, Receiving, Sending};
use crate::sdp::{Crypto, Master, Suite};

/// Both directions.
#[derive(Debug)]
pub(in crate::lab) struct Guard {
    pub(in crate::lab) sending: Sending,
    pub(in crate::lab) receiving: Receiving,
}

impl Guard {
    /// What a description says: a key that stays keeps its turns and its replay list, one that changes begins anew.
    pub(in crate::lab) fn after(before: Option<Self>, now: Instant, crypto: &Crypto) -> Self {
        let (send, receive) = (key(crypto.suite, &crypto.send), key(crypto.suite, &crypto.receive));
        let Some(Self { mut sending, mut receiving }) = before else {
            return Self { sending: Sending::new(send), receiving: Receiving::new(receive, crypto.mki) };
        };
        if *sending.key() != send {
            sending = Sending::new(send);
        }
        if receiving.key() != (&receive, crypto.mki) {
            receiving = receiving.followed_by(now, receive, crypto.mki);
        }
        Self { sending, receiving }
    }
}

fn key(suite: Suite, master: &Master) -> Key {
    let (key, salt) = master.split();
    Key { short_tag: suite == Suite::Tag32, key, salt }
}
