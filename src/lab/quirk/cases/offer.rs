//! Offers that come late, offers with more than audio, offers that cannot be answered.

use std::time::{Duration, Instant};

use super::super::call::{ack, described};
use super::super::case::{Case, case};
use super::super::sdp::{Ours, Theirs};
use super::super::stage::{Fault, Played, Stage};

/// The cases of this file.
pub(super) const CASES: &[Case] = &[
    case!(
        late_offer,
        Any,
        [Avaya, Genesys, Cucm, Asterisk],
        "INVITE without SDP, the answer in the ACK (RFC 3264 §5; CUCM without MTP, Genesys, Avaya after shuffling)"
    ),
    case!(
        late_offer_without_answer,
        Any,
        [Freeswitch, Plain],
        "an ACK without SDP after a late offer: BYE with cause 488 (FreeSWITCH in bypass media)"
    ),
    case!(
        late_offer_reinvite,
        Any,
        [Avaya, Cucm],
        "re-INVITE without SDP gets a full offer, the ACK moves the audio (Avaya shuffling, CUCM media move)"
    ),
    case!(
        audio_and_image_invite,
        Any,
        [Freeswitch, Cisco, Asterisk],
        "a T.38 line beside the audio is answered in its place with port 0 (RFC 3264 §6)"
    ),
    case!(
        t38_reinvite_is_refused,
        Any,
        [Freeswitch, Asterisk, Cisco, Ameyo, Avaya],
        "T.38 alone in a re-INVITE: 488, and the call lives on as it was"
    ),
    case!(
        no_media_line,
        Any,
        [Avaya],
        "an SDP without any m= line (Avaya Experience Portal): answered or 488, decided at once"
    ),
    case!(
        no_codec_in_common,
        Any,
        [Cisco],
        "only G.729 and comfort noise: 488 with a Warning (RFC 3261 §20.43)"
    ),
    case!(
        three_event_rates,
        Any,
        [Freeswitch],
        "telephone-event at 8000, 16000 and 32000 Hz: the one at the codec's rate is answered (RFC 4733 §2.1)"
    ),
    case!(
        encrypted_or_refused,
        Any,
        [Avaya, Cucm, Asterisk],
        "RTP/SAVP with a=crypto is answered in kind or refused with 488, never in the clear (RFC 4568)"
    ),
    case!(
        crypto_beside_plain_rtp,
        Any,
        [Freeswitch, Kamailio],
        "a=crypto on an RTP/AVP line is passed over: plain RTP is answered (best-effort SRTP)"
    ),
    case!(
        last_line_without_end,
        Any,
        [Plain],
        "the last SDP line has no line end: a=sendonly there is a hold all the same"
    ),
];

async fn late_offer(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare_late().await?;
    let ok = stage.place(&mut placing).await?;
    let offer = described(&ok)?;
    complete(&offer)?;
    let answer = placing.ours.answering(&offer);
    let acked = Instant::now();
    let up = stage.acknowledge(placing, ok, offer, Some(answer.text())).await?;
    up.line.talk(up.theirs.target(), 8);
    if !up.line.hears(acked, 3, stage.ground.patience, |came| came.payload_type == 8).await {
        let found = format!("{} packets", up.line.since(acked).len());
        return Err(Fault::new("RTP in the codec of the answer (PCMA) after the ACK", found));
    }
    stage.bot("audio of the caller", |t| t.frames() > 3).await?;
    stage.hang_up(up).await
}

/// All we can do: both laws, keys, both ways.
fn complete(offer: &Theirs) -> Played {
    let formats = offer.audio().map(|audio| audio.formats.clone()).unwrap_or_default();
    let all = ["0", "8"].iter().all(|law| formats.iter().any(|format| format == law));
    if all && offer.events().is_some() && offer.direction() == "sendrecv" {
        return Ok(());
    }
    Err(Fault::new("an offer of PCMU, PCMA and telephone-event, sendrecv", offer.text.clone()))
}

async fn late_offer_without_answer(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare_late().await?;
    stage.place(&mut placing).await?;
    let ack = ack(&mut placing.dialog, &placing.invite, None);
    stage.send(&ack).await?;
    let bye = stage.asked("BYE", &placing.dialog.call_id).await?;
    stage.cleared(&placing.dialog.call_id);
    stage.agree(&bye).await?;
    if bye.header("Reason").contains("cause=488") {
        return Ok(());
    }
    Err(Fault::new("BYE with Reason: SIP;cause=488", bye.header("Reason")))
}

async fn late_offer_reinvite(stage: &mut Stage) -> Played {
    let mut up = stage.call().await?;
    let mut invite = up.dialog.invite(None);
    stage.send(invite.set("Content-Length", "0")).await?;
    let ok = stage.answer(&invite, 200).await?;
    let offer = described(&ok)?;
    complete(&offer)?;
    let moved = Ours { port: up.line.other().port(), ..up.ours.answering(&offer) };
    let ack = ack(&mut up.dialog, &invite, Some(moved.text()));
    let acked = Instant::now();
    stage.send(&ack).await?;
    up.line.move_away();
    if up.line.hears(acked, 3, stage.ground.patience, |came| came.to == 1).await {
        return stage.hang_up(up).await;
    }
    Err(Fault::new("RTP to the address of the ACK", format!("{} packets", up.line.since(acked).len())))
}

const T38: &str = "m=image {rtp} udptl t38\nc=IN IP4 {ip}\na=T38FaxVersion:0\na=T38MaxBitRate:14400\n\
                   a=T38FaxRateManagement:transferredTCF\na=T38FaxUdpEC:t38UDPRedundancy\n";

async fn audio_and_image_invite(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare().await?;
    placing.ours.more = T38.replace("{rtp}", "40002").replace("{ip}", &placing.ours.ip.to_string());
    placing.invite.describe(placing.ours.text());
    let up = stage.call_as(placing).await?;
    let lines: Vec<(&str, bool)> = up.theirs.media.iter().map(|m| (m.kind.as_str(), m.port != 0)).collect();
    if lines != [("audio", true), ("image", false)] {
        return Err(Fault::new("m=audio and behind it m=image with port 0", up.theirs.text.clone()));
    }
    stage.hang_up(up).await
}

async fn t38_reinvite_is_refused(stage: &mut Stage) -> Played {
    let mut up = stage.call().await?;
    let head = "v=0\no=- {id} {version} IN IP4 {ip}\ns=-\nc=IN IP4 {c}\nt=0 0\nm=image {rtp} udptl t38\n\
                a=T38FaxVersion:0\na=T38MaxBitRate:14400\n";
    let fax = Ours { shape: head, ..up.ours.turned("sendrecv") };
    let invite = up.dialog.invite(Some(&fax));
    let refused = stage.asks(&invite, 488).await?;
    let ack = up.dialog.hop("ACK", &invite);
    stage.send(&ack).await?;
    // A refusal is repeated until its ACK; none comes after it.
    let since = Instant::now();
    stage.heard(&up, since, Duration::from_millis(500)).await?;
    let before = up.theirs.origin.clone();
    let again = Ours { version: fax.version + 1, ..up.ours.clone() };
    let after = stage.reinvite(&mut up, again).await?;
    if after.origin != before {
        return Err(Fault::new(
            format!("o= as before the refusal: {before:?}"),
            format!("{:?}", after.origin),
        ));
    }
    stage.heard(&up, Instant::now(), Duration::from_millis(500)).await?;
    let copies = stage.copies(&refused);
    if copies > 2 {
        return Err(Fault::new("no repetition of the 488 after its ACK", format!("{copies} of them")));
    }
    stage.hang_up(up).await
}

async fn no_media_line(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare().await?;
    placing.ours.shape = "v=0\no=- 1 1 IN IP4 {ip}\ns=-\nc=IN IP4 {c}\nt=0 0\n";
    placing.invite.describe(placing.ours.text());
    stage.clears(&placing.dialog, &placing.invite);
    stage.send(&placing.invite).await?;
    let last = stage.final_answer(&placing.invite, "200 or 488").await?;
    placing.dialog.learn(&last.message);
    match last.message.status() {
        Some(200) => {
            let ack = ack(&mut placing.dialog, &placing.invite, None);
            stage.send(&ack).await?;
            stage.hang_up_dialog(&mut placing.dialog).await
        }
        Some(488) => {
            stage.cleared(&placing.dialog.call_id);
            let ack = placing.dialog.hop("ACK", &placing.invite);
            stage.send(&ack).await
        }
        _ => Err(Fault::new("200 or 488", last.what())),
    }
}

async fn no_codec_in_common(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare().await?;
    placing.ours.shape = "v=0\no=CiscoSystemsSIP-GW-UserAgent {id} {version} IN IP4 {ip}\ns=SIP Call\n\
        c=IN IP4 {c}\nt=0 0\nm=audio {rtp} RTP/AVP 18 19\nc=IN IP4 {c}\na=rtpmap:18 G729/8000\n\
        a=fmtp:18 annexb=no\na=rtpmap:19 CN/8000\na=ptime:20\n";
    placing.invite.describe(placing.ours.text());
    let refused = stage.asks(&placing.invite, 488).await?;
    placing.dialog.learn(&refused.message);
    let ack = placing.dialog.hop("ACK", &placing.invite);
    stage.send(&ack).await?;
    if refused.header("Warning").is_empty() {
        return Err(Fault::new("a Warning that says what is wrong", "none"));
    }
    Ok(())
}

async fn three_event_rates(stage: &mut Stage) -> Played {
    let up = stage.call().await?;
    let rates = ["122", "104", "96", "97", "98"];
    let formats = up.theirs.audio().map(|audio| audio.formats.clone()).unwrap_or_default();
    if up.theirs.events() != Some(101) || formats.iter().any(|f| rates.contains(&f.as_str())) {
        return Err(Fault::new("telephone-event as 101 and no other", up.theirs.text.clone()));
    }
    stage.hang_up(up).await
}

async fn last_line_without_end(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare().await?;
    placing.ours.direction = "sendonly";
    let text = placing.ours.text();
    placing.invite.describe(text.trim_end().to_owned());
    let up = stage.call_as(placing).await?;
    if up.theirs.direction() != "recvonly" {
        return Err(Fault::new("a=recvonly", up.theirs.text.clone()));
    }
    stage.hang_up(up).await
}

const CRYPTO: &str =
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^31\n";

async fn encrypted_or_refused(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare().await?;
    placing.ours.more = CRYPTO.to_owned();
    placing.invite.describe(placing.ours.text().replace("RTP/AVP", "RTP/SAVP"));
    stage.clears(&placing.dialog, &placing.invite);
    stage.send(&placing.invite).await?;
    let last = stage.final_answer(&placing.invite, "200 or 488").await?;
    placing.dialog.learn(&last.message);
    if last.message.status() == Some(488) {
        stage.notes.push("this trunk takes no SRTP here");
        stage.cleared(&placing.dialog.call_id);
        let ack = placing.dialog.hop("ACK", &placing.invite);
        return stage.send(&ack).await;
    }
    let theirs = described(&last)?;
    let guarded =
        theirs.audio().is_some_and(|audio| audio.attributes.iter().any(|a| a.starts_with("crypto:1 ")));
    if !theirs.text.contains(" RTP/SAVP ") || !guarded {
        return Err(Fault::new("RTP/SAVP with a crypto line of tag 1, or 488", theirs.text));
    }
    let ack = ack(&mut placing.dialog, &placing.invite, None);
    stage.send(&ack).await?;
    stage.hang_up_dialog(&mut placing.dialog).await
}

async fn crypto_beside_plain_rtp(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare().await?;
    placing.ours.more = CRYPTO.to_owned();
    placing.invite.describe(placing.ours.text());
    stage.clears(&placing.dialog, &placing.invite);
    stage.send(&placing.invite).await?;
    let last = stage.final_answer(&placing.invite, "200 or 488").await?;
    if last.message.status() == Some(488) {
        placing.dialog.learn(&last.message);
        stage.notes.push("this trunk takes nothing but SRTP");
        stage.cleared(&placing.dialog.call_id);
        let ack = placing.dialog.hop("ACK", &placing.invite);
        return stage.send(&ack).await;
    }
    placing.dialog.learn(&last.message);
    let theirs = described(&last)?;
    if theirs.text.contains("SAVP") || theirs.text.contains("a=crypto") {
        return Err(Fault::new("RTP/AVP without a crypto line", theirs.text));
    }
    let up = stage.acknowledge(placing, last, theirs, None).await?;
    stage.heard(&up, Instant::now(), stage.ground.patience).await?;
    stage.hang_up(up).await
}
