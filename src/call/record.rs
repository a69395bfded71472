//! The CDR in the making.

use std::time::{Duration, Instant};

use super::cdr::{Began, Cdr, Diverted, End, Media, Sip, StreamRecord, Times};
use super::ending::Ending;
use super::intake::{Admitted, Found, Parties};
use super::refusal::Denied;
use super::stage::Stream;
use super::verdict::Verdict;
use super::{Config, cdr};
use crate::flow::Track;
use crate::ids::{CallSid, PortId};
use crate::media::{RtpCounts, RtpSpec, StreamCounts};
use crate::sip::Incoming;
use crate::sip::message::header::diversion::{self, Diversion};
use crate::sip::message::header::user_to_user::{self, UserToUser};
use crate::stream::Outcome;

/// Octets of a header field's value in the record.
const MAX_TEXT: usize = 256;
/// Entries of Diversion and History-Info in the record.
const MAX_HISTORY: usize = 8;

/// What is known of a call so far.
#[derive(Debug)]
pub(super) struct Record {
    began: Began,
    cdr: Cdr,
    /// When the 200 went out.
    answer: Option<Instant>,
    /// The leg's port is closed or closing.
    pub(super) awaits_rtp: bool,
    /// What it counted.
    pub(super) rtp: Option<Box<RtpCounts>>,
    /// Streams of which nothing more will be told.
    pub(super) finished: Vec<Finished>,
    /// The CDR is out.
    pub(super) written: bool,
}

/// A stream that is over.
#[derive(Debug)]
pub(super) struct Finished {
    /// Its place among all streams of the call.
    pub(super) number: u32,
    /// What it got, where it was a fork.
    pub(super) track: Option<Track>,
    /// For metrics: the host that stands in the configuration.
    pub(super) bot: String,
    pub(super) outcome: Box<Outcome>,
    /// Whose counts are missing.
    pub(super) port: Option<PortId>,
    pub(super) counts: Option<Box<StreamCounts>>,
}

impl Record {
    pub(super) fn new(
        sid: CallSid,
        began: Began,
        node: &str,
        trunk: &str,
        admitted: &Admitted,
        parties: &Parties,
        incoming: &Incoming,
    ) -> Self {
        let mut cdr = blank(sid, began, node, trunk, parties, incoming);
        cdr.account_sid = Some(admitted.account.clone());
        cdr.route = Some(admitted.route);
        Self { began, cdr, answer: None, awaits_rtp: false, rtp: None, finished: Vec::new(), written: false }
    }

    pub(super) fn since_invite(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began.at)
    }

    /// Place of its route in the configuration, from 1.
    pub(super) fn route(&self) -> Option<usize> {
        self.cdr.route
    }

    /// Wall time of `now`, or of the call's beginning, as web servers are told.
    pub(super) fn stamp(&self, now: Option<Instant>) -> String {
        self.began.stamp(now.unwrap_or(self.began.at))
    }

    pub(super) fn ringing(&mut self, now: Instant) {
        self.cdr.times.ringing_ms = Some(self.began.ms(now));
    }

    pub(super) fn answered(&mut self, now: Instant) {
        self.answer = Some(now);
        self.cdr.times.answer_ms = Some(self.began.ms(now));
        self.cdr.sip.code = Some(200);
    }

    /// The 200 never went out.
    pub(super) fn unanswered(&mut self) {
        self.answer = None;
        self.cdr.times.answer_ms = None;
        self.cdr.sip.code = None;
    }

    pub(super) fn stream_up(&mut self, now: Instant) {
        self.cdr.times.start_ms.get_or_insert(self.began.ms(now));
    }

    pub(super) fn first_in(&mut self, now: Instant) {
        self.cdr.times.first_audio_in_ms.get_or_insert(self.began.ms(now));
    }

    pub(super) fn first_out(&mut self, now: Instant) {
        self.cdr.times.first_audio_out_ms.get_or_insert(self.began.ms(now));
    }

    /// Counts of a stream port whose session was put away before.
    pub(super) fn late_counts(&mut self, port: PortId, counts: Box<StreamCounts>) {
        let of = |finished: &&mut Finished| finished.port == Some(port) && finished.counts.is_none();
        if let Some(finished) = self.finished.iter_mut().find(of) {
            finished.counts = Some(counts);
        }
    }

    pub(super) fn close(&mut self, ending: &Ending, spec: Option<&RtpSpec>, leftover: Vec<Stream>) -> Cdr {
        self.written = true;
        self.finished.extend(leftover.into_iter().filter_map(Stream::finished));
        self.finished.sort_by_key(|finished| finished.number);
        let cdr = &mut self.cdr;
        cdr.times.end = self.began.wall(ending.at);
        cdr.times.duration_ms =
            self.answer.map_or(0, |at| cdr::millis(ending.at.saturating_duration_since(at)));
        cdr.sip.code = cdr.sip.code.or(ending.code);
        cdr.sip.reason.clone_from(&ending.reason);
        cdr.end = End { by: ending.by, cause: ending.cause, detail: ending.detail.clone() };
        cdr.media = self.rtp.as_ref().zip(spec).map(|(counts, spec)| Box::new(Media::new(spec, counts)));
        cdr.streams = self
            .finished
            .iter()
            .map(|finished| StreamRecord {
                bot: finished.bot.clone(),
                ..StreamRecord::new(&finished.outcome, finished.track, finished.counts.as_deref())
            })
            .collect();
        cdr.verdict = Verdict::of(ending.cause, cdr.media.as_deref(), &cdr.streams);
        cdr.clone()
    }
}

/// The record of a call that was refused before it began.
pub(super) fn refused(
    config: &Config,
    sid: CallSid,
    began: Began,
    parties: &Parties,
    incoming: &Incoming,
    found: Found,
    denied: &Denied,
) -> Cdr {
    let trunk = config.trunks.get(usize::from(incoming.trunk.0)).map_or("", |trunk| trunk.name.as_str());
    let mut cdr = blank(sid, began, &config.node, trunk, parties, incoming);
    let refusal = denied.refusal();
    cdr.account_sid = found.account;
    cdr.route = found.route;
    cdr.sip.code = Some(refusal.status);
    cdr.sip.reason = refusal.reason;
    cdr.end.cause = denied.cause();
    if let Denied::Sdp(why) = denied {
        cdr.end.detail = why.to_string();
    }
    cdr.verdict = Verdict::of(denied.cause(), None, &[]);
    cdr
}

/// What the INVITE says of itself and of where the call has been.
fn signalling(incoming: &Incoming) -> Sip {
    let invite = &incoming.invite;
    let text = |name| invite.header(name).map(|value| clipped(&value));
    let user_to_user = user_to_user::user_to_user(invite);
    let diverted = |of: Diversion| Diverted {
        from: clipped(&of.who.uri.user_part()),
        reason: of.reason.map(|why| clipped(&why)),
    };
    Sip {
        call_id: invite.call_id().to_string(),
        peer: incoming.remote.to_string(),
        transport: incoming.transport.as_str(),
        user_agent: text("User-Agent"),
        uui: text("X-UUI").or_else(|| text("User-to-User")),
        ucid: user_to_user.iter().find_map(UserToUser::ucid),
        genesys_call_uuid: text("X-Genesys-CallUUID"),
        diversion: diversion::diversions(invite).into_iter().take(MAX_HISTORY).map(diverted).collect(),
        history: diversion::history(invite)
            .into_iter()
            .take(MAX_HISTORY)
            .map(|entry| clipped(entry.uri.as_str()))
            .collect(),
        code: None,
        reason: None,
    }
}

/// What others wrote stands in the record to this length, without control characters.
fn clipped(text: &str) -> String {
    let end = (0..=text.len().min(MAX_TEXT)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text[..end].chars().filter(|c| !c.is_control()).collect()
}

fn blank(sid: CallSid, began: Began, node: &str, trunk: &str, parties: &Parties, incoming: &Incoming) -> Cdr {
    let wall = began.wall(began.at);
    Cdr {
        version: 1,
        call_sid: sid,
        node: node.to_owned(),
        direction: "inbound",
        trunk: trunk.to_owned(),
        route: None,
        account_sid: None,
        from: parties.from.clone(),
        to: parties.to.clone(),
        custom_headers: parties.custom.iter().cloned().collect(),
        sip: signalling(incoming),
        times: Times {
            invite: wall.clone(),
            ringing_ms: None,
            answer_ms: None,
            start_ms: None,
            first_audio_in_ms: None,
            first_audio_out_ms: None,
            end: wall,
            duration_ms: 0,
        },
        end: End { by: cdr::By::Streamkit, cause: "", detail: String::new() },
        media: None,
        streams: Vec::new(),
        verdict: Verdict::of("", None, &[]),
    }
}
