//! Judges an INVITE before a call exists: account, route, session description, limits (sip-trunk.md section 4,
//! steps 10 to 14). Refusing takes no port, opens no stream and starts no task (reliability R-102).

use std::sync::Arc;
use std::time::Instant;

use super::admission::{Admission, CallPermit};
use super::cdr::{Began, Cdr};
use super::refusal::Denied;
use super::{Beginning, Config, Identity, Privacy, Trunk, offer, record};
use crate::flow::Program;
use crate::ids::{CallSid, Entropy, TrunkId};
use crate::route::{Asked, Target};
use crate::sdp;
use crate::sip::message::Message;
use crate::sip::message::header::{identity, session_expires, vendor};
use crate::sip::{self, Incoming};

/// Who calls whom, and what they brought with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parties {
    /// As `start.from` says it.
    pub from: String,
    /// The caller's number alone; empty when withheld.
    pub number: String,
    /// The number dialled.
    pub to: String,
    /// Headers for the bot: name and value.
    pub custom: Vec<(String, String)>,
}

/// A call that is let in.
#[derive(Debug)]
pub struct Admitted {
    /// Its account.
    pub account: String,
    /// Place of its route, from 1.
    pub route: usize,
    /// What comes next.
    pub program: Arc<Program>,
    /// The caller's offer, if the INVITE had one.
    pub offer: Option<Box<sdp::Offer>>,
    /// Given back when the call is over.
    pub permit: CallPermit,
}

/// Judges an INVITE that came; a call is begun of it with `Call::inbound`.
///
/// # Errors
/// Its record and the refusal that is to be sent, when it is not served.
pub fn receive(
    config: Arc<Config>,
    admission: &Admission,
    began: Began,
    (sid, entropy): (CallSid, Entropy),
    incoming: Box<Incoming>,
) -> Result<Beginning, Box<(Cdr, sip::Command)>> {
    let parties = match config.trunks.get(usize::from(incoming.trunk.0)) {
        Some(trunk) => parties(trunk, &incoming.invite),
        None => Parties::default(),
    };
    let mut found = Found::default();
    match judge(&config, admission, began.at, &incoming, &parties, &mut found) {
        Ok(admitted) => {
            let admission = admission.clone();
            Ok(Beginning { sid, began, config, admission, entropy, incoming, parties, admitted })
        }
        Err(denied) => {
            let cdr = record::refused(&config, sid, began, &parties, &incoming, found, &denied);
            let reject = sip::Command::Reject { leg: incoming.leg, refusal: denied.refusal() };
            Err(Box::new((cdr, reject)))
        }
    }
}

/// Who calls whom.
fn parties(trunk: &Trunk, invite: &Message) -> Parties {
    let caller = identity::caller(invite, trunk.trust_identity);
    let told = match trunk.privacy {
        Privacy::Withhold => caller.user,
        Privacy::Pass => Some(caller.asserted).filter(|user| !user.is_empty()),
    };
    let number = told.unwrap_or_default();
    let from = match trunk.identity {
        _ if number.is_empty() => "sip:anonymous".to_owned(),
        Identity::SipUser => format!("sip:{number}"),
        Identity::Number => number.clone(),
        Identity::Uri => format!("sip:{number}@{}", caller.uri.host()),
    };
    let custom = vendor::custom_headers(
        invite,
        &trunk.custom_headers,
        trunk.custom_header_max,
        &trunk.uui_source,
        trunk.uui_decode,
    );
    Parties { from, number, to: identity::dialled(invite), custom }
}

/// Whether the call is served, and how; what was found of its account and route is told either way.
fn judge(
    config: &Config,
    admission: &Admission,
    now: Instant,
    incoming: &Incoming,
    parties: &Parties,
    found: &mut Found,
) -> Result<Admitted, Denied> {
    let trunk = config.trunks.get(usize::from(incoming.trunk.0)).ok_or(Denied::Internal)?;
    let named = vendor::account_sid(&incoming.invite).map_err(|_| Denied::AccountIllFormed)?;
    let account = trunk.access.account(named.as_deref()).map_err(Denied::Account)?;
    found.account = Some(account.to_owned());
    let program = find_route(config, incoming.trunk, account, &incoming.invite, parties, found)?;
    let offer = readable(incoming, trunk)?;
    if session_expires::interval_too_small(&incoming.invite) {
        return Err(Denied::Interval);
    }
    let permit = admission.call(now, incoming.trunk).map_err(Denied::Full)?;
    let (account, route) = (account.to_owned(), found.route.unwrap_or_default());
    Ok(Admitted { account, route, program, offer: offer.map(Box::new), permit })
}

/// What was found before the judgement, for the record of a refused call.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// The account.
    pub(super) account: Option<String>,
    /// The route's place, from 1.
    pub(super) route: Option<usize>,
}

fn find_route(
    config: &Config,
    trunk: TrunkId,
    account: &str,
    invite: &Message,
    parties: &Parties,
    found: &mut Found,
) -> Result<Arc<Program>, Denied> {
    let header = |name: &str| invite.header(name).map(|value| value.into_owned());
    let asked = Asked { trunk, to: &parties.to, from: &parties.number, account, header: &header };
    let (place, route) = config.routes.find(&asked).ok_or(Denied::NoRoute)?;
    found.route = Some(place);
    match &route.target {
        Target::Bot(urls) => Ok(Arc::new(Program::voicebot(urls.clone(), config.reconnect))),
        Target::Reject(status) => Err(Denied::Route(*status)),
        // the configuration lets no route name a flow there is not
        Target::Flow(id) => config.flows.get(id).map(|flow| flow.program.clone()).ok_or(Denied::Internal),
    }
}

/// Whether an answer to the offer exists at all; our address in it does not matter yet, but for its family. No offer
/// is no fault.
fn readable(incoming: &Incoming, trunk: &Trunk) -> Result<Option<sdp::Offer>, Denied> {
    let (body, kind) = (incoming.invite.body(), incoming.invite.header("Content-Type"));
    if body.is_empty() {
        let encryption = offer::encryption(trunk, incoming.transport);
        return match encryption {
            sdp::Srtp::Unsafe => Err(Denied::Sdp(sdp::Refused::Unsafe)),
            _ => Ok(None),
        };
    }
    let offer = sdp::Offer::read(body, kind.as_deref().unwrap_or_default()).map_err(Denied::Sdp)?;
    let there = offer.media_addresses(offer::encryption(trunk, incoming.transport)).map_err(Denied::Sdp)?;
    let peer = there.first().copied().unwrap_or(incoming.remote.ip());
    let wish = offer::wish(trunk, incoming.transport, (peer, 9).into());
    offer.answer(&wish, &sdp::Session::new(1)).map_err(Denied::Sdp)?;
    Ok(Some(offer))
}
