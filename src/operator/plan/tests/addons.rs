//! What add-ons are told of what stands around them.

use serde_json::{Value, json};

use super::{find, owner, planned, settings};
use crate::operator::{
    plan::{Circumstances, Planned, plan},
    settings::{Images, Revision, resolve},
};

/// What a ConfigMap of an add-on says.
fn told(objects: &[Planned], map: &str, key: &str) -> Value {
    let text = find(objects, &format!("ConfigMap istio-system/{map}"))["data"][key].as_str().unwrap();
    serde_saphyr::from_str(text).unwrap()
}

#[test]
fn kiali_looks_at_the_control_plane_that_serves() {
    let images = Images { hub: "hub.example/ferromesh".to_owned(), tag: "1.0.2".to_owned(), pull_policy: "IfNotPresent".to_owned() };
    let spec = json!({"addons": {"kiali": {"enabled": true}}, "updateStrategy": {"type": "Revision"}});
    let settings = resolve(&serde_json::from_value(spec).unwrap(), &images).unwrap();
    let owner = owner();
    let seen_at = |place: &str| {
        let serving = settings.at(&Revision::named(place), images.clone());
        let circumstances = Circumstances { serving: Some(&serving), ..Circumstances::new(&owner, "ferromesh-system", None, None) };
        let objects = plan(&settings, circumstances);
        let istio = told(&objects, "kiali", "config.yaml")["external_services"]["istio"].clone();
        let [map, deployment] = ["config_map_name", "istiod_deployment_name"].map(|field| istio[field].as_str().unwrap().to_owned());
        let service = istio["url_service_version"].as_str().unwrap().trim_start_matches("http://").split('.').next().unwrap().to_owned();
        let planned = [("ConfigMap", &map), ("Deployment", &deployment), ("Service", &service)];
        planned.iter().for_each(|(kind, name)| drop(find(&objects, &format!("{kind} istio-system/{name}")).clone()));
        [map, deployment, service]
    };
    assert_eq!(seen_at("default"), ["istio", "istio-pilot", "istiod"]);
    assert_eq!(seen_at("blue"), ["istio-blue", "istio-pilot-blue", "istiod-blue"]);
    assert_eq!(seen_at("green"), ["istio-green", "istio-pilot-green", "istiod-green"]);
}

#[test]
fn add_ons_ask_each_other_where_their_services_are() {
    let asked = |prometheus: Value, grafana: Value| {
        let on = |ports: Value| json!({"enabled": true, "service": {"ports": ports}});
        let addons = json!({"prometheus": on(prometheus), "grafana": on(grafana), "kiali": {"enabled": true}});
        let objects = planned(json!({"addons": addons}));
        let kiali = told(&objects, "kiali", "config.yaml")["external_services"].clone();
        let source = told(&objects, "grafana-datasources", "mesh.yaml")["datasources"][0]["url"].clone();
        [source, kiali["prometheus"]["url"].clone(), kiali["grafana"]["internal_url"].clone()].map(|url| url.as_str().unwrap().to_owned())
    };
    let usual = ["http://prometheus:9090", "http://prometheus.istio-system:9090", "http://grafana.istio-system:3000"];
    assert_eq!(asked(json!([]), json!([])), usual);
    let others = ["http://prometheus:80", "http://prometheus.istio-system:80", "http://grafana.istio-system:8080"];
    assert_eq!(asked(json!([{"name": "http", "port": 80}]), json!([{"name": "http", "port": 8080, "targetPort": 3000}])), others);
    // What leads elsewhere in the pod is not it.
    let beside = json!([{"name": "other", "port": 9000, "targetPort": 1}, {"name": "http", "port": 80, "targetPort": 9090}]);
    assert_eq!(asked(beside, json!([]))[0], "http://prometheus:80");
}

#[test]
fn add_ons_run_where_all_do_and_need_what_they_need() {
    let tolerations = json!([{"key": "dedicated", "value": "infra", "effect": "NoSchedule"}]);
    let global = json!({"defaultTolerations": tolerations, "defaultNodeSelector": {"disk": "ssd"}, "priorityClassName": "high",
        "defaultResources": {"requests": {"cpu": "1"}}});
    let all_on = json!({"prometheus": {"enabled": true}, "grafana": {"enabled": true}, "kiali": {"enabled": true},
        "tracing": {"enabled": true}});
    let pod = |values: Value, name: &str| {
        let objects = planned(json!({"profile": "default", "addons": all_on, "values": values}));
        find(&objects, &format!("Deployment istio-system/{name}"))["spec"]["template"]["spec"].clone()
    };
    for name in ["prometheus", "grafana", "kiali", "istio-tracing"] {
        let (before, after) = (pod(json!({}), name), pod(json!({"global": global}), name));
        assert!(before["tolerations"].is_null() && before["nodeSelector"].is_null() && before["priorityClassName"].is_null(), "{name}");
        assert_eq!(after["tolerations"], tolerations, "{name}");
        assert_eq!((&after["nodeSelector"], &after["priorityClassName"]), (&json!({"disk": "ssd"}), &json!("high")), "{name}");
        assert_eq!(after["containers"][0]["resources"], before["containers"][0]["resources"], "{name}");
    }
    let wrong = settings(&json!({"values": {"global": {"defaultTolerations": [{"value": "a"}]}}})).unwrap_err().to_string();
    assert!(wrong.starts_with("spec.values.global.defaultTolerations[0].operator: ") && !wrong.contains("; "), "{wrong}");
}
