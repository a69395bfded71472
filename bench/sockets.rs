//! What reading a packet costs by the way it is read: a core with 200 sockets, of which ten have something at each
//! millisecond. `media/socket.rs` does as `edges_and_one_by_one` does.
//!
//! `cargo bench --bench sockets`; the figures stand in docs/performance.md.

use std::cell::RefCell;
use std::io::IoSliceMut;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use divan::{Bencher, black_box};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg};

const SOCKETS: usize = 200;
const BUSY: usize = 10;
const BATCH: usize = 8;
/// Packets of a socket that has something: an even network, and one that sends in clumps.
const CLUMPS: [usize; 2] = [1, 3];

fn main() {
    divan::main();
}

/// The sockets of one core, and who sends to them.
struct Core {
    sockets: Vec<UdpSocket>,
    epoll: Epoll,
    peer: UdpSocket,
    turn: usize,
    /// For `recvmmsg`: made once.
    rooms: RefCell<([[u8; 2048]; BATCH], MultiHeaders<SockaddrIn>)>,
}

impl Core {
    fn new(flags: EpollFlags) -> Self {
        let bind = || UdpSocket::bind(("127.0.0.1", 0)).expect("a port");
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("a descriptor");
        let sockets: Vec<UdpSocket> = (0..SOCKETS).map(|_| bind()).collect();
        for (at, socket) in sockets.iter().enumerate() {
            socket.set_nonblocking(true).expect("a socket of ours");
            epoll.add(socket, EpollEvent::new(flags | EpollFlags::EPOLLIN, at as u64)).expect("watched");
        }
        let rooms = RefCell::new(([[0; 2048]; BATCH], MultiHeaders::preallocate(BATCH, None)));
        Self { sockets, epoll, peer: bind(), turn: 0, rooms }
    }

    /// A millisecond's packets.
    fn send(&mut self, clump: usize) {
        for n in 0..BUSY {
            let to = self.sockets[(self.turn + n * 17) % SOCKETS].local_addr().expect("bound");
            for _ in 0..clump {
                self.peer.send_to(&[0xD5; 172], to).expect("sent");
            }
        }
        self.turn += 1;
    }

    fn ready(&self, mut each: impl FnMut(&UdpSocket) -> usize) -> usize {
        let mut events = [EpollEvent::empty(); 256];
        let told = self.epoll.wait(&mut events, EpollTimeout::ZERO).expect("looked");
        events[..told].iter().map(|event| each(&self.sockets[event.data() as usize])).sum()
    }
}

/// Runs a way of reading; every packet sent has to be read.
fn read(bencher: Bencher<'_, '_>, flags: EpollFlags, clump: usize, way: impl Fn(&Core) -> usize) {
    let core = RefCell::new(Core::new(flags));
    way(&core.borrow());
    bencher.counter(BUSY * clump).with_inputs(|| core.borrow_mut().send(clump)).bench_local_values(|()| {
        assert_eq!(black_box(way(&core.borrow())), BUSY * clump);
    });
}

/// By `recvfrom` until nothing is left, or once.
fn one_by_one(socket: &UdpSocket, most: usize) -> usize {
    let mut room = [0; 2048];
    (0..most).take_while(|_| socket.recv_from(&mut room).is_ok_and(|(length, _)| length > 0)).count()
}

/// By one `recvmmsg`.
fn batch(core: &Core, socket: &UdpSocket) -> usize {
    let (rooms, headers) = &mut *core.rooms.borrow_mut();
    let mut slices = rooms.each_mut().map(|room| [IoSliceMut::new(&mut room[..])]);
    let came = recvmmsg(socket.as_raw_fd(), headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None);
    came.map_or(0, |came| came.count())
}

#[divan::bench(args = CLUMPS)]
fn levels_and_one_by_one(bencher: Bencher<'_, '_>, clump: usize) {
    read(bencher, EpollFlags::empty(), clump, |core| core.ready(|socket| one_by_one(socket, usize::MAX)));
}

#[divan::bench(args = CLUMPS)]
fn levels_and_batches(bencher: Bencher<'_, '_>, clump: usize) {
    read(bencher, EpollFlags::empty(), clump, |core| core.ready(|socket| batch(core, socket)));
}

#[divan::bench(args = CLUMPS)]
fn edges_and_one_by_one(bencher: Bencher<'_, '_>, clump: usize) {
    read(bencher, EpollFlags::EPOLLET, clump, |core| core.ready(|socket| one_by_one(socket, usize::MAX)));
}

#[divan::bench(args = CLUMPS)]
fn edges_and_batches(bencher: Bencher<'_, '_>, clump: usize) {
    read(bencher, EpollFlags::EPOLLET, clump, |core| core.ready(|socket| batch(core, socket)));
}

#[divan::bench(args = CLUMPS)]
fn every_socket_asked(bencher: Bencher<'_, '_>, clump: usize) {
    read(bencher, EpollFlags::EPOLLET, clump, |core| {
        core.sockets.iter().map(|socket| one_by_one(socket, usize::MAX)).sum()
    });
}
