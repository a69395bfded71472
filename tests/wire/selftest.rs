//! The quirk laboratory: what every make of PBX does passes, and what is broken on purpose fails by name.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use streamkit::cli::selftest;
use streamkit::lab::bot::{Bot, Script};
use streamkit::lab::quirk::{self, Acceptance, Ground, Number, Outcome, Pbx, Verdict};

use crate::kit::{ACCOUNT, Node, Wanted, alone, bot};

/// Cases wait far more than they work.
const AT_ONCE: usize = 10;

fn failed(outcomes: &[Outcome]) -> BTreeSet<&'static str> {
    outcomes.iter().filter(|outcome| outcome.failed().is_some()).map(|outcome| outcome.case.name).collect()
}

#[test]
fn every_quirk_of_every_pbx_passes() {
    alone(async {
        let played = selftest::in_this_process(quirk::plan(&Pbx::ALL), AT_ONCE).await.expect("played");
        let faults: Vec<String> = played
            .outcomes
            .iter()
            .filter_map(|one| Some(format!("{one}\n{}\n{}", one.failed()?, one.story)))
            .collect();
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        assert!(played.accepted());
        assert_eq!(played.counts().2, 0, "every case could be played: {}", played.table());
        assert!(played.server().starts_with("StreamKit/"), "{}", played.server());
        let names: BTreeSet<_> = played.outcomes.iter().map(|outcome| outcome.case.name).collect();
        assert!(names.len() > 70, "{} different cases", names.len());
    });
}

/// Plays these cases against a daemon with this trunk, as a customer's engineer would: its bot is not seen.
async fn played_against(
    wanted: Wanted,
    number: &str,
    cases: &[&str],
    seen: Option<Arc<Bot>>,
) -> Vec<Outcome> {
    let node = Node::start(&wanted).await;
    let doors = node.running.sip.clone();
    let ground = Ground {
        host: doors[0].1.to_string(),
        doors,
        number: Number::Each(number.to_owned()),
        slow: None,
        account: Some(ACCOUNT.to_owned()),
        ip: [127, 0, 0, 1].into(),
        port: 0,
        bots: seen.into_iter().collect(),
        tls: None,
        patience: Duration::from_secs(5), // on a busy machine, too; what fails on purpose waits for all of it
    };
    let mut plan = quirk::plan(&Pbx::ALL);
    plan.retain(|(_, case)| cases.contains(&case.name));
    let outcomes = quirk::run(&Arc::new(ground), plan, AT_ONCE, |_| {}).await;
    node.stop().await;
    outcomes
}

#[test]
fn a_trunk_that_learns_no_address_fails_where_audio_comes_from_elsewhere() {
    alone(async {
        let bot = bot(Script::default()).await;
        let wanted = Wanted { trunk: "latch = \"strict\"", ..Wanted::leading_to(&bot, "/media") };
        let cases = ["latched_to_another_port", "silence_from_the_200_on", "late_offer"];
        let outcomes = played_against(wanted, "015", &cases, None).await;
        assert_eq!(failed(&outcomes), BTreeSet::from(["latched_to_another_port"]), "{outcomes:#?}");
        let fault = outcomes.iter().find_map(Outcome::failed).expect("a fault");
        assert_eq!(fault.expected, "RTP to the port we send from");
        let note = "what the bot got is not observable from here";
        assert!(outcomes.iter().any(|one| one.verdict == Verdict::Passed && one.notes.contains(&note)));
    });
}

#[test]
fn a_number_without_a_route_fails_every_call_and_the_report_shows_the_404() {
    alone(async {
        let bot = bot(Script::default()).await;
        let cases = ["hold_sendonly", "keys_as_101", "options_ping", "cancel_of_nothing"];
        let outcomes = played_against(Wanted::leading_to(&bot, "/media"), "099", &cases, None).await;
        assert_eq!(failed(&outcomes), BTreeSet::from(["hold_sendonly", "keys_as_101"]), "{outcomes:#?}");
        let report = Acceptance { outcomes, played: Pbx::ALL.to_vec(), ..Acceptance::default() };
        assert!(!report.accepted());
        let text = report.text();
        assert!(text.contains("expected 200 to INVITE\n      found    404 to INVITE"), "{text}");
        assert!(text.contains("SIP/2.0 404 "), "the SIP that failed is in the report");
    });
}

#[test]
fn what_the_trunk_keeps_from_the_bot_is_missed_there() {
    alone(async {
        let bot = Arc::new(bot(Script::default()).await);
        let wanted = Wanted { trunk: "custom_header_max = 10", ..Wanted::leading_to(&bot, "/media") };
        let cases = ["custom_header_too_long", "x_uui", "keys_by_info_relay"];
        let outcomes = played_against(wanted, "015", &cases, Some(bot)).await;
        assert_eq!(failed(&outcomes), BTreeSet::from(["custom_header_too_long", "x_uui"]), "{outcomes:#?}");
        let fault = outcomes.iter().find_map(Outcome::failed).expect("a fault");
        assert!(fault.expected.starts_with("at the bot: "), "{fault}");
    });
}
