//! A stretch of network between two UDP ends that loses, delays, repeats and reorders as its seed says.
//!
//! ```text
//!   A ◄──► near │ out ──► │ far ◄──► B
//!               │ ◄── back│
//! ```
//!
//! A sends to `near` and gets what B sent from there; B sends to `far`. Either end may be named, or is
//! learned from the first packet it sends.

mod fate;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::sleep_until;

pub use fate::{Fates, Impairment};

/// Packets on their way at once; more are lost, as in a full queue.
const UNDER_WAY: usize = 4096;

/// A running path; dropping it ends it.
#[derive(Debug)]
pub struct Path {
    near: SocketAddr,
    far: SocketAddr,
    shared: Arc<Shared>,
    relay: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    ends: Mutex<[Option<SocketAddr>; 2]>,
    cut: AtomicBool,
    seen: AtomicU64,
    lost: AtomicU64,
}

impl Path {
    /// Opens both sockets on `ip` and begins to relay: `out` impairs what A sends, `back` what B sends.
    ///
    /// # Errors
    /// What the system says of the sockets.
    pub async fn open(ip: IpAddr, seed: u64, out: Impairment, back: Impairment) -> io::Result<Self> {
        let near = UdpSocket::bind((ip, 0)).await?;
        let far = UdpSocket::bind((ip, 0)).await?;
        let shared = Arc::<Shared>::default();
        let relay = Relay {
            fates: [Fates::new(seed, out), Fates::new(seed.wrapping_add(1), back)],
            queue: BinaryHeap::new(),
            count: 0,
            shared: shared.clone(),
        };
        let (near_at, far_at) = (near.local_addr()?, far.local_addr()?);
        let relay = tokio::spawn(relay.run([near, far]));
        Ok(Self { near: near_at, far: far_at, shared, relay })
    }

    /// Where A sends to.
    pub fn near(&self) -> SocketAddr {
        self.near
    }

    /// Where B sends to.
    pub fn far(&self) -> SocketAddr {
        self.far
    }

    /// Names the ends; what is None is learned.
    pub fn between(&self, a: Option<SocketAddr>, b: Option<SocketAddr>) {
        *self.shared.ends.lock().unwrap_or_else(PoisonError::into_inner) = [a, b];
    }

    /// While cut, nothing comes through.
    pub fn cut(&self, cut: bool) {
        self.shared.cut.store(cut, Relaxed);
    }

    /// Packets that came in at either side, and how many of them were lost.
    pub fn counts(&self) -> (u64, u64) {
        (self.shared.seen.load(Relaxed), self.shared.lost.load(Relaxed))
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        self.relay.abort();
    }
}

/// A packet on its way: when it is due, a number that keeps equals in order, the side it leaves by.
type Due = Reverse<(Instant, u64, usize, Vec<u8>)>;

struct Relay {
    fates: [Fates; 2],
    queue: BinaryHeap<Due>,
    count: u64,
    shared: Arc<Shared>,
}

impl Relay {
    async fn run(mut self, sockets: [UdpSocket; 2]) {
        let mut buffers = [[0u8; 2048]; 2];
        let [near, far] = &mut buffers;
        loop {
            let next =
                self.queue.peek().map_or_else(|| Instant::now() + Duration::from_secs(1), |due| due.0.0);
            tokio::select! {
                got = sockets[0].recv_from(near) => self.take(got, near, 0),
                got = sockets[1].recv_from(far) => self.take(got, far, 1),
                () = sleep_until(next.into()) => {}
            }
            self.send_due(&sockets).await;
        }
    }

    /// A socket error is an ICMP answer to something sent before: it says nothing of this packet.
    fn take(&mut self, got: io::Result<(usize, SocketAddr)>, buffer: &[u8], side: usize) {
        let Ok((length, from)) = got else { return };
        self.shared.seen.fetch_add(1, Relaxed);
        self.shared.ends.lock().unwrap_or_else(PoisonError::into_inner)[side].get_or_insert(from);
        let due = self.fates[side].judge(Instant::now());
        if due.is_empty() || self.queue.len() >= UNDER_WAY || self.shared.cut.load(Relaxed) {
            self.shared.lost.fetch_add(1, Relaxed);
            return;
        }
        for at in due {
            self.count += 1;
            self.queue.push(Reverse((at, self.count, 1 - side, buffer[..length].to_vec())));
        }
    }

    async fn send_due(&mut self, sockets: &[UdpSocket; 2]) {
        while self.queue.peek().is_some_and(|due| due.0.0 <= Instant::now()) {
            let Some(Reverse((_, _, side, bytes))) = self.queue.pop() else { return };
            let end = self.shared.ends.lock().unwrap_or_else(PoisonError::into_inner)[side];
            if let Some(to) = end {
                // What the system does not take is lost, as on any network.
                drop(sockets[side].send_to(&bytes, to).await);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    async fn through(out: Impairment, packets: u8) -> Vec<u8> {
        let path = Path::open(Ipv4Addr::LOCALHOST.into(), 11, out, Impairment::default()).await.unwrap();
        let a = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let b = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        path.between(None, Some(b.local_addr().unwrap()));
        let mut buffer = [0; 10];
        let mut came = Vec::new();
        for n in 0..packets {
            a.send_to(&[n], path.near()).await.unwrap();
        }
        while path.counts().0 < packets.into() || came.len() < (path.counts().0 - path.counts().1) as usize {
            if let Ok(got) = tokio::time::timeout(Duration::from_millis(50), b.recv_from(&mut buffer)).await {
                assert_eq!(got.unwrap().1, path.far());
                came.push(buffer[0]);
            }
        }
        b.send_to(b"back", path.far()).await.unwrap();
        assert_eq!(a.recv_from(&mut buffer).await.unwrap(), (4, path.near()));
        came
    }

    #[tokio::test]
    async fn a_good_path_changes_nothing_and_leads_back() {
        assert_eq!(through(Impairment::default(), 50).await, (0..50).collect::<Vec<u8>>());
    }

    #[tokio::test]
    async fn the_same_seed_loses_the_same_packets() {
        let lossy = Impairment { loss: 0.3, ..Impairment::default() };
        let first = through(lossy, 100).await;
        assert!((50..90).contains(&first.len()), "{}", first.len());
        assert_eq!(through(lossy, 100).await, first);
    }
}
