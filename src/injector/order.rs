//! In which order containers stand.
//!
//! Init containers run one after the other: what redirects traffic comes directly before the proxy that the traffic goes to. An ordinary
//! proxy starts after all of them, so the redirection is the last one; until then nobody would answer.

use serde_json::Value;

use super::{
    container::{INIT, PROXY, VALIDATION},
    overrides::CONTAINER_LISTS,
    pod::list,
};

/// Puts the containers of a pod's `spec` in order: those of its author as they stood in `before`, then those that templates added, and
/// ours where they belong. With `hold`, an ordinary proxy comes first, so that the others wait for it.
pub(super) fn arrange(spec: &mut Value, before: &Value, hold: bool) {
    let native = list(&spec["initContainers"]).iter().any(|container| container["name"] == PROXY);
    for field in CONTAINER_LISTS {
        let Some(containers) = spec.get_mut(field).and_then(Value::as_array_mut) else { continue };
        let before = list(&before[field]);
        containers.sort_by_cached_key(|container| match container["name"].as_str() {
            Some(VALIDATION) => 0,
            Some(INIT) if native => 0,
            Some(INIT) => usize::MAX,
            Some(PROXY) if native => 1,
            Some(PROXY) if hold => 0,
            Some(PROXY) => usize::MAX,
            _ => 2 + before.iter().position(|earlier| earlier["name"] == container["name"]).unwrap_or(before.len()),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn arranged(inits: &[&str], containers: &[&str], hold: bool) -> (Vec<String>, Vec<String>) {
        let named = |names: &[&str]| names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>();
        let mut spec = json!({"initContainers": named(inits), "containers": named(containers)});
        arrange(&mut spec, &json!({"initContainers": named(&["a", "b"]), "containers": named(&["x", "y"])}), hold);
        let names = |field: &str| list(&spec[field]).iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect();
        (names("initContainers"), names("containers"))
    }

    #[test]
    fn a_native_proxy_starts_after_what_redirects_to_it_and_before_all_others() {
        let (inits, containers) = arranged(&["added", "b", "a", "istio-proxy", "istio-init"], &["new", "y", "x"], true);
        assert_eq!(inits, ["istio-init", "istio-proxy", "a", "b", "added"]);
        assert_eq!(containers, ["x", "y", "new"]);
    }

    #[test]
    fn an_ordinary_proxy_comes_last_unless_others_wait_for_it() {
        let (inits, containers) = arranged(&["istio-init", "a"], &["istio-proxy", "x", "y"], false);
        assert_eq!(inits, ["a", "istio-init"]);
        assert_eq!(containers, ["x", "y", "istio-proxy"]);
        assert_eq!(arranged(&["a", "istio-validation"], &[], false).0, ["istio-validation", "a"]);
        assert_eq!(arranged(&[], &["x", "istio-proxy"], true).1, ["istio-proxy", "x"]);
    }
}
