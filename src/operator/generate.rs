//! What the operator would apply for a spec, for those who have no cluster to look at.

use ferromesh_crds::MeshInstallSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::{Map, Value};

use super::{
    plan::{APPLIED, Circumstances, Phase, Share, Tag, plan},
    settings::{Images, Revision, Settings, resolve},
};
use crate::config;

/// All objects of an installation, in the order in which the operator applies them, with exactly the fields that it decides. What only a
/// cluster tells is left out: owners and the operator's mark, the webhooks' `caBundle`, and pilot's right to the Secrets that gateways
/// name. Galley's webhook is as it is once galley has been seen at work. A revision is shown beside a default one, which has what both share;
/// revisions that tags stand for are taken to be there, with an injector like this one's.
///
/// # Errors
/// All that is wrong with the spec.
pub fn generate(spec: &MeshInstallSpec, images: &Images, operator_namespace: &str) -> Result<Vec<Value>, Vec<config::Problem>> {
    let settings = resolve(spec, images).map_err(|problems| problems.0.into_iter().map(config::Problem::from).collect::<Vec<_>>())?;
    let owner = OwnerReference::default();
    let is_default = Revision::of(spec).is_default();
    let settings = if is_default { settings } else { settings.without_shared(false) };
    let share = Share::alone(&settings);
    let targets: Vec<_> =
        settings.tags.iter().map(|(name, revision)| (name, Settings { revision: revision.clone(), ..settings.clone() })).collect();
    let tags: Vec<_> = targets.iter().map(|(name, target)| Tag { name, target }).collect();
    let circumstances = Circumstances {
        owner: &owner,
        operator_namespace,
        bundle: Some(""),
        galley: Phase::Proven,
        credentials: None,
        share: is_default.then_some(&share),
        tags: &tags,
    };
    Ok(plan(&settings, circumstances).into_iter().map(|planned| without_cluster(planned.body)).collect())
}

fn without_cluster(mut body: Value) -> Value {
    if let Some(metadata) = body["metadata"].as_object_mut() {
        metadata.remove("ownerReferences");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove(APPLIED);
        }
        if metadata.get("annotations").and_then(Value::as_object).is_some_and(Map::is_empty) {
            metadata.remove("annotations");
        }
    }
    // Citadel is told whose its Secrets are.
    for container in body.pointer_mut("/spec/template/spec/containers").and_then(Value::as_array_mut).into_iter().flatten() {
        for variable in container.get_mut("env").and_then(Value::as_array_mut).into_iter().flatten() {
            if variable["name"] == "MESH_OWNER"
                && let Some(fields) = variable.as_object_mut()
            {
                fields.remove("value");
            }
        }
    }
    for webhook in body.get_mut("webhooks").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(client) = webhook["clientConfig"].as_object_mut() {
            client.remove("caBundle");
        }
    }
    body
}

// === impl Images ===

impl Images {
    /// Where this version's images are published.
    #[must_use]
    pub fn published() -> Self {
        let [hub, tag, pull_policy] = ["docker.io/ferromesh", env!("CARGO_PKG_VERSION"), "IfNotPresent"].map(str::to_owned);
        Self { hub, tag, pull_policy }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_a_cluster_tells_is_left_out() {
        let objects = generate(&MeshInstallSpec::default(), &Images::published(), "ferromesh-system").unwrap();
        let text = serde_json::to_string(&objects).unwrap();
        for absent in ["ownerReferences", APPLIED, "caBundle", "ferromesh-pilot-credentials"] {
            assert!(!text.contains(absent), "{absent}");
        }
        assert!(text.contains(r#"{"name":"MESH_OWNER"}"#), "without the owner's uid");
        let kinds: Vec<&str> = objects.iter().filter_map(|object| object["kind"].as_str()).collect();
        assert!(kinds.contains(&"MutatingWebhookConfiguration") && kinds.contains(&"ValidatingWebhookConfiguration"), "{kinds:?}");
    }
}
