//! The task of one call: answers what signalling tells of it, and asks signalling for what its owner wants.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::call::Progress;
use super::line::Agreement;
use super::mouth::Terms;
use super::pacer::Order;
use super::{Inner, MediaVia};
use crate::audio::G711;
use crate::ids::LegId;
use crate::sdp::{self, Agreed, Direction, Law, Session, Wish};
use crate::sip::{Body, Command, Ended, Event, Refusal};

/// What its owner wants of a call.
pub(super) enum Ask {
    /// Hold, or resume; whether the peer agreed.
    Hold(bool, oneshot::Sender<Result<(), u16>>),
}

/// The task of one call.
pub(super) struct Desk {
    pub(super) inner: Arc<Inner>,
    pub(super) leg: LegId,
    pub(super) wish: Wish,
    pub(super) session: Session,
    pub(super) media_via: Option<MediaVia>,
    /// a=ptime of our descriptions, in place of 20.
    pub(super) ptime: Option<u8>,
    /// The answer to our INVITE is an offer.
    pub(super) late: bool,
    /// An offer of ours is out, and its answer comes with the ACK.
    pub(super) offered: bool,
    /// Who waits for the end of a change of ours, and which direction it gives back when it is refused.
    pub(super) changing: Option<(Direction, oneshot::Sender<Result<(), u16>>)>,
    pub(super) progress: watch::Sender<Progress>,
}

impl Desk {
    pub(super) async fn attend(mut self, mut events: mpsc::Receiver<Event>, mut asks: mpsc::Receiver<Ask>) {
        loop {
            let event = tokio::select! {
                event = events.recv() => event,
                Some(ask) = asks.recv() => {
                    self.asked(ask).await;
                    continue;
                }
            };
            match event {
                Some(Event::Ended { how, .. }) => return self.progress.send_modify(|p| p.ended = Some(how)),
                Some(event) => self.told(event).await,
                None => return self.progress.send_modify(|p| p.ended = Some(Ended::Lost)),
            }
        }
    }

    async fn told(&mut self, event: Event) {
        match event {
            Event::Answered { body, .. } if self.late => self.offered_late(body).await,
            Event::Answered { body, .. } => self.answered(body).await,
            Event::Reoffer { body, .. } => self.reoffered(body).await,
            Event::Modified { result, .. } => self.changed(result),
            Event::Confirmed { body, .. } if std::mem::take(&mut self.offered) => {
                self.accept(body, "answer in ACK");
            }
            Event::Incoming(_)
            | Event::Progress { .. }
            | Event::Confirmed { .. }
            | Event::Acknowledged { .. }
            | Event::Digit { .. }
            | Event::Ended { .. } => {}
        }
    }

    async fn asked(&mut self, ask: Ask) {
        let Ask::Hold(hold, done) = ask;
        if self.changing.is_some() {
            let _ = done.send(Err(491)); // one change at a time; who asked may have gone
            return;
        }
        let before = self.wish.direction;
        self.wish.direction = if hold { Direction::SendOnly } else { Direction::SendRecv };
        self.changing = Some((before, done));
        let body = Some(self.offer());
        self.inner.command(Command::Modify { leg: self.leg, update: false, body }).await;
    }

    fn changed(&mut self, result: Result<Option<Body>, u16>) {
        let changing = self.changing.take();
        match (result, changing) {
            (Ok(body), changing) => {
                if body.is_some() {
                    self.accept(body, "answer");
                }
                let _ = changing.map(|(_, done)| done.send(Ok(()))); // who asked may have gone
            }
            (Err(status), Some((before, done))) => {
                self.wish.direction = before;
                let _ = done.send(Err(status)); // who asked may have gone
            }
            (Err(_), None) => {}
        }
    }

    /// An offer of all we can do now.
    pub(super) fn offer(&mut self) -> Body {
        self.wish.secret = self.inner.secret();
        let text = sdp::offer(&mut self.session, &self.wish);
        self.described(text)
    }

    /// sdp writes 20; what the peer answers decides what is sent.
    fn described(&self, text: String) -> Body {
        Body::sdp(match self.ptime {
            Some(ptime) => text.replace("a=ptime:20\r\n", &format!("a=ptime:{ptime}\r\n")),
            None => text,
        })
    }

    async fn answered(&mut self, body: Option<Body>) {
        self.accept(body, "answer");
        if self.progress.borrow().agreed.is_none() {
            let reason = Some("SIP;cause=488".to_owned());
            self.inner.command(Command::Hangup { leg: self.leg, reason }).await;
        }
    }

    /// The 2xx to our INVITE without SDP: an offer, whose answer goes with the ACK.
    async fn offered_late(&mut self, body: Option<Body>) {
        self.late = false;
        let offer = body.unwrap_or_else(|| Body::sdp(""));
        self.wish.secret = self.inner.secret();
        let leg = self.leg;
        match sdp::answer(&offer.bytes, &offer.content_type, &self.wish, &self.session) {
            Ok(answered) => {
                let text = self.session.render(&answered.sdp);
                let body = Some(self.described(text));
                self.inner.command(Command::Acknowledge { leg, body }).await;
                self.agree(answered.media);
            }
            Err(refused) => {
                self.trouble(format!("offer in 200: {refused}"));
                self.inner.command(Command::Acknowledge { leg, body: None }).await;
                let reason = Some("SIP;cause=488".to_owned());
                self.inner.command(Command::Hangup { leg, reason }).await;
            }
        }
    }

    async fn reoffered(&mut self, body: Option<Body>) {
        let leg = self.leg;
        let Some(offer) = body else {
            self.offered = true;
            let body = Some(self.offer());
            return self.inner.command(Command::Accept { leg, body }).await;
        };
        self.wish.secret = self.inner.secret();
        match sdp::answer(&offer.bytes, &offer.content_type, &self.wish, &self.session) {
            Ok(answered) => {
                let text = self.session.render(&answered.sdp);
                let body = Some(self.described(text));
                self.inner.command(Command::Accept { leg, body }).await;
                self.agree(answered.media);
            }
            Err(refused) => {
                self.trouble(format!("offer: {refused}"));
                let refusal = Refusal { status: 488, reason: None, retry_after: None, warning: None };
                self.inner.command(Command::Reject { leg, refusal }).await;
            }
        }
    }

    fn accept(&mut self, body: Option<Body>, what: &str) {
        let body = body.unwrap_or_else(|| Body::sdp(""));
        match sdp::accept(&body.bytes, &body.content_type, &mut self.session) {
            Ok(agreed) => self.agree(agreed),
            Err(refused) => self.trouble(format!("{what}: {refused}")),
        }
    }

    fn trouble(&self, trouble: String) {
        self.progress.send_modify(|p| p.trouble = Some(trouble));
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
        let above = |at: SocketAddr| SocketAddr::new(at.ip(), at.port().saturating_add(1));
        // An impaired path carries no reports.
        let reports_to = match (self.media_via, agreed.target()) {
            (None, Some(target)) => Some(agreed.rtcp.unwrap_or(above(target))),
            _ => None,
        };
        let to = self.media_via.map(|via| via.near).or(agreed.target());
        let agreement = Agreement { terms, to, reports_to, crypto: agreed.crypto };
        self.inner.pacer.order(Order::Agree(self.leg.0, Box::new(agreement)));
        self.inner.pacer.order(Order::Silence(self.leg.0, !agreed.send));
        self.progress.send_modify(|p| p.agreed = Some(agreed));
    }
}
