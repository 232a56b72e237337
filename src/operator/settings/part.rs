//! Settings that every Deployment has: of the control plane and of gateways alike.

use ferromesh_crds::install::Component;
use k8s_openapi::api::core::v1::{EnvVar, ResourceRequirements};
use serde_json::json;
use std::collections::BTreeMap;

use super::{
    Problem, environment,
    placement::{Placement, check_keys},
    problem::Field,
};
use crate::config::kubernetes::resource_problems;

/// How one Deployment runs.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::operator) struct Part {
    pub(in crate::operator) replicas: Replicas,
    pub(in crate::operator) resources: ResourceRequirements,
    pub(in crate::operator) env: Vec<EnvVar>,
    pub(in crate::operator) placement: Placement,
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

/// The beginning of annotations by which the operator knows what it applied and has pods replaced.
const OWN_ANNOTATIONS: &str = "install.ferromesh.dev/";
const CPU_TARGET: i32 = 80;

// === impl Part ===

impl Part {
    /// Reads a component's settings at `path`. `least` is the fewest pods with which it still does its work.
    pub(super) fn read(component: &Component, path: &str, least: i32, problems: &mut Vec<Problem>) -> Self {
        let mut field = Field::new(path, problems);
        if component.replicas.is_some_and(|replicas| replicas < least) {
            field.at("replicas").wrong("must be at least 1; to leave the part out, set enabled: false");
        }
        if component.replicas.is_some() && component.autoscaling.is_some() {
            field.at("replicas").wrong("can't be set together with autoscaling");
        }
        let resources = component.resources.clone().unwrap_or_default();
        if component.autoscaling.is_some() && !resources.requests.as_ref().is_some_and(|requests| requests.contains_key("cpu")) {
            field.at("autoscaling").wrong("needs resources.requests.cpu, of which the target is a share");
        }
        for (name, reason) in resource_problems(&json!(resources)) {
            field.at("resources").at(name).wrong(reason);
        }
        check_keys(&component.pod_annotations, &mut field.at("podAnnotations"));
        for key in component.pod_annotations.keys().filter(|key| key.starts_with(OWN_ANNOTATIONS)) {
            field.at("podAnnotations").item(key).wrong("is the operator's to set: choose another");
        }
        Self {
            replicas: Replicas::of(component),
            resources,
            env: environment::read(&component.env, field.at("env")),
            placement: Placement::read(component, &mut field),
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
