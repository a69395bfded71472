//! A bot that is asked for first: a web server on a real socket names it, and what it names is judged.

use std::sync::{Arc, Mutex};

use serde_json::json;
use streamkit::lab::bot::Script;
use streamkit::sip::Ended;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::kit::{Node, PATIENCE, Wanted, alone, bot, caller};

/// A web server that names this bot; what it was asked.
async fn naming(url: String) -> (String, Arc<Mutex<Vec<String>>>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let heard = asked.clone();
    let server = tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                if socket.read_buf(&mut request).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            heard.lock().expect("no test panicked").push(String::from_utf8_lossy(&request).into_owned());
            let body = json!({"url": url}).to_string();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = socket.write_all((head + &body).as_bytes()).await;
        }
    });
    (format!("http://key:s3cret@localhost:{port}/bots"), asked, server)
}

#[test]
fn the_bot_a_web_server_names_is_talked_to_if_it_may_be() {
    alone(async {
        let echo = bot(Script::echo()).await;
        let (web, asked, server) = naming(echo.url("/talk?a=b")).await;
        let wanted = Wanted { bot: web, ..Wanted::leading_to(&echo, "/") };

        // loopback stands in no list: what arrives at run time may not lead there
        let node = Node::start(&wanted).await;
        let caller = caller().await;
        let call = caller.dial(node.dial()).await.expect("dialled");
        let ended = call.answered().await.expect_err("there is no bot");
        assert!(matches!(ended, Ended::Refused { status: 502 | 503, .. }), "{ended:?}");
        drop(call.finish().await);
        let cdr = node.cdrs(1).await.remove(0);
        let error = cdr["streams"][0]["Error"].as_str().expect("a text");
        assert!(error.starts_with("3009 ") && error.contains("address not allowed"), "{error}");
        assert!(echo.transcripts().is_empty(), "nothing was connected");
        node.is_idle().await;
        node.stop().await;

        let tables = "[egress]\nallow = [\"127.0.0.0/8\"]".to_owned();
        let node = Node::start(&Wanted { tables, ..wanted }).await;
        let call = caller.dial(node.dial()).await.expect("dialled");
        call.answered().await.expect("answered");
        drop(call.say("hello", &streamkit::lab::speech::Speech::Barge.sound()));
        tokio::time::timeout(PATIENCE, call.until_voiced(10)).await.expect("the echo is heard");
        drop(call.finish().await);
        let cdr = node.cdrs(1).await.remove(0);
        assert_eq!(cdr["streams"][0]["StreamUrl"], echo.url("/talk?a=b"));
        let last = asked.lock().expect("no test panicked").last().cloned().expect("it was asked");
        let sid = cdr["call_sid"].as_str().expect("a text");
        assert!(last.starts_with(&format!("GET /bots?CallSid={sid}&CallFrom=")), "{last}");
        assert!(
            last.contains("authorization: Basic a2V5OnMzY3JldA==\r\n") && !cdr.to_string().contains("s3cret")
        );
        node.is_idle().await;
        node.stop().await;
        server.abort();
        let _ = server.await;
    });
}
