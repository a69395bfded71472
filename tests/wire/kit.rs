//! A daemon of a test's own on free ports of loopback, and the means to see that nothing is left of it.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use serde_json::Value;
use streamkit::config::{Config, Surroundings};
use streamkit::daemon::{self, Onlookers, Running};
use streamkit::lab::bot::{self, Bot, Manners, Script, Transcript};
use streamkit::lab::caller::{self, Caller, Dial};
use streamkit::sip::{Load, Transport};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::programs;
use crate::raw::Telephone;

/// Descriptors and threads are counted by process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());
/// No test takes longer, on a busy machine, too; sipp gives up before, and says why.
const BOUND: Duration = Duration::from_secs(240);
/// What is on its way has arrived by then, on a busy machine, too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How often a pulse looks.
const BEAT: Duration = Duration::from_millis(5);
/// The account of the only trunk.
pub(crate) const ACCOUNT: &str = "acme1";

/// Runs a test alone, bounded in time; no descriptor and no thread may be left when it is over.
pub(crate) fn alone(test: impl Future<Output = ()>) {
    let _one = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    drop(runtime()); // the first one of a process opens a pipe for signals that stays
    let until = Instant::now() + PATIENCE;
    while !threads().is_empty() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(1)); // its threads go a moment after it
    }
    let (descriptors, threads) = (descriptors(), threads());
    let runtime = runtime();
    runtime.block_on(bounded(test));
    runtime.shutdown_timeout(PATIENCE);
    let until = Instant::now() + PATIENCE;
    while (self::descriptors(), self::threads()) != (descriptors, threads.clone()) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(self::descriptors(), descriptors, "descriptors left open");
    assert_eq!(self::threads(), threads, "threads left running");
}

/// Runs a test alone that calls by sipp, if that is here.
pub(crate) fn alone_with_sipp(test: impl Future<Output = ()>) {
    if !programs::left_out(&["sipp"]) {
        alone(test);
    }
}

/// Runs a test bounded in time, beside others, if the programs it needs are here.
pub(crate) fn beside(needs: &[&str], test: impl Future<Output = ()>) {
    if programs::left_out(needs) {
        return;
    }
    runtime().block_on(bounded(test));
}

/// What a test has open fails with it, and says how far it came: the SIP of its daemon, the words of its programs.
async fn bounded(test: impl Future<Output = ()>) {
    let mut test = std::pin::pin!(test);
    tokio::select! {
        () = &mut test => {}
        () = sleep(BOUND) => panic!("the test is not over after {} s", BOUND.as_secs()),
    }
}

/// Tells how far this machine is behind: what it is late with itself is not the daemon's.
pub(crate) struct Pulse {
    late: Arc<AtomicU64>,
    beat: JoinHandle<()>,
}

impl Pulse {
    /// Begins to look.
    pub(crate) fn start() -> Self {
        let late = Arc::<AtomicU64>::default();
        let told = late.clone();
        let beat = tokio::spawn(async move {
            loop {
                let due = Instant::now() + BEAT;
                tokio::time::sleep_until(due.into()).await;
                told.fetch_max(due.elapsed().as_millis() as u64, Relaxed);
            }
        });
        Self { late, beat }
    }

    /// The furthest so far, in milliseconds.
    pub(crate) fn late(&self) -> u64 {
        self.late.load(Relaxed)
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.beat.abort();
    }
}

fn runtime() -> Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime")
}

/// Waits for it, and says what never came.
pub(crate) async fn eventually(what: &str, mut came: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !came() {
        assert!(Instant::now() < until, "{what}: not within {} s", PATIENCE.as_secs());
        sleep(Duration::from_millis(10)).await;
    }
}

/// Open file descriptors of this process, the one that counts them left out.
pub(crate) fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("proc").count() - 1
}

/// Names of the threads of this process, those of the test harness (`file::test`, before that
/// `wire-`) left out.
fn threads() -> Vec<String> {
    let named = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).ok();
    let tasks = fs::read_dir("/proc/self/task").expect("proc").flatten();
    let mut names: Vec<String> =
        tasks.filter_map(named).filter(|name| !name.contains("::") && !name.starts_with("wire-")).collect();
    names.sort();
    names
}

/// What a daemon is to be like.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// URL of the bot of the only route.
    pub(crate) bot: String,
    /// Its certificate, if it speaks TLS.
    pub(crate) ca: Option<String>,
    /// Further lines of `[[trunk]]`.
    pub(crate) trunk: &'static str,
    /// Further lines of `[stream]`.
    pub(crate) stream: &'static str,
    /// Listens on `::1` instead of `127.0.0.1`.
    pub(crate) v6: bool,
    /// The trunk is not this machine.
    pub(crate) stranger: bool,
    /// Listens for SIP over TLS, too, with this certificate.
    pub(crate) tls: Option<Identity>,
    /// Further tables: trunks and routes, which come before the route of the bot.
    pub(crate) tables: String,
    /// RFC 3261 T1, shorter than the configuration lets it be: what absorbs retransmissions is soon gone.
    pub(crate) t1: Option<Duration>,
}

impl Wanted {
    /// A daemon for this bot.
    pub(crate) fn leading_to(bot: &Bot, target: &str) -> Self {
        let ca = bot.certificate().map(|certificate| certificate.pem().to_owned());
        Self { bot: bot.url(target), ca, ..Self::default() }
    }

    fn text(&self, dir: &TempDir) -> String {
        let ca = self.ca.as_ref().map_or(String::new(), |pem| {
            let path = dir.path().join("ca.pem");
            fs::write(&path, pem).expect("written");
            format!("ca_file = {path:?}\n")
        });
        let (host, bind) = if self.v6 { ("[::1]", "::1") } else { ("127.0.0.1", "127.0.0.1") };
        let peer = if self.stranger { "192.0.2.1" } else { bind };
        let sip = self.tls.as_ref().map_or("]".to_owned(), |identity| identity.listen(host, dir));
        let Self { bot, trunk, stream, tables, .. } = self;
        format!(
            "[node]\nname = \"wire\"\nstate_dir = {state:?}\nrun_dir = {state:?}\n\
             [sip]\nlisten = [\"udp://{host}:0\", \"tcp://{host}:0\"{sip}\n\
             [http]\nlisten = [\"127.0.0.1:0\"]\n\
             [media]\nbind = \"{bind}\"\n[limits]\ncalls = 50\ncpu_percent = 0\n\
             [stream]\n{ca}{stream}\n\
             [[trunk]]\nname = \"pbx\"\npeers = [\"{peer}\"]\naccount = \"{ACCOUNT}\"\n{trunk}\n\
             {tables}\n[[route]]\ntrunk = \"pbx\"\nto = \"015*\"\nbot = {bot:?}\n",
            state = dir.path(),
        )
    }
}

/// A certificate of loopback with its key, signed by itself.
#[derive(Clone)]
pub(crate) struct Identity {
    /// For whoever is to believe it.
    pub(crate) certificate: String,
    /// Its DER form.
    pub(crate) der: CertificateDer<'static>,
    key: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity")
    }
}

impl Identity {
    /// A new one.
    pub(crate) fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()]);
        let made = made.expect("a certificate");
        let der = made.cert.der().clone();
        Self { certificate: made.cert.pem(), der, key: made.signing_key.serialize_pem() }
    }

    /// The rest of a list of listeners, and where its files are.
    fn listen(&self, host: &str, dir: &TempDir) -> String {
        let [certificate, key] = ["sip.pem", "sip.key"].map(|name| dir.path().join(name));
        fs::write(&certificate, &self.certificate).expect("written");
        fs::write(&key, &self.key).expect("written");
        format!(", \"tls://{host}:0\"]\ntls.certificate = {certificate:?}\ntls.key = {key:?}")
    }
}

/// Every SIP message, sent by the daemon or not, as it passed; of a test that fails the last are printed.
#[derive(Default)]
struct Ladder(Arc<Mutex<Vec<(bool, String)>>>);

impl Ladder {
    fn messages(&self) -> MutexGuard<'_, Vec<(bool, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ladder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let messages = self.messages();
            for (sent, text) in &messages[messages.len().saturating_sub(60)..] {
                eprintln!("{} {text}", if *sent { ">>>" } else { "<<<" });
            }
        }
    }
}

/// A daemon while it runs.
pub(crate) struct Node {
    /// The daemon.
    pub(crate) running: Running,
    /// Every `start` as it was written to a bot.
    pub(crate) starts: Arc<Mutex<Vec<Value>>>,
    /// Its certificate, if it listens for TLS.
    pub(crate) tls: Option<Identity>,
    ladder: Ladder,
    dir: TempDir,
}

impl Node {
    /// Starts one, and waits until what is counted before a call is all there is without one.
    pub(crate) async fn start(wanted: &Wanted) -> Self {
        let node = Self::start_beside(wanted).await;
        Held::settled().await;
        node
    }

    /// Starts one while other tests run in this process.
    pub(crate) async fn start_beside(wanted: &Wanted) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let machine = Surroundings { variables: HashMap::new(), ..Surroundings::of_this_process() };
        let text = wanted.text(&dir);
        let mut config =
            Config::from_text("wire", &text, &machine).unwrap_or_else(|refused| panic!("{refused}\n{text}"));
        config.sip.t1 = wanted.t1.unwrap_or(config.sip.t1);
        let starts = Arc::<Mutex<Vec<Value>>>::default();
        let seen = starts.clone();
        let stream: streamkit::stream::io::Trace = Arc::new(move |_, text: &str| {
            if let Ok(message) = serde_json::from_str::<Value>(text)
                && message["event"] == "start"
            {
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(message);
            }
        });
        let ladder = Ladder::default();
        let seen = Arc::downgrade(&ladder.0);
        let sip: streamkit::sip::io::Trace = Arc::new(move |passed: streamkit::sip::io::Traced<'_>| {
            let message = (passed.sent, String::from_utf8_lossy(passed.bytes).into_owned());
            if let Some(seen) = seen.upgrade() {
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(message);
            }
        });
        let onlookers = Onlookers { stream: Some(stream), sip: Some(sip) };
        let running = daemon::start(config, onlookers).await.expect("started");
        let node = Self { running, starts, tls: wanted.tls.clone(), ladder, dir };
        node.is_up().await;
        node
    }

    /// Waits until every task of the daemon has begun.
    async fn is_up(&self) {
        let telephone = Telephone::facing(self.sip(Transport::Udp)).await;
        telephone.send(&telephone.request("OPTIONS", "1 OPTIONS", "z9hG4bKup", "", "")).await;
        telephone.answered("SIP/2.0").await;
        let mut http = TcpStream::connect(self.running.http[0]).await.expect("connected");
        let get = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        http.write_all(get).await.expect("asked");
        http.read_to_end(&mut Vec::new()).await.expect("answered");
    }

    /// Whether it sent, or received, a message that holds all of this.
    pub(crate) fn passed(&self, sent: bool, parts: &[&str]) -> bool {
        self.count(sent, parts) > 0
    }

    /// How many such messages passed.
    pub(crate) fn count(&self, sent: bool, parts: &[&str]) -> usize {
        let ladder = self.ladder.messages();
        let is = |(its, text): &&(bool, String)| *its == sent && parts.iter().all(|part| text.contains(part));
        ladder.iter().filter(is).count()
    }

    /// Where it takes SIP.
    pub(crate) fn sip(&self, transport: Transport) -> SocketAddr {
        let of = |(its, address): &(Transport, SocketAddr)| (*its == transport).then_some(*address);
        self.running.sip.iter().find_map(of).expect("a listener")
    }

    /// A call to a number of the bot's.
    pub(crate) fn dial(&self) -> Dial {
        self.dial_to("01512340321")
    }

    /// A call to this number.
    pub(crate) fn dial_to(&self, number: &str) -> Dial {
        Dial::to(format!("sip:{number}@{}", self.sip(Transport::Udp))).header("X-Exotel-AccountSid", ACCOUNT)
    }

    /// Records of the calls that are over.
    pub(crate) fn records(&self) -> Vec<Value> {
        records(self.dir.path())
    }

    /// Waits until so many calls are recorded; their records.
    pub(crate) async fn cdrs(&self, count: usize) -> Vec<Value> {
        eventually("call records", || records(self.dir.path()).len() >= count).await;
        let records = records(self.dir.path());
        assert_eq!(records.len(), count, "one record a call: {records:#?}");
        records
    }

    /// Waits until nothing is on the line, and everything a call takes has been given back.
    pub(crate) async fn is_idle(&self) {
        let Running { board, admission, engine, .. } = &self.running;
        eventually("an empty board", || board.is_empty()).await;
        eventually("limits given back", || {
            let used = admission.in_use();
            let each = used.calls.iter().chain(&used.streams).all(|(_, count)| *count == 0);
            (used.all_calls, used.all_streams, each) == (0, 0, true)
        })
        .await;
        eventually("ports and streams closed", || {
            engine.load().iter().all(|core| (core.graphs, core.rtp_ports, core.streams) == (0, 0, 0))
        })
        .await;
    }

    /// Waits until no more is open or under way than before a call.
    pub(crate) async fn is_as_before(&self, before: Held) {
        self.is_idle().await;
        let started = Instant::now();
        while Held::now() != before && started.elapsed() < PATIENCE {
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(Held::now(), before, "descriptors and tasks");
    }

    /// Ends it; what signalling still held.
    pub(crate) async fn stop(self) -> Load {
        timeout(PATIENCE, self.running.stop()).await.expect("the daemon stops in time")
    }

    /// Ends it; its folder.
    pub(crate) async fn stop_and_keep(self) -> TempDir {
        timeout(PATIENCE, self.running.stop()).await.expect("the daemon stops in time");
        self.dir
    }
}

/// The call records in a folder of state, in order.
pub(crate) fn records(state: &Path) -> Vec<Value> {
    let files = fs::read_dir(state.join("cdr")).expect("a folder").flatten();
    let mut paths: Vec<_> = files.map(|file| file.path()).collect();
    paths.sort();
    let text: String = paths.iter().map(|path| fs::read_to_string(path).expect("text")).collect();
    // a line without its end is still being written
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.map(|line| serde_json::from_str(line).expect("a record is JSON")).collect()
}

/// What is open and under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    descriptors: usize,
    tasks: usize,
}

impl Held {
    /// Before a call: once everything that was just started has begun its own tasks.
    pub(crate) async fn settled() -> Self {
        let (mut held, mut since) = (Self::now(), Instant::now());
        while since.elapsed() < Duration::from_millis(50) {
            sleep(Duration::from_millis(5)).await;
            if Self::now() != held {
                (held, since) = (Self::now(), Instant::now());
            }
        }
        held
    }

    fn now() -> Self {
        Self { descriptors: descriptors(), tasks: Handle::current().metrics().num_alive_tasks() }
    }
}

/// A bot on `wss://` with this script.
pub(crate) async fn bot(script: Script) -> Bot {
    bot_with(script, Manners::default()).await
}

/// A bot on `wss://` with these manners.
pub(crate) async fn bot_with(script: Script, manners: Manners) -> Bot {
    let config = bot::Config { tls: true, script, manners, ..bot::Config::default() };
    Bot::start(config).await.expect("a bot")
}

/// Waits until the bot saw this.
pub(crate) async fn until(bot: &Bot, enough: impl Fn(&[Transcript]) -> bool) -> Vec<Transcript> {
    match timeout(PATIENCE, bot.until(enough)).await {
        Ok(seen) => seen,
        Err(_) => panic!("the bot never saw it: {:#?}", events(&bot.transcripts())),
    }
}

/// Waits until so many connections of the bot are over.
pub(crate) async fn over(bot: &Bot, count: usize) -> Vec<Transcript> {
    until(bot, |all| all.len() >= count && all.iter().all(|one| one.ended.is_some())).await
}

fn events(transcripts: &[Transcript]) -> Vec<String> {
    transcripts.iter().flat_map(|one| &one.events).map(|event| format!("{:.300?}", event.what)).collect()
}

/// A caller on loopback.
pub(crate) async fn caller() -> Caller {
    let config = caller::Config { bind: [127, 0, 0, 1].into(), ..caller::Config::default() };
    Caller::start(config).await.expect("a caller")
}
