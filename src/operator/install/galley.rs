//! Whether a control plane's galley has been seen to refuse what is wrong: before that its absence must not count.

use serde_json::Value;

use super::Install;
use crate::operator::{
    plan::{Phase, TRIED, webhook_configuration},
    probe,
    settings::{Revision, Role, Settings},
};

// === impl Install ===

impl Install {
    /// Whether a control plane's galley was seen at work: by this process, or by one before it that has left its mark.
    pub(super) fn galley_phase(&mut self, uid: &str, settings: &Settings) -> Phase {
        let counts = |webhook: &Value| webhook["failurePolicy"] == "Fail";
        let found = if self.leads_to_galley(&settings.revision, counts) { Phase::Proven } else { Phase::Unproven };
        let known = self.known.entry(uid.to_owned()).or_default();
        *known.galley.entry(settings.revision.clone()).or_insert(found)
    }

    pub(super) fn is_proven(&self, uid: &str, settings: &Settings) -> bool {
        self.known.get(uid).is_some_and(|known| known.galley.get(&settings.revision) == Some(&Phase::Proven))
    }

    /// Forgets what a galley was seen to do, as another version takes its place.
    pub(super) fn unprove_galley(&mut self, uid: &str, place: &Revision) {
        self.known.entry(uid.to_owned()).or_default().galley.insert(place.clone(), Phase::Unproven);
    }

    /// Tries galley, once it could answer; whether it has been proven just now.
    pub(super) async fn prove_galley(&mut self, uid: &str, settings: &Settings, has_webhook: bool) -> bool {
        let Settings { parts, revision, namespace, .. } = settings;
        let ready = parts.contains_key(&Role::Galley) && self.health(&revision.part(Role::Galley)).is_ready();
        if !ready || !has_webhook || self.is_proven(uid, settings) {
            return false;
        }
        // What names none, or the default one, is asked of the galley that serves. That is this one or another.
        let named = match revision.is_default() {
            true if self.leads_to_galley(revision, |_| true) => None,
            true => Some(TRIED),
            false => Some(revision.name()),
        };
        let proven = probe::galley(&self.client, namespace, named).await;
        if proven {
            tracing::info!(revision = revision.name(), "galley refuses what is wrong; from now on its absence does too");
            self.known.entry(uid.to_owned()).or_default().galley.insert(revision.clone(), Phase::Proven);
        }
        proven
    }

    /// Whether each webhook of the configuration that is called after a place leads to the galley there, and is like this. Where a control
    /// plane serves that has moved, the one that is called after its MeshInstall's own place leads elsewhere.
    fn leads_to_galley(&self, place: &Revision, is: impl Fn(&Value) -> bool) -> bool {
        let service = place.part(Role::Galley);
        let live = webhook_configuration(Role::Galley, place).and_then(|key| self.live.get(&key));
        let webhooks = live.and_then(|live| live["webhooks"].as_array()).filter(|webhooks| !webhooks.is_empty());
        webhooks.is_some_and(|all| all.iter().all(|one| one["clientConfig"]["service"]["name"] == service && is(one)))
    }
}
