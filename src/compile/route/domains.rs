//! Names under which an application may call a service.

use std::{
    collections::{BTreeSet, HashSet},
    net::IpAddr,
    sync::Arc,
};

use crate::model::{HostPattern, Resolution, Service};

/// Names of one table that are taken. Envoy refuses a table in which two virtual hosts have one.
#[derive(Debug, Default)]
pub(in crate::compile) struct Domains {
    taken: HashSet<String>,
}

/// Names that a host would have if no other one had them.
pub(in crate::compile) type Withheld = Arc<[Box<str>]>;

impl Domains {
    /// A table in which each of these hosts keeps its full name, whatever others are called for short.
    pub(in crate::compile) fn reserving<'a>(hosts: impl Iterator<Item = &'a HostPattern>) -> Self {
        Self { taken: hosts.map(|host| host.as_str().to_owned()).collect() }
    }

    /// Takes the names that are free; returns those that are not.
    pub(in crate::compile) fn take(&mut self, names: Vec<String>) -> Withheld {
        let mut withheld = BTreeSet::new();
        for name in distinct(names) {
            if !self.taken.contains(&name) {
                self.taken.insert(name);
            } else {
                withheld.insert(name.into_boxed_str());
            }
        }
        withheld.into_iter().collect()
    }
}

/// Each name once, in the order in which they first come.
fn distinct(names: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    names.into_iter().filter(|name| seen.insert(name.clone())).collect()
}

/// The names that are not withheld.
pub(in crate::compile) fn free(names: Vec<String>, withheld: &[Box<str>]) -> Vec<String> {
    distinct(names).into_iter().filter(|name| withheld.binary_search_by(|other| (**other).cmp(name.as_str())).is_err()).collect()
}

/// The domains of a host that is called on that port: its own name and others, each with and without the port.
pub(super) fn on_port(host: &HostPattern, others: Vec<String>, port: u16) -> Vec<String> {
    let names = [host.as_str().to_owned()].into_iter().chain(others);
    names
        .flat_map(|name| {
            let with_port = format!("{name}:{port}");
            [name, with_port]
        })
        .collect()
}

/// The same in a table for several ports, where a name without the port is the first one's.
pub(super) fn on_ports(host: &HostPattern, others: Vec<String>, port: u16) -> Vec<String> {
    let names = [host.as_str().to_owned()].into_iter().chain(others);
    names.flat_map(|name| [format!("{name}:{port}"), name]).collect()
}

/// What a service is called beside its full name: shorter names, as far as they lead to it from where the proxy is, and its addresses.
/// `near` says whether the proxy is in the service's namespace, `addresses` under which addresses its application knows the service.
pub(super) fn other_names(service: &Service, near: bool, addresses: &[IpAddr]) -> Vec<String> {
    let mut names = short_names(service, near);
    if service.resolution == Resolution::Passthrough && service.origin.kind == "Service" {
        // Pods of a headless service have names of their own below it.
        let below = [service.key.host.as_str()].into_iter().chain(names.iter().map(String::as_str)).map(|name| format!("*.{name}"));
        names.extend(below.collect::<Vec<_>>());
    }
    names.extend(addresses.iter().map(|address| match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }));
    names
}

/// Whether a service has names that are shorter than its host.
pub(in crate::compile) fn namespace_that_shortens(service: &Arc<Service>) -> Option<&Arc<str>> {
    (service.origin.kind == "Service").then_some(&service.key.namespace)
}

/// Shorter names of a service than its host, as far as they lead to it from its namespace (`near`) or from elsewhere.
pub(in crate::compile) fn short_names(service: &Service, near: bool) -> Vec<String> {
    if service.origin.kind != "Service" {
        return Vec::new();
    }
    let (name, namespace) = (&service.name, &service.key.namespace);
    let mut names = vec![format!("{name}.{namespace}"), format!("{name}.{namespace}.svc")];
    if near {
        names.insert(0, name.to_string());
    }
    names
}
