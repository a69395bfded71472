//! `streamkit serve`: one daemon from its start to its end, as systemd and an operator see it.

use std::process::ExitCode;
use std::thread::available_parallelism;

use super::signal::{Asked, Signals};
use super::{Onlookers, Running, start, systemd};
use crate::config::Config;
use crate::telemetry::{exposition, log};

/// What cannot be started is one line and this exit code (operator.md section 2).
const REFUSED: u8 = 3;

/// Runs until it is told to end. Exit code 0 after a drain, 3 when it could not start.
pub fn run(config: Config) -> ExitCode {
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
            Ok(running) => {
                until_told(&running, &mut signals).await;
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
async fn until_told(running: &Running, signals: &mut Signals) {
    for (transport, address) in &running.sip {
        tracing::info!(%address, transport = transport.as_str(), "listening for SIP");
    }
    for address in &running.http {
        tracing::info!(%address, "listening for HTTP");
    }
    systemd::ready("taking calls");
    let watchdog = systemd::watchdog(|| running.alive());
    tokio::pin!(watchdog);
    loop {
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::Drain | Asked::StopNow => return,
                Asked::Reload => tracing::warn!(
                    cause = "reload", "a running daemon does not read its configuration again in this release: restart it"
                ),
            },
            () = &mut watchdog => {}
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
