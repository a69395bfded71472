//! Our offers and the answers to them (RFC 3264 §5 and §7, sip-trunk.md section 10).

use super::codec::{Coding, Events};
use super::describe::{Audio, Description, OwnLine};
use super::read::Remote;
use super::terms::Terms;
use super::{Agreed, Law, Refused, Session, Wish, body, ptime};

/// An offer of all we can do, as it is to be sent: to an INVITE or re-INVITE without SDP, in a call of ours, or
/// to move or hold a leg. In a dialog that has m= lines already they all stand in their places.
///
/// `wish.codecs` is not empty and `wish.local` is an address that may be shown: the caller chose both.
pub fn offer(session: &mut Session, wish: &Wish) -> String {
    let audio = OwnLine::Audio(Audio {
        formats: wish.codecs.iter().map(|&law| (law, law.payload_type())).collect(),
        events: wish.telephone_event.then(|| (session.events_number(), Events::ALL)),
        ptime_ms: ptime::USUAL,
        direction: wish.direction,
        rtcp_mux: false,
    });
    let mut lines = session.lines().to_vec();
    match lines.iter_mut().find(|line| matches!(line, OwnLine::Audio(_))) {
        Some(line) => *line = audio,
        None => lines.push(audio),
    }
    session.render(&Description { local: wish.local, lines, bound: 0 })
}

/// The answer to the offer that `session` sent last: from an ACK, a PRACK or a response.
///
/// # Errors
/// The answer cannot be used: the call ends with BYE and `SIP;cause=488` after the ACK, or is as before when the
/// offer was made in a dialog that is up. `Absent` when there is no description at all.
pub fn accept(body: &[u8], content_type: &str, session: &Session) -> Result<Agreed, Refused> {
    let answer = Remote::read(body::extract(body, content_type)?.ok_or(Refused::Absent)?)?;
    let sent = session.description().ok_or(Refused::NoAudio)?;
    let (place, ours) = sent.audio().ok_or(Refused::NoAudio)?;
    // Lines beyond those of the offer are passed over.
    let line = answer.lines().nth(place).filter(|line| line.is_live_audio()).ok_or(Refused::NoAudio)?;
    let terms = Terms::of(&line, sent.local.ip(), ours.rtcp_mux)?;
    let (law, number) = first_of(line.formats(), &ours.formats).ok_or(Refused::NoCodec)?;

    let theirs = line.telephone_event().map(|(number, _)| number);
    let events = ours.events.and_then(|(own, _)| theirs.map(|theirs| (own, theirs)));
    Ok(Agreed {
        also: ours.formats.iter().copied().find(|&(other, _)| other != law),
        telephone_event: events.map(|(_, theirs)| theirs),
        telephone_event_also: events.and_then(|(own, theirs)| (own != theirs).then_some(own)),
        ..terms.agreed(law, number, terms.direction(ours.direction))
    })
}

/// The first codec of the answer that stood in the offer, under the answer's number.
fn first_of(answered: impl Iterator<Item = (u8, Coding)>, offered: &[(Law, u8)]) -> Option<(Law, u8)> {
    answered
        .filter_map(|(number, coding)| match coding {
            Coding::Audio(law) => Some((law, number)),
            Coding::Events | Coding::Other => None,
        })
        .find(|(law, _)| offered.iter().any(|(own, _)| own == law))
}
