//! What gRPC libraries get that speak xDS themselves, in applications without an Envoy beside them: of what is compiled for sidecars that
//! which they know, in the form in which they take it.
//!
//! A library asks for each resource by name: for the listener that is called as its target is, for the route table that this names, and so
//! on. It refuses a resource that has a thing in it that it does not know, where Envoy has much that it will not miss. So clusters, endpoints
//! and routes are made by the code that makes Envoy's, and taken over as far as gRPC knows them. A cluster that it could not call as it is to
//! be called, say by TLS of another kind than the mesh's, is not there for it: calls fail, and don't go out in plain text.

mod cluster;
mod listener;
mod route;

use std::{net::SocketAddr, sync::Arc};

use super::{
    cluster::outbound_keys,
    naming::ClusterKey,
    resource::{Draft, ResourceType},
    scope::Scope,
    section::SectionKind,
};
use crate::model::{Protocol, Service, ServiceKey};

/// What an application may call by name: services with their ports.
fn called<'a>(scope: &Scope<'a>) -> Vec<(&'a Arc<Service>, Vec<u16>)> {
    let ports = |service| scope.visible_ports(service).filter(|port| port.protocol != Protocol::Udp).map(|port| port.number).collect();
    let services = scope.visible_services().into_iter().filter(|service| !service.key.host.is_wildcard());
    services.map(|service| (service, ports(service))).collect()
}

/// A section of what a gRPC library gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum GrpcSection {
    /// Clusters for all that the application may call.
    Clusters,
    /// Their endpoints.
    Endpoints,
    /// What the application's clients ask for first.
    Targets,
    /// What its servers ask for.
    Servers,
    /// Routes to services.
    Routes,
}

/// One resource of these.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum GrpcRecipe {
    /// The cluster of a service's port.
    Cluster(ClusterKey),
    /// Its endpoints.
    Endpoints(ClusterKey),
    /// The listener of a service's port for clients whose target is called so.
    Target {
        /// The service.
        service: ServiceKey,
        /// What clients call it, without the port.
        called: Arc<str>,
        /// The port.
        port: u16,
    },
    /// The listener of a server that is bound there.
    Server(SocketAddr),
    /// The routes of a service's port.
    Routes(ServiceKey, u16),
}

// === impl GrpcSection ===

impl GrpcSection {
    /// All of them.
    pub(super) const ALL: [SectionKind; 5] = [
        SectionKind::Grpc(Self::Clusters),
        SectionKind::Grpc(Self::Endpoints),
        SectionKind::Grpc(Self::Targets),
        SectionKind::Grpc(Self::Servers),
        SectionKind::Grpc(Self::Routes),
    ];

    pub(super) fn resource_type(self) -> ResourceType {
        match self {
            Self::Clusters => ResourceType::Cluster,
            Self::Endpoints => ResourceType::Endpoints,
            Self::Targets | Self::Servers => ResourceType::Listener,
            Self::Routes => ResourceType::Route,
        }
    }

    /// The recipes of the section, as far as the application is concerned.
    pub(super) fn recipes(self, scope: &Scope<'_>) -> Vec<GrpcRecipe> {
        match self {
            Self::Clusters => outbound_keys(scope).into_iter().map(GrpcRecipe::Cluster).collect(),
            Self::Endpoints => outbound_keys(scope).into_iter().map(GrpcRecipe::Endpoints).collect(),
            Self::Targets => listener::targets(scope),
            Self::Servers => listener::servers(scope),
            Self::Routes => route::tables(scope),
        }
    }
}

// === impl GrpcRecipe ===

impl GrpcRecipe {
    /// Compiles it; `None` where there is nothing for gRPC.
    pub(super) fn draft(&self, scope: &Scope<'_>) -> Option<Draft> {
        match self {
            Self::Cluster(key) => cluster::cluster(scope, key),
            Self::Endpoints(key) => cluster::endpoints(scope, key),
            Self::Target { service, called, port } => listener::target(scope, service, called, *port),
            Self::Server(address) => listener::server(scope, *address),
            Self::Routes(service, port) => route::table(scope, service, *port),
        }
    }
}
