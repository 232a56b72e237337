//! What 1.4's scripts say, and what comes of it.

use serde_json::{Value, json};

use super::*;
use crate::operator::settings::layers::nest;

fn translated(path: &str, value: Value) -> Result<Translated, String> {
    let Value::Object(values) = nest(path, value) else { panic!("{path}") };
    let mut problems = Vec::new();
    let translated = translate(&values, &mut problems);
    if problems.is_empty() { Ok(translated) } else { Err(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")) }
}

#[test]
fn a_path_leads_to_the_field_that_says_the_same() {
    let gateway = |fields: Value| json!({"gateways": {"ingress": [overlay(&json!({"name": "istio-ingressgateway"}), &fields)]}});
    let gateway_path = |setting: &str| format!("gateways.istio-ingressgateway.{setting}");
    let networks = json!({"far": {"endpoints": [{"fromCidr": "10.20.0.0/16"}], "gateways": [{"address": "192.0.2.1", "port": 15443}]}});
    for (path, value, spec) in [
        ("global.meshNetworks".to_owned(), networks.clone(), json!({"meshConfig": {"meshNetworks": networks}})),
        (
            "global.localityLbSetting".to_owned(),
            json!({"enabled": false}),
            json!({"meshConfig": {"localityLbSetting": {"enabled": false}}}),
        ),
        ("global.proxy.dnsRefreshRate".to_owned(), json!("300s"), json!({"meshConfig": {"dnsRefreshRate": "300s"}})),
        (gateway_path("enabled"), json!(false), gateway(json!({"enabled": false}))),
        (gateway_path("replicaCount"), json!(3), gateway(json!({"replicas": 3}))),
        (gateway_path("serviceAnnotations"), json!({"a": "b"}), gateway(json!({"service": {"annotations": {"a": "b"}}}))),
        (gateway_path("loadBalancerIP"), json!("192.0.2.1"), gateway(json!({"service": {"loadBalancerIP": "192.0.2.1"}}))),
        (
            gateway_path("loadBalancerSourceRanges"),
            json!(["10.0.0.0/8"]),
            gateway(json!({"service": {"loadBalancerSourceRanges": ["10.0.0.0/8"]}})),
        ),
        (gateway_path("externalTrafficPolicy"), json!("Local"), gateway(json!({"service": {"externalTrafficPolicy": "Local"}}))),
        (gateway_path("labels"), json!({"istio": "edge"}), gateway(json!({"labels": {"istio": "edge"}}))),
        (gateway_path("autoscaleMax"), json!(7), gateway(json!({"autoscaling": {"maxReplicas": 7}}))),
        ("pilot.autoscaleEnabled".to_owned(), json!(true), json!({"components": {"pilot": {"autoscaling": {"maxReplicas": 5}}}})),
        ("pilot.autoscaleEnabled".to_owned(), json!(false), json!({})),
        (
            "pilot.autoscaleMin".to_owned(),
            json!(6),
            json!({"components": {"pilot": {"autoscaling": {"minReplicas": 6, "maxReplicas": 6}}}}),
        ),
        (
            "pilot.cpu.targetAverageUtilization".to_owned(),
            json!(60),
            json!({"components": {"pilot": {"autoscaling": {"targetCPUUtilizationPercentage": 60, "maxReplicas": 5}}}}),
        ),
        ("grafana.service.type".to_owned(), json!("NodePort"), json!({"addons": {"grafana": {"service": {"type": "NodePort"}}}})),
        (
            "kiali.service.annotations".to_owned(),
            json!({"a/b.c": "d"}),
            json!({"addons": {"kiali": {"service": {"annotations": {"a/b.c": "d"}}}}}),
        ),
        (
            "tracing.service".to_owned(),
            json!({"loadBalancerIP": "192.0.2.1", "loadBalancerSourceRanges": ["10.0.0.0/8"]}),
            json!({"addons": {"tracing": {"service": {"loadBalancerIP": "192.0.2.1", "loadBalancerSourceRanges": ["10.0.0.0/8"]}}}}),
        ),
        (
            "global.defaultConfigVisibilitySettings".to_owned(),
            json!(["."]),
            json!({"meshConfig": {"defaultServiceExportTo": ["."], "defaultVirtualServiceExportTo": ["."],
                "defaultDestinationRuleExportTo": ["."]}}),
        ),
        ("global.defaultConfigVisibilitySettings".to_owned(), json!([]), json!({})),
        (
            "security".to_owned(),
            json!({"workloadCertTtl": "1h30m", "env": {"FERROMESH_LOG": "debug"}}),
            json!({
                "components": {"citadel": {"env": [
                    {"name": "FERROMESH_LOG", "value": "debug"},
                    {"name": "DEFAULT_WORKLOAD_CERT_TTL_SECONDS", "value": "5400"},
                    {"name": "MAX_WORKLOAD_CERT_TTL_SECONDS", "value": "5400"},
                ]}},
                "meshConfig": {"defaultConfig": {"proxyMetadata": {"SECRET_TTL": "1h30m"}}},
            }),
        ),
        ("prometheus.enabled".to_owned(), json!(true), json!({"addons": {"prometheus": {"enabled": true}}})),
        ("security.trustDomain".to_owned(), json!("shop"), json!({"meshConfig": {"trustDomain": "shop"}})),
    ] {
        assert_eq!(translated(&path, value.clone()).map(|found| found.spec), Ok(spec), "{path}={value}");
    }
}

#[test]
fn off_is_off_whatever_the_limits() {
    let Value::Object(values) = json!({"pilot": {"autoscaleEnabled": false, "autoscaleMin": 2, "autoscaleMax": 5}}) else { panic!() };
    assert_eq!(translate(&values, &mut Vec::new()).spec, json!({}));
}

#[test]
fn what_is_said_of_all_deployments_is_theirs_who_say_nothing() {
    let found = translated("global.priorityClassName", json!("high")).unwrap();
    assert_eq!(Value::Object(found.everywhere.clone()), json!({"priorityClassName": "high"}));
    assert!(translated("global.priorityClassName", json!("")).unwrap().everywhere.is_empty());
    let mut spec =
        json!({"components": {"pilot": {}, "galley": {"priorityClassName": "low"}, "cni": {}}, "gateways": {"egress": [{"name": "e"}]}});
    crate::operator::settings::everywhere::fill(&mut spec, &found.everywhere);
    let wanted = json!({"components": {"pilot": {"priorityClassName": "high"}, "galley": {"priorityClassName": "low"}, "cni": {}},
        "gateways": {"egress": [{"name": "e", "priorityClassName": "high"}]}});
    assert_eq!(spec, wanted);
}

#[test]
fn what_always_holds_may_be_said_and_its_opposite_is_refused_with_the_reason() {
    for (path, held, other, reason) in [
        ("global.controlPlaneSecurityEnabled", json!(true), json!(false), "the control plane speaks mutual TLS alone"),
        ("global.sds.enabled", json!(true), json!(false), "proxies get certificates from their agent by SDS"),
        ("global.disablePolicyChecks", json!(true), json!(false), "istio-policy is not available yet"),
        ("global.monitoringPort", json!(15014), json!(9093), "all parts are monitored at 15014"),
        ("global.proxy.clusterDomain", json!("cluster.local"), json!("example"), "another domain"),
        ("gateways.istio-egressgateway.sds.enabled", json!(true), json!(false), "gateways get their certificates"),
        ("mixer.policy.enabled", json!(false), json!(true), "istio-policy is not available yet"),
        ("mixer.telemetry.enabled", json!(false), json!(true), "there is no Mixer"),
        ("telemetry.enabled", json!(false), json!(true), "there is no Mixer"),
        ("nodeagent.enabled", json!(false), json!(true), "each proxy's agent"),
        ("security.createMeshPolicy", json!(true), json!(false), "there is a mesh-wide policy where global.mtls.enabled"),
        ("security.enableNamespacesByDefault", json!(true), json!(false), "citadel signs for every namespace"),
        ("global.omitSidecarInjectorConfigMap", json!(false), json!(true), "the injector needs it"),
        ("grafana.replicaCount", json!(1), json!(2), "an add-on keeps what it has"),
        ("kiali.ingress.enabled", json!(false), json!(true), "objects of kind Ingress"),
        ("prometheus.service.nodePort.enabled", json!(false), json!(true), "set type NodePort"),
    ] {
        assert!(translated(path, held).is_ok_and(|found| found.spec == json!({})), "{path}");
        let refused = translated(path, other).unwrap_err();
        assert!(refused.starts_with(&format!("spec.values.{path}: {reason}")), "{refused}");
    }
}

#[test]
fn what_is_said_elsewhere_is_refused_with_the_place() {
    for (path, value, at, reason) in [
        ("mixer.adapters.prometheus.enabled", json!(true), "mixer.adapters", "there is no Mixer"),
        ("mixer.telemetry.replicaCount", json!(2), "mixer.telemetry.replicaCount", "there is no Mixer"),
        ("global.proxy.image", json!("proxyv2"), "global.proxy.image", "images are hub/ferromesh-proxy:tag"),
        ("global.tracer.zipkin.address", json!("z:9411"), "global.tracer", "tracing is not available yet"),
        ("gateways.istio-ilbgateway.enabled", json!(true), "gateways.istio-ilbgateway.enabled", "is no gateway of a profile"),
        ("pilot.rollingMaxSurge", json!("100%"), "pilot.rollingMaxSurge", "is not read"),
        ("pilot.image", json!("pilot"), "pilot.image", "is not read: images are"),
        ("security.workloadCertTtl", json!("soon"), "security.workloadCertTtl", "must be a duration of at least a second"),
        ("security.workloadCertTtl", json!(3600), "security.workloadCertTtl", "must be a duration of at least a second"),
        (
            "prometheus.hub",
            json!("docker.io/prom"),
            "prometheus.hub",
            "an add-on's image is named as a whole: set spec.addons.prometheus.image",
        ),
        ("kiali.tag", json!("v1.9"), "kiali.tag", "an add-on's image is named as a whole: set spec.addons.kiali.image"),
        ("grafana.image.repository", json!("g"), "grafana.image", "an add-on's image is named as a whole: set spec.addons.grafana.image"),
        ("tracing.zipkin.tag", json!(2), "tracing.zipkin.tag", "an add-on's image is named as a whole: set spec.addons.tracing.image"),
        ("tracing.jaeger.hub", json!("j"), "tracing.jaeger", "the add-on is Zipkin"),
        ("grafana.jaeger.hub", json!("j"), "grafana.jaeger.hub", "has no effect in this mesh: remove it"),
        ("grafana.service.externalPort", json!(80), "grafana.service.externalPort", "set spec.addons.grafana.service.ports"),
        ("grafana.service.type", json!("Sometimes"), "grafana.service.type", "\"Sometimes\" is not one of"),
        ("kiali.tolerations", json!([]), "kiali.tolerations", "add-ons run where all do: set global.default"),
        ("global.defaultConfigVisibilitySettings", json!("all"), "global.defaultConfigVisibilitySettings", ""),
        ("global.istioNamespace", json!(7), "global.istioNamespace", "must be a name"),
        ("global.defaultResources", json!({"requests": {"cpu": "lots"}}), "global.defaultResources.requests.cpu", "\"lots\""),
        ("global.proxy.nonsense", json!(1), "global.proxy.nonsense", "has no effect in this mesh: remove it"),
        ("pilot.autoscaleMax", json!("many"), "pilot.autoscaleMax", "must be of type integer"),
        ("global.mtls.enabled", json!("yes"), "global.mtls.enabled", "must be true or false"),
        ("global.defaultTolerations", json!("all"), "global.defaultTolerations", "must be of type array"),
    ] {
        let refused = translated(path, value).unwrap_err();
        assert!(refused.starts_with(&format!("spec.values.{at}: {reason}")), "{refused}");
        assert!(!refused.contains("; spec."), "one problem, not more: {refused}");
    }
}

#[test]
fn a_variable_that_nobody_reads_is_refused_with_what_may_be_meant() {
    for (path, name, end) in [
        ("pilot.env", "PILOT_ENABLE_NONSENSE", "is read by no process of this part: take it away, or say it in spec.components.pilot.env"),
        ("pilot.env", "FERROMESH_LOGS", "is read by no process of this part (did you mean FERROMESH_LOG?): take it away"),
        ("galley.env", "ISTIO_META_X", "is read by no process"),
        ("gateways.istio-ingressgateway.env", "CLUSTER_DOMAIN", "is read by no process"),
    ] {
        let refused = translated(path, json!({name: "1"})).unwrap_err();
        assert!(refused.starts_with(&format!("spec.values.{path}.{name}: {end}")), "{refused}");
    }
    let said = |path: &str, name: &str| translated(path, json!({name: 1})).unwrap().spec;
    let variables = json!([{"name": "CLUSTER_DOMAIN", "value": "1"}]);
    assert_eq!(said("pilot.env", "CLUSTER_DOMAIN"), json!({"components": {"pilot": {"env": variables}}}));
    said("gateways.istio-ingressgateway.env", "ISTIO_META_ROUTER_MODE");
    said("security.env", "MIMALLOC_SHOW_STATS");
}
