//! The node goes down with a call on the line.

use std::time::Duration;

use streamkit::lab::bot::{End, FromStreamKit, Script};
use streamkit::sip::Ended;
use tokio::time::timeout;

use crate::kit::{Node, PATIENCE, Wanted, alone, bot, caller, eventually, over};

#[test]
fn a_node_that_goes_down_refuses_new_calls_and_ends_those_that_are_up() {
    alone(async {
        let echo = bot(Script::echo()).await;
        let node = Node::start(&Wanted::leading_to(&echo, "/media")).await;
        let caller = caller().await;
        let call = caller.dial(node.dial()).await.expect("dialled");
        call.answered().await.expect("answered");

        node.running.drain(tokio::time::sleep(Duration::from_millis(50))).await;
        assert_eq!(node.running.board.len(), 1, "a call that is up goes on");
        let late = caller.dial(node.dial()).await.expect("dialled");
        let Err(Ended::Refused { status, .. }) = late.answered().await else { panic!("not refused") };
        assert_eq!(status, 503);
        let record = late.finish().await;
        let refusal = record.sip.iter().find(|seen| seen.line.starts_with("SIP/2.0 503")).expect("a refusal");
        assert!(refusal.text.contains("\r\nRetry-After: 30\r\n"), "{}", refusal.text);

        let said = tokio::spawn(async move {
            call.say("on", &streamkit::lab::speech::Speech::Caller.sound()).await;
            call
        });
        eventually("the bot still hears", || echo.transcripts().iter().any(|one| one.frames() > 10)).await;
        let dir = node.stop_and_keep().await;
        let ended = timeout(PATIENCE, said).await.expect("in time").expect("no panic").finish().await;
        let reason = Some("Q.850;cause=41;text=\"shutdown\"".to_owned());
        assert_eq!(ended.ended, Some(Ended::Bye { reason }));
        let seen = over(&echo, 1).await;
        assert_eq!(seen[0].ended.as_ref().map(|(_, end)| end), Some(&End::ByStreamKit(Some(1001))));
        let last = seen[0].received().last().map(|(_, message)| message.clone());
        assert!(matches!(last, Some(FromStreamKit::Stop { .. })), "{last:?}");
        assert_eq!(seen[0].faults, Vec::<String>::new());
        let records = crate::kit::records(dir.path());
        let shut = records.iter().filter(|cdr| cdr["end"]["cause"] == "shutdown").count();
        assert_eq!(shut, 1, "{records:#?}");
    });
}
