//! The bot's socket once it is up: what the session has to say is written when it can be, what comes is read always.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message, Utf8Bytes, error::ProtocolError};

use super::line::Line;
use super::{Trace, clock, words};
use crate::stream::outcome::Violation;
use crate::stream::session::{Input, Session, Transmit};
use crate::stream::{Direction, framing};

pub(super) struct Socket {
    socket: WebSocketStream<Line>,
    trace: Option<Trace>,
    text: String,
    /// Something was given to the socket and may not have left it.
    unflushed: bool,
    written: u64,
    framing: (u64, bool),
    /// Frames cannot be read any more; octets are thrown away until the peer closes, lest it lose our close frame.
    deaf: bool,
}

/// What came of the socket.
pub(super) enum Step {
    Message(Message),
    Broken(Error),
    /// The peer sends nothing more.
    End,
    TooManyFragments,
    /// The session has something new for others.
    News,
}

impl Socket {
    pub(super) fn new(socket: WebSocketStream<Line>, trace: Option<Trace>) -> Self {
        let framing = socket.get_ref().framing().progress();
        Self { socket, trace, text: String::new(), unflushed: false, written: 0, framing, deaf: false }
    }

    /// Writes what can be written, then reads. May be dropped at any await.
    pub(super) async fn step(&mut self, session: &mut Session) -> Step {
        let step = std::future::poll_fn(|cx| self.poll_step(cx, session)).await;
        match &step {
            Step::Message(Message::Text(text)) => {
                if let Some(trace) = &self.trace {
                    trace(Direction::FromBot, text);
                }
            }
            Step::Broken(_) | Step::TooManyFragments => self.deaf = true,
            Step::Message(_) | Step::End | Step::News => {}
        }
        step
    }

    pub(super) fn tcp(&self) -> &TcpStream {
        self.socket.get_ref().tcp()
    }

    /// Says good-bye below the WebSocket.
    pub(super) async fn shut(&mut self) {
        let _ = self.socket.get_mut().shutdown().await;
    }

    fn poll_step(&mut self, cx: &mut Context<'_>, session: &mut Session) -> Poll<Step> {
        let now = clock();
        if let Poll::Ready(error) = self.poll_write(cx, session, now) {
            return Poll::Ready(Step::Broken(error));
        }
        let written = self.socket.get_ref().written();
        if std::mem::replace(&mut self.written, written) != written {
            session.handle(now, Input::Progress);
        }
        if session.has_news() {
            return Poll::Ready(Step::News);
        }
        if self.deaf {
            return self.poll_discard(cx);
        }
        let read = self.socket.poll_next_unpin(cx);
        let framing = self.socket.get_ref().framing();
        let (complete, open) = framing.progress();
        if framing.too_many_fragments() {
            return Poll::Ready(Step::TooManyFragments);
        }
        let moved = std::mem::replace(&mut self.framing, (complete, open)) != (complete, open);
        if moved {
            session.handle(now, Input::Framing { complete, open });
        }
        match read {
            Poll::Ready(Some(Ok(message))) => Poll::Ready(Step::Message(message)),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Step::Broken(error)),
            Poll::Ready(None) => Poll::Ready(Step::End),
            Poll::Pending if moved => Poll::Ready(Step::News), // a deadline began
            Poll::Pending => Poll::Pending,
        }
    }

    /// Ready: with what broke. Pending: all is written, or no more can be now.
    fn poll_write(&mut self, cx: &mut Context<'_>, session: &mut Session, now: Instant) -> Poll<Error> {
        loop {
            if self.unflushed {
                match self.socket.poll_flush_unpin(cx) {
                    Poll::Ready(Ok(())) => self.unflushed = false,
                    Poll::Ready(Err(error)) => return self.broken(error),
                    Poll::Pending => return Poll::Pending,
                }
            }
            let Some(transmit) = session.poll_transmit(now, &mut self.text) else { return Poll::Pending };
            let message = match transmit {
                Transmit::Text => {
                    if let Some(trace) = &self.trace {
                        trace(Direction::ToBot, &self.text);
                    }
                    Message::Text(Utf8Bytes::from(self.text.as_str()))
                }
                Transmit::Ping => Message::Ping(Bytes::new()),
                Transmit::Close(code) => {
                    Message::Close(Some(CloseFrame { code: code.into(), reason: Utf8Bytes::default() }))
                }
            };
            self.unflushed = true;
            if let Err(error) = self.socket.start_send_unpin(message) {
                return self.broken(error);
            }
        }
    }

    /// A peer that closed is not written to; its close is still to be read.
    fn broken(&mut self, error: Error) -> Poll<Error> {
        self.unflushed = false;
        match error {
            Error::Protocol(ProtocolError::SendAfterClosing)
            | Error::ConnectionClosed
            | Error::AlreadyClosed => Poll::Pending,
            error => Poll::Ready(error),
        }
    }

    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let mut octets = [0; 2048];
        loop {
            let mut buf = ReadBuf::new(&mut octets);
            match Pin::new(self.socket.get_mut()).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(Step::End),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Step {
    /// Tells the session what it means.
    pub(super) fn tell(self, session: &mut Session, now: Instant) {
        match self {
            Self::Message(Message::Text(text)) => session.handle(now, Input::Text(&text)),
            Self::Message(Message::Binary(_)) => session.handle(now, Input::Binary),
            Self::Message(Message::Ping(_) | Message::Pong(_)) => session.handle(now, Input::Control),
            Self::Message(Message::Close(frame)) => {
                let (code, reason) = match &frame {
                    Some(frame) => (Some(frame.code.into()), frame.reason.as_str()),
                    None => (None, ""),
                };
                session.handle(now, Input::Closed { code, reason });
            }
            Self::Message(Message::Frame(_)) | Self::News => {}
            Self::TooManyFragments => {
                let reason = format!("more than {} fragments", framing::MAX_FRAGMENTS);
                session.handle(now, Input::Violation(Violation::new(1009, reason)));
            }
            Self::End => session.handle(now, Input::Lost("unexpected EOF")),
            Self::Broken(error) => tell_broken(&error, session, now),
        }
    }
}

fn tell_broken(error: &Error, session: &mut Session, now: Instant) {
    let violation = |code: u16| Input::Violation(Violation::new(code, error.to_string()));
    let input = match error {
        Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => Input::Unacknowledged,
        Error::Io(error) => return session.handle(now, Input::Lost(&words(error))),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Input::Lost("unexpected EOF"),
        Error::Protocol(_) => violation(1002),
        Error::Capacity(_) => violation(1009),
        Error::Utf8(_) => violation(1007),
        _ => Input::Lost("connection closed"),
    };
    session.handle(now, input);
}
