//! The sockets of a bot: accept, TLS, upgrade, and one task that drives the dialogue of each.

// The library wants the whole response to an upgrade by value.
#![allow(clippy::result_large_err)]

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep_until;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};

use super::dialogue::{Dialogue, Input, Output};
use super::message::{self, FromStreamKit};
use super::order::Order;
use super::transcript::{End, Upgrade};
use super::{Config, Manners, Said, Shared, What};
use crate::units::Digit;

/// Connections at once.
const SESSIONS: usize = 10_000;
/// Messages between the dialogue and the socket: few, so that a `clear` is not far behind what it clears.
const WAITING: usize = 8;

pub(super) async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    config: Config,
    shared: Arc<Shared>,
) {
    let config = Arc::new(config);
    let mut sessions = JoinSet::new();
    loop {
        while sessions.try_join_next().is_some() {}
        let Ok((tcp, peer)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await; // out of descriptors: some will come back
            continue;
        };
        if sessions.len() >= SESSIONS {
            continue;
        }
        let number = shared.open();
        let session = Session { number, config: config.clone(), shared: shared.clone() };
        session.tell(What::Accepted(peer));
        let tls = tls.clone();
        sessions.spawn(async move {
            if let Err(why) = session.serve(tcp, tls).await {
                session.tell(What::Refused(why));
            }
        });
    }
}

struct Session {
    number: usize,
    config: Arc<Config>,
    shared: Arc<Shared>,
}

impl Session {
    fn tell(&self, what: What) {
        self.shared.tell(self.number, what);
    }

    async fn serve(&self, tcp: TcpStream, tls: Option<TlsAcceptor>) -> Result<(), String> {
        drop(tcp.set_nodelay(true));
        // A second handle on the connection: the first is inside TLS and WebSocket when it is to be broken.
        let handle = tcp.as_fd().try_clone_to_owned().map_err(|e| e.to_string())?;
        if self.config.manners.hang_up {
            break_off(&handle);
            return Err("hung up on".to_owned());
        }
        match tls {
            Some(tls) => {
                let stream = tls.accept(tcp).await.map_err(|e| format!("tls: {e}"))?;
                self.upgrade(stream, handle).await
            }
            None => self.upgrade(tcp, handle).await,
        }
    }

    async fn upgrade<S>(&self, stream: S, handle: OwnedFd) -> Result<(), String>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Manners { delay, refuse, .. } = &self.config.manners;
        tokio::time::sleep(*delay).await;
        let refused = refuse.get(self.number).copied().filter(|status| *status != 101);
        let mut upgrade = Upgrade::default();
        let settings = WebSocketConfig::default().write_buffer_size(0);
        let answer = |request: &Request, response: Response| answer(&mut upgrade, refused, request, response);
        let accepted = tokio_tungstenite::accept_hdr_async_with_config(stream, answer, Some(settings)).await;
        let socket = accepted.map_err(|e| refused.map_or_else(|| e.to_string(), |s| format!("HTTP {s}")))?;
        self.tell(What::Opened(upgrade));
        let end = self.talk(socket, handle).await;
        self.tell(What::Ended(end));
        if let Some(folder) = &self.config.record {
            self.record(folder);
        }
        Ok(())
    }

    async fn talk<S>(&self, socket: WebSocketStream<S>, handle: OwnedFd) -> End
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (mut sink, mut stream) = socket.split();
        let (outbox, mut waiting) = mpsc::channel::<(Option<Said>, Message)>(WAITING);
        let (shared, number) = (self.shared.clone(), self.number);
        let mut writer = JoinSet::new();
        writer.spawn(async move {
            while let Some((said, message)) = waiting.recv().await {
                // Told before it is written: what StreamKit answers must not seem to come first.
                if let Some(said) = said {
                    shared.tell(number, What::Sent(said));
                }
                if sink.send(message).await.is_err() {
                    break; // the reader learns why
                }
            }
        });
        let mut talk = Talk::new(self);
        loop {
            let now = Instant::now();
            let wake = talk.dialogue.wakes_at().unwrap_or(now + Duration::from_secs(3600));
            let deaf = talk.deaf.filter(|until| *until > now);
            tokio::select! {
                biased;
                message = stream.next(), if deaf.is_none() => {
                    if let Some(end) = talk.take(message) {
                        return end;
                    }
                }
                Ok(place) = outbox.reserve(), if talk.dialogue.has_output() => {
                    match talk.dialogue.poll_output(Instant::now()) {
                        None => {}
                        Some(Output::Send(said, text)) => place.send((Some(said), Message::text(text))),
                        Some(Output::Binary(bytes)) => place.send((None, Message::binary(bytes))),
                        Some(Output::Deaf(long)) => talk.deaf = Some(now + long),
                        Some(Output::Close(code, reason)) => {
                            talk.closed = Some(code);
                            let frame = CloseFrame { code: code.into(), reason: reason.into() };
                            place.send((None, Message::Close(Some(frame))));
                        }
                        Some(Output::Reset) => {
                            writer.abort_all();
                            break_off(&handle);
                            return End::Reset;
                        }
                    }
                }
                () = sleep_until(deaf.map_or(wake, |until| until.min(wake)).into()) => {
                    talk.dialogue.wake(Instant::now());
                }
            }
        }
    }

    fn record(&self, folder: &std::path::Path) {
        let transcript = self.shared.transcripts()[self.number].clone();
        let Some(start) = transcript.start else { return };
        // The name came from outside: only what a StreamSID is made of may name a file.
        let plain =
            !start.stream_sid.is_empty() && start.stream_sid.bytes().all(|b| b.is_ascii_alphanumeric());
        let name = if plain { start.stream_sid } else { format!("session-{}", self.number) };
        if let Err(error) = transcript.heard.write(&folder.join(name + ".wav")) {
            self.tell(What::Fault(format!("recording: {error}")));
        }
    }
}

/// One socket being talked on.
struct Talk<'a> {
    session: &'a Session,
    dialogue: Dialogue,
    order: Order,
    deaf: Option<Instant>,
    closed: Option<u16>,
    end: Option<End>,
}

impl<'a> Talk<'a> {
    fn new(session: &'a Session) -> Self {
        let dialogue = Dialogue::new(session.config.script.clone());
        Self { session, dialogue, order: Order::default(), deaf: None, closed: None, end: None }
    }

    /// Takes what the socket gave; the end, if it was that.
    fn take(&mut self, got: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>) -> Option<End> {
        match got {
            Some(Ok(Message::Text(text))) => self.read(&text),
            Some(Ok(Message::Binary(bytes))) => {
                self.session.tell(What::Binary(bytes.len()));
                self.session.tell(What::Fault("a binary message".to_owned()));
            }
            Some(Ok(Message::Ping(_))) => self.session.tell(What::Ping),
            // Read on: that is what sends the answer to a close.
            Some(Ok(Message::Close(frame))) => {
                self.end = Some(match self.closed {
                    Some(code) => End::ByBot(code),
                    None => End::ByStreamKit(frame.map(|f| f.code.into())),
                });
            }
            Some(Ok(Message::Pong(_) | Message::Frame(_))) => {}
            Some(Err(error)) => return Some(self.end.take().unwrap_or(End::Lost(error.to_string()))),
            None => return Some(self.end.take().unwrap_or(End::Lost("no close frame".to_owned()))),
        }
        None
    }

    fn read(&mut self, text: &str) {
        let received = message::read(text);
        for fault in self.order.judge(&received) {
            self.session.tell(What::Fault(fault.into_owned()));
        }
        self.session.shared.transcripts()[self.session.number].count(&self.order);
        let now = Instant::now();
        match &received.message {
            FromStreamKit::Start(start) => {
                self.dialogue.handle(now, Input::Start(&start.stream_sid, start.rate));
            }
            FromStreamKit::Media { samples, .. } => self.dialogue.handle(now, Input::Heard(samples)),
            FromStreamKit::Dtmf { digit, .. } => {
                if let Some(key) = digit.chars().next().and_then(Digit::from_char) {
                    self.dialogue.handle(now, Input::Digit(key));
                }
            }
            FromStreamKit::Mark(name) => {
                if self.session.config.manners.echo_marks {
                    self.dialogue.say_mark(name);
                }
                self.dialogue.handle(now, Input::Mark(name));
            }
            FromStreamKit::Stop { .. } => {
                if self.session.config.manners.ignore_stop {
                    self.deaf = Some(now + Duration::from_secs(5));
                }
            }
            FromStreamKit::Connected | FromStreamKit::Other(_) => {}
        }
        self.session.tell(What::Received(received));
    }
}

fn answer(
    upgrade: &mut Upgrade,
    refused: Option<u16>,
    request: &Request,
    response: Response,
) -> Result<Response, ErrorResponse> {
    upgrade.target = request.uri().path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    upgrade.headers = request.headers().iter().map(|(n, v)| (n.as_str().to_owned(), text(v))).collect();
    match refused.and_then(|status| http::StatusCode::from_u16(status).ok()) {
        Some(status) => {
            let mut refusal = ErrorResponse::new(None);
            *refusal.status_mut() = status;
            Err(refusal)
        }
        None => Ok(response),
    }
}

/// The next close of the connection is a RST.
fn break_off(handle: &OwnedFd) {
    drop(socket2::SockRef::from(handle).set_linger(Some(Duration::ZERO)));
}
