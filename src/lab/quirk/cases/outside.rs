//! Requests outside a call.

use super::super::case::{Case, case};
use super::super::stage::{Fault, Played, Stage};

/// The cases of this file.
pub(super) const CASES: &[Case] = &[
    case!(
        options_ping,
        Any,
        [Avaya, Genesys, Cucm, Cisco, Asterisk, Freeswitch, Ameyo, Kamailio],
        "OPTIONS is answered 200 with Allow, Accept and Supported: who is not is taken out of service"
    ),
    case!(
        options_without_user,
        Any,
        [Kamailio, Cucm],
        "OPTIONS to the host alone, from a dispatcher (RFC 3261 §11)"
    ),
    case!(
        methods_not_ours,
        Any,
        [Asterisk, Plain],
        "REGISTER, SUBSCRIBE, MESSAGE: 405 with Allow; an unknown method: 501"
    ),
    case!(refer_is_refused, Any, [Avaya, Cucm], "REFER inside a call: 405, and the call goes on"),
    case!(timestamp_is_copied, Any, [Cisco], "Timestamp of the INVITE stands in its 100 (RFC 3261 §8.2.6.1)"),
];

async fn options_ping(stage: &mut Stage) -> Played {
    let options = stage.dialog().request("OPTIONS");
    let ok = stage.asks(&options, 200).await?;
    let missing: Vec<&str> =
        ["INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "UPDATE", "PRACK", "INFO", "NOTIFY"]
            .into_iter()
            .filter(|method| !ok.message.lists("Allow", method))
            .collect();
    if !missing.is_empty() {
        return Err(Fault::new(format!("Allow with {}", missing.join(", ")), ok.header("Allow")));
    }
    for option in ["timer", "100rel"] {
        if !ok.message.lists("Supported", option) {
            return Err(Fault::new(format!("Supported: {option}"), ok.header("Supported")));
        }
    }
    if !ok.message.lists("Accept", "application/sdp") {
        return Err(Fault::new("Accept: application/sdp", ok.header("Accept")));
    }
    if !ok.message.body().is_empty() {
        return Err(Fault::new("no body", format!("{} octets", ok.message.body().len())));
    }
    Ok(())
}

async fn options_without_user(stage: &mut Stage) -> Played {
    let mut options = stage.dialog().request("OPTIONS");
    let host = format!("sip:{}", stage.ground.host);
    options
        .set("To", format!("<{host}>"))
        .set("From", format!("<sip:dispatcher@localhost>;tag={:x}", stage.seed));
    options.uri = host;
    options.remove("Contact");
    stage.asks(&options, 200).await.map(drop)
}

async fn methods_not_ours(stage: &mut Stage) -> Played {
    for (method, status) in [("REGISTER", 405), ("SUBSCRIBE", 405), ("MESSAGE", 405), ("FLY", 501)] {
        let mut request = stage.dialog().request(method);
        if method == "SUBSCRIBE" {
            request.add("Event", "presence");
        }
        let refused = stage.asks(&request, status).await?;
        if !refused.message.lists("Allow", "INVITE") {
            return Err(Fault::new(format!("Allow in the {status}"), refused.header("Allow")));
        }
    }
    Ok(())
}

async fn refer_is_refused(stage: &mut Stage) -> Played {
    let mut up = stage.call().await?;
    let mut refer = up.dialog.request("REFER");
    refer.add("Refer-To", "<sip:100@192.0.2.1>").add("Referred-By", "<sip:200@192.0.2.1>");
    stage.asks(&refer, 405).await?;
    stage.heard(&up, std::time::Instant::now(), stage.ground.patience).await?;
    stage.hang_up(up).await
}

async fn timestamp_is_copied(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare().await?;
    let stamp = placing.invite.value("Timestamp").to_owned();
    stage.clears(&placing.dialog, &placing.invite);
    stage.send(&placing.invite).await?;
    let trying = stage.waits("100", stage.ground.patience, |seen| seen.message.status() == Some(100)).await?;
    if trying.header("Timestamp").split(' ').next() != Some(stamp.as_str()) {
        return Err(Fault::new(format!("Timestamp: {stamp} in the 100"), trying.header("Timestamp")));
    }
    if trying.message.to().tag().is_some() {
        return Err(Fault::new("no To tag in the 100", trying.header("To")));
    }
    let ok = stage.accepted(&mut placing).await?;
    let theirs = super::super::call::described(&ok)?;
    let up = stage.acknowledge(placing, ok, theirs, None).await?;
    stage.hang_up(up).await
}
