//! WasmPlugins and TrafficExtensions: users' code among the filters of proxies.
//!
//! `table` keeps both kinds as one; `code` makes a filter of a script or module, `module` says where modules are fetched. Code of the
//! phase AUTHN stands before the filters of authentication, AUTHZ before those of authorization, all other before what follows, with
//! STATS first; in a phase the greatest priority comes first. That is the reference's order.

mod code;
mod module;
mod table;

use std::{cmp::Reverse, sync::Arc};

use envoy_api::envoy::{
    config::listener::v3::{Filter, FilterChain, Listener},
    extensions::filters::network::http_connection_manager::v3::HttpFilter,
};

pub(super) use module::{name_users_of, sources};
pub(super) use table::ExtensionTable;

use super::{
    input::Input,
    naming::VIRTUAL_OUTBOUND,
    patch::{Stage, port_of, with_manager},
    resource::{Draft, ResourceType},
    scope::Scope,
};
use crate::model::{ExtensionPhase, PolicyTarget, TrafficDirection};
use table::Extension;

/// A listener with the code that users want in it.
pub(super) fn extended(scope: &Scope<'_>, inbound: bool, draft: Draft) -> Draft {
    // What no service is known for leaves without being looked at.
    if draft.kind != ResourceType::Listener || *draft.name == *VIRTUAL_OUTBOUND {
        return draft;
    }
    let direction = if inbound { TrafficDirection::Inbound } else { TrafficDirection::Outbound };
    let extensions: Vec<&Arc<Extension>> = scope.extensions().into_iter().filter(|it| it.sees(direction)).collect();
    if extensions.is_empty() {
        return draft;
    }
    let Some(mut listener) = draft.message::<Listener>() else { return draft };
    let port = if inbound { None } else { port_of(&listener) };
    // From the last to the first: each comes before what was put in before it.
    for extension in extensions.into_iter().rev() {
        for chain in listener.filter_chains.iter_mut().chain(&mut listener.default_filter_chain) {
            let own = chain.filter_chain_match.as_ref().and_then(|it| it.destination_port);
            let port = port.or_else(|| own.and_then(|port| u16::try_from(port).ok()));
            if extension.takes(direction, port) && !leads_nowhere(chain) {
                extend(scope, extension, chain);
            }
        }
    }
    Draft::new(draft.kind, &draft.name, &listener)
}

/// Whether a chain is there to end connections.
fn leads_nowhere(chain: &FilterChain) -> bool {
    chain.name.ends_with("-blackhole")
}

fn extend(scope: &Scope<'_>, extension: &Extension, chain: &mut FilterChain) {
    let stage = match extension.placement.phase {
        ExtensionPhase::Authentication => Stage::Authentication,
        ExtensionPhase::Authorization => Stage::Authorization,
        ExtensionPhase::Statistics | ExtensionPhase::Last => Stage::Later,
    };
    if extension.is_network() {
        if let Some(config) = code::of_network(scope, extension) {
            let filter = Filter { name: extension.name.to_string(), config_type: Some(config) };
            chain.filters.insert(stage.begins(&chain.filters), filter);
            scope.shaped_by(&extension.origin);
        }
        return;
    }
    for filter in &mut chain.filters {
        with_manager(filter, |manager| {
            if let Some(config) = code::of_http(scope, extension) {
                let filter = HttpFilter { name: extension.name.to_string(), config_type: Some(config), ..HttpFilter::default() };
                manager.http_filters.insert(stage.begins(&manager.http_filters), filter);
                scope.shaped_by(&extension.origin);
            }
        });
    }
}

impl<'a> Scope<'a> {
    /// The code that the proxy runs, in the order in which traffic passes it.
    fn extensions(&self) -> Vec<&'a Arc<Extension>> {
        self.reads(Input::ExtendedNamespaces);
        let all = self.mesh.extensions.by_namespace();
        if all.is_empty() {
            return Vec::new();
        }
        let mut chosen = Vec::new();
        for (place, namespace) in self.root_and_own(all).into_iter().enumerate() {
            self.reads(Input::Extensions(namespace.clone()));
            let selected = all.get(&namespace).into_iter().flatten().filter(|it| match &it.placement.target {
                PolicyTarget::Workloads(labels) => self.selected_by(labels),
                PolicyTarget::Resources(resources) => self.stands_behind(resources, &namespace),
            });
            chosen.extend(selected.map(|it| (place, it)));
        }
        chosen.sort_by_key(|(place, it)| (it.placement.phase, Reverse(it.placement.priority), *place, it.created, &it.name));
        chosen.into_iter().map(|(_, it)| it).collect()
    }
}
