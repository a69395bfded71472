//! Reaching a bot: name, addresses, TCP, TLS, upgrade (agentstream.md section 2).

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::{sleep, sleep_until, timeout_at};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::tls::Connector;
use super::{clock, words};
use crate::egress::io::Carrier;
use crate::stream::connect::{Attempts, Deadlines, Failure};
use crate::stream::upgrade::{self, Answer};
use crate::stream::{BotUrl, Config, Egress};

/// Before the next address is tried beside one that has not answered (RFC 8305 §5).
const STAGGER: Duration = Duration::from_millis(250);
/// Addresses of a name that are tried.
const ADDRESSES: usize = 8;
/// What the kernel may hold for a bot that does not read: beyond it our own queue decides what is dropped.
const SEND_BUFFER: u32 = 64 * 1024;
/// When the kernel gives up by itself; `acks` and the session are sooner.
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);

/// What a bot is reached with.
pub(super) struct Dial<'a> {
    pub(super) url: &'a BotUrl,
    pub(super) config: &'a Config,
    pub(super) connector: &'a Connector,
    pub(super) egress: &'a Egress,
}

/// A bot that is reached.
pub(super) struct Upgraded {
    pub(super) carrier: Carrier,
    /// Octets that came behind its answer.
    pub(super) early: Vec<u8>,
}

impl Dial<'_> {
    /// All attempts; the last failure if none succeeds.
    pub(super) async fn run(&self, attempts: &mut Attempts) -> Result<Upgraded, Failure> {
        loop {
            let deadlines = attempts.begin(clock());
            let failure = match self.attempt(deadlines).await {
                Ok(socket) => return Ok(socket),
                Err(failure) => failure,
            };
            tracing::debug!(url = %self.url, ?failure, attempt = attempts.made(), "no connection to the bot");
            match attempts.failed(clock(), &failure) {
                Some(next) => sleep_until(next.into()).await,
                None => return Err(failure),
            }
        }
    }

    async fn attempt(&self, deadlines: Deadlines) -> Result<Upgraded, Failure> {
        let within = Within { budget: self.config.connect_timeout, answer: deadlines.answer };
        let setup = deadlines.setup;
        let addresses = within.time(setup, Failure::LookupTimeout, self.addresses()).await?;
        let addresses = self.permitted(addresses)?;
        let tcp = within.time(setup, Failure::DialTimeout, first_to_answer(&addresses)).await?;
        let key = generate_key();
        let request = upgrade::request(self.url, &self.config.user_agent, &key);
        let carrier = match self.url.secure() {
            false => Carrier::Plain(tcp),
            true => {
                let handshake = self.connector.handshake(self.url.host(), tcp, request.as_bytes());
                let tls = within.time(setup, Failure::TlsTimeout, handshake).await?;
                Carrier::Tls(Box::new(tls))
            }
        };
        let late = Failure::Budget(within.budget);
        let unasked = if self.url.secure() { "" } else { &request };
        within
            .time(deadlines.answer, late, upgraded(carrier, unasked, &derive_accept_key(key.as_bytes())))
            .await
    }

    async fn addresses(&self) -> Result<Vec<SocketAddr>, Failure> {
        let (host, port) = (self.url.host(), self.url.port());
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        match lookup_host((host, port)).await {
            Ok(found) => Ok(interleaved(found.collect())),
            Err(error) => Err(Failure::Lookup(unknown(&error))),
        }
    }

    /// Only what passed the check is connected to (reliability R-71).
    fn permitted(&self, mut addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Failure> {
        if addresses.is_empty() {
            return Err(Failure::Lookup("no such host".to_owned()));
        }
        addresses.retain(|address| self.egress.allows(self.url.host(), address.ip()));
        if addresses.is_empty() {
            return Err(Failure::Forbidden("address not allowed"));
        }
        if !self.url.secure() {
            addresses.retain(|address| self.config.allow_plain_ws.allows(address.ip()));
        }
        match addresses.is_empty() {
            true => Err(Failure::Forbidden("plain ws:// not allowed")),
            false => Ok(addresses),
        }
    }
}

/// Waits for the answer to the upgrade, of whose request `unasked` did not go out yet.
async fn upgraded(mut carrier: Carrier, unasked: &str, accept: &str) -> Result<Upgraded, Failure> {
    let broken = |error: io::Error| Failure::Handshake(words(&error));
    if !unasked.is_empty() {
        carrier.write_all(unasked.as_bytes()).await.map_err(broken)?;
    }
    let mut answer = Vec::with_capacity(1024);
    loop {
        if carrier.read_buf(&mut answer).await.map_err(broken)? == 0 {
            return Err(Failure::Handshake("connection closed".to_owned()));
        }
        if let Answer::Switched(end) = upgrade::answer(&answer, accept)? {
            let early = answer.split_off(end);
            return Ok(Upgraded { carrier, early });
        }
    }
}

/// The deadline of a step, and that of all steps, which is another failure.
struct Within {
    budget: Duration,
    answer: Instant,
}

impl Within {
    async fn time<T>(
        &self,
        until: Instant,
        late: Failure,
        step: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        match timeout_at(until.into(), step).await {
            Ok(done) => done,
            Err(_) if clock() >= self.answer => Err(Failure::Budget(self.budget)),
            Err(_) => Err(late),
        }
    }
}

/// Both families by turns, in the system's order (RFC 8305 §4).
fn interleaved(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = found.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut all = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] || all.len() >= ADDRESSES {
            return all;
        }
        all.extend(pair.into_iter().flatten());
    }
}

/// Connects to the first address that answers; the next is tried when one fails or is slow.
async fn first_to_answer(addresses: &[SocketAddr]) -> Result<TcpStream, Failure> {
    let mut untried = addresses.iter();
    let mut trying = FuturesUnordered::new();
    let mut failure = Failure::DialTimeout;
    loop {
        match untried.next() {
            Some(&address) => trying.push(connect(address)),
            None if trying.is_empty() => return Err(failure),
            None => {}
        }
        tokio::select! {
            Some(done) = trying.next() => match done {
                Ok(tcp) => return Ok(tcp),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => failure = Failure::Refused,
                Err(error) => failure = Failure::Dial(words(&error)),
            },
            () = sleep(STAGGER), if untried.len() > 0 => {}
        }
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    let tcp = socket.connect(address).await?;
    tcp.set_nodelay(true)?;
    SockRef::from(&tcp).set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    Ok(tcp)
}

/// The resolver's words for a name that is not there are many.
fn unknown(error: &io::Error) -> String {
    let text = words(error);
    match text.contains("not known") || text.contains("No address associated") {
        true => "no such host".to_owned(),
        false => text,
    }
}
