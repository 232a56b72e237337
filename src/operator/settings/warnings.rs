//! What a spec says without effect, or with one that was hardly meant. It may be said, and so it is told and not refused.

use ferromesh_crds::install::{Gateways, MeshInstallSpec};
use serde_json::{Value, json};

use super::{Images, Layers, Problem, Role, overlay};

/// Where Istio's own images are, or were.
const REGISTRIES_OF_ISTIO: [&str; 4] = ["docker.io/istio", "istio", "gcr.io/istio-release", "gcr.io/istio-testing"];
/// How tags of the release begin whose settings are understood here.
const TAGS_OF_ISTIO: &str = "1.4.";
/// The nodes' ports that a cluster has unless it was told others.
const USUAL_NODE_PORTS: std::ops::RangeInclusive<i32> = 30000..=32767;

/// Warnings about a spec that can be installed, each with its field; `images` are the operator's own.
pub(in crate::operator) fn warnings(spec: &MeshInstallSpec, images: &Images) -> Vec<Problem> {
    let Ok(layers) = Layers::of(spec, &mut Vec::new()) else { return Vec::new() };
    let mut found = switched_off(&layers);
    found.extend(of_istio(&layers.merged, images));
    found.extend(unusual_ports(layers.merged.gateways.as_ref().unwrap_or(&Gateways::default())));
    layers.translated.name_paths(&layers.own, &mut found);
    found
}

/// Settings of what is not installed, unless the user himself says that it isn't.
fn switched_off(layers: &Layers) -> Vec<Problem> {
    let said = overlay(&layers.translated.spec, &layers.own);
    let merged = json!(layers.merged);
    let mut found = Vec::new();
    let mut look = |name: &str, path: String, said: &Value, enabled: bool| {
        let is_setting = |(field, value): &(&String, &Value)| !["enabled", "name"].contains(&field.as_str()) && !value.is_null();
        let setting = said.as_object().into_iter().flatten().find(is_setting);
        if let Some((field, _)) = setting.filter(|_| !enabled && said["enabled"].is_null()) {
            let reason = format!("has no effect, as {name} is not installed: set {path}.enabled: true");
            found.push(Problem::new(format!("{path}.{field}"), reason));
        }
    };
    for role in Role::ALL.map(Role::name) {
        let enabled = merged["components"][role]["enabled"].as_bool().unwrap_or(role != Role::Cni.name());
        look(role, format!("spec.components.{role}"), &said["components"][role], enabled);
    }
    for (program, given) in said["addons"].as_object().into_iter().flatten() {
        look(program, format!("spec.addons.{program}"), given, merged["addons"][program]["enabled"] == true);
    }
    for list in ["ingress", "egress"] {
        let all = |spec: &Value| spec["gateways"][list].as_array().cloned().unwrap_or_default();
        for given in all(&said) {
            let name = given["name"].as_str().unwrap_or_default();
            let enabled = !all(&merged).iter().any(|one| one["name"] == name && one["enabled"] == false);
            look(name, format!("spec.gateways.{list}[{name}]"), &given, enabled);
        }
    }
    found
}

/// What a file from Istio 1.4 says of images, where none of this mesh's are.
fn of_istio(spec: &MeshInstallSpec, images: &Images) -> Option<Problem> {
    let (hub, tag) = (spec.hub.as_ref().unwrap_or(&images.hub), spec.tag.as_ref().unwrap_or(&images.tag));
    let remedy = "remove hub and tag for those of this release, or name the registry to which you have copied them";
    let image = format!("{hub}/ferromesh:{tag}");
    if REGISTRIES_OF_ISTIO.contains(&hub.as_str()) {
        return Some(Problem::new("spec.hub", format!("has images of Istio, and no {image}: {remedy}")));
    }
    let is_foreign = tag.starts_with(TAGS_OF_ISTIO) && *tag != images.tag;
    is_foreign.then(|| Problem::new("spec.tag", format!("is a release of Istio, and there may be no {image}: {remedy}")))
}

fn unusual_ports(gateways: &Gateways) -> Vec<Problem> {
    let lists = [("ingress", &gateways.ingress), ("egress", &gateways.egress)];
    let all = lists.into_iter().flat_map(|(list, gateways)| gateways.iter().map(move |gateway| (list, gateway)));
    let ports = all.flat_map(|(list, gateway)| {
        gateway.service.iter().flat_map(move |service| service.ports.iter().map(move |port| (list, &gateway.name, port)))
    });
    let unusual = ports.filter(|(.., port)| port.node_port.is_some_and(|number| !USUAL_NODE_PORTS.contains(&number)));
    let told = |(list, gateway, port): (&str, &String, &ferromesh_crds::install::GatewayServicePort)| {
        let (first, last) = (USUAL_NODE_PORTS.start(), USUAL_NODE_PORTS.end());
        let reason = format!("is refused by clusters that have the usual range, {first} to {last} (--service-node-port-range)");
        Problem::new(format!("spec.gateways.{list}[{gateway}].service.ports[{}].nodePort", port.name), reason)
    };
    unusual.map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(spec: Value) -> Vec<String> {
        let images = Images { hub: "docker.io/ferromesh".to_owned(), tag: "1.0.2".to_owned(), pull_policy: "Always".to_owned() };
        warnings(&serde_json::from_value(spec).unwrap(), &images).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn settings_of_what_is_not_installed_are_told_with_the_switch() {
        let egress = json!([{"name": "istio-egressgateway", "replicas": 2}]);
        for (spec, path, switch) in [
            (
                json!({"gateways": {"egress": egress}}),
                "gateways.egress[istio-egressgateway].replicas",
                "gateways.egress[istio-egressgateway]",
            ),
            (json!({"profile": "minimal", "components": {"galley": {"replicas": 2}}}), "components.galley.replicas", "components.galley"),
            (json!({"components": {"cni": {"podAnnotations": {"a": "b"}}}}), "components.cni.podAnnotations", "components.cni"),
            (json!({"profile": "minimal", "addons": {"grafana": {"image": "a"}}}), "addons.grafana.image", "addons.grafana"),
            (json!({"profile": "minimal", "values": {"galley": {"replicaCount": 2}}}), "values.galley.replicaCount", "components.galley"),
        ] {
            let found = told(spec);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].starts_with(&format!("spec.{path}: has no effect, as ")), "{found:?}");
            assert!(found[0].ends_with(&format!(" is not installed: set spec.{switch}.enabled: true")), "{found:?}");
        }
    }

    #[test]
    fn what_is_installed_or_switched_off_on_purpose_needs_no_word() {
        for spec in [
            json!({}),
            json!({"profile": "minimal"}),
            json!({"profile": "remote", "values": {"global": {"remotePilotAddress": "a.example"}}}),
            json!({"profile": "demo", "gateways": {"egress": [{"name": "istio-egressgateway", "replicas": 2}]}}),
            json!({"gateways": {"egress": [{"name": "own", "replicas": 2}]}, "components": {"cni": {"enabled": false}}}),
            json!({"components": {"galley": {"enabled": false, "replicas": 2}, "pilot": {"replicas": 2}}}),
            json!({"revision": "canary", "components": {"pilot": {"replicas": 2}}}),
            json!({"hub": "registry.example/istio", "tag": "1.5.0"}),
        ] {
            assert_eq!(told(spec.clone()), Vec::<String>::new(), "{spec}");
        }
    }

    #[test]
    fn images_of_istio_and_unusual_ports_are_told() {
        let remedy = "remove hub and tag for those of this release, or name the registry to which you have copied them";
        let hub = |path: &str| vec![format!("spec.{path}: has images of Istio, and no docker.io/istio/ferromesh:1.4.3: {remedy}")];
        let images = json!({"hub": "docker.io/istio", "tag": "1.4.3"});
        assert_eq!(told(images.clone()), hub("hub"));
        assert_eq!(told(json!({"values": {"global": images}})), hub("values.global.hub"));
        assert!(told(json!({"tag": "1.4.3"}))[0].starts_with("spec.tag: is a release of Istio"));
        let port = json!({"name": "http2", "port": 80, "nodePort": 8080});
        let found = told(json!({"gateways": {"ingress": [{"name": "a", "service": {"ports": [port]}}]}}));
        assert!(found[0].starts_with("spec.gateways.ingress[a].service.ports[http2].nodePort: is refused by clusters"), "{found:?}");
    }
}
