//! Connections: one task each, with a bounded outbox; the limits of reliability R-28.
//!
//! A connection lives as long as its outbox is held: dropping it lets what was given go out, then closes.
#![allow(clippy::disallowed_methods)] // the shell reads the clock

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::{timeout, timeout_at};

use super::mark;
use crate::sip::hop::{Hop, Way};
use crate::sip::message::{Framed, Framer};
use crate::sip::{Octets, Transport};
use crate::telemetry::metrics;

/// Connections of one source that is no trunk, and of one that is.
const OF_STRANGER: usize = 64;
const OF_TRUNK: usize = 200;
/// Connections in all.
const IN_ALL: usize = 4096;
/// From accept to the first whole request.
const FIRST_REQUEST: Duration = Duration::from_secs(10);
/// Between two pieces of one message.
const NEXT_PIECE: Duration = Duration::from_secs(5);
/// From the first piece of a message to its last (sip-trunk.md section 2).
const WHOLE_MESSAGE: Duration = Duration::from_secs(32);
const IDLE_STRANGER: Duration = Duration::from_secs(10);
const IDLE_TRUNK: Duration = Duration::from_secs(600);
const CONNECT: Duration = Duration::from_secs(5);
const WRITE: Duration = Duration::from_secs(10);
/// Messages a peer may be behind.
const OUTBOX: usize = 32;
/// Hops that a connection being opened stands for.
const MAX_HOPS: usize = 64;

/// What connections tell.
#[derive(Debug)]
pub(super) enum FromStream {
    /// Somebody connected.
    Accepted(TcpStream),
    /// Something whole came.
    Framed(u64, Framed),
    /// Nothing has come for long from a trunk.
    Idle(u64),
    /// It will bring nothing more.
    Closed(u64),
    /// It could not be opened, or did not take what it was given.
    Failed(u64),
}

#[derive(Debug)]
struct Connection {
    hop: Hop,
    outbox: Sender<Octets>,
    /// What was sent over it was meant for these.
    hops: Vec<Hop>,
    last: Instant,
    /// A peer opened it.
    accepted: bool,
}

/// All connections.
#[derive(Debug)]
pub(super) struct Connections {
    table: HashMap<u64, Connection>,
    by_ends: HashMap<(u16, SocketAddr), u64>,
    accepted_from: HashMap<IpAddr, usize>,
    tell: Sender<FromStream>,
    dscp: u8,
    last_id: u64,
}

impl Connections {
    pub(super) fn new(tell: Sender<FromStream>, dscp: u8) -> Self {
        let (table, by_ends, accepted_from) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { table, by_ends, accepted_from, tell, dscp, last_id: 0 }
    }

    /// The connection's ends, while it is open.
    pub(super) fn hop(&mut self, id: u64) -> Option<Hop> {
        let connection = self.table.get_mut(&id)?;
        connection.last = Instant::now();
        Some(connection.hop)
    }

    /// Takes a connection that was accepted, within the limits; `known`: a trunk's.
    pub(super) fn accept(&mut self, stream: TcpStream, known: bool) {
        let (Ok(local), Ok(remote)) = (stream.local_addr(), stream.peer_addr()) else { return };
        let ip = remote.ip().to_canonical();
        let limit = if known { OF_TRUNK } else { OF_STRANGER };
        if self.accepted_from.get(&ip).is_some_and(|count| *count >= limit) {
            return metrics::sip_dropped("tcp", "connections");
        }
        if self.accepted_from.values().sum::<usize>() >= IN_ALL {
            self.close_longest_idle();
        }
        mark(&SockRef::from(&stream), local.is_ipv4(), self.dscp);
        let hop = Hop { transport: Transport::Tcp, local, remote };
        let (id, outbox) = self.insert(hop, true);
        *self.accepted_from.entry(ip).or_default() += 1;
        tokio::spawn(run(stream, Reading { id, known, ours: false, tell: self.tell.clone() }, outbox));
    }

    /// Sends over the way's connection, or over a new one. False: it was not taken, `failed` says for whom.
    pub(super) fn send(&mut self, way: Way, bytes: Octets) -> bool {
        let ends = |remote| (way.hop.local.port(), remote);
        let open = |remote| self.by_ends.get(&ends(remote)).copied();
        let id = match (open(way.hop.remote).or_else(|| open(way.otherwise?)), way.otherwise) {
            (Some(id), _) => id,
            (None, Some(remote)) if self.table.len() < 2 * IN_ALL => self.open(Hop { remote, ..way.hop }),
            (None, _) => return false,
        };
        let Some(connection) = self.table.get_mut(&id) else { return false };
        if !connection.hops.contains(&way.hop) && connection.hops.len() < MAX_HOPS {
            connection.hops.push(way.hop);
        }
        match connection.outbox.try_send(bytes) {
            Ok(()) => true,
            Err(_) => {
                metrics::sip_dropped("tcp", "outbox");
                self.forget(id);
                false
            }
        }
    }

    /// Closes once what was given has gone out.
    pub(super) fn close(&mut self, hop: Hop) {
        if let Some(id) = self.by_ends.get(&(hop.local.port(), hop.remote)).copied() {
            self.forget(id);
        }
    }

    /// Forgets a connection; for whom things were sent over it.
    pub(super) fn forget(&mut self, id: u64) -> Vec<Hop> {
        let Some(gone) = self.table.remove(&id) else { return Vec::new() };
        let ends = (gone.hop.local.port(), gone.hop.remote);
        if self.by_ends.get(&ends) == Some(&id) {
            self.by_ends.remove(&ends);
        }
        let ip = gone.hop.remote.ip().to_canonical();
        if gone.accepted
            && let Some(count) = self.accepted_from.get_mut(&ip)
        {
            *count -= 1;
            if *count == 0 {
                self.accepted_from.remove(&ip);
            }
        }
        gone.hops
    }

    fn open(&mut self, hop: Hop) -> u64 {
        let (id, outbox) = self.insert(hop, false);
        let (reading, dscp) = (Reading { id, known: true, ours: true, tell: self.tell.clone() }, self.dscp);
        tokio::spawn(async move {
            match connect(hop.remote, dscp).await {
                Ok(stream) => run(stream, reading, outbox).await,
                Err(_) => drop(reading.tell.send(FromStream::Failed(id)).await),
            }
        });
        id
    }

    fn insert(&mut self, hop: Hop, accepted: bool) -> (u64, Receiver<Octets>) {
        let (sender, outbox) = mpsc::channel(OUTBOX);
        self.last_id += 1;
        self.by_ends.insert((hop.local.port(), hop.remote), self.last_id);
        let connection = Connection { hop, outbox: sender, hops: Vec::new(), last: Instant::now(), accepted };
        self.table.insert(self.last_id, connection);
        (self.last_id, outbox)
    }

    /// Of the source with the most connections, the one that was used longest ago.
    fn close_longest_idle(&mut self) {
        let most = self.accepted_from.iter().max_by_key(|(_, count)| **count).map(|(ip, _)| *ip);
        let theirs = self.table.iter().filter(|(_, connection)| {
            connection.accepted && Some(connection.hop.remote.ip().to_canonical()) == most
        });
        if let Some(id) = theirs.min_by_key(|(_, connection)| connection.last).map(|(id, _)| *id) {
            metrics::sip_dropped("tcp", "connections");
            self.forget(id);
        }
    }
}

/// Accepts for ever.
pub(super) async fn accept(listener: TcpListener, tell: Sender<FromStream>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if tell.send(FromStream::Accepted(stream)).await.is_err() {
                    return;
                }
            }
            // No descriptor is free, or the peer has gone already: the next may fare better.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn connect(to: SocketAddr, dscp: u8) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    mark(&SockRef::from(&socket), to.is_ipv4(), dscp);
    timeout(CONNECT, socket.connect(to)).await?
}

/// What the reading half needs to know.
struct Reading {
    id: u64,
    known: bool,
    ours: bool,
    tell: Sender<FromStream>,
}

/// Reads and writes until the outbox is dropped and empty, or writing fails.
async fn run(stream: TcpStream, reading: Reading, outbox: Receiver<Octets>) {
    let _ = stream.set_nodelay(true);
    let (id, tell) = (reading.id, reading.tell.clone());
    let (read_half, write_half) = stream.into_split();
    let read_all = async {
        read(read_half, &reading).await;
        // The peer may still read: what is in the outbox goes out when the table lets go of it.
        let _ = reading.tell.send(FromStream::Closed(id)).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        taken = write(write_half, outbox) => {
            if taken.is_err() {
                let _ = tell.send(FromStream::Failed(id)).await;
            }
        }
        () = read_all => {}
    }
}

async fn write(mut half: OwnedWriteHalf, mut outbox: Receiver<Octets>) -> io::Result<()> {
    while let Some(bytes) = outbox.recv().await {
        timeout(WRITE, half.write_all(&bytes)).await??;
    }
    half.shutdown().await
}

/// Reads until the end, a fault, or a limit of time.
async fn read(mut half: OwnedReadHalf, reading: &Reading) {
    let (mut framer, mut buffer) = (Framer::new(), vec![0; 16 * 1024]);
    let begun = Instant::now();
    let (mut served, mut unfinished): (bool, Option<Instant>) = (reading.ours, None);
    loop {
        let now = Instant::now();
        let idle = if reading.known { IDLE_TRUNK } else { IDLE_STRANGER };
        let mut until = unfinished.map_or(now + idle, |since| (now + NEXT_PIECE).min(since + WHOLE_MESSAGE));
        if !served {
            until = until.min(begun + FIRST_REQUEST);
        }
        match timeout_at(until.into(), half.read(&mut buffer)).await {
            Err(_) if served && unfinished.is_none() && reading.known => {
                if reading.tell.send(FromStream::Idle(reading.id)).await.is_err() {
                    return;
                }
            }
            Err(_) => return metrics::sip_dropped("tcp", "deadline"),
            Ok(Ok(0) | Err(_)) => return,
            Ok(Ok(count)) => {
                framer.push(buffer.get(..count).unwrap_or_default());
                while let Some(framed) = framer.next() {
                    unfinished = None;
                    served |= matches!(framed, Framed::Message(_));
                    if reading.tell.send(FromStream::Framed(reading.id, framed)).await.is_err() {
                        return;
                    }
                }
                unfinished = framer.is_unfinished().then(|| unfinished.unwrap_or_else(Instant::now));
            }
        }
    }
}
