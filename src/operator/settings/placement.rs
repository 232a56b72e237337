//! Where pods run: on which nodes, how they spread, and before whom they give way.

use ferromesh_crds::install::{Component, Values};
use k8s_openapi::api::core::v1::{Affinity, Toleration, TopologySpreadConstraint};
use serde_json::Value;
use std::collections::BTreeMap;

use super::{problem::Field, typed};
use crate::config::kubernetes::{is_dns_subdomain, is_label_key, is_label_text};

/// What a spec says of where pods run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::operator) struct Placement {
    pub(in crate::operator) node_selector: BTreeMap<String, String>,
    pub(in crate::operator) tolerations: Vec<Toleration>,
    /// None for pods that only keep to different nodes.
    pub(in crate::operator) affinity: Option<Affinity>,
    /// Empty for pods that spread over zones as far as possible.
    pub(in crate::operator) spread: Vec<TopologySpreadConstraint>,
    pub(in crate::operator) priority_class: Option<String>,
}

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

// === impl Placement ===

impl Placement {
    /// Reads it from the settings of one part, which stand at `field`.
    pub(super) fn read(component: &Component, field: &mut Field<'_>) -> Self {
        check_labels(&component.node_selector, field.at("nodeSelector"));
        for (index, toleration) in component.tolerations.iter().enumerate() {
            check_toleration(toleration, field.at("tolerations").item(index));
        }
        let priority_class = component.priority_class_name.clone().filter(|name| !name.is_empty());
        if let Some(name) = priority_class.as_ref().filter(|name| !is_dns_subdomain(name)) {
            field
                .at("priorityClassName")
                .wrong(format!("{name:?} can't name a PriorityClass: it must be lower-case letters, digits, - and ."));
        }
        let open = |given: &Values| Value::Object(given.0.clone());
        let affinity = component.affinity.as_ref().and_then(|given| typed::read(&open(given), "pod.spec.affinity", field.at("affinity")));
        let spread = component.topology_spread_constraints.iter().enumerate().filter_map(|(index, given)| {
            let mut field = field.at("topologySpreadConstraints");
            typed::read(&open(given), "pod.spec.topologySpreadConstraints", field.item(index))
        });
        let spread = spread.collect();
        Self {
            node_selector: component.node_selector.clone(),
            tolerations: component.tolerations.clone(),
            affinity,
            spread,
            priority_class,
        }
    }
}

/// Labels as objects carry them, or as they are asked for.
pub(super) fn check_labels(labels: &BTreeMap<String, String>, mut field: Field<'_>) {
    check_keys(labels, &mut field);
    for (key, value) in labels.iter().filter(|(_, value)| !value.is_empty() && !is_label_text(value)) {
        field.item(key).wrong(format!("{value:?} can't be a label's value: it must be letters, digits, -, _ and ., 63 at most"));
    }
}

/// The keys of labels or annotations.
pub(super) fn check_keys(entries: &BTreeMap<String, String>, field: &mut Field<'_>) {
    for key in entries.keys().filter(|key| !is_label_key(key)) {
        let form = "letters, digits, -, _ and ., 63 at most, and before that perhaps a domain and a slash";
        field.item(key).wrong(format!("{key:?} can't be a key: it must be {form}"));
    }
}

fn check_toleration(toleration: &Toleration, mut field: Field<'_>) {
    let Toleration { key, operator, value, effect, toleration_seconds } = toleration;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (key, operator, value, effect) = (text(key), text(operator), text(value), text(effect));
    let exists = operator == "Exists";
    if !["", "Equal", "Exists"].contains(&&*operator) {
        field.at("operator").wrong(format!("{operator:?} must be Equal or Exists"));
    } else if key.is_empty() && !exists {
        field.at("operator").wrong("must be Exists where there is no key");
    }
    if !key.is_empty() && !is_label_key(&key) {
        field.at("key").wrong(format!("{key:?} can't be a taint's key"));
    }
    if exists && !value.is_empty() {
        field.at("value").wrong("can't be set with operator Exists: take it away");
    } else if !value.is_empty() && !is_label_text(&value) {
        field.at("value").wrong(format!("{value:?} can't be a taint's value"));
    }
    if !effect.is_empty() && !EFFECTS.contains(&&*effect) {
        field.at("effect").wrong(format!("{effect:?} is not one of {}", EFFECTS.join(", ")));
    }
    if toleration_seconds.is_some() && effect != "NoExecute" {
        field.at("tolerationSeconds").wrong("has a meaning only with effect NoExecute");
    }
}
