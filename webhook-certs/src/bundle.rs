//! Writes `caBundle`, and nothing else, into a webhook configuration that somebody else keeps.

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::error::BundleError;

/// Owner of the one field, for server-side apply: the chart and GitOps tools never see it as theirs.
pub const FIELD_MANAGER: &str = "ferromesh-webhook-certs";

/// Makes the named webhooks of a validating webhook configuration trust `bundle` (PEM); answers whether a write was needed.
///
/// A value that somebody else wrote there is taken over: a wrong bundle would refuse every request.
///
/// # Errors
/// [`BundleError::Missing`] or [`BundleError::NoSuchWebhook`] if there is nothing to write to, else what the API said.
pub async fn ensure_ca_bundle(client: &Client, name: &str, webhooks: &[&str], bundle: &str) -> Result<bool, BundleError> {
    let api: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let failed = |verb| move |source| BundleError::Api { verb, name: name.to_owned(), source: Box::new(source) };
    let current = api.get_opt(name).await.map_err(failed("get"))?.ok_or_else(|| BundleError::Missing { name: name.to_owned() })?;
    let Some(patch) = patch(&current, webhooks, bundle)? else {
        return Ok(false);
    };
    api.patch(name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(patch)).await.map_err(failed("patch"))?;
    Ok(true)
}

/// The patch that is needed, if one is.
fn patch(current: &ValidatingWebhookConfiguration, webhooks: &[&str], bundle: &str) -> Result<Option<Value>, BundleError> {
    let wanted = ByteString(bundle.as_bytes().to_vec());
    let mut differs = false;
    for name in webhooks {
        let missing = || BundleError::NoSuchWebhook { name: current.name_any(), webhook: (*name).to_owned() };
        // Applying a name that isn't there would add half a webhook.
        let webhook = current.webhooks.iter().flatten().find(|webhook| webhook.name == *name).ok_or_else(missing)?;
        differs |= webhook.client_config.ca_bundle.as_ref() != Some(&wanted);
    }
    let entries: Vec<Value> = webhooks.iter().map(|name| json!({"name": name, "clientConfig": {"caBundle": wanted}})).collect();
    Ok(differs.then(|| {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            // With its uid the patch can't create the object anew if it was deleted meanwhile.
            "metadata": {"name": current.name_any(), "uid": current.metadata.uid},
            "webhooks": entries,
        })
    }))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::admissionregistration::v1::{ValidatingWebhook, WebhookClientConfig};

    use super::*;

    fn configuration(bundle: Option<&str>) -> ValidatingWebhookConfiguration {
        let client_config = WebhookClientConfig { ca_bundle: bundle.map(|pem| ByteString(pem.into())), ..Default::default() };
        ValidatingWebhookConfiguration {
            webhooks: Some(vec![ValidatingWebhook { name: "a.test".into(), client_config, ..Default::default() }]),
            ..Default::default()
        }
    }

    #[test]
    fn equal_bundle_needs_no_write() {
        assert_eq!(patch(&configuration(Some("PEM")), &["a.test"], "PEM").ok(), Some(None));
    }

    #[test]
    fn patch_names_nothing_but_the_bundle() {
        for stored in [None, Some("corrupted")] {
            let patch = patch(&configuration(stored), &["a.test"], "PEM").ok().flatten().expect("a patch");
            assert_eq!(patch["webhooks"], json!([{"name": "a.test", "clientConfig": {"caBundle": "UEVN"}}]));
        }
    }

    #[test]
    fn unknown_webhook_is_an_error_and_not_half_a_webhook() {
        let error = patch(&configuration(None), &["b.test"], "PEM").expect_err("no such webhook");
        assert!(matches!(error, BundleError::NoSuchWebhook { webhook, .. } if webhook == "b.test"));
    }
}
