//! Sends the kubelet's probes and HTTP lifecycle hooks through the agent.
//!
//! The kubelet has no certificate, so a workload that demands mTLS would never be ready. The agent, which is inside of the pod, asks
//! the application in the kubelet's place. `exec` probes need none of this and stay.

use serde_json::{Map, Value, json};

use super::{container::PROXY, overrides::CONTAINER_LISTS, pod::list};

/// The ways of asking that need the network.
const KINDS: [&str; 3] = ["httpGet", "tcpSocket", "grpc"];
/// Where the name of a port is kept that the agent is told by number.
const PORT_NAME: &str = "portName";

/// The annotation by which a pod, or a template, says whether probes go through the agent.
pub(super) const REWRITE: &str = "sidecar.istio.io/rewriteAppHTTPProbers";

/// The agent's environment variable with the original probes, by the path under which the agent answers for them.
pub(super) const PROBERS_ENV: &str = "ISTIO_KUBE_APP_PROBERS";

/// A place in a container from which the kubelet calls, and the path that the agent serves instead.
const PROBES: [(&str, &str); 3] = [("readinessProbe", "readyz"), ("livenessProbe", "livez"), ("startupProbe", "startupz")];
const HOOKS: [(&str, &str); 2] = [("preStop", "prestopz"), ("postStart", "poststartz")];

/// Rewrites all probes of all application containers of a pod's `spec` and returns the originals by path.
pub(super) fn rewrite(spec: &mut Value, status_port: u16) -> Map<String, Value> {
    let mut originals = Map::new();
    for_each_handler(spec, |path, ports, handler| {
        let Some(original) = original(handler, ports) else { return };
        originals.insert(path.to_owned(), original);
        redirect(handler, path, status_port);
    });
    originals
}

/// Puts original probes back, so that an injected pod can be injected again.
pub(super) fn restore(spec: &mut Value, originals: &Map<String, Value>) {
    for_each_handler(spec, |path, _, handler| {
        let Some(original) = originals.get(path).and_then(Value::as_object) else { return };
        let Some((kind, mut target)) = KINDS.iter().find_map(|kind| Some((*kind, original.get(*kind)?.clone()))) else { return };
        if let Some(name) = original.get(PORT_NAME) {
            target["port"] = name.clone();
        }
        handler.remove("httpGet");
        handler.insert(kind.to_owned(), target);
    });
}

/// Calls `edit` with each probe and lifecycle hook, the path that the agent would serve it under, and its container's ports.
fn for_each_handler(spec: &mut Value, mut edit: impl FnMut(&str, &[Value], &mut Map<String, Value>)) {
    for containers in CONTAINER_LISTS {
        for container in spec.get_mut(containers).and_then(Value::as_array_mut).into_iter().flatten() {
            let (name, ports) = (container["name"].as_str().unwrap_or_default().to_owned(), container["ports"].clone());
            // Ours is asked by the kubelet itself.
            if name == PROXY {
                continue;
            }
            for (field, path) in PROBES {
                if let Some(probe) = container.get_mut(field).and_then(Value::as_object_mut) {
                    edit(&format!("/app-health/{name}/{path}"), list(&ports), probe);
                }
            }
            for (field, path) in HOOKS {
                if let Some(hook) = container.get_mut("lifecycle").and_then(|l| l.get_mut(field)).and_then(Value::as_object_mut) {
                    edit(&format!("/app-lifecycle/{name}/{path}"), list(&ports), hook);
                }
            }
        }
    }
}

/// What the agent has to do in the kubelet's place; `None` for a handler that stays as it is.
fn original(handler: &Map<String, Value>, ports: &[Value]) -> Option<Value> {
    let mut kinds = KINDS.iter().filter_map(|kind| Some((*kind, handler.get(*kind)?)));
    // Two kinds at once are the API server's to refuse.
    let (Some((kind, target)), None) = (kinds.next(), kinds.next()) else { return None };
    if !target.is_object() {
        return None;
    }
    let mut original = json!({ kind: target });
    if let Some(named) = target["port"].as_str() {
        // The API server accepts a name that no container has; the kubelet will say so, as it would without us.
        let number = ports.iter().find(|port| port["name"] == named)?["containerPort"].clone();
        original[kind]["port"] = number;
        original[PORT_NAME] = named.into();
    }
    if let Some(timeout) = handler.get("timeoutSeconds") {
        original["timeoutSeconds"] = timeout.clone();
    }
    Some(original)
}

/// Points a handler at the agent. Headers that a user set for his own application stay.
fn redirect(handler: &mut Map<String, Value>, path: &str, status_port: u16) {
    handler.remove("tcpSocket");
    handler.remove("grpc");
    let mut get = match handler.remove("httpGet") {
        Some(Value::Object(get)) => get,
        _ => Map::new(),
    };
    get.remove("host");
    get.insert("path".to_owned(), path.into());
    get.insert("port".to_owned(), status_port.into());
    get.insert("scheme".to_owned(), "HTTP".into());
    handler.insert("httpGet".to_owned(), Value::Object(get));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Value {
        json!({"containers": [{
            "name": "web",
            "ports": [{"name": "http", "containerPort": 8080}],
            "readinessProbe": {"httpGet": {"path": "/ready", "port": "http", "scheme": "HTTPS"}, "timeoutSeconds": 3, "periodSeconds": 5},
            "livenessProbe": {"tcpSocket": {"port": 8080}},
            "startupProbe": {"exec": {"command": ["true"]}},
            "lifecycle": {"preStop": {"httpGet": {"path": "/bye", "port": 8080}}},
        }]})
    }

    #[test]
    fn network_probes_go_to_the_agent_and_exec_stays() {
        let mut rewritten = spec();
        let originals = rewrite(&mut rewritten, 15020);
        let web = &rewritten["containers"][0];
        assert_eq!(web["readinessProbe"]["httpGet"], json!({"path": "/app-health/web/readyz", "port": 15020, "scheme": "HTTP"}));
        assert_eq!(web["readinessProbe"]["periodSeconds"], 5);
        assert_eq!(web["livenessProbe"], json!({"httpGet": {"path": "/app-health/web/livez", "port": 15020, "scheme": "HTTP"}}));
        assert_eq!(web["startupProbe"], spec()["containers"][0]["startupProbe"]);
        assert_eq!(web["lifecycle"]["preStop"]["httpGet"]["path"], "/app-lifecycle/web/prestopz");
        assert_eq!(
            originals["/app-health/web/readyz"],
            json!({"httpGet": {"path": "/ready", "port": 8080, "scheme": "HTTPS"}, "portName": "http", "timeoutSeconds": 3})
        );
        assert_eq!(originals.len(), 3);
    }

    #[test]
    fn restoring_brings_back_the_probes_as_they_were() {
        let mut pod = spec();
        let originals = rewrite(&mut pod, 15020);
        restore(&mut pod, &originals);
        assert_eq!(pod, spec());
    }

    #[test]
    fn a_handler_that_makes_no_sense_stays() {
        let broken = json!({"containers": [
            {"name": "a", "readinessProbe": {"httpGet": {"port": 1}, "tcpSocket": {"port": 1}}, "livenessProbe": {"httpGet": 5}},
            {"name": "b", "readinessProbe": {"tcpSocket": {"port": "nowhere"}}, "lifecycle": {"preStop": {"sleep": {"seconds": 1}}}},
        ]});
        let mut rewritten = broken.clone();
        assert_eq!(rewrite(&mut rewritten, 15020), Map::new());
        assert_eq!(rewritten, broken);
    }
}
