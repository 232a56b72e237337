//! What is doubtful about the mesh as a whole? Pure: values in, findings out.
//!
//! One object can be right in itself and still be of no use: it names a service that is not there, or contradicts another object.
//! [`analyze`] looks for that in the whole [`World`], [`review`] for what concerns one object that is about to be stored. Both run the
//! same checks. Codes, names and levels are Istio's where Istio has the check; docs/analysis.md explains each to people.
//!
//! A world is a snapshot and further [`Facts`] of the cluster, of which many may not be known: who runs over files alone sees no pods,
//! and galley reads no Deployments. A check that would need them is left out then, and [`skipped`] tells so; it never guesses.
//!
//! The indexes that make [`review`] cheap are persistent: [`World::update`] keeps them at the cost of the change, and a clone is free.

mod annotations;
mod claims;
mod code;
mod deployment;
mod destination_rule;
mod envoy_filter;
mod facts;
mod finding;
mod gateway;
mod gateway_conflicts;
mod group;
mod host_table;
mod image;
mod injection;
mod learn;
mod lookups;
mod multimap;
mod notes;
mod selector;
mod service;
mod service_entry;
mod sidecar;
mod skipped;
mod tables;
mod virtual_service;
mod webhook;
mod world;

#[cfg(test)]
mod tests;

pub use annotations::is_suppressed;
pub use code::{Code, Level};
pub use facts::{
    ContainerFacts, Coverage, DeploymentFacts, Facts, InjectorFacts, LabelSelector, NamespaceFacts, ObjectNotes, Operator, PodFacts,
    PodShape, Requirement, SecretFacts, ServiceFacts, ServicePortFacts, WebhookFacts,
};
pub use finding::{Finding, Skipped};
pub use skipped::skipped;
pub use world::World;

use crate::model::ConfigObject;

/// All that is doubtful about a world, sorted: the worst first, then by code, object and place. The same world always has the same
/// findings. An object's annotation `galley.istio.io/analyze-suppress` keeps the codes that it lists, or `*`, from being found of it.
/// Costs about the world's size.
pub fn analyze(world: &World) -> Vec<Finding> {
    let mut findings = Vec::new();
    for object in world.snapshot().config.values() {
        check(world, &object, &mut findings);
    }
    envoy_filter::check(world, &mut findings);
    notes::check(world, &mut findings);
    service::check(world, &mut findings);
    deployment::check(world, &mut findings);
    injection::check(world, &mut findings);
    image::check(world, &mut findings);
    webhook::check(world, &mut findings);
    annotations::check(world, &mut findings);
    findings.retain(|finding| !annotations::are_suppressed(world, finding));
    sorted(findings)
}

/// All that would be doubtful about an object if it stood in place of the one of its name, sorted as [`analyze`] sorts. What its own
/// reader warns of is left out: who reads an object has been told. So is `galley.istio.io/analyze-suppress`, which the caller sees on the
/// object: see [`is_suppressed`]. Costs about the object's size.
pub fn review(world: &World, object: &ConfigObject) -> Vec<Finding> {
    let mut findings = Vec::new();
    check(&world.with(object), object, &mut findings);
    sorted(findings)
}

fn sorted(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_unstable();
    findings.dedup();
    findings
}

/// Checks one object of the world's configuration.
fn check(world: &World, object: &ConfigObject, findings: &mut Vec<Finding>) {
    match object {
        ConfigObject::DestinationRule(rule) => {
            destination_rule::check(world, rule, findings);
            claims::check_rule(world, rule, findings);
        }
        ConfigObject::Gateway(gateway) => {
            gateway::check(world, gateway, findings);
            gateway_conflicts::check(world, gateway, findings);
        }
        ConfigObject::ServiceEntry(entry) => {
            service_entry::check(entry, findings);
            claims::check_entry(world, entry, findings);
        }
        ConfigObject::Sidecar(sidecar) => sidecar::check(world, sidecar, findings),
        ConfigObject::VirtualService(routes) if !tables::is_excessive(routes) => {
            virtual_service::check(world, routes, findings);
            claims::check_routes(world, routes, findings);
        }
        // Other kinds have nothing to do with other objects.
        _ => {}
    }
}
