//! What the operator would apply for a spec, for those who have no cluster to look at.

use ferromesh_crds::{MeshInstall, MeshInstallSpec, install::UpdateType};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::{Map, Value};

use super::{
    difference::Difference,
    intent::{Intent, told},
    plan::{APPLIED, Circumstances, Phase, Planned, Tag, plan},
    settings::{Images, Problem, Revision, Settings, resolve},
};
use crate::config;

/// The variable by which citadel is told whose its Secrets are.
const OWNER: &str = "MESH_OWNER";

/// All objects of an installation, in the order in which the operator applies them, with exactly the fields that it decides. What only a
/// cluster tells is left out: owners and the operator's mark, the webhooks' `caBundle`, and pilot's right to the Secrets that gateways
/// name. Nor does a webhook refuse anything before somebody answers whom the API server trusts, which the operator waits for. A revision is
/// shown beside a default one, which has what both share; revisions that tags stand for are taken to be there, with an injector like this
/// one's.
///
/// # Errors
/// All that is wrong with the spec.
pub fn generate(spec: &MeshInstallSpec, images: &Images, operator_namespace: &str) -> Result<Vec<Value>, Vec<config::Problem>> {
    let intent = Intent::alone(resolve(spec, images).map_err(told)?);
    let objects = planned_at(&intent, &first_place(&intent.settings), operator_namespace)?;
    Ok(bodies(objects).into_iter().map(unanswered).collect())
}

/// The same as a cluster has it that has all of these MeshInstalls: the control plane is where the status says, what all share is as the
/// others need it, tags stand for what is there, and webhooks are answered. None where that one is of another version than is planned here,
/// so that nobody here knows how its objects should be, and where the operator does nothing for it.
///
/// # Errors
/// All that is wrong with the spec, by itself or beside the others.
pub fn generate_for(
    mesh: &MeshInstall,
    all: &[MeshInstall],
    images: &Images,
    operator_namespace: &str,
) -> Result<Option<Vec<Value>>, Vec<config::Problem>> {
    if is_of_another_version(mesh, images) {
        return Ok(None);
    }
    let Some(intent) = Intent::among(mesh, all, images)? else { return Ok(None) };
    let objects = planned_at(&intent, &standing(mesh, &intent.settings), operator_namespace)?;
    Ok(Some(bodies(objects)))
}

/// Whether a control plane that serves is of another version than is planned here, or is to be.
pub(super) fn is_of_another_version(mesh: &MeshInstall, images: &Images) -> bool {
    let Some(version) = mesh.status.as_ref().and_then(|status| status.version.as_ref()) else { return false };
    let pinned = mesh.spec.version.as_ref().is_some_and(|version| !version.is_empty() && *version != images.tag);
    pinned || version != mesh.spec.tag.as_ref().unwrap_or(&images.tag)
}

/// Where the control plane stands, by the status of its MeshInstall; before there is one, where it comes up.
pub(super) fn standing(mesh: &MeshInstall, settings: &Settings) -> Revision {
    let Some(status) = mesh.status.as_ref().filter(|status| status.version.is_some()) else { return first_place(settings) };
    let serving = status.revisions.iter().find(|one| one.version == status.version);
    serving.map_or_else(|| settings.revision.clone(), |one| Revision::named(&one.name))
}

/// Where a first control plane comes up.
fn first_place(settings: &Settings) -> Revision {
    let first = settings.revision.slots().into_iter().next().filter(|_| settings.strategy == UpdateType::Revision);
    first.unwrap_or_else(|| settings.revision.clone())
}

/// An object as it may be before anybody answers for it.
fn unanswered(mut body: Value) -> Value {
    for webhook in body.get_mut("webhooks").and_then(Value::as_array_mut).into_iter().flatten() {
        webhook["failurePolicy"] = "Ignore".into();
    }
    body
}

fn bodies(planned: Vec<Planned>) -> Vec<Value> {
    planned.into_iter().map(|planned| planned.body).collect()
}

/// The objects of a control plane at a place, without what only a cluster tells.
pub(super) fn planned_at(intent: &Intent, place: &Revision, operator_namespace: &str) -> Result<Vec<Planned>, Vec<config::Problem>> {
    let settings = &intent.settings;
    if let Some(pinned) = &settings.pinned {
        let reason = format!("is {pinned:?}, and this is {}, which plans objects of its own version alone", settings.operator);
        return Err(vec![Problem::new("spec.version", reason).into()]);
    }
    let owner = OwnerReference::default();
    let serving = settings.at(place, settings.images.clone());
    // Tags that stand for itself stand for whichever of its control planes is asked.
    let led = intent.tags.iter().map(|(name, target)| (name, if target.revision == settings.revision { &serving } else { target }));
    let tags: Vec<_> = led.map(|(name, target)| Tag { name, target }).collect();
    let circumstances = Circumstances {
        bundle: Some(""),
        galley: Phase::Proven,
        tags: &tags,
        default_moved: intent.default_moved,
        serving: Some(&serving),
        ..Circumstances::new(&owner, operator_namespace, None, intent.share.as_ref())
    };
    let known = |planned: Planned| Planned { body: without_cluster(planned.body), ..planned };
    Ok(plan(&settings.served_by(&serving), circumstances).into_iter().map(known).collect())
}

/// Whether a field is one that only a cluster tells, and that is left out here.
pub(super) fn is_told_by_cluster(Difference { path, .. }: &Difference) -> bool {
    let ends = [&*format!("annotations[{APPLIED}]"), &*format!("env[{OWNER}].value"), ".clientConfig.caBundle"];
    path.starts_with("metadata.ownerReferences") || ends.into_iter().any(|end| path.ends_with(end))
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
    for container in body.pointer_mut("/spec/template/spec/containers").and_then(Value::as_array_mut).into_iter().flatten() {
        for variable in container.get_mut("env").and_then(Value::as_array_mut).into_iter().flatten() {
            if variable["name"] == OWNER
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
    use serde_json::json;

    #[test]
    fn a_webhook_refuses_only_where_somebody_may_answer() {
        let policies = |objects: Vec<Value>| -> Vec<Value> {
            let webhooks = objects.iter().filter_map(|one| one["webhooks"].as_array()).flatten();
            webhooks.map(|webhook| webhook["failurePolicy"].clone()).collect()
        };
        let offline = policies(generate(&MeshInstallSpec::default(), &Images::published(), "ferromesh-system").unwrap());
        assert!(offline.len() > 2 && offline.iter().all(|policy| policy == "Ignore"), "{offline:?}");
        let live = generate_for(&mesh(json!({}), &[]), &[], &Images::published(), "ferromesh-system").unwrap().unwrap();
        assert!(policies(live).iter().all(|policy| policy == "Fail"));
    }

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

    fn mesh(spec: Value, planes: &[(&str, &str)]) -> MeshInstall {
        let revisions: Vec<Value> = planes.iter().map(|(name, version)| json!({"name": name, "version": version})).collect();
        let object = json!({"apiVersion": "install.ferromesh.dev/v1alpha1", "kind": "MeshInstall", "metadata": {"name": "mesh"},
            "spec": spec, "status": {"version": planes.first().map(|(_, version)| version), "revisions": revisions}});
        serde_json::from_value(object).unwrap()
    }

    fn pilots(objects: &[Value]) -> Vec<&str> {
        let names = objects.iter().filter(|one| one["kind"] == "Deployment").filter_map(|one| one["metadata"]["name"].as_str());
        names.filter(|name| name.starts_with("istio-pilot")).collect()
    }

    #[test]
    fn by_a_revision_a_first_control_plane_is_shown_at_the_first_place_with_all_that_leads_there() {
        let spec = json!({"updateStrategy": {"type": "Revision"}, "tags": {"prod": "default"}});
        let objects = generate(&serde_json::from_value(spec).unwrap(), &Images::published(), "ferromesh-system").unwrap();
        assert_eq!(pilots(&objects), ["istio-pilot-blue"]);
        let asked = |name: &str| {
            let found = objects.iter().find(|one| one["kind"] == "MutatingWebhookConfiguration" && one["metadata"]["name"] == name);
            found.map(|one| one["webhooks"][0]["clientConfig"]["service"]["name"].clone())
        };
        for name in ["istio-sidecar-injector", "istio-sidecar-injector-blue", "istio-revision-tag-prod"] {
            assert_eq!(asked(name), Some(json!("istio-sidecar-injector-blue")), "{name}");
        }
    }

    #[test]
    fn of_a_cluster_it_is_shown_where_it_stands_as_far_as_its_version_is_known_here() {
        let images = Images::published();
        let own = images.tag.clone();
        let shown = |spec: Value, planes: &[(&str, &str)]| {
            let objects = generate_for(&mesh(spec, planes), &[], &images, "ferromesh-system").unwrap();
            objects.map(|objects| pilots(&objects).into_iter().map(str::to_owned).collect::<Vec<_>>())
        };
        let strategy = || json!({"updateStrategy": {"type": "Revision"}});
        assert_eq!(shown(strategy(), &[("green", &own), ("blue", "0.1")]), Some(vec!["istio-pilot-green".to_owned()]));
        assert_eq!(shown(json!({}), &[]), Some(vec!["istio-pilot".to_owned()]));
        assert_eq!(shown(strategy(), &[("blue", "0.1"), ("green", &own)]), None, "the one that serves is of another version");
        assert_eq!(shown(json!({"version": "0.1"}), &[("default", "0.1")]), None);
        let pinned = generate(&serde_json::from_value(json!({"version": "0.1"})).unwrap(), &images, "ferromesh-system").unwrap_err();
        assert_eq!(pinned.len(), 1);
        assert!(pinned[0].path == "spec.version" && pinned[0].message.starts_with("is \"0.1\", and this is "), "{pinned:?}");
    }
}
