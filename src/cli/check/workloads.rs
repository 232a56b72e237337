//! Checks of the pods, Services and namespaces of workloads.

use k8s_openapi::{
    api::core::v1::{Container, Namespace, Pod, Service},
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::ResourceExt;

use super::{
    control_plane::{PULLING, containers, ran_out_of_memory, waits_for},
    facts::{Facts, known, sidecar},
    row::{Area, Check, Found},
};
use crate::cli::finding::Severity::{Error, Info, Warning};

/// The checks.
pub(super) const CHECKS: &[Check] = &[
    Check::new("FM3004", Area::Workloads, Warning, "no pod of a meshed namespace shares its node's network", host_network),
    Check::new("FM3007", Area::Workloads, Error, "Pod Security lets sidecars be set up", pod_security),
    Check::new("FM3008", Area::Workloads, Error, "sidecars are ready", sidecar_unready),
    Check::new("FM3009", Area::Workloads, Error, "sidecars' images are pulled", sidecar_unpulled),
    Check::new("FM3010", Area::Workloads, Warning, "sidecars' memory suffices", sidecar_out_of_memory),
    Check::new("FM3011", Area::Workloads, Error, "init containers may redirect traffic", no_right_to_redirect),
    Check::new("FM3012", Area::Workloads, Error, "Services use none of the proxy's ports", services_on_own_ports),
    Check::new("FM3013", Area::Workloads, Warning, "containers use none of the proxy's ports", containers_on_own_ports),
    Check::new("FM3014", Area::Workloads, Info, "Services select pods", selecting_nothing),
    Check::new("FM3015", Area::Workloads, Info, "pods say what they are", unlabelled),
    Check::new("FM3016", Area::Workloads, Warning, "Jobs end with their sidecars", jobs_that_never_end),
    Check::new("FM3017", Area::Workloads, Info, "no pod of a meshed namespace stays out", opted_out),
];

/// Ports of a pod that are its proxy's.
const PORTS: [i32; 8] = [15000, 15001, 15004, 15006, 15020, 15021, 15053, 15090];

fn is_meshed(namespace: &Namespace) -> bool {
    let label = |name: &str| namespace.labels().get(name).map(String::as_str);
    label("istio-injection") == Some("enabled")
        || (label("istio-injection").is_none() && label("istio.io/rev").is_some_and(|rev| !rev.is_empty()))
}

/// Pods of namespaces that are labelled for injection.
fn of_meshed_namespaces(facts: &Facts) -> Result<impl Iterator<Item = &Pod>, String> {
    let meshed: Vec<String> = known(&facts.namespaces)?.iter().filter(|one| is_meshed(one)).map(ResourceExt::name_any).collect();
    Ok(facts.workload_pods()?.filter(move |pod| pod.metadata.namespace.as_ref().is_some_and(|namespace| meshed.contains(namespace))))
}

fn host_network(facts: &Facts) -> Result<Vec<Found>, String> {
    let sharing = of_meshed_namespaces(facts)?.filter(|pod| pod.spec.as_ref().and_then(|spec| spec.host_network).unwrap_or(false));
    Ok(sharing.map(|pod| Found::new("shares its node's network, and so gets no sidecar").of("Pod", pod)).collect())
}

fn pod_security(facts: &Facts) -> Result<Vec<Found>, String> {
    if facts.nodes_redirect() {
        return Ok(Vec::new());
    }
    let level = |one: &Namespace| one.labels().get("pod-security.kubernetes.io/enforce").cloned().filter(|level| level != "privileged");
    let meshed = known(&facts.namespaces)?.iter().filter(|one| is_meshed(one) && facts.is_asked(one.metadata.name.as_deref()));
    let told = meshed.filter_map(|one| {
        let message =
            format!("enforces Pod Security level {}, which forbids what istio-init needs (NET_ADMIN): pods are refused", level(one)?);
        Some(Found::new(message).of("Namespace", one).with("ferromesh upgrade --set components.cni.enabled=true"))
    });
    Ok(told.collect())
}

fn proxy_status(pod: &Pod) -> impl Iterator<Item = &k8s_openapi::api::core::v1::ContainerStatus> {
    containers(pod).filter(|container| container.name == "istio-proxy" || container.name == "istio-init")
}

fn sidecar_unready(facts: &Facts) -> Result<Vec<Found>, String> {
    let told = facts.meshed_pods()?.filter_map(|pod| {
        let runs = pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
        let unready = proxy_status(pod).any(|container| container.name == "istio-proxy" && !container.ready);
        let command = format!("kubectl logs -n {} {} -c istio-proxy", pod.namespace().unwrap_or_default(), pod.name_any());
        (runs && unready).then(|| Found::new("its proxy is not ready: it gets no traffic").of("Pod", pod).with(command))
    });
    Ok(told.collect())
}

fn sidecar_unpulled(facts: &Facts) -> Result<Vec<Found>, String> {
    let told = facts.meshed_pods()?.flat_map(|pod| {
        proxy_status(pod).filter_map(move |container| {
            let (reason, message) = waits_for(container).filter(|(reason, _)| PULLING.contains(reason))?;
            Some(Found::new(format!("container {}: {reason}, {}: {message}", container.name, container.image)).of("Pod", pod))
        })
    });
    Ok(told.collect())
}

fn sidecar_out_of_memory(facts: &Facts) -> Result<Vec<Found>, String> {
    let ended = facts.meshed_pods()?.filter(|pod| proxy_status(pod).any(ran_out_of_memory));
    Ok(ended.map(|pod| Found::new("its proxy was ended for want of memory").of("Pod", pod)).collect())
}

fn no_right_to_redirect(facts: &Facts) -> Result<Vec<Found>, String> {
    let told = facts.meshed_pods()?.filter_map(|pod| {
        let init = pod.spec.as_ref()?.init_containers.as_ref()?.iter().find(|container| container.name == "istio-init")?;
        let capabilities = init.security_context.as_ref().and_then(|context| context.capabilities.as_ref());
        let added = capabilities.is_some_and(|all| all.add.iter().flatten().any(|one| one == "NET_ADMIN" || one == "ALL"));
        (!added).then(|| Found::new("its container istio-init lacks the capability NET_ADMIN, which something took away").of("Pod", pod))
    });
    Ok(told.collect())
}

fn services_on_own_ports(facts: &Facts) -> Result<Vec<Found>, String> {
    let of_workloads = known(&facts.services)?.iter().filter(|service| facts.is_asked(service.metadata.namespace.as_deref()));
    let told = of_workloads.flat_map(|service| {
        let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
        let target = |port: &k8s_openapi::api::core::v1::ServicePort| match &port.target_port {
            Some(IntOrString::Int(number)) => *number,
            Some(IntOrString::String(_)) => 0,
            None => port.port,
        };
        let taken = ports.map(target).filter(|port| PORTS.contains(port));
        taken.map(move |port| Found::new(format!("leads to port {port} of its pods, which is their proxy's")).of("Service", service))
    });
    Ok(told.collect())
}

fn containers_on_own_ports(facts: &Facts) -> Result<Vec<Found>, String> {
    let told = facts.meshed_pods()?.flat_map(|pod| {
        let apps = pod.spec.iter().flat_map(|spec| &spec.containers).filter(|container| container.name != "istio-proxy");
        apps.flat_map(own_ports)
            .map(move |(container, port)| Found::new(format!("container {container} has port {port}, which is the proxy's")).of("Pod", pod))
    });
    Ok(told.collect())
}

fn own_ports(container: &Container) -> impl Iterator<Item = (&str, i32)> {
    let ports = container.ports.iter().flatten().map(|port| port.container_port);
    ports.filter(move |port| PORTS.contains(port)).map(move |port| (container.name.as_str(), port))
}

fn selecting_nothing(facts: &Facts) -> Result<Vec<Found>, String> {
    let pods = known(&facts.pods)?;
    let selects = |service: &Service, pod: &Pod| {
        let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        pod.namespace() == service.namespace()
            && selector.is_some_and(|selector| selector.iter().all(|(key, value)| pod.labels().get(key) == Some(value)))
    };
    let chooses = |service: &&Service| service.spec.as_ref().and_then(|spec| spec.selector.as_ref()).is_some_and(|all| !all.is_empty());
    let of_workloads = known(&facts.services)?.iter().filter(|service| facts.is_asked(service.metadata.namespace.as_deref()));
    let empty = of_workloads.filter(chooses).filter(|service| !pods.iter().any(|pod| selects(service, pod)));
    Ok(empty.map(|service| Found::new("selects no pod").of("Service", service)).collect())
}

fn unlabelled(facts: &Facts) -> Result<Vec<Found>, String> {
    const NAMES: [&str; 2] = ["app", "app.kubernetes.io/name"];
    let without = facts.meshed_pods()?.filter(|pod| !NAMES.iter().any(|name| pod.labels().contains_key(*name)));
    let message = "has neither label app nor app.kubernetes.io/name: metrics call it by its workload's name";
    Ok(without.map(|pod| Found::new(message).of("Pod", pod)).collect())
}

fn jobs_that_never_end(facts: &Facts) -> Result<Vec<Found>, String> {
    let of_job = |pod: &&Pod| pod.owner_references().iter().any(|owner| owner.kind == "Job");
    let waiting = facts.meshed_pods()?.filter(of_job).filter(|pod| sidecar(pod).is_some_and(|(_, native)| !native));
    let message = "is a Job's, and its proxy an ordinary container: the Job ends only once the proxy is told to";
    Ok(waiting.map(|pod| Found::new(message).of("Pod", pod)).collect())
}

fn opted_out(facts: &Facts) -> Result<Vec<Found>, String> {
    const INJECT: &str = "sidecar.istio.io/inject";
    let says_no = |pod: &&Pod| [pod.labels(), pod.annotations()].iter().any(|all| all.get(INJECT).is_some_and(|value| value == "false"));
    Ok(of_meshed_namespaces(facts)?.filter(says_no).map(|pod| Found::new("stays out of the mesh by its own word").of("Pod", pod)).collect())
}
