//! What a reload changes (reliability R-111): new requests are judged by the new trunks and limits, calls that are up
//! keep the trunk they began with, and so does whoever speaks in them.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Endpoint, Hop};
use crate::ids::TrunkId;
use crate::sip::message::{Message, Method};
use crate::sip::transaction::ServerKey;
use crate::sip::{Config, Transport, Trunk};

impl Endpoint {
    /// From now on requests outside a dialog are judged by these trunks. Calls that are up keep what they began with.
    pub fn set_trunks(&mut self, trunks: Vec<Trunk>) {
        let kept = |trunk: Trunk| {
            let unchanged = self.trunks.iter().find(|old| ***old == trunk).cloned();
            unchanged.unwrap_or_else(|| Arc::new(trunk))
        };
        let new = trunks.into_iter().map(kept).collect();
        let old = std::mem::replace(&mut self.trunks, new);
        let goes = |old: &Arc<Trunk>| !self.trunks.iter().any(|new| Arc::ptr_eq(old, new));
        self.retired.extend(old.into_iter().filter(goes));
        self.retired.retain(|trunk| Arc::strong_count(trunk) > 1); // a leg has it
        self.targets.set_trunks(&self.trunks, self.seen);
    }

    /// What is new keeps to this from now on; where we are and how long timers run stays.
    pub(super) fn reload(&mut self, new: Config) {
        self.access.set_limits(&new);
        let Config { advertise, t1, .. } = std::mem::take(&mut self.config);
        let mut config = Config { advertise, t1, ..new };
        self.set_trunks(std::mem::take(&mut config.trunks));
        self.config = config;
    }

    /// Whether that address may still speak in a call that began before a reload.
    pub(super) fn is_retired(&self, transport: Transport, source: IpAddr) -> bool {
        self.retired.iter().any(|trunk| admits(trunk, transport, source))
    }

    /// The trunk a source belonged to before a reload, for what belongs to a call that is up.
    pub(super) fn retired_trunk(&self, hop: Hop, request: &Message, known: bool) -> Option<TrunkId> {
        let trunk =
            self.retired.iter().find(|trunk| admits(trunk, hop.transport, hop.remote.ip().to_canonical()))?;
        let cancels = *request.method() == Method::Cancel
            && self.transactions.serving(&ServerKey::cancelled_by(request)).is_some();
        if !known && !cancels && self.leg_of(request).is_none() {
            return None;
        }
        let place = self.trunks.iter().position(|now| now.name == trunk.name)?;
        u16::try_from(place).ok().map(TrunkId)
    }
}

fn admits(trunk: &Trunk, transport: Transport, source: IpAddr) -> bool {
    trunk.transports.contains(&transport) && trunk.peers.iter().any(|net| net.contains(&source))
}
