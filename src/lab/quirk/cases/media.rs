//! Audio: its packets, its way back, its silence.

use std::time::{Duration, Instant};

use super::super::case::{Case, case};
use super::super::rtp::Came;
use super::super::stage::{Fault, Played, Stage};

/// The cases of this file.
pub(super) const CASES: &[Case] = &[
    case!(ptime_10, Any, [Plain, Kamailio], "a=ptime:10 is echoed and kept (RFC 4566 §6)"),
    case!(
        ptime_20,
        Any,
        [Asterisk, Ameyo, Genesys],
        "a=ptime:20, the usual packet of 160 octets (RFC 3551 §4.2)"
    ),
    case!(ptime_30, Any, [Cisco, Cucm], "a=ptime:30: packets of 240 octets"),
    case!(ptime_60, Any, [Avaya], "a=ptime:60 (Session Manager)"),
    case!(ptime_none, Any, [Freeswitch, Cucm, Genesys], "no a=ptime: 20 ms"),
    case!(max_packet_time, Any, [Asterisk], "a=maxptime:150 is no multiple of 20 and no reason to refuse"),
    case!(
        silence_from_the_200_on,
        Any,
        [Avaya, Genesys, Cucm, Cisco, Asterisk, Freeswitch, Ameyo, Kamailio],
        "RTP flows within 200 ms of the 200 and never pauses: mute calls are dropped after 20 to 30 s"
    ),
    case!(
        latched_to_another_port,
        Any,
        [Kamailio, Freeswitch, Asterisk],
        "the peer sends from another port than its SDP says (NAT, rtpengine): audio goes where it comes from"
    ),
    case!(
        mute_peer,
        Any,
        [Cucm, Cisco, Genesys],
        "a peer that sends nothing when it is silent (DTX, one-way announcements) is not hung up"
    ),
];

/// The answer has this a=ptime, and packets have this length.
async fn paced(stage: &mut Stage, offered: u8, answered: usize) -> Played {
    let mut placing = stage.prepare().await?;
    placing.ours.ptime = offered;
    placing.invite.describe(placing.ours.text());
    let up = stage.call_as(placing).await?;
    let said = up.theirs.ptime();
    if said.is_some_and(|said| said as usize != answered) {
        return Err(Fault::new(format!("a=ptime:{answered}"), up.theirs.text.clone()));
    }
    let since = Instant::now();
    let fits = |came: &Came| came.length == answered * 8;
    if !up.line.hears(since, 5, stage.ground.patience, fits).await {
        let lengths: Vec<usize> = up.line.since(since).iter().map(|came| came.length).collect();
        return Err(Fault::new(format!("packets of {} octets", answered * 8), format!("{lengths:?}")));
    }
    stage.hang_up(up).await
}

async fn ptime_10(stage: &mut Stage) -> Played {
    paced(stage, 10, 10).await
}

async fn ptime_20(stage: &mut Stage) -> Played {
    paced(stage, 20, 20).await
}

async fn ptime_30(stage: &mut Stage) -> Played {
    paced(stage, 30, 30).await
}

async fn ptime_60(stage: &mut Stage) -> Played {
    paced(stage, 60, 60).await
}

async fn ptime_none(stage: &mut Stage) -> Played {
    paced(stage, 0, 20).await
}

async fn max_packet_time(stage: &mut Stage) -> Played {
    let up = stage.call().await?;
    if up.theirs.codec() != Some(8) || up.theirs.events() != Some(101) {
        return Err(Fault::new("PCMA, which is offered first, and 101", up.theirs.text.clone()));
    }
    stage.hang_up(up).await
}

/// After the 200, the first packet.
const FIRST: Duration = Duration::from_millis(200);
/// Between two packets.
const PAUSE: Duration = Duration::from_millis(200);
/// Looked at for so long.
const LOOK: Duration = Duration::from_millis(1500);

async fn silence_from_the_200_on(stage: &mut Stage) -> Played {
    let up = stage.call().await?;
    let answered = up.ok.at;
    tokio::time::sleep(LOOK).await;
    let all = up.line.since(answered.checked_sub(FIRST).unwrap_or(answered));
    // What our own clock was behind is not the daemon's.
    let late = up.line.late();
    let begins = all.first().map(|came| came.at.saturating_duration_since(answered));
    if begins.is_none_or(|begins| begins > FIRST + late) {
        return Err(Fault::new("the first RTP packet within 200 ms of the 200", format!("{begins:?}")));
    }
    let pause = all.windows(2).map(|two| two[1].at - two[0].at).max().unwrap_or(LOOK);
    if pause > PAUSE + late || all.len() < 10 {
        return Err(Fault::new(
            "RTP without a pause",
            format!("{} packets, {pause:?} of nothing", all.len()),
        ));
    }
    let torn = all.windows(2).filter(|two| two[1].seq != two[0].seq.wrapping_add(1)).count();
    let strange =
        all.iter().filter(|came| came.ssrc != all[0].ssrc || Some(came.payload_type) != up.theirs.codec());
    let strange = strange.count();
    if torn + strange > 0 {
        let found = format!("{torn} breaks in sequence, {strange} packets of another SSRC or codec");
        return Err(Fault::new("one SSRC, one codec, one sequence", found));
    }
    stage.hang_up(up).await
}

async fn latched_to_another_port(stage: &mut Stage) -> Played {
    let up = stage.call().await?;
    up.line.move_away();
    let since = Instant::now();
    if !up.line.hears(since, 3, stage.ground.patience, |came| came.to == 1).await {
        let found = format!("{} packets, all to the port of the SDP", up.line.since(since).len());
        return Err(Fault::new("RTP to the port we send from", found));
    }
    stage.hang_up(up).await
}

async fn mute_peer(stage: &mut Stage) -> Played {
    let mut up = stage.call().await?;
    up.line.mute();
    let since = Instant::now();
    stage.listen(Duration::from_millis(2500)).await?;
    let call_id = up.dialog.call_id.clone();
    if stage.there(|seen| seen.message.is_request() && seen.message.call_id() == call_id).is_some() {
        return Err(Fault::new("a call that goes on", "a BYE"));
    }
    let packets = up.line.since(since).len();
    if packets < 20 {
        return Err(Fault::new("RTP to the mute peer all the time", format!("{packets} packets")));
    }
    up.line.talk(up.theirs.target(), up.theirs.codec().unwrap_or(0));
    let options = up.dialog.request("OPTIONS");
    stage.asks(&options, 200).await?;
    stage.hang_up(up).await
}
