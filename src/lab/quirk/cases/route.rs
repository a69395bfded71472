//! Routes: copied, kept and followed (RFC 3261 §12).

use super::super::call::{Placing, ack, well_mannered};
use super::super::case::{Case, case};
use super::super::stage::{Fault, Played, Seen, Stage};

/// The cases of this file.
pub(super) const CASES: &[Case] = &[
    case!(
        two_record_routes,
        Any,
        [Avaya, Kamailio],
        "two proxies: routes copied in order into 18x and 200, the daemon's BYE goes to the first with both as Route"
    ),
    case!(
        first_route_not_contact,
        Udp,
        [Kamailio],
        "the next hop is the first Route, not the Contact (livekit/sip#730: Contact transport=tls behind a TCP route)"
    ),
    case!(
        strict_router,
        Any,
        [Plain],
        "a first route without lr: it becomes the Request-URI, the Contact the last Route (RFC 3261 §12.2.1.1)"
    ),
    case!(
        several_vias,
        Any,
        [Avaya, Kamailio],
        "every Via comes back in order; ours with received and rport filled in (RFC 3261 §18.2, RFC 3581)"
    ),
    case!(
        rport_not_asked,
        Udp,
        [Genesys, Cisco, Cucm],
        "without rport the answer goes to the port of the Via, not to the one it came from (RFC 3581 §4)"
    ),
];

/// Lets the daemon send a request of its own: an ACK without the answer it waits for makes it hang up.
async fn provoked(stage: &mut Stage, placing: &mut Placing) -> Result<Seen, Fault> {
    let ok = stage.place(placing).await?;
    well_mannered(&placing.invite, &ok)?;
    let ack = ack(&mut placing.dialog, &placing.invite, None);
    stage.send(&ack).await?;
    let bye = stage.asked("BYE", &placing.dialog.call_id).await?;
    stage.cleared(&placing.dialog.call_id);
    stage.agree(&bye).await?;
    Ok(bye)
}

/// The URI between the brackets.
fn bare(entry: &str) -> String {
    entry
        .trim_start_matches(|c| c != '<')
        .trim_matches(['<', '>'])
        .split('>')
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn contact(placing: &Placing) -> String {
    bare(placing.invite.value("Contact"))
}

fn asked_for(bye: &Seen) -> String {
    bye.message.request_uri().map(|uri| uri.as_str().to_owned()).unwrap_or_default()
}

fn went(bye: &Seen, uri: &str, routes: &[String]) -> Played {
    let found: Vec<String> = bye.message.list("Route").into_iter().map(|route| route.into_owned()).collect();
    if asked_for(bye) == uri && found == routes {
        return Ok(());
    }
    Err(Fault::new(
        format!("BYE {uri} with Route {routes:?}"),
        format!("BYE {} with Route {found:?}", asked_for(bye)),
    ))
}

async fn two_record_routes(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare_late().await?;
    let routes = placing.dialog.routes();
    let bye = provoked(stage, &mut placing).await?;
    went(&bye, &contact(&placing), &routes)
}

async fn first_route_not_contact(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare_late().await?;
    let proxy = stage.another_wire().await?;
    let routes = [
        format!("<sip:{};lr;transport=udp>", stage.at(proxy)),
        format!("<sip:{}:5061;lr;transport=tls>", stage.at(0).ip()),
    ];
    placing.invite.remove("Record-Route");
    for route in &routes {
        placing.invite.add("Record-Route", route.clone());
    }
    placing.invite.arrange(stage.dialect.order);
    let bye = provoked(stage, &mut placing).await?;
    if bye.wire != proxy {
        return Err(Fault::new("the BYE at the first Route", "it came to where the INVITE came from"));
    }
    went(&bye, &contact(&placing), &routes)
}

async fn strict_router(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare_late().await?;
    let (at, transport) = (stage.at(0), stage.transport().as_str());
    let strict = format!("<sip:{at};transport={transport}>");
    let behind = "<sip:192.0.2.77;lr>".to_owned();
    placing.invite.add("Record-Route", strict.clone()).add("Record-Route", behind.clone());
    placing.invite.arrange(stage.dialect.order);
    let bye = provoked(stage, &mut placing).await?;
    went(&bye, &bare(&strict), &[behind, format!("<{}>", contact(&placing))])
}

async fn several_vias(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare().await?;
    let via = placing.invite.value("Via").to_owned();
    let (port, asked) = (stage.at(0).port(), "192.0.2.99:5099");
    // Sent-by shows another address, and rport is asked for: both must be filled in.
    let changed = via.replace(&stage.at(0).to_string(), asked).replace(";rport", "") + ";rport";
    placing.invite.set("Via", changed);
    for below in stage.dialog().request("X").fields.iter().filter(|(name, _)| name == "Via").skip(1) {
        placing.invite.add("Via", below.1.clone());
    }
    placing.invite.arrange(stage.dialect.order);
    let ok = stage.place(&mut placing).await?;
    let top = ok.message.list("Via").first().map(|via| via.clone().into_owned()).unwrap_or_default();
    let ip = stage.at(0).ip();
    for parameter in [format!("received={ip}"), format!("rport={port}")] {
        if !top.contains(&parameter) {
            return Err(Fault::new(format!("{parameter} in our Via"), top));
        }
    }
    let ack = ack(&mut placing.dialog, &placing.invite, None);
    stage.send(&ack).await?;
    stage.hang_up_dialog(&mut placing.dialog).await
}

async fn rport_not_asked(stage: &mut Stage) -> Played {
    let mut dialog = stage.dialog();
    let listens = stage.another_wire().await?;
    let mut options = dialog.request("OPTIONS");
    let branch = dialog.branch();
    options.set("Via", format!("SIP/2.0/UDP {};branch={branch}", stage.at(listens)));
    let ok = stage.asks(&options, 200).await?;
    if ok.wire != listens {
        stage.notes.push("the daemon answers to the source port: force_rport is set, or it should not");
        return Err(Fault::new(
            format!("the answer at port {}", stage.at(listens).port()),
            "it came to the source",
        ));
    }
    Ok(())
}
