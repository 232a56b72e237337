//! The webhook: is this MeshInstall one that can be installed?

use ferromesh_crds::{MeshInstall, MeshInstallSpec};
use kube::core::admission::AdmissionResponse;
use serde_json::Value;

use super::{
    family::together,
    meshes::{MeshSource, Meshes},
    probe::PROBE,
    settings::{Images, Problem, Problems, Revision, warnings},
};
use crate::runtime::AdmissionRequest;

/// Answers one review; `meshes` are those that are stored.
pub(super) fn review(request: &AdmissionRequest, images: &Images, meshes: &MeshSource) -> AdmissionResponse {
    let name = request.name.as_deref().unwrap_or_default();
    if name == PROBE {
        return request.deny(format_args!("the name {PROBE} is reserved: choose another"));
    }
    let Some(object) = &request.object else { return request.allow() };
    // On its way out; only metadata changes then, and nothing may hold it up.
    if !object["metadata"]["deletionTimestamp"].is_null() {
        return request.allow();
    }
    let stored = meshes.borrow().clone().unwrap_or_default();
    let problems = problems(name, object, request.old_object.as_ref(), images, &stored);
    if problems.is_empty() {
        let mut response = request.allow();
        let told: Vec<String> = spec_of(object).iter().flat_map(|spec| warnings(spec, images)).map(|warning| warning.to_string()).collect();
        response.warnings = Some(told).filter(|told| !told.is_empty());
        return response;
    }
    request.deny(format_args!("MeshInstall {name} {}", Problems(problems)))
}

fn problems(name: &str, object: &Value, old: Option<&Value>, images: &Images, stored: &Meshes) -> Vec<Problem> {
    let spec = match spec_of(object) {
        Ok(spec) => spec,
        Err(error) => return vec![Problem::new("spec", error.to_string())],
    };
    let mut problems = Vec::new();
    if let Some(old) = old.and_then(|old| spec_of(old).ok()) {
        if old.namespace() != spec.namespace() {
            let reason =
                format!("can't be changed from {} to {}: delete the MeshInstall and create another", old.namespace(), spec.namespace());
            problems.push(Problem::new("spec.namespace", reason));
        }
        if old.revision() != spec.revision() {
            problems.push(Problem::new("spec.revision", "can't be changed: leave it as it is"));
        }
    }
    if let Some(other) = stored.values().find(|other| is_rival(name, &spec, other)) {
        let other = other.metadata.name.as_deref().unwrap_or_default();
        let revision = Revision::of(&spec);
        let reason =
            format!("MeshInstall {other} already is revision {} of this cluster: change that one, or delete it first", revision.name());
        problems.push(Problem::new("spec.revision", reason));
    }
    problems.extend(unknown_version(&spec, images, stored.get(name)));
    let of_the_mesh = stored.values().find(|other| other.metadata.name.as_deref() != Some(name) && Revision::of(&other.spec).is_default());
    if let Err(found) = together(&spec, images, of_the_mesh.filter(|_| !Revision::of(&spec).is_default())) {
        problems.extend(found.0);
    }
    problems
}

/// What is wrong with a version that neither the operator's is nor is there, by what is stored of the MeshInstall.
fn unknown_version(spec: &MeshInstallSpec, images: &Images, stored: Option<&MeshInstall>) -> Option<Problem> {
    let pinned = spec.version.as_ref().filter(|version| !version.is_empty() && **version != images.tag)?;
    let revisions = stored.and_then(|mesh| mesh.status.as_ref()).map(|status| status.revisions.as_slice()).unwrap_or_default();
    let there: Vec<&str> = revisions.iter().filter_map(|revision| revision.version.as_deref()).collect();
    let known = [images.tag.as_str()].into_iter().chain(there.iter().copied().filter(|version| *version != images.tag));
    let reason = || format!("there is no version {pinned}: choose of {}, or leave it empty", known.collect::<Vec<_>>().join(", "));
    (!there.contains(&pinned.as_str())).then(|| Problem::new("spec.version", reason()))
}

/// Whether another MeshInstall has the revision that this one wants.
fn is_rival(name: &str, spec: &MeshInstallSpec, other: &MeshInstall) -> bool {
    other.metadata.name.as_deref() != Some(name) && other.spec.revision() == spec.revision()
}

fn spec_of(object: &Value) -> Result<MeshInstallSpec, serde_json::Error> {
    match &object["spec"] {
        Value::Null => Ok(MeshInstallSpec::default()),
        spec => serde_json::from_value(spec.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::admission::Operation;
    use serde_json::json;
    use std::sync::Arc;
    use tokio::sync::watch;

    fn verdict(name: &str, operation: Operation, spec: &Value, old: Option<&Value>, stored: &[(&str, Value)]) -> Result<(), String> {
        let response = answer(name, operation, spec, old, stored);
        if response.allowed { Ok(()) } else { Err(response.result.message) }
    }

    fn answer(name: &str, operation: Operation, spec: &Value, old: Option<&Value>, stored: &[(&str, Value)]) -> AdmissionResponse {
        let object = |spec: &Value| json!({"metadata": {"name": name}, "spec": spec});
        let request = AdmissionRequest {
            path: "/".to_owned(),
            uid: "u".to_owned(),
            group: "install.ferromesh.dev".to_owned(),
            version: "v1alpha1".to_owned(),
            kind: "MeshInstall".to_owned(),
            subresource: None,
            operation,
            namespace: None,
            name: Some(name.to_owned()),
            object: Some(object(spec)),
            old_object: old.map(object),
            dry_run: false,
            username: "jane".to_owned(),
        };
        let mesh =
            |(name, spec): &(&str, Value)| ((*name).to_owned(), MeshInstall::new(name, serde_json::from_value(spec.clone()).unwrap()));
        let meshes = watch::channel(Some(Arc::new(stored.iter().map(mesh).collect::<Meshes>()))).1;
        let images = Images { hub: "h".to_owned(), tag: "t".to_owned(), pull_policy: "Always".to_owned() };
        review(&request, &images, &meshes)
    }

    #[test]
    fn a_good_one_passes() {
        assert_eq!(verdict("mesh", Operation::Create, &json!({"profile": "demo"}), None, &[]), Ok(()));
    }

    #[test]
    fn what_has_no_effect_passes_with_a_word() {
        let told = |spec: Value| answer("mesh", Operation::Create, &spec, None, &[]).warnings;
        let wanted = "spec.components.galley.replicas: has no effect, as galley is not installed: set spec.components.galley.enabled: true";
        assert_eq!(told(json!({"profile": "minimal", "components": {"galley": {"replicas": 2}}})), Some(vec![wanted.to_owned()]));
        assert_eq!(told(json!({"components": {"galley": {"replicas": 2}}})), None);
    }

    #[test]
    fn a_bad_one_is_refused_with_field_and_reason() {
        let message = verdict("mesh", Operation::Create, &json!({"version": "0.9"}), None, &[]).unwrap_err();
        assert_eq!(message, "MeshInstall mesh spec.version: there is no version 0.9: choose of t, or leave it empty");
        let message = verdict("mesh", Operation::Create, &json!({"profile": "huge"}), None, &[]).unwrap_err();
        assert!(message.starts_with("MeshInstall mesh spec: unknown variant `huge`"), "{message}");
    }

    #[test]
    fn a_second_default_revision_is_refused_and_names_the_first() {
        let message = verdict("two", Operation::Create, &json!({}), None, &[("one", json!({}))]).unwrap_err();
        assert!(message.starts_with("MeshInstall two spec.revision: MeshInstall one already is"), "{message}");
        assert_eq!(verdict("one", Operation::Update, &json!({}), Some(&json!({})), &[("one", json!({}))]), Ok(()));
    }

    #[test]
    fn a_revision_passes_beside_the_default_one_if_both_are_one_mesh() {
        let stored = [("mesh", json!({"namespace": "mesh-system"}))];
        let canary = |spec: Value| verdict("canary", Operation::Create, &spec, None, &stored);
        assert_eq!(canary(json!({"revision": "canary", "namespace": "mesh-system"})), Ok(()));
        let message = canary(json!({"revision": "canary"})).unwrap_err();
        assert!(
            message.starts_with("MeshInstall canary spec.namespace: is \"istio-system\", and \"mesh-system\" in MeshInstall mesh"),
            "{message}"
        );
        let message = verdict("b", Operation::Create, &json!({"revision": "x"}), None, &[("a", json!({"revision": "x"}))]).unwrap_err();
        assert!(message.starts_with("MeshInstall b spec.revision: MeshInstall a already is revision x of this cluster"), "{message}");
    }

    #[test]
    fn a_changed_namespace_is_refused() {
        let message = verdict("mesh", Operation::Update, &json!({"namespace": "b"}), Some(&json!({})), &[]).unwrap_err();
        assert!(message.starts_with("MeshInstall mesh spec.namespace: can't be changed from istio-system to b"), "{message}");
    }

    #[test]
    fn a_changed_revision_is_refused() {
        let message = verdict("mesh", Operation::Update, &json!({"revision": "b"}), Some(&json!({})), &[]).unwrap_err();
        assert!(message.starts_with("MeshInstall mesh spec.revision: can't be changed: leave it as it is"), "{message}");
    }

    #[test]
    fn the_probe_is_always_refused() {
        let message = verdict(PROBE, Operation::Create, &json!({}), None, &[]).unwrap_err();
        assert!(message.ends_with("the name ferromesh-webhook-probe is reserved: choose another"), "{message}");
    }
}
