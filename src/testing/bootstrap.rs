//! Compiled resources as a static configuration of Envoy, which needs no control plane.

use std::sync::Arc;

use envoy_api::{
    envoy::{
        config::{cluster::v3::Cluster, endpoint::v3::ClusterLoadAssignment, listener::v3::Listener, route::v3::VirtualHost},
        data::dns::v3::dns_table::DnsVirtualDomain,
        extensions::transport_sockets::tls::v3::Secret,
    },
    json::to_value,
};
use prost::Message;
use rcgen::KeyPair;
use serde_json::{Value, json};

use super::TestCa;
use crate::compile::{Compiled, Resource, ResourceType};
use crate::model::{LOCAL_CLUSTER, SpiffeId};

/// A DNS name in proxies' certificates, for clients that look for one. The mesh's do not.
pub(crate) const PROXY: &str = "proxy.example";

/// Resources that refer to each other within one file.
pub(crate) struct Static {
    pub(crate) clusters: Vec<Value>,
    pub(crate) listeners: Vec<Value>,
    /// The proxy's certificate, and the mesh's root.
    own: Vec<Value>,
    /// Secrets that it gets from pilot.
    told: Vec<Value>,
    /// The name of the cluster that it is in itself.
    local: Option<&'static str>,
    /// Where it runs.
    locality: Value,
}

impl Static {
    /// All that a proxy gets: endpoints stand in their clusters, routes in their listeners, secrets under their names.
    pub(crate) fn of(compiled: &Compiled) -> Self {
        let all = |kind| names(compiled, kind).into_iter().map(move |name| as_json(compiled, kind, &name));
        let mut clusters: Vec<Value> = all(ResourceType::Cluster).collect();
        let mut listeners: Vec<Value> = all(ResourceType::Listener).collect();
        for cluster in &mut clusters {
            if cluster["type"] == "EDS" {
                let name = cluster["name"].as_str().unwrap().to_owned();
                cluster["type"] = json!("STATIC");
                cluster["load_assignment"] = as_json(compiled, ResourceType::Endpoints, &name);
                cluster.as_object_mut().unwrap().remove("eds_cluster_config");
            }
            rewrite(cluster, compiled);
        }
        listeners.iter_mut().for_each(|listener| rewrite(listener, compiled));
        let (ca, nobody) = (TestCa::new("root"), SpiffeId::new("cluster.local", "nowhere", "nobody"));
        let mut told: Vec<Value> = all(ResourceType::Secret).collect();
        told.iter_mut().for_each(|secret| rewrite(secret, compiled));
        Self { clusters, listeners, own: secrets(&ca, &nobody), told, local: None, locality: json!({}) }
    }

    /// Gives the proxy a certificate.
    pub(crate) fn identified(mut self, ca: &TestCa, identity: &SpiffeId) -> Self {
        self.own = secrets(ca, identity);
        self
    }

    /// Lets it know where it runs, and the workloads of its own service, as its agent does if it is asked to.
    pub(crate) fn discovering_itself(mut self, compiled: &Compiled, region: &str, zone: &str) -> Self {
        let workloads = as_json(compiled, ResourceType::Endpoints, LOCAL_CLUSTER);
        self.clusters.push(json!({"name": LOCAL_CLUSTER, "type": "STATIC", "load_assignment": workloads}));
        self.local = Some(LOCAL_CLUSTER);
        self.locality = json!({"region": region, "zone": zone});
        self
    }

    /// Leaves one listener, bound to loopback.
    pub(crate) fn listening(mut self, name: &str, port: u16) -> Self {
        self.listeners.retain(|it| it["name"] == name);
        let listener = self.listeners.first_mut().unwrap_or_else(|| panic!("no listener {name}"));
        listener["address"] = json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
        listener["bind_to_port"] = json!(true);
        self
    }

    /// Lets connections look as if they had been redirected on their way to that port of loopback.
    pub(crate) fn redirected_from(mut self, port: u16) -> Self {
        let state = json!({
            "name": "envoy.filters.network.set_filter_state",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.set_filter_state.v3.Config",
                "on_new_connection": [{
                    "object_key": "envoy.network.transport_socket.original_dst_address",
                    "format_string": {"text_format_source": {"inline_string": format!("127.0.0.1:{port}")}},
                }],
            },
        });
        for listener in &mut self.listeners {
            let default = listener.get_mut("default_filter_chain").map(Value::take);
            let chains = listener["filter_chains"].as_array_mut().into_iter().flatten();
            let mut default = default;
            for chain in chains.chain(&mut default) {
                chain["filters"].as_array_mut().unwrap().insert(0, state.clone());
            }
            if let Some(default) = default {
                listener["default_filter_chain"] = default;
            }
        }
        self
    }

    /// Lets a cluster lead to a port of loopback.
    pub(crate) fn leading(mut self, cluster: &str, port: u16) -> Self {
        let cluster = self.clusters.iter_mut().find(|it| it["name"] == cluster).unwrap_or_else(|| panic!("no cluster {cluster}"));
        let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
        cluster["type"] = json!("STATIC");
        cluster["lb_policy"] = json!("ROUND_ROBIN");
        cluster["load_assignment"] =
            json!({"cluster_name": cluster["name"], "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]});
        self
    }

    /// The bootstrap.
    pub(crate) fn bootstrap(self) -> Value {
        let secrets = [self.own, self.told].concat();
        let mut bootstrap = json!({
            "node": {"id": "test", "cluster": "test", "locality": self.locality},
            "static_resources": {"clusters": self.clusters, "listeners": self.listeners, "secrets": secrets},
        });
        if let Some(name) = self.local {
            bootstrap["cluster_manager"] = json!({"local_cluster_name": name});
        }
        bootstrap
    }
}

/// A resource as Envoy's JSON, packed messages opened: facts deep inside are easier to ask for there.
pub(crate) fn as_json(compiled: &Compiled, kind: ResourceType, name: &str) -> Value {
    let resource = compiled.get(kind, name).unwrap_or_else(|| panic!("no {kind:?} {name}; there are {:?}", names(compiled, kind)));
    let value = match kind {
        ResourceType::Cluster => to_value(&decoded::<Cluster>(resource)),
        ResourceType::Endpoints => to_value(&decoded::<ClusterLoadAssignment>(resource)),
        ResourceType::Secret => to_value(&decoded::<Secret>(resource)),
        ResourceType::Listener => to_value(&decoded::<Listener>(resource)),
        // With what is sent apart from it.
        ResourceType::Route => to_value(&compiled.whole_table(resource).unwrap().message),
        ResourceType::VirtualHost => to_value(&decoded::<VirtualHost>(resource)),
        ResourceType::Name => to_value(&decoded::<DnsVirtualDomain>(resource)),
    };
    value.unwrap()
}

/// A resource as the message that it is.
pub(crate) fn decoded<M: Message + Default>(resource: &Resource) -> M {
    M::decode(&*resource.body).unwrap()
}

/// The names of a kind's resources.
pub(crate) fn names(compiled: &Compiled, kind: ResourceType) -> Vec<String> {
    compiled.resources(kind).iter().map(|resource| resource.name.to_string()).collect()
}

/// All that a proxy gets as it is sent, beside the clusters that it takes for granted.
pub(crate) fn as_sent(compiled: &Compiled) -> Value {
    let all = |kind| names(compiled, kind).into_iter().map(move |name| as_json(compiled, kind, &name));
    let granted = |name: &str| {
        let http2 = json!({
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        });
        json!({
            "name": name,
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": "./socket"}}}}]}]},
        })
    };
    let clusters: Vec<Value> = [granted("sds-grpc"), granted("xds-grpc")].into_iter().chain(all(ResourceType::Cluster)).collect();
    let listeners: Vec<Value> = all(ResourceType::Listener).collect();
    json!({
        "node": {"id": "test", "cluster": "test"},
        "static_resources": {"clusters": clusters, "listeners": listeners},
        "dynamic_resources": {"ads_config": {
            "api_type": "DELTA_GRPC", "transport_api_version": "V3", "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}],
        }},
    })
}

/// Puts route tables in the place of their names, and takes out where secrets come from.
fn rewrite(value: &mut Value, compiled: &Compiled) {
    match value {
        Value::Object(fields) => {
            fields.remove("sds_config");
            // Only secrets that come from elsewhere are read again.
            fields.remove("watched_directory");
            if let Some(rds) = fields.remove("rds") {
                let name = rds["route_config_name"].as_str().unwrap();
                fields.insert("route_config".to_owned(), as_json(compiled, ResourceType::Route, name));
            }
            fields.values_mut().for_each(|it| rewrite(it, compiled));
        }
        Value::Array(values) => values.iter_mut().for_each(|it| rewrite(it, compiled)),
        _ => {}
    }
}

fn secrets(ca: &TestCa, identity: &SpiffeId) -> Vec<Value> {
    let key = Arc::new(KeyPair::generate().unwrap());
    let leaf = ca.sign(&*key, &[&identity.to_string()], &[PROXY]);
    vec![
        json!({"name": "default", "tls_certificate": {
            "certificate_chain": {"inline_string": leaf.pem()}, "private_key": {"inline_string": key.serialize_pem()},
        }}),
        json!({"name": "ROOTCA", "validation_context": {"trusted_ca": {"inline_string": ca.pem()}}}),
    ]
}
