//! The shell against real sockets on the loopback address.

use std::sync::Mutex;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::egress::{Allowed, Egress, PlainTo};
use crate::fetch::Config;

/// What a server does with one connection.
#[derive(Clone)]
enum Act {
    /// Says this and closes.
    Say(String),
    /// Says this and keeps the connection open.
    Hold(String),
    /// Says an octet of this every so often.
    Drip(String, Duration),
}

/// A web server of our own: each connection gets the next act, the last one for ever.
struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn of(acts: Vec<Act>) -> Self {
        Self::with(acts, None).await
    }

    async fn with(acts: Vec<Act>, tls: Option<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (heard, tls) = (asked.clone(), tls.map(|tls| TlsAcceptor::from(Arc::new(tls))));
        tokio::spawn(async move {
            let mut acts = acts.into_iter().peekable();
            while let Ok((tcp, _)) = listener.accept().await {
                let act = if acts.len() > 1 { acts.next() } else { acts.peek().cloned() }.expect("an act");
                let (heard, tls) = (heard.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => play(tcp, act, heard).await,
                        Some(tls) => {
                            if let Ok(tcp) = tls.accept(tcp).await {
                                play(tcp, act, heard).await;
                            }
                        }
                    }
                });
            }
        });
        Self { port, asked }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What was asked: request lines and header fields.
    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no test panicked with it").clone()
    }
}

async fn play<S>(mut socket: S, act: Act, heard: Arc<Mutex<Vec<String>>>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if socket.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    heard.lock().expect("no test panicked with it").push(String::from_utf8_lossy(&request).into_owned());
    match act {
        Act::Say(text) => {
            let _ = socket.write_all(text.as_bytes()).await;
            let _ = socket.shutdown().await;
        }
        Act::Hold(text) => {
            let _ = socket.write_all(text.as_bytes()).await;
            let _ = socket.flush().await;
            std::future::pending::<()>().await;
        }
        Act::Drip(text, pause) => {
            for octet in text.bytes() {
                if socket.write_all(&[octet]).await.is_err() {
                    return;
                }
                tokio::time::sleep(pause).await;
            }
        }
    }
}

fn answer(status: &str, more: &str, body: &str) -> Act {
    Act::Say(format!("HTTP/1.1 {status}\r\n{more}Content-Length: {}\r\n\r\n{body}", body.len()))
}

fn ok(body: &str) -> Act {
    answer("200 OK", "", body)
}

fn to(location: &str) -> Act {
    answer("302 Found", &format!("Location: {location}\r\n"), "elsewhere")
}

fn client() -> Client {
    // No authority: what needs one brings its own.
    let roots = rustls::RootCertStore::empty();
    let tls = ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Client::of(tls)
}

fn errand(url: &str, config: Config) -> Errand {
    let url = HttpUrl::parse(url).expect("a URL");
    Errand { url, egress: Egress::Configured, config: Arc::new(config) }
}

async fn get(url: &str) -> Result<String, Failure> {
    got(errand(url, Config::default())).await
}

async fn got(errand: Errand) -> Result<String, Failure> {
    client().get(errand).await.map(|body| String::from_utf8(body).expect("text"))
}

#[tokio::test]
async fn the_request_says_who_asks_and_user_info_is_basic_authorization() {
    let server = Server::of(vec![ok("x")]).await;
    let url = server.url("/a?b=%20c").replace("//", "//key:t%40ken@");
    assert_eq!(get(&url).await, Ok("x".into()));
    let asked = server.asked().concat();
    assert!(asked.contains("authorization: Basic a2V5OnRAa2Vu\r\n"), "{asked}");
    let asked = asked.to_lowercase();
    assert!(asked.starts_with("get /a?b=%20c http/1.1\r\n"), "{asked}");
    assert!(asked.contains(&format!("\r\nhost: 127.0.0.1:{}\r\n", server.port)), "{asked}");
    assert!(asked.contains("\r\nuser-agent: streamkit/") && asked.contains("\r\nconnection: close\r\n"));
    assert!(!asked.contains("key:"), "{asked}");
}

#[tokio::test]
async fn bodies_come_whole_however_they_are_framed() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let till_the_end = "HTTP/1.0 200 OK\r\n\r\nabcde";
    let dripping = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde".to_owned();
    for act in [
        Act::Say(chunked.into()),
        Act::Hold(chunked.into()),
        Act::Say(till_the_end.into()),
        Act::Drip(dripping, Duration::from_millis(1)),
    ] {
        let server = Server::of(vec![act]).await;
        assert_eq!(get(&server.url("/")).await, Ok("abcde".into()));
    }
}

#[tokio::test]
async fn a_5xx_and_a_broken_connection_are_tried_once_more() {
    for first in
        [answer("503 no", "", ""), Act::Say(String::new()), Act::Say("HTTP/1.1 200 OK\r\nContent-Le".into())]
    {
        let server = Server::of(vec![first, ok("x")]).await;
        assert_eq!(get(&server.url("/")).await, Ok("x".into()));
        assert_eq!(server.asked().len(), 2);
    }
    let server = Server::of(vec![answer("500 no", "", "")]).await;
    assert_eq!(get(&server.url("/")).await, Err(Failure::Status(500)));
    assert_eq!(server.asked().len(), 2);
    let server = Server::of(vec![answer("404 no", "", "")]).await;
    assert_eq!(get(&server.url("/")).await, Err(Failure::Status(404)));
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn nobody_listening_is_refused() {
    // kept, so that nobody else opens it: whoever does not listen is not there
    let kept = TcpSocket::new_v4().expect("a socket");
    kept.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let port = kept.local_addr().expect("one").port();
    let failure = get(&format!("http://127.0.0.1:{port}/")).await.expect_err("nobody listens");
    assert_eq!(failure.to_string(), format!("dial tcp 127.0.0.1:{port}: connect: connection refused"));
    assert_eq!(failure.cause(), "refused");
}

#[tokio::test]
async fn redirects_are_followed_three_times_and_a_loop_ends() {
    let server = Server::of(vec![to("/1"), to("2?x"), to("/3"), ok("there")]).await;
    assert_eq!(get(&server.url("/")).await, Ok("there".into()));
    let paths: Vec<_> =
        server.asked().iter().map(|asked| asked.lines().next().unwrap_or("").to_owned()).collect();
    assert_eq!(paths, ["GET / HTTP/1.1", "GET /1 HTTP/1.1", "GET /2?x HTTP/1.1", "GET /3 HTTP/1.1"]);
    let round = Server::of(vec![to("/")]).await;
    assert_eq!(get(&round.url("/")).await, Err(Failure::Redirects));
    assert_eq!(round.asked().len(), 4);
}

#[tokio::test]
async fn a_redirect_to_another_host_is_judged_and_gets_no_user_info() {
    let inner = Server::of(vec![ok("secret")]).await;
    let outer = Server::of(vec![to(&format!("http://localhost:{}/", inner.port))]).await;
    let url = outer.url("/").replace("//", "//k:s@");
    let failure = get(&url).await.expect_err("loopback is not public");
    assert_eq!(failure, Failure::Forbidden(format!("localhost:{}", inner.port), "address not allowed"));
    assert!(inner.asked().is_empty(), "nothing was said to it");
    let allow = [Allowed::Host("localhost".into())].into();
    let body = got(errand(&url, Config { allow, ..Config::default() })).await;
    assert_eq!(body, Ok("secret".into()));
    let (sent, kept) = (outer.asked().concat(), inner.asked().concat());
    assert!(
        sent.to_lowercase().contains("authorization: basic")
            && !kept.to_lowercase().contains("authorization")
    );
}

#[tokio::test]
async fn what_arrives_at_run_time_leads_to_public_addresses_only() {
    let server = Server::of(vec![ok("x")]).await;
    let config = Arc::new(Config::default());
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "169.254.169.254"] {
        let url = HttpUrl::parse(&format!("http://{host}:{}/", server.port)).expect("a URL");
        let errand = Errand { url, egress: Egress::RunTime([].into()), config: config.clone() };
        assert_eq!(got(errand).await.expect_err(host).cause(), "forbidden");
    }
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn plain_http_keeps_to_its_setting() {
    let server = Server::of(vec![ok("x")]).await;
    let failure = got(errand(&server.url("/"), Config { plain: PlainTo::None, ..Config::default() })).await;
    assert!(matches!(failure, Err(Failure::Forbidden(_, "plain http:// not allowed"))), "{failure:?}");
}

#[tokio::test]
async fn a_body_or_a_header_over_the_limit_is_an_error_and_is_not_asked_for_again() {
    let just = "x".repeat(MAX_BODY);
    let server = Server::of(vec![ok(&just)]).await;
    assert_eq!(get(&server.url("/")).await.map(|body| body.len()), Ok(MAX_BODY));
    let over = format!("{just}x");
    let endless = Act::Say(format!("HTTP/1.0 200 OK\r\n\r\n{over}"));
    let header =
        Act::Say(format!("HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 0\r\n\r\n", "y".repeat(MAX_HEADER)));
    let flood = Act::Hold(format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(10 * MAX_HEADER)));
    for (act, failure) in [
        (ok(&over), Failure::BodyTooLarge),
        (endless, Failure::BodyTooLarge),
        (header, Failure::HeaderTooLarge),
        (flood, Failure::HeaderTooLarge),
    ] {
        let server = Server::of(vec![act]).await;
        assert_eq!(get(&server.url("/")).await, Err(failure));
        assert_eq!(server.asked().len(), 1);
    }
}

#[tokio::test]
async fn what_is_not_http_is_an_error() {
    for text in [
        "SIP/2.0 200 OK\r\n\r\n",
        "\0\u{1}\u{2}",
        "HTTP/1.1 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    ] {
        let server = Server::of(vec![Act::Say(text.into())]).await;
        let failure = get(&server.url("/")).await.expect_err(text);
        assert_eq!(failure.cause(), "http", "{failure}");
    }
}

#[tokio::test]
async fn a_server_that_hangs_costs_the_budget_and_no_more() {
    let config = Config { timeout: Duration::from_millis(400), ..Config::default() };
    let slow = "HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n".to_owned() + &"x".repeat(4000);
    for act in [
        Act::Hold(String::new()),
        Act::Hold("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx".into()),
        Act::Drip(slow, Duration::from_millis(5)),
    ] {
        let server = Server::of(vec![act]).await;
        let began = Instant::now();
        let failure = got(errand(&server.url("/"), config.clone())).await.expect_err("it hangs");
        assert_eq!(failure, Failure::Deadline(config.timeout));
        assert_eq!(failure.to_string(), "timeout after 0.4s");
        assert!(began.elapsed() >= config.timeout);
    }
}

/// A server's TLS for this name, and a client that trusts it.
fn certified(name: &str) -> (ServerConfig, Client) {
    let key = KeyPair::generate().expect("a key");
    let made = CertificateParams::new(vec![name.to_owned()]).expect("a name").self_signed(&key).expect("one");
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("ca.pem");
    std::fs::write(&path, made.pem()).expect("a file");
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let server = ServerConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS")
        .with_no_client_auth()
        .with_single_cert(vec![made.der().clone()], key)
        .expect("they go together");
    (server, Client::new(Some(&path)).expect("a client"))
}

#[tokio::test]
async fn over_tls_the_name_and_the_issuer_are_verified() {
    let (tls, trusting) = certified("localhost");
    let server = Server::with(vec![ok("x")], Some(tls)).await;
    let at = |host: &str| errand(&format!("https://{host}:{}/", server.port), Config::default());
    assert_eq!(trusting.get(at("localhost")).await, Ok(b"x".to_vec()));
    let wrong = trusting.get(at("127.0.0.1")).await.expect_err("another name");
    assert_eq!(
        (wrong.cause(), wrong.to_string()),
        ("tls_name", "tls: certificate is not valid for the host name".into())
    );
    let stranger = client().get(at("localhost")).await.expect_err("nobody vouches for it");
    assert_eq!(stranger.cause(), "tls_issuer");
    let other = client();
    other.replace(&trusting);
    assert_eq!(other.get(at("localhost")).await, Ok(b"x".to_vec()));
}
