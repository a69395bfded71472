//! Header fields with a meaning: who calls, for whom, and what comes along (sip-trunk.md section 9).

use super::super::case::{Case, case};
use super::super::stage::{Fault, Played, Stage};

/// The cases of this file.
pub(super) const CASES: &[Case] = &[
    case!(
        uui_hex,
        Any,
        [Avaya, Genesys],
        "User-to-User: 04..;encoding=hex reaches the bot as hex (RFC 7433)"
    ),
    case!(
        uui_quoted,
        Any,
        [Genesys, Cucm],
        "User-to-User with quoted data and purpose, content, pd (RFC 7433 §4.1)"
    ),
    case!(uui_several, Any, [Avaya], "several User-to-User fields, the first without encoding (RFC 7434)"),
    case!(x_uui, Any, [Ameyo, Asterisk, Freeswitch], "X-UUI wins over User-to-User"),
    case!(
        custom_header_too_long,
        Any,
        [Ameyo, Asterisk],
        "X-Custom-Header over 45 bytes is cut at a whole character, never refused (vendor: supports up to 45 bytes)"
    ),
    case!(
        account_spelled_otherwise,
        Any,
        [Asterisk, Freeswitch],
        "x-exotel-accountsid in any case, with blanks, twice the same: one account"
    ),
    case!(account_contradicted, Any, [Plain], "two accounts that differ, or an ill-formed one: 403"),
    case!(
        withheld_number,
        Any,
        [Cucm, Kamailio, Genesys],
        "Privacy: id and anonymous.invalid: the bot is told sip:anonymous (RFC 3323, 3325)"
    ),
    case!(
        asserted_identity,
        Any,
        [Avaya, Kamailio],
        "P-Asserted-Identity is the caller, tel: before sip: (RFC 3325)"
    ),
];

/// What the bot gets as custom parameter.
async fn told(stage: &mut Stage, name: &'static str, value: &str) -> Played {
    let wanted = format!("{name} = {value:?}");
    let fits = |t: &crate::lab::bot::Transcript| {
        t.start.as_ref().is_some_and(|start| start.custom_parameters.get(name).is_some_and(|v| v == value))
    };
    stage.bot(&wanted, fits).await.map(drop)
}

async fn with(stage: &mut Stage, fields: &[(&str, &str)], name: &'static str, value: &str) -> Played {
    let mut placing = stage.prepare().await?;
    placing.invite.remove("User-to-User");
    for (name, value) in fields {
        placing.invite.add(name, *value);
    }
    placing.invite.arrange(stage.dialect.order);
    let up = stage.call_as(placing).await?;
    told(stage, name, value).await?;
    stage.hang_up(up).await
}

async fn uui_hex(stage: &mut Stage) -> Played {
    let data = "04C8143132333435363738";
    with(stage, &[("User-to-User", "04C8143132333435363738;encoding=hex")], "UUI", data).await
}

async fn uui_quoted(stage: &mut Stage) -> Played {
    let value = "\"56a390f3d2b7310023a2\" ; encoding = hex;purpose=isdn-uui ;content=isdn-uui;pd=04";
    with(stage, &[("User-to-User", value)], "UUI", "56a390f3d2b7310023a2").await
}

async fn uui_several(stage: &mut Stage) -> Played {
    let fields =
        [("User-to-User", "00FA080001247C5E46F6E6"), ("User-to-User", "deadbeef;encoding=hex;purpose=other")];
    with(stage, &fields, "UUI", "00FA080001247C5E46F6E6").await
}

async fn x_uui(stage: &mut Stage) -> Played {
    let fields = [("User-to-User", "0411223344;encoding=hex"), ("x-uui", "A1B2-\"quoted\";C3,D4")];
    with(stage, &fields, "UUI", "A1B2-\"quoted\";C3,D4").await
}

async fn custom_header_too_long(stage: &mut Stage) -> Played {
    // 44 octets, and the 45th is the first half of a character.
    let long = format!("{}\u{e9}{}", "a".repeat(44), "z".repeat(60));
    with(stage, &[("X-Custom-Header", &long)], "Custom-Header", &"a".repeat(44)).await
}

async fn account_spelled_otherwise(stage: &mut Stage) -> Played {
    let Some(account) = stage.ground.account.clone() else {
        stage.notes.push("no --account was given: not played");
        return Ok(());
    };
    let mut placing = stage.prepare().await?;
    placing.invite.remove("X-Exotel-AccountSid");
    placing.invite.add("x-exotel-accountsid", format!("  {account} \t"));
    placing.invite.add("X-EXOTEL-ACCOUNTSID", account.clone()).arrange(stage.dialect.order);
    let up = stage.call_as(placing).await?;
    let fits = |t: &crate::lab::bot::Transcript| t.start.as_ref().is_some_and(|s| s.account_sid == account);
    stage.bot(&format!("account_sid {account}"), fits).await?;
    stage.hang_up(up).await
}

async fn account_contradicted(stage: &mut Stage) -> Played {
    for accounts in [["acme1", "acme2"].as_slice(), &["a b<c"]] {
        let mut placing = stage.prepare().await?;
        placing.invite.remove("X-Exotel-AccountSid");
        for account in accounts {
            placing.invite.add("X-Exotel-AccountSid", *account);
        }
        let refused = stage.asks(&placing.invite, 403).await?;
        placing.dialog.learn(&refused.message);
        let ack = placing.dialog.hop("ACK", &placing.invite);
        stage.send(&ack).await?;
    }
    Ok(())
}

async fn withheld_number(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare().await?;
    let tag = placing.invite.value("From").split(";tag=").nth(1).unwrap_or_default().to_owned();
    let caller = placing.dialog.caller().to_owned();
    let host = stage.ground.host.clone();
    placing.invite.set("From", format!("\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag={tag}"));
    placing.invite.set("Privacy", "id");
    placing.invite.set("P-Asserted-Identity", format!("<sip:{caller}@{host}>")).remove("Remote-Party-ID");
    placing.invite.arrange(stage.dialect.order);
    let mut up = stage.call_as(placing).await?;
    let anonymous =
        |t: &crate::lab::bot::Transcript| t.start.as_ref().is_some_and(|s| s.from == "sip:anonymous");
    let found = stage.bot("from sip:anonymous", anonymous).await;
    // In the dialog From is as in the INVITE.
    let mut bye = up.dialog.request("BYE");
    bye.set("From", up.invite.value("From"));
    stage.cleared(&up.dialog.call_id);
    stage.asks(&bye, 200).await?;
    found.map(drop)
}

async fn asserted_identity(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare().await?;
    let asserted = "\"A, B\" <sip:0700@192.0.2.1>, <tel:+918067000001>";
    placing.invite.set("P-Asserted-Identity", asserted).arrange(stage.dialect.order);
    let up = stage.call_as(placing).await?;
    let fits =
        |t: &crate::lab::bot::Transcript| t.start.as_ref().is_some_and(|s| s.from == "sip:+918067000001");
    stage.bot("from sip:+918067000001", fits).await?;
    if up.ok.header("To").is_empty() {
        return Err(Fault::new("a To", "none"));
    }
    stage.hang_up(up).await
}
