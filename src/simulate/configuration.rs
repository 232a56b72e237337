//! A proxy's compiled resources, decoded.

use std::{collections::BTreeMap, sync::Arc};

use envoy_api::envoy::config::{
    cluster::v3::Cluster, endpoint::v3::ClusterLoadAssignment, listener::v3::Listener, route::v3::RouteConfiguration,
};
use prost::Message;

use crate::compile::{Compiled, Resource, ResourceType};
use crate::model::ObjectRef;

/// A resource, and the objects that shaped it.
#[derive(Debug)]
pub(super) struct Known<M> {
    pub(super) message: M,
    pub(super) sources: Arc<[ObjectRef]>,
}

/// All that a proxy is told.
#[derive(Debug)]
pub struct Configuration {
    pub(super) clusters: BTreeMap<Arc<str>, Known<Cluster>>,
    pub(super) endpoints: BTreeMap<Arc<str>, Known<ClusterLoadAssignment>>,
    pub(super) listeners: BTreeMap<Arc<str>, Known<Listener>>,
    pub(super) tables: BTreeMap<Arc<str>, Known<RouteConfiguration>>,
}

/// A resource that is not what it should be.
#[derive(Debug, thiserror::Error)]
#[error("resource {name} can't be decoded")]
pub struct Undecodable {
    name: String,
    #[source]
    source: prost::DecodeError,
}

// === impl Configuration ===

impl Configuration {
    /// Decodes what was compiled.
    ///
    /// # Errors
    /// When a resource is not of its type.
    pub fn of(compiled: &Compiled) -> Result<Self, Undecodable> {
        Ok(Self {
            clusters: decoded(compiled, ResourceType::Cluster)?,
            endpoints: decoded(compiled, ResourceType::Endpoints)?,
            listeners: decoded(compiled, ResourceType::Listener)?,
            tables: tables(compiled)?,
        })
    }
}

// === impl Undecodable ===

impl Undecodable {
    fn because(resource: &Resource, source: prost::DecodeError) -> Self {
        Self { name: resource.name.to_string(), source }
    }
}

/// The route tables, with all their virtual hosts.
fn tables(compiled: &Compiled) -> Result<BTreeMap<Arc<str>, Known<RouteConfiguration>>, Undecodable> {
    let put_together = |resource: &Arc<Resource>| -> Result<_, Undecodable> {
        let whole = compiled.whole_table(resource).map_err(|source| Undecodable::because(resource, source))?;
        Ok((resource.name.clone(), Known { message: whole.message, sources: whole.sources }))
    };
    compiled.resources(ResourceType::Route).into_iter().map(put_together).collect()
}

fn decoded<M: Message + Default>(compiled: &Compiled, kind: ResourceType) -> Result<BTreeMap<Arc<str>, Known<M>>, Undecodable> {
    let decode = |resource: &Arc<Resource>| -> Result<_, Undecodable> {
        let message = M::decode(&*resource.body).map_err(|source| Undecodable::because(resource, source))?;
        Ok((resource.name.clone(), Known { message, sources: resource.sources.clone() }))
    };
    compiled.resources(kind).into_iter().map(decode).collect()
}
