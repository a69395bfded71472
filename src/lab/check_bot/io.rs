//! The platform's side of one call that checks a bot: connects, keeps to the course, listens.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use super::Target;
use super::course::{Act, Plan, lay_out};
use super::fault::{Fault, Finding, shortened};
use super::listener::{Figures, Input, Listener};
use super::pen::Pen;
use crate::stream::upgrade::{self, Answer};
use crate::stream::{BotUrl, PlainWs, message};

/// `connect_timeout`.
const CONNECT: Duration = Duration::from_secs(10);
/// 2 s of frames: `send_queue_ms`.
const WAITING: usize = 100;
/// Acts done before the socket has its turn: more than a stall, fewer than may wait.
const AT_A_TIME: usize = 50;
/// Longest message we look at: what is over the platform's limit shall be told, not break the connection.
const MESSAGE: usize = 16 << 20;
/// A bot that has closed closes its connection, too, by then.
const HANGS: Duration = Duration::from_secs(2);
/// Between the upgrade and `connected`: whoever speaks now has not waited for `start`.
const HESITATES: Duration = Duration::from_millis(100);

/// TCP, or TLS over it.
trait Line: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Line for T {}

type Socket = WebSocketStream<Box<dyn Line>>;

/// One call at the URL's rate; what was found in it.
pub(super) async fn call(target: &Target, url: &BotUrl, plan: &Plan) -> (Figures, Vec<Finding>) {
    // Before anybody waits: it takes its time at the higher rates.
    let course = lay_out(plan, url.rate());
    let began = Instant::now();
    let connected = timeout(CONNECT, connect(target, url)).await;
    match connected.unwrap_or_else(|_| Err(format!("nothing within {} s", CONNECT.as_secs()))) {
        Ok(socket) => {
            let pen = Pen::new(url);
            let mut listener = Listener::new(pen.sid().to_owned(), url.rate());
            listener.handle(Instant::now(), Input::Open(began.elapsed()));
            talk(socket, pen, listener, course).await
        }
        Err(why) => {
            let evidence = shortened(&why);
            let finding = Finding { fault: Fault::NoConnection, times: 1, at: Duration::ZERO, evidence };
            (Figures::default(), vec![finding])
        }
    }
}

async fn connect(target: &Target, url: &BotUrl) -> Result<Socket, String> {
    let host = url.host();
    let found = lookup_host((host, url.port())).await.map_err(|error| format!("lookup {host}: {error}"))?;
    let mut addresses: Vec<_> = found.collect();
    if !url.secure() {
        addresses.retain(|address| PlainWs::Private.allows(address.ip()));
        if addresses.is_empty() {
            return Err("ws:// beyond private networks: the platform refuses it, use wss://".to_owned());
        }
    }
    let tcp = TcpStream::connect(&addresses[..]).await.map_err(|error| error.to_string())?;
    drop(tcp.set_nodelay(true));
    let line: Box<dyn Line> = match (&target.tls, url.secure()) {
        (Some((connector, name)), true) => {
            let tls = connector.connect(name.clone(), tcp).await;
            Box::new(tls.map_err(|error| format!("tls: {error}"))?)
        }
        (None, true) => return Err("wss:// without trust".to_owned()),
        (_, false) => Box::new(tcp),
    };
    upgraded(line, url).await
}

/// The platform's own request, and its reading of the answer.
async fn upgraded(mut line: Box<dyn Line>, url: &BotUrl) -> Result<Socket, String> {
    let key = generate_key();
    let agent = concat!("StreamKit/", env!("CARGO_PKG_VERSION"));
    let request = upgrade::request(url, agent, &key);
    line.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
    line.flush().await.map_err(|error| error.to_string())?;
    let (accept, mut answer) = (derive_accept_key(key.as_bytes()), Vec::new());
    loop {
        if line.read_buf(&mut answer).await.map_err(|error| error.to_string())? == 0 {
            return Err("closed before it answered the upgrade".to_owned());
        }
        let read = upgrade::answer(&answer, &accept).map_err(|failure| failure.error(url).to_string())?;
        if let Answer::Switched(end) = read {
            let early = answer.split_off(end);
            let settings = WebSocketConfig::default().write_buffer_size(0);
            let settings = settings.max_message_size(Some(MESSAGE)).max_frame_size(Some(MESSAGE));
            return Ok(WebSocketStream::from_partially_read(line, early, Role::Client, Some(settings)).await);
        }
    }
}

/// Keeps to the course until the bot is gone, or we have waited for that long enough.
async fn talk(
    socket: Socket,
    pen: Pen,
    listener: Listener,
    course: VecDeque<(Duration, Act)>,
) -> (Figures, Vec<Finding>) {
    let (mut sink, mut stream) = socket.split();
    let (outbox, mut waiting) = mpsc::channel::<Message>(WAITING);
    let mut writer = JoinSet::new();
    writer.spawn(async move {
        while let Some(message) = waiting.recv().await {
            if sink.send(message).await.is_err() {
                break; // the reader learns why
            }
        }
    });
    let mut talk = Talk { pen, listener, course, outbox, began: Instant::now() };
    if !talk.hesitate(&mut stream).await {
        return talk.listener.finish(Instant::now());
    }
    talk.send(message::CONNECTED);
    let start = talk.pen.start();
    talk.send(&start);
    talk.began = Instant::now();
    talk.listener.handle(talk.began, Input::Started);
    loop {
        let now = Instant::now();
        if !talk.run(now) {
            break;
        }
        if talk.course.front().is_some_and(|(due, _)| talk.began + *due <= now) {
            tokio::task::yield_now().await; // this machine stood still: the socket comes first
            continue;
        }
        let next = talk.course.front().map_or(now, |(due, _)| talk.began + *due);
        let wake = talk.listener.next_mark().map_or(next, |mark| mark.min(next));
        tokio::select! {
            got = stream.next() => if !talk.take(got) { break },
            () = sleep_until(wake.into()) => {}
        }
    }
    talk.listener.finish(Instant::now())
}

struct Talk {
    pen: Pen,
    listener: Listener,
    course: VecDeque<(Duration, Act)>,
    outbox: mpsc::Sender<Message>,
    /// The course's times count from here.
    began: Instant,
}

impl Talk {
    /// Says nothing yet; false if the bot is gone already.
    async fn hesitate(&mut self, stream: &mut (impl Stream<Item = Result<Message, Error>> + Unpin)) -> bool {
        let mut enough = std::pin::pin!(sleep(HESITATES));
        loop {
            tokio::select! {
                got = stream.next() => if !self.take(got) { return false },
                () = &mut enough => return true,
            }
        }
    }

    /// Does all that is due; false if that was the last.
    fn run(&mut self, now: Instant) -> bool {
        while let Some(name) = self.listener.due(now) {
            let text = self.pen.mark(&name);
            self.send(&text);
            self.listener.handle(now, Input::Returned(&name));
        }
        for _ in 0..AT_A_TIME {
            if self.course.front().is_none_or(|(due, _)| self.began + *due > now) {
                break;
            }
            let Some((due, act)) = self.course.pop_front() else { break };
            self.listener.late(now.saturating_duration_since(self.began + due));
            if !self.act(now, act) {
                return false;
            }
        }
        true
    }

    fn act(&mut self, now: Instant, act: Act) -> bool {
        match act {
            Act::Frame(pcm) => {
                let text = self.pen.frame(&pcm);
                self.send(&text);
            }
            Act::Speaks(speaks) => self.listener.handle(now, Input::Speaks(speaks)),
            Act::Stuck => self.listener.handle(now, Input::Stuck),
            Act::Key(digit) => {
                let text = self.pen.key(digit);
                self.send(&text);
            }
            Act::Ping => {
                self.put(Message::Ping(Bytes::from_static(b"check")));
                self.listener.handle(now, Input::Pinged);
            }
            Act::Stop => {
                let text = self.pen.stop();
                self.send(&text);
                self.listener.handle(now, Input::Stopped);
            }
            Act::Close => {
                let frame = CloseFrame { code: 1000.into(), reason: "".into() };
                self.put(Message::Close(Some(frame)));
            }
            Act::GiveUp => {
                self.listener.handle(now, Input::Unanswered);
                return false;
            }
        }
        true
    }

    /// Takes what the socket gave; false if that was the end.
    fn take(&mut self, got: Option<Result<Message, Error>>) -> bool {
        let now = Instant::now();
        match got {
            Some(Ok(Message::Text(text))) => self.listener.handle(now, Input::Text(&text)),
            Some(Ok(Message::Binary(bytes))) => self.listener.handle(now, Input::Binary(bytes.len())),
            Some(Ok(Message::Pong(_))) => self.listener.handle(now, Input::Pong),
            // Read on: that is what sends the answer.
            Some(Ok(Message::Close(frame))) => {
                self.listener.handle(now, Input::Closed(frame.map(|frame| frame.code.into())));
                self.course = VecDeque::from([(now - self.began + HANGS, Act::GiveUp)]);
            }
            Some(Ok(Message::Ping(_) | Message::Frame(_))) => {}
            Some(Err(error)) => {
                self.listener.handle(now, Input::Broken(&error.to_string()));
                return false;
            }
            None => {
                self.listener.handle(now, Input::Broken("no close frame"));
                return false;
            }
        }
        true
    }

    fn send(&mut self, text: &str) {
        self.put(Message::text(text));
    }

    /// Never waits: a bot that does not read loses what the caller says.
    fn put(&mut self, message: Message) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.outbox.try_send(message) {
            self.listener.handle(Instant::now(), Input::Unread);
        }
    }
}
