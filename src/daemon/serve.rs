//! `streamkit serve`: one daemon from its start to its end, as systemd and an operator see it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::available_parallelism;

use super::signal::{Asked, Signals};
use super::{Onlookers, Running, start, systemd};
use crate::config::Config;
use crate::telemetry::{exposition, log};

/// What cannot be started is one line and this exit code (operator.md section 2).
const REFUSED: u8 = 3;
/// Problems of a refused configuration that are told in the log.
const TOLD: usize = 8;
/// For `systemctl status`.
const REFUSED_RELOAD: &str = "taking calls; the last reload was refused, see the log";

/// Runs until it is told to end; `path` is read again for a reload. Exit code 0 after a drain, 3 when it could not
/// start.
pub fn run(config: Config, path: PathBuf) -> ExitCode {
    log::install(&config.log);
    exposition::install(&config.names);
    for note in &config.notes {
        tracing::warn!(cause = "configuration", "{note}");
    }
    // the control plane has the cores the media plane leaves
    let threads =
        available_parallelism().map_or(1, usize::from).saturating_sub(config.media.cores.len()).max(1);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return refused(&error),
    };
    runtime.block_on(async {
        let mut signals = match Signals::listen() {
            Ok(signals) => signals,
            Err(error) => return refused(&error),
        };
        let drain = config.node.drain_timeout;
        match start(config, Onlookers::default()).await {
            Ok(mut running) => {
                until_told(&mut running, &mut signals, &path).await;
                systemd::stopping("draining", drain);
                running.drain(stop_now(&mut signals)).await;
                running.stop().await;
                tracing::info!("stopped");
                ExitCode::SUCCESS
            }
            Err(error) => refused(&error),
        }
    })
}

/// Serves until the first word that it should end.
async fn until_told(running: &mut Running, signals: &mut Signals, path: &Path) {
    for (transport, address) in &running.sip {
        tracing::info!(%address, transport = transport.as_str(), "listening for SIP");
    }
    for address in &running.http {
        tracing::info!(%address, "listening for HTTP");
    }
    systemd::ready("taking calls");
    loop {
        let asked = {
            // its beat may come early after a reload, never late
            let watchdog = systemd::watchdog(|| running.alive());
            tokio::select! {
                asked = signals.next() => asked,
                () = watchdog => continue,
            }
        };
        match asked {
            Asked::Drain | Asked::StopNow => return,
            Asked::Reload => {
                systemd::reloading();
                systemd::ready(reload(running, path.to_owned()).await);
            }
        }
    }
}

/// Reads the configuration again and goes over to it, or says why not and stays. What `systemctl status` shows then.
async fn reload(running: &mut Running, path: PathBuf) -> &'static str {
    let read = tokio::task::spawn_blocking(move || Config::load(&path)).await;
    let config = match read {
        Ok(Ok(config)) => config,
        Ok(Err(problems)) => {
            for problem in problems.0.iter().take(TOLD) {
                tracing::error!(cause = "reload", "{problem}");
            }
            let problems = problems.0.len();
            tracing::error!(
                problems,
                "the configuration is refused, the old one stays; streamkit check tells all"
            );
            return REFUSED_RELOAD;
        }
        Err(error) => {
            tracing::error!(cause = "internal", %error, "the configuration could not be read, the old one stays");
            return REFUSED_RELOAD;
        }
    };
    let notes = config.notes.clone();
    match running.reload(config).await {
        Ok(changes) => {
            for note in &notes {
                tracing::warn!(cause = "configuration", "{note}");
            }
            let changed = if changes.is_empty() { "nothing".to_owned() } else { changes.join(", ") };
            tracing::info!(
                changed,
                "the configuration was read again, certificates too; calls that are up keep theirs"
            );
            "taking calls"
        }
        Err(error) => {
            tracing::error!(cause = "reload", "{error}; the old configuration stays");
            REFUSED_RELOAD
        }
    }
}

async fn stop_now(signals: &mut Signals) {
    while signals.next().await != Asked::StopNow {}
}

fn refused(error: &dyn std::error::Error) -> ExitCode {
    tracing::error!(cause = "start", "{error}");
    ExitCode::from(REFUSED)
}
