//! Routes by claims of tokens: a gateway knows claims only of tokens that a RequestAuthentication lets it check.

use std::sync::Arc;

use super::gateway::WORKLOADS;
use super::lookups::of_namespace;
use super::virtual_service::gateway_object;
use super::{Code, Finding, World};
use crate::model::{ClaimMatch, PolicyTarget, VirtualService, Workload};

/// Checks a VirtualService: each gateway that it is bound to, at the first workload that has no RequestAuthentication.
pub(super) fn check(world: &World, routes: &VirtualService, findings: &mut Vec<Finding>) {
    let coverage = world.facts().coverage;
    let Some((path, claim)) = first_claim(routes).filter(|_| coverage.config && coverage.workloads) else { return };
    for object in routes.gateways.iter().filter_map(|name| gateway_object(name)) {
        let Some(gateway) = world.snapshot().config.gateways.get(&object) else { continue };
        let workloads = world.selected(&gateway.selector, None, WORKLOADS);
        if let Some(unchecked) = workloads.into_iter().find(|workload| !checks_tokens(world, workload)) {
            let message = format!(
                "asks for the claim {}, but {object} has the workload {}/{}, which no RequestAuthentication is for: the claim is never there",
                claim.path.join("."),
                unchecked.key.namespace,
                unchecked.key.name
            );
            let code = Code::JwtClaimBasedRoutingWithoutRequestAuthN;
            findings.push(Finding::new(code, &routes.origin, path.clone(), message).with([object]));
        }
    }
}

/// The first condition on a claim, and its place.
fn first_claim(routes: &VirtualService) -> Option<(String, &ClaimMatch)> {
    let rules = routes.http.iter().enumerate();
    let mut conditions = rules.flat_map(|(rule, route)| route.matches.iter().enumerate().map(move |(index, one)| (rule, index, one)));
    conditions.find_map(|(rule, index, one)| {
        let claim = one.claims.first()?;
        let field = if claim.inverted { "withoutHeaders" } else { "headers" };
        Some((format!("spec.http[{rule}].match[{index}].{field}"), claim))
    })
}

/// Whether a RequestAuthentication of its namespace or of the root namespace is for a workload. One that is attached to a resource may be.
fn checks_tokens(world: &World, workload: &Workload) -> bool {
    let root: Arc<str> = world.snapshot().mesh.root_namespace.as_str().into();
    [&root, &workload.key.namespace].into_iter().any(|namespace| {
        let policies = of_namespace(&world.snapshot().config.request_authentications, "RequestAuthentication", namespace);
        policies.iter().any(|policy| match &policy.target {
            PolicyTarget::Workloads(labels) => workload.selected_by(labels),
            PolicyTarget::Resources(_) => true,
        })
    })
}
