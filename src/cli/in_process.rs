//! The daemon inside `demo` and `selftest`: on free ports of loopback, for one trunk, which is this machine.

use std::collections::HashMap;
use std::path::Path;

use super::demo::{Daemon, Wanted};
use crate::config::{Config, Surroundings};
use crate::daemon::{self, Onlookers, Running};
use crate::sip::Transport;

/// Starts it.
pub(super) async fn start(wanted: Wanted) -> Result<Daemon, String> {
    let records = wanted.state_dir.join("cdr");
    let running =
        daemon::start(config(&wanted)?, Onlookers::default()).await.map_err(|error| error.to_string())?;
    let udp = running.sip.iter().find(|(transport, _)| *transport == Transport::Udp);
    let sip = udp.map(|(_, address)| *address).ok_or("the daemon does not listen for SIP")?;
    let stop = Box::new(move || -> super::demo::Stopping {
        Box::pin(async move {
            running.stop().await;
            last_record(&records)
        })
    });
    Ok(Daemon { sip, stop })
}

/// Starts one with this text for its file.
pub(super) async fn run(text: &str) -> Result<Running, String> {
    daemon::start(configured(text)?, Onlookers::default()).await.map_err(|error| error.to_string())
}

/// What this text means; the environment of the operator does not reach it.
pub(super) fn configured(text: &str) -> Result<Config, String> {
    let machine = Surroundings { variables: HashMap::new(), ..Surroundings::of_this_process() };
    Config::from_text("built-in", text, &machine).map_err(|problems| problems.to_string())
}

/// As a file would say it.
fn config(wanted: &Wanted) -> Result<Config, String> {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let path = |path: &Path| path.to_str().map(quoted).ok_or("the folder's name is no text");
    let text = format!(
        "[node]\nname = \"demo\"\nstate_dir = {state}\nrun_dir = {state}\n\
         [sip]\nlisten = [\"udp://127.0.0.1:0\", \"tcp://127.0.0.1:0\"]\n\
         [http]\nlisten = [\"127.0.0.1:0\"]\n\
         [media]\nbind = \"127.0.0.1\"\n[limits]\ncalls = 10\ncpu_percent = 0\n\
         [stream]\nca_file = {ca}\n\
         [[trunk]]\nname = \"demo\"\npeers = [\"127.0.0.1\"]\naccount = {account}\n\
         [[route]]\ntrunk = \"demo\"\nbot = {bot}\n",
        state = path(&wanted.state_dir)?,
        ca = path(&wanted.ca_file)?,
        account = quoted(&wanted.account),
        bot = quoted(&wanted.bot_url),
    );
    configured(&text)
}

/// The last line of the newest file of call records.
fn last_record(folder: &Path) -> Option<serde_json::Value> {
    let files = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let newest = files.filter(|path| path.is_file()).max()?;
    let text = std::fs::read_to_string(newest).ok()?;
    serde_json::from_str(text.lines().last()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_is_configured_as_a_file_would() {
        let dir = tempfile::tempdir().expect("a folder");
        let ca_file = dir.path().join("a \"b\".pem");
        std::fs::write(&ca_file, "").expect("a file");
        let wanted = Wanted {
            bot_url: "wss://127.0.0.1:9/media?sample-rate=16000".into(),
            ca_file: ca_file.clone(),
            state_dir: dir.path().to_owned(),
            account: "demo".into(),
        };
        let config = config(&wanted).expect("a configuration");
        assert_eq!(config.stream_tls.ca_file, Some(ca_file));
        assert!(config.listen.iter().all(|one| one.addr.port() == 0));
    }

    #[test]
    fn the_last_record_is_the_last_line_of_the_newest_file() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("2026-01-01.jsonl"), "{\"n\":1}\n").expect("a file");
        std::fs::write(dir.path().join("2026-01-02.jsonl"), "{\"n\":2}\n{\"n\":3}\n").expect("a file");
        assert_eq!(last_record(dir.path()).expect("a record")["n"], 3);
        assert!(last_record(&dir.path().join("none")).is_none());
    }
}
