//! The operator's objects: the chart's, as Helm renders them, for clusters without Helm.

use ferromesh_crds::catalog;
use serde_json::{Value, json};

use super::named::Named;
use crate::cli::source;
use crate::operator::Images;

/// Where the operator is installed if nobody says otherwise.
pub(in crate::cli) const NAMESPACE: &str = "ferromesh-system";
/// What the chart makes but for the CRDs, for a release `ferromesh` in [`NAMESPACE`], with one name that stands for any revision and one that
/// stands for any tag: `make generate` has Helm write it.
const CHART: &str = include_str!("operator.yaml");
/// The owner of the fields that are written here.
pub(super) const MANAGER: &str = "ferromesh";
/// The label that says who manages an object.
pub(super) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The annotation of objects that outlive the operator, because the mesh that runs needs them.
pub(super) const KEPT: &str = "helm.sh/resource-policy";

/// The operator's objects, in the order in which they need each other, with the rights for the names that are given.
pub(super) fn objects(namespace: &str, images: &Images, named: &Named) -> Vec<Value> {
    let metadata = json!({"name": namespace, "labels": {MANAGED_BY: MANAGER}});
    let own = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
    let mut objects = vec![own];
    objects.extend(crds());
    objects.extend(of_chart(named).into_iter().map(|object| placed(object, namespace, images)));
    objects
}

/// The CRDs, which stay when the operator goes.
pub(super) fn crds() -> impl Iterator<Item = Value> {
    catalog::kinds().iter().map(|kind| {
        let mut crd = kind.crd();
        crd.metadata.annotations.get_or_insert_default().insert(KEPT.to_owned(), "keep".to_owned());
        serde_json::to_value(crd).unwrap_or_default()
    })
}

/// The names of the ClusterRoles that the operator and the mesh's parts have their rights by.
pub(in crate::cli) fn chart_roles() -> Vec<String> {
    let roles = of_chart(&Named::default()).into_iter().filter(|object| object["kind"] == "ClusterRole");
    roles.filter_map(|role| role["metadata"]["name"].as_str().map(str::to_owned)).collect()
}

/// The configuration by which the API server asks the operator about MeshInstalls, for an operator in its usual namespace.
pub(in crate::cli) fn chart_webhook() -> Value {
    let is_it = |object: &Value| object["kind"] == "ValidatingWebhookConfiguration";
    of_chart(&Named::default()).into_iter().find(is_it).unwrap_or_default()
}

/// The operator's own ClusterRole, without rights for further names.
pub(super) fn operator_role() -> Value {
    let is_it = |object: &Value| object["kind"] == "ClusterRole" && object["metadata"]["name"] == "ferromesh-operator";
    of_chart(&Named::default()).into_iter().find(is_it).unwrap_or_default()
}

fn of_chart(named: &Named) -> Vec<Value> {
    let (documents, _) = source::read(CHART);
    let mut objects: Vec<Value> = documents.iter().map(source::Node::to_value).filter(|object| !object.is_null()).collect();
    objects.iter_mut().for_each(|object| named.enter(object));
    objects
}

/// One of the chart's objects for another namespace and other images, and as no release's of Helm.
fn placed(mut object: Value, namespace: &str, images: &Images) -> Value {
    let place = |place: Option<&mut Value>| {
        if let Some(place) = place.filter(|place| *place == NAMESPACE) {
            *place = json!(namespace);
        }
    };
    place(object.pointer_mut("/metadata/namespace"));
    for subject in object["subjects"].as_array_mut().into_iter().flatten() {
        place(subject.get_mut("namespace"));
    }
    for webhook in object["webhooks"].as_array_mut().into_iter().flatten() {
        place(webhook.pointer_mut("/clientConfig/service/namespace"));
    }
    for labels in ["/metadata/labels", "/spec/template/metadata/labels"] {
        if let Some(labels) = object.pointer_mut(labels).and_then(Value::as_object_mut) {
            labels.remove("helm.sh/chart");
            labels.insert(MANAGED_BY.to_owned(), json!(MANAGER));
        }
    }
    for container in object.pointer_mut("/spec/template/spec/containers").and_then(Value::as_array_mut).into_iter().flatten() {
        container["image"] = json!(format!("{}/ferromesh:{}", images.hub, images.tag));
        container["imagePullPolicy"] = json!(images.pull_policy);
        for variable in container["env"].as_array_mut().into_iter().flatten() {
            match variable["name"].as_str() {
                Some("FERROMESH_HUB") => variable["value"] = json!(images.hub),
                Some("FERROMESH_TAG") => variable["value"] = json!(images.tag),
                Some("FERROMESH_IMAGE_PULL_POLICY") => variable["value"] = json!(images.pull_policy),
                _ => {}
            }
        }
    }
    // Where nothing was, indexing has left a null.
    if let Some(fields) = object.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images() -> Images {
        let [hub, tag, pull_policy] = ["registry.example/team", "1.0.2", "Always"].map(str::to_owned);
        Images { hub, tag, pull_policy }
    }

    #[test]
    fn namespace_and_images_are_those_that_are_asked_for_and_nothing_says_helm() {
        let objects = objects("elsewhere", &images(), &Named::default());
        let text = serde_json::to_string(&objects).unwrap();
        for absent in [NAMESPACE, "docker.io", "Helm", "helm.sh/chart"] {
            assert!(!text.contains(&format!("\"{absent}")), "{absent}");
        }
        let deployment = objects.iter().find(|object| object["kind"] == "Deployment").unwrap();
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], "registry.example/team/ferromesh:1.0.2");
        let env = |name: &str| container["env"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap()["value"].clone();
        assert_eq!(env("FERROMESH_HUB"), "registry.example/team");
        assert_eq!((env("FERROMESH_TAG"), env("FERROMESH_IMAGE_PULL_POLICY")), (json!("1.0.2"), json!("Always")));
        let binding = objects.iter().find(|object| object["kind"] == "ClusterRoleBinding").unwrap();
        assert_eq!(binding["subjects"][0]["namespace"], "elsewhere");
        let webhook = objects.iter().find(|object| object["kind"] == "ValidatingWebhookConfiguration").unwrap();
        assert_eq!(webhook["webhooks"][0]["clientConfig"]["service"]["namespace"], "elsewhere");
    }

    #[test]
    fn what_others_need_comes_first() {
        let kinds: Vec<String> =
            objects(NAMESPACE, &images(), &Named::default()).iter().map(|object| object["kind"].as_str().unwrap().to_owned()).collect();
        let at = |kind: &str| kinds.iter().position(|one| one == kind).unwrap_or_else(|| panic!("no {kind}"));
        assert!(at("Namespace") < at("CustomResourceDefinition") && at("CustomResourceDefinition") < at("Deployment"), "{kinds:?}");
        assert_eq!(kinds.iter().filter(|kind| *kind == "CustomResourceDefinition").count(), catalog::kinds().len());
    }

    #[test]
    fn a_namespace_is_named_wherever_the_chart_names_its_own() {
        let images = Images::published();
        let text = |namespace: &str| {
            let all = objects(namespace, &images, &Named::default());
            // Their descriptions may speak of namespaces, and stay as they are.
            let written = all.iter().filter(|object| object["kind"] != "CustomResourceDefinition");
            written.map(|object| object.to_string()).collect::<String>()
        };
        let other = "a-team-of-its-own";
        let count = |namespace: &str| text(namespace).matches(&format!("\"{namespace}\"")).count();
        assert_eq!((count(other), count(other) > 8), (count(NAMESPACE), true));
        assert_eq!(text(other).replace(other, NAMESPACE), text(NAMESPACE), "and nothing else differs");
    }
}
