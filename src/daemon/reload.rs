//! A reload: whole or not at all (operator.md section 3, reliability R-111). All that can fail is done before anything
//! is changed; what is new keeps to the new configuration, calls that are up and open connections stay as they are.

use super::{Running, trust};
use crate::config::{Config, NeedsRestart};
use crate::fetch::Client;
use crate::sip::io::{Tls, TlsError};
use crate::sip::{Command, Reload};
use crate::stream::io::{Connector, TrustError};
use crate::telemetry::{exposition, log};

/// Why a running node stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// Keys that need a restart.
    #[error(transparent)]
    Restart(#[from] NeedsRestart),
    /// A certificate of SIP cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// One of streams cannot.
    #[error("stream: {0}")]
    Trust(#[from] TrustError),
}

impl Running {
    /// Goes over to this configuration; what changes, in words.
    ///
    /// # Errors
    /// It cannot, and nothing has changed.
    pub async fn reload(&mut self, new: Config) -> Result<Vec<String>, ReloadError> {
        let (config, changes) = new.succeed(&self.config)?;
        let tls = config.sip_tls.as_ref().map(Tls::read).transpose()?;
        let connector = Connector::new(&trust(&config.stream_tls))?;
        let fetch = Client::new(config.stream_tls.ca_file.as_deref())?;

        if let (Some(running), Some(new)) = (&self.tls, &tls) {
            running.replace(new);
        }
        self.connector.replace(&connector);
        self.fetch.replace(&fetch);
        log::install(&config.log);
        exposition::install(&config.names);
        self.admission.set_limits(config.call.limits.clone(), super::trunk_limits(&config.call));
        self.admission.breakers().keep(&config.names.bot_addresses);
        self.watched.set_bots(&config.call);
        if self.config.cpu_percent != config.cpu_percent {
            self.watched.set_cpu_mark(config.cpu_percent);
        }
        // calls first: a trunk that signalling admits is one they know
        self.desk.reload(config.call.clone());
        let reload = Reload { config: config.sip.clone(), limits: config.sip_limits };
        if self.commands.send(Command::Reload(Box::new(reload))).await.is_err() {
            tracing::error!(cause = "internal", "signalling is gone");
        }
        self.config = config;
        Ok(changes)
    }
}
