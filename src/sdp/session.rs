//! Our side of a dialog's descriptions: the o= line, its version, and the order of the m= lines.

use super::Description;
use super::crypto::Master;
use super::describe::{Audio, Keys, OwnLine};

/// Payload type of telephone-event in our offers, unless the peer uses it for something else.
const EVENTS: u8 = 101;

/// One a dialog, from its first description to its last.
#[derive(Clone, Debug)]
pub struct Session {
    id: u32,
    version: u64,
    sent: Option<Sent>,
    events: Option<u8>,
    bound: u128,
}

#[derive(Clone, Debug)]
struct Sent {
    description: Description,
    text: Box<str>,
    /// Where it begins, behind the o= line.
    rest: usize,
}

impl Sent {
    fn rest(&self) -> &str {
        self.text.get(self.rest..).unwrap_or_default()
    }
}

impl Session {
    /// A session that has sent nothing yet. Any number will do for `seed`: the session id is made of it,
    /// 1 to 2^31 - 1, and stays.
    pub const fn new(seed: u32) -> Self {
        let id = seed & 0x7fff_ffff;
        Self { id: if id == 0 { 1 } else { id }, version: 0, sent: None, events: None, bound: 0 }
    }

    /// The text of a description that is now sent. Its version is one higher than the last when anything else
    /// in it differs from the last that was sent, else the same: rendering an equal one again, for the 200
    /// after a 183 or for a refresh, gives the same octets.
    pub fn render(&mut self, description: &Description) -> String {
        let rest = description.rest();
        if self.sent.as_ref().is_none_or(|sent| sent.rest() != rest) {
            self.version += 1;
        }
        if let Some((_, audio)) = description.audio() {
            self.events = audio.events.map(|(number, _)| number).or(self.events);
        }
        self.bound |= description.bound;
        let text = format!("v=0\r\n{}{rest}", description.origin(self.id, self.version));
        let (description, rest) = (description.clone(), text.len() - rest.len());
        self.sent = Some(Sent { description, text: text.as_str().into(), rest });
        text
    }

    /// What was sent last, octet for octet: a session refresh by re-INVITE offers it again (RFC 4028 §7.4).
    pub fn last(&self) -> Option<&str> {
        self.sent.as_ref().map(|sent| &*sent.text)
    }

    /// The keys of the description sent last.
    pub(super) fn keys(&self) -> Option<&Keys> {
        self.description()?.audio()?.1.keys.as_ref()
    }

    /// The peer answered our offer with this key.
    pub(super) fn learn(&mut self, theirs: Master) {
        let lines = self.sent.as_mut().map(|sent| sent.description.lines.iter_mut());
        for line in lines.into_iter().flatten() {
            if let OwnLine::Audio(Audio { keys: Some(keys), .. }) = line {
                keys.theirs = Some(theirs);
            }
        }
    }

    /// Our key for a peer whose key is `theirs`: the one it knows while its own is the same, else a fresh one.
    pub(super) fn key_for(&self, theirs: Master, fresh: Master) -> Master {
        self.keys().filter(|keys| keys.theirs == Some(theirs)).map_or(fresh, |keys| keys.ours.master)
    }

    pub(super) fn description(&self) -> Option<&Description> {
        self.sent.as_ref().map(|sent| &sent.description)
    }

    /// The m= lines sent last: a later offer has them all, in their order (RFC 3264 §8).
    pub(super) fn lines(&self) -> &[OwnLine] {
        self.sent.as_ref().map_or(&[], |sent| &sent.description.lines)
    }

    /// The number telephone-event has in our offers: what it has been in this session, else 101, else the
    /// first the peer has not used for something else (RFC 3264 §8.3.2: a number keeps its meaning).
    pub(super) fn events_number(&self) -> u8 {
        let free = |number: &u8| self.bound & (1 << number) == 0;
        self.events.or_else(|| std::iter::once(EVENTS).chain(96..=127).find(free)).unwrap_or(EVENTS)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Wish, answer};
    use super::*;

    fn origin(session: &mut Session, port: u16, attribute: &str) -> String {
        let wish = Wish::new(([192, 0, 2, 200], port).into());
        let body = format!("v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 0\na={attribute}");
        let text = session.render(&answer(body.as_bytes(), "", &wish, session).unwrap().sdp);
        assert_eq!(session.last(), Some(text.as_str()));
        text.lines().nth(1).unwrap().to_owned()
    }

    #[test]
    fn the_version_rises_only_when_the_description_differs() {
        let mut session = Session::new(77);
        for (port, attribute, version) in [
            (40_000, "sendrecv", 1),
            (40_000, "sendrecv", 1),
            (40_000, "sendonly", 2),
            (40_000, "sendonly", 2),
            (40_000, "sendrecv", 3),
            (40_002, "sendrecv", 4),
        ] {
            let expected = format!("o=- 77 {version} IN IP4 192.0.2.200");
            assert_eq!(origin(&mut session, port, attribute), expected);
        }
    }

    #[test]
    fn the_id_is_from_one_to_two_to_the_31() {
        for (seed, id) in
            [(0, "o=- 1 "), (0x8000_0000, "o=- 1 "), (u32::MAX, "o=- 2147483647 "), (5, "o=- 5 ")]
        {
            assert!(origin(&mut Session::new(seed), 4000, "sendrecv").starts_with(id));
        }
    }
}
