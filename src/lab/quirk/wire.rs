//! The ways SIP travels: a socket with a task that reads it. Framing by our own eyes: Content-Length, nothing else.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, UdpSocket};
use tokio::sync::mpsc::Sender;
use tokio::task::JoinHandle;

use super::ground::Ground;
use crate::sip::Transport;

/// Octets of the longest message that is taken.
const LONGEST: usize = 70_000;

/// Something that came.
#[derive(Clone, Debug)]
pub(super) struct Arrived {
    /// When.
    pub(super) at: Instant,
    /// Over which wire of the stage.
    pub(super) wire: usize,
    /// A message; empty: the connection was closed; two octets: CRLF, a pong.
    pub(super) bytes: Vec<u8>,
}

/// A way to the daemon; its reader ends with it.
pub(super) struct Wire {
    /// How.
    pub(super) transport: Transport,
    /// Our end.
    pub(super) local: SocketAddr,
    /// The other end.
    remote: SocketAddr,
    way: Way,
    reader: JoinHandle<()>,
}

enum Way {
    Datagrams(Arc<UdpSocket>),
    Stream(Box<dyn AsyncWrite + Send + Sync + Unpin>),
}

impl Wire {
    /// Opens it; what comes is put in `arrivals` under this place.
    pub(super) async fn open(
        ground: &Ground,
        door: (Transport, SocketAddr),
        place: usize,
        arrivals: Sender<Arrived>,
    ) -> io::Result<Self> {
        let (transport, remote) = door;
        match transport {
            Transport::Udp => Self::datagrams(ground, remote, place, arrivals).await,
            Transport::Tcp | Transport::Tls => {
                let stream = connect(ground.ip, remote).await?;
                let local = stream.local_addr()?;
                let (way, reader) = match (&ground.tls, transport) {
                    (Some((connector, name)), Transport::Tls) => {
                        split(connector.connect(name.clone(), stream).await?, place, arrivals)
                    }
                    (None, Transport::Tls) => return Err(io::Error::other("TLS without anything to trust")),
                    _ => split(stream, place, arrivals),
                };
                Ok(Self { transport, local, remote, way, reader })
            }
        }
    }

    async fn datagrams(
        ground: &Ground,
        remote: SocketAddr,
        place: usize,
        arrivals: Sender<Arrived>,
    ) -> io::Result<Self> {
        let port = if place == 0 { ground.port } else { 0 };
        let socket = Arc::new(UdpSocket::bind((ground.ip, port)).await?);
        let (local, ears) = (socket.local_addr()?, socket.clone());
        let reader = tokio::spawn(async move {
            let mut buffer = vec![0; LONGEST];
            while let Ok((length, _)) = ears.recv_from(&mut buffer).await {
                // The port above another call's RTP: where its RTCP goes, for that call keeps no socket there.
                if buffer[..length].first().is_some_and(|first| first >> 6 == 2) {
                    continue;
                }
                let arrived = Arrived { at: Instant::now(), wire: place, bytes: buffer[..length].to_vec() };
                if arrivals.send(arrived).await.is_err() {
                    return;
                }
            }
        });
        Ok(Self { transport: Transport::Udp, local, remote, way: Way::Datagrams(socket), reader })
    }

    /// Sends these octets as one datagram, or as they are.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.way {
            Way::Datagrams(socket) => socket.send_to(bytes, self.remote).await.map(drop),
            Way::Stream(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn connect(ip: IpAddr, remote: SocketAddr) -> io::Result<tokio::net::TcpStream> {
    let socket = if remote.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind((ip, 0).into())?;
    let stream = socket.connect(remote).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn split<S>(stream: S, place: usize, arrivals: Sender<Arrived>) -> (Way, JoinHandle<()>)
where
    S: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static,
{
    let (read, write) = tokio::io::split(stream);
    (Way::Stream(Box::new(write)), tokio::spawn(listen(read, place, arrivals)))
}

async fn listen(mut stream: impl AsyncRead + Unpin, wire: usize, arrivals: Sender<Arrived>) {
    let mut buffer = Vec::new();
    loop {
        while let Some(length) = whole(&buffer) {
            let rest = buffer.split_off(length);
            let bytes = std::mem::replace(&mut buffer, rest);
            if arrivals.send(Arrived { at: Instant::now(), wire, bytes }).await.is_err() {
                return;
            }
        }
        let got = stream.read_buf(&mut buffer).await;
        if buffer.len() > LONGEST || !matches!(got, Ok(length) if length > 0) {
            // Who waits is told that nothing more comes; nobody waiting is fine.
            drop(arrivals.send(Arrived { at: Instant::now(), wire, bytes: Vec::new() }).await);
            return;
        }
    }
}

/// Length of the message, or of the CRLF, that the buffer begins with.
fn whole(buffer: &[u8]) -> Option<usize> {
    if buffer.starts_with(b"\r\n") {
        return Some(2);
    }
    let head = memchr::memmem::find(buffer, b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let end = head + length.unwrap_or(0);
    (buffer.len() >= end).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_ends_where_its_content_length_says() {
        let message = b"SIP/2.0 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(whole(&message[..message.len() - 1]), None);
        assert_eq!(whole(&[message.as_slice(), b"SIP"].concat()), Some(message.len()));
        assert_eq!((whole(b"\r\nSIP"), whole(b"SIP/2.0 2")), (Some(2), None));
    }
}
