//! A simulated proxy as a pure state machine: responses go in, requests come out, as Envoy sends them.
//!
//! It asks for all clusters, then for their endpoints, acknowledges the clusters once they can be used, and then asks for listeners and
//! for the route tables that these name; if the hosts of one are sent apart from it, it opens a subscription to hosts, without names.
//! When it comes back to a stream it asks for all of it at once and says which versions it holds.

use envoy_api::envoy::{config::core::v3::Node, service::discovery::v3::DeltaDiscoveryRequest};
use prost_types::{Struct, Value, value::Kind as ValueKind};
use std::sync::Arc;

use super::{
    catalog::{Catalog, Holdings, Id, Names},
    kind::Kind,
    wire::Response,
};

/// A route table that no server has. A proxy that comes back and misses nothing is sent nothing: that this table does not exist is the
/// last that it is told, and so it knows that it has been told all.
const FENCE: &str = "ferromesh-bench-fence";

/// One proxy.
#[derive(Debug)]
pub(super) struct Proxy {
    node: Node,
    /// In the order of [`Kind::ALL`].
    accounts: [Account; Kind::COUNT],
    /// The response about clusters that waits for their endpoints.
    warming: Option<String>,
    /// Whether the server has said that there is no [`FENCE`].
    fenced: bool,
}

#[derive(Debug, Default)]
struct Account {
    subscribed: bool,
    holdings: Arc<Holdings>,
    /// The names that it has asked for; none for kinds of which it gets all.
    names: Arc<Names>,
}

/// What a response led to.
#[derive(Debug, Default)]
pub(super) struct Step {
    pub(super) requests: Vec<DeltaDiscoveryRequest>,
    /// The kind of which the proxy now has something else than before, if that was acknowledged.
    pub(super) changed: Option<Kind>,
}

/// Whether a proxy that comes back says what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    Kept,
    Lost,
}

// === impl Proxy ===

impl Proxy {
    /// The sidecar of a pod.
    pub(super) fn new(namespace: &str, account: &str, number: usize) -> Self {
        let (pod, address) = (format!("bench-{number}"), format!("10.210.{}.{}", number / 250, number % 250 + 1));
        let text = |text: &str| Value { kind: Some(ValueKind::StringValue(text.to_owned())) };
        let labels = Struct { fields: [("app".to_owned(), text("bench"))].into() };
        let metadata = [
            ("NAMESPACE", text(namespace)),
            ("NAME", text(&pod)),
            ("SERVICE_ACCOUNT", text(account)),
            ("INSTANCE_IPS", text(&address)),
            ("NODE_NAME", text("bench")),
            ("CLUSTER_ID", text("Kubernetes")),
            ("LABELS", Value { kind: Some(ValueKind::StructValue(labels)) }),
        ];
        let metadata = Struct { fields: metadata.map(|(name, value)| (name.to_owned(), value)).into() };
        let id = format!("sidecar~{address}~{pod}.{namespace}~{namespace}.svc.cluster.local");
        let node = Node { id, cluster: format!("bench.{namespace}"), metadata: Some(metadata), ..Node::default() };
        Self { node, accounts: Default::default(), warming: None, fenced: false }
    }

    /// Who it is.
    pub(super) fn id(&self) -> &str {
        &self.node.id
    }

    /// The first requests of a stream.
    pub(super) fn open(&mut self, memory: Memory, catalog: &Catalog) -> Vec<DeltaDiscoveryRequest> {
        (self.warming, self.fenced) = (None, false);
        self.accounts[Kind::Clusters as usize].subscribed = true;
        let mut requests = Vec::new();
        for kind in Kind::ALL {
            let account = &mut self.accounts[kind as usize];
            if memory == Memory::Lost {
                account.holdings = Arc::default();
            }
            if account.subscribed {
                let initial_resource_versions = catalog.versions(&account.holdings);
                let names = account.names.iter().map(ToString::to_string);
                requests.push(DeltaDiscoveryRequest { initial_resource_versions, ..subscription(kind, names.collect()) });
            }
        }
        if let Some(first) = requests.first_mut() {
            first.node = Some(self.node.clone());
        }
        requests
    }

    /// Takes a response.
    ///
    /// # Errors
    /// When one of its resources can't be read.
    pub(super) fn take(&mut self, response: &Response<Id>, catalog: &mut Catalog) -> anyhow::Result<Step> {
        let mut step = Step::default();
        let Some(kind) = Kind::of(response.type_url.as_bytes()) else {
            step.requests.push(acknowledgement(&response.type_url, &response.nonce));
            return Ok(step);
        };
        let account = &mut self.accounts[kind as usize];
        let outcome = catalog.apply(&account.holdings, response)?;
        account.holdings = outcome.holdings;
        step.changed = outcome.changed.then_some(kind);
        let needs = account.holdings.needs.clone();
        let acknowledgement = acknowledgement(&response.type_url, &response.nonce);
        match kind {
            Kind::Clusters => {
                step.requests.extend(self.ask(Kind::Endpoints, needs));
                if outcome.needs_changed {
                    self.warming = Some(response.nonce.clone());
                } else {
                    step.requests.push(acknowledgement);
                    self.go_on(&mut step.requests);
                }
            }
            Kind::Endpoints => {
                step.requests.push(acknowledgement);
                if let Some(nonce) = self.warming.take() {
                    step.requests.push(self::acknowledgement(Kind::Clusters.type_url(), &nonce));
                    self.go_on(&mut step.requests);
                }
            }
            Kind::Listeners => {
                step.requests.extend(self.ask(Kind::Routes, needs));
                step.requests.push(acknowledgement);
            }
            Kind::Routes => {
                self.fenced |= response.removed.iter().any(|name| name == FENCE);
                let hosts = &mut self.accounts[Kind::Hosts as usize];
                if !needs.is_empty() && !hosts.subscribed {
                    hosts.subscribed = true;
                    step.requests.push(subscription(Kind::Hosts, Vec::new()));
                }
                step.requests.push(acknowledgement);
            }
            Kind::Hosts => step.requests.push(acknowledgement),
        }
        Ok(step)
    }

    /// Whether it has all that it asked for.
    pub(super) fn is_configured(&self) -> bool {
        let tables = &self.accounts[Kind::Routes as usize].holdings.needs;
        let hosts = &self.accounts[Kind::Hosts as usize].holdings;
        self.fenced && self.warming.is_none() && tables.iter().all(|table| hosts.has_any_of(table))
    }

    /// Once it has clusters, a proxy asks for listeners.
    fn go_on(&mut self, requests: &mut Vec<DeltaDiscoveryRequest>) {
        let listeners = &mut self.accounts[Kind::Listeners as usize];
        if !listeners.subscribed {
            listeners.subscribed = true;
            requests.push(subscription(Kind::Listeners, Vec::new()));
        }
    }

    /// Asks for the names that it needs now, and no longer for others.
    fn ask(&mut self, kind: Kind, mut needs: Arc<Names>) -> Option<DeltaDiscoveryRequest> {
        let account = &mut self.accounts[kind as usize];
        if kind == Kind::Routes {
            Arc::make_mut(&mut needs).insert(FENCE.into());
        }
        if account.subscribed && (Arc::ptr_eq(&account.names, &needs) || account.names == needs) {
            return None;
        }
        let difference = |a: &Names, b: &Names| a.difference(b).map(ToString::to_string).collect();
        let (added, gone) = (difference(&needs, &account.names), difference(&account.names, &needs));
        (account.subscribed, account.names) = (true, needs);
        Some(DeltaDiscoveryRequest { resource_names_unsubscribe: gone, ..subscription(kind, added) })
    }
}

fn subscription(kind: Kind, names: Vec<String>) -> DeltaDiscoveryRequest {
    let names = if kind.is_asked_for_as_a_whole() { vec!["*".to_owned()] } else { names };
    DeltaDiscoveryRequest { type_url: kind.type_url().to_owned(), resource_names_subscribe: names, ..DeltaDiscoveryRequest::default() }
}

fn acknowledgement(type_url: &str, nonce: &str) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest { type_url: type_url.to_owned(), response_nonce: nonce.to_owned(), ..DeltaDiscoveryRequest::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xds::wire::RawResource;
    use envoy_api::envoy::{
        config::{
            cluster::v3::{
                Cluster,
                cluster::{ClusterDiscoveryType, DiscoveryType},
            },
            listener::v3::{Filter, FilterChain, Listener, filter::ConfigType},
            route::v3::{RouteConfiguration, Vhds},
        },
        extensions::filters::network::http_connection_manager::v3::{HttpConnectionManager, Rds, http_connection_manager::RouteSpecifier},
    };
    use prost::Message;

    fn raw(kind: Kind, name: &str, version: &str) -> RawResource {
        let body = match kind {
            Kind::Clusters => {
                let cluster_discovery_type = Some(ClusterDiscoveryType::Type(DiscoveryType::Eds as i32));
                Cluster { name: name.to_owned(), cluster_discovery_type, ..Cluster::default() }.encode_to_vec()
            }
            Kind::Listeners => {
                let rds = Rds { route_config_name: name.to_owned(), ..Rds::default() };
                let manager = HttpConnectionManager { route_specifier: Some(RouteSpecifier::Rds(rds)), ..HttpConnectionManager::default() };
                let http = Filter { config_type: Some(ConfigType::TypedConfig(envoy_api::any(&manager))), ..Filter::default() };
                let chain = FilterChain { filters: vec![http], ..FilterChain::default() };
                Listener { filter_chains: vec![chain], ..Listener::default() }.encode_to_vec()
            }
            Kind::Routes => {
                let vhds = name.starts_with("split").then(Vhds::default);
                RouteConfiguration { name: name.to_owned(), vhds, ..RouteConfiguration::default() }.encode_to_vec()
            }
            Kind::Endpoints | Kind::Hosts => Vec::new(),
        };
        RawResource { name: name.into(), version: version.into(), type_url: kind.type_url().into(), body }
    }

    /// A proxy and what it reads with.
    struct Scene {
        proxy: Proxy,
        catalog: Catalog,
    }

    impl Scene {
        fn new() -> Self {
            let mut scene = Self { proxy: Proxy::new("shop", "bench", 7), catalog: Catalog::default() };
            let [first] = &scene.open(Memory::Kept)[..] else { panic!("one request") };
            assert_eq!((first.type_url.as_str(), &first.resource_names_subscribe[..]), (Kind::Clusters.type_url(), &["*".to_owned()][..]));
            assert_eq!(first.node.as_ref().unwrap().id, "sidecar~10.210.0.8~bench-7.shop~shop.svc.cluster.local");
            scene
        }

        fn open(&mut self, memory: Memory) -> Vec<DeltaDiscoveryRequest> {
            self.proxy.open(memory, &self.catalog)
        }

        /// The requests that follow a response: of which kind, the nonce that they answer, the names.
        fn take(&mut self, kind: Kind, nonce: &str, names: &[(&str, &str)], removed: &[&str]) -> Vec<(Kind, String, Vec<String>)> {
            let resources = names.iter().map(|(name, version)| self.catalog.take(&raw(kind, name, version))).collect();
            let removed = removed.iter().map(|name| (*name).to_owned()).collect();
            let response = Response { type_url: kind.type_url().to_owned(), nonce: nonce.to_owned(), resources, removed };
            let step = self.proxy.take(&response, &mut self.catalog).unwrap();
            let told = |request: DeltaDiscoveryRequest| {
                (Kind::of(request.type_url.as_bytes()).unwrap(), request.response_nonce, request.resource_names_subscribe)
            };
            step.requests.into_iter().map(told).collect()
        }

        fn configure(&mut self) {
            self.take(Kind::Clusters, "1", &[("a", "1")], &[]);
            self.take(Kind::Endpoints, "2", &[("a", "1")], &[]);
            self.take(Kind::Listeners, "3", &[("80", "1")], &[]);
            self.take(Kind::Routes, "4", &[("80", "1")], &[FENCE]);
            assert!(self.proxy.is_configured());
        }
    }

    fn ask(kind: Kind, names: &[&str]) -> (Kind, String, Vec<String>) {
        (kind, String::new(), names.iter().map(|name| (*name).to_owned()).collect())
    }

    fn ack(kind: Kind, nonce: &str) -> (Kind, String, Vec<String>) {
        (kind, nonce.to_owned(), Vec::new())
    }

    #[test]
    fn a_proxy_starts_as_envoy_does() {
        let mut scene = Scene::new();
        // Clusters are acknowledged when they have endpoints, and only then there are listeners.
        assert_eq!(scene.take(Kind::Clusters, "1", &[("a", "1"), ("b", "1")], &[]), [ask(Kind::Endpoints, &["a", "b"])]);
        let ready = scene.take(Kind::Endpoints, "2", &[("a", "1"), ("b", "1")], &[]);
        assert_eq!(ready, [ack(Kind::Endpoints, "2"), ack(Kind::Clusters, "1"), ask(Kind::Listeners, &["*"])]);
        let tables = scene.take(Kind::Listeners, "3", &[("80", "1")], &[]);
        assert_eq!(tables, [ask(Kind::Routes, &["80", FENCE]), ack(Kind::Listeners, "3")]);
        assert!(!scene.proxy.is_configured());
        assert_eq!(scene.take(Kind::Routes, "4", &[("80", "1")], &[FENCE]), [ack(Kind::Routes, "4")]);
        assert!(scene.proxy.is_configured());
    }

    #[test]
    fn a_change_is_acknowledged_and_asks_for_nothing() {
        let mut scene = Scene::new();
        scene.configure();
        assert_eq!(scene.take(Kind::Endpoints, "5", &[("a", "2")], &[]), [ack(Kind::Endpoints, "5")]);
        assert_eq!(scene.take(Kind::Routes, "6", &[("80", "2")], &[]), [ack(Kind::Routes, "6")]);
        // A new cluster, and one that goes.
        assert_eq!(scene.take(Kind::Clusters, "7", &[("c", "1")], &["a"]), [ask(Kind::Endpoints, &["c"])]);
        assert_eq!(scene.take(Kind::Endpoints, "8", &[("c", "1")], &[]), [ack(Kind::Endpoints, "8"), ack(Kind::Clusters, "7")]);
    }

    #[test]
    fn a_proxy_asks_for_hosts_once_and_is_configured_when_each_table_has_some() {
        let mut scene = Scene::new();
        scene.take(Kind::Clusters, "1", &[("a", "1")], &[]);
        scene.take(Kind::Endpoints, "2", &[("a", "1")], &[]);
        scene.take(Kind::Listeners, "3", &[("split-80", "1"), ("split-81", "1")], &[]);
        let opened = scene.take(Kind::Routes, "4", &[("split-80", "1"), ("split-81", "1")], &[FENCE]);
        assert_eq!(opened, [ask(Kind::Hosts, &[]), ack(Kind::Routes, "4")]);
        assert!(!scene.proxy.is_configured());
        assert_eq!(scene.take(Kind::Hosts, "5", &[("split-80/a:80", "1")], &[]), [ack(Kind::Hosts, "5")]);
        assert!(!scene.proxy.is_configured());
        scene.take(Kind::Hosts, "6", &[("split-81/a:81", "1")], &[]);
        assert!(scene.proxy.is_configured());
        assert_eq!(scene.take(Kind::Routes, "7", &[("split-80", "2")], &[]), [ack(Kind::Routes, "7")]);

        let requests = scene.open(Memory::Kept);
        assert_eq!(requests.len(), Kind::COUNT);
        assert_eq!(requests[Kind::Hosts as usize].initial_resource_versions.len(), 2);
        assert!(requests[Kind::Hosts as usize].resource_names_subscribe.is_empty());
    }

    #[test]
    fn a_proxy_that_comes_back_says_what_it_holds() {
        let mut scene = Scene::new();
        scene.configure();
        let requests = scene.open(Memory::Kept);
        let kinds: Vec<_> = requests.iter().map(|request| Kind::of(request.type_url.as_bytes()).unwrap()).collect();
        assert_eq!(kinds, Kind::ALL[..4]);
        assert!(requests[0].node.is_some() && requests[1].node.is_none());
        for request in &requests {
            assert_eq!(request.initial_resource_versions.len(), 1, "{}", request.type_url);
        }
        assert_eq!(requests[3].resource_names_subscribe, ["80", FENCE]);
        assert!(!scene.proxy.is_configured());
        scene.take(Kind::Routes, "1", &[], &[FENCE]);
        assert!(scene.proxy.is_configured());

        let requests = scene.open(Memory::Lost);
        assert!(requests.iter().all(|request| request.initial_resource_versions.is_empty()) && requests.len() == 4);
        // All of it comes anew, and leads to no other questions.
        assert_eq!(scene.take(Kind::Clusters, "1", &[("a", "1")], &[]), []);
        assert_eq!(scene.take(Kind::Endpoints, "2", &[("a", "1")], &[]), [ack(Kind::Endpoints, "2"), ack(Kind::Clusters, "1")]);
        assert_eq!(scene.take(Kind::Listeners, "3", &[("80", "1")], &[]), [ack(Kind::Listeners, "3")]);
    }
}
