//! Each check with what makes it find something.

use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::healthy::{Certificates, all, base64, mesh, mesh_pod, of, slice, webhook};
use crate::cli::check::facts::Facts;

/// Changes an object of a list by its fields.
pub(super) fn change<T: DeserializeOwned + serde::Serialize>(list: &mut Result<Vec<T>, String>, at: usize, pointer: &str, value: Value) {
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

pub(super) const DAY: i64 = 86_400;

/// A code and what makes it be found.
pub(super) type Case = (&'static str, Box<dyn Fn(&mut Facts, &Certificates)>);

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
        case("FM5002", |it, _| {
            change(&mut it.meshes, 1, "/metadata/creationTimestamp", json!("2025-01-01T00:00:00Z"));
            let mut second = serde_json::to_value(&it.meshes.as_ref().unwrap()[1]).unwrap();
            second["metadata"] = json!({"name": "second", "creationTimestamp": "2026-01-01T00:00:00Z"});
            it.meshes.as_mut().unwrap().push(of(second));
        }),
        case("FM5003", |it, _| change(&mut it.meshes, 0, "/status/conditions/0/status", json!("False"))),
        case("FM5003", |it, _| change(&mut it.meshes, 1, "/status/conditions/0/status", json!("False"))),
        case("FM5004", |it, _| change(&mut it.meshes, 0, "/status/observedGeneration", json!(1))),
        case("FM5004", |it, _| change(&mut it.meshes, 1, "/status/observedGeneration", json!(1))),
        case("FM5005", |it, _| change(&mut it.deployments, 0, "/status/availableReplicas", json!(0))),
        case("FM5006", |it, _| change(&mut it.meshes, 0, "/status/version", json!("0.0.1"))),
        case("FM5006", |it, _| change(&mut it.meshes, 1, "/status/version", json!("0.0.1"))),
        case("FM5007", |it, _| drop(it.cluster_roles.as_mut().unwrap().remove(0))),
        case("FM5008", |it, _| drop(it.crds.as_mut().unwrap().remove(0))),
        case("FM5009", |it, _| change(&mut it.crds, 5, "/spec/versions/1/served", json!(false))),
        case("FM5010", |it, _| change(&mut it.meshes, 0, "/spec/mode", json!("Plan"))),
        case("FM5010", |it, _| change(&mut it.meshes, 1, "/spec/mode", json!("Plan"))),
        case("FM5011", |it, _| drop(it.validating.as_mut().unwrap().remove(1))),
        case("FM5011", |it, _| change(&mut it.validating, 1, "/webhooks/0/failurePolicy", json!("Ignore"))),
        case("FM5011", |it, _| change(&mut it.validating, 1, "/webhooks/0/rules/0/operations", json!(["CREATE"]))),
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
        case("FM5029", |it, _| drop(it.endpoints.as_mut().unwrap().remove(5))),
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
        case("FM5034", |it, _| change(&mut it.deployments, 3, "/spec/replicas", json!(1))),
    ]
}

/// Where a webhook's configuration says whom to trust.
const BUNDLE: &str = "/webhooks/0/clientConfig/caBundle";

fn of_certificates() -> Vec<Case> {
    vec![
        case("FM2001", |it, certificates| change(&mut it.validating, 0, BUNDLE, base64(&certificates.other))),
        // Of a revision, and of a tag that stands for it.
        case("FM2001", |it, certificates| change(&mut it.validating, 2, BUNDLE, base64(&certificates.other))),
        case("FM2001", |it, certificates| change(&mut it.mutating, 2, BUNDLE, base64(&certificates.other))),
        case("FM2002", |it, _| change(&mut it.validating, 0, BUNDLE, Value::Null)),
        case("FM2002", |it, _| change(&mut it.mutating, 1, BUNDLE, Value::Null)),
        case("FM2002", |it, _| change(&mut it.mutating, 2, BUNDLE, Value::Null)),
        case("FM2003", |it, _| {
            let far: i64 = 4096 * 366 * DAY;
            it.now += far;
            it.certificates = Ok(Vec::new());
            it.mutating = Ok(Vec::new());
            it.validating = Err("can't list validatingwebhookconfigurations".to_owned());
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
        case("FM2007", |it, _| change(&mut it.certificates, 3, "/data", json!({}))),
        case("FM2007", |it, _| drop(it.certificates.as_mut().unwrap().remove(4))),
    ]
}

/// When a certificate ends.
pub(super) fn end_of(pem: &[u8]) -> i64 {
    let der = CertificateDer::from_pem_slice(pem).unwrap();
    x509_parser::parse_x509_certificate(&der).unwrap().1.validity().not_after.timestamp()
}

fn of_workloads() -> Vec<Case> {
    vec![
        case("FM3001", |it, _| change(&mut it.meshes, 0, "/status/proxies/missed", json!(2))),
        case("FM3001", |it, _| change(&mut it.meshes, 1, "/status/proxies/missed", json!(2))),
        case("FM3003", |it, _| change(&mut it.meshes, 0, "/status/proxies/outdated", json!(1))),
        case("FM3003", |it, _| change(&mut it.meshes, 1, "/status/proxies/outdated", json!(1))),
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

pub(super) fn cases() -> Vec<Case> {
    [of_clusters(), of_installations(), of_control_planes(), of_certificates(), of_workloads()].into_iter().flatten().collect()
}
