//! Which VirtualService routes a host, for whom.

use std::sync::Arc;

use super::{input::Input, scope::Scope};
use crate::model::{HostPattern, HttpMatch, MESH_GATEWAY, ObjectRef, TcpMatch, VirtualService};

/// By whom a route is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller<'a> {
    /// `mesh` for a sidecar, `namespace/name` for a gateway.
    pub(super) gateway: &'a str,
    /// The port that clients call.
    pub(super) port: u16,
}

impl<'a> Scope<'a> {
    /// The VirtualService that routes a host for sidecars: one for that very host, else for the most specific wildcard that covers it;
    /// of several the oldest.
    pub(super) fn virtual_service(&self, host: &HostPattern, port: u16) -> Option<&'a Arc<VirtualService>> {
        self.reads(Input::VirtualServicesOf(host.clone()));
        self.reads(Input::WildcardVirtualServices);
        let table = &self.mesh.virtual_services;
        let mut candidates = table.exact(host).iter().chain(table.covering(host));
        candidates.find(|it| it.for_mesh() && self.sees_virtual_service(it, host, port))
    }

    /// The VirtualService of that name, whoever may see it.
    pub(super) fn named_virtual_service(&self, namespace: &str, name: &str) -> Option<&'a Arc<VirtualService>> {
        let object = ObjectRef::new("VirtualService", namespace, name);
        self.reads(Input::VirtualService(object.clone()));
        self.mesh.snapshot.config.virtual_services.get(&object)
    }

    /// All VirtualServices for sidecars, whoever may see them.
    pub(super) fn virtual_services(&self) -> impl Iterator<Item = &'a Arc<VirtualService>> + use<'a> {
        self.reads(Input::VirtualServices);
        self.mesh.snapshot.config.virtual_services.values().filter(|it| it.for_mesh())
    }

    /// The hosts that VirtualServices name for sidecars, and that no service has.
    pub(super) fn undeclared_hosts(&self, port: u16) -> Vec<&'a HostPattern> {
        // Not all that VirtualServices say counts here: a route that changes is no reason to look for hosts again.
        self.reads(Input::RoutedHosts);
        let routed = self.mesh.snapshot.config.virtual_services.values().filter(|it| it.for_mesh() && !it.http.is_empty());
        let mut hosts: Vec<_> = routed
            .flat_map(|it| it.hosts.iter().map(move |host| (it, host)))
            .filter(|(it, host)| self.services_named(host).next().is_none() && self.sees_virtual_service(it, host, port))
            .map(|(_, host)| host)
            .collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts
    }

    /// VirtualServices that hold for a gateway, the senior first.
    pub(super) fn virtual_services_on(&self, gateway: &Arc<str>) -> Vec<&'a Arc<VirtualService>> {
        self.reads(Input::VirtualServicesOn(gateway.clone()));
        let mesh = self.mesh;
        let bound = mesh.bound.get(gateway).into_iter().flatten();
        let mut found: Vec<_> = bound
            .filter_map(|object| mesh.snapshot.config.virtual_services.get(object))
            .filter(|it| self.sees(it.export_to.or(&self.settings().default_virtual_service_export_to), &it.origin.namespace))
            .collect();
        found.sort_by_key(|it| (it.created, &it.origin));
        found
    }

    fn sees_virtual_service(&self, it: &VirtualService, host: &HostPattern, port: u16) -> bool {
        let export_to = it.export_to.or(&self.settings().default_virtual_service_export_to);
        self.sees(export_to, &it.origin.namespace) && self.sidecar_admits(&it.origin.namespace, host, port)
    }

    /// Whether the conditions of an HTTP match that do not depend on the request hold.
    pub(super) fn may_match_http(&self, condition: &HttpMatch, caller: Caller<'_>) -> bool {
        // Sidecars know no claims of what their applications send: there such a condition never holds.
        (condition.claims.is_empty() || caller.gateway != MESH_GATEWAY)
            && self.concerns(caller, &condition.gateways, condition.port)
            && self.selected_by(&condition.source_labels)
            && condition.source_namespace.as_ref().is_none_or(|namespace| self.in_namespace(namespace))
    }

    /// Whether the conditions of a match that do not depend on the connection hold.
    pub(super) fn may_match_tcp(&self, condition: &TcpMatch, caller: Caller<'_>) -> bool {
        self.concerns(caller, &condition.gateways, condition.port)
            && self.selected_by(&condition.source_labels)
            && condition.source_namespace.as_ref().is_none_or(|namespace| self.in_namespace(namespace))
    }

    fn concerns(&self, caller: Caller<'_>, gateways: &[Arc<str>], port: Option<u16>) -> bool {
        (gateways.is_empty() || gateways.iter().any(|gateway| **gateway == *caller.gateway)) && port.is_none_or(|port| port == caller.port)
    }
}

impl Caller<'static> {
    /// A sidecar whose application calls that port.
    pub(super) fn sidecar(port: u16) -> Self {
        Self { gateway: MESH_GATEWAY, port }
    }
}
