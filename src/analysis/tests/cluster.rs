//! Namespaces, Services, Deployments and webhooks.

use super::*;
use serde_json::json;

fn namespace(name: &str, labels: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
}

fn service(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop"}, "spec": spec})
}

fn deployment(template_metadata: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"template": {"metadata": template_metadata, "spec": {"containers": [{"name": "app", "image": "app:1"}]}}},
    })
}

/// The injector's settings in the reference's form.
fn injector(enabled_by_default: bool) -> Value {
    let values = json!({
        "global": {"hub": "docker.io/istio", "tag": "1.31.0", "proxy": {"image": "proxyv2"}},
        "sidecarInjectorWebhook": {"enableNamespacesByDefault": enabled_by_default},
    });
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio-sidecar-injector", "namespace": "istio-system"},
        "data": {"values": values.to_string()},
    })
}

#[test]
fn a_namespace_without_a_label_gets_no_sidecars_unless_the_mesh_says_so() {
    let silent = namespace("shop", json!({}));
    let lines = only(&cluster(&[silent.clone(), injector(false)]), Code::NamespaceNotInjected);
    assert_eq!(
        lines,
        ["Info [IST0102] Namespace shop: metadata.labels: its pods get no sidecars: 'kubectl label namespace shop \
              istio-injection=enabled' gives them some, 'kubectl label namespace shop istio-injection=disabled' says that they need none"]
    );
    let lines = only(&cluster(&[silent.clone(), injector(true)]), Code::NamespaceInjectionEnabledByDefault);
    assert_eq!(lines.len(), 1);
    // Who does not know the injector does not know what silence means.
    assert_eq!(analyze(&cluster(&[silent])), []);
}

#[test]
fn namespaces_that_speak_and_those_of_the_system_are_left_alone() {
    let objects = [
        namespace("a", json!({"istio-injection": "enabled"})),
        namespace("b", json!({"istio-injection": "disabled"})),
        namespace("c", json!({"istio.io/rev": "1-31"})),
        namespace("kube-system", json!({})),
        namespace("istio-system", json!({})),
        injector(false),
    ];
    assert_eq!(analyze(&cluster(&objects)), []);
}

#[test]
fn both_labels_for_injection_contradict_each_other() {
    let doubled = namespace("shop", json!({"istio-injection": "enabled", "istio.io/rev": "1-31"}));
    let lines = only(&cluster(&[doubled]), Code::NamespaceMultipleInjectionLabels);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].starts_with("Warning [IST0123] Namespace shop: metadata.labels: has both labels"), "{lines:?}");
}

#[test]
fn a_port_that_does_not_say_what_is_spoken_is_found() {
    let code = Code::PortNameIsNotUnderNamingConvention;
    let ports = json!({"ports": [
        {"name": "http", "port": 80}, {"name": "web", "port": 81}, {"port": 82}, {"name": "web2", "port": 83, "appProtocol": "grpc"},
        {"name": "sql", "port": 3306}, {"name": "dns", "port": 5353, "protocol": "UDP"},
    ]});
    let lines = only(&cluster(&[service("web", ports)]), code);
    assert_eq!(
        lines,
        [
            "Info [IST0118] Service shop/web: spec.ports[1].name: neither the name \"web\" nor appProtocol of port 81 says what is spoken, \
             so that proxies have to guess: call it http-web, for example",
            "Info [IST0118] Service shop/web: spec.ports[2].name: neither the name \"\" nor appProtocol of port 82 says what is spoken, \
             so that proxies have to guess: call it http-web, for example",
        ]
    );
}

#[test]
fn services_of_the_control_plane_are_left_alone() {
    let mut own = service("istiod", json!({"ports": [{"name": "status", "port": 8080}]}));
    own["metadata"]["labels"] = json!({"istio": "pilot"});
    assert_eq!(analyze(&cluster(&[own])), []);
}

#[test]
fn a_name_outside_needs_a_port_that_is_no_plain_tcp() {
    let code = Code::ExternalNameServiceTypeInvalidPortName;
    let outside =
        |name: &str| service("out", json!({"type": "ExternalName", "externalName": "a.b", "ports": [{"name": name, "port": 443}]}));
    assert_eq!(only(&cluster(&[outside("tcp")]), code).len(), 1);
    assert_eq!(only(&cluster(&[outside("whatever")]), code).len(), 1);
    assert_eq!(analyze(&cluster(&[outside("https")])), []);
}

#[test]
fn one_port_number_has_one_transport() {
    let code = Code::DeploymentAssociatedToMultipleServices;
    let of = |name: &str, protocol: &str| {
        service(name, json!({"selector": {"app": "web"}, "ports": [{"name": "tcp-x", "port": 53, "protocol": protocol}]}))
    };
    let web = deployment(json!({"labels": {"app": "web"}}));
    let shop = namespace("shop", json!({"istio-injection": "enabled"}));
    let lines = only(&cluster(&[web.clone(), shop.clone(), of("one", "TCP"), of("two", "UDP")]), code);
    assert_eq!(
        lines,
        ["Warning [IST0116] Deployment shop/web: port 53 is TCP, UDP in Service shop/one, Service shop/two: use a number for each"]
    );
    assert_eq!(analyze(&cluster(&[web.clone(), shop, of("one", "TCP"), of("two", "TCP")])), []);
    // Outside of the mesh nobody minds.
    let outside = namespace("shop", json!({"istio-injection": "disabled"}));
    assert_eq!(analyze(&cluster(&[web, outside, of("one", "TCP"), of("two", "UDP")])), []);
}

#[test]
fn one_port_of_a_workload_is_called_by_one_number() {
    let code = Code::DeploymentConflictingPorts;
    let of = |name: &str, port: u16| {
        service(name, json!({"selector": {"app": "web"}, "ports": [{"name": "http", "port": port, "targetPort": 8080}]}))
    };
    let web = deployment(json!({"labels": {"app": "web", "sidecar.istio.io/inject": "true"}}));
    let lines = only(&cluster(&[web.clone(), of("one", 80), of("two", 81)]), code);
    assert_eq!(
        lines,
        ["Warning [IST0137] Deployment shop/web: its port 8080 is called by the numbers 80, 81 of Service shop/one, Service shop/two: \
              use the same number"]
    );
    assert_eq!(analyze(&cluster(&[web, of("one", 80), of("two", 80)])), []);
}

#[test]
fn annotations_are_known_belong_where_they_stand_and_mean_something() {
    let with = |annotations: Value| {
        let mut object = service("web", json!({}));
        object["metadata"]["annotations"] = annotations;
        cluster(&[object])
    };
    assert_eq!(analyze(&with(json!({"networking.istio.io/exportTo": ".", "example.com/x": "y"}))), []);
    let lines = only(&with(json!({"networking.istio.io/exportsTo": "."})), Code::UnknownAnnotation);
    assert_eq!(lines.len(), 1);
    let lines = only(&with(json!({"traffic.sidecar.istio.io/excludeInboundPorts": "80"})), Code::MisplacedAnnotation);
    assert_eq!(
        lines,
        ["Warning [IST0107] Service shop/web: metadata.annotations[traffic.sidecar.istio.io/excludeInboundPorts]: \
             traffic.sidecar.istio.io/excludeInboundPorts means nothing on a Service: it belongs on a Pod"]
    );
    let template = |annotations: Value| cluster(&[deployment(json!({"annotations": annotations}))]);
    let lines = only(&template(json!({"traffic.sidecar.istio.io/excludeInboundPorts": "http"})), Code::InvalidAnnotation);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("spec.template.metadata.annotations[traffic.sidecar.istio.io/excludeInboundPorts]"), "{lines:?}");
    assert_eq!(analyze(&template(json!({"traffic.sidecar.istio.io/excludeInboundPorts": "80,81"}))), []);
}

#[test]
fn an_annotation_with_a_successor_is_told_of_unless_that_is_there_too() {
    let code = Code::DeprecatedAnnotation;
    let template = |metadata: Value| cluster(&[deployment(metadata)]);
    let lines = only(&template(json!({"annotations": {"sidecar.istio.io/inject": "true"}})), code);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].ends_with("sidecar.istio.io/inject is deprecated: use the label of the same name"), "{lines:?}");
    let both = json!({"annotations": {"sidecar.istio.io/inject": "true"}, "labels": {"sidecar.istio.io/inject": "true"}});
    assert_eq!(analyze(&template(both)), []);
}

#[test]
fn an_object_can_suppress_codes() {
    let mut object = service("web", json!({"ports": [{"name": "web", "port": 81}]}));
    for (text, count) in [("IST0118", 0), ("IST0001, IST0118", 0), ("*", 0), ("IST0119", 1)] {
        object["metadata"]["annotations"] = json!({"galley.istio.io/analyze-suppress": text});
        assert_eq!(analyze(&cluster(std::slice::from_ref(&object))).len(), count, "{text}");
    }
}

/// A webhook that calls Service `istio-system/injector`.
fn webhook(name: &str, webhooks: &[(&str, Value, Value)]) -> Value {
    let webhooks: Vec<Value> = webhooks
        .iter()
        .map(|(name, namespaces, objects)| {
            let path = if name.ends_with(".istio.io") { "/inject" } else { "/mutate" };
            json!({
                "name": name, "clientConfig": {"service": {"namespace": "shop", "name": "injector", "path": path}},
                "namespaceSelector": namespaces, "objectSelector": objects,
            })
        })
        .collect();
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration", "metadata": {"name": name},
        "webhooks": webhooks,
    })
}

#[test]
fn each_pod_is_for_one_webhook() {
    let code = Code::InvalidWebhook;
    let target = service("injector", json!({}));
    let enabled = json!({"matchLabels": {"istio-injection": "enabled"}});
    let silent = json!({"matchExpressions": [{"key": "istio-injection", "operator": "DoesNotExist"}]});
    let lines = |one: &Value, other: &Value| {
        let pair = [("a.istio.io", one.clone(), json!({})), ("b.istio.io", other.clone(), json!({}))];
        only(&cluster(&[target.clone(), webhook("hooks", &pair)]), code)
    };
    assert_eq!(lines(&enabled, &silent), [""; 0]);
    assert_eq!(
        lines(&enabled, &json!({})),
        [
            "Error [IST0139] MutatingWebhookConfiguration hooks: webhooks: a.istio.io injects into the same pods as b.istio.io of hooks: \
             each pod may have one",
            "Error [IST0139] MutatingWebhookConfiguration hooks: webhooks: b.istio.io injects into the same pods as a.istio.io of hooks: \
             each pod may have one",
        ]
    );
    // They differ by the revision that they are for.
    let revision = |revision: &str| json!({"matchExpressions": [{"key": "istio.io/rev", "operator": "In", "values": [revision]}]});
    assert_eq!(lines(&revision("one"), &revision("two")), [""; 0]);
    assert_eq!(lines(&revision("one"), &revision("one")).len(), 2);
}

#[test]
fn the_service_of_a_webhook_is_there() {
    let hooks = webhook("hooks", &[("a.istio.io", json!({}), json!({}))]);
    let lines = only(&cluster(std::slice::from_ref(&hooks)), Code::InvalidWebhook);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].ends_with("a.istio.io calls Service shop/injector, which is not there: pods are not injected"), "{lines:?}");
    assert_eq!(analyze(&cluster(&[hooks, service("injector", json!({}))])), []);
    // Webhooks of others are none of ours.
    assert_eq!(analyze(&cluster(&[webhook("other", &[("a.example.com", json!({}), json!({}))])])), []);
}

#[test]
fn what_readers_said_is_found() {
    use crate::analysis::ObjectNotes;
    use crate::config::{self, Problem};
    let problem = |code| Problem { path: "spec.http[1]".to_owned(), message: "is so".to_owned(), code };
    let notes = ObjectNotes {
        errors: vec![problem(config::Code::BadWeights)],
        warnings: [config::Code::UnreachableRule, config::Code::IneffectiveMatch, config::Code::Deprecated, config::Code::NotHonoured]
            .map(problem)
            .into(),
        ..ObjectNotes::default()
    };
    let object = ObjectRef::new("VirtualService", "shop", "reviews");
    let world = world_with(&TestMesh::default(), [], Facts { notes: [(object, notes)].into(), ..Facts::default() });
    let lines: Vec<String> = analyze(&world).iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "Error [IST0106] VirtualService shop/reviews: spec.http[1]: is so (FM0112)",
            "Warning [IST0002] VirtualService shop/reviews: spec.http[1]: is so (FM0121)",
            "Warning [IST0130] VirtualService shop/reviews: spec.http[1]: is so",
            "Warning [IST0133] VirtualService shop/reviews: spec.http[1]: is so (FM0120)",
            "Info [IST0131] VirtualService shop/reviews: spec.http[1]: is so",
        ]
    );
}
