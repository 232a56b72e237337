//! Webhook configurations that are left as they are go on being trusted: their certificates are renewed all the while.

use k8s_openapi::ByteString;
use serde_json::{Value, json};
use webhook_certs::FIELD_MANAGER;

use super::Install;
use crate::operator::{
    apply::ApplyError,
    object::{Key, Kind},
};

// === impl Install ===

impl Install {
    /// Has the webhook configurations among these trust `bundle`, and changes nothing else of them.
    ///
    /// # Errors
    /// When the API server refuses a write or doesn't answer.
    pub(super) async fn keep_trusted(&mut self, keys: &[Key], bundle: &str) -> Result<(), ApplyError> {
        let trusted = json!(ByteString(bundle.as_bytes().to_vec()));
        let webhooks = [Kind::MutatingWebhookConfiguration, Kind::ValidatingWebhookConfiguration];
        for key in keys.iter().filter(|key| webhooks.contains(&key.kind)) {
            let Some(live) = self.live.get(key) else { continue };
            let asked: &[Value] = live["webhooks"].as_array().map_or(&[], Vec::as_slice);
            if asked.iter().all(|webhook| webhook["clientConfig"]["caBundle"] == trusted) {
                continue;
            }
            let entry = |webhook: &Value| json!({"name": webhook["name"], "clientConfig": {"caBundle": trusted}});
            let body = json!({
                "apiVersion": key.kind.api_version(),
                "kind": key.kind.name(),
                // With its uid the patch can't make an object anew that was deleted meanwhile.
                "metadata": {"name": key.name, "uid": live["metadata"]["uid"]},
                "webhooks": asked.iter().map(entry).collect::<Vec<_>>(),
            });
            self.applier.amend(key, FIELD_MANAGER, &body, &mut self.live).await?;
        }
        Ok(())
    }
}
