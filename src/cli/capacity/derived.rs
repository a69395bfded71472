//! The operator's configuration, brought to loopback: what decides on capacity stays, what leads outside goes.

use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// Lists of tables, which files beside the first add to.
const LISTS: [&str; 4] = ["account", "flow", "route", "trunk"];
/// The account when the trunk names none.
const ACCOUNT: &str = "capacity";
/// Of a trunk: what is of the other side, and encryption.
const OF_THE_PEER: [&str; 8] = [
    "targets",
    "digest_users",
    "media_peers",
    "transports",
    "srtp",
    "srtp_without_tls",
    "latch",
    "options_ping",
];

/// A configuration for loopback.
#[derive(Debug)]
pub(super) struct Derived {
    /// As a file.
    pub(super) text: String,
    /// The account calls are for.
    pub(super) account: String,
    /// Where it takes calls.
    pub(super) sip: SocketAddr,
    /// Where it is asked.
    pub(super) http: SocketAddr,
    /// What was written and is not part of this.
    pub(super) left_out: Vec<String>,
}

/// The file and those of `conf.d` beside it, in one.
///
/// # Errors
/// What cannot be read.
pub(super) fn read(path: &Path) -> Result<Table, String> {
    let beside = path.parent().unwrap_or(Path::new("")).join("conf.d");
    let mut paths: Vec<PathBuf> =
        fs::read_dir(beside).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|kind| kind == "toml"));
    paths.sort();
    paths.insert(0, path.to_owned());
    let mut all = Table::new();
    for path in paths {
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let table = text.parse().map_err(|error| format!("{}: {error}", path.display()))?;
        lay(&mut all, table);
    }
    Ok(all)
}

fn lay(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(under)), Value::Table(over)) => lay(under, over),
            (Some(Value::Array(under)), Value::Array(over)) if LISTS.contains(&key.as_str()) => {
                under.extend(over);
            }
            (_, value) => drop(under.insert(key, value)),
        }
    }
}

/// With everything that leads outside put on loopback, one trunk, and one bot.
///
/// # Errors
/// What cannot be written, or no free port.
pub(super) fn on_loopback(mut all: Table, folder: &Path, bot: &str) -> Result<Derived, String> {
    let (sip, http) = (free().map_err(|e| e.to_string())?, free().map_err(|e| e.to_string())?);
    let text = |text: &str| Value::String(text.to_owned());
    let folder_text = folder.to_str().ok_or("the folder's name is no text")?;
    let mut left_out = Vec::new();
    for (name, keys) in [
        ("sip", &["advertise", "tls"][..]),
        ("http", &["tls", "public_url", "metrics_allow"]),
        ("media", &["advertise"]),
        ("stream", &["client_certificate", "client_key"]),
    ] {
        let Some(Value::Table(section)) = all.get_mut(name) else { continue };
        for key in keys {
            if section.remove(*key).is_some() {
                left_out.push(format!("{name}.{key}"));
            }
        }
    }
    for name in ["flow", "flows_dir", "cdr", "hep"] {
        if all.remove(name).is_some() {
            left_out.push(name.to_owned());
        }
    }
    for (name, key, value) in [
        ("node", "state_dir", text(folder_text)),
        ("node", "run_dir", text(folder_text)),
        ("node", "drain_timeout", text("1s")),
        ("sip", "listen", Value::Array(vec![text(&format!("udp://{sip}")), text(&format!("tcp://{sip}"))])),
        ("http", "listen", Value::Array(vec![text(&http.to_string())])),
        ("media", "bind", text("127.0.0.1")),
        ("stream", "ca_file", text(&format!("{folder_text}/bot.pem"))),
        ("log", "level", text("warn")),
    ] {
        let section = all.entry(name).or_insert_with(|| Value::Table(Table::new()));
        section.as_table_mut().ok_or_else(|| format!("{name} is no table"))?.insert(key.to_owned(), value);
    }
    let (trunk, account) = trunk(&mut all, &mut left_out);
    let query = first_of(&all, "route").and_then(|route| route.get("bot")?.as_str()?.split_once('?'));
    let bot = query.map_or(bot.to_owned(), |(_, query)| format!("{bot}?{query}"));
    let route =
        Table::from_iter([("trunk".to_owned(), trunk["name"].clone()), ("bot".to_owned(), text(&bot))]);
    all.insert("trunk".to_owned(), Value::Array(vec![Value::Table(trunk)]));
    all.insert("route".to_owned(), Value::Array(vec![Value::Table(route)]));
    let text = toml::to_string(&all).map_err(|error| error.to_string())?;
    Ok(Derived { text, account, sip, http, left_out })
}

/// The first trunk, with this machine for its peer; the first of its accounts.
fn trunk(all: &mut Table, left_out: &mut Vec<String>) -> (Table, String) {
    let mut trunk = first_of(all, "trunk").cloned().unwrap_or_default();
    let all_accounts = trunk.get("accounts").and_then(Value::as_array).and_then(|all| all.first());
    let account = trunk.get("account").or(all_accounts).and_then(Value::as_str).unwrap_or(ACCOUNT).to_owned();
    if !trunk.contains_key("accounts") {
        trunk.insert("account".to_owned(), Value::String(account.clone()));
    }
    for key in OF_THE_PEER {
        if trunk.remove(key).is_some() {
            left_out.push(format!("trunk.{key}"));
        }
    }
    trunk.insert("peers".to_owned(), Value::Array(vec![Value::String("127.0.0.1".to_owned())]));
    trunk.entry("name").or_insert_with(|| Value::String(ACCOUNT.to_owned()));
    let more = all.get("trunk").and_then(Value::as_array).map_or(0, |all| all.len().saturating_sub(1));
    if more > 0 {
        left_out.push(format!("{more} further trunks"));
    }
    (trunk, account)
}

fn first_of<'a>(all: &'a Table, list: &str) -> Option<&'a Table> {
    all.get(list)?.as_array()?.first()?.as_table()
}

/// An address of loopback that is free just now over UDP and TCP.
fn free() -> std::io::Result<SocketAddr> {
    loop {
        let at = UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
        if TcpListener::bind(at).is_ok() {
            return Ok(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::in_process::configured;
    use super::*;

    fn derived(text: &str) -> (Derived, Table) {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("bot.pem"), "").expect("written");
        let all: Table = text.parse().expect("TOML");
        let derived = on_loopback(all, folder.path(), "wss://127.0.0.1:9/media").expect("derived");
        configured(&derived.text).expect("a configuration that is taken");
        let table = derived.text.parse().expect("TOML");
        (derived, table)
    }

    #[test]
    fn nothing_written_is_every_default_on_loopback() {
        let (derived, table) = derived("");
        assert_eq!(derived.account, "capacity");
        assert!(derived.left_out.is_empty() && !table.contains_key("limits"));
        assert_eq!(table["route"][0]["bot"].as_str(), Some("wss://127.0.0.1:9/media"));
    }

    #[test]
    fn what_decides_on_capacity_stays_and_what_leads_outside_goes() {
        let (derived, table) = derived(
            "[sip]\nlisten = [\"udp://192.0.2.1:5060\"]\nadvertise = \"203.0.113.5\"\n[limits]\ncalls = 77\n\
             [stream]\nframe_ms = 40\n[cdr]\nwebhook = \"https://a.example/\"\n\
             [[trunk]]\nname = \"pbx\"\npeers = [\"192.0.2.10\"]\naccounts = [\"a1\", \"a2\"]\nmax_calls = 60\n\
             srtp = \"required\"\n[[trunk]]\nname = \"other\"\npeers = [\"192.0.2.11\"]\naccount = \"b\"\n\
             [[route]]\ntrunk = \"pbx\"\nbot = \"wss://k:t@bot.example.com/x?sample-rate=16000\"\n",
        );
        assert_eq!(derived.account, "a1");
        assert_eq!(table["limits"]["calls"].as_integer(), Some(77));
        assert_eq!(table["stream"]["frame_ms"].as_integer(), Some(40));
        assert_eq!(table["trunk"].as_array().map(Vec::len), Some(1));
        assert_eq!(table["trunk"][0]["max_calls"].as_integer(), Some(60));
        assert_eq!(table["route"][0]["bot"].as_str(), Some("wss://127.0.0.1:9/media?sample-rate=16000"));
        for gone in ["192.0.2", "203.0.113.5", "a.example", "bot.example", "srtp"] {
            assert!(!derived.text.contains(gone), "{gone}:\n{}", derived.text);
        }
        assert_eq!(derived.left_out, ["sip.advertise", "cdr", "trunk.srtp", "1 further trunks"]);
    }

    #[test]
    fn files_beside_add_to_lists_and_replace_the_rest() {
        let mut all: Table =
            "[limits]\ncalls = 1\nstreams = 2\n[[trunk]]\nname = \"a\"".parse().expect("TOML");
        lay(&mut all, "[limits]\ncalls = 5\n[[trunk]]\nname = \"b\"".parse().expect("TOML"));
        assert_eq!(
            (all["limits"]["calls"].as_integer(), all["limits"]["streams"].as_integer()),
            (Some(5), Some(2))
        );
        assert_eq!(all["trunk"].as_array().map(Vec::len), Some(2));
    }
}
