//! AdmissionReviews as the API server sends them: of one of bookinfo's pods and of larger ones, and of a VirtualService.

use serde_json::{Value, json};

fn review(kind: &Value, resource: &Value, object: &Value) -> Value {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "0df28fbd-5f5f-11e8-bc74-36e6bb280816", "kind": kind, "resource": resource, "operation": "CREATE",
        "namespace": "default", "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller"},
        "object": object, "oldObject": null, "dryRun": false,
    }})
}

/// bookinfo's reviews, as a ReplicaSet makes it.
pub(crate) fn pod_review() -> Value {
    let labels = json!({"app": "reviews", "version": "v1", "pod-template-hash": "5d8f"});
    let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "reviews-v1-5d8f", "uid": "1", "controller": true}]);
    let probe = json!({"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 2});
    let token = json!([{"mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "name": "kube-api-access-x", "readOnly": true}]);
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "reviews-v1-5d8f-", "labels": labels, "ownerReferences": owner},
        "spec": {
            "serviceAccountName": "bookinfo-reviews",
            "containers": [{
                "name": "reviews", "image": "ferromesh/bookinfo:bench", "args": ["reviews", "--version", "v1"],
                "ports": [{"containerPort": 9080, "name": "http", "protocol": "TCP"}],
                "readinessProbe": probe, "livenessProbe": probe, "volumeMounts": token,
                "resources": {"requests": {"cpu": "5m", "memory": "8Mi"}, "limits": {"memory": "64Mi"}},
            }],
            "volumes": [{"name": "kube-api-access-x", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}],
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}],
        },
    });
    let kind = json!({"group": "", "version": "v1", "kind": "Pod"});
    review(&kind, &json!({"group": "", "version": "v1", "resource": "pods"}), &pod)
}

/// The same pod with ten containers, each with its port and probes.
pub(crate) fn ten_containers() -> Value {
    let mut review = pod_review();
    let containers = &mut review["request"]["object"]["spec"]["containers"];
    let one = containers[0].clone();
    let nth = |n: u32| {
        let mut container = one.clone();
        container["name"] = format!("reviews-{n}").into();
        container["ports"] = json!([{"containerPort": 9080 + n, "name": "http", "protocol": "TCP"}]);
        container
    };
    *containers = (0..10).map(nth).collect();
    review
}

/// The same pod, whose container has as many variables: what an injection does not touch costs, too.
pub(crate) fn many_variables(count: u32) -> Value {
    let mut review = pod_review();
    let variable = |n: u32| json!({"name": format!("VARIABLE_{n}"), "value": format!("value of variable {n}")});
    review["request"]["object"]["spec"]["containers"][0]["env"] = (0..count).map(variable).collect();
    review
}

/// A route with matches, weights, a rewrite, retries and a time-out.
pub(crate) fn virtual_service_review() -> Value {
    let to = |subset: &str, weight: u32| json!({"destination": {"host": "reviews", "subset": subset}, "weight": weight});
    let object = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "reviews", "namespace": "default"},
        "spec": {"hosts": ["reviews"], "http": [
            {"match": [{"headers": {"end-user": {"exact": "jason"}}}], "route": [to("v2", 100)]},
            {"match": [{"uri": {"prefix": "/api"}}], "rewrite": {"uri": "/"}, "timeout": "3s",
             "retries": {"attempts": 3, "perTryTimeout": "1s", "retryOn": "5xx"}, "route": [to("v1", 80), to("v3", 20)]},
            {"route": [to("v1", 100)]},
        ]},
    });
    let group = "networking.istio.io";
    let kind = json!({"group": group, "version": "v1", "kind": "VirtualService"});
    review(&kind, &json!({"group": group, "version": "v1", "resource": "virtualservices"}), &object)
}
