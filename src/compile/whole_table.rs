//! Route tables whose virtual hosts are sent apart from them, put together again: what a proxy makes of them, and what people know.

use std::{collections::BTreeSet, ops::Bound, sync::Arc};

use envoy_api::envoy::config::route::v3::{RouteConfiguration, VirtualHost};
use prost::{DecodeError, Message};

use super::{
    Compiled,
    naming::table_and_host,
    resource::{Resource, ResourceType},
};
use crate::model::ObjectRef;

/// A route table with all its virtual hosts, each by the name that it has in a table that is sent whole.
#[derive(Debug)]
pub struct WholeTable {
    /// The table.
    pub message: RouteConfiguration,
    /// The objects that shaped it or one of its hosts, sorted.
    pub sources: Arc<[ObjectRef]>,
}

impl Compiled {
    /// The virtual hosts of the table of that name that are sent apart from it, sorted by name.
    pub fn hosts_of<'a>(&'a self, table: &'a str) -> impl Iterator<Item = &'a Arc<Resource>> {
        let is_of_table = move |name: &str| table_and_host(name).is_some_and(|(own, _)| own == table);
        self.of(ResourceType::VirtualHost).flat_map(move |section| {
            let following = section.resources.range::<str, _>((Bound::Excluded(table), Bound::Unbounded));
            let of_prefix = following.take_while(move |(name, _)| name.starts_with(table));
            of_prefix.filter(move |(name, _)| is_of_table(name)).map(|(_, resource)| resource)
        })
    }

    /// A route table with the virtual hosts that are sent apart from it.
    ///
    /// # Errors
    /// When a resource is not of its type.
    pub fn whole_table(&self, table: &Resource) -> Result<WholeTable, DecodeError> {
        let mut message = RouteConfiguration::decode(&*table.body)?;
        message.vhds = None;
        let mut sources: BTreeSet<&ObjectRef> = table.sources.iter().collect();
        let mut hosts = Vec::new();
        for resource in self.hosts_of(&table.name) {
            let mut host = VirtualHost::decode(&*resource.body)?;
            if let Some((_, name)) = table_and_host(&resource.name) {
                name.clone_into(&mut host.name);
            }
            hosts.push(host);
            sources.extend(&*resource.sources);
        }
        hosts.append(&mut message.virtual_hosts);
        message.virtual_hosts = hosts;
        Ok(WholeTable { message, sources: sources.into_iter().cloned().collect() })
    }
}
