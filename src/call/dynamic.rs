//! A bot that must first be asked for (agentstream.md section 3.3): what is asked, what the answer leads to, and giving
//! it up. The stream has its name from here on; its port and its session begin with the answer.

use std::sync::Arc;
use std::time::Instant;

use super::admission::StreamPermit;
use super::breaker::Try;
use super::opening::{Wanted, failed};
use super::stage::{Line, Role};
use super::{Call, Output};
use crate::fetch::{Errand, Failure, HttpUrl};
use crate::ids::StreamSid;
use crate::media::{self, Spec, StreamSpec};
use crate::route::Target;
use crate::stream::outcome::End;
use crate::stream::{self, Baton, BotUrl, Disposition, Egress, Left, Outcome, Stop, StreamError, dynamic};
use crate::telemetry::metrics;
use crate::units::SampleRate;

/// A stream whose URL is being fetched.
#[derive(Debug)]
pub(super) struct Asking {
    wanted: Wanted,
    permit: Arc<StreamPermit>,
}

impl Call {
    /// Asks for the bot of a stream that is on stage.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        sid: StreamSid,
        web: &HttpUrl,
        wanted: Wanted,
        permit: Arc<StreamPermit>,
    ) {
        let parameters = self.parameters(now);
        let pairs: Vec<(&str, &str)> =
            parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let url = match web.with(&pairs) {
            Ok(url) => url,
            Err(why) => return self.unanswered(now, sid, StreamError::Fetch(why.to_owned())),
        };
        let egress = wanted.egress.clone();
        let muted = self.mutes(&wanted.settings);
        let Some(stream) = self.stage.stream(sid) else { return };
        stream.asking = Some(Asking { wanted, permit });
        let caller = (stream.role == Role::Bot).then(|| self.listen(muted)).flatten();
        let config = Arc::clone(&self.config.fetch);
        self.outputs.push_back(Output::Fetch(sid, Box::new(Errand { url, egress, config }), caller));
    }

    /// What a caller who is answered says while his bot is being asked for is kept for it: by the line that a bot before
    /// left, or by one at the call's own rate, until the bot's is known.
    fn listen(&mut self, muted: bool) -> Option<Baton> {
        if !self.leg.is_answered() {
            return None;
        }
        if self.stage.left.is_none() {
            let (rate, prebuffer) = (SampleRate::Hz8000, self.config.stream.playout_prebuffer);
            let (port, end) = media::pair(StreamSpec { rate, prebuffer });
            let port = if muted { port.without_key_tones() } else { port };
            let line = Line { port: self.free_port(), rate, muted, baton: Baton::default() };
            line.baton.pass(Left { end, kept: Vec::new() });
            self.outputs.push_back(Output::Media(media::Command::Open(line.port, Spec::Stream(port))));
            self.stage.left = Some(line);
            self.rewire();
        }
        self.stage.left.as_ref().map(|line| line.baton.clone())
    }

    /// What the web server is told of the call.
    fn parameters(&self, now: Instant) -> Vec<(&'static str, String)> {
        let number = match self.parties.number.as_str() {
            "" => "anonymous",
            number => number,
        };
        let (created, current) = (self.record.stamp(None), self.record.stamp(Some(now)));
        let mut all = vec![
            ("CallSid", self.sid.to_string()),
            ("CallFrom", number.to_owned()),
            ("CallTo", self.parties.to.clone()),
            ("Direction", "inbound".to_owned()),
            ("Created", created),
            ("From", number.to_owned()),
            ("To", self.parties.to.clone()),
            ("CurrentTime", current),
        ];
        all.extend(self.flow_id().map(|id| ("flow_id", id)));
        if !self.parties.custom.is_empty() {
            let headers = self.parties.custom.iter();
            let headers: serde_json::Map<_, _> =
                headers.map(|(name, value)| (name.clone(), value.as_str().into())).collect();
            all.push(("SIPCustomHeader", serde_json::Value::Object(headers).to_string()));
        }
        all
    }

    /// The flow the call's route names.
    fn flow_id(&self) -> Option<String> {
        let place = self.record.route()?.checked_sub(1)?;
        match &self.config.routes.routes.get(place)?.target {
            Target::Flow(id) => Some(id.clone()),
            Target::Bot(_) | Target::Reject(_) => None,
        }
    }

    /// The web server's answer, or why there is none.
    pub(super) fn fetched(&mut self, now: Instant, sid: StreamSid, fetched: Result<Vec<u8>, Failure>) {
        let Some(Asking { wanted, permit }) = self.stage.stream(sid).and_then(|stream| stream.asking.take())
        else {
            return; // it was given up
        };
        let limits = self.config.account(&self.account).dialect.limits();
        let answer = match fetched {
            Ok(body) => dynamic::answered(&body, limits),
            Err(failure) => return self.unanswered(now, sid, StreamError::Fetch(failure.to_string())),
        };
        match answer {
            Ok(url) => self.found(sid, url, &wanted, permit),
            Err((error, cause)) => {
                tracing::warn!(call = %self.sid, stream = %sid, cause, %error, "no bot in the answer");
                metrics::fetched_answer(cause);
                self.unanswered(now, sid, error);
            }
        }
    }

    fn found(&mut self, sid: StreamSid, url: BotUrl, wanted: &Wanted, permit: Arc<StreamPermit>) {
        if url.odd_rate() {
            tracing::warn!(
                call = %self.sid, stream = %sid, cause = "sample_rate", url = %url, "a sample rate we have not: 8000 it is"
            );
            metrics::fetched_answer("sample_rate");
        }
        let egress = Egress::RunTime(Arc::clone(&self.config.fetch.allow));
        self.begin(sid, url, egress, wanted, permit);
    }

    /// There is no bot to connect to: the breaker of the web server's URL hears of it.
    fn unanswered(&mut self, now: Instant, sid: StreamSid, error: StreamError) {
        self.tried(now, sid, Try::Failed);
        let outcome = failed(Some(sid), Disposition::BadUrl, error);
        counted(&outcome);
        self.stream_ended(now, sid, outcome);
    }

    /// The call, or its flow, ends a stream; one that is still being asked for is over with that, and is left for
    /// `put_away`.
    pub(super) fn stop_stream(&mut self, now: Instant, sid: StreamSid, stop: Stop) {
        let Some(stream) = self.stage.stream(sid) else { return };
        if stream.asking.take().is_none() {
            return self.outputs.push_back(Output::Stream(sid, stream::Command::Stop(stop)));
        }
        let verdict = End::GivenUp(stop).verdict();
        let outcome = Outcome {
            status: verdict.status,
            disconnected_by: verdict.by,
            error: None,
            ..failed(Some(sid), verdict.disposition, StreamError::Internal)
        };
        counted(&outcome);
        stream.outcome = Some(Box::new(outcome));
        self.outputs.push_back(Output::Unfetch(sid));
        self.tried(now, sid, Try::GivenUp);
    }
}

/// Counts a stream that never had a session; the others count themselves.
pub(super) fn counted(outcome: &Outcome) {
    let (status, by) = (outcome.status.as_str(), outcome.disconnected_by.as_str());
    metrics::stream_outcome(status, by, outcome.disposition.as_str());
}
