//! Which layer's word counts, and whose word a problem is about.

use serde_json::{Value, json};

use super::{refused, resolved};
use crate::operator::settings::{Replicas, Role};

fn pilots(spec: Value) -> Replicas {
    resolved(spec).parts[&Role::Pilot].replicas
}

#[test]
fn of_a_number_and_autoscaling_the_later_layer_decides_and_within_values_autoscaling() {
    let scaled = |most: i32| Replicas::Auto { least: 1, most, cpu: 80 };
    let number = json!({"pilot": {"replicaCount": 2}});
    let switch = json!({"pilot": {"autoscaleEnabled": true}});
    let both = json!({"pilot": {"replicaCount": 2, "autoscaleEnabled": true}});
    let off = json!({"pilot": {"replicaCount": 2, "autoscaleEnabled": false}});
    let own = |pilot: Value, values: &Value| json!({"components": {"pilot": pilot}, "values": values});
    let auto = json!({"autoscaling": {"maxReplicas": 3}});
    assert_eq!(pilots(json!({"values": number})), Replicas::Fixed(2));
    assert_eq!(pilots(json!({"values": both})), scaled(5));
    assert_eq!(pilots(json!({"values": off})), Replicas::Fixed(2));
    for values in [&number, &both, &off] {
        assert_eq!(pilots(own(auto.clone(), values)), scaled(3));
    }
    for values in [&number, &switch, &both] {
        assert_eq!(pilots(own(json!({"replicas": 3}), values)), Replicas::Fixed(3));
    }
    assert!(refused(own(json!({"replicas": 3, "autoscaling": {"maxReplicas": 3}}), &number)).contains("replicas: can't be set together"));
}

#[test]
fn a_problem_names_what_the_user_wrote() {
    let requests = json!({"requests": {"cpu": "20m"}});
    assert!(refused(json!({"values": {"galley": {"replicaCount": 0}}})).starts_with("spec.values.galley.replicaCount: must be at least 1"));
    let own = json!({"components": {"galley": {"replicas": 0}}, "values": {"galley": {"replicaCount": 0}}});
    assert!(refused(own).starts_with("spec.components.galley.replicas: must be at least 1"));
    let added = json!({"gateways": {"ingress": [{"name": "i", "autoscaling": {"maxReplicas": 2}}]}});
    assert!(refused(added).starts_with("spec.gateways.ingress[i].autoscaling: needs resources.requests.cpu"));
    let gateway =
        json!({"gateways": {"istio-ingressgateway": {"autoscaleMin": 2, "resources": requests, "ports": [{"name": "A", "port": 1}]}}});
    assert!(refused(json!({"values": gateway})).starts_with("spec.values.gateways.istio-ingressgateway.ports[A].name: \"A\" must be"));
}

#[test]
fn users_keys_may_be_words_of_the_spec() {
    let labels = json!({"ingress": "true", "labels": "a", "autoscaling": "b"});
    let settings = resolved(json!({
        "components": {"pilot": {"nodeSelector": labels.clone(), "podAnnotations": labels.clone()}},
        "values": {"global": {
            "defaultNodeSelector": labels.clone(),
            "meshNetworks": {"ingress": {"endpoints": [{"fromCidr": "10.20.0.0/16"}], "gateways": [{"address": "192.0.2.1", "port": 15443}]}},
        }},
    }));
    let wanted = serde_json::from_value(labels).unwrap();
    assert_eq!(settings.parts[&Role::Pilot].placement.node_selector, wanted);
    assert_eq!(settings.parts[&Role::Galley].placement.node_selector, wanted);
    assert_eq!(settings.parts[&Role::Pilot].pod_annotations, wanted);
    let networks = serde_json::to_value(&settings.mesh).unwrap()["meshNetworks"]["ingress"].clone();
    assert_eq!(networks["endpoints"][0]["fromCidr"], "10.20.0.0/16");
}
