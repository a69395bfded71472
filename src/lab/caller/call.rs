//! One call of a caller: what is done with it, and what is known of it when it is over.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use super::mouth::{Terms, Utterance};
use super::pacer::{Audio, Order};
use super::wire::SipSeen;
use super::{Inner, MediaVia};
use crate::audio::G711;
use crate::ids::LegId;
use crate::lab::sound::Sound;
use crate::sdp::{self, Agreed, Law, Session, Wish};
use crate::sip::{Body, Command, Ended, Event, Refusal};
use crate::units::{Digit, SampleRate};

/// A call under way.
pub struct Call {
    pub(super) inner: Arc<Inner>,
    pub(super) leg: LegId,
    pub(super) media: SocketAddr,
    pub(super) watched: watch::Receiver<Progress>,
    pub(super) seen: Arc<Mutex<Vec<SipSeen>>>,
    pub(super) voiced: Arc<AtomicU64>,
}

/// How far a call is.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    agreed: Option<Agreed>,
    trouble: Option<String>,
    ended: Option<Ended>,
}

/// A call that is over.
#[derive(Debug)]
pub struct Record {
    /// When what happened.
    pub times: Times,
    /// How it ended; absent if it had to be given up without an end.
    pub ended: Option<Ended>,
    /// What was agreed on, if it was answered.
    pub agreed: Option<Agreed>,
    /// What could not be used of the peer's descriptions.
    pub trouble: Option<String>,
    /// Every SIP message of the call.
    pub sip: Vec<SipSeen>,
    /// What was said and heard.
    pub audio: Audio,
}

/// When what happened on the wire; absent: it did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// INVITE sent, the first time.
    pub invite: Option<Instant>,
    /// 100 came.
    pub trying: Option<Instant>,
    /// 180 or 183 came.
    pub ringing: Option<Instant>,
    /// 200 came.
    pub answered: Option<Instant>,
    /// ACK sent.
    pub acknowledged: Option<Instant>,
    /// BYE sent or received.
    pub bye: Option<Instant>,
    /// It was ours.
    pub bye_by_us: bool,
    /// The final answer to our BYE came, or to theirs went.
    pub over: Option<Instant>,
}

impl Times {
    /// As seen in the messages of a call.
    pub fn of(seen: &[SipSeen]) -> Self {
        let first = |sent: bool, line: &str| seen.iter().find(|s| s.sent == sent && s.line.starts_with(line));
        let at = |sent, line| first(sent, line).map(|s| s.at);
        let bye = seen.iter().find(|s| s.line.starts_with("BYE "));
        let after = |s: &&SipSeen| bye.is_some_and(|bye| s.at >= bye.at) && s.line.starts_with("SIP/2.0 200");
        Self {
            invite: at(true, "INVITE "),
            trying: at(false, "SIP/2.0 100"),
            ringing: at(false, "SIP/2.0 18"),
            answered: at(false, "SIP/2.0 200"),
            acknowledged: at(true, "ACK "),
            bye: bye.map(|s| s.at),
            bye_by_us: bye.is_some_and(|s| s.sent),
            over: seen.iter().rfind(after).map(|s| s.at),
        }
    }
}

impl Call {
    /// Our address for RTP.
    pub fn media(&self) -> SocketAddr {
        self.media
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// How it ended instead.
    pub async fn answered(&self) -> Result<Agreed, Ended> {
        let mut watched = self.watched.clone();
        let decided = watched.wait_for(|p| p.agreed.is_some() || p.ended.is_some()).await;
        let progress = decided.map(|p| p.clone()).unwrap_or_default();
        match (progress.agreed, progress.ended) {
            (Some(agreed), _) => Ok(agreed),
            (None, ended) => Err(ended.unwrap_or(Ended::Lost)),
        }
    }

    /// Waits until it is over.
    pub async fn ended(&self) -> Ended {
        let mut watched = self.watched.clone();
        let over = watched.wait_for(|p| p.ended.is_some()).await;
        over.ok().and_then(|p| p.ended.clone()).unwrap_or(Ended::Lost)
    }

    /// Says a recording after what is being said; done when it has been said, or hushed. Not waiting for it is
    /// fine too: `drop(call.say(..))`.
    pub fn say(&self, name: &str, sound: &Sound) -> impl Future<Output = ()> + use<> {
        let samples = sound.at(SampleRate::Hz8000).samples;
        self.utter(vec![(name.to_owned(), Utterance::Speech(samples))])
    }

    /// Presses keys, one after the other; what is no key is passed over.
    pub fn press(&self, keys: &str) -> impl Future<Output = ()> + use<> {
        let keys = keys.chars().filter_map(Digit::from_char);
        self.utter(keys.map(|key| (key.to_string(), Utterance::Key(key))).collect())
    }

    fn utter(&self, utterances: Vec<(String, Utterance)>) -> impl Future<Output = ()> + use<> {
        let last = utterances.len().saturating_sub(1);
        let (done, said) = oneshot::channel();
        let mut done = Some(done);
        for (n, (name, what)) in utterances.into_iter().enumerate() {
            let done = if n == last { done.take() } else { None };
            self.inner.pacer.order(Order::Say(self.leg.0, name, what, done));
        }
        drop(done); // nothing to say is said
        async { drop(said.await) }
    }

    /// Stops speaking at once.
    pub fn hush(&self) {
        self.inner.pacer.order(Order::Hush(self.leg.0));
    }

    /// Sends no RTP at all while `silent`.
    pub fn silence(&self, silent: bool) {
        self.inner.pacer.order(Order::Silence(self.leg.0, silent));
    }

    /// Packets heard so far that were more than silence.
    pub fn voiced(&self) -> u64 {
        self.voiced.load(Relaxed)
    }

    /// Waits until so many further packets were heard that are more than silence, or the call is over.
    pub async fn until_voiced(&self, packets: u64) {
        let enough = self.voiced() + packets;
        while self.voiced() < enough && self.watched.borrow().ended.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Hangs up: BYE, or CANCEL before the answer.
    pub async fn hang_up(&self) {
        let reason = Some("Q.850;cause=16".to_owned());
        self.inner.command(Command::Hangup { leg: self.leg, reason }).await;
    }

    /// Hangs up if it is not over, and gives what is known of the call. Takes up to 33 s when the peer is gone.
    pub async fn finish(self) -> Record {
        if self.watched.borrow().ended.is_none() {
            self.hang_up().await;
            drop(tokio::time::timeout(Duration::from_secs(33), self.ended()).await);
        }
        let (reply, audio) = oneshot::channel();
        self.inner.pacer.order(Order::Close(self.leg.0, reply));
        let audio = audio.await.unwrap_or_default();
        let sip = std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        let Progress { agreed, trouble, ended, .. } = self.watched.borrow().clone();
        Record { times: Times::of(&sip), ended, agreed, trouble, sip, audio }
    }
}

/// The task of one call: answers what signalling tells of it.
pub(super) struct Desk {
    pub(super) inner: Arc<Inner>,
    pub(super) leg: LegId,
    pub(super) wish: Wish,
    pub(super) session: Session,
    pub(super) media_via: Option<MediaVia>,
    pub(super) progress: watch::Sender<Progress>,
}

impl Desk {
    pub(super) async fn attend(mut self, mut events: mpsc::Receiver<Event>) {
        while let Some(event) = events.recv().await {
            match event {
                Event::Answered { body, .. } => self.answered(body).await,
                Event::Reoffer { body, .. } => self.reoffered(body).await,
                Event::Ended { how, .. } => {
                    self.progress.send_modify(|p| p.ended = Some(how));
                    return;
                }
                Event::Incoming(_)
                | Event::Progress { .. }
                | Event::Confirmed { .. }
                | Event::Acknowledged { .. }
                | Event::Modified { .. }
                | Event::Digit { .. } => {}
            }
        }
        self.progress.send_modify(|p| p.ended = Some(Ended::Lost));
    }

    async fn answered(&mut self, body: Option<Body>) {
        let body = body.unwrap_or_else(|| Body::sdp(""));
        match sdp::accept(&body.bytes, &body.content_type, &mut self.session) {
            Ok(agreed) => self.agree(agreed),
            Err(refused) => {
                self.progress.send_modify(|p| p.trouble = Some(format!("answer: {refused}")));
                let reason = Some("SIP;cause=488".to_owned());
                self.inner.command(Command::Hangup { leg: self.leg, reason }).await;
            }
        }
    }

    async fn reoffered(&mut self, body: Option<Body>) {
        let leg = self.leg;
        let Some(offer) = body else {
            let body = Some(Body::sdp(sdp::offer(&mut self.session, &self.wish)));
            return self.inner.command(Command::Accept { leg, body }).await;
        };
        match sdp::answer(&offer.bytes, &offer.content_type, &self.wish, &self.session) {
            Ok(answered) => {
                let body = Some(Body::sdp(self.session.render(&answered.sdp)));
                self.inner.command(Command::Accept { leg, body }).await;
                self.agree(answered.media);
            }
            Err(refused) => {
                self.progress.send_modify(|p| p.trouble = Some(format!("offer: {refused}")));
                let refusal = Refusal { status: 488, reason: None, retry_after: None, warning: None };
                self.inner.command(Command::Reject { leg, refusal }).await;
            }
        }
    }

    fn agree(&mut self, agreed: Agreed) {
        let law = match agreed.law {
            Law::Mu => G711::Mu,
            Law::A => G711::A,
        };
        let terms = Terms {
            law,
            payload_type: agreed.payload_type,
            telephone_event: agreed.telephone_event,
            ptime_ms: agreed.ptime_ms,
        };
        let to = self.media_via.map(|via| via.near).or(agreed.target());
        self.inner.pacer.order(Order::Agree(self.leg.0, terms, to));
        self.inner.pacer.order(Order::Silence(self.leg.0, !agreed.send));
        self.progress.send_modify(|p| p.agreed = Some(agreed));
    }
}
