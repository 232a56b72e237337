//! Patches of route tables, virtual hosts and routes.

use std::collections::{BTreeSet, HashSet};

use envoy_api::envoy::config::route::v3::{Route, RouteConfiguration, VirtualHost, route};
use envoy_api::json::Lists;

use super::{
    apply::{adds, merge, message},
    domains::{self, gives_domains},
    table::{ReadPatch, Subject},
};
use crate::compile::{
    recipe::Recipe,
    resource::Draft,
    route::{self as compiled, Table},
    scope::Scope,
    workload_ports::ports_called,
};
use crate::model::{ObjectMatch, PatchContext, PatchOperation, PatchedObject, RouteAction, RouteConfigurationMatch};

/// What users make of a route table.
pub(super) fn patched(scope: &Scope<'_>, context: PatchContext, recipe: &Recipe, draft: Draft) -> Draft {
    let patches = scope.patches(Subject::Routes, context);
    if patches.is_empty() {
        return draft;
    }
    let Some(mut table) = draft.message::<RouteConfiguration>() else { return draft };
    let mut changes = Changes::of(scope, context, &patches, &table.name);
    let elsewhere = recipe.split_table().filter(|_| scope.splits_tables());
    changes.leave_conflicts_out(scope, &table.name, || match &elsewhere {
        Some(of) => hosts_of(scope, of),
        None => table.virtual_hosts.clone(),
    });
    changes.merge_into(scope, &mut table);
    let apart = elsewhere.filter(|_| !changes.added.is_empty()).map(|of| compiled::hosts(scope, &of)).unwrap_or_default();
    let apart: Vec<VirtualHost> = apart.iter().filter_map(|key| changes.of_host(scope, key.host(scope)?)).collect();
    changes.add_to(scope, &mut table, &apart);
    Draft::new(draft.kind, &draft.name, &table)
}

/// Changes a table.
pub(super) fn change(scope: &Scope<'_>, context: PatchContext, patches: &[&ReadPatch], table: &mut RouteConfiguration) {
    let mut changes = Changes::of(scope, context, patches, &table.name);
    changes.leave_conflicts_out(scope, &table.name, || table.virtual_hosts.clone());
    changes.merge_into(scope, table);
    changes.add_to(scope, table, &[]);
}

/// What users make of a host that stands apart from its table; `None` if they remove it. What they add to the table stands in the table.
pub(super) fn patched_host(scope: &Scope<'_>, context: PatchContext, table: &Table, host: VirtualHost) -> Option<VirtualHost> {
    let name = table.name();
    let mut changes = Changes::of(scope, context, &scope.patches(Subject::Routes, context), &name);
    // The other hosts are looked at only where this one is to get another domain, or none of them is to stay.
    if changes.on_hosts.iter().any(|it| is_about_host(&host, it)) || changes.on_table.iter().any(|it| replaces_hosts(it)) {
        changes.leave_conflicts_out(scope, &name, || hosts_of(scope, table));
    }
    changes.of_host(scope, host)
}

/// All hosts of a table of which most are sent apart, before any patch: their names and domains.
fn hosts_of(scope: &Scope<'_>, table: &Table) -> Vec<VirtualHost> {
    let own = compiled::of_table(scope, table).message::<RouteConfiguration>().map(|table| table.virtual_hosts).unwrap_or_default();
    compiled::hosts(scope, table).iter().filter_map(|key| key.called(scope)).chain(own).collect()
}

/// The patches about one table, by what they change.
struct Changes<'p> {
    on_table: Vec<&'p ReadPatch>,
    on_hosts: Vec<&'p ReadPatch>,
    on_routes: Vec<&'p ReadPatch>,
    added: Vec<&'p ReadPatch>,
}

// === impl Changes ===

impl<'p> Changes<'p> {
    fn of(scope: &Scope<'_>, context: PatchContext, patches: &[&'p ReadPatch], table: &str) -> Self {
        let patches: Vec<&ReadPatch> = patches.iter().copied().filter(|patch| is_about(scope, context, table, patch)).collect();
        let of = |objects: PatchedObject| patches.iter().copied().filter(move |patch| patch.patch.apply_to == objects);
        let (added, on_hosts) = of(PatchedObject::VirtualHost).partition(|patch| adds(&patch.patch.operation));
        Self {
            on_table: of(PatchedObject::RouteConfiguration).collect(),
            on_hosts,
            on_routes: of(PatchedObject::HttpRoute).collect(),
            added,
        }
    }

    /// Leaves out what would give one domain to two hosts; `hosts` are all of the table, and asked for only where that may be.
    fn leave_conflicts_out(&mut self, scope: &Scope<'_>, table: &str, hosts: impl FnOnce() -> Vec<VirtualHost>) {
        let on_table = self.on_table.iter().any(|patch| !domains::hosts_of(patch).is_empty());
        if on_table || self.on_hosts.iter().any(|patch| gives_domains(patch)) {
            domains::leave_conflicts_out(scope, table, &mut self.on_table, &mut self.on_hosts, hosts());
        }
    }

    /// Changes the table and what is in it.
    fn merge_into(&self, scope: &Scope<'_>, table: &mut RouteConfiguration) {
        self.on_table.iter().for_each(|patch| merge(scope, table, patch));
        table.virtual_hosts.retain_mut(|host| changed_host(scope, &self.on_hosts, &self.on_routes, host));
    }

    /// The host as it would be in the table.
    fn of_host(&self, scope: &Scope<'_>, mut host: VirtualHost) -> Option<VirtualHost> {
        if let Some(patch) = self.on_table.iter().find(|patch| replaces_hosts(patch)) {
            scope.shaped_by(&patch.origin);
            return None;
        }
        changed_host(scope, &self.on_hosts, &self.on_routes, &mut host).then_some(host)
    }

    /// Adds hosts to the table, beside those that belong to it and stand `apart`. Envoy would refuse the whole table for a domain that two
    /// hosts have, so the one that is added is left out.
    fn add_to(&self, scope: &Scope<'_>, table: &mut RouteConfiguration, apart: &[VirtualHost]) {
        if self.added.is_empty() {
            return;
        }
        let mut taken: HashSet<String> = table.virtual_hosts.iter().chain(apart).flat_map(domains::domains).collect();
        for patch in &self.added {
            let Some(host) = message::<VirtualHost>(scope, patch) else { continue };
            let own = domains::domains(&host);
            match own.iter().find(|domain| taken.contains(*domain)) {
                Some(domain) => scope.leave_out(patch.fault_because(domains::taken(&table.name, domain))),
                None => {
                    taken.extend(own);
                    table.virtual_hosts.push(host);
                    scope.shaped_by(&patch.origin);
                }
            }
        }
    }
}

/// Whether a patch of a table puts its own hosts in the place of all others.
fn replaces_hosts(patch: &ReadPatch) -> bool {
    matches!(patch.merges(), Some((_, Lists::Replace))) && !domains::hosts_of(patch).is_empty()
}

/// Whether the host stays.
fn changed_host(scope: &Scope<'_>, on_hosts: &[&ReadPatch], on_routes: &[&ReadPatch], host: &mut VirtualHost) -> bool {
    for patch in on_hosts {
        if !is_about_host(host, patch) {
            continue;
        }
        match patch.patch.operation {
            PatchOperation::Remove => {
                scope.shaped_by(&patch.origin);
                return false;
            }
            PatchOperation::Replace(_) => {
                if let Some(new) = message(scope, patch) {
                    *host = new;
                    scope.shaped_by(&patch.origin);
                }
            }
            _ => merge(scope, host, patch),
        }
    }
    let on_routes: Vec<_> = on_routes.iter().copied().filter(|patch| is_about_host(host, patch)).collect();
    host.routes.retain_mut(|route| changed_route(scope, &on_routes, route));
    for patch in on_routes {
        insert(scope, &mut host.routes, patch);
    }
    true
}

/// Whether the route stays.
fn changed_route(scope: &Scope<'_>, patches: &[&ReadPatch], route: &mut Route) -> bool {
    for patch in patches {
        if !is_about_route(route, patch) {
            continue;
        }
        if patch.patch.operation == PatchOperation::Remove {
            scope.shaped_by(&patch.origin);
            return false;
        }
        merge(scope, route, patch);
    }
    true
}

/// Adds a route, if that is what the patch does. One that is to stand by another comes only where there is such a one.
fn insert(scope: &Scope<'_>, routes: &mut Vec<Route>, patch: &ReadPatch) {
    let found = routes.iter().position(|route| is_about_route(route, patch));
    let anywhere = wanted(patch).is_none_or(|wanted| wanted.route.is_none() && wanted.action.is_none());
    let place = match (&patch.patch.operation, found) {
        (PatchOperation::Add(..), _) => routes.len(),
        (PatchOperation::InsertAfter(_), _) if anywhere => routes.len(),
        (PatchOperation::InsertBefore(_) | PatchOperation::InsertFirst(_), _) if anywhere => 0,
        (PatchOperation::InsertFirst(_), Some(_)) => 0,
        (PatchOperation::InsertBefore(_), Some(place)) => place,
        (PatchOperation::InsertAfter(_), Some(place)) => place + 1,
        _ => return,
    };
    if let Some(route) = message(scope, patch) {
        routes.insert(place, route);
        scope.shaped_by(&patch.origin);
    }
}

fn wanted(patch: &ReadPatch) -> Option<&RouteConfigurationMatch> {
    match &patch.patch.object {
        ObjectMatch::RouteConfiguration(wanted) => Some(wanted),
        _ => None,
    }
}

fn is_about(scope: &Scope<'_>, context: PatchContext, table: &str, patch: &ReadPatch) -> bool {
    let Some(wanted) = wanted(patch) else { return true };
    if wanted.name.as_ref().is_some_and(|name| **name != *table) {
        return false;
    }
    if context == PatchContext::Gateway {
        return is_of_gateway(scope, wanted, table);
    }
    // `80` for what is sent, `inbound|80||` for what comes.
    let port = table.strip_prefix("inbound|").and_then(|rest| rest.split('|').next()).unwrap_or(table).parse::<u16>().ok();
    wanted.port.is_none_or(|wanted| port == Some(wanted))
}

/// Whether a gateway's table is meant: `http.PORT`, where PORT is the one on which it listens, or `https.PORT.NAME.GATEWAY.NAMESPACE`, where
/// PORT is the Gateway's own; either with the address behind it, if that is not any.
fn is_of_gateway(scope: &Scope<'_>, wanted: &RouteConfigurationMatch, table: &str) -> bool {
    let parts: Vec<&str> = table.split('.').collect();
    let port = parts.get(1).and_then(|port| port.parse::<u16>().ok());
    let (ports, name, gateway) = match parts[..] {
        ["https", _, name, gateway, namespace, ..] => (port.into_iter().collect(), name, format!("{namespace}/{gateway}")),
        _ => (port.map(|port| called(scope, port)).unwrap_or_default(), "", String::new()),
    };
    wanted.port.is_none_or(|wanted| ports.contains(&wanted))
        && wanted.port_name.as_ref().is_none_or(|wanted| **wanted == *name)
        && wanted.gateway.as_ref().is_none_or(|wanted| **wanted == *gateway)
}

/// The numbers under which Gateways know a port on which the proxy listens.
fn called(scope: &Scope<'_>, port: u16) -> BTreeSet<u16> {
    let gateways = scope.gateways().filter(|gateway| scope.selected_by(&gateway.selector));
    let named: BTreeSet<u16> = gateways.flat_map(|gateway| &gateway.servers).map(|server| server.port).collect();
    let leading: BTreeSet<u16> = named.into_iter().filter(|named| ports_called(scope, *named).contains(&port)).collect();
    if leading.is_empty() { BTreeSet::from([port]) } else { leading }
}

pub(super) fn is_about_host(host: &VirtualHost, patch: &ReadPatch) -> bool {
    wanted(patch).is_none_or(|wanted| {
        wanted.virtual_host.as_ref().is_none_or(|name| **name == *host.name)
            && wanted.domain.as_ref().is_none_or(|domain| host.domains.iter().any(|found| **found == **domain))
    })
}

fn is_about_route(found: &Route, patch: &ReadPatch) -> bool {
    let acts_so = |action| match action {
        RouteAction::Route => matches!(found.action, Some(route::Action::Route(_))),
        RouteAction::Redirect => matches!(found.action, Some(route::Action::Redirect(_))),
        RouteAction::DirectResponse => matches!(found.action, Some(route::Action::DirectResponse(_))),
    };
    wanted(patch).is_none_or(|wanted| wanted.route.as_ref().is_none_or(|name| **name == *found.name) && wanted.action.is_none_or(acts_so))
}
