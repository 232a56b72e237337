//! What the API server would refuse, or the operator's own settings would be replaced by, is refused with the field; nothing gets lost.

use serde_json::{Value, json};

use super::{refused, resolved};
use crate::operator::settings::overlay;

/// A spec with these settings of a part, or of a gateway with that name.
fn pilot(fields: Value) -> Value {
    json!({"components": {"pilot": fields}})
}

fn gateway(fields: Value) -> Value {
    json!({"gateways": {"ingress": [overlay(&json!({"name": "i"}), &fields)]}})
}

fn port(fields: Value) -> Value {
    gateway(json!({"service": {"ports": [overlay(&json!({"name": "tcp", "port": 9000}), &fields)]}}))
}

fn is_refused(spec: Value, start: &str) {
    let found = refused(spec.clone());
    assert!(found.starts_with(start), "{spec}: {found}");
    assert!(!found.contains("; spec."), "one problem, not more: {found}");
}

#[test]
fn quantities_are_read_wherever_they_are_said() {
    let said = |quantity: &str| json!({"resources": {"requests": {"cpu": quantity}}});
    let end = "requests.cpu: \"abc\" is no quantity: write for example 100m or 128Mi";
    is_refused(json!({"values": {"global": {"proxy": said("abc")}}}), &format!("spec.values.global.proxy.resources.{end}"));
    for part in ["pilot", "citadel", "galley", "injector"] {
        is_refused(json!({"components": {part: said("abc")}}), &format!("spec.components.{part}.resources.{end}"));
    }
    is_refused(gateway(said("abc")), &format!("spec.gateways.ingress[i].resources.{end}"));
    is_refused(json!({"values": {"pilot": said("abc")}}), &format!("spec.values.pilot.resources.{end}"));
    // The limit is the profile's.
    let much = "spec.values.global.proxy.resources.requests.cpu: \"3\" is more than the limit, \"2000m\"";
    is_refused(json!({"values": {"global": {"proxy": said("3")}}}), much);
    resolved(json!({"values": {"global": {"proxy": {"resources": {"requests": {"cpu": 2}}}}}}));
    resolved(pilot(json!({"resources": {"requests": {"cpu": "1e3", "memory": ".5Gi"}, "limits": {"memory": 1_073_741_824}}})));
}

#[test]
fn where_pods_run_is_said_as_kubernetes_takes_it() {
    let toleration = |fields: Value| pilot(json!({"tolerations": [{"operator": "Exists"}, fields]}));
    for (spec, start) in [
        (
            toleration(json!({"key": "a", "operator": "Foo"})),
            "spec.components.pilot.tolerations[1].operator: \"Foo\" must be Equal or Exists",
        ),
        (toleration(json!({"value": "a"})), "spec.components.pilot.tolerations[1].operator: must be Exists where there is no key"),
        (toleration(json!({"key": "a", "operator": "Exists", "value": "b"})), "spec.components.pilot.tolerations[1].value: can't be set"),
        (toleration(json!({"key": "bad key!"})), "spec.components.pilot.tolerations[1].key: \"bad key!\" can't be"),
        (
            toleration(json!({"key": "a", "effect": "Never"})),
            "spec.components.pilot.tolerations[1].effect: \"Never\" is not one of NoSchedule",
        ),
        (toleration(json!({"key": "a", "tolerationSeconds": 1})), "spec.components.pilot.tolerations[1].tolerationSeconds: has a meaning"),
        (pilot(json!({"priorityClassName": "Bad_Name"})), "spec.components.pilot.priorityClassName: \"Bad_Name\" can't name"),
        (pilot(json!({"nodeSelector": {"bad key!": "a"}})), "spec.components.pilot.nodeSelector[bad key!]: \"bad key!\" can't be a key"),
        (pilot(json!({"nodeSelector": {"a": "b c"}})), "spec.components.pilot.nodeSelector[a]: \"b c\" can't be a label's value"),
        (pilot(json!({"podAnnotations": {"bad key!": "a"}})), "spec.components.pilot.podAnnotations[bad key!]: "),
        (json!({"values": {"global": {"defaultNodeSelector": {"a": "b c"}}}}), "spec.values.global.defaultNodeSelector[a]: \"b c\" can't"),
        (json!({"values": {"global": {"priorityClassName": "A"}}}), "spec.values.global.priorityClassName: \"A\" can't name"),
        (json!({"values": {"galley": {"nodeSelector": {"a": "b c"}}}}), "spec.values.galley.nodeSelector[a]: \"b c\" can't"),
    ] {
        is_refused(spec, start);
    }
    resolved(pilot(json!({"nodeSelector": {"ingress": "true", "a": ""}, "podAnnotations": {"prometheus.io/scrape": "false"}})));
}

#[test]
fn a_gateways_service_and_labels_are_as_kubernetes_takes_them() {
    let at = "spec.gateways.ingress[i]";
    for (spec, end) in [
        (gateway(json!({"labels": {"bad key!": "a"}})), ".labels[bad key!]: "),
        (gateway(json!({"service": {"annotations": {"bad key!": "a"}}})), ".service.annotations[bad key!]: "),
        (gateway(json!({"service": {"loadBalancerClass": "a b"}})), ".service.loadBalancerClass: \"a b\" can't name a class"),
        (port(json!({"name": "Bad Name"})), ".service.ports[Bad Name].name: \"Bad Name\" must be lower-case"),
        (port(json!({"protocol": "ICMP"})), ".service.ports[tcp].protocol: \"ICMP\" is not one of TCP, UDP, SCTP"),
        (port(json!({"targetPort": "http"})), ".service.ports[tcp].targetPort: \"http\" must be a number"),
        (port(json!({"targetPort": 70000})), ".service.ports[tcp].targetPort: 70000 is no port"),
    ] {
        is_refused(spec, &format!("{at}{end}"));
    }
    let text = resolved(port(json!({"targetPort": "9001"})));
    let number = resolved(port(json!({"targetPort": 9001})));
    assert_eq!(text.gateways, number.gateways, "a text would be taken for a port's name");
}

#[test]
fn images_are_ones_that_a_node_can_fetch() {
    is_refused(json!({"hub": "bad hub/"}), "spec.hub: \"bad hub/\" is no place of images");
    is_refused(json!({"values": {"global": {"hub": "bad hub/"}}}), "spec.values.global.hub: \"bad hub/\" is no place of images");
    is_refused(json!({"tag": "1.0:2"}), "spec.tag: \"1.0:2\" must be");
    is_refused(json!({"imagePullSecrets": [{"name": "A b"}]}), "spec.imagePullSecrets[0].name: \"A b\" can't name a Secret");
}

#[test]
fn variables_are_named_once_and_have_one_source() {
    let env = |variable: Value| pilot(json!({"env": [variable]}));
    for (spec, start) in [
        (env(json!({"name": "1=x"})), "spec.components.pilot.env[0].name: \"1=x\" must be letters"),
        (pilot(json!({"env": [{"name": "A"}, {"name": "A"}]})), "spec.components.pilot.env[1].name: A is there twice"),
        (env(json!({"name": "A", "valueFrom": {}})), "spec.components.pilot.env[0].valueFrom: must name one source"),
        (env(json!({"name": "A", "valueFrom": {"nonsense": 1}})), "spec.components.pilot.env[0].valueFrom.nonsense: is unknown"),
        (
            env(json!({"name": "A", "valueFrom": {"fieldRef": {"fieldPth": "x", "fieldPath": "metadata.name"}}})),
            "spec.components.pilot.env[0].valueFrom.fieldRef.fieldPth: is unknown, and would do nothing",
        ),
        (
            env(json!({"name": "A", "value": "1", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}})),
            "spec.components.pilot.env[0].valueFrom: can't be set together with value",
        ),
    ] {
        is_refused(spec, start);
    }
    let settings = resolved(env(json!({"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}})));
    let source = settings.parts[&super::Role::Pilot].env[0].value_from.clone().unwrap();
    assert_eq!(source.secret_key_ref.unwrap().key, "k");
}

#[test]
fn what_the_operator_sets_itself_is_its_own() {
    let env = |name: &str| json!({"env": [{"name": "A"}, {"name": name, "value": "x"}]});
    for (part, name) in [("pilot", "POD_NAME"), ("pilot", "MIMALLOC_PURGE_DELAY"), ("citadel", "MESH_OWNER"), ("galley", "POD_NAMESPACE")] {
        let own = format!("spec.components.{part}.env[1].name: {name} is set by the operator");
        is_refused(json!({"components": {part: env(name)}}), &own);
    }
    let cni = overlay(&env("NODE_NAME"), &json!({"enabled": true}));
    is_refused(json!({"components": {"cni": cni}}), "spec.components.cni.env[1].name: NODE_NAME is set by the operator");
    for name in ["CA_ADDR", "ISTIO_META_CLUSTER_ID", "PROXY_CONFIG"] {
        is_refused(gateway(env(name)), &format!("spec.gateways.ingress[i].env[1].name: {name} is set by the operator"));
    }
    // What all proxies are told one gateway may be told otherwise.
    let all = json!({"meshConfig": {"defaultConfig": {"proxyMetadata": {"ISTIO_META_X": "1"}}}});
    resolved(overlay(&all, &gateway(env("ISTIO_META_X"))));
    is_refused(
        pilot(json!({"podAnnotations": {"install.ferromesh.dev/trust-domain": "x"}})),
        "spec.components.pilot.podAnnotations[install.ferromesh.dev/trust-domain]: is the operator's to set",
    );
}

#[test]
fn a_misspelled_field_of_a_pod_is_told_and_not_dropped() {
    let reason = "is unknown, and would do nothing: see kubectl explain pod.spec";
    is_refused(pilot(json!({"affinity": {"nodeAffinty": {}}})), &format!("spec.components.pilot.affinity.nodeAffinty: {reason}.affinity"));
    is_refused(gateway(json!({"affinity": {"nodeAffinty": {}}})), &format!("spec.gateways.ingress[i].affinity.nodeAffinty: {reason}"));
    let constraint = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelectr": {}});
    is_refused(
        pilot(json!({"topologySpreadConstraints": [constraint]})),
        &format!("spec.components.pilot.topologySpreadConstraints[0].labelSelectr: {reason}.topologySpreadConstraints"),
    );
}
