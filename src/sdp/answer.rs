//! The answer to an offer (RFC 3264 §6, sip-trunk.md section 10).

use std::net::IpAddr;

use super::codec::Coding;
use super::describe::{Audio, Description, OwnLine};
use super::read::{Line, Remote};
use super::terms::{Terms, reachable};
use super::{Agreed, Law, Order, Refused, Wish, body};

/// An offer that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// What the audio port is to do.
    pub media: Agreed,
    /// What is answered: [`super::Session::render`] writes it.
    pub sdp: Description,
}

/// Answers the offer in `body`: the first usable audio line is taken, every other line is answered in its place
/// with port 0. The same for an INVITE, a re-INVITE and an UPDATE; what changed (hold, resume, address, codec) is
/// what differs in `media`.
///
/// # Errors
/// What to refuse with; in a dialog nothing has changed then. `Absent` means that an offer of ours is wanted:
/// [`body::extract`] tells it beforehand.
pub fn answer(body: &[u8], content_type: &str, wish: &Wish) -> Result<Answered, Refused> {
    let offer = read(body, content_type)?;
    let (place, line, terms, (law, number)) = first_usable(&offer, |line| {
        let terms = Terms::of(line, wish.local.ip(), true)?;
        let codec = choose(line, &wish.codecs, wish.order).ok_or(Refused::NoCodec)?;
        Ok((terms, codec))
    })
    .map(|(place, line, (terms, codec))| (place, line, terms, codec))?;

    let direction = terms.direction(wish.direction);
    let events = line.telephone_event().filter(|_| wish.telephone_event);
    let media =
        Agreed { telephone_event: events.map(|(number, _)| number), ..terms.agreed(law, number, direction) };
    let audio = Audio {
        formats: vec![(law, number)],
        events,
        ptime_ms: media.ptime_ms,
        direction,
        rtcp_mux: media.rtcp_mux,
    };
    let mut lines: Vec<OwnLine> = offer.lines().map(|line| off(&line)).collect();
    if let Some(taken) = lines.get_mut(place) {
        *taken = OwnLine::Audio(audio);
    }
    Ok(Answered { media, sdp: Description { local: wish.local, lines, bound: bound(&line) } })
}

/// The addresses the peer wants audio at, in the order of its offer, so that one of ours can be chosen before a
/// port is taken. `0.0.0.0` or `::` when it begins on hold: then only the family counts.
///
/// # Errors
/// As [`answer`], for offers that no local address or order of codecs could save.
pub fn media_addresses(body: &[u8], content_type: &str) -> Result<Vec<IpAddr>, Refused> {
    let offer = read(body, content_type)?;
    let usable = |line: &Line<'_>| {
        let ip = reachable(line)?;
        choose(line, &[Law::Mu, Law::A], Order::Offer).map(|_| ip).ok_or(Refused::NoCodec)
    };
    first_usable(&offer, usable)?;
    Ok(offer.lines().filter(Line::is_live_audio).filter_map(|line| usable(&line).ok()).collect())
}

fn read(body: &[u8], content_type: &str) -> Result<Remote, Refused> {
    Remote::read(body::extract(body, content_type)?.ok_or(Refused::Absent)?)
}

/// The first audio line that passes, its place, and what it came to; or why the first of them did not.
fn first_usable<T>(
    offer: &Remote,
    judge: impl Fn(&Line<'_>) -> Result<T, Refused>,
) -> Result<(usize, Line<'_>, T), Refused> {
    let mut refusal = None;
    for (place, line) in offer.lines().enumerate().filter(|(_, line)| line.is_live_audio()) {
        match judge(&line) {
            Ok(found) => return Ok((place, line, found)),
            Err(why) => refusal = refusal.or(Some(why)),
        }
    }
    Err(refusal.unwrap_or(Refused::NoAudio))
}

/// One codec of ours and the number the offer gives it.
fn choose(line: &Line<'_>, ours: &[Law], order: Order) -> Option<(Law, u8)> {
    let mut offered = line.formats().filter_map(|(number, coding)| match coding {
        Coding::Audio(law) if ours.contains(&law) => Some((law, number)),
        Coding::Audio(_) | Coding::Events | Coding::Other => None,
    });
    match order {
        Order::Offer => offered.next(),
        // Of one law under two numbers the first still counts.
        Order::Local => offered.min_by_key(|(law, _)| ours.iter().position(|own| own == law)),
    }
}

fn off(line: &Line<'_>) -> OwnLine {
    let media = line.media;
    OwnLine::Off { media: media.media.clone(), proto: media.proto.clone(), formats: media.fmt.clone() }
}

/// Dynamic numbers that mean something else than telephone-event, a bit each.
fn bound(line: &Line<'_>) -> u128 {
    let others = line.formats().filter(|&(number, coding)| number >= 96 && coding != Coding::Events);
    others.fold(0, |bits, (number, _)| bits | 1 << number)
}
