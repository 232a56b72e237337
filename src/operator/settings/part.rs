//! Settings that every Deployment has: of the control plane and of gateways alike.

use ferromesh_crds::install::Component;
use k8s_openapi::api::core::v1::{Affinity, EnvVar, ResourceRequirements, Toleration, TopologySpreadConstraint};
use std::collections::BTreeMap;

use super::Problem;

/// How one Deployment runs.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::operator) struct Part {
    pub(in crate::operator) replicas: Replicas,
    pub(in crate::operator) resources: ResourceRequirements,
    pub(in crate::operator) env: Vec<EnvVar>,
    pub(in crate::operator) node_selector: BTreeMap<String, String>,
    pub(in crate::operator) tolerations: Vec<Toleration>,
    /// None for pods that only keep to different nodes.
    pub(in crate::operator) affinity: Option<Affinity>,
    /// Empty for pods that spread over zones as far as possible.
    pub(in crate::operator) spread: Vec<TopologySpreadConstraint>,
    pub(in crate::operator) priority_class: Option<String>,
    pub(in crate::operator) pod_annotations: BTreeMap<String, String>,
}

/// How many pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::operator) enum Replicas {
    /// So many.
    Fixed(i32),
    /// As many as the load needs, aiming at `cpu` percent of the request.
    Auto { least: i32, most: i32, cpu: i32 },
}

/// Variables that the operator sets in every container.
const RESERVED: [&str; 6] = ["POD_NAME", "POD_NAMESPACE", "MESH_OWNER", "INSTANCE_IP", "SERVICE_ACCOUNT", "PROXY_CONFIG"];
const CPU_TARGET: i32 = 80;

// === impl Part ===

impl Part {
    /// Reads a component's settings at `path`. `least` is the fewest pods with which it still does its work.
    pub(super) fn read(component: &Component, path: &str, least: i32, problems: &mut Vec<Problem>) -> Self {
        let mut wrong = |field: &str, reason: String| problems.push(Problem::new(format!("{path}.{field}"), reason));
        if component.replicas.is_some_and(|replicas| replicas < least) {
            wrong("replicas", "must be at least 1; to leave the part out, set enabled: false".to_owned());
        }
        if component.replicas.is_some() && component.autoscaling.is_some() {
            wrong("replicas", "can't be set together with autoscaling".to_owned());
        }
        let resources = component.resources.clone().unwrap_or_default();
        if component.autoscaling.is_some() && !resources.requests.as_ref().is_some_and(|requests| requests.contains_key("cpu")) {
            wrong("autoscaling", "needs resources.requests.cpu, of which the target is a share".to_owned());
        }
        for (index, variable) in component.env.iter().enumerate() {
            if RESERVED.contains(&variable.name.as_str()) {
                wrong(&format!("env[{index}].name"), format!("{} is set by the operator", variable.name));
            }
        }
        Self {
            replicas: Replicas::of(component),
            resources,
            env: component.env.clone(),
            node_selector: component.node_selector.clone(),
            tolerations: component.tolerations.clone(),
            affinity: component.affinity.clone(),
            spread: component.topology_spread_constraints.clone(),
            priority_class: component.priority_class_name.clone().filter(|name| !name.is_empty()),
            pod_annotations: component.pod_annotations.clone(),
        }
    }
}

// === impl Replicas ===

impl Replicas {
    fn of(component: &Component) -> Self {
        match &component.autoscaling {
            Some(auto) => Self::Auto {
                least: auto.min_replicas.unwrap_or(1),
                most: auto.max_replicas.or(auto.min_replicas).unwrap_or(1),
                cpu: auto.target_cpu_utilization_percentage.unwrap_or(CPU_TARGET),
            },
            None => Self::Fixed(component.replicas.unwrap_or(1)),
        }
    }

    /// How many pods there are at least.
    pub(in crate::operator) fn least(self) -> i32 {
        match self {
            Self::Fixed(replicas) => replicas,
            Self::Auto { least, .. } => least,
        }
    }
}
