//! Who we call: sipp answers in every way a telephone, a proxy or a gateway may, and judges our requests.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use streamkit::ids::{Entropy, LegId, TrunkId};
use streamkit::sip::io::{Listen, Sockets, drive};
use streamkit::sip::{
    self, Body, Command, Credentials, Destination, Dial, Ended, Endpoint, Event, Load, Target, Transport,
    Trunk,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::kit::{PATIENCE, beside};
use crate::sipp::Scene;

const LEG: LegId = LegId(1 << 63);
/// Shorter than by default: what absorbs retransmissions and waits for late answers of a fork is soon gone.
const T1: Duration = Duration::from_millis(50);
/// How long transactions that ended well linger over UDP (RFC 3261 §17, Table 4).
const T4: Duration = Duration::from_secs(5);
/// Time for a fork's second answer.
const A_MOMENT: Duration = Duration::from_secs(1);

/// Signalling without a call behind it, that calls out.
struct Desk {
    at: SocketAddr,
    commands: mpsc::Sender<Command>,
    events: mpsc::UnboundedReceiver<Event>,
    signalling: JoinHandle<Endpoint>,
}

impl Desk {
    /// One that calls through a trunk of these targets.
    async fn open(targets: Vec<Target>, follow_redirect: bool) -> Self {
        let loopback = "127.0.0.0/8".parse().expect("a network");
        let options_ping = Duration::ZERO;
        let trunk =
            Trunk { peers: vec![loopback], targets, follow_redirect, options_ping, ..Trunk::new("out") };
        let config = sip::Config { trunks: vec![trunk], t1: T1, ..sip::Config::default() };
        let endpoint = Endpoint::new(config, Entropy::from_os());
        let any = "127.0.0.1:0".parse().expect("an address");
        let sockets = Sockets::bind(&[Listen { transport: Transport::Udp, addr: any }]).expect("a port");
        let at = sockets.local_addrs()[0].addr;
        let (commands, queue) = mpsc::channel(16);
        let (told, events) = mpsc::unbounded_channel();
        let tell = move |event| drop(told.send(event)); // a test that is over hears no more
        let signalling = tokio::spawn(drive(endpoint, sockets, queue, tell, None));
        Self { at, commands, events, signalling }
    }

    async fn order(&self, command: Command) {
        self.commands.send(command).await.expect("signalling is there");
    }

    /// Calls the trunk's targets.
    async fn call(&self) {
        let dial = Dial {
            leg: LEG,
            trunk: TrunkId(0),
            uri: "sip:1000@127.0.0.1".to_owned(),
            to: Destination::Targets,
            from: format!("sip:08061234509@{}", self.at),
            headers: Vec::new(),
            body: Some(sdp("sendrecv", 1)),
            credentials: None,
            ring_limit: Duration::from_secs(30),
        };
        self.order(Command::Dial(Box::new(dial))).await;
    }

    async fn next(&mut self) -> Event {
        let event = timeout(PATIENCE, self.events.recv()).await;
        event.expect("an event").expect("signalling is there")
    }

    /// The next event but for provisional answers and ACKs.
    async fn outcome(&mut self) -> Event {
        loop {
            match self.next().await {
                Event::Progress { .. } | Event::Confirmed { .. } => {}
                event => return event,
            }
        }
    }

    /// Waits until it rings, or says more; its SDP.
    async fn rings(&mut self, with: u16) -> Option<Body> {
        match self.next().await {
            Event::Progress { status, body, .. } if status == with => body,
            other => panic!("no {with}: {other:?}"),
        }
    }

    /// Waits for the answer; its SDP.
    async fn answered(&mut self) -> Option<Body> {
        match self.outcome().await {
            Event::Answered { body, .. } => body,
            other => panic!("not answered: {other:?}"),
        }
    }

    async fn hang_up(&self) {
        let reason = Some("Q.850;cause=16".to_owned());
        self.order(Command::Hangup { leg: LEG, reason }).await;
    }

    async fn ended(&mut self) -> Ended {
        match self.outcome().await {
            Event::Ended { how, .. } => how,
            other => panic!("not over: {other:?}"),
        }
    }

    /// Hangs up an answered call.
    async fn done(&mut self) {
        self.hang_up().await;
        assert_eq!(self.ended().await, Ended::ByUs);
    }

    /// Nothing is left, once nothing can come any more.
    async fn closed(self) {
        sleep(64 * T1 + T4 + A_MOMENT).await;
        let endpoint = self.parted().await;
        assert_eq!(endpoint.load(), Load::default(), "dialogs, transactions, legs and timers");
    }

    /// Closes it at once: the ACK to a refusal may be asked for again for 32 s (timer D).
    async fn parted(self) -> Endpoint {
        drop(self.commands);
        timeout(PATIENCE, self.signalling).await.expect("it ends").expect("no panic")
    }
}

fn sdp(direction: &str, version: u32) -> Body {
    Body::sdp(format!(
        "v=0\r\no=- 1 {version} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na={direction}\r\n"
    ))
}

fn target(at: SocketAddr) -> Target {
    Target { port: Some(at.port()), transport: Some(Transport::Udp), ..Target::address(at.ip()) }
}

fn known(at: SocketAddr) -> Target {
    let credentials =
        Credentials { user: "streamkit".to_owned(), password: "secret".to_owned(), realm: None };
    Target { credentials: Some(credentials), ..target(at) }
}

/// Answers by this scenario, and knows what we send again because it was held up.
fn answers(name: &'static str) -> Scene {
    Scene::new(name).with(&["-rtcheck", "loose"])
}

/// A call that is answered, and that we end.
async fn answered_by(name: &'static str, follow: bool) -> Desk {
    let sipp = answers(name).wait().await;
    let mut desk = Desk::open(vec![known(sipp.at)], follow).await;
    desk.call().await;
    desk.answered().await;
    sleep(A_MOMENT).await;
    let (_, ()) = tokio::join!(sipp.succeeds(), desk.done());
    desk
}

/// One in which nothing is refused on the way.
async fn answered_at_once_by(name: &'static str) {
    answered_by(name, false).await.closed().await;
}

async fn answered_after_a_refusal_by(name: &'static str, follow: bool) {
    answered_by(name, follow).await.parted().await;
}

async fn is_busy() {
    let sipp = answers("answers/busy").wait().await;
    let mut desk = Desk::open(vec![target(sipp.at)], false).await;
    desk.call().await;
    let reason = Some("Q.850;cause=17".to_owned());
    assert_eq!(desk.ended().await, Ended::Refused { status: 486, reason });
    sipp.succeeds().await;
    desk.parted().await;
}

async fn plays_before_it_answers(name: &'static str) {
    let sipp = answers(name).wait().await;
    let mut desk = Desk::open(vec![target(sipp.at)], false).await;
    desk.call().await;
    assert!(desk.rings(183).await.is_some(), "an answer to our offer");
    desk.answered().await;
    let (_, ()) = tokio::join!(sipp.succeeds(), desk.done());
    desk.closed().await;
}

/// We give up while it rings, and the answer comes all the same or does not.
async fn is_given_up_on(name: &'static str) {
    let sipp = answers(name).wait().await;
    let mut desk = Desk::open(vec![target(sipp.at)], false).await;
    desk.call().await;
    desk.rings(180).await;
    desk.hang_up().await;
    assert_eq!(desk.ended().await, Ended::ByUs);
    sipp.succeeds().await;
    if name == "answers/late_ok" { desk.closed().await } else { drop(desk.parted().await) }
}

/// The first target is full: the second is called.
async fn fails_over() {
    let (full, sipp) = (answers("answers/unavailable").wait().await, answers("answers/plain").wait().await);
    let second = Target { priority: 1, ..target(sipp.at) };
    let mut desk = Desk::open(vec![second, target(full.at)], false).await;
    desk.call().await;
    desk.answered().await;
    full.succeeds().await;
    let (_, ()) = tokio::join!(sipp.succeeds(), desk.done());
    desk.parted().await;
}

/// The first target says nothing at all: after 5 s the second is called.
async fn fails_over_in_silence() {
    let mute = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let sipp = answers("answers/plain").wait().await;
    let first = target(mute.local_addr().expect("bound"));
    let mut desk = Desk::open(vec![first, Target { priority: 1, ..target(sipp.at) }], false).await;
    desk.call().await;
    desk.answered().await;
    let (_, ()) = tokio::join!(sipp.succeeds(), desk.done());
    desk.parted().await; // the CANCEL of a target that never answers is given up last
}

/// A 3xx is not followed by a trunk that does not say so.
async fn is_not_followed() {
    let sipp = Scene { calls: 1, ..answers("answers/moved") }.wait().await;
    let mut desk = Desk::open(vec![target(sipp.at)], false).await;
    desk.call().await;
    assert_eq!(desk.ended().await, Ended::Refused { status: 302, reason: None });
    desk.parted().await;
}

/// It holds, resumes and hangs up.
async fn hangs_up() {
    let sipp = answers("answers/hangs_up").wait().await;
    let mut desk = Desk::open(vec![target(sipp.at)], false).await;
    desk.call().await;
    desk.answered().await;
    for (asked, answer, version) in [("a=sendonly", "recvonly", 2), ("a=sendrecv", "sendrecv", 3)] {
        match desk.outcome().await {
            Event::Reoffer { body: Some(offer), .. } => {
                let offer = String::from_utf8_lossy(&offer.bytes).into_owned();
                assert!(offer.contains(asked), "{offer}");
            }
            other => panic!("no offer: {other:?}"),
        }
        desk.order(Command::Accept { leg: LEG, body: Some(sdp(answer, version)) }).await;
    }
    let reason = Some("Q.850;cause=16".to_owned());
    assert_eq!(desk.ended().await, Ended::Bye { reason });
    sipp.succeeds().await;
    desk.closed().await;
}

#[test]
fn a_call_of_ours_goes_well_whatever_answers_it() {
    beside(&["sipp"], async {
        let calls: Vec<(&str, BoxFuture<'static, ()>)> = vec![
            ("plain", Box::pin(answered_at_once_by("answers/plain"))),
            ("forked", Box::pin(answered_at_once_by("answers/forked"))),
            ("challenge", Box::pin(answered_after_a_refusal_by("answers/challenge", false))),
            ("challenge_407", Box::pin(answered_after_a_refusal_by("answers/challenge_407", false))),
            ("timer_too_small", Box::pin(answered_after_a_refusal_by("answers/timer_too_small", false))),
            ("moved", Box::pin(answered_after_a_refusal_by("answers/moved", true))),
            ("moved, not followed", Box::pin(is_not_followed())),
            ("busy", Box::pin(is_busy())),
            ("early_media", Box::pin(plays_before_it_answers("answers/early_media"))),
            ("reliable", Box::pin(plays_before_it_answers("answers/reliable"))),
            ("late_ok", Box::pin(is_given_up_on("answers/late_ok"))),
            ("cancelled", Box::pin(is_given_up_on("answers/cancelled"))),
            ("unavailable", Box::pin(fails_over())),
            ("silent", Box::pin(fails_over_in_silence())),
            ("hangs_up", Box::pin(hangs_up())),
        ];
        // each in a task, so that the others are heard out when one fails
        let (names, calls): (Vec<_>, Vec<_>) = calls.into_iter().unzip();
        let done = join_all(calls.into_iter().map(tokio::spawn)).await;
        let failed: Vec<_> =
            names.iter().zip(done).filter(|(_, done)| done.is_err()).map(|(name, _)| name).collect();
        assert!(failed.is_empty(), "{failed:?}; each said above why");
    });
}
