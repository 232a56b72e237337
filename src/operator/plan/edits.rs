//! Specs that change at random, most of them good.

use serde_json::{Value, json};

use crate::testing::objects::Choices;

/// That of the operators which are given these specs.
const VERSION: &str = "1.0.2";
/// Names that mean something elsewhere in a spec, and are keys like all others in maps of users.
const WORDS: [&str; 4] = ["ingress", "egress", "labels", "autoscaling"];
const COMPONENTS: [&str; 5] = ["pilot", "citadel", "galley", "injector", "cni"];

/// One change of a spec, of whatever kind.
pub(in crate::operator) fn edit(spec: &mut Value, choices: &mut Choices<'_>) {
    let (path, value) = match choices.below(10) {
        0 | 1 => component(choices),
        2 => gateways(choices),
        3 => mesh_config(choices),
        4 | 5 => values(choices),
        6 => injection(choices),
        7 => addons(choices),
        _ => whole(choices),
    };
    set(spec, &path, value);
}

/// Puts a value at a path, or takes away what is there for null.
fn set(spec: &mut Value, path: &str, value: Value) {
    let (above, name) = path.rsplit_once('.').map_or((None, path), |(above, name)| (Some(above), name));
    let mut steps = above.into_iter().flat_map(|above| above.split('.'));
    if value.is_null() {
        let place = steps.try_fold(spec, |place, step| place.get_mut(step));
        _ = place.and_then(Value::as_object_mut).and_then(|fields| fields.remove(name));
    } else {
        steps.fold(spec, |place, step| &mut place[step])[name] = value;
    }
}

fn one(choices: &mut Choices<'_>, of: &[Value]) -> Value {
    // Taking away is the way back to what others have.
    if choices.chance(64) { Value::Null } else { of[choices.below(of.len())].clone() }
}

fn component(choices: &mut Choices<'_>) -> (String, Value) {
    let part = choices.pick(&COMPONENTS);
    let (field, value) = field(choices);
    (format!("components.{part}.{field}"), value)
}

/// A field that parts and gateways have.
fn field(choices: &mut Choices<'_>) -> (&'static str, Value) {
    match choices.below(11) {
        0 => ("enabled", one(choices, &[json!(true), json!(false)])),
        1 => ("replicas", one(choices, &[json!(1), json!(2), json!(3)])),
        2 => ("autoscaling", one(choices, &[json!({"maxReplicas": 5}), json!({"minReplicas": 2, "maxReplicas": 3})])),
        3 => ("resources", one(choices, &[json!({"requests": {"cpu": "20m"}}), json!({"limits": {"memory": "1Gi"}})])),
        4 => ("env", one(choices, &[json!([{"name": "A", "value": "1"}]), json!([{"name": "B"}, {"name": "A", "value": "2"}])])),
        5 => {
            let word = json!({choices.pick(&WORDS): "true"});
            ("nodeSelector", one(choices, &[json!({"disk": "ssd"}), json!({"zone": "a", "disk": "hdd"}), word]))
        }
        6 => ("tolerations", one(choices, &[json!([{"key": "dedicated"}]), json!([{"operator": "Exists"}])])),
        7 => ("affinity", one(choices, &[json!({"nodeAffinity": {}}), json!({"podAffinity": {}})])),
        8 => {
            let constraint = json!({"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"});
            ("topologySpreadConstraints", one(choices, &[json!([constraint])]))
        }
        9 => ("priorityClassName", one(choices, &[json!("high"), json!("low")])),
        _ => {
            let word = json!({choices.pick(&WORDS): "b"});
            ("podAnnotations", one(choices, &[json!({"a": "b"}), json!({"a": "c", "x/y": "z"}), word]))
        }
    }
}

fn gateways(choices: &mut Choices<'_>) -> (String, Value) {
    let list = choices.pick(&["ingress", "egress"]);
    let gateways: Vec<Value> = ["edge", "internal", "istio-ingressgateway"]
        .into_iter()
        .filter_map(|name| {
            let own = if list == "egress" { format!("{name}-out") } else { name.to_owned() };
            choices.chance(128).then(|| gateway(&own, choices))
        })
        .collect();
    (format!("gateways.{list}"), if gateways.is_empty() { Value::Null } else { gateways.into() })
}

fn gateway(name: &str, choices: &mut Choices<'_>) -> Value {
    let (field, value) = field(choices);
    let mut service = json!({"type": choices.pick(&["LoadBalancer", "NodePort", "ClusterIP"])});
    if choices.chance(128) {
        service["annotations"] = json!({"cloud/kind": "internal", choices.pick(&WORDS): "x"});
    }
    if choices.chance(64) {
        service["ports"] = json!([{"name": "tcp", "port": 9000}, {"name": "http", "port": 80, "targetPort": 8081}]);
    }
    if service["type"] == "LoadBalancer" && choices.chance(128) {
        service["loadBalancerSourceRanges"] = json!(["10.0.0.0/8"]);
        service["externalTrafficPolicy"] = json!("Local");
    }
    let mut gateway = json!({"name": name, "service": service, "labels": {"istio": choices.pick(&["edge", "ingressgateway"])}});
    if !value.is_null() {
        gateway[field] = value;
    }
    gateway
}

fn mesh_config(choices: &mut Choices<'_>) -> (String, Value) {
    let (field, value) = match choices.below(5) {
        0 => ("accessLogFile", one(choices, &[json!("/dev/stdout"), json!("")])),
        1 => ("trustDomain", one(choices, &[json!("shop.example"), json!("cluster.local")])),
        2 => ("outboundTrafficPolicy", one(choices, &[json!({"mode": "REGISTRY_ONLY"})])),
        3 => ("connectTimeout", one(choices, &[json!("3s"), json!("30s")])),
        _ => {
            let metadata = json!({"proxyMetadata": {"B": "1", "A": "2", choices.pick(&WORDS): "3"}});
            ("defaultConfig", one(choices, &[metadata, json!({"concurrency": 2})]))
        }
    };
    (format!("meshConfig.{field}"), value)
}

fn values(choices: &mut Choices<'_>) -> (String, Value) {
    let word = choices.pick(&WORDS);
    let (path, value) = match choices.below(12) {
        0 => ("global.mtls.enabled", one(choices, &[json!(true), json!(false)])),
        1 => ("global.useMCP", one(choices, &[json!(true), json!(false)])),
        2 => ("global.network", one(choices, &[json!("west"), json!("")])),
        3 => ("global.priorityClassName", one(choices, &[json!("usual")])),
        4 => ("global.defaultNodeSelector", one(choices, &[json!({"pool": "mesh", word: "a"})])),
        5 => ("global.remotePilotAddress", one(choices, &[json!("pilot.example.com"), json!("192.0.2.1")])),
        6 => ("global.proxy.logLevel", one(choices, &[json!("debug"), json!("error")])),
        7 => ("pilot.autoscaleMax", one(choices, &[json!(4)])),
        8 => ("pilot.replicaCount", one(choices, &[json!(2)])),
        9 => ("global.proxy.resources", one(choices, &[json!({"requests": {"cpu": "50m"}}), json!({"limits": {"memory": "2Gi"}})])),
        10 => {
            let network = json!({"endpoints": [{"fromCidr": "10.20.0.0/16"}], "gateways": [{"address": "192.0.2.1", "port": 15443}]});
            ("global.meshNetworks", one(choices, &[json!({word: network})]))
        }
        _ => ("gateways.istio-ingressgateway.serviceAnnotations", one(choices, &[json!({"a": "b"})])),
    };
    (format!("values.{path}"), value)
}

fn injection(choices: &mut Choices<'_>) -> (String, Value) {
    let (field, value) = match choices.below(4) {
        0 => ("policy", one(choices, &[json!("Disabled"), json!("Enabled")])),
        1 => ("enableNamespacesByDefault", one(choices, &[json!(true), json!(false)])),
        2 => ("failurePolicy", one(choices, &[json!("Ignore"), json!("Fail")])),
        _ => ("neverInjectSelector", one(choices, &[json!([{"matchLabels": {"b": "1", "a": "2"}}])])),
    };
    (format!("injection.{field}"), value)
}

fn addons(choices: &mut Choices<'_>) -> (String, Value) {
    let program = choices.pick(&["prometheus", "grafana", "kiali", "tracing"]);
    let (field, value) = match choices.below(4) {
        0 | 1 => ("enabled", one(choices, &[json!(true), json!(false)])),
        2 => ("image", one(choices, &[json!("registry.example/own:1"), json!("registry.example/own:2")])),
        _ => {
            let ports = json!([{"name": "http", "port": 8080}]);
            ("service", one(choices, &[json!({"type": "NodePort"}), json!({"type": "ClusterIP", "ports": ports})]))
        }
    };
    (format!("addons.{program}.{field}"), value)
}

fn whole(choices: &mut Choices<'_>) -> (String, Value) {
    let (field, value) = match choices.below(13) {
        0 | 1 => ("profile", one(choices, &["default", "demo", "minimal", "sds", "remote"].map(Value::from))),
        2 => ("hub", one(choices, &[json!("registry.example/team"), json!("localhost:5000")])),
        // The second is no label's value.
        3 => ("tag", one(choices, &[json!("1.1.0"), json!("_edge")])),
        4 => ("imagePullSecrets", one(choices, &[json!([{"name": "password"}])])),
        5 => ("imagePullPolicy", one(choices, &["Always", "IfNotPresent", "Never"].map(Value::from))),
        6 => ("version", one(choices, &[json!(""), json!(VERSION)])),
        7 => ("tags", one(choices, &[json!({"prod": "default"}), json!({"prod": "default", "old": "default"})])),
        8 | 12 => ("mode", one(choices, &[json!("Apply"), json!("Plan")])),
        9 => ("updateStrategy.type", one(choices, &[json!("InPlace"), json!("Revision")])),
        _ => ("updateStrategy.workloads", one(choices, &[json!("Rolling"), json!("Manual")])),
    };
    (field.to_owned(), value)
}
