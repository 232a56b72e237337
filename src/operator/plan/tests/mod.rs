//! The plans of the profiles as goldens, and what must hold for every plan.

use ferromesh_crds::MeshInstallSpec;
use serde_json::{Value, json};
use std::collections::BTreeSet;

mod addons;
mod fields;
mod laws;
mod revisions;

use super::*;
use crate::model::{InjectionValues, MeshConfig};
use crate::operator::settings::{Images, Problems, resolve};

fn owner() -> OwnerReference {
    OwnerReference {
        api_version: "install.ferromesh.dev/v1alpha1".to_owned(),
        kind: "MeshInstall".to_owned(),
        name: "mesh".to_owned(),
        uid: "uid-of-mesh".to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

fn images() -> Images {
    Images { hub: "hub.example/ferromesh".to_owned(), tag: "1.0.2".to_owned(), pull_policy: "IfNotPresent".to_owned() }
}

/// The settings that a spec comes to.
fn settings(spec: &Value) -> Result<Settings, Problems> {
    resolve(&serde_json::from_value(spec.clone()).unwrap(), &images())
}

/// The circumstances of a mesh whose webhooks answer.
fn circumstances<'a>(owner: &'a OwnerReference, credentials: Option<&'a BTreeSet<String>>, share: Option<&'a Share>) -> Circumstances<'a> {
    let before = Circumstances::new(owner, "ferromesh-system", credentials, share);
    Circumstances { bundle: Some("PEM"), galley: Phase::Proven, ..before }
}

/// The plan of the only control plane of a mesh.
fn alone(settings: &Settings, bundle: Option<&str>, galley: Phase) -> Vec<Planned> {
    let (owner, names, share) = (owner(), BTreeSet::from(["web".to_owned()]), Share::alone(settings));
    plan(settings, Circumstances { bundle, galley, ..circumstances(&owner, Some(&names), Some(&share)) })
}

fn planned_in(spec: Value, bundle: Option<&str>, galley: Phase) -> Vec<Planned> {
    alone(&settings(&spec).unwrap_or_else(|problems| panic!("{problems}")), bundle, galley)
}

fn planned(spec: Value) -> Vec<Planned> {
    planned_in(spec, Some("PEM"), Phase::Proven)
}

fn names(objects: &[Planned]) -> BTreeSet<String> {
    objects.iter().map(|object| object.key.to_string()).collect()
}

fn find<'a>(objects: &'a [Planned], key: &str) -> &'a Value {
    &objects.iter().find(|object| object.key.to_string() == key).unwrap_or_else(|| panic!("no {key} in {:#?}", names(objects))).body
}

fn deployment<'a>(objects: &'a [Planned], name: &str) -> &'a Value {
    find(objects, &format!("Deployment istio-system/{name}"))
}

/// The plan as people would write it.
fn documents(objects: &[Planned]) -> String {
    objects.iter().map(|object| format!("---\n{}", serde_saphyr::to_string(&object.body).unwrap())).collect()
}

#[test]
fn the_default_profile() {
    insta::assert_snapshot!(documents(&planned(json!({}))));
}

#[test]
fn pilot_may_read_the_secrets_that_gateways_need_by_name_and_without_any_none() {
    let settings =
        resolve(&MeshInstallSpec::default(), &Images { hub: "hub".into(), tag: "1".into(), pull_policy: "Always".into() }).unwrap();
    let rules = |credentials: Option<&BTreeSet<String>>| {
        let objects = plan(&settings, Circumstances::new(&owner(), "ferromesh-system", credentials, None));
        let role = objects.iter().find(|object| object.key.to_string() == "Role istio-system/ferromesh-pilot-credentials");
        role.map(|role| role.body["rules"].clone())
    };
    let names = BTreeSet::from(["web".to_owned(), "web-cacert".to_owned()]);
    let read =
        json!({"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["web", "web-cacert"], "verbs": ["get", "list", "watch"]});
    assert_eq!(rules(Some(&names)), Some(json!([read])));
    assert_eq!(rules(Some(&BTreeSet::new())), Some(json!([])), "no names must not mean all");
    assert_eq!(rules(None), None);
}

#[test]
fn the_minimal_profile_lists() {
    insta::assert_snapshot!(names(&planned(json!({"profile": "minimal"}))).into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn what_galley_distributes_pilot_has_no_right_to() {
    let with = |use_mcp: bool| planned(json!({"values": {"global": {"useMCP": use_mcp}}}));
    let bindings =
        |objects: &[Planned]| names(objects).into_iter().filter(|name| name.contains("Binding ferromesh-pilot")).collect::<Vec<_>>();
    let (default, mcp) = (with(false), with(true));
    assert_eq!(documents(&default), documents(&planned(json!({}))), "off is what every profile has");
    assert_eq!(bindings(&default), ["ClusterRoleBinding ferromesh-pilot", "ClusterRoleBinding ferromesh-pilot-configuration"]);
    assert_eq!(bindings(&mcp), ["ClusterRoleBinding ferromesh-pilot"]);
    let altered = mcp.iter().filter(|object| !default.contains(object)).cloned().collect::<Vec<_>>();
    insta::assert_snapshot!(documents(&altered));
}

#[test]
fn the_demo_profile_adds() {
    let default = names(&planned(json!({})));
    let demo = planned(json!({"profile": "demo"}));
    let added: Vec<Planned> = demo.into_iter().filter(|object| !default.contains(&object.key.to_string())).collect();
    insta::assert_snapshot!(documents(&added));
}

#[test]
fn add_ons_add() {
    let on = json!({"enabled": true});
    let addons = json!({"prometheus": on, "grafana": on, "tracing": on, "kiali": {
        "enabled": true, "image": "mirror.example/kiali:1",
        "service": {"type": "NodePort", "ports": [{"name": "http", "port": 80, "nodePort": 30080}]},
    }});
    let default = names(&planned(json!({})));
    let mut added = planned(json!({"addons": addons}));
    added.retain(|object| !default.contains(&object.key.to_string()));
    // What the dashboards ask is checked by Prometheus itself.
    for object in &mut added {
        if object.key.name == "istio-grafana-dashboards" {
            object.body["data"].as_object_mut().unwrap().values_mut().for_each(|text| *text = json!("…"));
        }
    }
    insta::assert_snapshot!(documents(&added));
}

/// Whether a value is null, or holds one.
fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(fields) => fields.values().any(has_null),
        _ => false,
    }
}

#[test]
fn no_object_has_empty_fields_or_two_volumes_of_one_name() {
    let on = json!({"enabled": true});
    let everything = json!({
        "profile": "demo", "components": {"cni": on}, "addons": {"prometheus": on, "grafana": on, "kiali": on, "tracing": on},
    });
    for object in planned(everything) {
        assert!(!has_null(&object.body), "{:#}", object.body);
        let volumes = object.body["spec"]["template"]["spec"]["volumes"].as_array().cloned().unwrap_or_default();
        let names: BTreeSet<String> = volumes.iter().map(|volume| volume["name"].to_string()).collect();
        assert_eq!(names.len(), volumes.len(), "{volumes:?}");
    }
}

#[test]
fn the_nodes_part_adds() {
    let default = names(&planned(json!({})));
    let with =
        planned(json!({"components": {"cni": {"enabled": true, "resources": {"requests": {"cpu": "10m"}}, "podAnnotations": {"a": "b"}}}}));
    let added: Vec<Planned> = with.iter().filter(|object| !default.contains(&object.key.to_string())).cloned().collect();
    insta::assert_snapshot!(documents(&added));
    let told = find(&with, "ConfigMap istio-system/istio-sidecar-injector")["data"]["values"].as_str().unwrap();
    assert!(told.contains("\"cni\": true"), "the injector leaves the rules to the node");
}

/// The nodes' part that mends pods so.
fn with_repair(repair: &str) -> Vec<Planned> {
    planned(json!({"components": {"cni": {"enabled": true}}, "values": {"cni": {"repair": {repair: true}}}}))
}

#[test]
fn only_who_labels_or_deletes_pods_may() {
    let may = |repair: &str| names(&with_repair(repair)).contains("ClusterRoleBinding ferromesh-cni-repair");
    assert_eq!([may("labelPods"), may("deletePods"), may("repairPods")], [true, true, false]);
}

#[test]
fn only_who_mends_pods_where_they_are_sees_the_nodes_processes() {
    for (repair, sees) in [("repairPods", true), ("labelPods", false), ("deletePods", false)] {
        let objects = with_repair(repair);
        let pod = &find(&objects, "DaemonSet istio-cni/istio-cni-node")["spec"]["template"]["spec"];
        let may_trace = pod["containers"][0]["securityContext"]["capabilities"]["add"].as_array().unwrap().contains(&json!("SYS_PTRACE"));
        assert_eq!((may_trace, pod["hostPID"] == true), (sees, sees), "{repair}");
    }
}

#[test]
fn every_object_is_owned_marked_and_unlike_the_others() {
    let objects = planned(json!({"profile": "demo", "components": {"galley": {"replicas": 2}}}));
    assert_eq!(names(&objects).len(), objects.len());
    for object in &objects {
        let metadata = &object.body["metadata"];
        assert_eq!(metadata["ownerReferences"], json!([owner()]), "{}", object.key);
        assert_eq!(metadata["labels"][MANAGED_BY], MANAGER);
        assert!(metadata.get("finalizers").is_none());
        assert!(object.mark().starts_with(&format!("{}/", object.key.name)), "{}", object.mark());
        assert_eq!(object.key.namespace.is_some(), metadata.get("namespace").is_some());
    }
}

#[test]
fn every_pod_meets_the_restricted_level_and_carries_its_revision() {
    for object in planned(json!({"profile": "demo"})).iter().filter(|object| object.key.kind == Kind::Deployment) {
        let template = &object.body["spec"]["template"];
        assert_eq!(template["metadata"]["labels"]["istio.io/rev"], "default");
        assert_eq!(template["metadata"]["labels"]["sidecar.istio.io/inject"], "false");
        let pod = &template["spec"];
        assert_eq!(
            (&pod["securityContext"]["runAsNonRoot"], &pod["securityContext"]["seccompProfile"]["type"]),
            (&json!(true), &json!("RuntimeDefault"))
        );
        let context = &pod["containers"][0]["securityContext"];
        let restricted = json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}});
        assert_eq!(context, &restricted);
    }
}

#[test]
fn a_selector_finds_its_pods_and_no_others() {
    let objects = planned(json!({"profile": "demo"}));
    let pods: Vec<&Value> = objects
        .iter()
        .filter(|object| object.key.kind == Kind::Deployment)
        .map(|object| &object.body["spec"]["template"]["metadata"]["labels"])
        .collect();
    let selectors = objects.iter().filter_map(|object| match object.key.kind {
        Kind::Service => Some((&object.key, &object.body["spec"]["selector"])),
        Kind::Deployment => Some((&object.key, &object.body["spec"]["selector"]["matchLabels"])),
        _ => None,
    });
    for (key, selector) in selectors {
        let matches = |labels: &&&Value| selector.as_object().is_some_and(|all| all.iter().all(|(name, value)| labels[name] == *value));
        assert_eq!(pods.iter().filter(matches).count(), 1, "{key}");
    }
}

#[test]
fn only_more_than_one_replica_has_a_disruption_budget() {
    let budgets = |spec| names(&planned(spec)).into_iter().filter(|name| name.starts_with("PodDisruptionBudget")).collect::<Vec<_>>();
    assert_eq!(budgets(json!({})), Vec::<String>::new());
    assert_eq!(budgets(json!({"components": {"galley": {"replicas": 2}}})), ["PodDisruptionBudget istio-system/istio-galley"]);
    let auto = json!({"components": {"pilot": {"autoscaling": {"minReplicas": 2, "maxReplicas": 5}}}});
    assert_eq!(budgets(auto), ["PodDisruptionBudget istio-system/istio-pilot"]);
}

#[test]
fn an_autoscaler_decides_about_replicas_alone() {
    let objects = planned(json!({"components": {"pilot": {"autoscaling": {"maxReplicas": 5}}}}));
    assert!(deployment(&objects, "istio-pilot")["spec"].get("replicas").is_none());
    let spec = &find(&objects, "HorizontalPodAutoscaler istio-system/istio-pilot")["spec"];
    assert_eq!((&spec["minReplicas"], &spec["maxReplicas"]), (&json!(1), &json!(5)));
}

#[test]
fn settings_that_are_read_again_leave_pods_alone_and_others_replace_them() {
    let template = |spec, name: &str| deployment(&planned(spec), name)["spec"]["template"].clone();
    let (base, logs) = (json!({}), json!({"meshConfig": {"accessLogFile": "/dev/stdout"}}));
    let domain = json!({"meshConfig": {"trustDomain": "shop.example"}});
    for role in Role::ALL.into_iter().filter(|role| *role != Role::Cni) {
        assert_eq!(template(base.clone(), role.object()), template(logs.clone(), role.object()), "{}", role.name());
    }
    for role in [Role::Citadel, Role::Pilot] {
        assert_ne!(template(base.clone(), role.object()), template(domain.clone(), role.object()), "{}", role.name());
    }
}

#[test]
fn the_mark_follows_the_body() {
    let mark = |spec| {
        planned(spec)
            .into_iter()
            .find(|object| object.key.name == "istio-galley" && object.key.kind == Kind::Deployment)
            .unwrap()
            .mark()
            .to_owned()
    };
    assert_eq!(mark(json!({})), mark(json!({})));
    assert_ne!(mark(json!({})), mark(json!({"components": {"galley": {"podAnnotations": {"a": "b"}}}})));
}

#[test]
fn configuration_is_what_its_readers_understand() {
    let objects = planned(json!({"namespace": "mesh", "imagePullSecrets": [{"name": "s"}], "meshConfig": {"accessLogEncoding": "JSON"}}));
    let text = |key: &str, field: &str| find(&objects, key)["data"][field].as_str().unwrap().to_owned();
    let mesh: MeshConfig = serde_saphyr::from_str(&text("ConfigMap mesh/istio", "mesh")).unwrap();
    assert_eq!((mesh.root_namespace.as_str(), mesh.default_config.discovery_address.as_str()), ("mesh", "istio-pilot.mesh.svc:15012"));
    let values: InjectionValues = serde_json::from_str(&text("ConfigMap mesh/istio-sidecar-injector", "values")).unwrap();
    assert_eq!((values.ca_address.as_str(), values.image_pull_secrets), ("istio-citadel.mesh.svc:15012", vec!["s".to_owned()]));
}

#[test]
fn no_webhook_can_stop_a_namespace_that_did_not_ask_for_the_mesh() {
    let objects = planned(json!({}));
    for webhook in find(&objects, "MutatingWebhookConfiguration istio-sidecar-injector")["webhooks"].as_array().unwrap() {
        let selectors = ["namespaceSelector", "objectSelector"].map(|selector| webhook[selector]["matchExpressions"].as_array().unwrap());
        let asks = |expression: &&Value| expression["operator"] == "In";
        assert!(selectors.iter().any(|expressions| expressions.iter().any(|one| asks(&one))), "{}", webhook["name"]);
        let excluded = selectors[0].iter().find(|one| one["key"] == "kubernetes.io/metadata.name").unwrap();
        assert_eq!(excluded["values"], json!(["kube-system", "kube-public", "kube-node-lease", "local-path-storage"]));
        // The mesh's own pods are kept out by a label, and where somebody took that away, by a condition.
        assert_eq!(webhook["matchConditions"][0]["name"], "not-mesh");
        assert_eq!(webhook["failurePolicy"], "Fail");
    }
    for webhook in find(&objects, "ValidatingWebhookConfiguration istio-galley")["webhooks"].as_array().unwrap() {
        for rule in webhook["rules"].as_array().unwrap() {
            assert!(rule["apiGroups"][0].as_str().unwrap().ends_with(".istio.io"));
            assert_eq!(rule["operations"], json!(["CREATE", "UPDATE"]));
        }
    }
}

#[test]
fn who_gets_a_sidecar_is_the_meshes_owners_to_say() {
    let spec = json!({
        "injection": {"enableNamespacesByDefault": true, "failurePolicy": "Ignore", "policy": "Disabled",
            "neverInjectSelector": [{"matchLabels": {"job": "batch"}}], "allowedImages": ["hub.example/*"]},
        "values": {"global": {"network": "west", "proxy": {"logLevel": "debug", "excludeOutboundPorts": 3306}}},
    });
    let objects = planned(spec);
    let webhooks = find(&objects, "MutatingWebhookConfiguration istio-sidecar-injector")["webhooks"].as_array().unwrap();
    let names: Vec<&str> = webhooks.iter().map(|webhook| webhook["name"].as_str().unwrap()).collect();
    assert_eq!(names.last(), Some(&"auto.sidecar-injector.istio.io"));
    assert!(webhooks.iter().all(|webhook| webhook["failurePolicy"] == "Ignore"));
    let text = find(&objects, "ConfigMap istio-system/istio-sidecar-injector")["data"]["values"].as_str().unwrap();
    let values: InjectionValues = serde_json::from_str(text).unwrap();
    assert_eq!((values.policy, values.network.as_str()), (crate::model::InjectionPolicy::Disabled, "west"));
    assert_eq!((values.proxy.log_level.as_str(), values.proxy.exclude_outbound_ports.as_str()), ("debug", "3306"));
    assert_eq!((values.never_inject_selector.len(), values.allowed_images.len()), (1, 1));
}

#[test]
fn the_right_to_restart_workloads_is_bound_only_while_it_is_asked_for() {
    let bound = |spec| names(&planned(spec)).contains("ClusterRoleBinding ferromesh-rollout");
    assert!(!bound(json!({})) && bound(json!({"updateStrategy": {"workloads": "Rolling"}})));
    let objects = planned(json!({}));
    let subjects = &find(&objects, "ClusterRoleBinding ferromesh-proxies")["subjects"];
    assert_eq!(subjects, &json!([{"kind": "ServiceAccount", "name": MANAGER, "namespace": "ferromesh-system"}]));
    assert!(
        !names(&planned(json!({"profile": "minimal"}))).contains("ClusterRoleBinding ferromesh-proxies"),
        "no injector, no missed pods"
    );
}

#[test]
fn galley_counts_only_once_it_has_been_proven() {
    let policy = |phase| {
        let objects = planned_in(json!({}), Some("PEM"), phase);
        find(&objects, "ValidatingWebhookConfiguration istio-galley")["webhooks"][0]["failurePolicy"].clone()
    };
    assert_eq!((policy(Phase::Unproven), policy(Phase::Proven)), (json!("Ignore"), json!("Fail")));
}

#[test]
fn webhooks_wait_for_their_certificates() {
    let objects = planned_in(json!({}), None, Phase::Unproven);
    assert!(!names(&objects).iter().any(|name| name.contains("WebhookConfiguration")));
}

#[test]
fn a_users_variable_takes_the_place_of_ours() {
    let spec = json!({"meshConfig": {"defaultConfig": {"proxyMetadata": {"CA_ADDR": "x:1"}}}});
    let objects = planned(spec);
    let env = deployment(&objects, "istio-ingressgateway")["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap().clone();
    let values: Vec<&Value> = env.iter().filter(|variable| variable["name"] == "CA_ADDR").map(|variable| &variable["value"]).collect();
    assert_eq!(values, ["x:1"]);
}
