//! Who hears whom: the only place that says so. The call states what should be true; the difference to what is
//! true is what the engine is told, so no order of events leaves a stray link.

use std::collections::BTreeSet;

use crate::ids::PortId;
use crate::media::Link;

/// The ports of a call that exist in the engine now, by what they are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// The caller's RTP.
    pub caller: Option<PortId>,
    /// The bot's stream.
    pub bot: Option<PortId>,
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
    if !ports.held {
        hears(ports.bot, ports.caller);
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
        let both = Ports { caller: Some(port(0)), bot: Some(port(1)), held: false };
        let links = wiring(&both);
        assert!(
            links.contains(&Link::plain(port(0), port(1))) && links.contains(&Link::plain(port(1), port(0)))
        );
        assert_eq!(links.len(), 2);
        assert!(wiring(&Ports { bot: None, ..both }).is_empty());
    }

    #[test]
    fn on_hold_the_bot_does_not_hear_the_caller() {
        let held = Ports { caller: Some(port(0)), bot: Some(port(1)), held: true };
        assert_eq!(wiring(&held), BTreeSet::from([Link::plain(port(1), port(0))]));
    }
}
