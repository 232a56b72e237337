//! What compiling yields: named, encoded Envoy resources, each with its hash and the objects that it came from.

use std::{fmt, hash::BuildHasher, sync::Arc};

use bytes::Bytes;
use foldhash::quality::FixedState;
use prost::Message;

use crate::model::ObjectRef;

/// Any constant: hashes must agree between processes.
const HASH_SEED: u64 = 0x6665_7272_6f6d;

/// The kinds of Envoy resources, in the order in which they must reach a proxy: what is named before who names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ResourceType {
    /// Upstreams (CDS).
    Cluster,
    /// Addresses of upstreams (EDS).
    Endpoints,
    /// Certificates, keys and authorities (SDS). Clusters and listeners make proxies ask for them.
    Secret,
    /// Sockets and filter chains (LDS).
    Listener,
    /// HTTP route tables (RDS).
    Route,
    /// Virtual hosts of route tables (VHDS), called `TABLE/HOST`. They belong to a table, and mean nothing to who does not have it.
    VirtualHost,
    /// Hosts with their addresses, for the pod's agent, which answers its application's DNS queries. No proxy asks for them.
    Name,
}

impl ResourceType {
    /// All kinds, in sending order.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Cluster, Self::Endpoints, Self::Secret, Self::Listener, Self::Route, Self::VirtualHost, Self::Name];
    /// How many kinds there are.
    pub const COUNT: usize = 7;

    /// The type URL that the xDS protocol uses.
    pub fn type_url(self) -> &'static str {
        match self {
            Self::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Self::Endpoints => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            Self::Secret => "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            Self::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Self::Route => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            Self::VirtualHost => "type.googleapis.com/envoy.config.route.v3.VirtualHost",
            Self::Name => "type.googleapis.com/envoy.data.dns.v3.DnsTable.DnsVirtualDomain",
        }
    }

    /// The kind of a type URL; `None` for one that is not served.
    pub fn of_type_url(url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.type_url() == url)
    }
}

/// One encoded resource. Cheap to share: proxies of equal scope hold the same one. Its debug form leaves the body out, which may be a key.
#[derive(Clone, PartialEq)]
pub struct Resource {
    /// What it is.
    pub kind: ResourceType,
    /// Its name, unique within the kind for a proxy.
    pub name: Arc<str>,
    /// The encoded message: the value of an `Any` with the kind's type URL.
    pub body: Bytes,
    /// Hash of the body, the same in every process of one version: usable as the resource's xDS version.
    pub hash: u64,
    /// The objects that shaped it, sorted.
    pub sources: Arc<[ObjectRef]>,
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, hash, sources, .. } = self;
        f.debug_struct("Resource")
            .field("kind", kind)
            .field("name", name)
            .field("hash", hash)
            .field("sources", sources)
            .finish_non_exhaustive()
    }
}

/// An encoded message that is about to become a [`Resource`].
pub(super) struct Draft {
    pub(super) kind: ResourceType,
    pub(super) name: Arc<str>,
    body: Bytes,
}

impl Draft {
    /// Encodes a message.
    pub(super) fn new(kind: ResourceType, name: &str, message: &impl Message) -> Self {
        Self { kind, name: name.into(), body: Bytes::from(message.encode_to_vec()) }
    }

    /// The message that was encoded; `None` if it is no `M`.
    pub(super) fn message<M: Message + Default>(&self) -> Option<M> {
        M::decode(&*self.body).ok()
    }

    /// The resource, with the objects that shaped it.
    pub(super) fn into_resource(self, sources: Arc<[ObjectRef]>) -> Resource {
        let hash = FixedState::with_seed(HASH_SEED).hash_one(&self.body[..]);
        Resource { kind: self.kind, name: self.name, body: self.body, hash, sources }
    }
}
