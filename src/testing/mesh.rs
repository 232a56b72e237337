//! Meshes for tests: services, workloads and configuration in a few words, and the snapshot that they make.

use std::{collections::BTreeMap, sync::Arc};

use crate::compile::Proxy;
use crate::model::{
    ConfigObject, Credential, Destination, DestinationRule, Endpoint, EnvoyFilter, EnvoyPatch, ExportTo, Gateway, GatewayServer, Health,
    HostPattern, HttpAction, HttpFault, HttpMatch, HttpRoute, Labels, MESH_GATEWAY, MeshConfig, MtlsMode, NamespaceSelector, ObjectMatch,
    ObjectRef, Outside, PatchContext, PatchOperation, PatchTargets, PatchedObject, PeerAuthentication, Protocol, ProxyRole, Resolution,
    SecretKey, Service, ServiceKey, ServicePort, Sidecar, Snapshot, SpiffeId, StringMatch, Subset, TargetPort, TrafficPolicy,
    VirtualService, WeightedDestination, Workload, WorkloadKey,
};

/// What makes up a mesh; fill it in, then ask for the snapshot.
#[derive(Clone, Debug, Default)]
pub(crate) struct TestMesh {
    pub(crate) config: MeshConfig,
    pub(crate) services: BTreeMap<ServiceKey, Service>,
    pub(crate) workloads: BTreeMap<WorkloadKey, Workload>,
    /// Endpoints that are no workloads of the mesh.
    pub(crate) others: BTreeMap<ServiceKey, Vec<Endpoint>>,
    pub(crate) virtual_services: Vec<VirtualService>,
    pub(crate) destination_rules: Vec<DestinationRule>,
    pub(crate) gateways: Vec<Gateway>,
    pub(crate) sidecars: Vec<Sidecar>,
    pub(crate) peer_authentications: Vec<PeerAuthentication>,
    /// Of kinds that few tests need.
    pub(crate) objects: Vec<ConfigObject>,
    pub(crate) secrets: BTreeMap<SecretKey, Credential>,
}

/// The sidecar, or with the label of one the gateway, of a workload.
pub(crate) fn proxy_of(workload: &Workload) -> Proxy {
    let role = if workload.labels.contains_key("istio") { ProxyRole::Router } else { ProxyRole::Sidecar };
    Proxy { metadata: labels(&[("ISTIO_VERSION", "1.31.0")]), ..Proxy::beside(workload, role) }
}

/// The host of a Kubernetes Service.
pub(crate) fn fqdn(namespace: &str, name: &str) -> HostPattern {
    HostPattern::new(&format!("{name}.{namespace}.svc.cluster.local"))
}

/// Labels from pairs.
pub(crate) fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A port from `name:number:target`; the target may be left out. The name declares the protocol.
pub(crate) fn port(text: &str) -> ServicePort {
    let parts: Vec<&str> = text.split(':').collect();
    let number = parts[1].parse().unwrap();
    let target = match parts.get(2) {
        None => TargetPort::Number(number),
        Some(target) => target.parse().map_or_else(|_| TargetPort::Name((*target).into()), TargetPort::Number),
    };
    let protocol = Protocol::of_service_port(None, None, Some(parts[0]), number);
    ServicePort { name: parts[0].into(), number, target, protocol }
}

/// A destination with a weight.
pub(crate) fn to(host: &HostPattern, subset: Option<&str>, weight: u32) -> WeightedDestination {
    let destination = Destination { host: host.clone(), subset: subset.map(Into::into), port: None };
    WeightedDestination { destination, weight, headers: None }
}

/// A rule that sends what matches to destinations.
pub(crate) fn forward(matches: Vec<HttpMatch>, destinations: Vec<WeightedDestination>) -> HttpRoute {
    HttpRoute {
        name: "".into(),
        matches,
        action: HttpAction::Forward(destinations),
        rewrite: None,
        timeout: None,
        retry: None,
        headers: None,
        fault: HttpFault::default(),
        mirrors: Vec::new(),
        cors: None,
    }
}

/// A match on the path.
pub(crate) fn path(uri: StringMatch) -> HttpMatch {
    HttpMatch { uri: Some(uri), ..HttpMatch::default() }
}

/// A VirtualService for all sidecars.
pub(crate) fn virtual_service(namespace: &str, name: &str, hosts: &[HostPattern], http: Vec<HttpRoute>) -> VirtualService {
    VirtualService {
        origin: ObjectRef::new("VirtualService", namespace, name),
        hosts: hosts.to_vec(),
        gateways: vec![MESH_GATEWAY.into()],
        http,
        tls: Vec::new(),
        tcp: Vec::new(),
        export_to: ExportTo::default(),
        created: 1,
    }
}

/// A DestinationRule with subsets by the label `version`.
pub(crate) fn versions(namespace: &str, host: &HostPattern, names: &[&str]) -> DestinationRule {
    let subset = |name: &&str| Subset { name: (*name).into(), labels: labels(&[("version", name)]), policy: TrafficPolicy::default() };
    DestinationRule {
        origin: ObjectRef::new("DestinationRule", namespace, host.as_str().split('.').next().unwrap_or_default()),
        host: host.clone(),
        policy: TrafficPolicy::default(),
        subsets: names.iter().map(subset).collect(),
        export_to: ExportTo::default(),
        workload_selector: None,
        created: 1,
    }
}

/// A PeerAuthentication for a namespace, or for workloads with these labels.
pub(crate) fn peer_authentication(namespace: &str, selector: &[(&str, &str)], mode: MtlsMode) -> PeerAuthentication {
    PeerAuthentication {
        origin: ObjectRef::new("PeerAuthentication", namespace, if selector.is_empty() { "default" } else { "workload" }),
        selector: labels(selector),
        mode: Some(mode),
        ports: BTreeMap::new(),
        created: 1,
    }
}

/// An EnvoyFilter for workloads with these labels; none are all.
pub(crate) fn envoy_filter(namespace: &str, name: &str, selector: &[(&str, &str)], patches: Vec<EnvoyPatch>) -> EnvoyFilter {
    EnvoyFilter {
        origin: ObjectRef::new("EnvoyFilter", namespace, name),
        targets: PatchTargets::Workloads(labels(selector)),
        priority: 0,
        patches,
        created: 1,
    }
}

/// A patch of all objects of a sort.
pub(crate) fn patch(index: usize, apply_to: PatchedObject, context: PatchContext, operation: PatchOperation) -> EnvoyPatch {
    EnvoyPatch {
        path: format!("spec.configPatches[{index}]").into(),
        apply_to,
        context,
        proxy_version: None,
        proxy_metadata: Labels::new(),
        object: ObjectMatch::Any,
        operation,
    }
}

/// A Gateway with one HTTP server for all hosts.
pub(crate) fn http_gateway(namespace: &str, name: &str, selector: &[(&str, &str)], port: u16) -> Gateway {
    let server = GatewayServer {
        port,
        port_name: "http".into(),
        protocol: Protocol::Http,
        hosts: vec![(NamespaceSelector::Any, HostPattern::new("*"))],
        tls: None,
        name: "".into(),
        bind: None,
        default_endpoint: None,
    };
    Gateway { origin: ObjectRef::new("Gateway", namespace, name), selector: labels(selector), servers: vec![server], created: 1 }
}

// === impl TestMesh ===

impl TestMesh {
    /// Adds a Kubernetes Service that selects workloads with the label `app`; no address makes it headless.
    pub(crate) fn service(&mut self, namespace: &str, name: &str, address: Option<&str>, ports: &[&str]) -> &mut Service {
        let key = ServiceKey { host: fqdn(namespace, name), namespace: namespace.into() };
        let service = Service {
            key: key.clone(),
            origin: ObjectRef::new("Service", namespace, name),
            name: name.into(),
            addresses: address.into_iter().map(|address| address.parse().unwrap()).collect(),
            ranges: Vec::new(),
            automatic_address: None,
            ports: ports.iter().map(|text| port(text)).collect(),
            resolution: if address.is_some() { Resolution::Eds } else { Resolution::Passthrough },
            alias_of: None,
            selector: labels(&[("app", name)]),
            export_to: ExportTo::default(),
            external: false,
            subject_alt_names: Vec::new(),
            publish_not_ready: false,
            outside: Outside::default(),
            created: 1,
        };
        self.services.entry(key).insert_entry(service).into_mut()
    }

    /// Adds a host outside of the mesh.
    pub(crate) fn external(&mut self, namespace: &str, host: &str, resolution: Resolution, ports: &[&str]) -> &mut Service {
        let key = ServiceKey { host: HostPattern::new(host), namespace: namespace.into() };
        let service = Service {
            key: key.clone(),
            origin: ObjectRef::new("ServiceEntry", namespace, host),
            name: host.into(),
            addresses: Vec::new(),
            ranges: Vec::new(),
            automatic_address: None,
            ports: ports.iter().map(|text| port(text)).collect(),
            resolution,
            alias_of: None,
            selector: Labels::new(),
            export_to: ExportTo::default(),
            external: true,
            subject_alt_names: Vec::new(),
            publish_not_ready: false,
            outside: Outside::default(),
            created: 1,
        };
        self.services.entry(key).insert_entry(service).into_mut()
    }

    /// Adds a ready pod with a sidecar. It runs as an account of the name of its label `app`.
    pub(crate) fn workload(&mut self, namespace: &str, name: &str, address: &str, pairs: &[(&str, &str)]) -> &mut Workload {
        let mut labels = labels(pairs);
        labels.insert("security.istio.io/tlsMode".to_owned(), "istio".to_owned());
        let account = labels.get("app").cloned().unwrap_or_else(|| "default".to_owned());
        let key = WorkloadKey::new(namespace, name);
        let workload = Workload {
            key: key.clone(),
            addresses: vec![address.parse().unwrap()],
            labels,
            identity: SpiffeId::new("cluster.local", namespace, &account),
            node: "node".into(),
            locality: "region/zone".into(),
            host_network: false,
            named_ports: Vec::new(),
        };
        self.workloads.entry(key).insert_entry(workload).into_mut()
    }

    /// The snapshot of all that.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        let mut snapshot = Snapshot { version: 1, mesh: Arc::new(self.config.clone()), ..Snapshot::default() };
        for (key, service) in &self.services {
            snapshot.services.insert_mut(key.clone(), Arc::new(service.clone()));
            let endpoints = self.endpoints(service);
            if !endpoints.is_empty() {
                snapshot.endpoints.insert_mut(key.clone(), endpoints.into());
            }
        }
        for (key, workload) in &self.workloads {
            snapshot.workloads.insert_mut(key.clone(), Arc::new(workload.clone()));
            workload.addresses.iter().for_each(|address| snapshot.addresses.insert_mut(*address, key.clone()));
        }
        self.virtual_services.iter().cloned().for_each(|it| snapshot.config.insert(it.into()));
        self.destination_rules.iter().cloned().for_each(|it| snapshot.config.insert(it.into()));
        self.gateways.iter().cloned().for_each(|it| snapshot.config.insert(it.into()));
        self.sidecars.iter().cloned().for_each(|it| snapshot.config.insert(it.into()));
        self.peer_authentications.iter().cloned().for_each(|it| snapshot.config.insert(it.into()));
        self.objects.iter().cloned().for_each(|it| snapshot.config.insert(it));
        self.secrets.iter().for_each(|(key, it)| snapshot.secrets.insert_mut(key.clone(), Arc::new(it.clone())));
        Arc::new(snapshot)
    }

    fn endpoints(&self, service: &Service) -> Vec<Endpoint> {
        let mut endpoints = self.others.get(&service.key).cloned().unwrap_or_default();
        if matches!(service.resolution, Resolution::Dns | Resolution::DnsRoundRobin) && endpoints.is_empty() {
            endpoints.extend(service.ports.iter().map(|port| resolved(service, port)));
        }
        let selected = |workload: &&Workload| {
            !service.selector.is_empty() && workload.key.namespace == service.key.namespace && workload.selected_by(&service.selector)
        };
        for workload in self.workloads.values().filter(selected) {
            for port in &service.ports {
                let named = service.addresses.is_empty().then(|| workload.key.name.clone());
                endpoints.extend(endpoint(workload, port).map(|endpoint| Endpoint { hostname: named, ..endpoint }));
            }
        }
        endpoints.sort_by(|a, b| (&a.address, a.port).cmp(&(&b.address, b.port)));
        endpoints
    }
}

/// The service's own host as endpoint of one of its ports.
fn resolved(service: &Service, port: &ServicePort) -> Endpoint {
    Endpoint {
        address: service.key.host.as_str().into(),
        hostname: None,
        port: port.number,
        service_port: port.name.clone(),
        health: Health::Healthy,
        labels: Arc::new(Labels::new()),
        workload: None,
        identity: None,
        mtls: false,
        locality: "".into(),
        weight: 1,
    }
}

/// A workload as endpoint of a service's port, if it has such a port.
fn endpoint(workload: &Workload, port: &ServicePort) -> Option<Endpoint> {
    let number = match &port.target {
        TargetPort::Number(number) => *number,
        TargetPort::Name(name) => workload.named_ports.iter().find(|(port, _)| port == name)?.1,
    };
    Some(Endpoint {
        address: workload.addresses.first()?.to_string().into(),
        hostname: None,
        port: number,
        service_port: port.name.clone(),
        health: Health::Healthy,
        labels: Arc::new(workload.labels.clone()),
        workload: Some(workload.key.clone()),
        identity: Some(workload.identity.clone()),
        mtls: workload.speaks_mtls(),
        locality: workload.locality.clone(),
        weight: 1,
    })
}

/// The sample application behind a gateway, with services of other kinds beside it:
/// `productpage`, `details`, `reviews` (v1 to v3) and `ratings` in namespace `shop`, all HTTP on port 9080; a database on a TCP port;
/// a headless queue; a service that does not say what it speaks; hosts outside of the mesh; and the ingress gateway.
pub(crate) fn bookinfo() -> TestMesh {
    let mut mesh = TestMesh::default();
    for (place, name) in ["productpage", "details", "reviews", "ratings"].into_iter().enumerate() {
        mesh.service("shop", name, Some(&format!("10.96.0.{}", place + 1)), &["http:9080"]);
        for version in if name == "reviews" { &["v1", "v2", "v3"][..] } else { &["v1"] } {
            let address = format!("10.244.{}.{}", place + 1, &version[1..]);
            mesh.workload("shop", &format!("{name}-{version}"), &address, &[("app", name), ("version", version)]);
        }
    }
    mesh.service("data", "db", Some("10.96.1.1"), &["tcp:5432"]);
    mesh.workload("data", "db-0", "10.244.9.1", &[("app", "db")]);
    mesh.service("data", "queue", None, &["tcp:5672"]);
    mesh.workload("data", "queue-0", "10.244.9.2", &[("app", "queue")]);
    mesh.workload("data", "queue-1", "10.244.9.3", &[("app", "queue")]);
    mesh.service("shop", "legacy", Some("10.96.0.9"), &["main:7000:7001"]);
    mesh.workload("shop", "legacy-0", "10.244.8.1", &[("app", "legacy")]);
    mesh.external("shop", "api.example.com", Resolution::Dns, &["https:443", "http:80"]);
    mesh.service("istio-system", "istio-ingressgateway", Some("10.96.2.1"), &["http:80:8080", "tcp:31400"]).selector =
        labels(&[("istio", "ingressgateway")]);
    mesh.workload("istio-system", "gateway-0", "10.244.7.1", &[("istio", "ingressgateway")]);
    mesh.destination_rules.push(versions("shop", &fqdn("shop", "reviews"), &["v1", "v2", "v3"]));
    let reviews = fqdn("shop", "reviews");
    let split = forward(Vec::new(), vec![to(&reviews, Some("v1"), 80), to(&reviews, Some("v3"), 20)]);
    mesh.virtual_services.push(virtual_service("shop", "reviews", &[reviews], vec![split]));
    mesh.gateways.push(http_gateway("shop", "bookinfo-gateway", &[("istio", "ingressgateway")], 80));
    let pages = [StringMatch::Exact("/productpage".into()), StringMatch::Prefix("/static".into())];
    let page = forward(pages.into_iter().map(path).collect(), vec![to(&fqdn("shop", "productpage"), None, 1)]);
    let mut entry = virtual_service("shop", "bookinfo", &[HostPattern::new("*")], vec![page]);
    entry.gateways = vec!["shop/bookinfo-gateway".into()];
    mesh.virtual_services.push(entry);
    mesh
}
