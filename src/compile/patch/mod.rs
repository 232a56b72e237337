//! EnvoyFilters: what users change in what was compiled, and what they add to it.
//!
//! `table` keeps the EnvoyFilters of the mesh with their values read; `chosen` says which patches hold for a proxy, in which order;
//! `cluster`, `listener` and `route` apply them, `sequence` to lists whose order counts, with what `apply` has for all; `domains` keeps
//! hosts of a table apart; `added` makes what stands by itself; `bootstrap` changes what Envoy starts with; `dated` brings values of 1.4's
//! time into today's form. Order and reach are the reference's.
//!
//! A patch that can't be applied is left out alone, and named by a [`Fault`](super::Fault). Where no EnvoyFilter is about what was
//! compiled, its bytes are not even looked at.

mod added;
mod apply;
mod bootstrap;
mod chosen;
mod cluster;
mod dated;
mod domains;
mod listener;
mod route;
mod sequence;
mod table;

pub(super) use added::{PatchKey, added, recipes};
pub(super) use bootstrap::bootstrap;
pub(super) use listener::{port_of, with_manager};
pub(super) use sequence::Stage;
pub use table::unreadable_patches;
pub(super) use table::{PatchTable, Subject};

use envoy_api::envoy::config::route::v3::VirtualHost;

use super::{
    recipe::Recipe,
    resource::{Draft, ResourceType},
    route::Table,
    scope::Scope,
};
use crate::model::{PatchContext, ProxyRole};

/// What users make of a resource; `None` if they remove it.
pub(super) fn patched(scope: &Scope<'_>, recipe: &Recipe, draft: Draft) -> Option<Draft> {
    let inbound = recipe.is_inbound();
    let subjects: &[Subject] = match draft.kind {
        ResourceType::Cluster => &[Subject::Clusters],
        // Routes of callers stand in the listener itself.
        ResourceType::Listener if inbound => &[Subject::Listeners, Subject::Routes],
        ResourceType::Listener => &[Subject::Listeners],
        ResourceType::Route => &[Subject::Routes],
        _ => &[],
    };
    // Without any, nothing of the proxy may be asked: what is asked makes results less shared.
    if !subjects.iter().any(|subject| scope.has_patches(*subject)) {
        return Some(draft);
    }
    let context = context(scope, inbound);
    match draft.kind {
        ResourceType::Cluster => cluster::patched(scope, context, draft),
        ResourceType::Listener => listener::patched(scope, context, draft),
        ResourceType::Route => Some(route::patched(scope, context, recipe, draft)),
        _ => Some(draft),
    }
}

/// What users make of a virtual host of that table that stands by itself; `None` if they remove it.
pub(super) fn patched_host(scope: &Scope<'_>, table: &Table, host: VirtualHost) -> Option<VirtualHost> {
    if !scope.has_patches(Subject::Routes) {
        return Some(host);
    }
    route::patched_host(scope, context(scope, false), table, host)
}

/// For whom something is compiled: never [`PatchContext::Any`].
fn context(scope: &Scope<'_>, inbound: bool) -> PatchContext {
    match scope.role() {
        ProxyRole::Router => PatchContext::Gateway,
        ProxyRole::Sidecar if inbound => PatchContext::SidecarInbound,
        ProxyRole::Sidecar => PatchContext::SidecarOutbound,
    }
}
