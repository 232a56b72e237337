//! The mesh that pilot reads from the API server: services on one HTTP port with endpoints that nobody runs, and one VirtualService.

use anyhow::Context;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use std::ops::Range;

/// The namespace of all that is made.
pub(super) const NAMESPACE: &str = "ferromesh-bench-xds";
/// Requests to the API server at a time.
const AT_ONCE: usize = 16;
/// Makes kube-proxy leave them alone, whose rules for them would cost the machine more than pilot.
const UNPROXIED: &str = "service.kubernetes.io/service-proxy-name";
const ROUTE: &str = "bench";

/// What is there, and what it is next changed to.
pub(super) struct Mesh {
    client: Client,
    /// Endpoints of each service.
    endpoints: usize,
    services: usize,
    changes: usize,
}

// === impl Mesh ===

impl Mesh {
    /// A mesh of one service with a route, in a namespace that is there.
    pub(super) async fn new(client: Client, endpoints: usize) -> anyhow::Result<Self> {
        let mut mesh = Self { client, endpoints, services: 0, changes: 0 };
        mesh.grow(1).await?;
        mesh.change_route().await?;
        Ok(mesh)
    }

    /// How many services there are.
    pub(super) fn services(&self) -> usize {
        self.services
    }

    /// Makes services until there are so many.
    pub(super) async fn grow(&mut self, services: usize) -> anyhow::Result<()> {
        let (mesh, new): (&Self, Range<usize>) = (self, self.services..services);
        let created = stream::iter(new).map(|number| mesh.create(number));
        created.buffer_unordered(AT_ONCE).try_collect::<()>().await.context("a service can't be made")?;
        self.services = self.services.max(services);
        Ok(())
    }

    async fn create(&self, number: usize) -> anyhow::Result<()> {
        let services: Api<Service> = Api::namespaced(self.client.clone(), NAMESPACE);
        services.create(&PostParams::default(), &serde_json::from_value(service(number))?).await?;
        let slice = slice(number, &self.addresses(number));
        self.slices().create(&PostParams::default(), &serde_json::from_value(slice)?).await?;
        Ok(())
    }

    fn slices(&self) -> Api<EndpointSlice> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// The addresses of a service's endpoints, none of which is another's.
    fn addresses(&self, service: usize) -> Vec<String> {
        (0..self.endpoints).map(|endpoint| address(200, service * self.endpoints + endpoint)).collect()
    }

    /// Gives one endpoint of the first service another address: any two changes take one resource to and fro.
    pub(super) async fn change_endpoint(&mut self) -> anyhow::Result<()> {
        self.changes += 1;
        let mut addresses = self.addresses(0);
        if let Some(first) = addresses.first_mut() {
            *first = address(220, self.changes);
        }
        let patch = json!({"endpoints": slice(0, &addresses)["endpoints"]});
        self.slices().patch(&name(0), &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// Gives the route of the first service another time-out.
    pub(super) async fn change_route(&mut self) -> anyhow::Result<()> {
        self.changes += 1;
        let resource = ApiResource {
            group: "networking.istio.io".to_owned(),
            version: "v1".to_owned(),
            api_version: "networking.istio.io/v1".to_owned(),
            kind: "VirtualService".to_owned(),
            plural: "virtualservices".to_owned(),
        };
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), NAMESPACE, &resource);
        let applied = Patch::Apply(virtual_service(self.changes));
        api.patch(ROUTE, &PatchParams::apply("ferromesh-bench").force(), &applied).await.context("are the CRDs installed?")?;
        Ok(())
    }
}

fn name(service: usize) -> String {
    format!("shop-{service}")
}

/// Addresses of 10.NETWORK.0.0/16, counted.
fn address(network: u8, number: usize) -> String {
    format!("10.{network}.{}.{}", number / 250 % 256, number % 250 + 1)
}

fn service(number: usize) -> Value {
    json!({
        "metadata": {"name": name(number), "labels": {UNPROXIED: "none"}},
        "spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    })
}

fn slice(service: usize, addresses: &[String]) -> Value {
    let endpoint = |address| json!({"addresses": [address], "conditions": {"ready": true}});
    json!({
        "metadata": {"name": name(service), "labels": {"kubernetes.io/service-name": name(service), UNPROXIED: "none"}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": addresses.iter().map(endpoint).collect::<Vec<_>>(),
    })
}

fn virtual_service(change: usize) -> Value {
    let host = format!("{}.{NAMESPACE}.svc.cluster.local", name(0));
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": ROUTE},
        "spec": {"hosts": [host], "http": [{"timeout": format!("{}ms", 1000 + change), "route": [{"destination": {"host": host}}]}]},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_endpoints_share_an_address() {
        let addresses: BTreeSet<_> = (0..10_000).map(|number| address(200, number)).collect();
        assert_eq!(addresses.len(), 10_000);
        assert!(addresses.iter().all(|address| address.parse::<std::net::Ipv4Addr>().is_ok()));
    }

    #[test]
    fn objects_are_what_the_api_takes() {
        serde_json::from_value::<Service>(service(1)).unwrap();
        let slice: EndpointSlice = serde_json::from_value(slice(1, &["10.0.0.1".to_owned(), "10.0.0.2".to_owned()])).unwrap();
        assert_eq!(slice.endpoints.len(), 2);
        serde_json::from_value::<DynamicObject>(virtual_service(1)).unwrap();
    }
}
