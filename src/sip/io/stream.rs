//! One connection while it lives: a task that reads and one outbox that is written, over TCP or TLS alike; the times
//! of reliability R-28.
//!
//! A connection lives as long as its outbox is held: dropping it lets what was given go out, then closes.
#![allow(clippy::disallowed_methods)] // the shell reads the clock

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::time::{timeout, timeout_at};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{mark, tls};
use crate::sip::message::{Framed, Framer};
use crate::sip::{Octets, Transport};
use crate::telemetry::metrics;

/// From accept to the first whole request.
const FIRST_REQUEST: Duration = Duration::from_secs(10);
/// Between two pieces of one message.
const NEXT_PIECE: Duration = Duration::from_secs(5);
/// From the first piece of a message to its last (sip-trunk.md section 2).
const WHOLE_MESSAGE: Duration = Duration::from_secs(32);
const HANDSHAKE: Duration = Duration::from_secs(5);
const CONNECT: Duration = Duration::from_secs(5);
const WRITE: Duration = Duration::from_secs(10);

/// What connections tell.
#[derive(Debug)]
pub(super) enum FromStream {
    /// Somebody connected, by this transport.
    Accepted(TcpStream, Transport),
    /// The handshake of a connection that was accepted is done.
    Secured(u64),
    /// Something whole came.
    Framed(u64, Framed),
    /// Nothing has come for long from a trunk.
    Idle(u64),
    /// It will bring nothing more.
    Closed(u64),
    /// It could not be opened, or did not take what it was given.
    Failed(u64),
}

/// What is known of a connection where it is read.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) id: u64,
    pub(super) transport: Transport,
    /// A trunk's.
    pub(super) known: bool,
    /// We opened it: nothing is awaited from it.
    pub(super) ours: bool,
    /// When it came.
    pub(super) begun: Instant,
    /// How long it may be silent.
    pub(super) idle: Duration,
    pub(super) tell: Sender<FromStream>,
}

impl Reading {
    async fn tell(&self, what: FromStream) -> Result<(), ()> {
        self.tell.send(what).await.map_err(drop)
    }

    fn dropped(&self, cause: &'static str) {
        metrics::sip_dropped(self.transport.as_str(), cause);
    }
}

/// Accepts for ever.
pub(super) async fn accept(listener: TcpListener, transport: Transport, tell: Sender<FromStream>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if tell.send(FromStream::Accepted(stream, transport)).await.is_err() {
                    return;
                }
            }
            // No descriptor is free, or the peer has gone already: the next may fare better.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// A connection that was accepted over TLS and whose handshake is not done.
#[derive(Debug)]
pub(super) struct Insecure {
    pub(super) stream: TcpStream,
    pub(super) from: SocketAddr,
    pub(super) reading: Reading,
    pub(super) outbox: Receiver<Octets>,
    /// Names one of which the client's certificate has to be for; empty: any.
    pub(super) names: Vec<String>,
}

/// The handshake, and then the life of the connection. It ends when the outbox is dropped, as ever.
pub(super) async fn secure(acceptor: TlsAcceptor, insecure: Insecure) {
    let Insecure { stream, from, reading, mut outbox, names } = insecure;
    let _ = stream.set_nodelay(true);
    let until = (Instant::now() + HANDSHAKE).min(reading.begun + FIRST_REQUEST);
    let done = tokio::select! {
        done = timeout_at(until.into(), acceptor.accept(stream)) => done,
        _ = outbox.recv() => return, // nobody can have been given anything to say: it made room
    };
    let failed = match done {
        Err(_) => Some(("deadline", "it was not done in time".to_owned())),
        Ok(Err(error)) => Some(("handshake", error.to_string())),
        Ok(Ok(stream)) => {
            let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            if names.is_empty() || shown.is_some_and(|shown| tls::is_for(shown, &names)) {
                if reading.tell(FromStream::Secured(reading.id)).await.is_ok() {
                    run(stream, reading, outbox).await;
                }
                return;
            }
            Some(("certificate", "the certificate is for none of the trunk's tls_names".to_owned()))
        }
    };
    if let Some((cause, why)) = failed {
        reading.dropped(cause);
        if reading.known {
            tracing::warn!(cause = "tls_handshake", peer = %from, why, "a trunk's connection was not taken");
        }
        let _ = reading.tell(FromStream::Closed(reading.id)).await;
    }
}

/// How a connection of ours is made.
pub(super) struct Opening {
    pub(super) to: SocketAddr,
    pub(super) dscp: u8,
    pub(super) tls: Option<(TlsConnector, rustls::pki_types::ServerName<'static>)>,
}

/// Opens a connection, then lives it.
pub(super) async fn open(opening: Opening, reading: Reading, outbox: Receiver<Octets>) {
    let Opening { to, dscp, tls } = opening;
    let Ok(stream) = connect(to, dscp).await else {
        let _ = reading.tell(FromStream::Failed(reading.id)).await;
        return;
    };
    let _ = stream.set_nodelay(true);
    let Some((connector, name)) = tls else { return run(stream, reading, outbox).await };
    let why = match timeout(HANDSHAKE, connector.connect(name, stream)).await {
        Ok(Ok(stream)) => return run(stream, reading, outbox).await,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it was not done in time".to_owned(),
    };
    reading.dropped("handshake");
    tracing::warn!(cause = "tls_handshake", peer = %to, why, "a connection to a trunk could not be made");
    let _ = reading.tell(FromStream::Failed(reading.id)).await;
}

async fn connect(to: SocketAddr, dscp: u8) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    mark(&SockRef::from(&socket), to.is_ipv4(), dscp);
    timeout(CONNECT, socket.connect(to)).await?
}

/// Reads and writes until the outbox is dropped and empty, or writing fails.
pub(super) async fn run<S>(stream: S, reading: Reading, outbox: Receiver<Octets>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (read_half, write_half) = tokio::io::split(stream);
    let read_all = async {
        read(read_half, &reading).await;
        // The peer may still read: what is in the outbox goes out when the table lets go of it.
        let _ = reading.tell(FromStream::Closed(reading.id)).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        taken = write(write_half, outbox) => {
            if taken.is_err() {
                let _ = reading.tell(FromStream::Failed(reading.id)).await;
            }
        }
        () = read_all => {}
    }
}

async fn write<S: AsyncWrite>(mut half: WriteHalf<S>, mut outbox: Receiver<Octets>) -> io::Result<()> {
    while let Some(bytes) = outbox.recv().await {
        let written = async {
            half.write_all(&bytes).await?;
            half.flush().await
        };
        timeout(WRITE, written).await??;
    }
    timeout(WRITE, half.shutdown()).await?
}

/// Reads until the end, a fault, or a limit of time.
async fn read<S: AsyncRead>(mut half: ReadHalf<S>, reading: &Reading) {
    let (mut framer, mut buffer) = (Framer::new(), vec![0; 16 * 1024]);
    let (mut served, mut unfinished): (bool, Option<Instant>) = (reading.ours, None);
    loop {
        let now = Instant::now();
        let mut until =
            unfinished.map_or(now + reading.idle, |since| (now + NEXT_PIECE).min(since + WHOLE_MESSAGE));
        if !served {
            until = until.min(reading.begun + FIRST_REQUEST);
        }
        match timeout_at(until.into(), half.read(&mut buffer)).await {
            Err(_) if served && unfinished.is_none() && reading.known => {
                if reading.tell(FromStream::Idle(reading.id)).await.is_err() {
                    return;
                }
            }
            Err(_) => return reading.dropped("deadline"),
            Ok(Ok(0) | Err(_)) => return,
            Ok(Ok(count)) => {
                framer.push(buffer.get(..count).unwrap_or_default());
                while let Some(framed) = framer.next() {
                    unfinished = None;
                    served |= matches!(framed, Framed::Message(_));
                    if reading.tell(FromStream::Framed(reading.id, framed)).await.is_err() {
                        return;
                    }
                }
                unfinished = framer.is_unfinished().then(|| unfinished.unwrap_or_else(Instant::now));
            }
        }
    }
}
