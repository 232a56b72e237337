//! Every check, on a cluster that is well and on one in which just that is wrong which it is for.

use ferromesh_crds::catalog;
use k8s_openapi::api::core::v1::Namespace;
use rcgen::KeyPair;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tempfile::TempDir;

use super::{Stage, checks, facts::Facts, run};
use crate::cli::{
    Exit,
    finding::Severity,
    install::chart_roles,
    proxy::Standing,
    tests::{Run, run as command_line},
};
use crate::testing::{TestCa, fake_api::FakeApi};
use time::OffsetDateTime;

fn of<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"))
}

/// A certificate and its authority, in PEM, as base64 for Secrets and webhooks.
struct Certificates {
    root: String,
    leaf: String,
    other: String,
}

fn certificates() -> Certificates {
    let (authority, other) = (TestCa::new("webhooks"), TestCa::new("others"));
    let leaf = authority.sign(&KeyPair::generate().unwrap(), &[], &["istio-galley.istio-system.svc"]);
    Certificates { root: authority.pem(), leaf: leaf.pem(), other: other.pem() }
}

fn base64(text: &str) -> Value {
    serde_json::to_value(k8s_openapi::ByteString(text.as_bytes().to_vec())).unwrap()
}

fn webhook(service: &str, namespace: &str, bundle: &str) -> Value {
    json!({"name": "a.istio.io", "failurePolicy": "Fail", "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "clientConfig": {"service": {"name": service, "namespace": namespace}, "caBundle": base64(bundle)},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}]})
}

fn slice(namespace: &str, service: &str) -> Value {
    json!({"metadata": {"name": service, "namespace": namespace, "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": true}}]})
}

fn deployment(namespace: &str, name: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/name": name}},
        "spec": {"replicas": 2, "selector": {}, "template": {}}, "status": {"availableReplicas": 2}})
}

fn node(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {}, "status": {
        "conditions": [{"type": "Ready", "status": "True"}], "allocatable": {"cpu": "2", "memory": "4Gi"},
        "nodeInfo": {"architecture": "amd64", "operatingSystem": "linux", "kernelVersion": "6.1.0-13-amd64", "kubeletVersion": "v1.34.4",
            "bootID": "", "containerRuntimeVersion": "", "kubeProxyVersion": "", "machineID": "", "osImage": "", "systemUUID": ""}}})
}

/// A pod of a workload with its sidecar.
fn meshed_pod() -> Value {
    json!({"metadata": {"name": "web-1", "namespace": "shop", "labels": {"app": "web"}, "annotations": {"sidecar.istio.io/status": "{}"}},
        "spec": {"containers": [{"name": "app", "ports": [{"containerPort": 8080}]}], "initContainers": [
            {"name": "istio-init", "securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}, {"name": "istio-proxy"}]},
        "status": {"phase": "Running", "initContainerStatuses": [status("istio-proxy")], "containerStatuses": [status("app")]}})
}

fn status(container: &str) -> Value {
    json!({"name": container, "ready": true, "image": "hub/x:1", "imageID": "", "restartCount": 0})
}

fn mesh_pod() -> Value {
    json!({"metadata": {"name": "istio-pilot-1", "namespace": "istio-system", "labels": {"app.kubernetes.io/name": "istio-pilot"}},
        "spec": {"containers": [{"name": "pilot", "image": "hub/ferromesh:1"}]},
        "status": {"phase": "Running", "containerStatuses": [status("pilot")]}})
}

fn crd(kind: &catalog::Kind) -> Value {
    let mut crd = serde_json::to_value(kind.crd()).unwrap();
    crd["status"] = json!({"acceptedNames": {"kind": kind.name, "plural": kind.plural}, "storedVersions": [kind.versions[0]],
        "conditions": [{"type": "Established", "status": "True", "reason": "InitialNamesAccepted", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
    crd
}

fn mesh(version: &str) -> Value {
    json!({"apiVersion": "install.ferromesh.dev/v1alpha1", "kind": "MeshInstall", "metadata": {"name": "mesh", "generation": 2},
        "spec": {"profile": "default"}, "status": {"observedGeneration": 2, "state": "HEALTHY", "version": version,
            "proxies": {"total": 1, "missed": 0, "outdated": 0},
            "conditions": [{"type": "Ready", "status": "True", "reason": "Healthy", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}})
}

fn all<T: DeserializeOwned>(values: impl IntoIterator<Item = Value>) -> Result<Vec<T>, String> {
    Ok(values.into_iter().map(of).collect())
}

/// A cluster with a mesh in which nothing is wrong.
fn healthy(certificates: &Certificates) -> Facts {
    let Certificates { root, leaf, .. } = certificates;
    let configuration = |name: &str, service: &str, namespace: &str| json!({"metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": "ferromesh-operator"}}, "webhooks": [webhook(service, namespace, root)]});
    let namespaces = ["shop", "istio-system", "kube-system", "ferromesh-system"];
    let labels = |name: &str| if name == "shop" { json!({"istio-injection": "enabled"}) } else { json!({}) };
    let secret =
        |namespace: &str, name: &str| json!({"metadata": {"name": name, "namespace": namespace}, "data": {"tls.crt": base64(leaf)}});
    let mut operator = deployment("ferromesh-system", "ferromesh-operator");
    operator["metadata"]["labels"]["app.kubernetes.io/component"] = json!("operator");
    let lease = json!({"metadata": {"name": "node-1", "namespace": "kube-node-lease",
        "managedFields": [{"time": "2026-01-01T00:00:03Z", "manager": "kubelet", "operation": "Update"}]},
        "spec": {"renewTime": "2026-01-01T00:00:02.000000Z"}});
    Facts {
        now: OffsetDateTime::now_utc().unix_timestamp(),
        only: None,
        mesh_namespace: "istio-system".to_owned(),
        version: Ok((1, 34)),
        rights: Ok([("create namespaces".to_owned(), true)].into()),
        crds: all(catalog::kinds().iter().map(crd)),
        cluster_roles: all(chart_roles().into_iter().map(|name| json!({"metadata": {"name": name}}))),
        nodes: all([node("node-1"), node("node-2")]),
        leases: all([lease]),
        namespaces: all(namespaces.map(|name| json!({"metadata": {"name": name, "labels": labels(name)}}))),
        pods: all([meshed_pod(), mesh_pod()]),
        services: all([
            json!({"metadata": {"name": "kube-dns", "namespace": "kube-system"}, "spec": {"selector": {"k8s-app": "kube-dns"}}}),
            json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}}),
            json!({"metadata": {"name": "istio-ingressgateway", "namespace": "istio-system"}, "spec": {"type": "LoadBalancer", "ports": []},
                "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}),
        ]),
        endpoints: all([
            slice("kube-system", "kube-dns"),
            slice("istio-system", "istio-galley"),
            slice("istio-system", "istio-sidecar-injector"),
            slice("ferromesh-system", "ferromesh-operator"),
        ]),
        deployments: all([operator, deployment("istio-system", "istio-galley"), deployment("istio-system", "istio-sidecar-injector")]),
        daemon_sets: Ok(Vec::new()),
        budgets: all([json!({"metadata": {"name": "istio-pilot", "namespace": "istio-system"},
            "status": {"expectedPods": 2, "disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1}})]),
        autoscalers: all([json!({"metadata": {"name": "istio-pilot", "namespace": "istio-system"},
            "status": {"desiredReplicas": 2, "conditions": [{"type": "ScalingActive", "status": "True"}]}})]),
        mutating: all([configuration("istio-sidecar-injector", "istio-sidecar-injector", "istio-system")]),
        validating: all([
            configuration("istio-galley", "istio-galley", "istio-system"),
            configuration("ferromesh-operator", "ferromesh-operator", "ferromesh-system"),
        ]),
        roots: all(
            namespaces.map(|name| json!({"metadata": {"name": "istio-ca-root-cert", "namespace": name}, "data": {"root-cert.pem": root}}))
        ),
        certificates: all([
            secret("ferromesh-system", "ferromesh-operator-webhook-certs"),
            secret("istio-system", "istio-galley-webhook-certs"),
            secret("istio-system", "istio-sidecar-injector-webhook-certs"),
        ]),
        meshes: all([mesh(env!("CARGO_PKG_VERSION"))]),
        proxies: Ok(vec![Standing { name: "web-1.shop".to_owned(), version: "1".to_owned(), synced: true, refused: 0 }]),
    }
}

/// The codes of what is found.
fn found(facts: &Facts) -> BTreeSet<&'static str> {
    checks().filter(|check| (check.look)(facts).is_ok_and(|found| !found.is_empty())).map(|check| check.code).collect()
}

/// Changes an object of a list by its fields.
fn change<T: DeserializeOwned + serde::Serialize>(list: &mut Result<Vec<T>, String>, at: usize, pointer: &str, value: Value) {
    let list = list.as_mut().unwrap();
    let mut object = serde_json::to_value(&list[at]).unwrap();
    // Missing steps are made on the way.
    let mut place = &mut object;
    for step in pointer.split('/').skip(1).map(|step| step.replace("~1", "/")) {
        place = match step.parse::<usize>() {
            Ok(index) if place.is_array() => &mut place[index],
            _ => &mut place[step.as_str()],
        };
    }
    *place = value;
    list[at] = of(object);
}

fn waiting(reason: &str) -> Value {
    json!({"waiting": {"reason": reason, "message": "m"}})
}

fn killed() -> Value {
    json!({"terminated": {"reason": "OOMKilled", "exitCode": 137}})
}

const DAY: i64 = 86_400;

/// A code and what makes it be found.
type Case = (&'static str, Box<dyn Fn(&mut Facts, &Certificates)>);

fn case(code: &'static str, breaks: impl Fn(&mut Facts, &Certificates) + 'static) -> Case {
    (code, Box::new(breaks))
}

fn of_clusters() -> Vec<Case> {
    vec![
        case("FM1001", |it, _| it.version = Ok((1, 29))),
        case("FM1002", |it, _| it.version = Ok((1, 35))),
        case("FM1003", |it, _| change(&mut it.crds, 6, "/status/storedVersions", json!(["v1", "v2alpha1"]))),
        case("FM1004", |it, _| change(&mut it.crds, 6, "/metadata/labels", json!({"operator.istio.io/component": "Base"}))),
        case("FM1005", |it, _| {
            let webhook = webhook("istiod", "istio-system", "");
            it.mutating.as_mut().unwrap().push(of(json!({"metadata": {"name": "istio-revision-tag-x"}, "webhooks": [webhook]})));
            it.endpoints.as_mut().unwrap().push(of(slice("istio-system", "istiod")));
        }),
        case("FM1006", |it, _| it.rights = Ok([("create deployments".to_owned(), false)].into())),
        case("FM1007", |it, _| {
            let mut webhook = webhook("policy", "gone", "");
            webhook["name"] = json!("pods.policy.example.com");
            it.validating.as_mut().unwrap().push(of(json!({"metadata": {"name": "policy"}, "webhooks": [webhook]})));
        }),
        case("FM1008", |it, _| drop(it.services.as_mut().unwrap().remove(0))),
        case("FM1009", |it, _| change(&mut it.endpoints, 0, "/endpoints/0/conditions/ready", json!(false))),
        case("FM1010", |it, _| change(&mut it.namespaces, 3, "/metadata/deletionTimestamp", json!("2026-01-01T00:00:00Z"))),
        case("FM1011", |it, _| it.daemon_sets = all([json!({"metadata": {"name": "linkerd-cni", "namespace": "linkerd-cni"}})])),
        case("FM1012", |it, _| {
            change(&mut it.services, 2, "/metadata/namespace", json!("edge"));
            change(&mut it.services, 2, "/status", json!({}));
        }),
        case("FM1021", |it, _| [0, 1].iter().for_each(|at| change(&mut it.nodes, *at, "/spec/unschedulable", json!(true)))),
        case("FM1022", |it, _| [0, 1].iter().for_each(|at| change(&mut it.nodes, *at, "/status/nodeInfo/architecture", json!("arm64")))),
        case("FM1023", |it, _| change(&mut it.nodes, 1, "/status/nodeInfo/architecture", json!("arm64"))),
        case("FM1024", |it, _| change(&mut it.nodes, 1, "/status/nodeInfo/operatingSystem", json!("windows"))),
        case("FM1025", |it, _| change(&mut it.nodes, 1, "/status/nodeInfo/kernelVersion", json!("4.18.0-513.el8"))),
        case("FM1026", |it, _| change(&mut it.nodes, 1, "/status/nodeInfo/kubeletVersion", json!("v1.32.9"))),
        case("FM1027", |it, _| {
            let requests = json!({"requests": {"cpu": "3900m"}});
            change(&mut it.pods, 0, "/spec/containers/0/resources", requests);
        }),
        case("FM1028", |it, _| {
            let conditions = json!([{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "True"}]);
            change(&mut it.nodes, 0, "/status/conditions", conditions);
        }),
        case("FM1029", |it, _| change(&mut it.leases, 0, "/spec/renewTime", json!("2026-01-01T00:00:20.000000Z"))),
    ]
}

fn of_installations() -> Vec<Case> {
    vec![
        case("FM5001", |it, _| it.meshes = Ok(Vec::new())),
        case("FM5002", |it, _| {
            let mut second = mesh(env!("CARGO_PKG_VERSION"));
            second["metadata"] = json!({"name": "second", "creationTimestamp": "2026-01-01T00:00:00Z"});
            change(&mut it.meshes, 0, "/metadata/creationTimestamp", json!("2025-01-01T00:00:00Z"));
            it.meshes.as_mut().unwrap().push(of(second));
        }),
        case("FM5003", |it, _| change(&mut it.meshes, 0, "/status/conditions/0/status", json!("False"))),
        case("FM5004", |it, _| change(&mut it.meshes, 0, "/status/observedGeneration", json!(1))),
        case("FM5005", |it, _| change(&mut it.deployments, 0, "/status/availableReplicas", json!(0))),
        case("FM5006", |it, _| change(&mut it.meshes, 0, "/status/version", json!("0.0.1"))),
        case("FM5007", |it, _| drop(it.cluster_roles.as_mut().unwrap().remove(0))),
        case("FM5008", |it, _| drop(it.crds.as_mut().unwrap().remove(0))),
        case("FM5009", |it, _| change(&mut it.crds, 5, "/spec/versions/1/served", json!(false))),
        case("FM5010", |it, _| change(&mut it.meshes, 0, "/spec/mode", json!("Plan"))),
    ]
}

fn of_control_planes() -> Vec<Case> {
    vec![
        case("FM5021", |it, _| change(&mut it.deployments, 1, "/status/availableReplicas", json!(1))),
        case("FM5022", |it, _| {
            let status = json!({"desiredNumberScheduled": 2, "numberAvailable": 1, "currentNumberScheduled": 2, "numberMisscheduled": 0, "numberReady": 1});
            let labels = json!({"app.kubernetes.io/managed-by": "ferromesh-operator"});
            it.daemon_sets =
                all([json!({"metadata": {"name": "istio-cni-node", "namespace": "istio-cni", "labels": labels}, "status": status})]);
        }),
        case("FM5023", |it, _| change(&mut it.pods, 1, "/status/containerStatuses/0/state", waiting("ImagePullBackOff"))),
        case("FM5024", |it, _| change(&mut it.pods, 1, "/status/containerStatuses/0/state", waiting("CrashLoopBackOff"))),
        case("FM5025", |it, _| change(&mut it.pods, 1, "/status/containerStatuses/0/lastState", killed())),
        case("FM5026", |it, _| change(&mut it.pods, 1, "/status/containerStatuses/0/restartCount", json!(9))),
        case("FM5027", |it, _| {
            let conditions = json!([{"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}]);
            change(&mut it.pods, 1, "/status/conditions", conditions);
        }),
        case("FM5028", |it, _| {
            let mut second = mesh_pod();
            second["spec"]["containers"][0]["image"] = json!("hub/ferromesh:2");
            it.pods.as_mut().unwrap().push(of(second));
        }),
        case("FM5029", |it, _| drop(it.endpoints.as_mut().unwrap().remove(3))),
        case("FM5030", |it, _| {
            change(&mut it.services, 2, "/status", json!({}));
            let mut other = serde_json::to_value(&it.services.as_ref().unwrap()[2]).unwrap();
            (other["metadata"]["namespace"], other["status"]) =
                (json!("edge"), json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.2"}]}}));
            it.services.as_mut().unwrap().push(of(other));
        }),
        case("FM5031", |it, _| change(&mut it.budgets, 0, "/status/disruptionsAllowed", json!(0))),
        case("FM5032", |it, _| change(&mut it.autoscalers, 0, "/status/conditions/0/status", json!("False"))),
        case("FM5033", |it, _| {
            let condition = json!([{"type": "ScalingLimited", "status": "True", "reason": "TooManyReplicas"}]);
            change(&mut it.autoscalers, 0, "/status/conditions", condition);
        }),
        case("FM5034", |it, _| change(&mut it.deployments, 2, "/spec/replicas", json!(1))),
    ]
}

fn of_certificates() -> Vec<Case> {
    vec![
        case("FM2001", |it, certificates| {
            change(&mut it.validating, 0, "/webhooks/0/clientConfig/caBundle", base64(&certificates.other));
        }),
        case("FM2002", |it, _| change(&mut it.validating, 0, "/webhooks/0/clientConfig/caBundle", Value::Null)),
        case("FM2003", |it, _| {
            let far: i64 = 4096 * 366 * DAY;
            it.now += far;
            it.certificates = Ok(Vec::new());
            it.mutating = Ok(Vec::new());
            it.validating = Ok(Vec::new());
        }),
        case("FM2004", |it, _| {
            let secret = &it.certificates.as_ref().unwrap()[0];
            it.now = end_of(&secret.data.as_ref().unwrap()["tls.crt"].0) - DAY;
            // It would end, too.
            it.roots = Err("can't list configmaps".to_owned());
        }),
        case("FM2005", |it, _| drop(it.roots.as_mut().unwrap().remove(0))),
        case("FM2006", |it, certificates| change(&mut it.roots, 0, "/data/root-cert.pem", json!(certificates.other))),
        case("FM2007", |it, _| drop(it.certificates.as_mut().unwrap().remove(1))),
    ]
}

/// When a certificate ends.
fn end_of(pem: &[u8]) -> i64 {
    let der = CertificateDer::from_pem_slice(pem).unwrap();
    x509_parser::parse_x509_certificate(&der).unwrap().1.validity().not_after.timestamp()
}

fn of_workloads() -> Vec<Case> {
    vec![
        case("FM3001", |it, _| change(&mut it.meshes, 0, "/status/proxies/missed", json!(2))),
        case("FM3003", |it, _| change(&mut it.meshes, 0, "/status/proxies/outdated", json!(1))),
        case("FM4001", |it, _| it.proxies.as_mut().unwrap()[0].synced = false),
        case("FM4002", |it, _| it.proxies.as_mut().unwrap()[0].refused = 1),
        case("FM3004", |it, _| change(&mut it.pods, 0, "/spec/hostNetwork", json!(true))),
        case("FM3007", |it, _| change(&mut it.namespaces, 0, "/metadata/labels/pod-security.kubernetes.io~1enforce", json!("baseline"))),
        case("FM3008", |it, _| change(&mut it.pods, 0, "/status/initContainerStatuses/0/ready", json!(false))),
        case("FM3009", |it, _| change(&mut it.pods, 0, "/status/initContainerStatuses/0/state", waiting("ErrImagePull"))),
        case("FM3010", |it, _| change(&mut it.pods, 0, "/status/initContainerStatuses/0/lastState", killed())),
        case("FM3011", |it, _| change(&mut it.pods, 0, "/spec/initContainers/0/securityContext", json!({}))),
        case("FM3012", |it, _| change(&mut it.services, 1, "/spec/ports/0/targetPort", json!(15001))),
        case("FM3013", |it, _| change(&mut it.pods, 0, "/spec/containers/0/ports/0/containerPort", json!(15020))),
        case("FM3014", |it, _| change(&mut it.services, 1, "/spec/selector", json!({"app": "wbe"}))),
        case("FM3015", |it, _| {
            change(&mut it.pods, 0, "/metadata/labels", json!({"x": "y"}));
            change(&mut it.services, 1, "/spec/selector", json!({"x": "y"}));
        }),
        case("FM3016", |it, _| {
            let owner = json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "u"}]);
            change(&mut it.pods, 0, "/metadata/ownerReferences", owner);
            change(&mut it.pods, 0, "/spec/containers", json!([{"name": "app"}, {"name": "istio-proxy"}]));
            let init = json!([{"name": "istio-init", "securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}]);
            change(&mut it.pods, 0, "/spec/initContainers", init);
        }),
        case("FM3017", |it, _| change(&mut it.pods, 0, "/metadata/labels/sidecar.istio.io~1inject", json!("false"))),
    ]
}

fn cases() -> Vec<Case> {
    [of_clusters(), of_installations(), of_control_planes(), of_certificates(), of_workloads()].into_iter().flatten().collect()
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
    let rows = run(Stage::Before, &facts);
    let skipped: Vec<&str> = rows.iter().filter(|row| row.skipped.is_some()).map(|row| row.code).collect();
    assert_eq!(skipped, ["FM1021", "FM1022", "FM1023", "FM1024", "FM1025", "FM1026", "FM1027", "FM1028"]);
}

#[test]
fn a_root_that_ends_soon_is_a_warning_and_one_that_ends_at_once_an_error() {
    let certificates = certificates();
    let level = |days: i64| {
        let mut facts = healthy(&certificates);
        facts.now = end_of(certificates.root.as_bytes()) - days * DAY;
        let rows = run(Stage::After, &facts);
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
    let style = crate::cli::tests::PIPE.style(crate::cli::terminal::Colour::Never);
    insta::assert_snapshot!(super::human(&run(Stage::Before, &facts), false, style));
}

async fn asked(api: &FakeApi, rest: &str) -> Run {
    let folder = TempDir::new().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, api.kubeconfig().await.to_string()).unwrap();
    let command = format!("{rest} --kubeconfig {}", kubeconfig.display());
    tokio::task::spawn_blocking(move || command_line(&command, "")).await.unwrap()
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

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_is_asked_about_alone() {
    let api = FakeApi::new();
    let namespace = json!({"metadata": {"name": "shop", "labels": {"istio-injection": "enabled"}}});
    api.insert::<Namespace>(&of(namespace));
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
