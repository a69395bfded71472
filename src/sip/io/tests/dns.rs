//! Targets that are names, against a name server on loopback.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use super::*;
use crate::sip::Target;

const A: u16 = 1;
const SRV: u16 = 33;

/// A record: time to live, and its data as they stand on the wire.
type Record = (u32, Vec<u8>);

/// A name server that knows a few names and remembers what it was asked.
struct NameServer {
    at: SocketAddr,
    asked: Arc<Mutex<Vec<(String, u16)>>>,
}

impl NameServer {
    async fn start(zone: HashMap<(&'static str, u16), Vec<Record>>) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (at, asked) = (socket.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let heard = asked.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 2048];
            while let Ok((count, from)) = socket.recv_from(&mut buffer).await {
                let (name, kind, end) = question(&buffer[..count]);
                let records = zone.get(&(name.as_str(), kind)).cloned();
                let known = zone.keys().any(|(of, _)| *of == name);
                heard.lock().unwrap().push((name, kind));
                let answer = answer(&buffer[..end], records.unwrap_or_default(), known, kind);
                socket.send_to(&answer, from).await.unwrap();
            }
        });
        Self { at, asked }
    }

    fn asked(&self) -> Vec<(String, u16)> {
        let mut asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.sort();
        asked
    }
}

/// Name and type of the first question, and where it ends.
fn question(packet: &[u8]) -> (String, u16, usize) {
    let (mut name, mut at) = (String::new(), 12);
    while packet[at] != 0 {
        let label = &packet[at + 1..=at + usize::from(packet[at])];
        name.push_str(&String::from_utf8_lossy(label).to_lowercase());
        name.push('.');
        at += 1 + label.len();
    }
    (name, u16::from_be_bytes([packet[at + 1], packet[at + 2]]), at + 5)
}

fn answer(question: &[u8], records: Vec<Record>, known: bool, kind: u16) -> Vec<u8> {
    let mut packet = question.to_vec();
    packet[2..4].copy_from_slice(&[0x85, if known { 0x80 } else { 0x83 }]); // an answer; NXDOMAIN
    packet[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
    packet[8..12].fill(0);
    for (ttl, data) in records {
        packet.extend_from_slice(&[0xC0, 12]); // the name asked for
        packet.extend_from_slice(&kind.to_be_bytes());
        packet.extend_from_slice(&1_u16.to_be_bytes());
        packet.extend_from_slice(&ttl.to_be_bytes());
        packet.extend_from_slice(&(data.len() as u16).to_be_bytes());
        packet.extend_from_slice(&data);
    }
    packet
}

fn loopback() -> Record {
    (60, Ipv4Addr::LOCALHOST.octets().to_vec())
}

fn srv(priority: u16, port: u16, host: &str) -> Record {
    let mut data = [priority, 0, port].map(u16::to_be_bytes).concat();
    for label in host.split('.') {
        data.push(label.len() as u8);
        data.extend_from_slice(label.as_bytes());
    }
    data.push(0);
    (60, data)
}

fn trunk(host: &str, port: Option<u16>) -> Trunk {
    let host = host.to_owned();
    let target = Target { host, port, transport: None, priority: 0, weight: 0, credentials: None };
    Trunk { targets: vec![target], options_ping: Duration::ZERO, ..Trunk::new("named") }
}

fn to_targets(leg: LegId) -> Command {
    let Command::Dial(dial) = dial(leg, "127.0.0.1:9".parse().unwrap(), Transport::Udp) else {
        unreachable!()
    };
    Command::Dial(Box::new(Dial { to: Destination::Targets, ..*dial }))
}

fn start(trunk: Trunk, names: &NameServer) -> Node {
    Node::start_at(None, Limits::default(), trunk, vec![names.at])
}

/// A port that is closed to all but one; kept, so that nobody else opens it.
fn closed_port() -> std::net::UdpSocket {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect("127.0.0.1:1").unwrap();
    socket
}

#[tokio::test]
async fn a_name_leads_by_srv_to_the_first_place_that_is_there() {
    let pbx = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (port, nobody) = (pbx.local_addr().unwrap().port(), closed_port());
    let closed = nobody.local_addr().unwrap().port();
    let names = NameServer::start(HashMap::from([
        (("_sip._udp.pbx.test.", SRV), vec![srv(20, port, "b.pbx.test"), srv(10, closed, "a.pbx.test")]),
        (("a.pbx.test.", A), vec![loopback()]),
        (("b.pbx.test.", A), vec![loopback()]),
    ]))
    .await;
    let mut node = start(trunk("pbx.test", None), &names);
    node.command(to_targets(LegId(1 << 63))).await;
    let invite = datagram(&pbx).await;
    assert_eq!((invite.method().as_str(), invite.via().host()), ("INVITE", "127.0.0.1"));
    let asked = names.asked();
    assert!(asked.contains(&("_sip._udp.pbx.test.".to_owned(), SRV)), "{asked:?}");
    assert!(asked.contains(&("b.pbx.test.".to_owned(), A)), "{asked:?}");
    assert!(!asked.iter().any(|(name, _)| name == "pbx.test."), "{asked:?}");
    let busy = crate::sip::message::Response::to(&invite, 486).to_tag("x").octets();
    pbx.send_to(&busy, node.udp).await.unwrap();
    assert_eq!(datagram(&pbx).await.method().as_str(), "ACK");
    assert!(matches!(node.event().await, Event::Ended { how: Ended::Refused { status: 486, .. }, .. }));
    node.command(to_targets(LegId(1 << 63 | 1))).await;
    assert_eq!(datagram(&pbx).await.method().as_str(), "INVITE", "what failed rests");
    assert_eq!(names.asked(), [], "and what was found is remembered");
}

#[tokio::test]
async fn without_srv_and_with_a_port_the_address_is_asked_for() {
    let pbx = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let names = NameServer::start(HashMap::from([(("pbx.test.", A), vec![loopback()])])).await;
    let port = pbx.local_addr().unwrap().port();
    let node = start(trunk("pbx.test", Some(port)), &names);
    node.command(to_targets(LegId(1 << 63))).await;
    assert_eq!(datagram(&pbx).await.method().as_str(), "INVITE");
    assert!(names.asked().iter().all(|(name, kind)| name == "pbx.test." && *kind != SRV));
    let mut unported = start(trunk("pbx.test", None), &names);
    unported.command(to_targets(LegId(1 << 63))).await;
    let asked = async {
        while names.asked.lock().unwrap().iter().all(|(name, _)| name != "pbx.test.") {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, asked).await.expect("the address is asked for");
    unported.command(Command::Hangup { leg: LegId(1 << 63), reason: None }).await;
    assert!(names.asked().contains(&("_sip._tcp.pbx.test.".to_owned(), SRV)));
    drop(unported.events.recv());
}

#[tokio::test]
async fn a_name_nobody_knows_ends_the_call_and_a_stranger_it_is_not_asked_about_again() {
    let names = NameServer::start(HashMap::new()).await;
    let mut node = start(trunk("nobody.test", None), &names);
    node.command(to_targets(LegId(1 << 63))).await;
    assert!(matches!(node.event().await, Event::Ended { how: Ended::Lost, .. }));
    assert!(!names.asked().is_empty());
    node.command(to_targets(LegId(1 << 63 | 1))).await;
    assert!(matches!(node.event().await, Event::Ended { how: Ended::Lost, .. }));
    assert_eq!(names.asked(), []);
    assert_eq!(node.stop().await, 0);
}
