//! Every check, on a cluster that is well and on one in which just that is wrong which it is for.

mod cases;
mod healthy;

use ferromesh_crds::MeshInstall;
use k8s_openapi::api::{
    admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
    apps::v1::Deployment,
    core::v1::{Namespace, Secret},
};
use kube::ResourceExt;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeSet;

use self::{
    cases::{DAY, cases, change, end_of},
    healthy::{base64, certificates, deployment, healthy, mesh, meshed_pod, of, webhook},
};
use super::{Stage, checks, facts::Facts, row::Area, run};
use crate::cli::{
    Exit,
    finding::Severity,
    mesh::tests::Cluster as Injected,
    proxy::Standing,
    tests::{PIPE, Run, run as command_line, run_on},
};
use crate::operator::{Outlier, RENDERED_BY};
use crate::testing::fake_api::FakeApi;

/// The codes of what is found.
fn found(facts: &Facts) -> BTreeSet<&'static str> {
    checks().filter(|check| (check.look)(facts).is_ok_and(|found| !found.is_empty())).map(|check| check.code).collect()
}

#[test]
fn nothing_is_found_in_a_cluster_that_is_well() {
    let facts = healthy(&certificates());
    let told: Vec<String> = checks()
        .flat_map(|check| match (check.look)(&facts) {
            Ok(found) => found.into_iter().map(|found| format!("{} {}", check.code, found.message)).collect(),
            Err(reason) => vec![format!("{} skipped: {reason}", check.code)],
        })
        .collect();
    assert_eq!(told, Vec::<String>::new());
}

#[test]
fn each_check_finds_what_it_is_for_and_nothing_else_is_found() {
    let certificates = certificates();
    for (code, breaks) in cases() {
        let mut facts = healthy(&certificates);
        breaks(&mut facts, &certificates);
        assert_eq!(found(&facts), BTreeSet::from([code]), "{code}");
    }
}

#[test]
fn a_control_plane_at_another_place_has_its_certificates_there() {
    let mut facts = healthy(&certificates());
    let at_green = |name: &mut String| {
        if name.starts_with("istio-") {
            name.push_str("-green");
        }
    };
    let mutating = facts.mutating.as_mut().unwrap().iter_mut().flat_map(|one| one.webhooks.iter_mut().flatten());
    let validating = facts.validating.as_mut().unwrap().iter_mut().flat_map(|one| one.webhooks.iter_mut().flatten());
    let clients = mutating.map(|it| &mut it.client_config).chain(validating.map(|it| &mut it.client_config));
    clients.filter_map(|it| it.service.as_mut()).for_each(|service| at_green(&mut service.name));
    let slices = facts.endpoints.as_mut().unwrap().iter_mut().filter_map(|slice| slice.metadata.labels.as_mut());
    slices.filter_map(|labels| labels.get_mut("kubernetes.io/service-name")).for_each(at_green);
    facts.certificates.as_mut().unwrap().iter_mut().filter_map(|secret| secret.metadata.name.as_mut()).for_each(at_green);
    assert_eq!(found(&facts), BTreeSet::new());
    facts.certificates.as_mut().unwrap().pop();
    assert_eq!(found(&facts), BTreeSet::from(["FM2007"]));
}

#[test]
fn there_are_at_least_forty_checks_each_with_a_case_and_an_explanation() {
    let codes: Vec<&str> = checks().map(|check| check.code).collect();
    assert!(codes.len() >= 40 && codes.iter().collect::<BTreeSet<_>>().len() == codes.len(), "{codes:?}");
    let with_case: BTreeSet<&str> = cases().iter().map(|(code, _)| *code).collect();
    assert_eq!(codes.iter().copied().collect::<BTreeSet<_>>(), with_case);
    for code in codes.into_iter().chain([super::SKIPPED]) {
        let told = command_line(&format!("explain {code}"), "");
        assert!(told.exit == Exit::Clean && told.stdout.contains("How to mend it:  "), "{code}: {told:?}");
    }
}

#[test]
fn what_is_not_known_is_skipped_by_all_that_need_it() {
    let mut facts = healthy(&certificates());
    facts.nodes = Err("can't list nodes: forbidden".to_owned());
    let rows = run(Stage::Before, &facts, &[]);
    let skipped: Vec<&str> = rows.iter().filter(|row| row.skipped.is_some()).map(|row| row.code).collect();
    assert_eq!(skipped, ["FM1021", "FM1022", "FM1023", "FM1024", "FM1025", "FM1026", "FM1027", "FM1028"]);
}

#[test]
fn what_is_being_deleted_has_nothing_to_mend() {
    let certificates = certificates();
    let found_while_going = |namespace: bool, pod: bool| {
        let mut facts = healthy(&certificates);
        change(&mut facts.namespaces, 0, "/metadata/labels/pod-security.kubernetes.io~1enforce", json!("baseline"));
        change(&mut facts.pods, 0, "/status/initContainerStatuses/0/ready", json!(false));
        let now = json!("2026-01-01T00:00:00Z");
        if namespace {
            change(&mut facts.namespaces, 0, "/metadata/deletionTimestamp", now.clone());
        }
        if pod {
            change(&mut facts.pods, 0, "/metadata/deletionTimestamp", now);
        }
        found(&facts)
    };
    assert_eq!(found_while_going(false, false), ["FM3007", "FM3008"].into());
    assert_eq!(found_while_going(false, true), ["FM3007"].into());
    assert_eq!(found_while_going(true, false), [].into());
}

#[test]
fn a_root_that_ends_soon_is_a_warning_and_one_that_ends_at_once_an_error() {
    let certificates = certificates();
    let level = |days: i64| {
        let mut facts = healthy(&certificates);
        facts.now = end_of(certificates.root.as_bytes()) - days * DAY;
        let rows = run(Stage::After, &facts, &[]);
        let row = rows.into_iter().find(|row| row.code == "FM2003").unwrap();
        row.findings.into_iter().next().map(|finding| finding.severity)
    };
    assert_eq!([level(61), level(59), level(13)], [None, Some(Severity::Warning), Some(Severity::Error)]);
}

#[test]
fn findings_are_told_with_code_and_command() {
    let mut facts = healthy(&certificates());
    facts.version = Ok((1, 29));
    facts.pods = Err("can't list pods: forbidden".to_owned());
    change(&mut facts.nodes, 1, "/status/nodeInfo/kubeletVersion", json!("v1.32.9"));
    let style = PIPE.style(crate::cli::terminal::Colour::Never);
    insta::assert_snapshot!(super::human(&run(Stage::Before, &facts, &[]), false, style));
}

async fn asked(api: &FakeApi, command: &str) -> Run {
    run_on(api, PIPE, command, "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_read_and_what_may_not_be_read_is_said() {
    let api = FakeApi::new();
    api.answer(|call| {
        let status =
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "no"});
        (call.target.plural == "nodes").then_some((403, status))
    });
    api.answer(|call| {
        let review = |allowed: bool| json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {}, "status": {"allowed": allowed}});
        (call.target.plural == "selfsubjectaccessreviews").then(|| (201, review(call.body["spec"]["resourceAttributes"]["resource"] != "deployments")))
    });
    api.insert::<Namespace>(&of(json!({"metadata": {"name": "shop"}})));
    let told = asked(&api, "check").await;
    assert_eq!(told.exit, Exit::Findings, "{told:?}");
    assert!(told.stdout.contains("you may not create deployments"), "{}", told.stdout);
    assert!(told.stdout.contains("nodes are ready: skipped, can't list nodes"), "{}", told.stdout);
    assert!(told.stderr.contains("checked whether one can be installed"), "{}", told.stderr);
    let json = asked(&api, "x precheck -o json").await;
    let document: Value = serde_json::from_str(&json.stdout).unwrap();
    let of_code = |code: &str| document["checks"].as_array().unwrap().iter().find(|row| row["code"] == code).unwrap().clone();
    assert_eq!(of_code("FM1006")["findings"][0]["level"], "Error");
    assert!(of_code("FM1021")["skipped"].as_str().unwrap().contains("nodes"), "{document}");
}

/// A webhook configuration of the mesh, with nobody whom the API server trusts.
fn untrusting<K: DeserializeOwned>(name: &str, service: &str) -> K {
    let labels = json!({"app.kubernetes.io/managed-by": "ferromesh-operator"});
    of(json!({"metadata": {"name": name, "labels": labels}, "webhooks": [webhook(service, "istio-system", "")]}))
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_of_revisions_are_read_too() {
    let api = FakeApi::new();
    api.insert::<MeshInstall>(&of(mesh(env!("CARGO_PKG_VERSION"))));
    api.insert::<ValidatingWebhookConfiguration>(&untrusting("istio-galley-canary", "istio-galley-canary"));
    api.insert::<MutatingWebhookConfiguration>(&untrusting("istio-revision-tag-prod", "istio-sidecar-injector-next"));
    let there =
        json!({"metadata": {"name": "istio-galley-webhook-certs-canary", "namespace": "istio-system"}, "data": {"tls.key": base64("k")}});
    api.insert::<Secret>(&of(there));
    let told: Value = serde_json::from_str(&asked(&api, "check -o json").await.stdout).unwrap();
    let messages = |code: &str| -> Vec<String> {
        let row = told["checks"].as_array().unwrap().iter().find(|row| row["code"] == code).unwrap();
        row["findings"].as_array().unwrap().iter().map(|finding| finding["message"].as_str().unwrap().to_owned()).collect()
    };
    let wanted = [
        "Secret istio-system/istio-galley-webhook-certs-canary has no tls.crt: who is asked by istio-galley-canary can't answer",
        "Secret istio-system/istio-sidecar-injector-webhook-certs-next is not there: who is asked by istio-revision-tag-prod can't answer",
    ];
    assert_eq!(messages("FM2007"), wanted);
    assert_eq!(messages("FM2002").len(), 2, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_is_asked_about_alone() {
    let api = FakeApi::new();
    for name in ["shop", "other"] {
        api.insert::<Namespace>(&of(json!({"metadata": {"name": name, "labels": {"istio-injection": "enabled"}}})));
    }
    let mut pod = meshed_pod();
    pod["spec"]["hostNetwork"] = json!(true);
    api.insert::<k8s_openapi::api::core::v1::Pod>(&of(pod.clone()));
    pod["metadata"]["namespace"] = json!("other");
    api.insert::<k8s_openapi::api::core::v1::Pod>(&of(pod));
    let told = asked(&api, "check -n shop --fail-on warning").await;
    assert_eq!(told.exit, Exit::Findings, "{told:?}");
    assert!(told.stdout.contains("Pod shop/web-1 shares its node's network") && !told.stdout.contains("other/web-1"), "{}", told.stdout);
    assert_eq!(asked(&api, "check -n shop").await.exit, Exit::Clean, "no error");
}

/// What a check of one namespace finds.
fn found_in_shop(breaks: impl FnOnce(&mut Facts)) -> Vec<String> {
    let mut facts = healthy(&certificates());
    facts.only = Some("shop".to_owned());
    breaks(&mut facts);
    let rows = run(Stage::Namespace, &facts, &[]);
    let told = |row: super::CheckRow| row.findings.into_iter().map(move |finding| format!("{} {}", row.code, finding.told()));
    rows.into_iter().filter(|row| row.code.starts_with("FM300") || row.of == Area::Proxies).flat_map(told).collect()
}

#[test]
fn of_one_namespace_its_own_pods_and_proxies_are_told() {
    let outlier = |pod: &str, image: Option<&str>| Outlier {
        namespace: "shop".to_owned(),
        pod: pod.to_owned(),
        image: image.map(str::to_owned),
        current: "hub/proxy:2".to_owned(),
        owner: "deployment/web".to_owned(),
        workload: None,
    };
    let proxy = |name: &str, synced: bool, refused: usize| Standing { name: name.to_owned(), version: "1".to_owned(), synced, refused };
    // What the mesh has elsewhere is not this namespace's.
    let elsewhere = |it: &mut Facts| {
        change(&mut it.meshes, 0, "/status/proxies/missed", json!(2));
        change(&mut it.meshes, 0, "/status/proxies/outdated", json!(2));
        it.proxies = Ok(vec![proxy("a.other", false, 0), proxy("shop.other", true, 1), proxy("web-1.shop", true, 0)]);
    };
    assert_eq!(found_in_shop(elsewhere), Vec::<String>::new());
    let here = |it: &mut Facts| {
        it.outliers = Ok(vec![outlier("old", Some("hub/proxy:1")), outlier("web-1", None)]);
        it.proxies = Ok(vec![proxy("a.other", false, 0), proxy("late.shop", false, 0), proxy("web-1.shop", true, 2)]);
    };
    let wanted = [
        "FM3001 Pod shop/web-1 runs without the sidecar that labels ask for",
        "FM3003 Pod shop/old has a sidecar of hub/proxy:1, and a new one would be of hub/proxy:2",
        "FM4001 1 of 2 proxies have not acknowledged all yet: late.shop",
        "FM4002 proxy web-1.shop refuses 2 resources, and keeps the last good form",
    ];
    assert_eq!(found_in_shop(here), wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_one_namespace_pods_without_their_sidecar_are_found() {
    let cluster = Injected::new();
    let metadata = json!({"name": "istio-sidecar-injector", "namespace": "istio-system"});
    let injector = json!({"metadata": metadata, "spec": {"selector": {}, "template": {}}, "status": {"availableReplicas": 1}});
    cluster.api.insert::<Deployment>(&of(injector));
    for namespace in ["shop", "plain"] {
        cluster.pod(namespace, "web-1", json!({"creationTimestamp": "2026-01-01T00:00:00Z"}), json!({}));
    }
    let told = asked(&cluster.api, "check -n shop").await;
    assert_eq!(told.exit, Exit::Findings, "{told:?}");
    let line = told.stdout.lines().find(|line| line.contains("FM3001")).unwrap_or_else(|| panic!("{told:?}"));
    assert!(line.contains("Pod shop/web-1 runs without") && line.ends_with("ferromesh rollout --missed -n shop"), "{line}");
    let told = asked(&cluster.api, "check -n plain").await;
    assert!(told.exit == Exit::Clean && !told.stdout.contains("FM3001"), "{told:?}");
}

/// A cluster that a mesh can be installed in, and that lets one who only looks do nothing else.
fn bare(facts: &Facts) -> FakeApi {
    let api = FakeApi::new();
    facts.nodes.iter().flatten().for_each(|node| api.insert(node));
    facts.services.iter().flatten().filter(|one| one.name_any() == "kube-dns").for_each(|service| api.insert(service));
    facts.endpoints.iter().flatten().filter(|one| one.name_any() == "kube-dns").for_each(|slice| api.insert(slice));
    api.answer(|call| {
        let review =
            json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {}, "status": {"allowed": false}});
        (call.target.plural == "selfsubjectaccessreviews").then_some((201, review))
    });
    api.answer(|call| {
        let status =
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "no"});
        (call.target.plural == "secrets").then_some((403, status))
    });
    api
}

#[tokio::test(flavor = "multi_thread")]
async fn the_charts_test_passes_before_there_is_a_meshinstall() {
    let chart = include_str!("../../../../charts/ferromesh/templates/test.yaml");
    let arguments = chart.lines().find_map(|line| line.trim().strip_prefix("args: [")?.strip_suffix(']')).unwrap().replace(',', "");
    let api = bare(&healthy(&certificates()));
    let told = asked(&api, &arguments).await;
    assert_eq!(told.exit, Exit::Clean, "{told:?}");
    assert!(told.stdout.contains("you may install: skipped, left out by --skip"), "{}", told.stdout);
    assert_eq!(asked(&api, "check").await.exit, Exit::Findings, "who asks may not install");
    let unknown = asked(&api, "check --skip fm1006,FM9999").await;
    assert!(unknown.exit == Exit::Usage && unknown.stderr.contains("no check has this code"), "{unknown:?}");
}

#[test]
fn a_gateway_without_an_address_is_told_with_its_own_field() {
    let command = |name: &str, component: &str, owner: &str| {
        let mut facts = healthy(&certificates());
        change(&mut facts.meshes, 0, "/spec/gateways", json!({"egress": [{"name": "partners"}], "ingress": [{"name": "edge"}]}));
        let owners = json!([{"apiVersion": "install.ferromesh.dev/v1alpha1", "kind": "MeshInstall", "name": owner, "uid": "u"}]);
        let metadata = json!({"name": name, "namespace": "istio-system", "ownerReferences": owners,
            "labels": {"app.kubernetes.io/component": component}});
        facts.services.as_mut().unwrap().push(of(json!({"metadata": metadata, "spec": {"type": "LoadBalancer", "ports": []}})));
        let row = run(Stage::After, &facts, &[]).into_iter().find(|row| row.code == "FM5030").unwrap();
        let [finding] = <[_; 1]>::try_from(row.findings).unwrap();
        assert_eq!(finding.object, Some(format!("Service istio-system/{name}")));
        finding.command
    };
    let sets = |gateway: &str| Some(format!("ferromesh upgrade --set 'gateways.{gateway}.service.type=NodePort'"));
    assert_eq!(command("edge", "gateway", "mesh"), sets("ingress[edge]"));
    assert_eq!(command("partners", "gateway", "mesh"), sets("egress[partners]"));
    assert_eq!(command("istio-egressgateway", "gateway", "mesh"), sets("egress[istio-egressgateway]"));
    assert_eq!(command("edge", "gateway", "mesh-canary"), None, "ferromesh upgrade changes the default one");
    assert_eq!(command("grafana", "grafana", "mesh"), None);
}

#[test]
fn a_version_is_that_of_who_planned_the_mesh_whatever_the_images_tag() {
    let found_with = |image: &str, planned_by: &str| {
        let mut facts = healthy(&certificates());
        change(&mut facts.meshes, 0, "/status/version", json!("latest"));
        let mut pilot = deployment("istio-system", "istio-pilot-blue");
        pilot["metadata"]["annotations"] = json!({RENDERED_BY: planned_by});
        pilot["spec"]["template"] = json!({"spec": {"containers": [{"name": "discovery", "image": image}]}});
        facts.deployments.as_mut().unwrap().push(of(pilot));
        found(&facts)
    };
    let own = env!("CARGO_PKG_VERSION");
    assert_eq!(found_with("registry:5000/hub/ferromesh:latest", own), BTreeSet::new());
    assert_eq!(found_with("hub/ferromesh:latest", "0.0.1"), ["FM5006"].into());
    assert_eq!(found_with("hub/ferromesh:1", own), ["FM5006"].into(), "another one's pilot");
}

#[test]
fn the_operators_namespace_is_the_one_where_it_is() {
    let found_while_going = |going: &str, operator: Option<&str>| {
        let mut facts = healthy(&certificates());
        facts.namespaces.as_mut().unwrap().push(of(json!({"metadata": {"name": going, "deletionTimestamp": "2026-01-01T00:00:00Z"}})));
        facts.namespaces.as_mut().unwrap().retain(|one| one.name_any() != going || one.metadata.deletion_timestamp.is_some());
        match operator {
            Some(namespace) => change(&mut facts.deployments, 0, "/metadata/namespace", json!(namespace)),
            None => facts.deployments = Ok(Vec::new()),
        }
        run(Stage::Before, &facts, &[]).iter().any(|row| row.code == "FM1010" && !row.findings.is_empty())
    };
    assert!(found_while_going("platform", Some("platform")));
    assert!(!found_while_going("ferromesh-system", Some("platform")));
    assert!(found_while_going("ferromesh-system", None), "where it would come");
}
