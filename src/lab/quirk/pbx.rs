//! Whom the laboratory can play.

use std::fmt;

/// A make of PBX, SBC or proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pbx {
    /// Avaya Aura: Session Manager in front of Communication Manager, and Experience Portal.
    Avaya,
    /// Genesys: SIP Server, PureConnect, Cloud.
    Genesys,
    /// Cisco Unified Communications Manager.
    Cucm,
    /// Cisco gateways and CUBE (IOS), and phones.
    Cisco,
    /// Asterisk and FreePBX (chan_pjsip).
    Asterisk,
    /// FreeSWITCH (mod_sofia).
    Freeswitch,
    /// Ameyo; no public trace of its trunk was found, its voice server is taken for an Asterisk (chan_sip).
    Ameyo,
    /// Kamailio as a proxy and dispatcher in front of anything.
    Kamailio,
    /// Nobody in particular: what the standards let every peer do, and what peers do by accident.
    Plain,
}

impl Pbx {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Avaya,
        Self::Genesys,
        Self::Cucm,
        Self::Cisco,
        Self::Asterisk,
        Self::Freeswitch,
        Self::Ameyo,
        Self::Kamailio,
        Self::Plain,
    ];

    /// As on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Avaya => "avaya",
            Self::Genesys => "genesys",
            Self::Cucm => "cucm",
            Self::Cisco => "cisco",
            Self::Asterisk => "asterisk",
            Self::Freeswitch => "freeswitch",
            Self::Ameyo => "ameyo",
            Self::Kamailio => "kamailio",
            Self::Plain => "plain",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|pbx| pbx.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Pbx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
