//! Which rules a pod needs from its node, and whether it has missed them. Pure.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

/// The container that the injector puts in the place of the one that would write the rules: it verifies them, and its arguments say what they
/// are.
pub(super) const VALIDATION: &str = "istio-validation";
/// The annotation of an injected pod.
const STATUS: &str = "sidecar.istio.io/status";
/// What that container ends with where the rules are missing.
const MISSING: i32 = 126;

/// The arguments of `ferromesh-agent init` for a pod that the injector has left to its node; `None` for all other pods.
pub(super) fn arguments(pod: &Pod) -> Option<Vec<String>> {
    let injected = pod.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(STATUS));
    let spec = pod.spec.as_ref().filter(|spec| injected && spec.host_network != Some(true))?;
    let validation = spec.init_containers.iter().flatten().find(|container| container.name == VALIDATION)?;
    let (verb, arguments) = validation.args.as_ref()?.split_first()?;
    (verb == "init").then(|| arguments.to_vec())
}

/// Whether the pod found its rules missing: it has said so, and tries again and again.
pub(super) fn is_broken(pod: &Pod) -> bool {
    let going = pod.metadata.deletion_timestamp.is_some();
    let statuses = pod.status.iter().flat_map(|status| status.init_container_statuses.iter().flatten());
    !going && arguments(pod).is_some() && statuses.filter(|status| status.name == VALIDATION).any(found_missing)
}

fn found_missing(status: &ContainerStatus) -> bool {
    let code = |state: &Option<k8s_openapi::api::core::v1::ContainerState>| {
        state.as_ref().and_then(|state| state.terminated.as_ref()).map(|ended| ended.exit_code)
    };
    let waits = status.state.as_ref().is_some_and(|state| state.waiting.is_some());
    code(&status.state) == Some(MISSING) || waits && code(&status.last_state) == Some(MISSING)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cni::tests::pod;
    use serde_json::{Value, json};

    fn broken(state: Value, last: Value) -> bool {
        let status =
            json!({"name": VALIDATION, "image": "", "imageID": "", "ready": false, "restartCount": 1, "state": state, "lastState": last});
        let mut pod = serde_json::to_value(pod("web", &["init"])).unwrap();
        pod["status"] = json!({"initContainerStatuses": [status]});
        is_broken(&serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn a_pod_that_is_left_to_the_node_says_its_rules() {
        assert_eq!(arguments(&pod("web", &["init", "--uid", "1337"])), Some(vec!["--uid".to_owned(), "1337".to_owned()]));
        assert_eq!(arguments(&pod("web", &["sh"])), None);
        let mut own = pod("web", &["init"]);
        own.spec.as_mut().unwrap().init_containers.as_mut().unwrap()[0].name = "istio-init".to_owned();
        assert_eq!(arguments(&own), None, "it writes its rules itself");
        let mut plain = pod("web", &["init"]);
        plain.metadata.annotations = None;
        assert_eq!(arguments(&plain), None, "the name alone makes no meshed pod");
        let mut host = pod("web", &["init"]);
        host.spec.as_mut().unwrap().host_network = Some(true);
        assert_eq!(arguments(&host), None, "the node's own network is left alone");
    }

    #[test]
    fn a_pod_is_broken_once_it_has_found_its_rules_missing() {
        let ended = |code: i32| json!({"terminated": {"exitCode": code}});
        let waiting = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        assert!(broken(ended(126), json!({})));
        assert!(broken(waiting.clone(), ended(126)));
        assert!(!broken(ended(1), json!({})));
        assert!(!broken(waiting, ended(1)));
        assert!(!broken(json!({"running": {}}), ended(126)), "it looks again just now");
        assert!(!broken(ended(0), ended(126)), "mended");
    }
}
