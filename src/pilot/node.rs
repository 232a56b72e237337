//! Who a proxy says it is, held against who its certificate proves it to be.

use std::{net::IpAddr, str::FromStr, sync::Arc};

use envoy_api::envoy::config::core::v3::Node;
use prost_types::{Struct, value::Kind};
use serde::Deserialize;

use crate::compile::Proxy;
use crate::model::{AGENT_STREAM, AGENT_VERSION, Generator, Labels, ProxyRole, SpiffeId, Workload, WorkloadKey};

/// What a proxy says about itself, as far as it may.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Claims {
    pub(super) role: ProxyRole,
    generator: Generator,
    pub(super) key: WorkloadKey,
    /// The proven identity.
    pub(super) identity: SpiffeId,
    /// The cluster that the proxy is in.
    pub(super) cluster: String,
    /// The release of the proxy's agent.
    pub(super) version: String,
    labels: Labels,
    addresses: Vec<IpAddr>,
    node: Arc<str>,
    locality: Arc<str>,
    named_ports: Vec<(Arc<str>, u16)>,
    metadata: Labels,
    captures_dns: bool,
    discovers_itself: bool,
    /// Whether its agent speaks, and not the proxy itself.
    pub(super) by_agent: bool,
    /// Whether its stream is of the form of the protocol that has virtual hosts by themselves.
    pub(super) splits_tables: bool,
}

/// Why a proxy is not served.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum NodeError {
    #[error("the first request must say which node it comes from")]
    Missing,
    #[error("node id {0:?} is not of the form ROLE~IP~POD.NAMESPACE~DOMAIN")]
    Id(String),
    #[error("node id {id:?}: {reason}")]
    Role { id: String, reason: String },
    #[error("metadata {field} is {found:?}, but the node id says {expected:?}")]
    Contradiction { field: &'static str, found: String, expected: String },
    #[error("metadata {field} can't be read: {reason}")]
    Metadata { field: &'static str, reason: String },
    #[error("the node says that it is {what} {claimed:?}, but its certificate is that of {proven}")]
    Foreign { what: &'static str, claimed: String, proven: SpiffeId },
    #[error("pod {pod} runs as {owner}, but the certificate is that of {proven}")]
    ForeignPod { pod: String, owner: SpiffeId, proven: SpiffeId },
}

/// A container's port in metadata `POD_PORTS`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodPort {
    #[serde(default)]
    name: String,
    container_port: u16,
}

// === impl Claims ===

impl Claims {
    /// Reads a node and checks it against the identity that its connection proved.
    ///
    /// # Errors
    /// When the node can't be understood, contradicts itself or claims to be somebody else.
    pub(super) fn of(node: &Node, identity: &SpiffeId) -> Result<Self, NodeError> {
        let metadata = Metadata(node.metadata.as_ref());
        let id = Id::of(&node.id)?;
        metadata.must_be("NAMESPACE", id.namespace)?;
        metadata.must_be("NAME", id.pod)?;
        let proven = || identity.clone();
        if id.namespace != &*identity.namespace {
            return Err(NodeError::Foreign { what: "in namespace", claimed: id.namespace.to_owned(), proven: proven() });
        }
        if let Some(account) = metadata.text("SERVICE_ACCOUNT").filter(|account| *account != &*identity.service_account) {
            return Err(NodeError::Foreign { what: "service account", claimed: account.to_owned(), proven: proven() });
        }
        Ok(Self {
            role: id.role,
            generator: Generator::of(metadata.text(Generator::METADATA)),
            key: WorkloadKey::new(id.namespace, id.pod),
            identity: proven(),
            cluster: metadata.text("CLUSTER_ID").unwrap_or_default().to_owned(),
            version: metadata.text(AGENT_VERSION).or(metadata.text("ISTIO_VERSION")).unwrap_or_default().to_owned(),
            labels: metadata.labels(),
            addresses: metadata.addresses(id.address)?,
            node: metadata.text("NODE_NAME").unwrap_or_default().into(),
            locality: locality_of(node),
            named_ports: metadata.named_ports()?,
            metadata: metadata.texts(),
            captures_dns: metadata.flag("DNS_CAPTURE"),
            discovers_itself: metadata.flag("ENABLE_SELF_DISCOVERY"),
            by_agent: metadata.flag(AGENT_STREAM),
            splits_tables: false,
        })
    }

    /// The proxy to compile for. What the API server says of its pod counts, where it is known; the proxy's own words count until then.
    ///
    /// # Errors
    /// When the pod runs as somebody else.
    pub(super) fn proxy(&self, workload: Option<&Workload>) -> Result<Proxy, NodeError> {
        let mut proxy = Proxy {
            role: self.role,
            generator: self.generator,
            vouched: workload.is_some(),
            key: self.key.clone(),
            labels: self.labels.clone(),
            addresses: self.addresses.clone(),
            identity: self.identity.clone(),
            node: self.node.clone(),
            locality: self.locality.clone(),
            named_ports: self.named_ports.clone(),
            metadata: self.metadata.clone(),
            captures_dns: self.captures_dns,
            discovers_itself: self.discovers_itself,
            splits_tables: self.splits_tables,
        };
        let Some(workload) = workload else { return Ok(proxy) };
        let same = |a: &SpiffeId, b: &SpiffeId| (&a.namespace, &a.service_account) == (&b.namespace, &b.service_account);
        if !same(&workload.identity, &self.identity) {
            let (owner, proven) = (workload.identity.clone(), self.identity.clone());
            return Err(NodeError::ForeignPod { pod: format!("{}/{}", self.key.namespace, self.key.name), owner, proven });
        }
        proxy.labels.clone_from(&workload.labels);
        proxy.named_ports.clone_from(&workload.named_ports);
        // A pod gets these only some time after it was made.
        if !workload.addresses.is_empty() {
            proxy.addresses.clone_from(&workload.addresses);
        }
        if !workload.node.is_empty() {
            proxy.node.clone_from(&workload.node);
        }
        if !workload.locality.is_empty() {
            proxy.locality.clone_from(&workload.locality);
        }
        Ok(proxy)
    }

    /// `POD.NAMESPACE`, the name under which tools know the proxy.
    pub(super) fn name(&self) -> String {
        format!("{}.{}", self.key.name, self.key.namespace)
    }
}

// === impl NodeError ===

impl NodeError {
    /// Whether the proxy is somebody else than it says, and not just wrong.
    pub(super) fn is_foreign(&self) -> bool {
        matches!(self, Self::Foreign { .. } | Self::ForeignPod { .. })
    }
}

/// `ROLE~IP~POD.NAMESPACE~DOMAIN`, the form of node ids in the mesh.
struct Id<'a> {
    role: ProxyRole,
    address: &'a str,
    pod: &'a str,
    namespace: &'a str,
}

// === impl Id ===

impl<'a> Id<'a> {
    fn of(id: &'a str) -> Result<Self, NodeError> {
        let error = || NodeError::Id(id.to_owned());
        let parts: Vec<&str> = id.split('~').collect();
        let [role, address, name, _domain] = parts[..] else { return Err(error()) };
        // A pod's name may have dots, a namespace has none.
        let (pod, namespace) =
            name.rsplit_once('.').filter(|(pod, namespace)| !pod.is_empty() && !namespace.is_empty()).ok_or_else(error)?;
        let role = ProxyRole::from_str(role).map_err(|reason| NodeError::Role { id: id.to_owned(), reason })?;
        Ok(Self { role, address, pod, namespace })
    }
}

/// A node's metadata, as the agent writes it.
struct Metadata<'a>(Option<&'a Struct>);

// === impl Metadata ===

impl<'a> Metadata<'a> {
    fn value(&self, field: &str) -> Option<&'a Kind> {
        self.0?.fields.get(field)?.kind.as_ref()
    }

    /// A text that is not empty.
    fn text(&self, field: &str) -> Option<&'a str> {
        match self.value(field)? {
            Kind::StringValue(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// All texts, for users who tell proxies by them.
    fn texts(&self) -> Labels {
        let fields = self.0.iter().flat_map(|metadata| &metadata.fields);
        fields.filter_map(|(name, value)| Some((name.clone(), text_of(value.kind.as_ref())?))).collect()
    }

    /// Yes or no. What comes from a variable of the environment is a text.
    fn flag(&self, field: &str) -> bool {
        match self.value(field) {
            Some(Kind::BoolValue(value)) => *value,
            Some(Kind::StringValue(text)) => text.eq_ignore_ascii_case("true") || text == "1",
            _ => false,
        }
    }

    fn must_be(&self, field: &'static str, expected: &str) -> Result<(), NodeError> {
        match self.text(field) {
            Some(found) if found != expected => {
                Err(NodeError::Contradiction { field, found: found.to_owned(), expected: expected.to_owned() })
            }
            _ => Ok(()),
        }
    }

    fn labels(&self) -> Labels {
        let Some(Kind::StructValue(labels)) = self.value("LABELS") else { return Labels::new() };
        labels.fields.iter().filter_map(|(name, value)| Some((name.clone(), text_of(value.kind.as_ref())?))).collect()
    }

    /// The pod's addresses; the node id's where the metadata have none.
    fn addresses(&self, fallback: &str) -> Result<Vec<IpAddr>, NodeError> {
        let texts = self.text("INSTANCE_IPS").unwrap_or(fallback).split(',').map(str::trim).filter(|text| !text.is_empty());
        let error = |text: &str| NodeError::Metadata { field: "INSTANCE_IPS", reason: format!("{text:?} is no IP address") };
        texts.map(|text| text.parse().map_err(|_| error(text))).collect()
    }

    fn named_ports(&self) -> Result<Vec<(Arc<str>, u16)>, NodeError> {
        let Some(text) = self.text("POD_PORTS") else { return Ok(Vec::new()) };
        let ports: Vec<PodPort> =
            serde_json::from_str(text).map_err(|error| NodeError::Metadata { field: "POD_PORTS", reason: error.to_string() })?;
        Ok(ports.into_iter().filter(|port| !port.name.is_empty()).map(|port| (port.name.into(), port.container_port)).collect())
    }
}

fn text_of(kind: Option<&Kind>) -> Option<String> {
    match kind {
        Some(Kind::StringValue(text)) => Some(text.clone()),
        _ => None,
    }
}

fn locality_of(node: &Node) -> Arc<str> {
    let Some(locality) = &node.locality else { return "".into() };
    let parts = [&locality.region, &locality.zone, &locality.sub_zone].map(String::as_str);
    parts.join("/").trim_end_matches('/').into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost_types::Value;

    fn text(text: &str) -> Value {
        Value { kind: Some(Kind::StringValue(text.to_owned())) }
    }

    fn node(id: &str, metadata: &[(&str, Value)]) -> Node {
        let fields = metadata.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        Node { id: id.to_owned(), metadata: Some(Struct { fields }), ..Node::default() }
    }

    fn web() -> SpiffeId {
        SpiffeId::new("cluster.local", "shop", "web")
    }

    const ID: &str = "sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local";

    #[test]
    fn a_node_says_what_is_compiled_for() {
        let labels = Struct { fields: [("app".to_owned(), text("web"))].into() };
        let metadata = [
            ("NAMESPACE", text("shop")),
            ("NAME", text("web-1")),
            ("SERVICE_ACCOUNT", text("web")),
            ("LABELS", Value { kind: Some(Kind::StructValue(labels)) }),
            ("INSTANCE_IPS", text("10.0.0.1,fd00::1")),
            ("POD_PORTS", text(r#"[{"name":"http","containerPort":8080,"protocol":"TCP"},{"containerPort":9090}]"#)),
            ("NODE_NAME", text("worker")),
            ("DNS_CAPTURE", text("true")),
        ];
        let proxy = Claims::of(&node(ID, &metadata), &web()).unwrap().proxy(None).unwrap();
        assert_eq!((proxy.role, &proxy.key), (ProxyRole::Sidecar, &WorkloadKey::new("shop", "web-1")));
        assert_eq!(proxy.labels, [("app".to_owned(), "web".to_owned())].into());
        assert_eq!(proxy.addresses, ["10.0.0.1".parse::<IpAddr>().unwrap(), "fd00::1".parse().unwrap()]);
        assert_eq!((proxy.named_ports, &*proxy.node), (vec![("http".into(), 8080)], "worker"));
        assert!(proxy.captures_dns && !proxy.discovers_itself);
    }

    #[test]
    fn a_pod_name_may_have_dots() {
        let claims = Claims::of(&node("router~10.0.0.1~a.b.shop~shop.svc.cluster.local", &[]), &web()).unwrap();
        assert_eq!((claims.key, claims.role), (WorkloadKey::new("shop", "a.b"), ProxyRole::Router));
    }

    #[test]
    fn whoever_claims_to_be_somebody_else_is_refused_with_a_sentence() {
        let error = Claims::of(&node("sidecar~10.0.0.1~web-1.bank~x", &[]), &web()).unwrap_err();
        assert!(error.is_foreign());
        assert_eq!(
            error.to_string(),
            r#"the node says that it is in namespace "bank", but its certificate is that of spiffe://cluster.local/ns/shop/sa/web"#
        );
        let error = Claims::of(&node(ID, &[("SERVICE_ACCOUNT", text("admin"))]), &web()).unwrap_err();
        assert!(error.is_foreign(), "{error}");
        let error = Claims::of(&node(ID, &[("NAMESPACE", text("bank"))]), &web()).unwrap_err();
        assert!(matches!(error, NodeError::Contradiction { field: "NAMESPACE", .. }), "{error}");
    }

    #[test]
    fn nonsense_is_refused() {
        for id in ["", "sidecar", "sidecar~10.0.0.1~web-1~x", "sidecar~10.0.0.1~.shop~x", "sidecar~a~b.c~d~e"] {
            assert!(matches!(Claims::of(&node(id, &[]), &web()), Err(NodeError::Id(_))), "{id}");
        }
        assert!(matches!(Claims::of(&node("mixer~10.0.0.1~web-1.shop~x", &[]), &web()), Err(NodeError::Role { .. })));
        for (field, value) in [("INSTANCE_IPS", "10.0.0"), ("POD_PORTS", "{")] {
            assert!(matches!(Claims::of(&node(ID, &[(field, text(value))]), &web()), Err(NodeError::Metadata { .. })), "{field}");
        }
    }

    #[test]
    fn the_api_servers_word_beats_the_proxys() {
        let metadata = [("POD_PORTS", text(r#"[{"name":"admin","containerPort":1}]"#)), ("NODE_NAME", text("worker"))];
        let claims = Claims::of(&node(ID, &metadata), &web()).unwrap();
        let mut workload = Workload {
            key: WorkloadKey::new("shop", "web-1"),
            addresses: Vec::new(),
            labels: [("app".to_owned(), "web".to_owned())].into(),
            identity: web(),
            node: "".into(),
            locality: "eu/a".into(),
            host_network: false,
            named_ports: Vec::new(),
        };
        let proxy = claims.proxy(Some(&workload)).unwrap();
        assert_eq!((proxy.labels.len(), proxy.named_ports.len()), (1, 0));
        assert_eq!((&*proxy.node, &*proxy.locality), ("worker", "eu/a"));
        assert_eq!(proxy.addresses, ["10.0.0.1".parse::<IpAddr>().unwrap()]);
        workload.identity = SpiffeId::new("cluster.local", "shop", "admin");
        let error = claims.proxy(Some(&workload)).unwrap_err();
        assert!(error.is_foreign());
        assert!(error.to_string().starts_with("pod shop/web-1 runs as spiffe://cluster.local/ns/shop/sa/admin"), "{error}");
    }
}
