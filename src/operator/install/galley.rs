//! Whether a control plane's galley has been seen to refuse what is wrong: before that its absence must not count.

use serde_json::Value;

use super::Install;
use crate::operator::{
    plan::{Phase, webhook_configuration},
    probe,
    settings::{Role, Settings},
};

// === impl Install ===

impl Install {
    /// Whether a control plane's galley was seen at work: by this process, or by one before it that has left its mark.
    pub(super) fn galley_phase(&mut self, uid: &str, settings: &Settings) -> Phase {
        let live = webhook_configuration(Role::Galley, &settings.revision).and_then(|key| self.live.get(&key));
        let firm = |live: &Value| {
            live["webhooks"].as_array().is_some_and(|all| !all.is_empty() && all.iter().all(|one| one["failurePolicy"] == "Fail"))
        };
        let found = if live.is_some_and(firm) { Phase::Proven } else { Phase::Unproven };
        let known = self.known.entry(uid.to_owned()).or_default();
        *known.galley.entry(settings.revision.clone()).or_insert(found)
    }

    pub(super) fn is_proven(&self, uid: &str, settings: &Settings) -> bool {
        self.known.get(uid).is_some_and(|known| known.galley.get(&settings.revision) == Some(&Phase::Proven))
    }

    /// Tries galley, once it could answer; whether it has been proven just now.
    pub(super) async fn prove_galley(&mut self, uid: &str, settings: &Settings, has_webhook: bool) -> bool {
        let Settings { parts, revision, namespace, .. } = settings;
        let ready = parts.contains_key(&Role::Galley) && self.health(&revision.part(Role::Galley)).is_ready();
        if !ready || !has_webhook || self.is_proven(uid, settings) {
            return false;
        }
        let proven = probe::galley(&self.client, namespace, revision).await;
        if proven {
            tracing::info!(revision = revision.name(), "galley refuses what is wrong; from now on its absence does too");
            self.known.entry(uid.to_owned()).or_default().galley.insert(revision.clone(), Phase::Proven);
        }
        proven
    }
}
