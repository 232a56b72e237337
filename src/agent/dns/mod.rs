//! The application's DNS queries, which the redirect rules send here.
//!
//! Hosts that the mesh knows are answered from a table, which pilot sends the agent on a stream of its own and keeps up to date; the last
//! table stays while pilot is away. Everything else goes to the servers that the pod has anyway, and their replies come back as they
//! are: by UDP a reply that was cut off says so, and the application's resolver asks again by TCP.

mod answer;
mod resolv_conf;
mod server;
mod subscription;
mod table;
#[cfg(test)]
mod tests;
mod upstream;

use std::io;

pub use resolv_conf::ResolvConf;

use self::{
    server::{Counts, DnsListeners, Resolver},
    subscription::Subscription,
    table::NameTable,
    upstream::Upstream,
};
use super::ProxyFacts;
use crate::runtime::{CertificateSource, Registry, Tasks};

/// Where DNS servers listen.
const DNS_PORT: u16 = 53;

/// How the application's queries are answered.
#[derive(Clone, Debug)]
pub struct DnsConfig {
    /// The port that they are redirected to.
    pub port: u16,
    /// The pod's own servers and search domains.
    pub resolv_conf: ResolvConf,
}

/// The resolver's sockets.
#[derive(Debug)]
pub(super) struct Dns {
    listeners: DnsListeners,
    resolv_conf: ResolvConf,
}

// === impl Dns ===

impl Dns {
    /// Binds the resolver's port.
    ///
    /// # Errors
    /// When it is taken.
    pub(super) async fn bind(config: &DnsConfig) -> io::Result<Self> {
        Ok(Self { listeners: DnsListeners::bind(config.port).await?, resolv_conf: config.resolv_conf.clone() })
    }

    /// Answers queries, and keeps the table that they are answered from.
    pub(super) fn start(self, facts: &ProxyFacts, certificate: CertificateSource, tasks: &mut Tasks, registry: &mut Registry) {
        let table = NameTable::default();
        let resolver = Resolver {
            table: table.clone(),
            search: self.resolv_conf.search.into(),
            upstream: Upstream::new(&self.resolv_conf.servers, DNS_PORT),
            counts: Counts::register(registry),
        };
        let shutdown = tasks.shutdown();
        tasks.spawn("dns", self.listeners.serve(resolver, shutdown.clone()));
        tasks.spawn("names", Subscription::new(facts, table, certificate).run(shutdown));
    }
}
