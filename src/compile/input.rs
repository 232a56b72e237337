//! Parts of the snapshot that compiling may read, as fine as changes are told apart.

use std::sync::Arc;

use super::patch::Subject;
use crate::model::{HostPattern, ObjectRef, SecretKey, ServiceKey, WorkloadKey};

/// One part of the snapshot, or of what [`super::mesh::Mesh`] derives from it. A resource notes each that it read; a change dirties
/// some of them, and only resources that read one of those are compiled again.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Input {
    /// The mesh's settings.
    Settings,
    /// Which services exist, with their ports and visibility.
    Services,
    /// Which services have that port, and what they and the others of their hosts are.
    Port(u16),
    /// Which services select workloads of that namespace.
    Selectors(Arc<str>),
    /// One service, or its absence.
    Service(ServiceKey),
    /// Services of one host, whatever the namespace.
    Host(HostPattern),
    /// Which services are found by the names in requests, and what they are.
    DynamicServices,
    /// The endpoints of a service.
    Endpoints(ServiceKey),
    /// Which services are gateways of networks, and at which addresses.
    NetworkGateways,
    /// Whom a service's endpoints run as.
    Identities(ServiceKey),
    /// A workload.
    Workload(WorkloadKey),
    /// DestinationRules for that very host.
    RulesOf(HostPattern),
    /// DestinationRules for wildcard hosts.
    WildcardRules,
    /// Whether DestinationRules for that very host say what concerns routes.
    RoutingRulesOf(HostPattern),
    /// Whether DestinationRules for wildcard hosts say what concerns routes.
    WildcardRoutingRules,
    /// Which VirtualServices exist, and all that they say.
    VirtualServices,
    /// For which hosts VirtualServices speak, and to whom.
    RoutedHosts,
    /// One VirtualService, or its absence.
    VirtualService(ObjectRef),
    /// VirtualServices that name that gateway.
    VirtualServicesOn(Arc<str>),
    /// VirtualServices that name that very host.
    VirtualServicesOf(HostPattern),
    /// VirtualServices that name a wildcard host.
    WildcardVirtualServices,
    /// The Gateways.
    Gateways,
    /// One Gateway, or its absence.
    Gateway(ObjectRef),
    /// The Sidecars.
    Sidecars,
    /// The PeerAuthentications of a namespace.
    PeerAuthentications(Arc<str>),
    /// In which namespaces there are RequestAuthentications.
    CheckingNamespaces,
    /// The RequestAuthentications of a namespace.
    RequestAuthentications(Arc<str>),
    /// In which namespaces there are EnvoyFilters about resources of a kind.
    PatchedNamespaces(Subject),
    /// The EnvoyFilters of a namespace about resources of a kind.
    Patches(Subject, Arc<str>),
    /// In which namespaces there are WasmPlugins or TrafficExtensions.
    ExtendedNamespaces,
    /// The WasmPlugins and TrafficExtensions of a namespace.
    Extensions(Arc<str>),
    /// The DestinationRules that name Secrets.
    RulesWithSecrets,
    /// What a Secret holds.
    Secret(SecretKey),
}
