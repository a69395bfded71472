//! Who hears whom: the only place that says so. The call states what should be true; the difference to what is
//! true is what the engine is told, so no order of events leaves a stray link.

use std::collections::BTreeSet;

use crate::flow::Track;
use crate::ids::PortId;
use crate::media::Link;

/// The ports of a call that exist in the engine now, by what they are for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// The caller's RTP.
    pub caller: Option<PortId>,
    /// The bot's stream.
    pub bot: Option<PortId>,
    /// Unidirectional streams, and what they get.
    pub forks: Vec<(PortId, Track)>,
    /// The caller has put us on hold, and the bot hears silence meanwhile; what it says runs on unheard
    /// (sip-trunk.md section 12).
    pub held: bool,
}

/// Who hears whom, as a pure function of the call's state.
pub fn wiring(ports: &Ports) -> BTreeSet<Link> {
    let mut links = BTreeSet::new();
    let mut hears = |to: Option<PortId>, from: Option<PortId>| {
        if let (Some(to), Some(from)) = (to, from) {
            links.insert(Link::plain(from, to));
        }
    };
    hears(ports.caller, ports.bot);
    let caller = ports.caller.filter(|_| !ports.held);
    hears(ports.bot, caller);
    for &(fork, track) in &ports.forks {
        if matches!(track, Track::Inbound | Track::Mixed) {
            hears(Some(fork), caller);
        }
        if matches!(track, Track::Outbound | Track::Mixed) {
            hears(Some(fork), ports.bot);
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::CallKey;

    fn port(index: u8) -> PortId {
        PortId { call: CallKey(1), index }
    }

    #[test]
    fn caller_and_bot_hear_each_other_once_both_are_there() {
        let both = Ports { caller: Some(port(0)), bot: Some(port(1)), ..Ports::default() };
        let links = wiring(&both);
        assert!(
            links.contains(&Link::plain(port(0), port(1))) && links.contains(&Link::plain(port(1), port(0)))
        );
        assert_eq!(links.len(), 2);
        assert!(wiring(&Ports { bot: None, ..both }).is_empty());
    }

    #[test]
    fn a_fork_hears_what_its_track_says_and_is_heard_by_nobody() {
        let both = Ports { caller: Some(port(0)), bot: Some(port(1)), ..Ports::default() };
        let of = |track| {
            let forked = wiring(&Ports { forks: vec![(port(2), track)], ..both.clone() });
            forked.difference(&wiring(&both)).map(|link| (link.from.index, link.to.index)).collect::<Vec<_>>()
        };
        assert_eq!(of(Track::Inbound), [(0, 2)]);
        assert_eq!(of(Track::Outbound), [(1, 2)]);
        assert_eq!(of(Track::Mixed), [(0, 2), (1, 2)]);
    }

    #[test]
    fn on_hold_the_bot_does_not_hear_the_caller() {
        let held = Ports { caller: Some(port(0)), bot: Some(port(1)), held: true, ..Ports::default() };
        assert_eq!(wiring(&held), BTreeSet::from([Link::plain(port(1), port(0))]));
    }
}
