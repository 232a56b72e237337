//! Domains of virtual hosts that users change. Envoy refuses a whole table for a domain that two of its hosts have, and would name the
//! host that it met second, whoever is to blame: so the patch that gives a host what another one has is left out here.

use std::collections::HashSet;

use envoy_api::envoy::config::route::v3::{RouteConfiguration, VirtualHost};
use envoy_api::json::Lists;

use super::{route::is_about_host, table::ReadPatch};
use crate::compile::scope::Scope;
use crate::model::PatchOperation;

/// The hosts that a patch of a table puts into it.
pub(super) fn hosts_of(patch: &ReadPatch) -> Vec<VirtualHost> {
    let merged = patch.merges().and_then(|(value, lists)| value.merged_into(&RouteConfiguration::default(), lists).ok());
    merged.map(|table| table.virtual_hosts).unwrap_or_default()
}

/// Whether a patch of a host may change its domains.
pub(super) fn gives_domains(patch: &ReadPatch) -> bool {
    match patch.patch.operation {
        PatchOperation::Replace(_) => true,
        _ => !after(&VirtualHost::default(), patch).domains.is_empty(),
    }
}

/// Takes out, and names, the patches of a table and of its hosts that would give one domain to two hosts. `hosts` are those of the whole
/// table before any patch; only their names and domains matter.
pub(super) fn leave_conflicts_out<'p>(
    scope: &Scope<'_>,
    table: &str,
    on_table: &mut Vec<&'p ReadPatch>,
    on_hosts: &mut Vec<&'p ReadPatch>,
    hosts: Vec<VirtualHost>,
) {
    let mut hosts = hosts;
    // What a removed host was called is free.
    hosts.retain(|host| !on_hosts.iter().any(|it| it.patch.operation == PatchOperation::Remove && is_about_host(host, it)));
    let takes = |patch: &ReadPatch, candidate: Vec<VirtualHost>| match repeated(&candidate) {
        Some(domain) => {
            scope.leave_out(patch.fault_because(taken(table, &domain)));
            None
        }
        None => Some(candidate),
    };
    on_table.retain(|patch| {
        let own = hosts_of(patch);
        let candidate = match patch.merges() {
            _ if own.is_empty() => return true,
            Some((_, Lists::Replace)) => own,
            _ => [&*hosts, &own].concat(),
        };
        takes(patch, candidate).map(|candidate| hosts = candidate).is_some()
    });
    on_hosts.retain(|patch| {
        if !gives_domains(patch) {
            return true;
        }
        let changed = |host: &VirtualHost| if is_about_host(host, patch) { after(host, patch) } else { host.clone() };
        let candidate = hosts.iter().map(changed).collect();
        takes(patch, candidate).map(|candidate| hosts = candidate).is_some()
    });
}

/// What is wrong with a patch that gives a host such a domain.
pub(super) fn taken(table: &str, domain: &str) -> String {
    format!("route table {table} has another virtual host of domain {domain}")
}

/// A host's domains as Envoy compares them.
pub(super) fn domains(host: &VirtualHost) -> Vec<String> {
    host.domains.iter().map(|domain| domain.to_ascii_lowercase()).collect()
}

/// The host as that patch of it makes it.
fn after(host: &VirtualHost, patch: &ReadPatch) -> VirtualHost {
    let changed = match (&patch.patch.operation, patch.merges()) {
        (PatchOperation::Replace(_), _) => patch.value().and_then(|value| value.to_message().ok()),
        (_, Some((value, lists))) => value.merged_into(host, lists).ok(),
        _ => None,
    };
    changed.unwrap_or_else(|| host.clone())
}

/// A domain that stands twice in these hosts.
fn repeated(hosts: &[VirtualHost]) -> Option<String> {
    let mut seen = HashSet::new();
    hosts.iter().flat_map(domains).find(|domain| !seen.insert(domain.clone()))
}
