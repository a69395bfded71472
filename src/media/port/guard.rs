//! SRTP of one port: what was agreed (RFC 4568), as the two directions need it.

use std::time::Instant;

use super::super::{Srtp, SrtpKey};
use crate::rtp::srtp::{Key, Receiving, Sending};

/// Both directions of one port.
#[derive(Debug)]
pub(in crate::media) struct Guard {
    pub(in crate::media) sending: Sending,
    pub(in crate::media) receiving: Receiving,
}

impl Guard {
    /// The first keys of a port. May allocate.
    pub(in crate::media) fn new(srtp: &Srtp) -> Self {
        let receiving = Receiving::new(key(&srtp.receive), srtp.mki);
        Self { sending: Sending::new(key(&srtp.send)), receiving }
    }

    /// What a new SDP says. A key that stays keeps its turns and its replay list; one that changes begins anew.
    pub(in crate::media) fn change(self, now: Instant, srtp: &Srtp) -> Self {
        let Self { mut sending, mut receiving } = self;
        let (send, receive) = (key(&srtp.send), key(&srtp.receive));
        if *sending.key() != send {
            sending = Sending::new(send);
        }
        if receiving.key() != (&receive, srtp.mki) {
            receiving = receiving.followed_by(now, receive, srtp.mki);
        }
        Self { sending, receiving }
    }
}

fn key(key: &SrtpKey) -> Key {
    Key { short_tag: key.short_tag, key: key.key, salt: key.salt }
}
