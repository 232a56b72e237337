//! Objects that are at hand as the mesh would see them, without a watch: for who reads files, or lists once.

use k8s_openapi::api::{
    core::v1::{Node, Secret, Service},
    discovery::v1::EndpointSlice,
};
use kube::core::PartialObjectMeta;
use std::sync::Arc;

use super::{
    cluster::Cluster,
    update::{self, Fact, Form, Update},
};
use crate::config::kubernetes::PodView;
use crate::model::{ConfigObject, MeshConfig, Snapshot};

/// Objects, joined as the index joins those that it watches.
#[derive(Debug, Default)]
pub struct StillCluster {
    cluster: Cluster,
}

// === impl StillCluster ===

impl StillCluster {
    /// Nothing but the mesh's settings.
    pub fn new(mesh: MeshConfig) -> Self {
        let mut cluster = Cluster::new();
        cluster.take_in(Update::Mesh(Arc::new(mesh)));
        Self { cluster }
    }

    /// Adds a Service of a cluster with that DNS domain.
    pub fn add_service(&mut self, service: &Service, cluster_domain: &str) {
        self.add(update::service(service, cluster_domain));
    }

    /// Adds a part of a Service's endpoints.
    pub fn add_slice(&mut self, slice: &EndpointSlice) {
        self.add(update::slice(slice));
    }

    /// Adds a node, which says where its pods are.
    pub fn add_node(&mut self, node: &PartialObjectMeta<Node>) {
        self.add(update::node(node));
    }

    /// Adds a Secret.
    pub fn add_secret(&mut self, secret: &Secret) {
        self.add(update::secret(secret));
    }

    /// Adds a pod; one without an address is no workload.
    pub fn add_pod(&mut self, pod: &PodView) {
        self.add(update::pod(pod));
    }

    /// Adds an object of the mesh's configuration.
    pub fn add_config(&mut self, object: ConfigObject) {
        self.add(Fact { object: object.origin().clone(), form: Some(Form::Config(object)), verdict: None, carried: None });
    }

    /// What all of them make together.
    pub fn snapshot(mut self) -> Arc<Snapshot> {
        self.cluster.settle().0
    }

    fn add(&mut self, fact: Fact) {
        self.cluster.take_in(Update::One(fact));
    }
}
