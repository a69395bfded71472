//! Thin wrappers over the socket calls, a plain or encrypted TCP stream, and epoll. Every socket is of 127.0.0.1.

use std::mem;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::NoServerSessionStorage;

pub fn sa(ip: u32, port: u16) -> libc::sockaddr_in {
    let mut a: libc::sockaddr_in = unsafe { mem::zeroed() };
    a.sin_family = libc::AF_INET as u16;
    a.sin_port = port.to_be();
    a.sin_addr.s_addr = ip.to_be();
    a
}
pub const LO: u32 = 0x7f000001;

pub fn udp_socket(port: u16) -> i32 {
    unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0);
        assert!(fd >= 0, "socket: {}", std::io::Error::last_os_error());
        let a = sa(LO, port);
        let r = libc::bind(fd, &a as *const _ as *const _, mem::size_of_val(&a) as u32);
        assert!(r == 0, "bind {port}: {}", std::io::Error::last_os_error());
        fd
    }
}

pub fn set_rcvbuf(fd: i32, n: i32) {
    unsafe {
        libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, &n as *const _ as *const _, 4);
    }
}

pub fn local_port(fd: i32) -> u16 {
    unsafe {
        let mut a = sa(0, 0);
        let mut l = mem::size_of_val(&a) as u32;
        libc::getsockname(fd, &mut a as *mut _ as *mut _, &mut l);
        u16::from_be(a.sin_port)
    }
}

pub fn connect(fd: i32, ip: u32, port: u16) -> i32 {
    let a = sa(ip, port);
    unsafe { libc::connect(fd, &a as *const _ as *const _, mem::size_of_val(&a) as u32) }
}

pub fn sendto(fd: i32, b: &[u8], ip: u32, port: u16) -> isize {
    let a = sa(ip, port);
    unsafe {
        libc::sendto(
            fd,
            b.as_ptr() as *const _,
            b.len(),
            0,
            &a as *const _ as *const _,
            mem::size_of_val(&a) as u32,
        )
    }
}

pub fn recvfrom(fd: i32, b: &mut [u8]) -> Option<(usize, u16)> {
    unsafe {
        let mut a = sa(0, 0);
        let mut l = mem::size_of_val(&a) as u32;
        let n = libc::recvfrom(fd, b.as_mut_ptr() as *mut _, b.len(), 0, &mut a as *mut _ as *mut _, &mut l);
        if n < 0 { None } else { Some((n as usize, u16::from_be(a.sin_port))) }
    }
}

pub fn send(fd: i32, b: &[u8]) -> isize {
    unsafe { libc::send(fd, b.as_ptr() as *const _, b.len(), libc::MSG_NOSIGNAL) }
}
pub fn recv(fd: i32, b: &mut [u8]) -> isize {
    unsafe { libc::recv(fd, b.as_mut_ptr() as *mut _, b.len(), 0) }
}

pub struct Epoll(pub i32);
impl Default for Epoll {
    fn default() -> Self {
        Self::new()
    }
}

impl Epoll {
    pub fn new() -> Self {
        Epoll(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })
    }
    pub fn add(&self, fd: i32, token: u64) {
        let mut e = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token };
        unsafe { libc::epoll_ctl(self.0, libc::EPOLL_CTL_ADD, fd, &mut e) };
    }
    pub fn remove(&self, fd: i32) {
        unsafe { libc::epoll_ctl(self.0, libc::EPOLL_CTL_DEL, fd, std::ptr::null_mut()) };
    }

    /// What is ready within so many microseconds.
    pub fn wait_us<'a>(&self, events: &'a mut [libc::epoll_event], us: u64) -> &'a [libc::epoll_event] {
        let wait = libc::timespec { tv_sec: 0, tv_nsec: (us.min(999_999) * 1000) as i64 };
        let room = events.len();
        let ready = unsafe {
            libc::syscall(libc::SYS_epoll_pwait2, self.0, events.as_mut_ptr(), room, &raw const wait, 0, 8)
        };
        &events[..ready.max(0) as usize]
    }
}

// ---------------------------------------------------------------- a TCP fd, plain or TLS

pub struct Fd(pub i32);
impl std::io::Read for Fd {
    fn read(&mut self, b: &mut [u8]) -> std::io::Result<usize> {
        let n = recv(self.0, b);
        if n < 0 { Err(std::io::Error::last_os_error()) } else { Ok(n as usize) }
    }
}
impl std::io::Write for Fd {
    fn write(&mut self, b: &[u8]) -> std::io::Result<usize> {
        let n = send(self.0, b);
        if n < 0 { Err(std::io::Error::last_os_error()) } else { Ok(n as usize) }
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub struct Stream {
    pub fd: i32,
    pub tls: Option<Box<rustls::ServerConnection>>,
}
impl Stream {
    /// 0: closed, -1: nothing now
    pub fn read(&mut self, b: &mut [u8]) -> isize {
        use std::io::Read;
        let Some(t) = self.tls.as_mut() else {
            let k = recv(self.fd, b);
            if k < 0 && std::io::Error::last_os_error().kind() != std::io::ErrorKind::WouldBlock {
                return 0;
            }
            return k;
        };
        match t.read_tls(&mut Fd(self.fd)) {
            Ok(0) => return 0,
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return 0,
            _ => {}
        }
        if t.process_new_packets().is_err() {
            return 0;
        }
        while t.wants_write() {
            if t.write_tls(&mut Fd(self.fd)).is_err() {
                break;
            }
        }
        let mut n = 0;
        while n < b.len() {
            match t.reader().read(&mut b[n..]) {
                Ok(0) => return n as isize,
                Ok(k) => n += k,
                Err(_) => break,
            }
        }
        if n == 0 { -1 } else { n as isize }
    }
    pub fn write(&mut self, b: &[u8]) -> isize {
        use std::io::Write;
        let Some(t) = self.tls.as_mut() else {
            return send(self.fd, b);
        };
        if t.wants_write() && t.write_tls(&mut Fd(self.fd)).is_err() {
            return -1;
        }
        let _ = t.writer().write_all(b);
        while t.wants_write() {
            if t.write_tls(&mut Fd(self.fd)).is_err() {
                break;
            }
        }
        b.len() as isize
    }
}

/// A server with this certificate and PKCS#8 key, both DER files. Without `resume` no session can be taken up again:
/// every handshake is a full one.
pub fn tls_config(certificate: &str, key: &str, resume: bool) -> Arc<rustls::ServerConfig> {
    let read = |path: &str| std::fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let chain = vec![CertificateDer::from(read(certificate))];
    let key = PrivatePkcs8KeyDer::from(read(key));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.expect("versions").with_no_client_auth();
    let mut config = builder.with_single_cert(chain, key.into()).expect("certificate and key");
    if !resume {
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
    }
    Arc::new(config)
}

/// A listening TCP socket.
pub fn listen(port: u16) -> i32 {
    unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0);
        set(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR);
        let at = sa(LO, port);
        let bound = libc::bind(fd, (&raw const at).cast(), 16);
        assert!(bound == 0, "bind {port}: {}", std::io::Error::last_os_error());
        libc::listen(fd, 1024);
        fd
    }
}

/// The next connection that waits; small messages go out at once.
pub fn accept(listener: i32) -> Option<i32> {
    let none = std::ptr::null_mut();
    let fd = unsafe {
        libc::accept4(listener, none, std::ptr::null_mut(), libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC)
    };
    (fd >= 0).then(|| {
        set(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY);
        fd
    })
}

fn set(fd: i32, level: i32, option: i32) {
    let one = 1i32;
    unsafe { libc::setsockopt(fd, level, option, (&raw const one).cast(), 4) };
}

pub fn close(fd: i32) {
    unsafe { libc::close(fd) };
}

/// A TCP connection, waited for.
pub fn tcp_connected(port: u16) -> Option<i32> {
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    if connect(fd, LO, port) != 0 {
        close(fd);
        return None;
    }
    set(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY);
    Some(fd)
}

/// From now on nothing waits for this socket.
pub fn no_waiting(fd: i32) {
    unsafe {
        let flags = libc::fcntl(fd, libc::F_GETFL);
        libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK);
    }
}
