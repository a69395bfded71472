//! A line to the daemon on which octets are said as they are, over any transport.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use streamkit::sip::Transport;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::kit::{Identity, Node, PATIENCE};

/// An open line.
pub(crate) struct Line {
    way: Way,
    transport: Transport,
    at: SocketAddr,
    /// What came and has not been heard yet.
    pending: Vec<u8>,
}

/// Requests of all lines: a port is soon given out again, and its transactions are remembered.
static REQUESTS: AtomicUsize = AtomicUsize::new(0);

enum Way {
    Datagrams(UdpSocket),
    Stream(Box<dyn Stream>),
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    /// 100..=699.
    pub(crate) status: u16,
    /// Call-ID, empty where there is none.
    pub(crate) call_id: String,
    /// All of it.
    pub(crate) text: String,
}

impl Said {
    fn of(octets: &[u8]) -> Self {
        let text = String::from_utf8_lossy(octets).into_owned();
        let status = text.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no answer: {text}"));
        let call_id = field(&text, "Call-ID").unwrap_or_default().to_owned();
        Self { status, call_id, text }
    }
}

/// Believes this certificate alone.
fn connector(identity: &Identity) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(identity.der.clone()).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    TlsConnector::from(Arc::new(
        config.expect("versions").with_root_certificates(roots).with_no_client_auth(),
    ))
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

impl Line {
    /// A new one to this daemon.
    pub(crate) async fn to(node: &Node, transport: Transport) -> Self {
        let to = node.sip(transport);
        let (way, at) = match transport {
            Transport::Udp => {
                let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
                socket.connect(to).await.expect("connected");
                let at = socket.local_addr().expect("bound");
                (Way::Datagrams(socket), at)
            }
            Transport::Tcp => {
                let stream = TcpStream::connect(to).await.expect("connected");
                let at = stream.local_addr().expect("bound");
                (Way::Stream(Box::new(stream)), at)
            }
            Transport::Tls => {
                let stream = TcpStream::connect(to).await.expect("connected");
                let at = stream.local_addr().expect("bound");
                let identity = node.tls.as_ref().expect("it listens for TLS");
                let name = ServerName::IpAddress(to.ip().into());
                let stream = connector(identity).connect(name, stream).await.expect("a handshake");
                (Way::Stream(Box::new(stream)), at)
            }
        };
        Self { way, transport, at, pending: Vec::new() }
    }

    /// Says these octets: a datagram, or in one piece. A stream that is closed already takes no more of them.
    pub(crate) async fn send(&mut self, octets: &[u8]) {
        match &mut self.way {
            Way::Datagrams(socket) => drop(socket.send(octets).await.expect("sent")),
            Way::Stream(stream) => {
                let _ = stream.write_all(octets).await;
                let _ = stream.flush().await;
            }
        }
    }

    /// A request of our own outside a dialog.
    pub(crate) async fn ask(&mut self, method: &str, call_id: &str) {
        let via = self.via();
        let at = self.at;
        let text = format!(
            "{method} sip:127.0.0.1 SIP/2.0\r\nVia: {via}\r\nFrom: <sip:a@{at}>;tag=ours\r\nTo: <sip:127.0.0.1>\r\n\
             Call-ID: {call_id}\r\nCSeq: 1 {method}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        );
        self.send(text.as_bytes()).await;
    }

    /// A request in the dialog of an answered INVITE: its ACK under the INVITE's number, another under the next.
    pub(crate) async fn within(&mut self, method: &str, answer: &Said, sdp: &str) {
        let via = self.via();
        let of = |name| field(&answer.text, name).unwrap_or_else(|| panic!("no {name}: {}", answer.text));
        let contact = of("Contact").trim_start_matches('<').split('>').next().expect("a URI");
        let invite: u32 =
            of("CSeq").split(' ').next().and_then(|number| number.parse().ok()).expect("a number");
        let (cseq, kind) = (invite + u32::from(method != "ACK"), "Content-Type: application/sdp\r\n");
        let text = format!(
            "{method} {contact} SIP/2.0\r\nVia: {via}\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {id}\r\n\
             CSeq: {cseq} {method}\r\nMax-Forwards: 70\r\n{kind}Content-Length: {length}\r\n\r\n{sdp}",
            from = of("From"),
            to = of("To"),
            id = of("Call-ID"),
            kind = if sdp.is_empty() { "" } else { kind },
            length = sdp.len(),
        );
        self.send(text.as_bytes()).await;
    }

    fn via(&self) -> String {
        let (at, transport) = (self.at, self.transport.as_str().to_uppercase());
        format!("SIP/2.0/{transport} {at};rport;branch=z9hG4bKline{}", REQUESTS.fetch_add(1, Relaxed))
    }

    /// The next answer; nothing when the connection is closed.
    pub(crate) async fn hear(&mut self) -> Option<Said> {
        timeout(PATIENCE, self.next()).await.expect("an answer, or the end of the connection")
    }

    async fn next(&mut self) -> Option<Said> {
        let mut bytes = vec![0; 65_535];
        loop {
            if let Some(said) = self.whole() {
                return Some(said);
            }
            let count = match &mut self.way {
                Way::Datagrams(socket) => socket.recv(&mut bytes).await.expect("received"),
                Way::Stream(stream) => match stream.read(&mut bytes).await {
                    Ok(0) | Err(_) => return None,
                    Ok(count) => count,
                },
            };
            self.pending.extend(&bytes[..count]);
            // requests of the daemon in a dialog are nobody's answers
            while self.pending.starts_with(b"BYE ") && self.take().is_some() {}
        }
    }

    /// The first message of those that came, if it is whole.
    fn whole(&mut self) -> Option<Said> {
        self.take().map(|octets| Said::of(&octets))
    }

    fn take(&mut self) -> Option<Vec<u8>> {
        let head = self.pending.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let text = String::from_utf8_lossy(&self.pending[..head]).into_owned();
        let body: usize =
            field(&text, "Content-Length").and_then(|length| length.parse().ok()).expect("a length");
        (self.pending.len() >= head + body).then(|| self.pending.drain(..head + body).collect())
    }
}
