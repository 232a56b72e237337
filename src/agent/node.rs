//! Who a proxy says that it is: Envoy's node, which pilot reads.

use envoy_api::envoy::config::core::v3::{Locality, Node, node::UserAgentVersionType};
use prost_types::{ListValue, Struct, Value, value::Kind};
use std::{collections::BTreeMap, net::IpAddr};

use crate::model::{AGENT_STREAM, AGENT_VERSION, Generator, ProxyRole, ProxySettings, ProxyStatistics, REFERENCE_VERSION, SpiffeId};

/// What is known of a pod's proxy before it starts.
#[derive(Clone, Debug, PartialEq)]
pub struct ProxyFacts {
    /// Sidecar or gateway.
    pub role: ProxyRole,
    /// The pod's name.
    pub pod: String,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's service account.
    pub service_account: String,
    /// The pod's addresses, the main one first. Never empty.
    pub addresses: Vec<IpAddr>,
    /// The name of the workload that the pod belongs to, for example `reviews-v1`.
    pub workload: String,
    /// The node that the pod runs on, where it is known.
    pub node: Option<String>,
    /// The pod's labels.
    pub labels: BTreeMap<String, String>,
    /// Further metadata by its key, as the injector or a user set it.
    pub metadata: BTreeMap<String, String>,
    /// The pod's ProxyConfig.
    pub proxy_config: ProxySettings,
    /// What the pod asks of its proxy's statistics.
    pub statistics: ProxyStatistics,
    /// The mesh's trust domain.
    pub trust_domain: String,
    /// This release.
    pub version: String,
}

/// Pilot's address where the ProxyConfig names none.
const PILOT: &str = "istio-pilot.istio-system.svc:15012";
/// Pilot's namespace where its address names none.
const PILOT_NAMESPACE: &str = "istio-system";
const PILOT_ACCOUNT: &str = "istio-pilot";
/// The metadata by which a proxy asks to know the other workloads of its service.
const SELF_DISCOVERY: &str = "ENABLE_SELF_DISCOVERY";
/// The metadata by which a pod has its DNS queries answered by its agent.
const DNS_CAPTURE: &str = "DNS_CAPTURE";

// === impl ProxyFacts ===

impl ProxyFacts {
    /// The pod's main address.
    pub fn address(&self) -> Option<IpAddr> {
        self.addresses.first().copied()
    }

    /// `host:port` of pilot's xDS.
    pub fn discovery_address(&self) -> &str {
        match self.proxy_config.discovery_address.as_str() {
            "" => PILOT,
            address => address,
        }
    }

    /// The identity that pilot's certificate must state: its service account in the namespace that its address names. A revision's pilot has
    /// an account of its own, with the name of its Service.
    pub fn pilot_identity(&self) -> SpiffeId {
        let address = self.discovery_address();
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let namespace = host.split('.').nth(1).filter(|label| !is_address && !label.is_empty());
        let service = host.split('.').next().unwrap_or_default();
        let of_revision = service.strip_prefix(PILOT_ACCOUNT).is_some_and(|rest| rest.starts_with('-'));
        let account = if of_revision { service } else { PILOT_ACCOUNT };
        SpiffeId::new(&self.trust_domain, namespace.unwrap_or(PILOT_NAMESPACE), account)
    }

    /// Envoy's node.
    pub(super) fn to_node(&self) -> Node {
        let address = self.address().map(|address| address.to_string()).unwrap_or_default();
        let (pod, namespace) = (&self.pod, &self.namespace);
        Node {
            id: format!("{}~{address}~{pod}.{namespace}~{namespace}.svc.cluster.local", self.role),
            cluster: format!("{}.{namespace}", self.workload),
            metadata: Some(self.metadata()),
            locality: self.locality(),
            user_agent_name: "envoy".to_owned(),
            user_agent_version_type: Some(UserAgentVersionType::UserAgentVersion(self.version.clone())),
            ..Node::default()
        }
    }

    /// The node as gRPC libraries read it from their bootstrap.
    pub(super) fn to_json(&self) -> serde_json::Value {
        let node = self.to_node();
        let metadata = kind(Kind::StructValue(node.metadata.unwrap_or_default()));
        let mut json = serde_json::json!({"id": node.id, "cluster": node.cluster, "metadata": to_json(metadata)});
        if let Some(Locality { region, zone, sub_zone }) = node.locality {
            json["locality"] = serde_json::json!({"region": region, "zone": zone, "sub_zone": sub_zone});
        }
        json
    }

    /// What reads the configuration that pilot makes for the pod.
    pub fn generator(&self) -> Generator {
        Generator::of(self.metadata.get(Generator::METADATA).map(String::as_str))
    }

    /// The same of a stream that is the agent's own, and not its Envoy's.
    pub(super) fn to_agent_node(&self) -> Node {
        let mut node = self.to_node();
        node.metadata.get_or_insert_default().fields.insert(AGENT_STREAM.to_owned(), kind(Kind::BoolValue(true)));
        node
    }

    /// Where the pod is, as far as its labels tell: by a label of its own, where dots stand for slashes, else by those that Kubernetes
    /// copies from its node since 1.35. Envoy prefers its own zone by this; pilot knows better, from the node.
    fn locality(&self) -> Option<Locality> {
        let label = |name: &str| self.labels.get(name).cloned().unwrap_or_default();
        let claimed = label("istio-locality");
        if claimed.is_empty() {
            let [region, zone] = ["topology.kubernetes.io/region", "topology.kubernetes.io/zone"].map(label);
            return (!region.is_empty()).then_some(Locality { region, zone, ..Locality::default() });
        }
        let mut parts = claimed.splitn(3, ['.', '/']).map(str::to_owned);
        let mut part = || parts.next().unwrap_or_default();
        Some(Locality { region: part(), zone: part(), sub_zone: part() })
    }

    /// Whether the proxy is to know the other workloads of its service, which choosing by zones needs.
    pub fn discovers_itself(&self) -> bool {
        self.metadata.get(SELF_DISCOVERY).is_some_and(|value| value.eq_ignore_ascii_case("true") || value == "1")
    }

    /// Whether the agent answers the application's DNS queries.
    pub fn captures_dns(&self) -> bool {
        self.metadata.get(DNS_CAPTURE).is_some_and(|value| value.eq_ignore_ascii_case("true") || value == "1")
    }

    fn metadata(&self) -> Struct {
        let addresses: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        let labels = self.labels.iter().map(|(key, value)| (key.clone(), text(value)));
        let mut fields: BTreeMap<String, Value> = self.metadata.iter().map(|(key, value)| (key.clone(), text(value))).collect();
        // What is known for certain comes last: no setting of a user's overrides it.
        fields.extend([
            ("NAME".to_owned(), text(&self.pod)),
            ("NAMESPACE".to_owned(), text(&self.namespace)),
            ("SERVICE_ACCOUNT".to_owned(), text(&self.service_account)),
            ("WORKLOAD_NAME".to_owned(), text(&self.workload)),
            ("INSTANCE_IPS".to_owned(), text(&addresses.join(","))),
            ("ISTIO_VERSION".to_owned(), text(REFERENCE_VERSION)),
            (AGENT_VERSION.to_owned(), text(&self.version)),
            ("LABELS".to_owned(), kind(Kind::StructValue(Struct { fields: labels.collect() }))),
            ("PROXY_CONFIG".to_owned(), from_json(serde_json::to_value(&self.proxy_config).unwrap_or_default())),
        ]);
        if let Some(node) = &self.node {
            fields.insert("NODE_NAME".to_owned(), text(node));
        }
        Struct { fields }
    }
}

fn kind(kind: Kind) -> Value {
    Value { kind: Some(kind) }
}

fn text(text: &str) -> Value {
    kind(Kind::StringValue(text.to_owned()))
}

fn to_json(value: Value) -> serde_json::Value {
    match value.kind {
        None | Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::BoolValue(value)) => value.into(),
        Some(Kind::NumberValue(value)) => value.into(),
        Some(Kind::StringValue(value)) => value.into(),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(to_json).collect(),
        Some(Kind::StructValue(object)) => object.fields.into_iter().map(|(key, value)| (key, to_json(value))).collect(),
    }
}

fn from_json(value: serde_json::Value) -> Value {
    use serde_json::Value as Json;
    kind(match value {
        Json::Null => Kind::NullValue(0),
        Json::Bool(bool) => Kind::BoolValue(bool),
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Json::String(text) => Kind::StringValue(text),
        Json::Array(items) => Kind::ListValue(ListValue { values: items.into_iter().map(from_json).collect() }),
        Json::Object(fields) => {
            Kind::StructValue(Struct { fields: fields.into_iter().map(|(key, value)| (key, from_json(value))).collect() })
        }
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The sidecar of a pod `web-1` in namespace `shop`.
    pub(in crate::agent) fn facts() -> ProxyFacts {
        ProxyFacts {
            role: ProxyRole::Sidecar,
            pod: "web-1".to_owned(),
            namespace: "shop".to_owned(),
            service_account: "web".to_owned(),
            addresses: vec![[10, 9, 0, 7].into()],
            workload: "web".to_owned(),
            node: Some("node-1".to_owned()),
            labels: [("app".to_owned(), "web".to_owned()), ("version".to_owned(), "v1".to_owned())].into(),
            metadata: [
                ("CLUSTER_ID".to_owned(), "Kubernetes".to_owned()),
                ("INTERCEPTION_MODE".to_owned(), "REDIRECT".to_owned()),
                ("POD_PORTS".to_owned(), r#"[{"containerPort":8080,"name":"http"}]"#.to_owned()),
            ]
            .into(),
            proxy_config: ProxySettings::default(),
            statistics: ProxyStatistics::default(),
            trust_domain: "cluster.local".to_owned(),
            version: "1.2.3".to_owned(),
        }
    }

    #[test]
    fn a_node_names_role_address_pod_and_domain() {
        let node = facts().to_node();
        assert_eq!(node.id, "sidecar~10.9.0.7~web-1.shop~shop.svc.cluster.local");
        assert_eq!(node.cluster, "web.shop");
    }

    #[test]
    fn metadata_of_users_cannot_replace_facts() {
        let mut facts = facts();
        facts.metadata.insert("NAMESPACE".to_owned(), "istio-system".to_owned());
        let metadata = facts.to_node().metadata.unwrap();
        assert_eq!(metadata.fields["NAMESPACE"], text("shop"));
    }

    #[test]
    fn pilot_is_in_the_namespace_of_its_address() {
        let pilot = |address: &str| {
            let proxy_config = ProxySettings { discovery_address: address.to_owned(), ..ProxySettings::default() };
            ProxyFacts { proxy_config, ..facts() }.pilot_identity().to_string()
        };
        assert_eq!(pilot(""), "spiffe://cluster.local/ns/istio-system/sa/istio-pilot");
        assert_eq!(pilot("istiod.mesh.svc:15012"), "spiffe://cluster.local/ns/mesh/sa/istio-pilot");
        assert_eq!(pilot("istio-pilot-canary.mesh.svc:15012"), "spiffe://cluster.local/ns/mesh/sa/istio-pilot-canary");
        assert_eq!(pilot("127.0.0.1:15012"), "spiffe://cluster.local/ns/istio-system/sa/istio-pilot");
    }

    #[test]
    fn a_proxy_says_where_its_pods_labels_place_it() {
        let at = |pairs: &[(&str, &str)]| {
            let mut facts = facts();
            facts.labels.extend(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
            facts.to_node().locality.map(|it| [it.region, it.zone, it.sub_zone].join("/"))
        };
        let topology = [("topology.kubernetes.io/region", "eu"), ("topology.kubernetes.io/zone", "a")];
        assert_eq!(at(&[]), None);
        assert_eq!(at(&topology).as_deref(), Some("eu/a/"));
        assert_eq!(at(&[topology[0], topology[1], ("istio-locality", "us.b.rack")]).as_deref(), Some("us/b/rack"));
    }
}
