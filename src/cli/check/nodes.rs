//! Checks of the nodes on which the mesh is to run.

use k8s_openapi::api::core::v1::{Node, NodeSystemInfo, Pod};
use kube::ResourceExt;

use super::{
    facts::{Facts, known},
    row::{Area, Check, Found, when},
};
use crate::cli::{
    finding::Severity::{Error, Info, Warning},
    report::counted,
};
use crate::config::kubernetes::quantity;

/// The architecture of the images.
const ARCHITECTURE: &str = "amd64";
/// From this kernel on one nf_tables table redirects IPv4 and IPv6.
const KERNEL: (u32, u32) = (5, 2);
/// From this kubelet on sidecars are containers of their own kind.
const NATIVE: (u32, u32) = (1, 33);
/// What the profile `default` asks for.
const WANTED: [(&str, &str); 2] = [("cpu", "500m"), ("memory", "512Mi")];
/// How far a node's clock may be away from the API server's, in seconds.
const SKEW: i64 = 10;

/// The checks.
pub(super) const CHECKS: &[Check] = &[
    Check::new("FM1021", Area::Nodes, Error, "nodes are ready", none_ready),
    Check::new("FM1022", Area::Nodes, Error, "the images run on a node", no_architecture),
    Check::new("FM1023", Area::Nodes, Warning, "the images run on all nodes", other_architectures),
    Check::new("FM1024", Area::Nodes, Warning, "all nodes run Linux", other_systems),
    Check::new("FM1025", Area::Nodes, Warning, "kernels can redirect traffic", old_kernels),
    Check::new("FM1026", Area::Nodes, Info, "sidecars are native", no_native_sidecars),
    Check::new("FM1027", Area::Nodes, Warning, "nodes have room", no_room),
    Check::new("FM1028", Area::Nodes, Warning, "nodes are not under pressure", pressure),
    Check::new("FM1029", Area::Nodes, Warning, "clocks agree", skew),
];

fn info(node: &Node) -> Option<&NodeSystemInfo> {
    node.status.as_ref()?.node_info.as_ref()
}

fn has_condition(node: &Node, type_: &str) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == type_ && condition.status == "True")
}

fn takes_pods(node: &Node) -> bool {
    has_condition(node, "Ready") && !node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false)
}

/// Major and minor of `v1.33.2` or `6.1.0-13-amd64`.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim_start_matches('v').split('.');
    let number = |part: Option<&str>| part?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
    Some((number(parts.next())?, number(parts.next())?))
}

/// The names of nodes: `a, b and 3 more`.
fn names(nodes: &[&Node]) -> String {
    let first: Vec<String> = nodes.iter().take(3).map(|node| node.name_any()).collect();
    let more = nodes.len().saturating_sub(3);
    if more == 0 { first.join(", ") } else { format!("{} and {more} more", first.join(", ")) }
}

fn none_ready(facts: &Facts) -> Result<Vec<Found>, String> {
    let nodes = known(&facts.nodes)?;
    let told = || Found::new(format!("none of {} is ready and takes pods", counted(nodes.len(), "node"))).with("kubectl get nodes");
    Ok(when(!nodes.iter().any(takes_pods), told))
}

fn no_architecture(facts: &Facts) -> Result<Vec<Found>, String> {
    let nodes = known(&facts.nodes)?;
    let runs = nodes.iter().any(|node| info(node).is_some_and(|info| info.architecture == ARCHITECTURE));
    Ok(when(!runs && !nodes.is_empty(), || {
        Found::new(format!("no node is of architecture {ARCHITECTURE}, the only one that the images are for"))
    }))
}

fn other_architectures(facts: &Facts) -> Result<Vec<Found>, String> {
    let other: Vec<&Node> =
        known(&facts.nodes)?.iter().filter(|node| info(node).is_some_and(|info| info.architecture != ARCHITECTURE)).collect();
    let told = || Found::new(format!("{} of another architecture than {ARCHITECTURE}: {}", counted(other.len(), "node"), names(&other)));
    Ok(when(!other.is_empty() && other.len() < known(&facts.nodes)?.len(), told))
}

fn other_systems(facts: &Facts) -> Result<Vec<Found>, String> {
    let other: Vec<&Node> =
        known(&facts.nodes)?.iter().filter(|node| info(node).is_some_and(|info| info.operating_system != "linux")).collect();
    let told = || Found::new(format!("{} not on Linux, whose pods can't have a sidecar: {}", counted(other.len(), "node"), names(&other)));
    Ok(when(!other.is_empty(), told))
}

fn old_kernels(facts: &Facts) -> Result<Vec<Found>, String> {
    let is_old = |node: &&Node| info(node).and_then(|info| version(&info.kernel_version)).is_some_and(|version| version < KERNEL);
    let old: Vec<&Node> = known(&facts.nodes)?.iter().filter(is_old).collect();
    let (major, minor) = KERNEL;
    let told = || Found::new(format!("{} with a kernel before {major}.{minor}: {}", counted(old.len(), "node"), names(&old)));
    Ok(when(!old.is_empty(), told))
}

fn no_native_sidecars(facts: &Facts) -> Result<Vec<Found>, String> {
    let is_old = |node: &&Node| info(node).and_then(|info| version(&info.kubelet_version)).is_some_and(|version| version < NATIVE);
    let old: Vec<&Node> = known(&facts.nodes)?.iter().filter(is_old).collect();
    let (major, minor) = NATIVE;
    let told = || {
        let nodes = format!("{} with a kubelet before {major}.{minor} ({})", counted(old.len(), "node"), names(&old));
        Found::new(format!("{nodes}: sidecars are ordinary containers everywhere, so that Jobs don't end by themselves"))
    };
    Ok(when(!old.is_empty(), told))
}

fn no_room(facts: &Facts) -> Result<Vec<Found>, String> {
    let nodes: Vec<&Node> = known(&facts.nodes)?.iter().filter(|node| takes_pods(node)).collect();
    let pods = known(&facts.pods)?;
    let mut found = Vec::new();
    for (resource, told) in WANTED {
        let wanted = quantity(told).unwrap_or_default();
        let allocatable: f64 = nodes.iter().map(|node| allocatable(node, resource)).sum();
        let requested: f64 = pods.iter().map(|pod| requested(pod, resource)).sum();
        if !nodes.is_empty() && allocatable - requested < wanted {
            found.push(
                Found::new(format!("less than {told} of {resource} are free on the nodes that are ready")).with("kubectl describe nodes"),
            );
        }
    }
    Ok(found)
}

fn allocatable(node: &Node, resource: &str) -> f64 {
    let all = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
    all.and_then(|all| quantity(&all.get(resource)?.0)).unwrap_or(0.0)
}

fn requested(pod: &Pod, resource: &str) -> f64 {
    let ended =
        pod.status.as_ref().and_then(|status| status.phase.as_deref()).is_some_and(|phase| phase == "Succeeded" || phase == "Failed");
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers).filter(|_| !ended);
    let requests = containers.filter_map(|container| quantity(&container.resources.as_ref()?.requests.as_ref()?.get(resource)?.0));
    requests.sum()
}

fn pressure(facts: &Facts) -> Result<Vec<Found>, String> {
    const PRESSURES: [&str; 3] = ["DiskPressure", "MemoryPressure", "PIDPressure"];
    let pressed =
        known(&facts.nodes)?.iter().filter_map(|node| Some((node, PRESSURES.into_iter().find(|type_| has_condition(node, type_))?)));
    Ok(pressed.map(|(node, type_)| Found::new(format!("is under {type_}: pods are evicted")).of("Node", node)).collect())
}

/// A kubelet writes its own time into its lease, and the API server notes when that came.
fn skew(facts: &Facts) -> Result<Vec<Found>, String> {
    let mut found = Vec::new();
    for lease in known(&facts.leases)? {
        let renewed = lease.spec.as_ref().and_then(|spec| spec.renew_time.as_ref()).map(|time| time.0.as_second());
        let noted =
            lease.metadata.managed_fields.iter().flatten().filter_map(|entry| entry.time.as_ref()).map(|time| time.0.as_second()).max();
        let (Some(renewed), Some(noted)) = (renewed, noted) else { continue };
        let apart = renewed - noted;
        if apart.abs() > SKEW {
            let way = if apart > 0 { "ahead of" } else { "behind" };
            found.push(
                Found::new(format!(
                    "its clock is {} s {way} the API server's: certificates are taken for expired or not valid yet",
                    apart.abs()
                ))
                .of("Node", &without_namespace(lease)),
            );
        }
    }
    Ok(found)
}

/// A node has its lease's name, and no namespace.
fn without_namespace(lease: &k8s_openapi::api::coordination::v1::Lease) -> Node {
    let mut node = Node::default();
    node.metadata.name.clone_from(&lease.metadata.name);
    node
}
