//! The front door over a real socket on loopback.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

#[derive(Default)]
struct Busy {
    draining: AtomicBool,
}

impl Node for Busy {
    fn ready(&self) -> Result<(), String> {
        if self.draining.load(Ordering::Relaxed) { Err("draining".into()) } else { Ok(()) }
    }
    fn alive(&self) -> bool {
        true
    }
    fn live(&self) -> Live {
        Live { node: "edge-1".into(), calls: (2, 10), trunks: vec![("api-pbx".into(), 2)], ..Live::default() }
    }
}

/// One request on a fresh connection, and the whole answer.
async fn ask(at: SocketAddr, path: &str, headers: &str) -> String {
    let mut socket = TcpStream::connect(at).await.expect("a listener");
    let request = format!("GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.expect("a request");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("an answer");
    answer
}

fn with_node<F: Future<Output = ()>>(test: impl FnOnce(SocketAddr, Arc<Busy>) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = bind(&[any]).await.expect("a free port").remove(0);
        let at = listener.local_addr().expect("an address");
        let node = Arc::new(Busy::default());
        let serving = serve(listener, Arc::clone(&node), Vec::new(), std::future::pending());
        tokio::select! {
            () = test(at, node) => {}
            ended = serving => panic!("the API ended: {ended:?}"),
        }
    });
}

#[test]
fn readiness_tells_its_reason_and_liveness_stays() {
    with_node(|at, node| async move {
        assert!(ask(at, "/readyz", "Host: x\r\n").await.starts_with("HTTP/1.1 200"));
        node.draining.store(true, Ordering::Relaxed);
        let answer = ask(at, "/readyz", "Host: x\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.ends_with("draining\n"), "{answer}");
        assert!(ask(at, "/healthz", "Host: x\r\n").await.starts_with("HTTP/1.1 200"));
        assert!(ask(at, "/nothing", "Host: x\r\n").await.starts_with("HTTP/1.1 404"));
    });
}

#[test]
fn metrics_come_in_either_text_with_the_gauges_of_the_moment() {
    crate::telemetry::exposition::install(&crate::telemetry::exposition::Names::default());
    with_node(|at, _| async move {
        let plain = ask(at, "/metrics", "Host: x\r\n").await;
        assert!(plain.contains("text/plain; version=0.0.4"), "{plain}");
        assert!(plain.contains("streamkit_calls_active{trunk=\"api-pbx\"} 2"));
        let open = ask(at, "/metrics", "Host: x\r\nAccept: application/openmetrics-text\r\n").await;
        assert!(open.contains("# EOF\n") && open.contains("# TYPE streamkit_repairs counter"));
    });
}

#[test]
fn the_page_is_for_this_machine_by_its_own_name() {
    with_node(|at, _| async move {
        let page = ask(at, "/", &format!("Host: {at}\r\n")).await;
        assert!(page.starts_with("HTTP/1.1 200") && page.contains("edge-1"), "{page}");
        let foreign = ask(at, "/", "Host: evil.example\r\n").await;
        assert!(foreign.starts_with("HTTP/1.1 403") && !foreign.contains("edge-1"), "{foreign}");
    });
}

#[test]
fn own_names_are_loopback_only() {
    assert!(is_own_name("localhost:9464") && is_own_name("[::1]:9464") && is_own_name("[::1]"));
    assert!(is_own_name("127.0.0.1"));
    assert!(!is_own_name("192.0.2.1:9464") && !is_own_name("localhost.evil.example") && !is_own_name(""));
}

#[test]
fn a_port_that_is_taken_is_named() {
    with_node(|at, _| async move {
        let taken = bind(&[at]).await.expect_err("it is taken");
        assert!(
            taken.to_string().starts_with(&format!("http.listen: {at} cannot be listened on")),
            "{taken}"
        );
    });
}
