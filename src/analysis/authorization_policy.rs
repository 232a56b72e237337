//! AuthorizationPolicies: workloads that are not there, and namespaces that nobody calls from.

use std::{collections::BTreeMap, sync::Arc};

use super::{Code, Finding, NamespaceFacts, World, selector};
use crate::model::{AuthorizationPolicy, PolicyTarget, TextMatch};

/// Checks an AuthorizationPolicy.
pub(super) fn check(world: &World, policy: &AuthorizationPolicy, findings: &mut Vec<Finding>) {
    check_workloads(world, policy, findings);
    if let Some(known) = &world.facts().namespaces {
        check_namespaces(known, policy, findings);
    }
}

/// A policy of the root namespace is for all namespaces; without labels it waits for whoever comes.
fn check_workloads(world: &World, policy: &AuthorizationPolicy, findings: &mut Vec<Finding>) {
    let PolicyTarget::Workloads(labels) = &policy.target else { return };
    let namespace = &policy.origin.namespace;
    let for_mesh = **namespace == *world.snapshot().mesh.root_namespace;
    if !world.facts().coverage.workloads || (for_mesh && labels.is_empty()) {
        return;
    }
    let found = if for_mesh { world.any_selected(labels, None).is_some() } else { world.has_selected(labels, namespace) };
    if found {
        return;
    }
    let place = if for_mesh { "the mesh" } else { "the namespace" };
    let (path, message) = match labels.is_empty() {
        true => ("", format!("{place} has no workloads, so that nobody asks this policy")),
        false => (
            "spec.selector.matchLabels",
            format!("no workload of {place} has the labels {}: nobody asks this policy", selector::text(labels)),
        ),
    };
    findings.push(Finding::new(Code::NoMatchingWorkloadsFound, &policy.origin, path, message));
}

/// A source in a namespace that is not there is nobody.
fn check_namespaces(known: &BTreeMap<Arc<str>, NamespaceFacts>, policy: &AuthorizationPolicy, findings: &mut Vec<Finding>) {
    let is_there = |wanted: &TextMatch| known.keys().any(|name| takes(wanted, name));
    for (rule, one) in policy.rules.iter().enumerate() {
        for (from, source) in one.from.iter().enumerate() {
            for (field, list) in [("namespaces", &source.namespaces.any_of), ("notNamespaces", &source.namespaces.none_of)] {
                for (index, wanted) in list.iter().enumerate().filter(|(_, wanted)| !is_there(wanted)) {
                    let path = format!("spec.rules[{rule}].from[{from}].source.{field}[{index}]");
                    let message = format!("there is no namespace {}: create it, or correct the name", shown(wanted));
                    findings.push(Finding::new(Code::ReferencedResourceNotFound, &policy.origin, path, message));
                }
            }
        }
    }
}

fn takes(wanted: &TextMatch, name: &str) -> bool {
    match wanted {
        TextMatch::Exact(text) => name == &**text,
        TextMatch::Prefix(text) => name.starts_with(&**text),
        TextMatch::Suffix(text) => name.ends_with(&**text),
        TextMatch::Present => true,
    }
}

/// As it was written.
fn shown(wanted: &TextMatch) -> String {
    match wanted {
        TextMatch::Exact(text) => text.to_string(),
        TextMatch::Prefix(text) => format!("{text}*"),
        TextMatch::Suffix(text) => format!("*{text}"),
        TextMatch::Present => "*".to_owned(),
    }
}
