//! Routes with several bots: who is tried after whom, and who is left alone for a while.

use std::collections::HashMap;

use serde_json::Value;
use streamkit::audio::codec::G711;
use streamkit::call::admission::Limits;
use streamkit::call::breaker::{Address, State};
use streamkit::flow::{AnswerMode, Reconnect};
use streamkit::stream::BotUrl;
use streamkit::stream::connect::Failure;

use crate::world::bot::{Bot, Door};
use crate::world::clock::{ms, secs};
use crate::world::ear::{companded, find, sound};
use crate::world::{Setup, World};
use crate::{tone, words};

const TWO: [&str; 2] = ["ws://one.example/bot", "ws://two.example/bot"];

fn opens() -> Vec<Door> {
    vec![Door::Opens(ms(50))]
}

fn refuses() -> Vec<Door> {
    vec![Door::Fails(ms(20), Failure::Refused)]
}

/// Two bots: how the first and the second answer at the door.
fn two(one: Vec<Door>, two: Vec<Door>) -> Setup {
    Setup { houses: vec![("one.example", one), ("two.example", two)], ..Setup::urls(&TWO) }
}

/// `connect_failed completed`: the dispositions of a call's streams in order.
fn dispositions(cdr: &Value) -> Vec<&str> {
    let streams = cdr["streams"].as_array().expect("a list");
    streams.iter().map(|stream| stream["Disposition"].as_str().expect("a word")).collect()
}

fn urls(cdr: &Value) -> Vec<&str> {
    let streams = cdr["streams"].as_array().expect("a list");
    streams.iter().map(|stream| stream["StreamUrl"].as_str().expect("a URL")).collect()
}

fn state(world: &World, url: &str) -> State {
    let bot = Address::of(&BotUrl::parse(url).expect("a URL"));
    world.kit.admission.breakers().state(&bot)
}

// ---- one after the other ----

#[test]
fn the_caller_hears_ringing_until_the_second_bot_is_there() {
    let mut world = World::new(two(refuses(), opens()));
    world.call();
    world.run(secs(1));
    let answer = tone(1000.0, 1000);
    world.bot().say(&answer);
    world.run(secs(2));
    world.caller().hang_up();
    let cdr = world.finish();

    assert_eq!(world.ladder(), "INVITE <100 <180 <200 ACK BYE <200");
    assert_eq!(cdr["times"]["answer_ms"], 20 + 250 + 20 + 50);
    assert_eq!(dispositions(&cdr), ["connect_failed", "caller_hangup"]);
    assert_eq!(urls(&cdr), TWO);
    assert_eq!((&cdr["streams"][0]["attempts"], &cdr["streams"][1]["attempts"]), (&2.into(), &1.into()));
    assert_ne!(cdr["streams"][0]["StreamSID"], cdr["streams"][1]["StreamSID"]);
    assert!(find(&world.callers[0].ear.line(), &companded(G711::Mu, &answer)).is_some());
    assert_eq!(cdr["streams"][1]["audio"]["played_ms"], 1000);
    assert_eq!(world.bots[0].story(), "", "the first bot was told nothing");
    assert_eq!(world.bot().told(), "connected start stop:callended close:1000");
}

#[test]
fn each_bot_has_the_whole_budget_of_time() {
    let mut setup = two(vec![Door::Silent], vec![Door::Opens(ms(1900))]);
    setup.stream.connect_timeout = secs(2);
    let mut world = World::new(setup);
    world.call();
    world.caller().hang_up();
    let cdr = world.finish();
    assert_eq!(cdr["times"]["answer_ms"], 2000 + 1900);
    assert_eq!(cdr["streams"][0]["Error"], "3009 failed to establish ws conn: timeout after 2s");
}

#[test]
fn whatever_keeps_a_bot_from_being_had_the_next_is_tried() {
    let failures = [
        Failure::Refused,
        Failure::DialTimeout,
        Failure::Status(503),
        Failure::Forbidden("address is not allowed"),
        Failure::Lookup("no such host".to_owned()),
        Failure::Tls { cause: "tls_expired", reason: "certificate has expired".to_owned() },
        Failure::Handshake("no".to_owned()),
    ];
    for failure in failures {
        let mut world = World::new(two(vec![Door::Fails(ms(20), failure.clone())], opens()));
        world.call();
        world.caller().hang_up();
        assert_eq!(dispositions(&world.finish()), ["connect_failed", "caller_hangup"], "{failure:?}");
    }
    let mut world = World::new(Setup::urls(&["ftp://one.example/", TWO[1]]));
    world.call();
    world.caller().hang_up();
    assert_eq!(dispositions(&world.finish()), ["bad_url", "caller_hangup"]);
}

#[test]
fn after_the_last_bot_the_call_is_refused_as_after_the_only_one() {
    let late = || vec![Door::Silent];
    let ends = [
        (refuses(), refuses(), "502", "bot_unavailable"),
        (late(), refuses(), "502", "bot_unavailable"),
        (refuses(), late(), "504", "bot_timeout"),
    ];
    for (first, second, code, cause) in ends {
        let mut world = World::new(two(first, second));
        world.caller().dial();
        let cdr = world.finish();
        assert_eq!(world.ladder(), format!("INVITE <100 <180 <{code} ACK"));
        assert_eq!(cdr["end"]["cause"], cause);
        assert_eq!(dispositions(&cdr), ["connect_failed", "connect_failed"]);
        assert_eq!(cdr["verdict"]["side"], "bot");
    }
}

#[test]
fn a_call_that_is_answered_goes_on_to_the_second_bot() {
    let mut setup = two(refuses(), vec![Door::Opens(ms(500))]);
    setup.trunk.answer = AnswerMode::Immediate;
    let mut world = World::new(setup);
    world.call();
    world.run(ms(300));
    let question = tone(440.0, 1000);
    world.caller().mouth.say(&question);
    world.run(secs(3));
    world.bot().say(&tone(1000.0, 700));
    world.run(secs(1));
    world.caller().hang_up();
    let cdr = world.finish();

    assert_eq!(world.ladder(), "INVITE <100 <180 <200 ACK BYE <200");
    assert!(find(&world.bot().line(), &companded(G711::Mu, &question)).is_some());
    assert_eq!(dispositions(&cdr), ["connect_failed", "caller_hangup"]);
    assert_eq!(
        (&cdr["streams"][0]["audio"]["played_ms"], &cdr["streams"][1]["audio"]["played_ms"]),
        (&0.into(), &700.into())
    );
    world.callers[0].ear.assert_steady();
}

#[test]
fn what_the_caller_says_while_the_first_bot_is_tried_is_the_second_bots() {
    let rates = [("8000", "8000"), ("16000", "16000"), ("8000", "16000"), ("24000", "8000")];
    for (one, other) in rates {
        let urls = [format!("{}?sample-rate={one}", TWO[0]), format!("{}?sample-rate={other}", TWO[1])];
        let late = vec![Door::Fails(ms(700), Failure::Refused)];
        let houses = vec![("one.example", late), ("two.example", vec![Door::Opens(ms(400))])];
        let mut setup = Setup { houses, ..Setup::urls(&[&urls[0], &urls[1]]) };
        setup.trunk.answer = AnswerMode::Immediate;
        setup.stream.connect_retries = 0;
        let mut world = World::new(setup);
        world.call();
        let asked = words(51, 1000);
        world.caller().mouth.say(&asked); // from the first packet on, and on over both
        world.run(secs(4));
        let answer = words(52, 500);
        let rate = world.bot().rate;
        if rate == 8000 {
            world.bot().say(&answer);
        }
        world.run(secs(1));
        world.caller().hang_up();
        let cdr = world.finish();
        assert_eq!(dispositions(&cdr), ["connect_failed", "caller_hangup"]);
        let line = world.bot().line();
        if (one, other) == ("8000", "8000") {
            assert!(sound(&line) == companded(G711::Mu, &asked), "not a sample is lost or said twice");
        }
        let heard_ms = sound(&line).len() * 1000 / rate as usize;
        assert!((980..=1020).contains(&heard_ms), "{one} then {other}: {heard_ms} ms");
        if rate == 8000 {
            assert!(find(&world.callers[0].ear.line(), &companded(G711::Mu, &answer)).is_some());
            assert_eq!(cdr["streams"][1]["audio"]["played_ms"], 500);
        }
        world.callers[0].ear.assert_steady();
    }
}

#[test]
fn no_more_than_three_seconds_wait_for_a_bot_however_many_are_tried() {
    let slow = || vec![Door::Fails(secs(2), Failure::Refused)];
    let urls = ["ws://a.example/", "ws://b.example/", "ws://two.example/"];
    let houses = vec![("a.example", slow()), ("b.example", slow()), ("two.example", opens())];
    let mut setup = Setup { houses, ..Setup::urls(&urls) };
    setup.trunk.answer = AnswerMode::Immediate;
    setup.stream.connect_retries = 0;
    let mut world = World::new(setup);
    world.call();
    let asked = words(53, 5000);
    world.caller().mouth.say(&asked);
    world.run(secs(7));
    world.caller().hang_up();
    world.finish();
    let (line, asked) = (world.bot().line(), companded(G711::Mu, &asked));
    let heard = sound(&line);
    assert!(asked.ends_with(heard), "the last of it, without a gap");
    let kept = heard.len() - (asked.len() - 8 * 4000);
    assert!((8 * 2900..=8 * 3100).contains(&kept), "{} ms before the bot was there", kept / 8);
}

// ---- a bot that is lost ----

/// The same with `reconnect = "next"`.
fn reconnecting(one: Vec<Door>, other: Vec<Door>) -> Setup {
    Setup { reconnect: Reconnect::Next, ..two(one, other) }
}

#[test]
fn a_bot_that_is_lost_is_followed_by_the_next_where_that_is_wanted() {
    type Loss = (fn(&mut Bot), &'static str);
    let losses: [Loss; 3] = [
        (Bot::die, "connection_lost"),
        (|bot| bot.close(1011), "bot_error"),
        (|bot| bot.close(4000), "bot_error"),
    ];
    for (lose, disposition) in losses {
        let mut world = World::new(reconnecting(opens(), opens()));
        world.call();
        world.run(ms(500));
        lose(world.bot());
        world.run(ms(40));
        let asked = words(54, 600);
        world.caller().mouth.say(&asked); // while the next one is being reached
        world.run(secs(2));
        let answer = words(55, 600);
        world.bot().say(&answer);
        world.run(secs(1));
        world.caller().hang_up();
        let cdr = world.finish();
        assert_eq!(dispositions(&cdr), [disposition, "caller_hangup"]);
        assert_eq!(urls(&cdr), TWO);
        assert_eq!(world.ladder(), "INVITE <100 <180 <200 ACK BYE <200", "the caller stayed on the line");
        let lost = &cdr["streams"][0]["StreamSID"];
        assert_eq!(world.bots[1].start()["continues"], *lost);
        assert_ne!(cdr["streams"][1]["StreamSID"], *lost);
        assert!(world.bots[0].start().get("continues").is_none());
        assert!(sound(&world.bot().line()) == companded(G711::Mu, &asked));
        assert!(find(&world.callers[0].ear.line(), &companded(G711::Mu, &answer)).is_some());
        world.callers[0].ear.assert_steady();
    }
}

#[test]
fn a_bot_that_says_good_bye_is_followed_by_none() {
    for code in [1000, 1001] {
        let mut world = World::new(reconnecting(opens(), opens()));
        world.call();
        world.bot().close(code);
        assert_eq!(dispositions(&world.finish()), ["bot_closed"], "{code}");
    }
}

#[test]
fn bots_that_are_lost_one_after_the_other_come_to_an_end() {
    let mut world = World::new(Setup { script: |bot, _| bot.die(), ..reconnecting(opens(), opens()) });
    world.caller().dial();
    let cdr = world.finish();
    assert_eq!(dispositions(&cdr), ["connection_lost"; 2], "each of them once");
    assert_eq!(world.kit.admission.in_use().all_streams, 0);
}

#[test]
fn a_stream_goes_on_for_the_one_that_was_lost_even_past_a_bot_that_cannot_be_had() {
    let urls = [TWO[0], "ws://closed.example/", TWO[1]];
    let houses = vec![("one.example", opens()), ("closed.example", refuses()), ("two.example", opens())];
    let limits = Limits { streams: 1, ..Limits::default() };
    let mut world = World::new(Setup { houses, limits, reconnect: Reconnect::Next, ..Setup::urls(&urls) });
    world.call();
    world.bot().die();
    world.run(secs(1));
    world.caller().hang_up();
    let cdr = world.finish();
    assert_eq!(dispositions(&cdr), ["connection_lost", "connect_failed", "caller_hangup"]);
    assert_eq!(world.bots[2].start()["continues"], cdr["streams"][0]["StreamSID"], "they share one place");
}

#[test]
fn a_call_that_is_answered_and_finds_no_bot_is_hung_up() {
    let mut setup = two(refuses(), refuses());
    setup.trunk.answer = AnswerMode::Immediate;
    let mut world = World::new(setup);
    world.call();
    let cdr = world.finish();
    assert_eq!(world.ladder(), "INVITE <100 <180 <200 ACK <BYE 200");
    assert!(world.said("<BYE").contains("Reason: Q.850;cause=41"));
    assert_eq!(dispositions(&cdr), ["connect_failed", "connect_failed"]);
    world.callers[0].ear.assert_steady();
}

#[test]
fn a_bot_that_was_there_is_not_followed_by_another() {
    for code in [1000, 1011] {
        let mut world = World::new(two(opens(), opens()));
        world.call();
        world.bot().close(code);
        let cdr = world.finish();
        assert_eq!(cdr["streams"].as_array().map(Vec::len), Some(1), "{code}");
        assert_eq!((world.bots.len(), world.ladder().ends_with("<BYE 200")), (1, true));
    }
}

#[test]
fn a_caller_may_go_while_the_second_bot_is_tried() {
    let mut world = World::new(two(refuses(), vec![Door::Silent]));
    world.caller().dial();
    world.run(secs(2));
    world.caller().hang_up();
    let cdr = world.finish();
    assert_eq!(world.ladder(), "INVITE <100 <180 CANCEL <200 <487 ACK");
    assert_eq!(dispositions(&cdr), ["connect_failed", "caller_hangup_during_setup"]);
}

#[test]
fn all_bots_of_a_call_take_one_place_among_the_streams() {
    let mut setup = two(refuses(), opens());
    setup.limits =
        Limits { streams: 1, account_streams: HashMap::from([("acme1".to_owned(), 1)]), ..Limits::default() };
    let mut world = World::new(setup);
    world.call();
    assert_eq!(world.kit.admission.in_use().all_streams, 1);
    world.caller().hang_up();
    assert_eq!(dispositions(&world.finish()), ["connect_failed", "caller_hangup"]);

    let mut full = two(refuses(), opens());
    full.limits.streams = 0;
    let mut world = World::new(full);
    world.caller().dial();
    let cdr = world.finish();
    assert_eq!(dispositions(&cdr), ["throttled"], "another bot would find no place either");
    assert_eq!(cdr["sip"]["code"], 503);
}

// ---- left alone for a while ----

/// So many callers, of whom each dials in turn and hangs up when the bots are done with him.
fn crowd(callers: u8, one: Vec<Door>, other: Vec<Door>) -> World {
    World::new(Setup { callers, ..two(one, other) })
}

/// One caller after the other: dials, is served within two seconds, and leaves.
fn in_turn(world: &mut World, callers: std::ops::Range<usize>) {
    for caller in callers {
        world.callers[caller].dial();
        world.run(secs(2));
        world.callers[caller].hang_up();
        world.run(ms(500));
    }
}

#[test]
fn a_bot_that_failed_five_calls_is_passed_over_and_one_call_finds_it_back() {
    let mut world = crowd(9, refuses(), opens());
    in_turn(&mut world, 0..4);
    assert_eq!(state(&world, TWO[0]), State::Closed);
    in_turn(&mut world, 4..5);
    assert_eq!(state(&world, TWO[0]), State::Open);
    in_turn(&mut world, 5..6);
    assert_eq!(world.bots.len(), 5 * 2 + 1, "the sixth went to the second bot at once");

    world.run(secs(30));
    world.kit.houses[0].1 = vec![Door::Opens(secs(1))];
    world.callers[6].dial();
    world.run(ms(500));
    assert_eq!(state(&world, TWO[0]), State::HalfOpen);
    world.callers[7].dial();
    world.run(secs(1));
    assert_eq!(state(&world, TWO[0]), State::Closed);
    world.callers[8].dial();
    world.run(secs(3));
    for caller in 6..9 {
        world.callers[caller].hang_up();
    }
    let cdrs = world.finish_all();
    let last = |cdr: &Value| urls(cdr).last().map(|url| (*url).to_owned());
    assert!(cdrs[..5].iter().all(|cdr| urls(cdr) == TWO), "each attempt is told");
    assert_eq!(urls(&cdrs[5]), [TWO[1]], "one that was not made is not");
    let served: Vec<_> = cdrs[6..].iter().map(last).collect();
    let with = |bot: &str| served.iter().filter(|url| url.as_deref() == Some(bot)).count();
    assert_eq!((with(TWO[0]), with(TWO[1])), (2, 1), "one call tried it while another was not to");
}

#[test]
fn a_bot_that_fails_its_try_is_left_alone_again() {
    let mut world = crowd(7, refuses(), opens());
    in_turn(&mut world, 0..5);
    world.run(secs(30));
    in_turn(&mut world, 5..7);
    assert_eq!(state(&world, TWO[0]), State::Open);
    let cdrs = world.finish_all();
    assert_eq!((urls(&cdrs[5]), urls(&cdrs[6])), (TWO.to_vec(), vec![TWO[1]]));
}

#[test]
fn the_last_bot_is_tried_whatever_is_known_of_it() {
    let mut world = crowd(7, refuses(), refuses());
    in_turn(&mut world, 0..6);
    assert_eq!((state(&world, TWO[0]), state(&world, TWO[1])), (State::Open, State::Open));
    world.kit.houses[1].1 = opens();
    in_turn(&mut world, 6..7);
    assert_eq!(state(&world, TWO[1]), State::Closed, "whoever comes up is well");
    let cdrs = world.finish_all();
    assert_eq!((urls(&cdrs[5]), &cdrs[5]["sip"]["code"]), (vec![TWO[1]], &502.into()));
    assert_eq!((urls(&cdrs[6]), &cdrs[6]["sip"]["code"]), (vec![TWO[1]], &200.into()));
}

#[test]
fn the_only_bot_is_always_tried() {
    let doors = vec![Door::Fails(ms(20), Failure::Refused)];
    let mut world = World::new(Setup { callers: 7, doors, ..Setup::default() });
    in_turn(&mut world, 0..7);
    assert_eq!(state(&world, "ws://10.0.0.9:8080/bot"), State::Open);
    let cdrs = world.finish_all();
    assert!(cdrs.iter().all(|cdr| dispositions(cdr) == ["connect_failed"] && cdr["sip"]["code"] == 502));
}

#[test]
fn a_caller_who_does_not_wait_says_nothing_of_the_bot() {
    let mut world = crowd(6, vec![Door::Silent], opens());
    in_turn(&mut world, 0..6);
    assert_eq!(state(&world, TWO[0]), State::Closed);
    let cdrs = world.finish_all();
    assert!(cdrs.iter().all(|cdr| dispositions(cdr) == ["caller_hangup_during_setup"]));
}
