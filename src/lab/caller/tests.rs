//! The caller against an answering machine that speaks SIP by hand: what it sends is read as text, what it is
//! told is written as text.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::*;
use crate::lab::ear::compare;
use crate::lab::ladder::Ladder;
use crate::lab::speech::Speech;
use crate::sdp::Law;
use crate::sip::{Credentials, Ended};

fn field<'a>(message: &'a str, name: &str) -> &'a str {
    let line = message.lines().find(|line| line.to_ascii_lowercase().starts_with(&name.to_ascii_lowercase()));
    line.and_then(|line| line.split_once(':')).map_or("", |(_, value)| value.trim())
}

/// An answer to a request, with a tag and the body of that SDP port.
fn answer(request: &str, status: &str, rtp: Option<u16>) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for name in ["Via", "From", "Call-ID", "CSeq"] {
        text += &format!("{name}: {}\r\n", field(request, name));
    }
    let tag = if field(request, "To").contains(";tag=") { "" } else { ";tag=machine" };
    text += &format!("To: {}{tag}\r\nContact: <sip:machine@127.0.0.1:5099>\r\n", field(request, "To"));
    let body = rtp.map_or(String::new(), |port| {
        format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n"
        )
    });
    if !body.is_empty() {
        text += "Content-Type: application/sdp\r\n";
    }
    text + &format!("Content-Length: {}\r\n\r\n{body}", body.len())
}

/// Sends back every RTP packet, and keeps the keys.
async fn echo(rtp: UdpSocket, keys: Arc<Mutex<Vec<(u8, u32)>>>) {
    let mut buffer = [0; 2048];
    while let Ok((length, from)) = rtp.recv_from(&mut buffer).await {
        if buffer[1] & 0x7f == 101 {
            let timestamp = u32::from_be_bytes([buffer[4], buffer[5], buffer[6], buffer[7]]);
            keys.lock().unwrap().push((buffer[12], timestamp));
        }
        rtp.send_to(&buffer[..length], from).await.unwrap();
    }
}

async fn caller() -> Caller {
    // On a busy machine nothing is to be sent twice.
    let t1 = Duration::from_secs(5);
    let config = Config { bind: Ipv4Addr::LOCALHOST.into(), t1, ..Config::default() };
    Caller::start(config).await.unwrap()
}

/// Answers every INVITE over UDP with 100, 180, 200; ends when it gets BYE.
async fn machine() -> (SocketAddr, Arc<Mutex<Vec<(u8, u32)>>>) {
    let sip = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = sip.local_addr().unwrap();
    let keys = Arc::<Mutex<Vec<(u8, u32)>>>::default();
    let heard = keys.clone();
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        loop {
            let (length, from) = sip.recv_from(&mut buffer).await.unwrap();
            let request = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let contact = format!("<sip:machine@{address}>");
            let mut send = Vec::new();
            if request.starts_with("INVITE ") {
                let rtp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                let port = rtp.local_addr().unwrap().port();
                tokio::spawn(echo(rtp, heard.clone()));
                send = vec![
                    answer(&request, "100 Trying", None),
                    answer(&request, "180 Ringing", None),
                    answer(&request, "200 OK", Some(port)),
                ];
            } else if request.starts_with("BYE ") {
                send = vec![answer(&request, "200 OK", None)];
            }
            for text in send {
                let text = text.replace("<sip:machine@127.0.0.1:5099>", &contact);
                sip.send_to(text.as_bytes(), from).await.unwrap();
            }
        }
    });
    (address, keys)
}

#[tokio::test]
async fn it_speaks_and_hears_itself_from_an_echo() {
    let (address, keys) = machine().await;
    let caller = caller().await;
    let ladder = Ladder::begin();
    let dial = Dial::to(format!("sip:1000@{address}")).header("X-UUI", "A1").on(&ladder);
    let call = caller.dial(dial).await.unwrap();
    let agreed = call.answered().await.unwrap();
    assert_eq!((agreed.law, agreed.telephone_event), (Law::A, Some(101)));
    let said = Speech::Barge.sound();
    call.say("barge", &said).await;
    call.press("5#").await;
    let record = call.finish().await;
    let judged = compare(&record.audio.heard.sound(false), &said).unwrap();
    let known = judged.segments.iter().filter(|piece| piece.correlation > 0.99).count();
    // what a machine that stood still kept from being said in its time was said later
    let (held_up, all) = (record.audio.sent_late_ms > 40.0, judged.segments.len());
    assert!(judged.correlation > 0.99 || held_up && 2 * known > all, "{known} of {all} pieces: {judged:?}");
    let names: Vec<&str> = record.audio.spoken.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["barge", "5", "#"]);
    let mut events = keys.lock().unwrap().clone();
    events.dedup();
    assert_eq!(events.iter().map(|(event, _)| *event).collect::<Vec<_>>(), [5, 11]);
    assert_eq!(record.ended, Some(Ended::ByUs));
    let Times { invite, trying, ringing, answered, acknowledged, bye, bye_by_us, over } = record.times;
    let times = [invite, trying, ringing, answered, acknowledged, bye, over];
    assert!(times.iter().all(Option::is_some) && times.is_sorted() && bye_by_us, "{times:?}");
    assert!(record.sip[0].text.contains("X-UUI: A1\r\n"));
    let mut labels: Vec<String> =
        ladder.rungs().into_iter().map(|r| r.label).filter(|l| !l.contains("RTP")).collect();
    labels.dedup(); // a busy machine makes it send one again
    let wanted = ["INVITE", "100 Trying", "180 Ringing", "200 OK", "ACK", "BYE", "200 OK to BYE"];
    assert_eq!(labels, wanted);
}

#[tokio::test]
async fn many_calls_run_at_once() {
    let (address, _) = machine().await;
    let caller = caller().await;
    let mut calls = Vec::new();
    for n in 0..20 {
        let call = caller.dial(Dial::to(format!("sip:{n}@{address}"))).await.unwrap();
        call.answered().await.unwrap();
        drop(call.say("barge", &Speech::Barge.sound()));
        calls.push(call);
    }
    for call in &calls {
        let heard = call.until_voiced(20u64.saturating_sub(call.voiced()));
        tokio::time::timeout(Duration::from_secs(30), heard).await.expect("the echo is heard");
    }
    for call in calls {
        let record = call.finish().await;
        assert_eq!(record.ended, Some(Ended::ByUs));
        assert!(record.audio.heard.quality().packets >= 20);
    }
}

#[tokio::test]
async fn a_refusal_is_told_with_its_status() {
    let sip = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = sip.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        loop {
            let (length, from) = sip.recv_from(&mut buffer).await.unwrap();
            let request = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if request.starts_with("INVITE ") {
                sip.send_to(answer(&request, "486 Busy Here", None).as_bytes(), from).await.unwrap();
            }
        }
    });
    let caller = caller().await;
    let call = caller.dial(Dial::to(format!("sip:1000@{address}"))).await.unwrap();
    let refused = call.answered().await.unwrap_err();
    assert!(matches!(refused, Ended::Refused { status: 486, .. }), "{refused:?}");
    let record = call.finish().await;
    assert!(record.sip.iter().any(|s| s.sent && s.line.starts_with("ACK ")));
    assert_eq!(record.agreed, None);
}

#[tokio::test]
async fn a_challenge_is_answered_with_the_credentials_of_the_call() {
    let sip = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = sip.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        loop {
            let (length, from) = sip.recv_from(&mut buffer).await.unwrap();
            let request = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if !request.starts_with("INVITE ") {
                continue;
            }
            let named = field(&request, "Authorization").contains("username=\"1001\"");
            let challenge =
                "WWW-Authenticate: Digest realm=\"pbx\", nonce=\"abc\", qop=\"auth\"\r\nContent-Length";
            let text = match named {
                true => answer(&request, "486 Busy Here", None),
                false => answer(&request, "401 Unauthorized", None).replace("Content-Length", challenge),
            };
            sip.send_to(text.as_bytes(), from).await.unwrap();
        }
    });
    let caller = caller().await;
    let credentials = Credentials { user: "1001".to_owned(), password: "secret".to_owned(), realm: None };
    let dial = Dial { credentials: Some(credentials), ..Dial::to(format!("sip:1000@{address}")) };
    let call = caller.dial(dial).await.unwrap();
    let refused = call.answered().await.unwrap_err();
    assert!(matches!(refused, Ended::Refused { status: 486, .. }), "{refused:?}");
    let record = call.finish().await;
    assert!(record.sip.iter().all(|seen| !seen.text.contains("secret")));
}

#[tokio::test]
async fn over_tcp_the_peer_hangs_up_in_the_same_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let invite = read(&mut stream).await;
        assert!(field(&invite, "Via").starts_with("SIP/2.0/TCP "), "{invite}");
        stream.write_all(answer(&invite, "200 OK", Some(9)).as_bytes()).await.unwrap();
        assert!(read(&mut stream).await.starts_with("ACK "));
        let contact = field(&invite, "Contact").trim_start_matches('<').split('>').next().unwrap().to_owned();
        let (from, to) = (field(&invite, "To").to_owned() + ";tag=machine", field(&invite, "From"));
        let bye = format!(
            "BYE {contact} SIP/2.0\r\nVia: SIP/2.0/TCP {address};branch=z9hG4bKbye\r\nMax-Forwards: 70\r\n\
             From: {from}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n",
            field(&invite, "Call-ID")
        );
        stream.write_all(bye.as_bytes()).await.unwrap();
        assert!(read(&mut stream).await.starts_with("SIP/2.0 200"));
        std::future::pending::<()>().await;
    });
    let caller = caller().await;
    let call = caller.dial(Dial::to(format!("sip:1000@{address};transport=tcp"))).await.unwrap();
    call.answered().await.unwrap();
    assert!(matches!(call.ended().await, Ended::Bye { .. }));
    let record = call.finish().await;
    assert!(record.times.bye.is_some() && !record.times.bye_by_us);
}

/// One message; ours fit one segment on loopback, or the rest follows.
async fn read(stream: &mut TcpStream) -> String {
    let (mut got, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let length = stream.read(&mut buffer).await.unwrap();
        got.extend_from_slice(&buffer[..length]);
        let text = String::from_utf8_lossy(&got).into_owned();
        if let Some(head) = text.find("\r\n\r\n") {
            let body: usize = field(&text, "Content-Length").parse().unwrap();
            if text.len() >= head + 4 + body {
                return text;
            }
        }
    }
}

#[tokio::test]
async fn what_cannot_be_dialled_is_refused_before_anything_is_sent() {
    let caller = caller().await;
    let refused = |dial| async { caller.dial(dial).await.map(|_| ()).unwrap_err().to_string() };
    assert!(refused(Dial::to("mailto:a@b")).await.contains("no SIP URI"));
    assert!(refused(Dial::to("sip:a@127.0.0.1;transport=tls")).await.contains("no certificate to trust"));
    let injected = Dial::to("sip:a@127.0.0.1").header("X-A", "b\r\nEvil: yes");
    assert!(refused(injected).await.contains("control characters"));
    let uri = Dial::to("sip:a@127.0.0.1\r\nEvil: yes");
    assert!(refused(uri).await.contains("no SIP URI"));
}
