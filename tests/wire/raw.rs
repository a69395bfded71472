//! A telephone made of text: what a caller with manners never sends.

use std::net::SocketAddr;

use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::kit::{ACCOUNT, PATIENCE};

/// A UDP socket that says SIP word for word.
pub(crate) struct Telephone {
    socket: UdpSocket,
    to: SocketAddr,
    /// Our own address.
    pub(crate) at: SocketAddr,
}

impl Telephone {
    /// One that speaks to this address only.
    pub(crate) async fn facing(to: SocketAddr) -> Self {
        let socket =
            UdpSocket::bind(if to.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }).await.expect("a port");
        socket.connect(to).await.expect("connected");
        let at = socket.local_addr().expect("bound");
        Self { socket, to, at }
    }

    /// An INVITE, the same each time it is asked for.
    pub(crate) fn invite(&self) -> String {
        let at = self.at;
        let body = format!(
            "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n",
            ip = at.ip()
        );
        self.request("INVITE", "1 INVITE", "z9hG4bKonce", "", &body)
    }

    /// A request of the same call.
    pub(crate) fn request(&self, method: &str, cseq: &str, branch: &str, to_tag: &str, body: &str) -> String {
        let Self { at, to, .. } = self;
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        format!(
            "{method} sip:01512340321@{to} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch={branch}\r\n\
             From: <sip:080@{at}>;tag=ours\r\nTo: <sip:01512340321@{to}>{to_tag}\r\nCall-ID: once@{at}\r\n\
             CSeq: {cseq}\r\nContact: <sip:080@{at}>\r\nMax-Forwards: 70\r\nX-Exotel-AccountSid: {ACCOUNT}\r\n\
             {kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    /// Sends it.
    pub(crate) async fn send(&self, text: &str) {
        self.socket.send(text.as_bytes()).await.expect("sent");
    }

    /// Waits for an answer that begins so; all answers up to and with it.
    pub(crate) async fn answered(&self, first_line: &str) -> Vec<String> {
        let (mut all, mut bytes) = (Vec::new(), [0; 4000]);
        loop {
            let length = timeout(PATIENCE, self.socket.recv(&mut bytes)).await;
            let length = length.unwrap_or_else(|_| panic!("no {first_line}: {all:?}")).expect("received");
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            let found = text.starts_with(first_line);
            all.push(text);
            if found {
                return all;
            }
        }
    }
}

/// `;tag=...` of the To of an answer.
pub(crate) fn to_tag(answer: &str) -> String {
    let to = answer.lines().find(|line| line.starts_with("To:")).expect("a To");
    to.find(";tag=").map_or(String::new(), |at| to[at..].to_owned())
}
