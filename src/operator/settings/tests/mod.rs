//! What a spec comes to, and what is said against a bad one.

mod kubernetes;
mod layers;

use ferromesh_crds::{MeshInstallSpec, install::ServiceType};
use serde_json::{Value, json};

use super::*;
use crate::model::PodRepair;

fn images() -> Images {
    Images { hub: "hub.example/ferromesh".to_owned(), tag: "1.0.2".to_owned(), pull_policy: "IfNotPresent".to_owned() }
}

fn resolved(spec: Value) -> Settings {
    let spec: MeshInstallSpec = serde_json::from_value(spec).unwrap();
    resolve(&spec, &images()).unwrap_or_else(|problems| panic!("{problems}"))
}

fn refused(spec: Value) -> String {
    let spec: MeshInstallSpec = serde_json::from_value(spec).unwrap();
    resolve(&spec, &images()).expect_err("a problem").to_string()
}

fn names(settings: &Settings) -> (Vec<Role>, Vec<&str>) {
    (settings.parts.keys().copied().collect(), settings.gateways.iter().map(|gateway| gateway.name.as_str()).collect())
}

#[test]
fn an_empty_spec_is_the_default_profile() {
    let settings = resolved(json!({}));
    let usual = Role::ALL.into_iter().filter(|role| *role != Role::Cni).collect();
    assert_eq!(names(&settings), (usual, vec!["istio-ingressgateway"]));
    assert_eq!(settings.namespace, "istio-system");
    assert_eq!(settings.images, images());
    assert_eq!(settings.mesh.default_config.discovery_address, "istio-pilot.istio-system.svc:15012");
    assert!(settings.parts.values().all(|part| part.replicas == Replicas::Fixed(1)));
}

#[test]
fn minimal_is_pilot_and_the_authority_that_it_needs() {
    assert_eq!(names(&resolved(json!({"profile": "minimal"}))), (vec![Role::Citadel, Role::Pilot], vec![]));
}

#[test]
fn demo_has_an_egress_gateway_and_access_logs() {
    let settings = resolved(json!({"profile": "demo"}));
    assert_eq!(names(&settings).1, ["istio-ingressgateway", "istio-egressgateway"]);
    assert_eq!(settings.mesh.access_log_file, "/dev/stdout");
    assert_eq!(settings.sidecar.resources["requests"]["cpu"], "10m");
}

#[test]
fn sds_requires_mutual_tls_and_one_may_say_otherwise() {
    let sds = resolved(json!({"profile": "sds"}));
    assert!(sds.strict && !resolved(json!({})).strict);
    assert_eq!(names(&sds), names(&resolved(json!({}))));
    let off = json!({"global": {"mtls": {"enabled": false}}});
    assert!(!resolved(json!({"profile": "sds", "values": off})).strict);
}

#[test]
fn remote_is_an_authority_and_a_gateway_that_are_led_to_pilot() {
    let remote = |address: &str| resolved(json!({"profile": "remote", "values": {"global": {"remotePilotAddress": address}}}));
    let named = remote("pilot.example.com");
    assert_eq!(names(&named), (vec![Role::Citadel], vec!["istio-ingressgateway"]));
    assert_eq!(named.remote_pilot, Some(RemotePilot::Named("pilot.example.com".to_owned())));
    assert_eq!(named.mesh.default_config.discovery_address, "istio-pilot.istio-system.svc:15012");
    assert_eq!(remote("192.0.2.1").mesh.default_config.discovery_address, "192.0.2.1:15012");
    assert_eq!(remote("2001:db8::1").mesh.default_config.discovery_address, "[2001:db8::1]:15012");
    let own =
        resolved(json!({"profile": "remote", "meshConfig": {"defaultConfig": {"discoveryAddress": "far.istio-system.example:15012"}}}));
    assert_eq!(own.remote_pilot, Some(RemotePilot::Configured));
    assert_eq!(own.mesh.default_config.discovery_address, "far.istio-system.example:15012");
}

#[test]
fn what_a_profile_stands_for_can_be_written_in_its_place() {
    for profile in ferromesh_crds::install::Profile::ALL {
        let values = match profile.name() {
            "remote" => json!({"global": {"remotePilotAddress": "pilot.example.com"}}),
            _ => json!({}),
        };
        let written = overlay(&super::profile(profile), &json!({"values": values.clone()}));
        assert_eq!(resolved(written), resolved(json!({"profile": profile.name(), "values": values})), "{}", profile.name());
    }
}

#[test]
fn later_layers_win() {
    let settings = resolved(json!({
        "profile": "demo",
        "tag": "2",
        "values": {"global": {"tag": "1", "hub": "r.example/x", "proxy": {"accessLogFile": "/dev/stderr"}}, "pilot": {"replicaCount": 2}},
        "meshConfig": {"accessLogFile": ""},
        "components": {"galley": {"replicas": 3}},
    }));
    assert_eq!((settings.images.hub.as_str(), settings.images.tag.as_str()), ("r.example/x", "2"));
    assert_eq!(settings.mesh.access_log_file, "");
    assert_eq!(settings.parts[&Role::Pilot].replicas, Replicas::Fixed(2));
    assert_eq!(settings.parts[&Role::Galley].replicas, Replicas::Fixed(3));
}

#[test]
fn a_gateway_is_changed_by_its_name_and_another_is_added() {
    let settings = resolved(json!({"gateways": {"ingress": [
        {"name": "istio-ingressgateway", "service": {"type": "NodePort", "ports": [{"name": "http2", "port": 80, "nodePort": 31380}]}},
        {"name": "internal", "labels": {"istio": "internal"}, "service": {"type": "ClusterIP"}},
    ]}}));
    let [first, second] = &settings.gateways[..] else { panic!("{:?}", settings.gateways) };
    let ports = &first.service.ports;
    assert_eq!((first.service_type, ports.len(), ports[0].node_port), (ServiceType::NodePort, 1, Some(31380)));
    assert_eq!(first.labels["istio"], "ingressgateway");
    assert_eq!((second.labels["istio"].as_str(), second.service.ports.len()), ("internal", 2));
}

#[test]
fn gateways_can_be_added_to_minimal() {
    let settings = resolved(json!({"profile": "minimal", "gateways": {"ingress": [{"name": "istio-ingressgateway", "enabled": true}]}}));
    assert_eq!(names(&settings).1, ["istio-ingressgateway"]);
}

#[test]
fn old_values_are_heard() {
    let settings = resolved(json!({"values": {
        "global": {"imagePullSecrets": ["a"], "multiCluster": {"clusterName": "west"}, "outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"},
            "proxy": {"resources": {"requests": {"cpu": "5m"}}}},
        "pilot": {"env": {"RUST_BACKTRACE": 1}},
        "gateways": {"istio-ingressgateway": {"type": "ClusterIP"}, "istio-egressgateway": {"enabled": true}},
        "sidecarInjectorWebhook": {"enabled": false},
    }}));
    assert_eq!((settings.pull_secrets, settings.cluster.as_str()), (vec!["a".to_owned()], "west"));
    assert_eq!(settings.parts[&Role::Pilot].env[0].value.as_deref(), Some("1"));
    assert_eq!(settings.sidecar.resources["requests"]["cpu"], "5m");
    assert_eq!(settings.gateways.iter().map(|gateway| gateway.service_type).collect::<Vec<_>>(), [ServiceType::ClusterIp; 2]);
    assert!(!settings.parts.contains_key(&Role::Injector));
    assert_eq!(settings.mesh.outbound_traffic_policy.mode, crate::model::OutboundTrafficMode::RegistryOnly);
}

#[test]
fn default_resources_are_those_of_parts_that_1_4_gives_none() {
    let of = |spec: Value| {
        let Settings { parts, gateways, .. } = resolved(spec);
        let gateways = gateways.into_iter().map(|gateway| (gateway.name, gateway.part));
        let parts = parts.into_iter().map(|(role, part)| (role.name().to_owned(), part));
        let cpu = |part: Part| serde_json::to_value(part.resources).unwrap()["requests"]["cpu"].clone();
        parts.chain(gateways).map(|(name, part)| (name, cpu(part))).collect::<BTreeMap<_, _>>()
    };
    let with = |more: Value| {
        let values = json!({"values": {"global": {"defaultResources": {"requests": {"cpu": "7m"}}}}});
        of(overlay(&values, &more))
    };
    let found = with(json!({"gateways": {"ingress": [{"name": "edge"}]}}));
    for (name, cpu) in
        [("citadel", "7m"), ("galley", "7m"), ("injector", "7m"), ("edge", "7m"), ("pilot", "100m"), ("istio-ingressgateway", "100m")]
    {
        assert_eq!(found[name], json!(cpu), "{name}");
    }
    let own = json!({"components": {"citadel": {"resources": {"requests": {"cpu": "9m"}}}},
        "values": {"galley": {"resources": {"requests": {"cpu": "8m"}}}}});
    let found = with(own);
    assert_eq!((&found["citadel"], &found["galley"], &found["injector"]), (&json!("9m"), &json!("8m"), &json!("7m")));
    with(json!({"revision": "canary"}));
}

#[test]
fn the_meshs_namespace_may_be_said_by_its_old_names() {
    for name in ["istioNamespace", "configNamespace", "policyNamespace", "telemetryNamespace", "prometheusNamespace"] {
        resolved(json!({"namespace": "mesh", "values": {"global": {name: "mesh"}}}));
    }
}

#[test]
fn what_does_nothing_is_refused_by_name() {
    for (spec, path) in [
        (
            json!({"profile": "minimal", "updateStrategy": {"type": "Revision"}}),
            "spec.updateStrategy.type: Revision moves pods by the injector",
        ),
        (json!({"components": {"policy": {"enabled": true}}}), "spec.components.policy: "),
        (json!({"components": {"cni": {"enabled": true, "replicas": 1}}}), "spec.components.cni.replicas: has no effect"),
        (json!({"values": {"global": {"istioNamespace": "other"}}}), "spec.values.global.istioNamespace: all that the mesh has is in its"),
        (
            json!({"namespace": "mesh", "values": {"global": {"policyNamespace": "istio-system"}}}),
            "spec.values.global.policyNamespace: all that the mesh has is in its own namespace, mesh: take it away",
        ),
        (json!({"profile": "minimal", "components": {"cni": {"enabled": true}}}), "spec.components.cni.enabled: serves injected pods"),
        (json!({"values": {"cni": {"cniBinDir": "bin"}}}), "spec.values.cni.cniBinDir: must be an absolute path"),
        (json!({"values": {"cni": {"repair": {"labelPods": "yes"}}}}), "spec.values.cni.repair.labelPods: must be true or false"),
        (json!({"values": {"cni": {"chained": false}}}), "spec.values.cni.chained: "),
        (
            json!({"addons": {"kiali": {"enabled": true, "service": {"ports": [{"name": "http", "port": 80, "nodePort": 30080}]}}}}),
            "spec.addons.kiali.service.ports[http].nodePort: needs",
        ),
        (json!({"values": {"mixer": {"policy": {"enabled": true}}}}), "spec.values.mixer.policy.enabled: "),
        (json!({"values": {"global": {"controlPlaneSecurityEnabled": false}}}), "spec.values.global.controlPlaneSecurityEnabled: "),
        (json!({"meshConfig": {"ingressClass": "istio"}}), "spec.meshConfig.ingressClass: "),
        (json!({"meshConfig": {"defaultConfig": {"tracing": {}}}}), "spec.meshConfig.defaultConfig.tracing: "),
    ] {
        let message = refused(spec.clone());
        assert!(message.starts_with(path), "{spec}: {message}");
        assert!(!message.contains("; "), "one problem, not more: {message}");
    }
}

#[test]
fn the_nodes_part_is_there_for_who_asks_and_mends_as_he_says() {
    for switch in [json!({"istio_cni": {"enabled": true}}), json!({"pilot": {"cni": {"enabled": true}}}), json!({"cni": {"enabled": true}})]
    {
        assert!(resolved(json!({"values": switch})).parts.contains_key(&Role::Cni), "{switch}");
    }
    assert!(!resolved(json!({"components": {"cni": {"enabled": false}}})).parts.contains_key(&Role::Cni));
    let repair = |says: Value| resolved(json!({"values": {"cni": {"repair": says}}})).cni.repair;
    assert_eq!(repair(json!({})), PodRepair::Fix);
    assert_eq!(repair(json!({"labelPods": true})), PodRepair::Label);
    assert_eq!(repair(json!({"labelPods": true, "deletePods": true})), PodRepair::Delete);
    assert_eq!(repair(json!({"labelPods": true, "deletePods": true, "repairPods": true})), PodRepair::Fix);
    assert_eq!(repair(json!({"repairPods": false})), PodRepair::Off);
    assert_eq!(repair(json!({"enabled": false, "deletePods": true})), PodRepair::Off);
    let settings = resolved(json!({"values": {"cni": {"cniBinDir": "/usr/lib/cni"}}}));
    assert_eq!((settings.cni.bin_dir.as_str(), settings.cni.conf_dir.as_str()), ("/usr/lib/cni", "/etc/cni/net.d"));
}

#[test]
fn configuration_comes_from_galley_where_a_script_of_1_4_says_so_and_galley_is_there() {
    let with = |use_mcp: Value| json!({"values": {"global": {"useMCP": use_mcp}}});
    assert_eq!(resolved(json!({})).config_source, ConfigSource::Kubernetes);
    assert_eq!(resolved(with(json!(false))).config_source, ConfigSource::Kubernetes);
    assert_eq!(resolved(with(json!(true))).config_source, ConfigSource::Galley);
    assert!(refused(with(json!("yes"))).starts_with("spec.values.global.useMCP: must be true or false"));
    let minimal = json!({"profile": "minimal", "values": {"global": {"useMCP": true}}});
    assert!(refused(minimal).starts_with("spec.values.global.useMCP: pilot would wait"));
    for profile in ["default", "demo", "minimal"] {
        assert_eq!(resolved(json!({"profile": profile})).config_source, ConfigSource::Kubernetes, "{profile}");
    }
}

#[test]
fn what_only_says_so_is_accepted() {
    resolved(json!({
        "components": {"cni": {"enabled": false}}, "addons": {"kiali": {"enabled": false}}, "mode": "Apply", "revision": "", "version": "",
        "updateStrategy": {"type": "InPlace", "workloads": "Manual"},
    }));
    resolved(json!({"mode": "Plan"}));
}

#[test]
fn values_that_cannot_be_are_refused() {
    let gateway = |fields: Value| json!({"gateways": {"ingress": [overlay(&json!({"name": "i"}), &fields)]}});
    let service = |service: Value| gateway(json!({"service": service}));
    let at_node_port = |name: &str| json!({"name": name, "service": {"ports": [{"name": "http", "port": 80, "nodePort": 31080}]}});
    let remote = |global: Value| json!({"profile": "remote", "values": {"global": global}});
    for (spec, message) in [
        (json!({"namespace": "kube-system"}), "spec.namespace: \"kube-system\" can't be"),
        (json!({"components": {"pilot": {"enabled": false}}}), "spec.components.pilot.enabled: there is no mesh without pilot"),
        (json!({"profile": "remote"}), "spec.components.pilot.enabled: there is no mesh without pilot"),
        (json!({"components": {"citadel": {"enabled": false}}}), "spec.components.citadel.enabled: pilot and proxies get"),
        (json!({"components": {"galley": {"replicas": 0}}}), "spec.components.galley.replicas: must be at least 1"),
        (
            json!({"components": {"galley": {"replicas": 2, "autoscaling": {"maxReplicas": 3}}}}),
            "spec.components.galley.replicas: can't be set",
        ),
        (json!({"gateways": {"ingress": [{"name": "istio-pilot"}]}}), "spec.gateways.ingress[istio-pilot].name: istio-pilot is the name"),
        (json!({"gateways": {"ingress": [{"name": "A"}]}}), "spec.gateways.ingress[A].name: \"A\" must be"),
        (json!({"gateways": {"egress": [{"name": "istio-ingressgateway"}]}}), "spec.gateways: istio-ingressgateway is there twice"),
        (json!({"gateways": {"egress": [{"name": "istio-cni-node"}]}}), "spec.gateways.egress[istio-cni-node].name: istio-cni-node is"),
        (
            json!({"gateways": {"egress": [{"name": "e", "service": {"ports": [{"name": "tcp", "port": 1, "nodePort": 30001}]}}]}}),
            "spec.gateways.egress[e].service.ports[tcp].nodePort: needs",
        ),
        (
            json!({"gateways": {"ingress": [{"name": "i", "service": {"ports": [{"name": "http", "port": 80, "targetPort": 80}]}}]}}),
            "spec.gateways.ingress[i].service.ports[http].targetPort: 80 is a port that takes privileges",
        ),
        (
            json!({"gateways": {"ingress": [{"name": "i", "service": {"ports": [{"name": "x", "port": 15001}]}}]}}),
            "spec.gateways.ingress[i].service.ports[x].targetPort: 15001 is one of the proxy's own ports",
        ),
        (gateway(json!({"labels": {"app.kubernetes.io/name": "x"}})), "spec.gateways.ingress[i].labels[app.kubernetes.io/name]: is the"),
        (gateway(json!({"labels": {"a": "b c"}})), "spec.gateways.ingress[i].labels[a]: \"b c\" can't be"),
        (service(json!({"type": "NodePort", "loadBalancerIP": "192.0.2.1"})), "spec.gateways.ingress[i].service.loadBalancerIP: needs"),
        (service(json!({"loadBalancerIP": "here"})), "spec.gateways.ingress[i].service.loadBalancerIP: \"here\" is no IP address"),
        (
            service(json!({"loadBalancerSourceRanges": ["10.0.0.0/8", "10.0.0.0/33"]})),
            "spec.gateways.ingress[i].service.loadBalancerSourceRanges[1]: \"10.0.0.0/33\" is no range",
        ),
        (service(json!({"type": "ClusterIP", "externalTrafficPolicy": "Local"})), "spec.gateways.ingress[i].service.externalTrafficPolicy"),
        (
            service(json!({"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 80}]})),
            "spec.gateways.ingress[i].service.ports[b].port: 80 is there twice",
        ),
        (json!({"gateways": {"ingress": [at_node_port("a"), at_node_port("b")]}}), "spec.gateways: a and b both want nodePort 31080"),
        (remote(json!({"remotePilotAddress": "pilot:15012"})), "spec.values.global.remotePilotAddress: \"pilot:15012\" must be"),
        (
            remote(json!({"remotePilotAddress": "a.example", "mtls": {"enabled": true}})),
            "spec.values.global.mtls.enabled: is for the cluster to say in which pilot runs",
        ),
        (
            json!({"namespace": "mesh", "profile": "remote", "values": {"global": {"remotePilotAddress": "192.0.2.1"}}}),
            "spec.values.global.remotePilotAddress: must be a name unless",
        ),
        (json!({"values": {"global": {"remotePilotAddress": "a.example"}}}), "spec.values.global.remotePilotAddress: has an effect only"),
        (json!({"profile": "sds", "meshConfig": {"rootNamespace": "other"}}), "spec.values.global.mtls.enabled: makes a PeerAuth"),
        (json!({"meshConfig": {"connectTimeout": "soon"}}), "spec.meshConfig.connectTimeout: \"soon\" is no duration"),
        (json!({"meshConfig": {"trustDomain": "a/ns/b"}}), "spec.meshConfig.trustDomain: \"a/ns/b\" may hold"),
        (json!({"meshConfig": {"accessLogEncoding": "XML"}}), "spec.meshConfig.accessLogEncoding: unknown variant `XML`"),
        (
            json!({"meshConfig": {"defaultConfig": {"proxyMetadata": {"A": 1}}}}),
            "spec.meshConfig.defaultConfig.proxyMetadata.A: must be a string",
        ),
        (json!({"values": {"pilot": {"replicaCount": "two"}}}), "spec.values.pilot.replicaCount: must be of type integer, not string"),
        (
            json!({"values": {"global": {"imagePullPolicy": "Sometimes"}}}),
            "spec.values.global.imagePullPolicy: \"Sometimes\" is not one of",
        ),
        (json!({"values": {"global": {"trustDomain": ""}}}), "spec.values.global.trustDomain: \"\" may hold"),
    ] {
        let found = refused(spec.clone());
        assert!(found.starts_with(message), "{spec}: {found}");
    }
}

#[test]
fn who_gets_a_sidecar_is_said_by_fields_or_by_old_values() {
    let fields = resolved(json!({"injection": {"policy": "Disabled", "enableNamespacesByDefault": true,
        "neverInjectSelector": [{"matchExpressions": [{"key": "job", "operator": "Exists"}]}]}}));
    let values = resolved(json!({"values": {
        "global": {"proxy": {"autoInject": "disabled"}},
        "sidecarInjectorWebhook": {"enableNamespacesByDefault": true, "neverInjectSelector": [{"matchExpressions": [{"key": "job", "operator": "Exists"}]}]},
    }}));
    assert_eq!(fields.injection, values.injection);
    assert!(fields.injection.by_default && !fields.injection.lenient && fields.injection.never.len() == 1);
    let sidecar = resolved(json!({"values": {
        "global": {"network": "west", "proxy": {"includeIPRanges": "10.0.0.0/8,192.168.0.1", "excludeInboundPorts": "22, 9100", "excludeOutboundPorts": 3306,
            "componentLogLevel": "misc:error,http:debug", "readinessPeriodSeconds": 2, "statusPort": 15030}},
        "sidecarInjectorWebhook": {"rewriteAppHTTPProbe": false},
    }}));
    assert_eq!((sidecar.network.as_str(), sidecar.mesh.default_config.status_port), ("west", 15030));
    let SidecarDefaults { include_outbound_ranges, exclude_outbound_ports, rewrite_probes, readiness_period, readiness_failures, .. } =
        sidecar.sidecar;
    assert_eq!((include_outbound_ranges.as_str(), exclude_outbound_ports.as_str()), ("10.0.0.0/8,192.168.0.1", "3306"));
    assert_eq!((rewrite_probes, readiness_period, readiness_failures), (false, 2, 4));
}

#[test]
fn workloads_are_restarted_only_on_request_and_within_limits() {
    assert_eq!(resolved(json!({})).rolling, None);
    let usual = Rolling { workloads: 1, surge: 10, missed: true, outdated: true };
    assert_eq!(resolved(json!({"updateStrategy": {"workloads": "Rolling"}})).rolling, Some(usual));
    let limits = json!({"maxWorkloads": 3, "maxSurgePods": 0, "outdated": false});
    let own = resolved(json!({"updateStrategy": {"workloads": "Rolling", "rolling": limits}})).rolling;
    assert_eq!(own, Some(Rolling { workloads: 3, surge: 0, outdated: false, ..usual }));
}

#[test]
fn what_an_injector_would_not_understand_is_refused_by_its_field() {
    let injection = |fields: Value| json!({"injection": fields});
    let proxy = |fields: Value| json!({"values": {"global": {"proxy": fields}}});
    let expression = |operator: &str, values: Value| json!({"matchExpressions": [{"key": "a", "operator": operator, "values": values}]});
    for (spec, message) in [
        (
            injection(json!({"neverInjectSelector": [{}, expression("In", json!([]))]})),
            "spec.injection.neverInjectSelector[1].matchExpressions[0].values: is needed",
        ),
        (
            injection(json!({"alwaysInjectSelector": [expression("Exists", json!(["x"]))]})),
            "spec.injection.alwaysInjectSelector[0].matchExpressions[0].values: can't be set",
        ),
        (
            injection(json!({"alwaysInjectSelector": [expression("Has", json!([]))]})),
            "spec.injection.alwaysInjectSelector[0]: unknown variant",
        ),
        (injection(json!({"templates": {"own": "a: ["}})), "spec.injection.templates[own]: template \"own\": not YAML"),
        (injection(json!({"templates": {"own": "text"}})), "spec.injection.templates[own]: template \"own\": not a part of a pod"),
        (injection(json!({"templates": {"Own": "spec: {}"}})), "spec.injection.templates[Own]: a template's name"),
        // Pods could not be made any more.
        (injection(json!({"defaultTemplates": ["waypoint"]})), "spec.injection.defaultTemplates: there is no template \"waypoint\""),
        (injection(json!({"defaultTemplates": ["own"]})), "spec.injection.defaultTemplates: there is no template \"own\""),
        (
            injection(json!({"templateAliases": {"a": ["sidecar", "b"], "b": ["sidecar"]}})),
            "spec.injection.templateAliases[a]: there is no template \"b\"",
        ),
        (injection(json!({"allowedImages": ["*"]})), "spec.injection.allowedImages[0]: \"*\" must be"),
        (proxy(json!({"autoInject": "perhaps"})), "spec.values.global.proxy.autoInject: \"perhaps\" is not one of"),
        (proxy(json!({"includeIPRanges": "10.0.0.0/33"})), "spec.values.global.proxy.includeIPRanges: \"10.0.0.0/33\" is no range"),
        (proxy(json!({"excludeInboundPorts": "*"})), "spec.values.global.proxy.excludeInboundPorts: \"*\" is no port"),
        (proxy(json!({"logLevel": "loud"})), "spec.values.global.proxy.logLevel: \"loud\" is not one of"),
        (proxy(json!({"componentLogLevel": "misc"})), "spec.values.global.proxy.componentLogLevel: \"misc\" must be"),
        (proxy(json!({"readinessPeriodSeconds": 0})), "spec.values.global.proxy.readinessPeriodSeconds: must be at least 1"),
        (
            json!({"values": {"sidecarInjectorWebhook": {"injectedAnnotations": {"a": "b"}}}}),
            "spec.values.sidecarInjectorWebhook.injectedAnnotations: is not available: write a template",
        ),
        (json!({"updateStrategy": {"rolling": {"maxWorkloads": 2}}}), "spec.updateStrategy.rolling: has an effect only"),
    ] {
        let found = refused(spec.clone());
        assert!(found.starts_with(message), "{spec}: {found}");
    }
}

#[test]
fn every_problem_is_reported_at_once() {
    assert_eq!(
        refused(json!({"components": {"policy": {"replicas": 1}}, "meshConfig": {"x": 1}, "values": {"y": 1}})).matches("; ").count(),
        2
    );
}
