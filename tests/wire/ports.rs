//! Ports for programs that cannot take a free one by themselves.

use std::collections::HashSet;
use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Mutex, PoisonError};

/// Ports given out by this process: no two of its tests get the same.
static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// A port that is free for UDP and TCP just now.
pub(crate) fn free(ip: IpAddr) -> u16 {
    found(ip, 1, 1)
}

/// A multiple of four with three free ports behind it: RTP, RTCP and sipp's second echo.
pub(crate) fn four_free(ip: IpAddr) -> u16 {
    found(ip, 4, 4)
}

/// The first of so many free ports in a row, a power of two.
pub(crate) fn block(ip: IpAddr, count: u16) -> u16 {
    found(ip, count, count)
}

/// The first of so many free ports, on a multiple of `step`, below those the system takes by itself.
fn found(ip: IpAddr, count: u16, step: u16) -> u16 {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let given = given.get_or_insert_default();
    let is_free = |port: u16| UdpSocket::bind((ip, port)).is_ok() && TcpListener::bind((ip, port)).is_ok();
    // another process that looks begins elsewhere, and well away from its neighbours
    let begin = 4 * (std::process::id() % 500 * 119 % 500) as u16;
    let candidates =
        (begin..2000).chain(0..begin).map(|offset| 30_000 + offset).filter(|port| port % step == 0);
    for port in candidates {
        let all = || port..port + count;
        if all().all(|port| !given.contains(&port) && is_free(port)) {
            given.extend(all());
            return port;
        }
    }
    panic!("{count} free ports");
}

/// Whether somebody has this address open, as the kernel tells; it is not touched.
pub(crate) fn listened_on(at: SocketAddr, tcp: bool) -> bool {
    let table = match (tcp, at.is_ipv4()) {
        (false, true) => "/proc/net/udp",
        (false, false) => "/proc/net/udp6",
        (true, true) => "/proc/net/tcp",
        (true, false) => "/proc/net/tcp6",
    };
    let port = format!(":{:04X}", at.port());
    let open = |line: &str| {
        let mut columns = line.split_whitespace().skip(1);
        let local = columns.next().is_some_and(|local| local.ends_with(&port));
        // 0A is LISTEN; a UDP socket has no such state
        local && (!tcp || columns.nth(1) == Some("0A"))
    };
    fs::read_to_string(table).expect("proc").lines().skip(1).any(open)
}
