//! One call of a caller: what is done with it, and what is known of it when it is over.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use super::Inner;
use super::desk::Ask;
use super::line::Audio;
use super::mouth::Utterance;
use super::pacer::Order;
use super::wire::SipSeen;
use crate::ids::LegId;
use crate::lab::sound::Sound;
use crate::sdp::Agreed;
use crate::sip::{Body, Command, Ended};
use crate::units::{Digit, SampleRate};

/// A key told by INFO is held so long, and the next follows so much later.
const HELD_MS: u32 = 100;
const NEXT_KEY: Duration = Duration::from_millis(170);

/// A call under way.
pub struct Call {
    pub(super) inner: Arc<Inner>,
    pub(super) leg: LegId,
    pub(super) media: SocketAddr,
    pub(super) watched: watch::Receiver<Progress>,
    pub(super) seen: Arc<Mutex<Vec<SipSeen>>>,
    pub(super) voiced: Arc<AtomicU64>,
    pub(super) asks: mpsc::Sender<Ask>,
    pub(super) keys_by_info: bool,
}

/// How far a call is.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    pub(super) agreed: Option<Agreed>,
    pub(super) trouble: Option<String>,
    pub(super) ended: Option<Ended>,
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

    /// Presses keys, one after the other, as the call was dialled: by RFC 4733, in band, or by INFO; what is no key is
    /// passed over.
    pub fn press(&self, keys: &str) -> impl Future<Output = ()> + use<> {
        let keys: Vec<Digit> = keys.chars().filter_map(Digit::from_char).collect();
        let (by_info, by_voice) = if self.keys_by_info { (keys, Vec::new()) } else { (Vec::new(), keys) };
        let told = tokio::spawn(tell(self.inner.clone(), self.leg, by_info));
        let said =
            self.utter(by_voice.into_iter().map(|key| (key.to_string(), Utterance::Key(key))).collect());
        async {
            said.await;
            drop(told.await); // a task that broke has told nothing more
        }
    }

    /// Holds the call (we go on sending, the peer does not), or resumes it, by a re-INVITE.
    ///
    /// # Errors
    /// The status it was refused with; 481 when the call is over.
    pub async fn hold(&self, hold: bool) -> Result<(), u16> {
        let (done, agreed) = oneshot::channel();
        if self.asks.send(Ask::Hold(hold, done)).await.is_err() {
            return Err(481);
        }
        agreed.await.unwrap_or(Err(481))
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

/// Tells keys by INFO (RFC 6086's legacy use).
async fn tell(inner: Arc<Inner>, leg: LegId, keys: Vec<Digit>) {
    for key in keys {
        let bytes = format!("Signal={key}\r\nDuration={HELD_MS}\r\n").into_bytes();
        let body = Body { content_type: "application/dtmf-relay".to_owned(), bytes };
        inner.command(Command::Info { leg, body }).await;
        tokio::time::sleep(NEXT_KEY).await;
    }
}
