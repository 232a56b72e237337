//! What users change in the configuration with which Envoy starts (EnvoyFilters with `applyTo: BOOTSTRAP`): pilot is asked once, by the
//! workload's certificate, and not waited for long. A proxy without pilot starts with the configuration of its own.

use bytes::Bytes;
use std::{fs, io, path::PathBuf, sync::Arc, time::Duration};
use tokio::{process::Command, time::timeout};
use tonic::Status;

use super::{ProxyFacts, TRIAL_BOOTSTRAP};
use crate::runtime::{ChannelError, TlsError, WorkloadCert, change_bootstrap, client_config_for, secure_channel, write_atomically};

/// How long pilot may take. It answers within milliseconds if it is there.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long Envoy may take to say whether it can start so. It needs a tenth of a second.
const TRIAL: Duration = Duration::from_secs(20);

/// Where Envoy is, and where it works.
#[derive(Clone, Debug)]
pub(super) struct Envoy {
    pub(super) program: PathBuf,
    pub(super) directory: PathBuf,
    /// What users lay over its bootstrap in a ConfigMap of their own, in JSON.
    pub(super) overriding: Option<String>,
}

/// Why the configuration stays as it is.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChangeError {
    #[error("the own certificate can't be used")]
    Certificate(#[from] TlsError),
    #[error("can't reach pilot")]
    Connect(#[from] ChannelError),
    #[error("pilot refused: {}", .0.message())]
    Refused(#[from] Status),
    #[error("pilot did not answer within {0:?}")]
    TimedOut(Duration),
    #[error("Envoy can't be asked")]
    Trial(#[source] io::Error),
    #[error("Envoy did not say within {0:?} whether it can start so")]
    TrialTimedOut(Duration),
    #[error("Envoy can't start so: {0}")]
    Unfit(String),
}

/// The configuration as users want it, of and in Envoy's binary form. Envoy has been asked whether it can start so: one that can't would end the pod.
///
/// # Errors
/// When pilot does not answer, or Envoy could not start.
pub(super) async fn changed(own: &Bytes, facts: &ProxyFacts, certificate: &Arc<WorkloadCert>, envoy: &Envoy) -> Result<Bytes, ChangeError> {
    let changed = timeout(PATIENCE, asked(own, facts, certificate)).await.map_err(|_| ChangeError::TimedOut(PATIENCE))??;
    if changed != *own {
        envoy.try_out(&changed).await?;
    }
    Ok(changed)
}

/// Pilot's answer to who asks with a configuration of its own.
///
/// # Errors
/// When pilot is away, or does not serve who asks.
pub(super) async fn asked(own: &Bytes, facts: &ProxyFacts, certificate: &WorkloadCert) -> Result<Bytes, ChangeError> {
    let tls = client_config_for(certificate, facts.pilot_identity())?;
    let channel = secure_channel(facts.discovery_address(), None, tls).await?;
    Ok(change_bootstrap(channel, own.clone()).await?)
}

// === impl Envoy ===

impl Envoy {
    /// Asks Envoy whether it could start so.
    ///
    /// # Errors
    /// When it could not, with its own words, or can't be asked.
    pub(super) async fn try_out(&self, bootstrap: &[u8]) -> Result<(), ChangeError> {
        let file = self.directory.join(TRIAL_BOOTSTRAP);
        write_atomically(&file, bootstrap, 0o600).map_err(ChangeError::Trial)?;
        let mut command = Command::new(&self.program);
        command.args(["--mode", "validate", "--log-level", "error", "--config-path"]).arg(&file);
        command.args(self.overriding.iter().flat_map(|overriding| ["--config-yaml", overriding.as_str()]));
        command.current_dir(&self.directory).kill_on_drop(true);
        let ended = timeout(TRIAL, command.output()).await.map_err(|_| ChangeError::TrialTimedOut(TRIAL));
        // Nobody looks at it again.
        let _ = fs::remove_file(&file);
        let output = ended?.map_err(ChangeError::Trial)?;
        if output.status.success() {
            return Ok(());
        }
        let told = String::from_utf8_lossy(&output.stderr);
        Err(ChangeError::Unfit(told.lines().last().unwrap_or_default().trim().to_owned()))
    }
}
