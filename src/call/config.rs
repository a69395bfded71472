//! What calls keep to, as meant.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

pub use crate::sip::message::header::vendor::{UuiDecode, UuiSource};

use super::admission::Limits;
use crate::flow::{AnswerMode, Flow, Reconnect};
use crate::media::{G711, LatchMode};
use crate::prompt::Prompt;
use crate::stream::{DtmfKey, UrlLimits};
use crate::{fetch, route};

/// Everything a call is given when it begins; a reload makes a new one, calls keep theirs.
#[derive(Clone, Debug)]
pub struct Config {
    /// `node.name`, for the CDR.
    pub node: String,
    /// By `TrunkId`.
    pub trunks: Vec<Trunk>,
    /// Where calls go.
    pub routes: route::Table,
    /// Address written in SDP by family, in place of the socket's own: IPv4, IPv6.
    pub advertise: Vec<IpAddr>,
    /// Every stream's settings.
    pub stream: Arc<crate::stream::Config>,
    /// By id.
    pub flows: BTreeMap<String, Flow>,
    /// Audio of the flows, by the name they give it.
    pub prompts: BTreeMap<Arc<str>, Prompt>,
    /// What every errand to a web server keeps to, and where what arrives at run time may lead.
    pub fetch: Arc<fetch::Config>,
    /// Those with settings of their own, by name.
    pub accounts: HashMap<String, AccountSettings>,
    /// What follows a bot of a route that was there and was lost.
    pub reconnect: Reconnect,
    /// Limits of the node and of the accounts.
    pub limits: Limits,
}

/// An account's own settings (`[[account]]`); its streams at once stand in `limits`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountSettings {
    /// How much a bot's URL may carry.
    pub dialect: Dialect,
    /// What keys are encrypted with, where they are.
    pub dtmf_key: Option<DtmfKey>,
}

/// How much a bot's URL may carry (agentstream.md section 3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// 25 parameters, 800 characters.
    #[default]
    Full,
    /// `"legacy"`: 3 parameters, 256 characters.
    Legacy,
}

impl Dialect {
    /// As the stream module has it.
    pub fn limits(self) -> UrlLimits {
        match self {
            Self::Full => UrlLimits::DEFAULT,
            Self::Legacy => UrlLimits::LEGACY,
        }
    }
}

impl Config {
    /// What the calls of an account keep to.
    pub fn account(&self, account: &str) -> AccountSettings {
        self.accounts.get(account).cloned().unwrap_or_default()
    }
}

/// A trunk as a call sees it (operator.md section 3.1).
#[derive(Clone, Debug)]
pub struct Trunk {
    /// In metrics, logs and CDRs.
    pub name: String,
    /// Its accounts.
    pub access: route::Access,
    /// When the 200 goes out.
    pub answer: AnswerMode,
    /// What goes out before it.
    pub ring: Ring,
    /// Ours, in our order.
    pub codecs: Vec<G711>,
    /// Our order counts instead of the offer's.
    pub local_order: bool,
    /// Who may teach us where the peer's RTP comes from.
    pub latch: LatchMode,
    /// Further networks from which RTP may be learned.
    pub media_peers: Vec<IpNet>,
    /// No RTP for so long ends the call; zero: never.
    pub media_timeout: Duration,
    /// Longest call from its answer.
    pub max_call: Duration,
    /// Calls at once.
    pub max_calls: Option<u32>,
    /// New calls a second.
    pub max_cps: Option<u32>,
    /// Header fields handed to the bot, spelled as the bot sees them behind `X-`.
    pub custom_headers: Vec<String>,
    /// Octets of each value.
    pub custom_header_max: usize,
    /// Header fields that fill `UUI`, the first present wins.
    pub uui_source: Vec<UuiSource>,
    /// How User-to-User data is given.
    pub uui_decode: UuiDecode,
    /// Believe P-Asserted-Identity.
    pub trust_identity: bool,
    /// How `from` is written.
    pub identity: Identity,
    /// Withheld numbers.
    pub privacy: Privacy,
    /// How keys are told.
    pub dtmf: Dtmf,
    /// Whether media is encrypted.
    pub srtp: Srtp,
    /// Keys of SRTP are taken over UDP and TCP too, with a warning for each call (reliability R-42).
    pub srtp_without_tls: bool,
    /// The bot hears what a holding peer sends, in place of silence.
    pub hold_passes: bool,
}

impl Trunk {
    /// A trunk with every default, of this name and account.
    pub fn new(name: impl Into<String>, account: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            access: route::Access { accounts: vec![account.into()], missing: route::MissingAccount::Default },
            answer: AnswerMode::BotReady,
            ring: Ring::Ringing,
            codecs: vec![G711::Mu, G711::A],
            local_order: false,
            latch: LatchMode::Auto,
            media_peers: Vec::new(),
            media_timeout: Duration::from_secs(60),
            max_call: Duration::from_secs(4 * 3600),
            max_calls: None,
            max_cps: None,
            custom_headers: vec!["X-UUI".to_owned(), "X-Custom-Header".to_owned()],
            custom_header_max: 45,
            uui_source: vec![UuiSource::XUui, UuiSource::UserToUser],
            uui_decode: UuiDecode::Hex,
            trust_identity: true,
            identity: Identity::SipUser,
            privacy: Privacy::Withhold,
            dtmf: Dtmf::Auto,
            srtp: Srtp::Off,
            srtp_without_tls: false,
            hold_passes: false,
        }
    }
}

/// What goes out before the 200 (`ring`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ring {
    /// Nothing.
    Nothing,
    /// 180.
    Ringing,
    /// 183 with SDP and early media.
    EarlyMedia,
}

/// How `from` is written (agentstream.md section 13.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// `sip:08061234509`.
    SipUser,
    /// `08061234509`.
    Number,
    /// `sip:08061234509@pbx.example.com`.
    Uri,
}

/// How keys are told (`dtmf`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtmf {
    /// RFC 4733, and INFO when it comes.
    Auto,
    /// RFC 4733 alone.
    Rfc4733,
    /// INFO alone: telephone-event is neither offered nor answered.
    Info,
    /// The tones in the audio are recognised; INFO and RFC 4733 as in `Auto`.
    Inband,
}

/// Whether media is encrypted (`srtp`, sip-trunk.md section 11.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Srtp {
    /// It is not.
    Off,
    /// As the offer has it; our own are plain.
    Optional,
    /// It is, or there is no call.
    Required,
}

/// Whether a withheld number reaches the bot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privacy {
    /// It does not.
    Withhold,
    /// It does.
    Pass,
}
