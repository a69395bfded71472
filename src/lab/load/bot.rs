//! A bot for load: sends every media message back as it came, reads nothing else and keeps nothing.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use futures_util::{SinkExt as _, StreamExt as _};
use memchr::memmem;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::lab::bot::Certificate;

/// What a message of audio has in it.
const MEDIA: &[u8] = br#""event":"media""#;

/// A running echo on `wss://127.0.0.1`; dropping it ends it and all its sessions.
#[derive(Debug)]
pub struct Echo {
    address: SocketAddr,
    certificate: Certificate,
    accept: JoinHandle<()>,
}

impl Echo {
    /// Opens a free port and begins to accept. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// What the system says of the port, or a certificate that could not be made.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let certificate = Certificate::for_address(address.ip())?;
        let accept = tokio::spawn(accept(listener, certificate.acceptor()?));
        Ok(Self { address, certificate, accept })
    }

    /// Its address as a URL; `path` with its slash and query.
    pub fn url(&self, path: &str) -> String {
        format!("wss://{}{path}", self.address)
    }

    /// For `stream.ca_file`.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor) {
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                // A session that breaks is seen by the other side.
                Ok((tcp, _)) => drop(sessions.spawn(serve(tcp, tls.clone()))),
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await, // out of descriptors
            },
            Some(_) = sessions.join_next() => {}
        }
    }
}

async fn serve(tcp: TcpStream, tls: TlsAcceptor) -> Option<()> {
    tcp.set_nodelay(true).ok()?;
    let stream = tls.accept(tcp).await.ok()?;
    // Every message goes out at once, and little is set aside for each of many.
    let settings = WebSocketConfig::default().write_buffer_size(0).read_buffer_size(4096);
    let mut socket = accept_async_with_config(stream, Some(settings)).await.ok()?;
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Text(text) = message
            && memmem::find(text.as_bytes(), MEDIA).is_some()
        {
            socket.send(Message::Text(text)).await.ok()?;
        }
    }
    Some(())
}
