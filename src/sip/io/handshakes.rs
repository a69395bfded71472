//! Whose TLS handshake is done now, and whose waits: 64 at once, and nobody who lingers over theirs keeps the others
//! waiting (reliability R-28).

use std::collections::VecDeque;
use std::net::IpAddr;

/// Handshakes at once.
pub(super) const AT_ONCE: usize = 64;

/// When a handshake begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Now.
    Now,
    /// Now, and this connection makes room for it.
    InPlaceOf(u64),
    /// When another is done.
    Later,
}

/// Those that are being done, and those that wait for them.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    /// The oldest first.
    running: Vec<Shaking>,
    waiting: VecDeque<Shaking>,
}

#[derive(Clone, Copy, Debug)]
struct Shaking {
    id: u64,
    source: IpAddr,
    /// A trunk's.
    known: bool,
}

impl Handshakes {
    /// A connection came. Those of a source that has more than its share make room; strangers make room for trunks, and
    /// never the other way round.
    pub(super) fn arrive(&mut self, id: u64, source: IpAddr, known: bool) -> Turn {
        let new = Shaking { id, source, known };
        if self.running.len() < AT_ONCE {
            self.running.push(new);
            return Turn::Now;
        }
        let Some(goes) = self.most_of(false).or_else(|| self.most_of(true)) else { return Turn::Now };
        let outranks = known && !goes.known;
        let hogs = known == goes.known && self.count(goes.source) > self.count(source) + 1;
        if !outranks && !hogs {
            self.waiting.push_back(new);
            return Turn::Later;
        }
        self.running.retain(|one| one.id != goes.id);
        self.running.push(new);
        Turn::InPlaceOf(goes.id)
    }

    /// It is done, or gone. The one that begins for it: a trunk's first, then of the source with the fewest.
    pub(super) fn done(&mut self, id: u64) -> Option<u64> {
        self.waiting.retain(|one| one.id != id);
        let before = self.running.len();
        self.running.retain(|one| one.id != id);
        if self.running.len() == before {
            return None;
        }
        let rank = |one: &Shaking| (!one.known, self.count(one.source));
        let next = self.waiting.iter().enumerate().min_by_key(|(_, one)| rank(one)).map(|(at, _)| at)?;
        let next = self.waiting.remove(next)?;
        self.running.push(next);
        Some(next.id)
    }

    /// Those that are being done.
    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    fn count(&self, source: IpAddr) -> usize {
        self.running.iter().filter(|one| one.source == source).count()
    }

    /// The oldest of the source with the most, of strangers or of trunks.
    fn most_of(&self, known: bool) -> Option<Shaking> {
        let of = self.running.iter().filter(|one| one.known == known);
        let most = of.clone().map(|one| self.count(one.source)).max()?;
        of.clone().find(|one| self.count(one.source) == most).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn a_source_that_lingers_makes_room_for_others_and_waits_for_itself() {
        let mut all = Handshakes::default();
        for id in 0..64 {
            assert_eq!(all.arrive(id, ip(1), false), Turn::Now);
        }
        assert_eq!(all.arrive(64, ip(1), false), Turn::Later);
        assert_eq!(all.arrive(65, ip(2), false), Turn::InPlaceOf(0));
        assert_eq!(all.running(), AT_ONCE);
        assert_eq!(all.done(0), None, "it made room already");
        assert_eq!(all.done(1), Some(64));
        assert_eq!(all.done(2), None);
        assert_eq!(all.running(), AT_ONCE - 1);
    }

    #[test]
    fn strangers_make_room_for_trunks_and_never_the_other_way_round() {
        let mut all = Handshakes::default();
        for id in 0..64 {
            assert_eq!(all.arrive(id, ip(id as u8), false), Turn::Now);
        }
        for id in 64..128 {
            assert_eq!(all.arrive(id, ip(200), true), Turn::InPlaceOf(id - 64));
        }
        assert_eq!(all.arrive(128, ip(201), false), Turn::Later);
        assert_eq!(all.arrive(129, ip(200), true), Turn::Later);
        assert_eq!(all.done(64), Some(129), "the trunk's begins before the stranger's");
        assert_eq!(all.done(65), Some(128));
    }

    #[test]
    fn one_that_goes_while_it_waits_is_forgotten() {
        let mut all = Handshakes::default();
        for id in 0..66 {
            all.arrive(id, ip(1), true);
        }
        assert_eq!(all.done(64), None);
        assert_eq!(all.done(0), Some(65));
    }
}
