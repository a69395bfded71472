//! The form of messages: what is allowed, and what equipment writes all the same (RFC 3261 §7.3).

use super::super::case::{Case, case};
use super::super::stage::{Fault, Played, Stage};

/// The cases of this file.
pub(super) const CASES: &[Case] = &[
    case!(
        invite_of_4_kb,
        Any,
        [Avaya, Genesys],
        "an INVITE of 4 kB: over UDP it comes in IP fragments (RFC 3261 §18.1.1)"
    ),
    case!(compact_forms, Any, [Genesys, Kamailio], "v f t i m l c k s (RFC 3261 §7.3.3)"),
    case!(folded_lines, Any, [Cisco, Cucm], "header fields over several lines (RFC 3261 §7.3.1)"),
    case!(tel_uris, Any, [Genesys, Cucm], "tel: in To, From and P-Asserted-Identity (RFC 3966)"),
    case!(
        eight_bit_display_name,
        Any,
        [Asterisk, Ameyo, Avaya],
        "a display name in Latin-1 is no reason to refuse"
    ),
    case!(
        unknown_headers,
        Any,
        [Avaya, Kamailio, Genesys],
        "P-Charging-Vector, Session-ID, X-anything, unbalanced quotes in an unknown field (livekit/sip#251)"
    ),
    case!(
        blanks_everywhere,
        Any,
        [Plain],
        "blanks before colons, around semicolons and equals, padded Content-Length (RFC 3261 §25, Ribbon)"
    ),
    case!(user_phone, Any, [Avaya, Cisco], "user=phone, user parts with parameters and escapes (+91..;npdi)"),
    case!(
        unknown_require,
        Any,
        [Plain],
        "Require of what we have not: 420 that names it (RFC 3261 §8.2.2.3)"
    ),
];

async fn invite_of_4_kb(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare().await?;
    let history = |n: usize| format!("<sip:71506@example.com?Reason=SIP%3Bcause%3D302>;index=1.{n}");
    while placing.invite.text().len() < 4200 {
        let n = placing.invite.fields.len();
        placing.invite.add("History-Info", history(n)).add("P-AV-Message-Id", format!("{n}_1"));
    }
    placing.invite.arrange(stage.dialect.order);
    let up = stage.call_as(placing).await?;
    stage.hang_up(up).await
}

async fn compact_forms(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare().await?;
    let short = [
        ("Via", "v"),
        ("From", "f"),
        ("To", "t"),
        ("Call-ID", "i"),
        ("Contact", "m"),
        ("Content-Length", "l"),
        ("Content-Type", "c"),
        ("Supported", "k"),
        ("Session-Expires", "x"),
    ];
    for (name, _) in &mut placing.invite.fields {
        if let Some((_, letter)) = short.iter().find(|(long, _)| name.eq_ignore_ascii_case(long)) {
            *name = (*letter).to_owned();
        }
    }
    let up = stage.call_as(placing).await?;
    stage.hang_up(up).await
}

async fn folded_lines(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare().await?;
    for (name, at, folded) in [
        ("Contact", "<", "\r\n <"),
        ("From", ";tag=", "\r\n\t;tag="),
        ("Supported", "timer", "\r\n timer"),
        ("Allow", ", ", ",\r\n   "),
    ] {
        let value = placing.invite.value(name).replacen(at, folded, 1);
        placing.invite.set(name, value);
    }
    placing.invite.add("Subject", "a call\r\n  over\r\n\tthree lines");
    let up = stage.call_as(placing).await?;
    stage.hang_up(up).await
}

async fn tel_uris(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare().await?;
    let caller = placing.dialog.caller().to_owned();
    let tag = placing.invite.value("From").split(";tag=").nth(1).unwrap_or_default().to_owned();
    placing.invite.set("From", format!("<tel:+91{caller}>;tag={tag}"));
    placing.invite.set("To", format!("<tel:{}>", stage.number));
    placing.invite.set("P-Asserted-Identity", format!("<tel:+91{caller};phone-context=example.com>"));
    placing.invite.arrange(stage.dialect.order);
    let mut ok = stage.place(&mut placing).await?;
    if !ok.header("To").contains(&format!("<tel:{}>", stage.number)) {
        return Err(Fault::new("To as it was sent", ok.header("To")));
    }
    let from = format!("sip:+91{caller}");
    stage.bot(&format!("from {from}"), |t| t.start.as_ref().is_some_and(|s| s.from == from)).await?;
    // In the dialog From and To are as in the INVITE.
    for method in ["ACK", "BYE"] {
        let cseq = placing.dialog.cseq - u32::from(method == "ACK");
        let mut request = placing.dialog.numbered(method, cseq);
        request.set("From", placing.invite.value("From"));
        request.set("To", ok.header("To"));
        stage.cleared(&placing.dialog.call_id);
        stage.send(&request).await?;
        if method == "BYE" {
            ok = stage.answer(&request, 200).await?;
        }
    }
    drop(ok);
    Ok(())
}

async fn eight_bit_display_name(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare().await?;
    let from = placing.invite.value("From").to_owned();
    let uri = &from[from.find('<').unwrap_or(0)..];
    placing.invite.set("From", format!("\"M~ller, <~>; K~ln\" {uri}"));
    let bytes: Vec<u8> =
        placing.invite.text().bytes().map(|octet| if octet == b'~' { 0xfc } else { octet }).collect();
    stage.clears(&placing.dialog, &placing.invite);
    stage.send_bytes(&bytes).await?;
    let ok = stage.accepted(&mut placing).await?;
    if memchr::memmem::find(&ok.bytes, b"\"M\xfcller, <\xfc>; K\xfcln\"").is_none() {
        return Err(Fault::new("From octet for octet", ok.header("From")));
    }
    let theirs = super::super::call::described(&ok)?;
    let up = stage.acknowledge(placing, ok, theirs, None).await?;
    stage.hang_up(up).await
}

async fn unknown_headers(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare().await?;
    placing
        .invite
        .set("P-Charging-Vector", "icid-value=\"1234bc9876e\";icid-generated-at=192.0.6.8;orig-ioi=home1.net")
        .set("Session-ID", "ab30317f1a784dc48ff824d0d3715d86;remote=00000000000000000000000000000000")
        .add("X-Empty", "")
        .add("X-Broken", "\"unbalanced <;,")
        .add("X.odd!%*_+`'~-Name", "any")
        .add("P-Early-Media", "supported")
        .add("Geolocation", "<cid:target123@atlanta.example.com>;routing-allowed=yes");
    let up = stage.call_as(placing).await?;
    stage.hang_up(up).await
}

async fn blanks_everywhere(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare().await?;
    let text = placing.invite.text();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let head = head
        .replace("\r\nFrom: ", "\r\nFROM \t:   ")
        .replace(";tag=", " ; tag = ")
        .replace(";branch=", " ; branch = ")
        .replace("CSeq: 1 ", "cSEQ: 0001   ")
        .replace("Max-Forwards: 70", "Max-Forwards: 0070")
        .replace("Content-Length: ", "Content-Length :    ");
    stage.clears(&placing.dialog, &placing.invite);
    stage.send_bytes(format!("{head}\r\n\r\n{body}").as_bytes()).await?;
    let ok = stage.accepted(&mut placing).await?;
    let theirs = super::super::call::described(&ok)?;
    let up = stage.acknowledge(placing, ok, theirs, None).await?;
    stage.hang_up(up).await
}

async fn user_phone(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare().await?;
    let host = stage.ground.host.clone();
    placing.dialog.uri = format!("sip:{};npdi;rn=%2B9180@{host};user=phone", stage.number);
    let invite = &mut placing.invite;
    invite.uri.clone_from(&placing.dialog.uri);
    invite.set("To", format!("<{}>", placing.dialog.uri));
    invite.add("Diversion", "<tel:+918012345678>;reason=unconditional;counter=1;privacy=off");
    let up = stage.call_as(placing).await?;
    stage.bot("the number without parameters", |t| t.start.is_some()).await?;
    stage.hang_up(up).await
}

async fn unknown_require(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare().await?;
    placing.invite.set("Require", "siprec, timer").arrange(stage.dialect.order);
    let refused = stage.asks(&placing.invite, 420).await?;
    placing.dialog.learn(&refused.message);
    let ack = placing.dialog.hop("ACK", &placing.invite);
    stage.send(&ack).await?;
    if refused.header("Unsupported").trim() != "siprec" {
        return Err(Fault::new("Unsupported: siprec", refused.header("Unsupported")));
    }
    Ok(())
}
