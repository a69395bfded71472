//! The shell against real sockets on the loopback address.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use nix::poll::{PollFd, PollFlags, poll};
use rustls::pki_types::PrivateKeyDer;
use serde_json::Value;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::frame::{
    Frame,
    coding::{Data, OpCode},
};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{WebSocketStream, accept_async, accept_hdr_async};

use super::*;
use crate::egress::Allowed;
use crate::ids::{CallSid, Entropy, StreamSid};
use crate::media::{Reached, Streams as _};
use crate::stream::{Disposition, Outcome, PlainWs, Status, StreamError};
use crate::units::SampleRate;

/// The audio side as a test has it: what it says is heard, marks are reached at once.
#[derive(Clone, Default)]
struct Desk(Arc<(Mutex<Kept>, Notify)>);

#[derive(Default)]
struct Kept {
    heard: VecDeque<i16>,
    told: VecDeque<Told>,
    orders: Vec<Play>,
    knock: Option<Knock>,
}

impl Desk {
    fn with<T>(&self, look: impl FnOnce(&mut Kept) -> T) -> T {
        look(&mut self.0.0.lock().expect("no test panicked with it"))
    }

    fn say(&self, samples: &[i16]) {
        self.with(|kept| kept.heard.extend(samples));
        self.wake();
    }

    fn wake(&self) {
        self.0.1.notify_one();
        self.with(|kept| kept.knock.iter().for_each(Knock::now));
    }

    fn unheard(&self) -> usize {
        self.with(|kept| kept.heard.len())
    }
}

impl Audio for Desk {
    fn hear(&mut self, out: &mut [i16]) -> usize {
        self.with(|kept| {
            let count = out.len().min(kept.heard.len());
            out.iter_mut().zip(kept.heard.drain(..count)).for_each(|(out, sample)| *out = sample);
            count
        })
    }

    fn told(&mut self) -> Option<Told> {
        self.with(|kept| kept.told.pop_front())
    }

    fn play(&mut self, order: Play) -> Result<(), Play> {
        self.with(|kept| {
            if let Play::Mark(mark) = order {
                kept.told.push_back(Told::Mark { mark, how: Reached::Played });
            }
            kept.orders.push(order);
        });
        self.wake();
        Ok(())
    }

    fn taken(&self) -> u64 {
        0
    }

    async fn woken(&mut self) {
        while self.with(|kept| kept.heard.is_empty() && kept.told.is_empty()) {
            self.0.1.notified().await;
        }
    }

    fn knock_at(&mut self, knock: Knock) {
        self.with(|kept| kept.knock = Some(knock));
    }
}

/// A lane whose streams a thread of its own carries, as a media core does between its other work.
fn lane() -> Lane {
    let (lane, mut floor) = Lane::new().expect("descriptors");
    thread::spawn(move || {
        while !floor.is_over() {
            if floor.may_sleep() {
                let fds = &mut [PollFd::new(floor.fd(), PollFlags::POLLIN)];
                let due = floor.due().map_or(1000, |due| due.saturating_duration_since(clock()).as_millis());
                let _ = poll(fds, due.min(1000) as u16 + 1); // interrupted: looked again
            }
            floor.awake();
            let now = clock();
            floor.take_in(now);
            floor.put_out(now);
        }
    });
    lane
}

/// A stream under test, running.
struct Running {
    desk: Desk,
    commands: mpsc::Sender<Command>,
    events: mpsc::Receiver<Event>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn outcome(&mut self) -> Outcome {
        loop {
            if let Event::Ended(outcome) = self.events.recv().await.expect("an outcome comes") {
                return *outcome;
            }
        }
    }
}

fn open(url: &str, config: Config, connector: Connector, egress: Egress) -> Running {
    open_in(lane(), url, config, connector, egress, None)
}

fn open_in(
    lane: Lane,
    url: &str,
    config: Config,
    connector: Connector,
    egress: Egress,
    trace: Option<Trace>,
) -> Running {
    let mut entropy = Entropy::seeded(5);
    let start = Start {
        stream_sid: StreamSid::fresh(&mut entropy),
        call_sid: CallSid::fresh(&mut entropy),
        account_sid: "acme1".into(),
        from: "sip:1".into(),
        to: "2".into(),
        custom_parameters: vec![],
        rate: SampleRate::Hz8000,
    };
    let desk = Desk::default();
    let settings = Settings::of(&config);
    let open = Open {
        config: Arc::new(config),
        url: BotUrl::parse(url).expect("a URL"),
        start,
        settings,
        keys: Keys::Clear,
        end: desk.clone(),
        connector: Arc::new(connector),
        lane,
        egress,
        trace,
        kept: Vec::new(),
        leave: None,
    };
    let (commands, orders) = mpsc::channel(4);
    let (tell, events) = mpsc::channel(16);
    let task =
        tokio::spawn(run(open, orders, move |event| tell.try_send(event).expect("room for every event")));
    Running { desk, commands, events, task }
}

/// Trusts no one: for plain sockets.
fn alone() -> Connector {
    let builder =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("ring speaks TLS");
    Connector::of(builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
}

fn plain(url: &str) -> Running {
    open(url, Config::default(), alone(), Egress::Configured)
}

async fn bind() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    (listener, port)
}

/// Runs a bot for one connection, beside a stream to it.
async fn with_bot<F: Future<Output = ()> + Send>(
    bot: impl FnOnce(WebSocketStream<TcpStream>) -> F + Send + 'static,
) -> Outcome {
    let (listener, port) = bind().await;
    let mut running = plain(&format!("ws://127.0.0.1:{port}/"));
    let (tcp, _) = listener.accept().await.expect("it connects");
    bot(accept_async(tcp).await.expect("it upgrades")).await;
    running.outcome().await
}

/// The next text message as JSON.
async fn next<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) -> Value {
    loop {
        match socket.next().await.expect("a message").expect("no error") {
            Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// The code of the close frame, past whatever stands before it.
async fn close_code(socket: &mut WebSocketStream<TcpStream>) -> u16 {
    loop {
        if let Message::Close(frame) = socket.next().await.expect("a close").expect("no error") {
            return frame.expect("a code").code.into();
        }
    }
}

fn cause(outcome: &Outcome) -> &'static str {
    match &outcome.error {
        Some(StreamError::Connect { cause, .. }) => cause,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_conversation_from_upgrade_to_close() {
    let (listener, port) = bind().await;
    let mut running = plain(&format!("ws://key:t%40k@127.0.0.1:{port}/p%2Fq?b=%20x&sample-rate=8000&a"));
    running.desk.say(&[3; 320]); // before start
    let (tcp, _) = listener.accept().await.expect("it connects");
    let seen = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&seen);
    #[allow(clippy::result_large_err)] // the library's signature
    let look = move |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        *keep.lock().expect("free") = Some((request.uri().to_string(), request.headers().clone()));
        Ok(response)
    };
    let mut bot = accept_hdr_async(tcp, look).await.expect("it upgrades");
    let (uri, headers) = seen.lock().expect("free").take().expect("a request");
    assert_eq!(uri, "/p%2Fq?b=%20x&sample-rate=8000&a");
    let credentials = format!("Basic {}", base64_simd::STANDARD.encode_to_string("key:t@k"));
    assert_eq!(headers["authorization"], credentials.as_str());
    assert_eq!(headers["host"], format!("127.0.0.1:{port}").as_str());
    assert!(headers["user-agent"].to_str().is_ok_and(|agent| agent.starts_with("StreamKit/")));
    assert!(
        !headers.contains_key("sec-websocket-extensions") && !headers.contains_key("sec-websocket-protocol")
    );

    assert_eq!(next(&mut bot).await["event"], "connected");
    let start = next(&mut bot).await;
    assert_eq!(start["start"]["custom_parameters"], serde_json::json!({"b": " x", "a": ""}));
    for timestamp in ["0", "20"] {
        assert_eq!(next(&mut bot).await["media"]["timestamp"], timestamp);
    }
    running.desk.say(&[4; 160]);
    assert_eq!(next(&mut bot).await["media"]["timestamp"], "40");

    let audio = r#"{"event":"media","media":{"payload":"AQACAAMA"}}"#;
    bot.send(Message::text(audio)).await.expect("sent");
    bot.send(Message::text(r#"{"event":"mark","mark":{"name":"m"}}"#)).await.expect("sent");
    assert_eq!(next(&mut bot).await["mark"]["name"], "m");
    bot.send(Message::Ping(Bytes::from_static(b"there?"))).await.expect("sent");
    assert!(matches!(bot.next().await, Some(Ok(Message::Pong(said))) if &said[..] == b"there?"));

    running.commands.send(Command::Stop(Stop::CallEnded)).await.expect("it listens");
    assert_eq!(next(&mut bot).await["stop"]["reason"], "callended");
    assert_eq!(close_code(&mut bot).await, 1000);
    let outcome = running.outcome().await;
    assert_eq!((outcome.status, outcome.disposition), (Status::Completed, Disposition::CallerHangup));
    assert_eq!(outcome.url, Some(format!("ws://127.0.0.1:{port}/p%2Fq?b=%20x&sample-rate=8000&a")));
    assert_eq!((outcome.figures.messages_out, outcome.figures.messages_in), (7, 2));
    let played = running.desk.with(|kept| std::mem::take(&mut kept.orders));
    assert!(
        matches!(&played[..], [Play::Audio(said), Play::Mark(0), Play::Clear { asked: None }] if said[..] == [1, 2, 3])
    );
}

#[tokio::test]
async fn a_bot_that_refuses_is_tried_twice() {
    let (listener, port) = bind().await;
    drop(listener);
    let outcome = plain(&format!("ws://127.0.0.1:{port}/")).outcome().await;
    assert_eq!((cause(&outcome), outcome.figures.attempts), ("refused", 2));
    assert_eq!((outcome.disposition, outcome.duration), (Disposition::ConnectFailed, Duration::ZERO));
    let text = outcome.error.map(|error| error.to_string()).unwrap_or_default();
    let said = "3009 failed to establish ws conn: dial tcp 127.0.0.1:";
    assert_eq!(text, format!("{said}{port}: connect: connection refused"));
}

#[tokio::test]
async fn a_bot_that_never_answers_fails_when_the_budget_is_used_up() {
    let (listener, port) = bind().await;
    let config = Config { connect_timeout: Duration::from_millis(500), ..Config::default() };
    let began = clock();
    let mut running = open(&format!("ws://127.0.0.1:{port}/"), config, alone(), Egress::Configured);
    let outcome = running.outcome().await;
    assert!(clock() - began >= Duration::from_millis(500));
    assert_eq!((cause(&outcome), outcome.figures.attempts), ("timeout", 1));
    assert!(outcome.error.is_some_and(|error| error.to_string().ends_with("timeout after 0.5s")));
    drop(listener);
}

#[tokio::test]
async fn a_caller_who_hangs_up_while_we_connect_is_told_at_once() {
    let (listener, port) = bind().await;
    let mut running = plain(&format!("ws://127.0.0.1:{port}/"));
    let silent = listener.accept().await.expect("it connects");
    running.commands.send(Command::Stop(Stop::CallEnded)).await.expect("it listens");
    let outcome = running.outcome().await;
    assert_eq!((outcome.status, outcome.figures.attempts), (Status::Cancelled, 1));
    drop(silent);
}

#[tokio::test]
async fn a_503_once_is_tried_again_and_works() {
    let (listener, port) = bind().await;
    let mut running = plain(&format!("ws://127.0.0.1:{port}/"));
    let (mut first, _) = listener.accept().await.expect("it connects");
    first.read_buf(&mut Vec::with_capacity(2048)).await.expect("a request");
    first.write_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").await.expect("answered");
    let (second, _) = listener.accept().await.expect("it connects again");
    let mut bot = accept_async(second).await.expect("it upgrades");
    assert_eq!(next(&mut bot).await["event"], "connected");
    assert!(matches!(running.events.recv().await, Some(Event::Up { attempts: 2, .. })));
}

#[tokio::test]
async fn close_codes_are_told_apart() {
    for (code, disposition) in
        [(1000, Disposition::BotClosed), (1011, Disposition::BotError), (4400, Disposition::BotError)]
    {
        let outcome = with_bot(move |mut bot| async move {
            bot.close(Some(CloseFrame { code: code.into(), reason: "bye".into() })).await.expect("closed");
            while let Some(Ok(_)) = bot.next().await {}
        });
        assert_eq!(outcome.await.disposition, disposition, "{code}");
    }
    let bare = with_bot(|mut bot| async move {
        bot.close(None).await.expect("closed");
        while let Some(Ok(_)) = bot.next().await {}
    });
    assert_eq!(bare.await.disposition, Disposition::BotClosed);
}

#[tokio::test]
async fn a_reset_and_an_end_without_close_are_lost_connections() {
    let reset = with_bot(|mut bot| async move {
        next(&mut bot).await;
        SockRef::from(bot.get_ref()).set_linger(Some(Duration::ZERO)).expect("an option");
    });
    let outcome = reset.await;
    assert_eq!(outcome.disposition, Disposition::ConnectionLost);
    assert_eq!(outcome.error, Some(StreamError::Lost("connection reset by peer".into())));
    let ended = with_bot(|mut bot| async move {
        for _ in 0..2 {
            next(&mut bot).await;
        }
        bot.get_mut().shutdown().await.expect("half closed");
        while let Some(Ok(_)) = bot.next().await {}
    });
    assert_eq!(ended.await.error, Some(StreamError::Lost("unexpected EOF".into())));
}

#[tokio::test]
async fn what_breaks_the_protocol_is_closed_with_its_code() {
    let frame =
        |opcode, last, octets: Vec<u8>| Message::Frame(Frame::message(octets, OpCode::Data(opcode), last));
    let cases = [
        (1009, vec![frame(Data::Text, true, vec![b' '; (1 << 20) + 1])]),
        (1007, vec![frame(Data::Text, true, vec![b'"', 0xff, b'"'])]),
        (1002, vec![frame(Data::Continue, true, vec![])]),
        (
            1009,
            (0..129)
                .map(|i| frame(if i == 0 { Data::Text } else { Data::Continue }, false, vec![b' ']))
                .collect(),
        ),
        (1008, (0..101).map(|_| Message::Ping(Bytes::new())).collect()),
    ];
    for (code, messages) in cases {
        let outcome = with_bot(move |mut bot| async move {
            for message in messages {
                // It may be closed before all is written.
                if bot.send(message).await.is_err() {
                    break;
                }
            }
            assert_eq!(close_code(&mut bot).await, code);
        });
        let outcome = outcome.await;
        assert_eq!(outcome.disposition, Disposition::ProtocolError, "{code}");
    }
}

#[tokio::test]
async fn a_bot_that_does_not_read_loses_audio_and_no_mark() {
    let (listener, port) = bind().await;
    let mut running = plain(&format!("ws://127.0.0.1:{port}/"));
    let (tcp, _) = listener.accept().await.expect("it connects");
    SockRef::from(&tcp).set_recv_buffer_size(16 * 1024).expect("an option");
    let mut bot = accept_async(tcp).await.expect("it upgrades");
    for _ in 0..2 {
        next(&mut bot).await;
    }
    for _ in 0..3000 {
        running.desk.say(&[5; 160]); // a minute of audio, faster than anyone takes it
        while running.desk.unheard() > 0 {
            tokio::task::yield_now().await;
        }
    }
    bot.send(Message::text(r#"{"event":"mark","mark":{"name":"kept"}}"#)).await.expect("it reads on");
    let mut media = 0;
    loop {
        let message = next(&mut bot).await;
        if message["event"] == "mark" {
            break;
        }
        media += 1;
    }
    assert!(media < 2900, "{media} frames came");
    running.commands.send(Command::Stop(Stop::Stopped)).await.expect("it listens");
    assert_eq!(close_code(&mut bot).await, 1000);
    assert_eq!(running.outcome().await.figures.dropped_out, 3000 - media);
}

#[tokio::test]
async fn addresses_that_are_not_allowed_are_not_connected_to() {
    let (listener, port) = bind().await;
    let url = format!("ws://localhost:{port}/");
    let config = Config { allow_plain_ws: PlainWs::None, ..Config::default() };
    let outcome = open(&url, config, alone(), Egress::Configured).outcome().await;
    assert_eq!((cause(&outcome), outcome.figures.attempts), ("forbidden", 1));
    let outcome = open(&url, Config::default(), alone(), Egress::RunTime([].into())).outcome().await;
    assert_eq!((cause(&outcome), outcome.figures.attempts), ("forbidden", 1));
    let allowed = Egress::RunTime([Allowed::Host("localhost".into())].into());
    let mut running = open(&url, Config::default(), alone(), allowed);
    let (tcp, _) = listener.accept().await.expect("the only connection");
    let mut bot = accept_async(tcp).await.expect("it upgrades");
    assert_eq!(next(&mut bot).await["event"], "connected");
    drop(bot);
    assert_eq!(running.outcome().await.disposition, Disposition::ConnectionLost);
}

/// A certificate of its own for `name`, as a server's configuration and as a CA file's text.
fn certificate(name: &str) -> (tokio_rustls::TlsAcceptor, String) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let builder =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let config =
        builder.with_safe_default_protocol_versions().expect("ring speaks TLS").with_no_client_auth();
    let config = config.with_single_cert(vec![made.cert.der().clone()], key).expect("a pair");
    (tokio_rustls::TlsAcceptor::from(Arc::new(config)), made.cert.pem())
}

#[tokio::test]
async fn tls_works_with_the_ca_that_is_named() {
    let (acceptor, pem) = certificate("localhost");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), pem).expect("written");
    let connector = Connector::tls(Some(file.path())).expect("a CA");
    let (listener, port) = bind().await;
    let mut running =
        open(&format!("wss://localhost:{port}/"), Config::default(), connector, Egress::Configured);
    let (tcp, _) = listener.accept().await.expect("it connects");
    let mut bot = accept_async(acceptor.accept(tcp).await.expect("TLS")).await.expect("it upgrades");
    assert_eq!(next(&mut bot).await["event"], "connected");
    assert_eq!(next(&mut bot).await["event"], "start");
    running.desk.say(&[1; 160]);
    assert_eq!(next(&mut bot).await["media"]["chunk"], "1");
    bot.send(Message::text(r#"{"event":"media","media":{"payload":"AQA"}}"#)).await.expect("sent");
    bot.close(None).await.expect("closed");
    while let Some(Ok(_)) = bot.next().await {}
    let outcome = running.outcome().await;
    assert_eq!((outcome.disposition, outcome.playing_out), (Disposition::BotClosed, true));
    let orders = running.desk.with(|kept| std::mem::take(&mut kept.orders));
    assert!(matches!(orders[..], [Play::Audio(_), Play::Finish { until: 1 }]), "{orders:?}");
}

#[tokio::test]
async fn a_certificate_of_nobody_or_for_another_is_refused_and_says_so() {
    let (acceptor, pem) = certificate("bot.example.com");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), pem).expect("written");
    for (connector, expected) in
        [(alone(), "tls_issuer"), (Connector::tls(Some(file.path())).expect("a CA"), "tls_name")]
    {
        let (listener, port) = bind().await;
        let url = format!("wss://localhost:{port}/");
        let mut running = open(&url, Config::default(), connector, Egress::Configured);
        for _ in 0..2 {
            let (tcp, _) = listener.accept().await.expect("it connects");
            assert!(acceptor.accept(tcp).await.is_err());
        }
        let outcome = running.outcome().await;
        assert_eq!((cause(&outcome), outcome.figures.attempts), (expected, 2));
    }
}

#[tokio::test]
async fn a_ca_file_without_a_certificate_is_an_error() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    assert!(Connector::tls(Some(file.path())).is_err());
    assert!(Connector::tls(Some(std::path::Path::new("/no/such/file"))).is_err());
}

#[tokio::test]
async fn what_a_bot_says_in_one_breath_with_its_101_is_heard() {
    let (listener, port) = bind().await;
    let mut running = plain(&format!("ws://127.0.0.1:{port}/"));
    let (mut tcp, _) = listener.accept().await.expect("it connects");
    let mut request = Vec::with_capacity(2048);
    while !request.ends_with(b"\r\n\r\n") {
        assert!(tcp.read_buf(&mut request).await.expect("a request") > 0);
    }
    let request = String::from_utf8(request).expect("text");
    let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).expect("a key");
    let accept = derive_accept_key(key.as_bytes());
    let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade";
    let mut breath = format!("{head}\r\nSec-WebSocket-Accept: {accept}\r\n\r\n").into_bytes();
    let audio = br#"{"event":"media","media":{"payload":"AQACAAMA"}}"#;
    breath.extend([0x81, audio.len() as u8]);
    breath.extend(audio);
    breath.extend([0x82, 1, 0]); // and a binary frame
    tcp.write_all(&breath).await.expect("written");
    let mut bot = WebSocketStream::from_raw_socket(tcp, Role::Server, None).await;
    assert_eq!(next(&mut bot).await["event"], "connected");
    assert_eq!(next(&mut bot).await["event"], "start");
    bot.close(None).await.expect("closed");
    while let Some(Ok(_)) = bot.next().await {}
    let figures = running.outcome().await.figures;
    assert_eq!((figures.messages_in, figures.ignored), (2, 1));
    let orders = running.desk.with(|kept| std::mem::take(&mut kept.orders));
    assert!(matches!(&orders[..], [Play::Audio(said), ..] if said[..] == [1, 2, 3]), "{orders:?}");
}

/// A stream in this lane, and its bot.
async fn beside(lane: &Lane, trace: Option<Trace>) -> (Running, WebSocketStream<TcpStream>) {
    let (listener, port) = bind().await;
    let url = format!("ws://127.0.0.1:{port}/");
    let running = open_in(lane.clone(), &url, Config::default(), alone(), Egress::Configured, trace);
    let (tcp, _) = listener.accept().await.expect("it connects");
    let mut bot = accept_async(tcp).await.expect("it upgrades");
    assert_eq!(next(&mut bot).await["event"], "connected");
    assert_eq!(next(&mut bot).await["event"], "start");
    (running, bot)
}

#[tokio::test]
async fn a_fault_in_one_stream_ends_it_alone() {
    let lane = lane();
    let trace: Trace = Arc::new(|direction, _| {
        if direction == Direction::FromBot {
            std::panic::resume_unwind(Box::new("a fault"));
        }
    });
    let (faulty, mut its_bot) = beside(&lane, Some(trace)).await;
    let (mut sound, mut bot) = beside(&lane, None).await;
    its_bot.send(Message::text("{}")).await.expect("sent");
    assert!(faulty.task.await.is_err_and(|fault| fault.is_panic()), "its call learns it");
    sound.desk.say(&[1; 160]);
    assert_eq!(next(&mut bot).await["media"]["chunk"], "1");
    bot.close(None).await.expect("closed");
    while let Some(Ok(_)) = bot.next().await {}
    assert_eq!(sound.outcome().await.disposition, Disposition::BotClosed);
    assert!(sound.task.await.is_ok());
}

#[tokio::test]
async fn a_bot_that_floods_leaves_the_others_their_turns() {
    let lane = lane();
    let (_flooded, mut flood) = beside(&lane, None).await;
    let (running, mut bot) = beside(&lane, None).await;
    let flooding = tokio::spawn(async move {
        let audio = format!(r#"{{"event":"media","media":{{"payload":"{}"}}}}"#, "AAAA".repeat(10));
        while flood.send(Message::text(audio.clone())).await.is_ok() {}
    });
    for chunk in 1..50 {
        running.desk.say(&[1; 160]);
        assert_eq!(next(&mut bot).await["media"]["chunk"], chunk.to_string());
        let mark = r#"{"event":"mark","mark":{"name":"m"}}"#;
        bot.send(Message::text(mark)).await.expect("sent");
        assert_eq!(next(&mut bot).await["mark"]["name"], "m");
    }
    flooding.abort();
}
