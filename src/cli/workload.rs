//! Kinds that make pods, and where each keeps the template of them.

use kube::core::ApiResource;
use serde_json::Value;

/// A kind whose objects are pods or make some.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WorkloadKind {
    pub(super) group: &'static str,
    pub(super) version: &'static str,
    pub(super) name: &'static str,
    plural: &'static str,
    /// What kubectl calls it beside its name.
    short: &'static [&'static str],
    /// The fields that lead to the pod's metadata and spec.
    template: &'static [&'static str],
}

/// All of them. A DeploymentConfig is OpenShift's Deployment.
const KINDS: [WorkloadKind; 9] = [
    kind("", "v1", "Pod", "pods", &["po"], &[]),
    kind("apps", "v1", "Deployment", "deployments", &["deploy"], &["spec", "template"]),
    kind("apps", "v1", "StatefulSet", "statefulsets", &["sts"], &["spec", "template"]),
    kind("apps", "v1", "DaemonSet", "daemonsets", &["ds"], &["spec", "template"]),
    kind("apps", "v1", "ReplicaSet", "replicasets", &["rs"], &["spec", "template"]),
    kind("", "v1", "ReplicationController", "replicationcontrollers", &["rc"], &["spec", "template"]),
    kind("batch", "v1", "Job", "jobs", &[], &["spec", "template"]),
    kind("batch", "v1", "CronJob", "cronjobs", &["cj"], &["spec", "jobTemplate", "spec", "template"]),
    kind("apps.openshift.io", "v1", "DeploymentConfig", "deploymentconfigs", &["dc"], &["spec", "template"]),
];

const fn kind(
    group: &'static str,
    version: &'static str,
    name: &'static str,
    plural: &'static str,
    short: &'static [&'static str],
    template: &'static [&'static str],
) -> WorkloadKind {
    WorkloadKind { group, version, name, plural, short, template }
}

// === impl WorkloadKind ===

impl WorkloadKind {
    /// The kind of an object in a file. Old documents have old groups: `extensions/v1beta1` was the first of Deployments.
    pub(super) fn of_object(group: &str, name: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.name == name && (kind.group == group || (kind.group == "apps" && group == "extensions")))
    }

    /// The kind that a person means: `deploy`, `deployment`, `Deployments.apps`.
    pub(super) fn named(word: &str) -> Option<&'static Self> {
        let word = word.split('.').next().unwrap_or(word).to_ascii_lowercase();
        KINDS.iter().find(|kind| kind.name.to_ascii_lowercase() == word || kind.plural == word || kind.short.contains(&word.as_str()))
    }

    /// Every kind's name as people write it.
    pub(super) fn words() -> String {
        let words: Vec<String> = KINDS.iter().map(|kind| kind.name.to_ascii_lowercase()).collect();
        words.join(", ")
    }

    pub(super) fn is_pod(&self) -> bool {
        self.template.is_empty()
    }

    /// The pod, or the template of one, in an object; none if it has none.
    pub(super) fn template<'v>(&self, object: &'v Value) -> Option<&'v Value> {
        self.template.iter().try_fold(object, |value, step| value.get(step)).filter(|template| template["spec"].is_object())
    }

    /// The same, to be changed.
    pub(super) fn template_mut<'v>(&self, object: &'v mut Value) -> Option<&'v mut Value> {
        self.template.iter().try_fold(object, |value, step| value.get_mut(step)).filter(|template| template["spec"].is_object())
    }

    pub(super) fn resource(&self) -> ApiResource {
        let api_version = if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) };
        ApiResource {
            group: self.group.to_owned(),
            version: self.version.to_owned(),
            api_version,
            kind: self.name.to_owned(),
            plural: self.plural.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn kinds_are_known_by_all_their_names() {
        for word in ["deploy", "Deployment", "deployments.apps"] {
            assert_eq!(WorkloadKind::named(word).map(|kind| kind.name), Some("Deployment"), "{word}");
        }
        assert_eq!(WorkloadKind::named("service"), None);
        assert_eq!(WorkloadKind::of_object("extensions", "Deployment").map(|kind| kind.name), Some("Deployment"));
        assert_eq!(WorkloadKind::of_object("example.com", "Deployment"), None);
    }

    #[test]
    fn templates_are_found_where_each_kind_has_them() {
        let pod = json!({"metadata": {"name": "a"}, "spec": {"containers": []}});
        let cron = json!({"spec": {"jobTemplate": {"spec": {"template": pod}}}});
        assert_eq!(WorkloadKind::named("cj").unwrap().template(&cron), Some(&pod));
        assert_eq!(WorkloadKind::named("pod").unwrap().template(&pod), Some(&pod));
        assert_eq!(WorkloadKind::named("job").unwrap().template(&cron), None);
    }
}
