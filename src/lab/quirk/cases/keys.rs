//! Keys: telephone-event as gateways really send it, and INFO.

use std::time::Duration;

use super::super::call::Up;
use super::super::case::{Case, case};
use super::super::rtp::Event;
use super::super::stage::{Fault, Played, Stage};

/// The cases of this file.
pub(super) const CASES: &[Case] = &[
    case!(
        keys_as_96,
        Any,
        [Kamailio, Genesys],
        "telephone-event as 96: the offer's number is answered and one press is one digit (RFC 4733)"
    ),
    case!(keys_as_97, Any, [Cisco], "telephone-event as 97 (IOS)"),
    case!(keys_as_101, Any, [Cucm, Asterisk, Freeswitch, Ameyo, Genesys], "telephone-event as 101"),
    case!(keys_as_120, Any, [Avaya], "telephone-event as 120 without fmtp (Avaya media servers)"),
    case!(keys_as_122, Any, [Cisco, Avaya], "telephone-event as 122 (pjproject#3700)"),
    case!(
        keys_without_marker,
        Any,
        [Cisco, Freeswitch],
        "no marker bit on the first packet (FreeSWITCH CISCO_SKIP_MARK_BIT_2833)"
    ),
    case!(
        keys_without_end,
        Any,
        [Asterisk, Genesys, Plain],
        "all end packets are lost: the digit is told once, 120 ms after the last packet (RFC 4733 §2.5.1.2)"
    ),
    case!(
        keys_with_growing_timestamp,
        Any,
        [Freeswitch, Avaya],
        "the timestamp grows with each packet of one key (SONUS_SEND_INVALID_TIMESTAMP_2833)"
    ),
    case!(
        keys_with_one_timestamp,
        Any,
        [Genesys, Plain],
        "all digits have one timestamp: an end or a lower duration tells them apart"
    ),
    case!(keys_twice_the_same, Any, [Cucm, Asterisk], "44 is two digits, not one"),
    case!(
        keys_by_info_relay,
        Any,
        [Genesys, Cisco, Freeswitch],
        "INFO application/dtmf-relay: Signal= and Duration= in any order, with blanks (RFC 6086 legacy)"
    ),
    case!(
        keys_by_info_plain,
        Any,
        [Asterisk, Ameyo],
        "INFO application/dtmf: a bare digit, 10 is * and 11 is #"
    ),
    case!(keys_by_both, Any, [Freeswitch, Ameyo], "one press told by RFC 4733 and by INFO is one digit"),
    case!(
        info_of_another_kind,
        Any,
        [Cisco, Cucm],
        "INFO without body is 200, of a type we do not know 415; the call goes on"
    ),
];

/// Samples of a packet of ours.
const STEP: u16 = 160;

/// A key as it is really sent: `updates` packets with rising duration and then `ends` with the end bit.
fn key(number: u8, event: u8, updates: u16, ends: usize) -> Vec<Event> {
    let packet = |n: u16, end: bool| {
        let [high, low] = (n * STEP).to_be_bytes();
        let flags = if end { 0x8a } else { 0x0a };
        Event { payload_type: number, marker: n == 1 && !end, ahead: 0, payload: [event, flags, high, low] }
    };
    let last = packet(updates, true);
    (1..=updates).map(|n| packet(n, false)).chain(std::iter::repeat_n(last, ends)).collect()
}

/// The bot hears exactly these digits, and none more shortly after.
async fn heard(stage: &mut Stage, digits: &str) -> Played {
    stage.bot(&format!("the keys {digits}"), |t| t.digits().len() >= digits.len()).await?;
    tokio::time::sleep(Duration::from_millis(250)).await;
    let seen = stage.bot("the call", |t| t.start.is_some()).await?;
    match seen.map(|t| t.digits()) {
        Some(told) if told != digits => {
            Err(Fault::new(format!("the bot is told {digits:?}"), format!("{told:?}")))
        }
        _ => Ok(()),
    }
}

/// A call whose telephone-event has this number, and the number of the answer.
async fn call_with(stage: &mut Stage, number: u8) -> Result<Up, Fault> {
    let mut placing = stage.prepare().await?;
    if placing.ours.shape.contains(&format!(":{number} "))
        || placing.ours.shape.contains(&format!(" {number} "))
    {
        return Err(Fault::new("a number that is free in this dialect", number.to_string()));
    }
    placing.ours.events = number;
    placing.invite.describe(placing.ours.text());
    let up = stage.call_as(placing).await?;
    if up.theirs.events() != Some(number) {
        return Err(Fault::new(format!("telephone-event answered as {number}"), up.theirs.text.clone()));
    }
    Ok(up)
}

async fn numbered(stage: &mut Stage, number: u8) -> Played {
    let up = call_with(stage, number).await?;
    tokio::time::sleep(Duration::from_millis(100)).await;
    up.line.press(key(number, 5, 5, 3));
    heard(stage, "5").await?;
    stage.hang_up(up).await
}

async fn keys_as_96(stage: &mut Stage) -> Played {
    numbered(stage, 96).await
}

async fn keys_as_97(stage: &mut Stage) -> Played {
    numbered(stage, 97).await
}

async fn keys_as_101(stage: &mut Stage) -> Played {
    numbered(stage, 101).await
}

async fn keys_as_120(stage: &mut Stage) -> Played {
    numbered(stage, 120).await
}

async fn keys_as_122(stage: &mut Stage) -> Played {
    numbered(stage, 122).await
}

async fn keys_without_marker(stage: &mut Stage) -> Played {
    let up = stage.call().await?;
    let number = up.ours.events;
    up.line.press(key(number, 7, 5, 3).into_iter().map(|event| Event { marker: false, ..event }));
    heard(stage, "7").await?;
    stage.hang_up(up).await
}

async fn keys_without_end(stage: &mut Stage) -> Played {
    let up = stage.call().await?;
    up.line.press(key(up.ours.events, 11, 5, 0));
    heard(stage, "#").await?;
    stage.hang_up(up).await
}

async fn keys_with_growing_timestamp(stage: &mut Stage) -> Played {
    let up = stage.call().await?;
    let grows = |(n, event): (usize, Event)| Event { ahead: n as u32 * u32::from(STEP), ..event };
    up.line.press(key(up.ours.events, 3, 5, 3).into_iter().enumerate().map(grows));
    heard(stage, "3").await?;
    stage.hang_up(up).await
}

async fn keys_with_one_timestamp(stage: &mut Stage) -> Played {
    let up = stage.call().await?;
    let number = up.ours.events;
    up.line.press(key(number, 1, 5, 3).into_iter().chain(key(number, 2, 5, 3)));
    heard(stage, "12").await?;
    stage.hang_up(up).await
}

async fn keys_twice_the_same(stage: &mut Stage) -> Played {
    let up = stage.call().await?;
    let number = up.ours.events;
    up.line.press(key(number, 4, 5, 3));
    tokio::time::sleep(Duration::from_millis(300)).await;
    up.line.press(key(number, 4, 5, 3));
    heard(stage, "44").await?;
    stage.hang_up(up).await
}

async fn info(stage: &mut Stage, up: &mut Up, kind: &str, body: &str, status: u16) -> Played {
    let mut info = up.dialog.request("INFO");
    if !kind.is_empty() {
        info.carry(kind, body.to_owned());
    }
    stage.asks(&info, status).await.map(drop)
}

async fn keys_by_info_relay(stage: &mut Stage) -> Played {
    let mut up = stage.call().await?;
    let relay = "application/dtmf-relay";
    info(stage, &mut up, relay, "Signal=5\r\nDuration=160\r\n", 200).await?;
    info(stage, &mut up, relay, "Duration = 250\nSignal = *\n", 200).await?;
    heard(stage, "5*").await?;
    stage.hang_up(up).await
}

async fn keys_by_info_plain(stage: &mut Stage) -> Played {
    let mut up = stage.call().await?;
    for digit in ["1", "10", "11"] {
        info(stage, &mut up, "application/dtmf", digit, 200).await?;
    }
    heard(stage, "1*#").await?;
    stage.hang_up(up).await
}

async fn keys_by_both(stage: &mut Stage) -> Played {
    let mut up = stage.call().await?;
    up.line.press(key(up.ours.events, 9, 5, 3));
    tokio::time::sleep(Duration::from_millis(160)).await;
    info(stage, &mut up, "application/dtmf-relay", "Signal=9\r\nDuration=100\r\n", 200).await?;
    heard(stage, "9").await?;
    stage.hang_up(up).await
}

async fn info_of_another_kind(stage: &mut Stage) -> Played {
    let mut up = stage.call().await?;
    info(stage, &mut up, "", "", 200).await?;
    info(stage, &mut up, "application/media_control+xml", "<picture_fast_update/>", 415).await?;
    info(stage, &mut up, "application/dtmf-relay", "Signal=2\r\nDuration=100\r\n", 200).await?;
    heard(stage, "2").await?;
    stage.hang_up(up).await
}
