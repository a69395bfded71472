//! Name, addresses, TCP, TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;

use super::words;
use crate::egress::io::{Carrier, Names};
use crate::fetch::Failure;
use crate::fetch::course::Course;
use crate::tls;

/// Before the next address is tried beside one that has not answered (RFC 8305 §5).
const STAGGER: Duration = Duration::from_millis(250);

/// What a server is reached with.
pub(super) struct Dial<'a> {
    pub(super) course: &'a Course,
    pub(super) names: &'a Names,
    pub(super) tls: Arc<ClientConfig>,
}

impl Dial<'_> {
    pub(super) async fn run(self) -> Result<Carrier, Failure> {
        let addresses = self.permitted().await?;
        let tcp = self.first_to_answer(&addresses).await?;
        if !self.course.url().secure() {
            return Ok(Carrier::Plain(tcp));
        }
        let name = ServerName::try_from(self.course.url().place().host().to_owned())
            .map_err(|_| Failure::Tls { cause: "tls_name", reason: "no name to verify".to_owned() })?;
        match TlsConnector::from(self.tls).connect(name, tcp).await {
            Ok(tls) => Ok(Carrier::Tls(Box::new(tls))),
            Err(error) => {
                let (cause, reason) = tls::fault(&error);
                Err(Failure::Tls { cause, reason })
            }
        }
    }

    /// Only what passed the check is connected to (reliability R-71).
    async fn permitted(&self) -> Result<Vec<SocketAddr>, Failure> {
        let (url, place) = (self.course.url(), self.course.url().place());
        let lookup = |why: crate::egress::Unknown| Failure::Lookup(place.host().to_owned(), why.to_string());
        let mut addresses = self.names.addresses(place.host()).await.map_err(lookup)?;
        let forbidden = |why| Failure::Forbidden(place.to_string(), why);
        let egress = self.course.egress();
        addresses.retain(|address| egress.allows(place.host(), *address));
        if addresses.is_empty() {
            return Err(forbidden("address not allowed"));
        }
        if !url.secure() {
            addresses.retain(|address| self.course.config().plain.allows(*address));
        }
        match addresses.is_empty() {
            true => Err(forbidden("plain http:// not allowed")),
            false => Ok(addresses.into_iter().map(|ip| SocketAddr::new(ip, place.port())).collect()),
        }
    }

    /// Connects to the first address that answers; the next is tried when one fails or is slow.
    async fn first_to_answer(&self, addresses: &[SocketAddr]) -> Result<TcpStream, Failure> {
        let place = || self.course.url().place().to_string();
        let mut untried = addresses.iter();
        let mut trying = FuturesUnordered::new();
        let mut failure = Failure::DialTimeout(place());
        loop {
            match untried.next() {
                Some(&address) => trying.push(TcpStream::connect(address)),
                None if trying.is_empty() => return Err(failure),
                None => {}
            }
            tokio::select! {
                Some(done) = trying.next() => match done {
                    Ok(tcp) => {
                        let _ = tcp.set_nodelay(true); // one request in one packet: it would go at once anyway
                        return Ok(tcp);
                    }
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                        failure = Failure::Refused(place());
                    }
                    Err(error) => failure = Failure::Dial(place(), words(&error)),
                },
                () = sleep(STAGGER), if untried.len() > 0 => {}
            }
        }
    }
}
