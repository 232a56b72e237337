//! How one part of the mesh stands: from its Deployment, and from its pods if that alone doesn't explain it.

use ferromesh_crds::install::State;
use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment},
    core::v1::{ContainerStatus, Pod},
};

use super::{plan::COMPONENT, settings::Program};

/// How a part stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Health {
    /// `HEALTHY`, `UPDATING` or `ERROR`; `NONE` while there is no Deployment.
    pub(super) state: State,
    /// What is missing; empty when nothing is.
    pub(super) message: String,
}

/// The longest cause that is repeated from elsewhere: it leaves room in a status' message for what to do.
const CAUSE: usize = 90;

/// What a part waits for, and whether waiting will do.
struct Trouble {
    grave: bool,
    message: String,
}

// === impl Health ===

impl Health {
    /// Judges a part by what the API server knows of it. `least` is how many pods it is to have, if it can't be meant to have none.
    pub(super) fn of<'a>(deployment: Option<&Deployment>, least: Option<i32>, pods: impl Iterator<Item = &'a Pod>) -> Self {
        let Some(deployment) = deployment else {
            return Self { state: State::None, message: "not created yet".to_owned() };
        };
        if let Some(least) = least.filter(|_| deployment.spec.as_ref().is_some_and(|spec| spec.replicas == Some(0))) {
            return Self { state: State::Error, message: scaled_to_nothing(deployment, least) };
        }
        if is_rolled_out(deployment) {
            return Self { state: State::Healthy, message: String::new() };
        }
        Self::explained(trouble_of(deployment), pods)
    }

    /// Judges the part that is on each node.
    pub(super) fn of_nodes<'a>(daemon_set: Option<&DaemonSet>, pods: impl Iterator<Item = &'a Pod>) -> Self {
        match daemon_set {
            None => Self { state: State::None, message: "not created yet".to_owned() },
            Some(daemon_set) if is_everywhere(daemon_set) => Self { state: State::Healthy, message: String::new() },
            Some(_) => Self::explained(None, pods),
        }
    }

    /// What keeps a part from being complete.
    fn explained<'a>(own: Option<Trouble>, pods: impl Iterator<Item = &'a Pod>) -> Self {
        let mut pods: Vec<&Pod> = pods.collect();
        pods.sort_by_key(|pod| &pod.metadata.name);
        let trouble = pods.iter().find_map(|pod| grave_trouble(pod)).or(own);
        match trouble.or_else(|| pods.iter().find_map(|pod| waiting(pod))) {
            Some(Trouble { grave, message }) => Self { state: if grave { State::Error } else { State::Updating }, message },
            None => Self { state: State::Updating, message: "waiting for its pods".to_owned() },
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.state == State::Healthy
    }
}

/// An autoscaler takes this for a wish, and leaves it so.
fn scaled_to_nothing(deployment: &Deployment, least: i32) -> String {
    let (name, namespace) = (deployment.metadata.name.as_deref(), deployment.metadata.namespace.as_deref());
    let (name, namespace) = (name.unwrap_or_default(), namespace.unwrap_or_default());
    format!("it is scaled to 0: kubectl scale deployment/{name} -n {namespace} --replicas={least}")
}

/// Whether all pods are of the newest kind and answer, and none of an older kind is left.
fn is_rolled_out(deployment: &Deployment) -> bool {
    let (Some(spec), Some(status)) = (&deployment.spec, &deployment.status) else { return false };
    let wanted = spec.replicas.unwrap_or(1);
    let count = |replicas: Option<i32>| replicas.unwrap_or(0);
    status.observed_generation >= deployment.metadata.generation
        && count(status.updated_replicas) >= wanted
        && count(status.available_replicas) >= wanted
        && count(status.replicas) <= count(status.updated_replicas)
}

/// Whether each node that is to have a pod has one of the newest kind that answers.
fn is_everywhere(daemon_set: &DaemonSet) -> bool {
    let Some(status) = &daemon_set.status else { return false };
    let wanted = status.desired_number_scheduled;
    status.observed_generation >= daemon_set.metadata.generation
        && status.updated_number_scheduled.unwrap_or(0) >= wanted
        && status.number_available.unwrap_or(0) >= wanted
}

/// What the Deployment itself reports: its pods can't be made, or nothing has moved for too long.
fn trouble_of(deployment: &Deployment) -> Option<Trouble> {
    let conditions = deployment.status.as_ref()?.conditions.as_deref().unwrap_or_default();
    let failed =
        |type_: &str, status: &str| conditions.iter().find(move |condition| condition.type_ == type_ && condition.status == status);
    let condition = failed("ReplicaFailure", "True").or_else(|| failed("Progressing", "False"))?;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    Some(Trouble { grave: true, message: format!("{}, {}", text(&condition.reason), text(&condition.message)) })
}

/// What keeps a pod from running, and doesn't pass by waiting.
fn grave_trouble(pod: &Pod) -> Option<Trouble> {
    let status = pod.status.as_ref()?;
    let unscheduled = status.conditions.iter().flatten().find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    let what = unscheduled
        .map(|condition| {
            let (reason, message) = (condition.reason.as_deref(), condition.message.as_deref());
            described(pod, reason.unwrap_or("Unschedulable"), message.unwrap_or_default())
        })
        .or_else(|| containers(pod).find_map(|container| failure(pod, container)))?;
    Some(Trouble { grave: true, message: format!("pod {} {what}", place(pod).1) })
}

/// What a pod that is on its way still waits for.
fn waiting(pod: &Pod) -> Option<Trouble> {
    let (_, name) = place(pod);
    let container = containers(pod).find(|container| !container.ready)?;
    let reason = container.state.as_ref().and_then(|state| state.waiting.as_ref()).and_then(|waiting| waiting.reason.clone());
    let what = reason.unwrap_or_else(|| format!("runs, but container {} is not ready", container.name));
    Some(Trouble { grave: false, message: format!("pod {name} {what}") })
}

fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    pod.status.iter().flat_map(|status| status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten()))
}

/// A pod's namespace and name.
fn place(pod: &Pod) -> (&str, &str) {
    (pod.metadata.namespace.as_deref().unwrap_or_default(), pod.metadata.name.as_deref().unwrap_or_default())
}

/// Why a container can't run and what to do, in words that stay the same from one attempt to the next.
fn failure(pod: &Pod, container: &ContainerStatus) -> Option<String> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let message = waiting.message.as_deref().unwrap_or_default();
    match waiting.reason.as_deref()? {
        "ContainerCreating" | "PodInitializing" => None,
        // Both alternate while the kubelet tries again; the cause is in the one, or behind its name in the other.
        "ErrImagePull" => Some(image_failure(pod, container, message)),
        "ImagePullBackOff" => Some(image_failure(pod, container, message.split_once("ErrImagePull: ").map_or("", |(_, cause)| cause))),
        // The message counts the seconds until the next attempt.
        "CrashLoopBackOff" => Some(format!("CrashLoopBackOff, container {} {}", container.name, last_end(pod, container))),
        reason => Some(described(pod, reason, message)),
    }
}

fn image_failure(pod: &Pod, container: &ContainerStatus, cause: &str) -> String {
    let what = match cause.rsplit(": ").next().filter(|cause| !cause.is_empty()) {
        Some(cause) => format!("ImagePullBackOff, {}: {}", container.image, shortened(cause)),
        None => format!("ImagePullBackOff, {}", container.image),
    };
    let component = pod.metadata.labels.as_ref().and_then(|labels| labels.get(COMPONENT));
    let fields = match component.and_then(|name| Program::named(name)) {
        Some(program) => format!("spec.addons.{}.image", program.name()),
        None => "spec.hub, spec.tag".to_owned(),
    };
    format!("{what}: check {fields} and spec.imagePullSecrets")
}

fn last_end(pod: &Pod, container: &ContainerStatus) -> String {
    let what = match container.last_state.as_ref().and_then(|state| state.terminated.as_ref()) {
        Some(end) if end.reason.as_deref() == Some("OOMKilled") => "was killed for using more memory than its limit".to_owned(),
        Some(end) => format!("ended with exit code {}", end.exit_code),
        None => "keeps ending".to_owned(),
    };
    let (namespace, name) = place(pod);
    format!("{what}: see kubectl logs -n {namespace} {name} -c {} --previous", container.name)
}

/// What Kubernetes says of a pod, and where it says more.
fn described(pod: &Pod, reason: &str, message: &str) -> String {
    let (namespace, name) = place(pod);
    format!("{reason}, {}: see kubectl describe pod -n {namespace} {name}", shortened(message))
}

/// At most [`CAUSE`] characters.
fn shortened(cause: &str) -> String {
    match cause.char_indices().nth(CAUSE) {
        Some((end, _)) => format!("{}…", &cause[..end]),
        None => cause.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn health(status: Value, pods: &[Value]) -> Health {
        let deployment = json!({"metadata": {"generation": 2}, "spec": {"replicas": 1, "selector": {}, "template": {}}, "status": status});
        let deployment: Deployment = serde_json::from_value(deployment).unwrap();
        let pods: Vec<Pod> = pods.iter().map(|pod| serde_json::from_value(pod.clone()).unwrap()).collect();
        Health::of(Some(&deployment), Some(1), pods.iter())
    }

    fn pod(state: Value) -> Value {
        let container = json!({"name": "galley", "image": "hub/ferromesh:1", "imageID": "", "ready": false, "restartCount": 1,
            "state": state, "lastState": {"terminated": {"exitCode": 3}}});
        json!({"metadata": {"namespace": "istio-system", "name": "istio-galley-1"}, "status": {"containerStatuses": [container]}})
    }

    #[test]
    fn a_rolled_out_deployment_is_healthy_and_an_unobserved_one_is_not() {
        let done = |generation: i32| json!({"observedGeneration": generation, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1});
        assert_eq!(health(done(2), &[]).state, State::Healthy);
        assert_eq!(health(done(1), &[]).state, State::Updating);
        assert_eq!(Health::of(None, Some(1), [].into_iter()).state, State::None);
    }

    #[test]
    fn one_that_is_scaled_to_nothing_is_told_of_unless_that_may_be_meant() {
        let nothing = json!({"metadata": {"name": "istio-galley", "namespace": "istio-system", "generation": 2},
            "spec": {"replicas": 0, "selector": {}, "template": {}}, "status": {"observedGeneration": 2}});
        let nothing: Deployment = serde_json::from_value(nothing).unwrap();
        let wanted = "it is scaled to 0: kubectl scale deployment/istio-galley -n istio-system --replicas=2";
        let told = Health { state: State::Error, message: wanted.to_owned() };
        assert_eq!(Health::of(Some(&nothing), Some(2), [].into_iter()), told);
        assert!(Health::of(Some(&nothing), None, [].into_iter()).is_ready());
    }

    #[test]
    fn a_part_is_everywhere_once_each_node_has_a_new_pod_that_answers() {
        let health = |generation: i32, updated: i32, available: i32| {
            let status = json!({"observedGeneration": generation, "desiredNumberScheduled": 2, "currentNumberScheduled": 2,
                "numberMisscheduled": 0, "numberReady": 2, "updatedNumberScheduled": updated, "numberAvailable": available});
            let object = json!({"metadata": {"generation": 2}, "spec": {"selector": {}, "template": {}}, "status": status});
            Health::of_nodes(Some(&serde_json::from_value(object).unwrap()), [].into_iter()).state
        };
        assert_eq!(health(2, 2, 2), State::Healthy);
        assert_eq!([health(1, 2, 2), health(2, 1, 2), health(2, 2, 1)], [State::Updating; 3]);
        let crashing = pod(json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}}));
        let crashing: Pod = serde_json::from_value(crashing).unwrap();
        let object: DaemonSet = serde_json::from_value(json!({"spec": {"selector": {}, "template": {}}})).unwrap();
        assert_eq!(Health::of_nodes(Some(&object), [&crashing].into_iter()).state, State::Error);
    }

    #[test]
    fn a_pod_of_the_last_version_is_waited_for() {
        assert!(!health(json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 1, "availableReplicas": 2}), &[]).is_ready());
    }

    #[test]
    fn an_image_that_cannot_be_pulled_is_named_with_the_cause_in_both_of_its_forms() {
        let direct = pod(json!({"waiting": {"reason": "ErrImagePull", "message": "failed to resolve reference: 401 Unauthorized"}}));
        let waiting = json!({"waiting": {"reason": "ImagePullBackOff",
            "message": "Back-off pulling image \"hub/ferromesh:1\": ErrImagePull: failed to resolve reference: 401 Unauthorized"}});
        let wanted = "pod istio-galley-1 ImagePullBackOff, hub/ferromesh:1: 401 Unauthorized: \
                      check spec.hub, spec.tag and spec.imagePullSecrets";
        for pod in [direct.clone(), pod(waiting)] {
            assert_eq!(health(json!({}), &[pod]), Health { state: State::Error, message: wanted.to_owned() });
        }
        let mut addon = direct;
        addon["metadata"]["labels"] = json!({COMPONENT: "tracing"});
        assert!(health(json!({}), &[addon]).message.ends_with(": check spec.addons.tracing.image and spec.imagePullSecrets"));
    }

    #[test]
    fn a_crash_is_named_without_its_countdown() {
        let found = health(json!({}), &[pod(json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}}))]);
        let wanted = "pod istio-galley-1 CrashLoopBackOff, container galley ended with exit code 3: \
                      see kubectl logs -n istio-system istio-galley-1 -c galley --previous";
        assert_eq!(found.message, wanted);
    }

    #[test]
    fn a_long_cause_leaves_room_for_what_to_do() {
        let waiting = json!({"reason": "CreateContainerConfigError", "message": "é".repeat(400)});
        let found = health(json!({}), &[pod(json!({"waiting": waiting}))]);
        let wanted = format!(
            "pod istio-galley-1 CreateContainerConfigError, {}…: see kubectl describe pod -n istio-system istio-galley-1",
            "é".repeat(CAUSE)
        );
        assert_eq!(found.message, wanted);
    }

    #[test]
    fn a_starting_pod_is_no_error() {
        let found = health(json!({}), &[pod(json!({"waiting": {"reason": "ContainerCreating"}}))]);
        assert_eq!(found, Health { state: State::Updating, message: "pod istio-galley-1 ContainerCreating".to_owned() });
        let found = health(json!({}), &[pod(json!({"running": {}}))]);
        assert_eq!(found.message, "pod istio-galley-1 runs, but container galley is not ready");
    }

    #[test]
    fn pods_that_cannot_be_made_are_explained() {
        let condition = json!({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"});
        assert_eq!(health(json!({"conditions": [condition]}), &[]).message, "FailedCreate, exceeded quota");
    }
}
