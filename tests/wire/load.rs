//! `streamkit load` as a program, against a daemon of the test's own.

use std::process::{Command, Output, Stdio};

use serde_json::Value;
use streamkit::lab::load::bot::Echo;
use streamkit::sip::Transport;

use crate::kit::{Held, Node, Wanted, alone};

/// A daemon whose bot echoes.
async fn node(echo: &Echo) -> Node {
    let ca = Some(echo.certificate().pem().to_owned());
    Node::start(&Wanted { bot: echo.url("/media"), ca, ..Wanted::default() }).await
}

/// Runs it to this number; what it said, and what it told as JSON.
async fn load(node: &Node, number: &str, transport: Transport, args: &[&str]) -> (Output, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamkit"));
    let target = format!("sip:{number}@{};transport={}", node.sip(transport), transport.as_str());
    command.args(["load", "--json", "-", "--target", &target]).args(args).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output().expect("run")).await.expect("ran");
    let told = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stdout)));
    (output, told)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn twenty_calls_of_load_are_answered_and_heard_and_leave_nothing() {
    alone(async {
        let echo = Echo::start().await.expect("a bot");
        let node = node(&echo).await;
        let before = Held::settled().await;
        let args = ["--calls", "20", "--rate", "20", "--seconds", "3"];
        let (output, told) = load(&node, "01512340321", Transport::Udp, &args).await;
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert!(said(&output).contains("20 placed, 20 answered, 0 failed"), "{}", said(&output));
        assert_eq!(
            (&told["placed"], &told["answered"], &told["most_at_once"]),
            (&20.into(), &20.into(), &20.into())
        );
        assert_eq!((&told["setup_ms"]["count"], &told["bye_ms"]["count"]), (&20.into(), &20.into()));
        assert_eq!(
            (&told["unheard_calls"], &told["lost"], &told["wrong"]),
            (&0.into(), &0.into(), &Value::Null)
        );
        let [sent, heard] = ["sent", "heard"].map(|name| told[name].as_u64().expect("a number"));
        // 20 calls of 3 s at 50 packets a second; what a busy machine is too late for, either side leaves out
        assert!((20 * 50..20 * 500).contains(&sent), "{sent} sent");
        assert!((20 * 10..20 * 500).contains(&heard), "{heard} heard");
        for cdr in node.cdrs(20).await {
            assert_eq!(
                (&cdr["end"]["by"], &cdr["media"]["in"]["lost"]),
                (&"caller".into(), &0.into()),
                "{cdr}"
            );
        }
        node.is_as_before(before).await;
        node.stop().await;
    });
}

#[test]
fn calls_of_drawn_length_come_and_go_over_tcp() {
    alone(async {
        let echo = Echo::start().await.expect("a bot");
        let node = node(&echo).await;
        let args = ["--calls", "5", "--rate", "20", "--seconds", "6", "--each", "0.5-1"];
        let (output, told) = load(&node, "01512340321", Transport::Tcp, &args).await;
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let [placed, answered, unanswered, most] = ["placed", "answered", "not_answered_yet", "most_at_once"]
            .map(|name| told[name].as_u64().expect("a number"));
        assert!(placed > 5 && most <= 5, "those that end are replaced, and there are never more: {told:#}");
        assert_eq!(placed, answered + unanswered, "{told:#}");
        assert_eq!(node.cdrs(placed as usize).await.len() as u64, placed);
        node.stop().await;
    });
}

#[test]
fn a_target_that_refuses_is_exit_code_1_with_the_cause() {
    alone(async {
        let echo = Echo::start().await.expect("a bot");
        let node = node(&echo).await;
        let args = ["--calls", "3", "--rate", "20", "--seconds", "2"];
        let (output, told) = load(&node, "999", Transport::Udp, &args).await;
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains("3 of 3 calls failed: 3 x 404"), "{}", said(&output));
        assert_eq!((&told["answered"], &told["heard"]), (&0.into(), &0.into()));
        assert!(told["failed"].as_object().is_some_and(|causes| causes.len() == 1), "{told:#}");
        node.stop().await;
    });
}
