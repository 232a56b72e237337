//! What a pod is called as a workload: the names that metrics and dashboards group by.

use serde_json::Value;

use super::{
    Owner,
    pod::{PodView, list},
};

/// Name and owner of the workload that a pod belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WorkloadName {
    /// For example `reviews-v1`.
    pub(super) name: String,
    /// For example `kubernetes://apis/apps/v1/namespaces/default/deployments/reviews-v1`.
    pub(super) owner: String,
}

/// Finds the workload behind a pod: its owner where that is known, else by its controller.
///
/// A ReplicaSet named `<deployment>-<pod-template-hash>` stands for its Deployment, one named after a Rollout's hash for its Rollout, a Job
/// named `<cronjob>-<8 to 10 digits>` for its CronJob and a ReplicationController of a DeploymentConfig for that, as in the reference:
/// their owners cannot be asked from within an admission.
pub(super) fn workload_name(pod: &PodView<'_>, namespace: &str, owner: Option<&Owner>) -> WorkloadName {
    let metadata = pod.metadata();
    let controller = list(&metadata["ownerReferences"]).iter().find(|owner| owner["controller"] == true);
    let own = || {
        let generated = metadata["generateName"].as_str().map(|name| name.trim_end_matches('-'));
        metadata["name"].as_str().filter(|name| !name.is_empty()).or(generated).unwrap_or_default()
    };
    let (api, kind, name) = match (owner, controller) {
        (Some(owner), _) => (owner.api_version.as_str(), owner.kind.as_str(), owner.name.as_str()),
        (None, Some(controller)) => climb(controller, pod),
        (None, None) => ("v1", "Pod", own()),
    };
    let path = if api.contains('/') { "apis" } else { "api" };
    let owner = format!("kubernetes://{path}/{api}/namespaces/{namespace}/{}s/{name}", kind.to_ascii_lowercase());
    WorkloadName { name: name.to_owned(), owner }
}

/// From a pod's controller to what a user wrote.
fn climb<'a>(controller: &'a Value, pod: &PodView<'_>) -> (&'a str, &'a str, &'a str) {
    let text = |key: &str| controller[key].as_str().unwrap_or_default();
    let (api, kind, name) = (text("apiVersion"), text("kind"), text("name"));
    let before_hash = |label: &str| name.strip_suffix(pod.label(label)?)?.strip_suffix('-').filter(|name| !name.is_empty());
    let before_digits = |lengths: std::ops::RangeInclusive<usize>| {
        let (name, digits) = name.rsplit_once('-')?;
        (lengths.contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())).then_some(name)
    };
    let configured = || pod.label("deploymentconfig").or_else(|| pod.annotation("openshift.io/deployment-config.name")).is_some();
    let climbed = match kind {
        "ReplicaSet" => before_hash("pod-template-hash")
            .map(|name| ("apps/v1", "Deployment", name))
            .or_else(|| Some(("argoproj.io/v1alpha1", "Rollout", before_hash("rollouts-pod-template-hash")?))),
        "Job" => before_digits(8..=10).map(|name| (api, "CronJob", name)),
        "ReplicationController" if configured() => before_digits(1..=9).map(|name| ("apps.openshift.io/v1", "DeploymentConfig", name)),
        _ => None,
    };
    climbed.unwrap_or((api, kind, name))
}

/// Longest value of a label.
const LABEL_LIMIT: usize = 63;

/// The canonical service and revision of a pod: what telemetry calls it where labels differ in style.
pub(super) fn canonical(pod: &PodView<'_>, workload: &str) -> (String, String) {
    let first = |keys: &[&str], fallback: &str| {
        let label = keys.iter().find_map(|key| pod.label(key).filter(|value| !value.is_empty()));
        let mut name = label.unwrap_or(fallback).to_owned();
        // The pod is not validated yet: a label may hold anything, and a cut must not part a character.
        name.truncate(name.floor_char_boundary(LABEL_LIMIT));
        name.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
    };
    let name = first(&["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"], workload);
    let revision = first(&["service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"], "latest");
    (name, revision)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn named(kind: &str, name: &str, labels: Value) -> WorkloadName {
        let owner = json!([{"apiVersion": "apps/v1", "kind": kind, "name": name, "controller": true}]);
        let pod = json!({"metadata": {"generateName": "x-", "labels": labels, "ownerReferences": owner}});
        workload_name(&PodView::new(&pod), "shop", None)
    }

    #[test]
    fn a_replica_set_stands_for_its_deployment() {
        let workload = named("ReplicaSet", "reviews-v1-5d8f", json!({"pod-template-hash": "5d8f"}));
        assert_eq!(workload.name, "reviews-v1");
        assert_eq!(workload.owner, "kubernetes://apis/apps/v1/namespaces/shop/deployments/reviews-v1");
        assert_eq!(named("ReplicaSet", "bare", json!({})).owner, "kubernetes://apis/apps/v1/namespaces/shop/replicasets/bare");
    }

    #[test]
    fn a_scheduled_job_stands_for_its_cron_job() {
        assert_eq!(named("Job", "report-28912345", json!({})).name, "report");
        assert_eq!(named("Job", "report-v1", json!({})).name, "report-v1");
    }

    #[test]
    fn a_rollout_and_a_deployment_config_are_found_behind_their_controllers() {
        let rollout = named("ReplicaSet", "web-7d4", json!({"rollouts-pod-template-hash": "7d4"}));
        assert_eq!(rollout.owner, "kubernetes://apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/web");
        let config = named("ReplicationController", "web-12", json!({"deploymentconfig": "web"}));
        assert_eq!(config.owner, "kubernetes://apis/apps.openshift.io/v1/namespaces/shop/deploymentconfigs/web");
        assert_eq!(named("ReplicationController", "web-12", json!({})).name, "web-12");
    }

    #[test]
    fn an_owner_that_is_known_outweighs_what_can_be_guessed() {
        let owner = Owner { api_version: "apps/v1".to_owned(), kind: "StatefulSet".to_owned(), name: "db".to_owned() };
        let workload = workload_name(&PodView::new(&json!({"metadata": {"name": "x"}})), "shop", Some(&owner));
        assert_eq!((workload.name.as_str(), workload.owner.as_str()), ("db", "kubernetes://apis/apps/v1/namespaces/shop/statefulsets/db"));
    }

    #[test]
    fn a_bare_pod_is_its_own_workload() {
        let pod = json!({"metadata": {"name": "debug"}});
        assert_eq!(workload_name(&PodView::new(&pod), "shop", None).owner, "kubernetes://api/v1/namespaces/shop/pods/debug");
    }

    #[test]
    fn a_label_that_kubernetes_will_refuse_is_cut_between_characters() {
        let pod = json!({"metadata": {"labels": {"app": format!("{}é", "a".repeat(62))}}});
        assert_eq!(canonical(&PodView::new(&pod), "w").0, "a".repeat(62));
    }

    #[test]
    fn canonical_names_prefer_kubernetes_labels_and_fall_back_to_the_workload() {
        let pod = json!({"metadata": {"labels": {"app": "a", "app.kubernetes.io/name": "n", "version": "v2"}}});
        assert_eq!(canonical(&PodView::new(&pod), "w"), ("n".to_owned(), "v2".to_owned()));
        assert_eq!(canonical(&PodView::new(&json!({})), "w"), ("w".to_owned(), "latest".to_owned()));
    }
}
