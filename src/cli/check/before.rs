//! Checks of a cluster in which the mesh is to be installed.

use k8s_openapi::api::admissionregistration::v1::{RuleWithOperations, ServiceReference};
use kube::ResourceExt;
use std::collections::BTreeSet;

use super::{
    facts::{Facts, going, is_of_operator, known},
    foreign::{others_crds, others_injectors, unserved},
    row::{Area, Check, Found, when},
};
use crate::cli::{
    finding::Severity::{Error, Info, Warning},
    install::OPERATOR_NAMESPACE,
};

/// The oldest Kubernetes that the chart takes, and the newest that the end-to-end tests run on.
const KUBERNETES: [(u32, u32); 2] = [(1, 30), (1, 34)];

/// The checks.
pub(super) const CHECKS: &[Check] = &[
    Check::new("FM1001", Area::Cluster, Error, "Kubernetes is new enough", kubernetes_too_old),
    Check::new("FM1002", Area::Cluster, Info, "Kubernetes is of a version that was tested", kubernetes_untested),
    Check::new("FM1003", Area::Cluster, Error, "stored versions of the CRDs are served", stored_versions),
    Check::new("FM1004", Area::Cluster, Warning, "no other installer keeps the CRDs", foreign_crds),
    Check::new("FM1005", Area::Cluster, Error, "no other mesh injects pods", foreign_injector),
    Check::new("FM1006", Area::Cluster, Error, "you may install", rights),
    Check::new("FM1007", Area::Cluster, Error, "webhooks that pods wait for answer", dead_webhooks),
    Check::new("FM1008", Area::Cluster, Error, "the cluster has DNS", no_dns),
    Check::new("FM1009", Area::Cluster, Error, "DNS answers", dns_unready),
    Check::new("FM1010", Area::Cluster, Error, "the mesh's namespaces are not going", namespace_going),
    Check::new("FM1011", Area::Cluster, Warning, "no other mesh redirects pods' traffic on the nodes", foreign_cni),
    Check::new("FM1012", Area::Cluster, Warning, "load balancers get addresses", load_balancers),
];

fn kubernetes_too_old(facts: &Facts) -> Result<Vec<Found>, String> {
    let (major, minor) = *known(&facts.version)?;
    let (oldest_major, oldest) = KUBERNETES[0];
    Ok(when((major, minor) < KUBERNETES[0], || Found::new(format!("Kubernetes {major}.{minor} is older than {oldest_major}.{oldest}"))))
}

fn kubernetes_untested(facts: &Facts) -> Result<Vec<Found>, String> {
    let (major, minor) = *known(&facts.version)?;
    let (newest_major, newest) = KUBERNETES[1];
    let told = || Found::new(format!("Kubernetes {major}.{minor} is newer than {newest_major}.{newest}, the newest that was tested"));
    Ok(when((major, minor) > KUBERNETES[1], told))
}

fn stored_versions(facts: &Facts) -> Result<Vec<Found>, String> {
    let told = |(crd, versions)| {
        let told = format!("objects are stored in version {versions}, which this mesh does not serve");
        Found::new(told).of("CustomResourceDefinition", crd)
    };
    Ok(unserved(known(&facts.crds)?).map(told).collect())
}

fn foreign_crds(facts: &Facts) -> Result<Vec<Found>, String> {
    let told = |(crd, label)| {
        let told = format!("has the label {label} of another mesh's installer, which may take it back");
        Found::new(told).of("CustomResourceDefinition", crd)
    };
    Ok(others_crds(known(&facts.crds)?).map(told).collect())
}

fn foreign_injector(facts: &Facts) -> Result<Vec<Found>, String> {
    let told = |one| Found::new("injects pods, and is of another mesh").of("MutatingWebhookConfiguration", one);
    Ok(others_injectors(known(&facts.mutating)?).map(told).collect())
}

fn rights(facts: &Facts) -> Result<Vec<Found>, String> {
    let missing: Vec<&str> = known(&facts.rights)?.iter().filter(|(_, may)| !**may).map(|(right, _)| right.as_str()).collect();
    Ok(when(!missing.is_empty(), || Found::new(format!("you may not {}", missing.join(", "))).with("kubectl auth whoami")))
}

fn dead_webhooks(facts: &Facts) -> Result<Vec<Found>, String> {
    let mut dead = BTreeSet::new();
    // The mesh's own are looked at with the control plane.
    for webhook in facts.webhooks()?.iter().filter(|webhook| !webhook.own && !webhook.lenient && is_about_pods(webhook.rules)) {
        let Some(ServiceReference { namespace, name, .. }) = &webhook.client.service else { continue };
        if !facts.answers(namespace, name)? {
            let what = format!("{} {}", webhook.kind, webhook.configuration);
            dead.insert(format!("{what} must answer before a pod is made, and nobody does: Service {namespace}/{name} has no endpoints"));
        }
    }
    Ok(dead.into_iter().map(Found::new).collect())
}

fn is_about_pods(rules: &[RuleWithOperations]) -> bool {
    let holds = |list: &Option<Vec<String>>, value: &str| list.iter().flatten().any(|one| one == value || one == "*");
    rules.iter().any(|rule| holds(&rule.resources, "pods") && holds(&rule.operations, "CREATE"))
}

/// The names under which clusters have their DNS.
const DNS: [&str; 3] = ["kube-dns", "coredns", "dns-default"];

fn no_dns(facts: &Facts) -> Result<Vec<Found>, String> {
    let there = known(&facts.services)?.iter().any(|service| DNS.contains(&&*service.name_any()));
    Ok(when(!there, || Found::new(format!("no Service is named {}: proxies and pods find each other by DNS", DNS.join(" or ")))))
}

fn dns_unready(facts: &Facts) -> Result<Vec<Found>, String> {
    let mut found = Vec::new();
    for service in known(&facts.services)?.iter().filter(|service| DNS.contains(&&*service.name_any())) {
        let namespace = service.namespace().unwrap_or_default();
        if !facts.answers(&namespace, &service.name_any())? {
            let command = format!("kubectl get pods -n {namespace}");
            found.push(Found::new("has no endpoint that is ready").of("Service", service).with(command));
        }
    }
    Ok(found)
}

fn namespace_going(facts: &Facts) -> Result<Vec<Found>, String> {
    // Where none is known, the operator would come to its usual one.
    let operators = facts.operator().ok().flatten().and_then(ResourceExt::namespace);
    let operators = operators.as_deref().unwrap_or(OPERATOR_NAMESPACE);
    let ours = |name: &str| name == facts.mesh_namespace || name == operators;
    let namespaces = known(&facts.namespaces)?.iter().filter(|one| going(*one) && ours(&one.name_any()));
    Ok(namespaces.map(|one| Found::new("is being deleted: nothing can be made in it").of("Namespace", one)).collect())
}

fn foreign_cni(facts: &Facts) -> Result<Vec<Found>, String> {
    let foreign = known(&facts.daemon_sets)?
        .iter()
        .filter(|set| !is_of_operator(*set) && ["istio-cni-node", "ztunnel", "linkerd-cni"].contains(&&*set.name_any()));
    Ok(foreign.map(|set| Found::new("redirects pods' traffic on each node, and is of another mesh").of("DaemonSet", set)).collect())
}

fn load_balancers(facts: &Facts) -> Result<Vec<Found>, String> {
    let all = known(&facts.services)?
        .iter()
        .filter(|service| service.spec.as_ref().and_then(|spec| spec.type_.as_deref()) == Some("LoadBalancer"));
    let (with, without): (Vec<_>, Vec<_>) = all.partition(|service| has_address(service));
    if with.is_empty() && without.is_empty() {
        return Err("there is no Service of type LoadBalancer yet by which it could be told".to_owned());
    }
    let told = |service: &_| {
        let message = "waits for an address from outside: nothing in this cluster gives load balancers any";
        Found::new(message).of("Service", service)
    };
    // One that has one shows that the cluster can.
    Ok(if with.is_empty() { without.into_iter().map(told).collect() } else { Vec::new() })
}

/// Whether a load balancer has an address.
pub(super) fn has_address(service: &k8s_openapi::api::core::v1::Service) -> bool {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    balancer.is_some_and(|balancer| balancer.ingress.iter().flatten().next().is_some())
}
