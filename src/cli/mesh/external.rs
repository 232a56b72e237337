//! A service that runs outside of the cluster: a ServiceEntry with its addresses, and a Service, so that its name resolves.

use clap::Args;
use ferromesh_crds::networking::ServiceEntry;
use k8s_openapi::api::core::v1::Service;
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use super::pair;
use crate::cli::{
    cluster::{ClusterArgs, ask, namespace},
    exit::{Exit, Failure},
    terminal::Streams,
};
use crate::model::Protocol;

/// How long all the questions may take.
const LONGEST: Duration = Duration::from_secs(30);
/// The owner of the fields that are written.
const MANAGER: &str = "ferromesh-add-to-mesh";

/// A service from outside that comes into the mesh.
#[derive(Args, Debug)]
pub(super) struct ExternalArgs {
    /// Its name
    name: String,
    /// Its addresses, then its ports: IP… PORT|PROTOCOL:PORT…
    #[arg(value_name = "IP… PORT…", num_args = 2.., required = true)]
    places: Vec<String>,
    /// Labels of its endpoints
    #[arg(short, long, value_name = "KEY=VALUE,…", value_delimiter = ',', value_parser = pair)]
    labels: Vec<(String, String)>,
    /// Annotations of its Service
    #[arg(short, long, value_name = "KEY=VALUE,…", value_delimiter = ',', value_parser = pair)]
    annotations: Vec<(String, String)>,
    /// The account that it runs as
    #[arg(short, long, value_name = "ACCOUNT")]
    serviceaccount: Option<String>,
    #[command(flatten)]
    common: CommonArgs,
}

/// A service from outside that leaves the mesh.
#[derive(Args, Debug)]
pub(super) struct ExternalRemovalArgs {
    /// Its name
    name: String,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Args, Debug)]
struct CommonArgs {
    /// Its namespace
    #[arg(short, long, value_parser = namespace)]
    namespace: Option<String>,
    /// Change it; without this it is only told what would change
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// A port, as it was written: `9080`, or `http:9080`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Port {
    name: String,
    number: u16,
}

// === impl ExternalArgs ===

impl ExternalArgs {
    /// Tells what is made, and makes it if that was asked for.
    ///
    /// # Errors
    /// When addresses or ports can't be understood, or the cluster refuses them.
    pub(super) fn run(&self, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
        let (addresses, ports) = places(&self.places).map_err(Failure::usage)?;
        let name = &self.name;
        self.common.run(streams, name, "is made", async |client: Client, namespace: &str| {
            let (entry, service) = self.objects(namespace, &addresses, &ports);
            let params = PatchParams::apply(MANAGER);
            let services: Api<Service> = Api::namespaced(client.clone(), namespace);
            let entries: Api<ServiceEntry> = Api::namespaced(client, namespace);
            let ours = entries.get_opt(&entry_name(name)).await.map_err(|error| Failure::cluster("read ServiceEntries", &error))?;
            let there = services.get_opt(name).await.map_err(|error| Failure::cluster("read Services", &error))?;
            if there.is_some() && ours.is_none() {
                return Err(Failure::new(Exit::Failed, format_args!("there is a Service {namespace}/{name} already: choose another name")));
            }
            services
                .patch(name, &params, &Patch::Apply(&service))
                .await
                .map_err(|error| Failure::cluster(format_args!("make Service {namespace}/{name}"), &error))?;
            let entry_name = entry_name(name);
            entries
                .patch(&entry_name, &params, &Patch::Apply(&entry))
                .await
                .map_err(|error| Failure::cluster(format_args!("make ServiceEntry {namespace}/{entry_name}"), &error))
                .map(drop)
        })
    }

    fn objects(&self, namespace: &str, addresses: &[IpAddr], ports: &[Port]) -> (Value, Value) {
        let map = |pairs: &[(String, String)]| -> BTreeMap<String, String> { pairs.iter().cloned().collect() };
        let labels = map(&self.labels);
        let endpoint_ports: BTreeMap<&str, u16> = ports.iter().map(|port| (port.name.as_str(), port.number)).collect();
        let mut endpoint = json!({"ports": endpoint_ports, "labels": labels});
        if let Some(account) = &self.serviceaccount {
            endpoint["serviceAccount"] = json!(account);
        }
        let endpoints: Vec<Value> = addresses
            .iter()
            .map(|address| {
                let mut endpoint = endpoint.clone();
                endpoint["address"] = json!(address);
                endpoint
            })
            .collect();
        let entry_ports: Vec<Value> =
            ports.iter().map(|port| json!({"name": port.name, "number": port.number, "protocol": port.protocol()})).collect();
        let entry = json!({
            "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
            "metadata": {"name": entry_name(&self.name), "namespace": namespace},
            "spec": {
                "hosts": [format!("{}.{namespace}.svc.cluster.local", self.name)],
                "ports": entry_ports, "location": "MESH_EXTERNAL", "resolution": "STATIC", "endpoints": endpoints,
            },
        });
        let service_ports: Vec<Value> =
            ports.iter().map(|port| json!({"name": port.name, "port": port.number, "protocol": "TCP"})).collect();
        let service = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": self.name, "namespace": namespace, "labels": labels, "annotations": map(&self.annotations)},
            // Without a selector: the ServiceEntry has the endpoints.
            "spec": {"ports": service_ports},
        });
        (entry, service)
    }
}

// === impl ExternalRemovalArgs ===

impl ExternalRemovalArgs {
    /// Tells what goes, and removes it if that was asked for. What is not there is no failure.
    ///
    /// # Errors
    /// When the cluster refuses it.
    pub(super) fn run(&self, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
        let name = &self.name;
        self.common.run(streams, name, "is removed", async |client: Client, namespace: &str| {
            let entries: Api<ServiceEntry> = Api::namespaced(client.clone(), namespace);
            let services: Api<Service> = Api::namespaced(client, namespace);
            let entry = entry_name(name);
            let mark = entries.get_opt(&entry).await.map_err(|error| Failure::cluster("read ServiceEntries", &error))?;
            // The Service of somebody's workloads has the name too; only beside our ServiceEntry is it ours.
            if mark.is_none() {
                return Ok(());
            }
            gone(services.delete(name, &DeleteParams::default()).await.map(drop), "remove the Service")?;
            gone(entries.delete(&entry, &DeleteParams::default()).await.map(drop), "remove the ServiceEntry")
        })
    }
}

fn gone(result: kube::Result<()>, doing: &str) -> Result<(), Failure> {
    match result {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(Failure::cluster(doing, &error)),
        Ok(()) => Ok(()),
    }
}

// === impl CommonArgs ===

impl CommonArgs {
    fn run(
        &self,
        streams: &mut Streams<'_>,
        name: &str,
        what: &str,
        change: impl AsyncFnOnce(Client, &str) -> Result<(), Failure>,
    ) -> Result<Exit, Failure> {
        let told = ask(LONGEST, async {
            let cluster = self.cluster.connect().await?;
            let namespace = self.namespace.clone().unwrap_or(cluster.namespace);
            if self.yes {
                change(cluster.client, &namespace).await?;
            }
            Ok(format!("Service {namespace}/{name} {what}\nServiceEntry {namespace}/{} {what}\n", entry_name(name)))
        })?;
        streams.answer(&told).map_err(|error| Failure::new(Exit::Failed, error))?;
        if !self.yes {
            streams.note("note: nothing has been changed: add --yes");
        }
        Ok(Exit::Clean)
    }
}

fn entry_name(name: &str) -> String {
    format!("mesh-expansion-{name}")
}

/// Addresses, then ports.
fn places(words: &[String]) -> Result<(Vec<IpAddr>, Vec<Port>), String> {
    let addresses: Vec<IpAddr> = words.iter().map_while(|word| word.parse().ok()).collect();
    let ports: Vec<Port> = words[addresses.len()..].iter().map(|word| Port::parse(word)).collect::<Result<_, _>>()?;
    if addresses.is_empty() {
        return Err(format!("{:?} is no address: write addresses, then ports", words.first().map_or("", String::as_str)));
    }
    if ports.is_empty() {
        return Err("a port is missing: write for example http:9080".to_owned());
    }
    Ok((addresses, ports))
}

// === impl Port ===

impl Port {
    fn parse(word: &str) -> Result<Self, String> {
        let (name, number) = word.split_once(':').unwrap_or((word, word));
        let number = number.parse().map_err(|_| format!("{word:?} is no port: write PORT or PROTOCOL:PORT"))?;
        let name = if name == word { format!("tcp-{number}") } else { name.to_ascii_lowercase() };
        Ok(Self { name, number })
    }

    /// What its name says, as for a Service's port.
    fn protocol(&self) -> String {
        Protocol::of_port_name(&self.name).map_or_else(|| "TCP".to_owned(), |protocol| protocol.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<(Vec<IpAddr>, Vec<Port>), String> {
        places(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn addresses_come_first_and_ports_after_them() {
        let (addresses, ports) = read(&["10.0.0.1", "fd00::1", "http:9080", "9090"]).unwrap();
        assert_eq!(addresses.len(), 2);
        assert_eq!(ports.iter().map(|port| (port.name.as_str(), port.number)).collect::<Vec<_>>(), [("http", 9080), ("tcp-9090", 9090)]);
        assert!(read(&["http:80", "9090"]).unwrap_err().contains("is no address"));
        assert!(read(&["10.0.0.1", "10.0.0.2"]).unwrap_err().contains("a port is missing"));
        assert!(read(&["10.0.0.1", "http:x"]).unwrap_err().contains("is no port"));
    }
}
