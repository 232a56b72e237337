//! Checks of the control plane and the gateways: their workloads, their pods, and what stands in front of them.

use ferromesh_crds::MeshInstall;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ContainerState, ContainerStatus, Pod, Service},
};
use kube::{Resource, ResourceExt};
use std::collections::{BTreeMap, BTreeSet};

use super::{
    before::has_address,
    facts::{Facts, is_of_operator, known, of_any_revision, shown},
    row::{Area, Check, Found, when},
};
use crate::cli::{
    finding::Severity::{Error, Info, Warning},
    report::counted,
};

/// The checks.
pub(super) const CHECKS: &[Check] = &[
    Check::new("FM5021", Area::ControlPlane, Error, "Deployments are available", unavailable),
    Check::new("FM5022", Area::ControlPlane, Error, "the nodes' part is on each node", not_everywhere),
    Check::new("FM5023", Area::ControlPlane, Error, "images are pulled", unpulled),
    Check::new("FM5024", Area::ControlPlane, Error, "containers stay up", crashing),
    Check::new("FM5025", Area::ControlPlane, Warning, "memory suffices", out_of_memory),
    Check::new("FM5026", Area::ControlPlane, Warning, "containers are not restarted often", restarts),
    Check::new("FM5027", Area::ControlPlane, Error, "pods find a node", unscheduled),
    Check::new("FM5028", Area::ControlPlane, Warning, "pods of a part have one image", several_images),
    Check::new("FM5029", Area::ControlPlane, Error, "webhooks are answered", unanswered_webhooks),
    Check::new("FM5030", Area::ControlPlane, Warning, "gateways have addresses", no_address),
    Check::new("FM5031", Area::ControlPlane, Warning, "disruption budgets let nodes be drained", blocking_budgets),
    Check::new("FM5032", Area::ControlPlane, Warning, "autoscalers have metrics", no_metrics),
    Check::new("FM5033", Area::ControlPlane, Warning, "autoscalers have room", at_most),
    Check::new("FM5034", Area::ControlPlane, Info, "what must answer has a second pod", single),
];

/// The egress gateway that profiles have.
const EGRESS: &str = "istio-egressgateway";
/// So many restarts are no accident any more.
const MANY: i32 = 5;

fn deployments(facts: &Facts) -> Result<impl Iterator<Item = &Deployment>, String> {
    Ok(known(&facts.deployments)?.iter().filter(move |one| facts.is_of_mesh(*one)))
}

fn wanted(deployment: &Deployment) -> i32 {
    deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

fn unavailable(facts: &Facts) -> Result<Vec<Found>, String> {
    let told = |deployment: &Deployment| {
        let available = deployment.status.as_ref().and_then(|status| status.available_replicas).unwrap_or_default();
        let command = format!("kubectl describe -n {} deploy/{}", facts.mesh_namespace, deployment.name_any());
        let message = format!("{available} of {} available", counted(usize::try_from(wanted(deployment)).unwrap_or(0), "pod"));
        (available < wanted(deployment)).then(|| Found::new(message).of("Deployment", deployment).with(command))
    };
    Ok(deployments(facts)?.filter_map(told).collect())
}

fn not_everywhere(facts: &Facts) -> Result<Vec<Found>, String> {
    let sets = known(&facts.daemon_sets)?.iter().filter(|set| is_of_operator(*set));
    let told = sets.filter_map(|set| {
        let status = set.status.clone().unwrap_or_default();
        let (there, wanted) = (status.number_available.unwrap_or(0), status.desired_number_scheduled);
        (there < wanted).then(|| Found::new(format!("{there} of {wanted} nodes have a pod that is available")).of("DaemonSet", set))
    });
    Ok(told.collect())
}

/// All containers of a pod, as far as they have a state.
pub(super) fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    pod.status.iter().flat_map(|status| status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten()))
}

/// Why a container waits.
pub(super) fn waits_for(status: &ContainerStatus) -> Option<(&str, &str)> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    Some((waiting.reason.as_deref()?, waiting.message.as_deref().unwrap_or_default()))
}

/// Whether a container was ended for want of memory.
pub(super) fn ran_out_of_memory(status: &ContainerStatus) -> bool {
    let ended = |state: &Option<ContainerState>| {
        state.as_ref().and_then(|state| state.terminated.as_ref()).is_some_and(|ended| ended.reason.as_deref() == Some("OOMKilled"))
    };
    ended(&status.last_state) || ended(&status.state)
}

/// The reasons for which a container waits for its image.
pub(super) const PULLING: [&str; 5] = ["ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "RegistryUnavailable"];

fn unpulled(facts: &Facts) -> Result<Vec<Found>, String> {
    let told = facts.mesh_pods()?.flat_map(|pod| {
        containers(pod).filter_map(move |container| {
            let (reason, message) = waits_for(container).filter(|(reason, _)| PULLING.contains(reason))?;
            Some(Found::new(format!("{reason}, {}: {message}", container.image)).of("Pod", pod))
        })
    });
    Ok(told.collect())
}

fn crashing(facts: &Facts) -> Result<Vec<Found>, String> {
    let told = facts.mesh_pods()?.flat_map(|pod| {
        let crashed = containers(pod).filter(|container| waits_for(container).is_some_and(|(reason, _)| reason == "CrashLoopBackOff"));
        crashed.map(move |container| {
            let command =
                format!("kubectl logs --previous -n {} {} -c {}", pod.namespace().unwrap_or_default(), pod.name_any(), container.name);
            Found::new(format!("container {} ends again and again", container.name)).of("Pod", pod).with(command)
        })
    });
    Ok(told.collect())
}

fn out_of_memory(facts: &Facts) -> Result<Vec<Found>, String> {
    let told = facts.mesh_pods()?.flat_map(|pod| {
        let ended = containers(pod).filter(|container| ran_out_of_memory(container));
        ended.map(move |container| Found::new(format!("container {} was ended for want of memory", container.name)).of("Pod", pod))
    });
    Ok(told.collect())
}

fn restarts(facts: &Facts) -> Result<Vec<Found>, String> {
    let told = facts.mesh_pods()?.flat_map(|pod| {
        let often = containers(pod).filter(|container| container.restart_count >= MANY);
        often.map(move |container| {
            Found::new(format!("container {} was restarted {} times", container.name, container.restart_count)).of("Pod", pod)
        })
    });
    Ok(told.collect())
}

fn unscheduled(facts: &Facts) -> Result<Vec<Found>, String> {
    let told = facts.mesh_pods()?.filter_map(|pod| {
        let conditions = pod.status.as_ref()?.conditions.as_ref()?;
        let failed = conditions.iter().find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
        Some(Found::new(format!("finds no node: {}", failed.message.as_deref().unwrap_or_default())).of("Pod", pod))
    });
    Ok(told.collect())
}

fn several_images(facts: &Facts) -> Result<Vec<Found>, String> {
    let mut images: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for pod in facts.mesh_pods()? {
        let Some(part) = pod.labels().get("app.kubernetes.io/name") else { continue };
        let own = pod.spec.iter().flat_map(|spec| &spec.containers).filter_map(|container| container.image.clone());
        images.entry(part.clone()).or_default().extend(own);
    }
    let mixed = images.into_iter().filter(|(_, images)| images.len() > 1);
    let told = |(part, images): (String, BTreeSet<String>)| {
        let images: Vec<String> = images.into_iter().collect();
        Found::new(format!("pods of {part} have several images, as during an update: {}", images.join(", ")))
    };
    Ok(mixed.map(told).collect())
}

fn unanswered_webhooks(facts: &Facts) -> Result<Vec<Found>, String> {
    let mut found = Vec::new();
    let own = facts.own_webhooks()?;
    let asked: BTreeSet<(&str, &str, &str, &str)> = own
        .iter()
        .filter_map(|webhook| {
            let service = webhook.client.service.as_ref()?;
            Some((webhook.kind, webhook.configuration, service.namespace.as_str(), service.name.as_str()))
        })
        .collect();
    for (kind, name, namespace, service) in asked {
        if !facts.answers(namespace, service)? {
            let message = format!("{kind} {name}: nobody answers at Service {namespace}/{service}");
            found.push(Found::new(message).with(format!("kubectl get endpointslices -n {namespace}")));
        }
    }
    Ok(found)
}

fn no_address(facts: &Facts) -> Result<Vec<Found>, String> {
    let waiting = known(&facts.services)?.iter().filter(|service| {
        let type_ = service.spec.as_ref().and_then(|spec| spec.type_.as_deref());
        facts.is_of_mesh(*service) && type_ == Some("LoadBalancer") && !has_address(service)
    });
    let told = |service: &Service| {
        let found = Found::new("waits for an address from outside").of("Service", service);
        match own_gateway(facts, service) {
            Some(gateway) => found.with(format!("ferromesh upgrade --set '{gateway}.service.type=NodePort'")),
            None => found,
        }
    };
    Ok(waiting.map(told).collect())
}

/// Where the default MeshInstall, which `ferromesh upgrade` changes, describes the gateway with this Service. None if it is not one of its.
fn own_gateway(facts: &Facts, service: &Service) -> Option<String> {
    let mesh = facts.installed().ok()?.into_iter().find(|mesh| mesh.spec.revision().is_empty())?;
    let is_owner = service.owner_references().iter().any(|owner| owner.kind == MeshInstall::kind(&()) && owner.name == mesh.name_any());
    let is_gateway = service.labels().get("app.kubernetes.io/component").is_some_and(|component| component == "gateway");
    let name = service.name_any();
    let leads_out = name == EGRESS || mesh.spec.gateways.iter().flat_map(|all| &all.egress).any(|gateway| gateway.name == name);
    let list = if leads_out { "egress" } else { "ingress" };
    (is_owner && is_gateway).then(|| format!("gateways.{list}[{name}]"))
}

fn blocking_budgets(facts: &Facts) -> Result<Vec<Found>, String> {
    let blocking = known(&facts.budgets)?.iter().filter(|budget| {
        facts.is_of_mesh(*budget)
            && budget.status.as_ref().is_some_and(|status| status.expected_pods > 0 && status.disruptions_allowed == 0)
    });
    Ok(blocking.map(|budget| Found::new("lets no pod be moved: its node can't be drained").of("PodDisruptionBudget", budget)).collect())
}

fn no_metrics(facts: &Facts) -> Result<Vec<Found>, String> {
    let told = known(&facts.autoscalers)?.iter().filter(|one| facts.is_of_mesh(*one)).filter_map(|one| {
        let conditions = one.status.as_ref()?.conditions.as_ref()?;
        let failed = conditions.iter().find(|condition| condition.type_ == "ScalingActive" && condition.status == "False")?;
        Some(Found::new(format!("does not scale: {}", failed.message.as_deref().unwrap_or_default())).of("HorizontalPodAutoscaler", one))
    });
    Ok(told.collect())
}

fn at_most(facts: &Facts) -> Result<Vec<Found>, String> {
    let told = known(&facts.autoscalers)?.iter().filter(|one| facts.is_of_mesh(*one)).filter_map(|one| {
        let conditions = one.status.as_ref()?.conditions.as_ref()?;
        let limited = conditions.iter().find(|condition| condition.type_ == "ScalingLimited" && condition.status == "True")?;
        let most = limited.reason.as_deref() == Some("TooManyReplicas");
        most.then(|| Found::new("has all the pods that it may have, and wants more").of("HorizontalPodAutoscaler", one))
    });
    Ok(told.collect())
}

/// Without these, and those of revisions, pods or objects wait.
const NEEDED: [&str; 2] = ["istio-galley", "istio-sidecar-injector"];

fn single(facts: &Facts) -> Result<Vec<Found>, String> {
    let nodes = known(&facts.nodes)?.len();
    let needed = |one: &&Deployment| NEEDED.iter().any(|name| of_any_revision(&one.name_any(), name).is_some());
    let alone: Vec<String> = deployments(facts)?.filter(|one| needed(one) && wanted(one) == 1).map(shown).collect();
    let told = || {
        let message = format!(
            "{} with one pod: while it is away, what it must answer for is refused: {}",
            counted(alone.len(), "Deployment"),
            alone.join(", ")
        );
        Found::new(message).with("ferromesh upgrade --set components.injector.replicas=2,components.galley.replicas=2")
    };
    // On one node a second pod would go with the first.
    Ok(when(nodes > 1 && !alone.is_empty(), told))
}
