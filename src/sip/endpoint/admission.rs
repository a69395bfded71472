//! Digest as server: a trunk with `digest_users` asks who sends, on top of the address (sip-trunk.md section 4 step
//! 3, reliability R-24).

use std::time::Instant;

use super::Endpoint;
use super::receive::Peer;
use crate::sip::auth::{Admission, Algorithm};
use crate::sip::message::{Message, Method};

impl Endpoint {
    /// Whether a request outside a dialog is answered by a challenge, or refused for its answer to one: then that is
    /// all there is to it. Answered without state, for whoever it was may not come back.
    pub(super) fn is_asked_who(&mut self, now: Instant, peer: Peer, request: &Message) -> bool {
        // What names a dialog that is not there gets its 481 from the checks that follow.
        let excepted = matches!(request.method(), Method::Options | Method::Ack | Method::Cancel)
            || request.to().tag().is_some();
        let Some(trunk) = self.trunk(peer.trunk).filter(|_| !excepted).cloned() else { return false };
        if trunk.digest_users.is_empty() {
            return false;
        }
        let md5 = self.config.digest_md5;
        let ways: Vec<Algorithm> =
            trunk.digest_algorithms.iter().copied().filter(|way| md5 || *way != Algorithm::Md5).collect();
        let (source, realm) = (peer.hop.remote.ip(), trunk.name.as_str());
        let (status, headers) =
            match self.door.judge(now, source, realm, (&trunk.digest_users, &ways), request) {
                Admission::Pass => return false,
                Admission::Barred => (403, vec![("Reason", "Q.850;cause=21".to_owned())]),
                Admission::OtherUri => (400, Vec::new()),
                Admission::Challenge { stale } => {
                    let challenges = self.door.challenges(now, source, realm, &ways, stale);
                    (401, challenges.into_iter().map(|value| ("WWW-Authenticate", value)).collect())
                }
            };
        // Being asked is the way of things; an answer that does not do is news.
        if status != 401 || request.header("Authorization").is_some() {
            self.outcry.refusal(now, "authentication", peer.hop, Some(status));
        }
        self.answer_without_state(peer, request, status, &headers);
        true
    }
}
