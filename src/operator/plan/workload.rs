//! A Deployment and what goes with it: ServiceAccount, PodDisruptionBudget, HorizontalPodAutoscaler.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

use super::object::{Base, Planned};
use crate::operator::{
    object::Kind,
    settings::{Part, Replicas},
};

/// The user of every container, the one whose traffic is never captured.
const UID: u32 = 1337;

/// One Deployment in the making.
pub(super) struct Workload<'a> {
    pub(super) base: Base<'a>,
    /// Of the Deployment, and of all that goes with it.
    pub(super) name: &'a str,
    pub(super) component: &'a str,
    pub(super) part: &'a Part,
    /// Labels of the pods beside the usual ones.
    pub(super) labels: Map<String, Value>,
    /// Annotations of the pods. What changes here replaces the pods.
    pub(super) annotations: Map<String, Value>,
    /// Annotations of the Deployment.
    pub(super) described: BTreeMap<String, String>,
    /// The one container, but for what [`Workload::container`] adds.
    pub(super) container: Value,
    pub(super) volumes: Vec<Value>,
    /// Whether the container talks to the API server.
    pub(super) uses_api: bool,
}

// === impl Workload ===

impl Workload<'_> {
    /// All objects of the workload, in the order in which they are applied.
    pub(super) fn plan(&self) -> Vec<Planned> {
        let mut objects = vec![self.service_account(), self.deployment()];
        objects.extend(self.disruption_budget());
        objects.extend(self.autoscaler());
        objects
    }

    fn object(&self, kind: Kind, fields: Value) -> Planned {
        self.base.object(kind, self.name, self.component, fields)
    }

    fn service_account(&self) -> Planned {
        let mut fields = json!({"automountServiceAccountToken": self.uses_api});
        if let Some(secrets) = self.pull_secrets() {
            fields["imagePullSecrets"] = secrets;
        }
        self.object(Kind::ServiceAccount, fields)
    }

    fn deployment(&self) -> Planned {
        let mut labels = self.base.labels(self.name, self.component);
        labels.insert("sidecar.istio.io/inject".to_owned(), json!("false"));
        labels.extend(self.labels.clone());
        let mut annotations = self.annotations.clone();
        annotations.extend(self.part.pod_annotations.iter().map(|(key, value)| (key.clone(), json!(value))));
        let mut spec = json!({
            "revisionHistoryLimit": 3,
            "selector": {"matchLabels": Base::selector(self.name)},
            // Whoever asks for the part gets an answer throughout an update.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {"metadata": {"labels": labels, "annotations": annotations}, "spec": self.pod()},
        });
        if let Replicas::Fixed(replicas) = self.part.replicas {
            spec["replicas"] = json!(replicas);
        }
        self.base.annotated(Kind::Deployment, self.name, self.component, &self.described, json!({"spec": spec}))
    }

    fn pod(&self) -> Value {
        let mut pod = json!({
            "serviceAccountName": self.name,
            "automountServiceAccountToken": self.uses_api,
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": UID,
                "runAsGroup": UID,
                "fsGroup": UID,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [self.container()],
            "volumes": self.volumes,
        });
        if let Some(secrets) = self.pull_secrets() {
            pod["imagePullSecrets"] = secrets;
        }
        if !self.part.placement.node_selector.is_empty() {
            pod["nodeSelector"] = json!(self.part.placement.node_selector);
        }
        if !self.part.placement.tolerations.is_empty() {
            pod["tolerations"] = json!(self.part.placement.tolerations);
        }
        if let Some(class) = &self.part.placement.priority_class {
            pod["priorityClassName"] = json!(class);
        }
        pod["affinity"] = self.part.placement.affinity.as_ref().map_or_else(|| self.apart(), |affinity| json!(affinity));
        pod["topologySpreadConstraints"] = self.spread();
        pod
    }

    /// Pods on different nodes, as far as there are some: a node that fails takes one along. Said for a single pod as well, so that a
    /// second one replaces nothing.
    fn apart(&self) -> Value {
        let term = json!({"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": Base::selector(self.name)}});
        json!({"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]}})
    }

    /// Pods evenly over zones, as far as possible, each generation of them counted by itself. What a user says counts the part's pods,
    /// too, unless it says otherwise.
    fn spread(&self) -> Value {
        let usual = json!({
            "maxSkew": 1,
            "topologyKey": "topology.kubernetes.io/zone",
            "whenUnsatisfiable": "ScheduleAnyway",
            "matchLabelKeys": ["pod-template-hash"],
        });
        let given = self.part.placement.spread.iter().map(|constraint| json!(constraint));
        let mut constraints: Vec<Value> = given.collect();
        if constraints.is_empty() {
            constraints.push(usual);
        }
        for constraint in &mut constraints {
            if constraint["labelSelector"].is_null() {
                constraint["labelSelector"] = json!({"matchLabels": Base::selector(self.name)});
            }
        }
        constraints.into()
    }

    fn container(&self) -> Value {
        let mut container = self.container.clone();
        container["imagePullPolicy"] = json!(self.base.settings.images.pull_policy);
        container["resources"] = json!(self.part.resources);
        container["securityContext"] = json!({
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        });
        if let Some(env) = container.get_mut("env").and_then(Value::as_array_mut) {
            for variable in &self.part.env {
                // Two of one name would be one too many for server-side apply.
                env.retain(|own| own["name"] != variable.name.as_str());
                env.push(json!(variable));
            }
        }
        container
    }

    fn pull_secrets(&self) -> Option<Value> {
        let names = &self.base.settings.pull_secrets;
        (!names.is_empty()).then(|| names.iter().map(|name| json!({"name": name})).collect())
    }

    /// Only where another pod stays: with a single one it would block the node's drain for ever.
    fn disruption_budget(&self) -> Option<Planned> {
        let spec = json!({
            "maxUnavailable": 1,
            // What doesn't answer anyway is no loss, and must not hold up the node's drain.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": Base::selector(self.name)},
        });
        (self.part.replicas.least() > 1).then(|| self.object(Kind::PodDisruptionBudget, json!({"spec": spec})))
    }

    fn autoscaler(&self) -> Option<Planned> {
        let Replicas::Auto { least, most, cpu } = self.part.replicas else { return None };
        let target = json!({"type": "Utilization", "averageUtilization": cpu});
        let spec = json!({
            "minReplicas": least,
            "maxReplicas": most,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": self.name},
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        });
        Some(self.object(Kind::HorizontalPodAutoscaler, json!({"spec": spec})))
    }
}
