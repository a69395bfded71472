//! What signalling goes through.

use streamkit::call::Request;

use crate::world::caller::Hook;
use crate::world::clock::{ms, secs};
use crate::world::{Setup, World};

#[test]
fn a_200_that_nobody_acknowledges_ends_after_32_s() {
    let mut world = World::new(Setup::default());
    world.caller().no_acks = true;
    world.call();
    let answered = world.now();
    let cdr = world.finish();
    let times: Vec<u64> = world
        .wire
        .iter()
        .filter(|(_, up, text)| !up && text.starts_with("SIP/2.0 200"))
        .map(|(at, ..)| (*at + ms(2) - answered).as_millis() as u64)
        .collect();
    assert_eq!(times, [0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    assert!(world.said("<BYE").contains("Reason: SIP;cause=408;text=\"no ACK\"\r\n"));
    assert_eq!(cdr["end"]["cause"], "ack_timeout");
    assert_eq!(cdr["verdict"]["side"], "pbx");
    assert_eq!(cdr["times"]["duration_ms"], 32_000);
    assert_eq!(world.bot().told(), "connected start stop:callended close:1000");
}

#[test]
fn a_hundred_copies_of_an_invite_are_one_call() {
    let mut world = World::new(Setup::default());
    world.caller().copies = 100;
    world.call();
    assert_eq!((world.kit.calls.len(), world.bots.len()), (1, 1));
    world.run(secs(1));
    world.caller().hang_up();
    world.finish();
    assert_eq!(world.ladder().matches("<200").count(), 2, "one for the INVITE, one for the BYE");
}

#[test]
fn a_bye_that_crosses_ours_is_answered_as_ours_is() {
    let mut world = World::new(Setup::default());
    world.call();
    world.run(secs(1));
    world.caller().hang_up();
    world.ask(Request::Hangup);
    let cdr = world.finish();
    assert_eq!(world.ladder(), "INVITE <100 <180 <200 ACK BYE <BYE <200 200");
    assert_eq!(cdr["end"]["cause"], "hangup");
    assert!(matches!(world.callers[0].hook, Hook::Over(_)));
}

#[test]
fn a_bye_before_the_ack_is_served() {
    let mut world = World::new(Setup::default());
    world.caller().no_acks = true;
    world.call();
    world.run(secs(1));
    world.caller().hang_up();
    let cdr = world.finish();
    assert_eq!(cdr["end"]["cause"], "bye");
    assert_eq!(world.ladder(), "INVITE <100 <180 <200 <200 BYE <200");
}

#[test]
fn our_hangup_waits_for_the_ack_it_needs() {
    let mut world = World::new(Setup::default());
    world.caller().no_acks = true;
    world.call();
    world.run(secs(1));
    world.ask(Request::Hangup);
    let cdr = world.finish();
    assert_eq!(cdr["end"]["cause"], "hangup");
    assert!(world.ladder().ends_with("<BYE 200"), "{}", world.ladder());
}

#[test]
fn lost_signalling_is_sent_again_until_the_call_is_whole() {
    for seed in 0..30 {
        let mut setup = Setup { seed, ..Setup::default() };
        (setup.paths.sip_up.loss, setup.paths.sip_down.loss) = (30.0, 30.0);
        let mut world = World::new(setup);
        world.call();
        world.run(secs(40));
        let up = world.callers[0].hook == Hook::Up;
        world.caller().hang_up();
        let cdr = world.finish();
        assert!(up, "seed {seed}: {}", world.ladder());
        assert_eq!(cdr["end"]["cause"], "bye", "seed {seed}: {}", world.ladder());
    }
}
