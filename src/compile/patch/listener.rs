//! Patches of listeners, and of what is in them.

use std::sync::Arc;

use envoy_api::envoy::{
    config::{
        core::v3::{address, socket_address::PortSpecifier},
        listener::v3::{Filter, FilterChain, Listener, filter},
    },
    extensions::filters::network::http_connection_manager::v3::{HttpConnectionManager, http_connection_manager::RouteSpecifier},
};
use envoy_api::{any, unpack};

use super::{
    apply::{adds, merge, message},
    route,
    sequence::{Element, change, resolve},
    table::{ReadPatch, Subject},
};
use crate::compile::{
    naming::{VIRTUAL_INBOUND, VIRTUAL_OUTBOUND},
    resource::Draft,
    scope::Scope,
};
use crate::model::{FilterChainMatch, ListenerMatch, ObjectMatch, PatchContext, PatchOperation, PatchedObject};

/// What users make of a listener; `None` if they remove it.
pub(super) fn patched(scope: &Scope<'_>, context: PatchContext, draft: Draft) -> Option<Draft> {
    // Routes of callers stand in the listener itself.
    let routes = if context == PatchContext::SidecarInbound { scope.patches(Subject::Routes, context) } else { Vec::new() };
    let patches = scope.patches(Subject::Listeners, context);
    if patches.is_empty() && routes.is_empty() {
        return Some(draft);
    }
    let Some(mut listener) = draft.message::<Listener>() else { return Some(draft) };
    if !routes.is_empty() {
        for filter in listener.filter_chains.iter_mut().flat_map(|chain| &mut chain.filters) {
            with_manager(filter, |manager| {
                if let Some(RouteSpecifier::RouteConfig(table)) = &mut manager.route_specifier {
                    route::change(scope, context, &routes, table);
                }
            });
        }
    }
    let patches = patches.into_iter().filter(|patch| may_hold(&listener, patch)).collect();
    Patched { scope, patches }.listener(&mut listener)?;
    Some(Draft::new(draft.kind, &listener.name, &listener))
}

/// Lets a connection manager be changed, if the filter is one.
pub(in crate::compile) fn with_manager(filter: &mut Filter, change: impl FnOnce(&mut HttpConnectionManager)) {
    let Some(filter::ConfigType::TypedConfig(config)) = &mut filter.config_type else { return };
    if let Ok(mut manager) = unpack::<HttpConnectionManager>(config) {
        change(&mut manager);
        *config = any(&manager);
    }
}

struct Patched<'s, 'a> {
    scope: &'s Scope<'a>,
    patches: Vec<&'a ReadPatch>,
}

impl Patched<'_, '_> {
    /// The patches of such objects for which something holds, in order.
    fn of(&self, objects: PatchedObject, holds: impl Fn(&ReadPatch) -> bool) -> Vec<&ReadPatch> {
        self.patches.iter().copied().filter(|patch| patch.patch.apply_to == objects && holds(patch)).collect()
    }

    /// `None` if the listener is removed.
    fn listener(&self, listener: &mut Listener) -> Option<()> {
        for patch in self.of(PatchedObject::Listener, |_| true) {
            match patch.patch.operation {
                PatchOperation::Remove => return None,
                _ => merge(self.scope, listener, patch),
            }
        }
        change(self.scope, &mut listener.listener_filters, &self.of(PatchedObject::ListenerFilter, |_| true), |patch| {
            of_listener(patch)?.listener_filter.as_deref()
        });
        let virtual_one = is_virtual(listener);
        listener.filter_chains.retain_mut(|chain| self.chain(virtual_one, chain));
        if listener.default_filter_chain.as_mut().is_some_and(|chain| !self.chain(virtual_one, chain)) {
            listener.default_filter_chain = None;
        }
        for patch in self.of(PatchedObject::FilterChain, |patch| adds(&patch.patch.operation)) {
            if let Some(chain) = message(self.scope, patch) {
                listener.filter_chains.push(chain);
                self.scope.shaped_by(&patch.origin);
            }
        }
        Some(())
    }

    /// Whether the chain stays.
    fn chain(&self, virtual_one: bool, chain: &mut FilterChain) -> bool {
        let here = |chain: &FilterChain, patch: &ReadPatch| is_about_chain(virtual_one, chain, patch);
        for patch in self.of(PatchedObject::FilterChain, |patch| here(chain, patch)) {
            match patch.patch.operation {
                PatchOperation::Remove => {
                    self.scope.shaped_by(&patch.origin);
                    return false;
                }
                _ => merge(self.scope, chain, patch),
            }
        }
        let network = self.of(PatchedObject::NetworkFilter, |patch| here(chain, patch));
        let http = self.of(PatchedObject::HttpFilter, |patch| here(chain, patch));
        let extensions = self.of(PatchedObject::ExtensionConfig, |_| true);
        change(self.scope, &mut chain.filters, &network, |patch| of_chain(patch)?.filter.as_deref());
        resolve(self.scope, &mut chain.filters, &extensions);
        for filter in &mut chain.filters {
            let http: Vec<_> = http.iter().copied().filter(|patch| names_manager(patch, filter)).collect();
            if !http.is_empty() {
                with_manager(filter, |manager| {
                    change(self.scope, &mut manager.http_filters, &http, |patch| of_chain(patch)?.sub_filter.as_deref());
                    resolve(self.scope, &mut manager.http_filters, &extensions);
                });
            }
        }
        true
    }
}

fn of_listener(patch: &ReadPatch) -> Option<&ListenerMatch> {
    match &patch.patch.object {
        ObjectMatch::Listener(wanted) => Some(wanted),
        _ => None,
    }
}

fn of_chain(patch: &ReadPatch) -> Option<&FilterChainMatch> {
    of_listener(patch)?.filter_chain.as_ref()
}

fn names_manager(patch: &ReadPatch, filter: &Filter) -> bool {
    of_chain(patch).and_then(|wanted| wanted.filter.as_deref()).is_none_or(|name| name == filter.label())
}

/// Whether a listener takes connections for all ports: then the ports that patches are about are those of its chains.
fn is_virtual(listener: &Listener) -> bool {
    [VIRTUAL_INBOUND, VIRTUAL_OUTBOUND].contains(&&*listener.name)
}

fn may_hold(listener: &Listener, patch: &ReadPatch) -> bool {
    let Some(wanted) = of_listener(patch) else { return true };
    if wanted.name.as_ref().is_some_and(|name| **name != *listener.name) {
        return false;
    }
    let by_chains = is_virtual(listener) && patch.patch.apply_to != PatchedObject::Listener;
    by_chains || wanted.port.is_none_or(|port| port_of(listener) == Some(port))
}

/// The port on which a listener listens.
pub(in crate::compile) fn port_of(listener: &Listener) -> Option<u16> {
    match listener.address.as_ref()?.address.as_ref()? {
        address::Address::SocketAddress(socket) => match socket.port_specifier.as_ref()? {
            PortSpecifier::PortValue(port) => u16::try_from(*port).ok(),
            PortSpecifier::NamedPort(_) => None,
        },
        _ => None,
    }
}

fn is_about_chain(virtual_one: bool, chain: &FilterChain, patch: &ReadPatch) -> bool {
    let Some(listener) = of_listener(patch) else { return true };
    let condition = chain.filter_chain_match.clone().unwrap_or_default();
    let port = condition.destination_port;
    if virtual_one && listener.port.is_some_and(|wanted| port != Some(wanted.into())) {
        return false;
    }
    let Some(wanted) = &listener.filter_chain else { return true };
    let is = |wanted: &Option<Arc<str>>, found: &str| wanted.as_ref().is_none_or(|wanted| **wanted == *found);
    let one_of = |wanted: &Arc<str>, found: &[String]| found.iter().any(|found| **found == **wanted);
    is(&wanted.name, &chain.name)
        && wanted.sni.as_ref().is_none_or(|sni| one_of(sni, &condition.server_names))
        && is(&wanted.transport_protocol, &condition.transport_protocol)
        && wanted.application_protocols.iter().all(|protocol| one_of(protocol, &condition.application_protocols))
        && wanted.destination_port.is_none_or(|wanted| port == Some(wanted.into()))
}
