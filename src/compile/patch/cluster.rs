//! Patches of clusters.

use envoy_api::envoy::config::cluster::v3::Cluster;
use envoy_api::json::{JsonError, Lists, Patch};

use super::table::{ReadPatch, Subject};
use crate::compile::{resource::Draft, scope::Scope, workload_ports::workload_ports};
use crate::model::{ClusterMatch, ObjectMatch, PatchContext, PatchOperation};

/// What users make of a cluster; `None` if they remove it.
pub(super) fn patched(scope: &Scope<'_>, context: PatchContext, mut draft: Draft) -> Option<Draft> {
    let patches = scope.patches(Subject::Clusters, context);
    let patches: Vec<_> = patches.into_iter().filter(|patch| matches(scope, context, &draft.name, patch)).collect();
    for patch in patches {
        if patch.patch.operation == PatchOperation::Remove {
            return None;
        }
        let Some((value, lists)) = patch.merges() else { continue };
        let Some(cluster) = draft.message::<Cluster>() else { continue };
        match merged(&cluster, value, lists) {
            Ok(merged) => {
                scope.shaped_by(&patch.origin);
                draft = Draft::new(draft.kind, &merged.name, &merged);
            }
            Err(error) => scope.leave_out(patch.fault(&error)),
        }
    }
    Some(draft)
}

fn merged(cluster: &Cluster, patch: &Patch, lists: Lists) -> Result<Cluster, JsonError> {
    let mut merged: Cluster = patch.merged_into(cluster, lists)?;
    if cluster.transport_socket_matches.is_empty() || merged.transport_socket == cluster.transport_socket {
        return Ok(merged);
    }
    // Each endpoint has its own socket here: what is said of the cluster's is meant for those of its sort.
    let wanted = merged.transport_socket.take().map(|socket| socket.name).unwrap_or_default();
    for socket in merged.transport_socket_matches.iter_mut().filter_map(|it| it.transport_socket.as_mut()) {
        if socket.name == wanted {
            let alone = Cluster { transport_socket: Some(socket.clone()), ..Cluster::default() };
            let alone = patch.merged_into(&alone, lists)?;
            *socket = alone.transport_socket.unwrap_or_default();
        }
    }
    merged.transport_socket.clone_from(&cluster.transport_socket);
    Ok(merged)
}

/// Whether a patch is about the cluster of that name.
fn matches(scope: &Scope<'_>, context: PatchContext, name: &str, patch: &ReadPatch) -> bool {
    let ObjectMatch::Cluster(wanted) = &patch.patch.object else { return true };
    if let Some(wanted) = &wanted.name {
        return **wanted == *name;
    }
    // What a gateway passes on unopened is called as its clients' TLS calls it: `outbound_.PORT_.SUBSET_.HOST`.
    let separator = if name.contains('|') { "|" } else { "_." };
    let mut parts = name.splitn(4, separator).skip(1);
    let port = parts.next().and_then(|port| port.parse::<u16>().ok());
    let subset = parts.next().unwrap_or_default();
    let host = parts.next().unwrap_or_default();
    wanted.port.is_none_or(|wanted| port == Some(wanted))
        && wanted.subset.as_deref().is_none_or(|wanted| wanted == subset)
        && leads_to(scope, context, wanted, port, host)
}

/// Whether the cluster is of the service that is wanted. The name of an inbound one does not say of which it is.
fn leads_to(scope: &Scope<'_>, context: PatchContext, wanted: &ClusterMatch, port: Option<u16>, host: &str) -> bool {
    let Some(service) = &wanted.service else { return true };
    if context != PatchContext::SidecarInbound {
        return **service == *host;
    }
    let own = port.and_then(|port| workload_ports(scope).remove(&port));
    own.iter().flat_map(|port| &port.services).any(|own| *own.key.host.as_str() == **service)
}
