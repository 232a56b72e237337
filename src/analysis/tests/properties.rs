//! What holds for all worlds: a review is a part of the analysis, and indexes that are kept are those that are built anew.

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::model::{Change, Changes, Gateway, NamespaceSelector, ServerCertificate, ServerTls, ServerTlsMode};
use crate::testing::mesh::{bookinfo, fqdn, http_gateway, versions};

fn namespaces() -> impl Strategy<Value = &'static str> {
    select(vec!["shop", "data", "web"])
}

fn names() -> impl Strategy<Value = &'static str> {
    select(vec!["one", "two"])
}

/// Hosts that are there, that are not, and wildcards.
fn hosts() -> impl Strategy<Value = HostPattern> {
    let known = ["reviews", "ratings", "nobody"].map(|name| fqdn("shop", name));
    let others = ["*", "*.example.com", "api.example.com", "*.shop.svc.cluster.local", "a.b.example.com"].map(HostPattern::new);
    select(known.into_iter().chain(others).collect::<Vec<_>>())
}

fn exports() -> impl Strategy<Value = ExportTo> {
    let entry = select(vec![Visibility::Public, Visibility::Private, Visibility::None, Visibility::Namespace("web".into())]);
    vec(entry, 0..2).prop_map(ExportTo)
}

fn routes() -> impl Strategy<Value = ConfigObject> {
    let bound = select(vec!["mesh", "shop/one", "web/two", "shop/bookinfo-gateway"]);
    let destination = (hosts(), select(vec![None, Some("v1"), Some("v9")]), select(vec![None, Some(9080), Some(1)]));
    (namespaces(), names(), vec(hosts(), 0..3), vec(bound, 1..3), vec(destination, 0..3), exports()).prop_map(
        |(namespace, name, hosts, gateways, destinations, export_to)| {
            let destinations = destinations.into_iter().map(|(host, subset, port)| {
                let mut to = to(&host, subset, 1);
                to.destination.port = port;
                to
            });
            let mut routes = virtual_service(namespace, name, &hosts, vec![forward(Vec::new(), destinations.collect())]);
            routes.gateways = gateways.into_iter().map(Into::into).collect();
            routes.export_to = export_to;
            routes.into()
        },
    )
}

fn rules() -> impl Strategy<Value = ConfigObject> {
    (namespaces(), names(), hosts(), exports()).prop_map(|(namespace, name, host, export_to)| {
        let mut rule = versions(namespace, &host, &["v1", "v9"]);
        rule.origin.name = name.into();
        rule.export_to = export_to;
        rule.into()
    })
}

fn gateway() -> impl Strategy<Value = ConfigObject> {
    let selectors = select(vec![&[("istio", "ingressgateway")][..], &[("istio", "nowhere")], &[]]);
    let selected = || select(vec![NamespaceSelector::Any, NamespaceSelector::Own, NamespaceSelector::Named("web".into())]);
    let server = (select(vec![80, 443]), vec((selected(), hosts()), 1..3), select(vec![None, Some("a"), Some("b")]));
    (namespaces(), names(), selectors, vec(server, 1..3)).prop_map(|(namespace, name, selector, servers)| {
        let mut gateway: Gateway = http_gateway(namespace, name, selector, 80);
        let plain = gateway.servers[0].clone();
        gateway.servers = servers
            .into_iter()
            .map(|(port, hosts, credential)| {
                let tls = credential.map(|name| ServerTls {
                    mode: ServerTlsMode::Simple,
                    certificates: vec![ServerCertificate::Secret(name.into())],
                    ..ServerTls::default()
                });
                crate::model::GatewayServer { port, hosts, tls, ..plain.clone() }
            })
            .collect();
        gateway.into()
    })
}

fn objects() -> impl Strategy<Value = ConfigObject> {
    let entries = (namespaces(), names(), hosts(), select(vec!["tcp:443", "http:443", "main:80"]), exports()).prop_map(
        |(namespace, name, host, port, export_to)| {
            let mut entry = service_entry(namespace, name, &[host.as_str()], &[port]);
            entry.export_to = export_to;
            ConfigObject::from(entry)
        },
    );
    let selectors = select(vec![&[][..], &[("app", "reviews")], &[("version", "v1")], &[("app", "none")]]);
    let sidecars = (namespaces(), names(), selectors).prop_map(|(namespace, name, selector)| sidecar(namespace, name, selector).into());
    prop_oneof![4 => routes(), 2 => rules(), 2 => gateway(), 1 => entries, 1 => sidecars]
}

/// The sample with a Secret of two that gateways name.
fn base(objects: Vec<ConfigObject>) -> World {
    let secrets = [(ObjectRef::new("Secret", "istio-system", "a"), crate::analysis::SecretFacts::default())];
    world_with(&bookinfo(), objects, Facts { secrets: Some(secrets.into()), ..Facts::default() })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn a_review_is_what_the_analysis_finds_of_the_object(stored in vec(objects(), 0..12), object in objects()) {
        let reviewed = review(&base(stored.clone()), &object);
        let mut after = stored;
        after.push(object.clone());
        let analyzed: Vec<Finding> = analyze(&base(after)).into_iter().filter(|it| it.object == *object.origin()).collect();
        prop_assert_eq!(reviewed, analyzed);
    }

    #[test]
    fn indexes_that_are_kept_are_those_that_are_built(steps in vec((objects(), any::<bool>()), 0..24)) {
        let mut kept = base(Vec::new());
        let mut snapshot = kept.snapshot().clone();
        for (object, remove) in steps {
            let origin = object.origin().clone();
            snapshot.config.insert(object);
            if remove {
                snapshot.config.remove(&origin);
            }
            kept.update(Arc::new(snapshot.clone()), &Changes::from([Change::Config(origin)]));
        }
        let built = World::new(Arc::new(snapshot), kept.facts().clone());
        prop_assert_eq!(analyze(&kept), analyze(&built));
    }
}

#[test]
fn services_and_workloads_come_and_go() {
    let mut mesh = bookinfo();
    let mut kept = world(&mesh, []);
    let old = kept.snapshot().clone();
    mesh.services.retain(|key, _| &*key.namespace != "shop");
    mesh.workloads.retain(|key, _| &*key.namespace != "istio-system");
    let new = mesh.snapshot();
    let services = old.services.keys().cloned().map(Change::Service);
    kept.update(new.clone(), &services.chain(old.workloads.keys().cloned().map(Change::Workload)).collect());
    let built = World::new(new, Facts::default());
    assert_eq!(analyze(&kept), analyze(&built));
    assert!(analyze(&kept).len() > 3);
}
