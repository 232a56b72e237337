//! What each field of the spec changes in the objects, as goldens.

use serde_json::{Value, json};
use std::fmt::Write;

use super::{Planned, planned, settings};
use crate::operator::{difference::between, plan::APPLIED};

/// Fields that every part has, with a value.
fn fields() -> Vec<(&'static str, Value)> {
    vec![
        ("enabled", json!(false)),
        ("replicas", json!(3)),
        ("autoscaling", json!({"minReplicas": 2, "maxReplicas": 5, "targetCPUUtilizationPercentage": 60})),
        ("resources", json!({"requests": {"cpu": "20m"}, "limits": {"memory": "1Gi"}})),
        ("env", json!([{"name": "A", "value": "b"}])),
        ("nodeSelector", json!({"disk": "ssd"})),
        ("tolerations", json!([{"key": "dedicated", "operator": "Exists"}])),
        ("affinity", json!({"nodeAffinity": {}})),
        ("topologySpreadConstraints", json!([{"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}])),
        ("priorityClassName", json!("high")),
        ("podAnnotations", json!({"a": "b"})),
    ]
}

/// What is other in the second plan, a line each.
fn changes(before: &[Planned], after: &[Planned]) -> String {
    let mut lines = String::new();
    let known = |all: &[Planned], one: &Planned| all.iter().find(|other| other.key == one.key).cloned();
    for gone in before.iter().filter(|one| known(after, one).is_none()) {
        writeln!(lines, "- {}", gone.key).unwrap();
    }
    for object in after {
        let Some(old) = known(before, object) else {
            writeln!(lines, "+ {}", object.key).unwrap();
            continue;
        };
        for field in between(&old.body, &object.body).into_iter().filter(|field| !field.path.contains(APPLIED)) {
            let shown = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), Value::to_string);
            writeln!(lines, "{} {}: {} → {}", object.key, field.path, shown(&field.from), shown(&field.to)).unwrap();
        }
    }
    lines
}

#[test]
fn of_each_part() {
    let mut found = String::new();
    for part in ["pilot", "citadel", "galley", "injector", "cni"] {
        let with = |fields: Value| {
            let mut spec = json!({"components": {part: fields}});
            if part == "cni" && spec["components"][part].get("enabled").is_none() {
                spec["components"][part]["enabled"] = json!(true);
            }
            planned(spec)
        };
        let base = with(json!({}));
        for (field, value) in fields() {
            let impossible = match part {
                "pilot" | "citadel" => field == "enabled",
                "cni" => ["replicas", "autoscaling", "topologySpreadConstraints"].contains(&field),
                _ => false,
            };
            if impossible {
                let mut fields = json!({"enabled": true});
                fields[field] = value;
                let refused = settings(&json!({"components": {part: fields}})).map(drop).unwrap_err().to_string();
                assert!(refused.starts_with(&format!("spec.components.{part}.{field}: ")), "{refused}");
            } else {
                let seen = changes(&base, &with(json!({field: value})));
                assert!(!seen.is_empty(), "components.{part}.{field} has no effect");
                write!(found, "# components.{part}.{field}\n{seen}\n").unwrap();
            }
        }
    }
    insta::assert_snapshot!(found);
}

/// Fields that every Service of a load balancer has, with a value.
fn service_fields() -> Vec<(&'static str, Value)> {
    vec![
        (
            "ports",
            json!([{"name": "https", "port": 443, "nodePort": 31443}, {"name": "dns", "port": 5353, "targetPort": 5300, "protocol": "UDP"}]),
        ),
        ("annotations", json!({"cloud/kind": "internal"})),
        ("loadBalancerIP", json!("192.0.2.1")),
        ("loadBalancerClass", json!("example.com/lb")),
        ("loadBalancerSourceRanges", json!(["10.0.0.0/8"])),
        ("externalTrafficPolicy", json!("Local")),
    ]
}

#[test]
fn of_a_gateway() {
    let with = |fields: Value| {
        let mut gateway = json!({"name": "edge"});
        gateway.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        if gateway["autoscaling"].is_object() {
            gateway["resources"] = json!({"requests": {"cpu": "20m"}});
        }
        planned(json!({"gateways": {"ingress": [gateway]}}))
    };
    let type_ = [("type", json!("ClusterIP"))];
    let service = type_.into_iter().chain(service_fields());
    let service = service.map(|(field, value)| (format!("service.{field}"), json!({"service": {field: value}})));
    let own = fields().into_iter().map(|(field, value)| (field.to_owned(), json!({field: value})));
    let all = own.chain([("labels".to_owned(), json!({"labels": {"istio": "edge", "team": "web"}}))]).chain(service);
    let base = with(json!({}));
    let mut found = String::new();
    for (field, value) in all {
        let seen = changes(&base, &with(value));
        assert!(!seen.is_empty(), "{field} has no effect");
        write!(found, "# gateways.ingress[edge].{field}\n{seen}\n").unwrap();
    }
    insta::assert_snapshot!(found);
}

#[test]
fn of_an_add_on() {
    let with = |fields: Value| planned(json!({"addons": {"prometheus": fields}}));
    let on = |fields: Value| {
        let mut addon = json!({"enabled": true, "service": {"type": "LoadBalancer"}});
        addon.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        with(addon)
    };
    let base = on(json!({}));
    let service = service_fields().into_iter().chain([("type", json!("NodePort"))]).map(|(field, value)| {
        let mut service = json!({"type": "LoadBalancer"});
        service[field] = value;
        (format!("service.{field}"), on(json!({"service": service})))
    });
    let own = [("enabled".to_owned(), with(json!({"enabled": false}))), ("image".to_owned(), on(json!({"image": "mirror.example/p:1"})))];
    let mut found = String::new();
    for (field, after) in own.into_iter().chain(service) {
        let seen = changes(&base, &after);
        assert!(!seen.is_empty(), "addons.prometheus.{field} has no effect");
        write!(found, "# addons.prometheus.{field}\n{seen}\n").unwrap();
    }
    insta::assert_snapshot!(found);
}

#[test]
fn of_images() {
    let base = planned(json!({}));
    let mut found = String::new();
    for (field, value) in [
        ("hub", json!("registry.example/team")),
        ("tag", json!("2.0.0")),
        ("imagePullPolicy", json!("Never")),
        ("imagePullSecrets", json!([{"name": "password"}])),
    ] {
        let seen = changes(&base, &planned(json!({field: value})));
        // The version is in the labels of all objects.
        let seen: String = seen.lines().filter(|line| !line.contains("app.kubernetes.io/version")).flat_map(|line| [line, "\n"]).collect();
        write!(found, "# {field}\n{seen}\n").unwrap();
    }
    insta::assert_snapshot!(found);
}
