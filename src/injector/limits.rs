//! How far a pod may go that chooses parts of its sidecar itself.
//!
//! The sidecar is made by the mesh, but its pod's author may add volumes, another image and fields of its containers. Where the namespace
//! enforces one of Kubernetes' Pod Security levels, what is asked for must keep within it: the API server would refuse the pod anyway,
//! but in terms of a container that its author never wrote. Another image gets the proxy's certificate, so a limited namespace may
//! only choose among the mesh's own and those that the mesh's owner allows.

use std::{collections::BTreeMap, fmt};

use serde_json::Value;

use super::{
    annotations::SidecarOptions,
    container::{INIT, PROXY, VALIDATION},
    pod::{PodView, list},
};
use crate::model::{InjectionValues, InterceptionMode};

/// The label by which a namespace enforces a level.
const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
/// Sources of volumes that the level `restricted` allows.
const VOLUMES: [&str; 8] = ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"];

/// A level of Pod Security.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Privileged,
    Baseline,
    Restricted,
}

/// What a pod asks for that its namespace does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial(String);

/// Where a pod will live, and how far pods go there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    namespace: &'a str,
    level: Level,
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        })
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "namespace {} (Pod Security {})", self.namespace, self.level)
    }
}

// === impl Place ===

impl<'a> Place<'a> {
    /// A namespace by its labels. One that is not known yet limits nothing: the API server does, and a watch that lags must not deny.
    pub(super) fn new(namespace: &'a str, labels: Option<&BTreeMap<String, String>>) -> Self {
        let level = match labels.and_then(|labels| labels.get(ENFORCE)).map(String::as_str) {
            Some("restricted") => Level::Restricted,
            Some("baseline") => Level::Baseline,
            _ => Level::Privileged,
        };
        Self { namespace, level }
    }

    /// What of it is not allowed: annotations, and containers by which a pod says something of ours.
    pub(super) fn denials<'c>(
        &self,
        options: &SidecarOptions,
        own: impl Iterator<Item = &'c Value>,
        values: &InjectionValues,
    ) -> Vec<Denial> {
        if self.level == Level::Privileged {
            return Vec::new();
        }
        let mut denials = Vec::new();
        for volume in &options.user_volumes {
            for source in volume.as_object().into_iter().flatten().map(|(field, _)| field).filter(|field| *field != "name") {
                if !VOLUMES.contains(&source.as_str()) {
                    let asked = format!("annotation sidecar.istio.io/userVolume: {} asks for {source}", volume["name"]);
                    denials.push(self.denial(&asked));
                }
            }
        }
        if options.interception == InterceptionMode::Tproxy {
            denials.push(self.denial("interceptionMode: TPROXY asks for user 0 and capability NET_ADMIN of istio-proxy"));
        }
        if let Some(image) = options.image.as_deref().filter(|image| !is_allowed(image, values)) {
            denials.push(self.foreign(&format!("annotation sidecar.istio.io/proxyImage: {image:?}"), values));
        }
        for container in own.filter(|container| [PROXY, INIT, VALIDATION].iter().any(|name| container["name"] == *name)) {
            let name = container["name"].as_str().unwrap_or_default();
            denials.extend(self.beyond(container).into_iter().map(|field| self.denial(&format!("container {name} asks for {field}"))));
            let image = container["image"].as_str().filter(|image| *image != "auto" && !is_allowed(image, values));
            denials.extend(image.map(|image| self.foreign(&format!("container {name}: image {image:?}"), values)));
        }
        denials
    }

    fn denial(&self, asked: &str) -> Denial {
        Denial(format!("{asked}, which {self} does not allow (FM3005)"))
    }

    fn foreign(&self, asked: &str, values: &InjectionValues) -> Denial {
        Denial(format!(
            "{asked} is none of the mesh's images, which {self} demands: use one below {}/, or have it allowed (FM3006)",
            values.hub
        ))
    }

    /// The fields of a container that go too far.
    fn beyond(&self, container: &Value) -> Vec<String> {
        let security = &container["securityContext"];
        let restricted = self.level == Level::Restricted;
        let ours: &[&str] = if container["name"] == INIT { &["NET_ADMIN"] } else { &["NET_BIND_SERVICE"] };
        let mut fields = Vec::new();
        let mut ask = |asked: bool, field: &str| {
            if asked {
                fields.push(field.to_owned());
            }
        };
        ask(security["privileged"] == true, "securityContext.privileged");
        ask(restricted && security["allowPrivilegeEscalation"] == true, "securityContext.allowPrivilegeEscalation");
        ask(restricted && security["runAsUser"] == 0, "securityContext.runAsUser: 0");
        ask(security["seccompProfile"]["type"] == "Unconfined", "securityContext.seccompProfile.type: Unconfined");
        ask(!security["procMount"].is_null() && security["procMount"] != "Default", "securityContext.procMount");
        for capability in list(&security["capabilities"]["add"]).iter().filter_map(Value::as_str) {
            ask(!ours.contains(&capability), &format!("capability {capability}"));
        }
        for port in list(&container["ports"]) {
            ask(port["hostPort"].as_u64().is_some_and(|port| port != 0), "ports.hostPort");
        }
        fields
    }

    /// What the author of an injected pod should know: the API server will refuse it for a container that he did not write.
    pub(super) fn warning(&self, injected: &Value) -> Option<String> {
        let init = PodView::new(injected).container(INIT)?;
        let asks = list(&init["securityContext"]["capabilities"]["add"]).iter().any(|capability| capability == "NET_ADMIN");
        (asks && self.level > Level::Privileged).then(|| {
            format!(
                "{self} refuses {INIT}, which needs NET_ADMIN to redirect traffic: enforce privileged there, let the nodes redirect \
                 (components.cni of the MeshInstall), or set sidecar.istio.io/interceptionMode: NONE and talk to the proxy directly"
            )
        })
    }
}

/// Whether an image is one of the mesh's, or one that its owner allows.
fn is_allowed(image: &str, values: &InjectionValues) -> bool {
    let repository = image.split('@').next().unwrap_or_default();
    // A colon before a slash is a registry's port.
    let repository = match repository.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => repository,
    };
    let below = |prefix: &str| repository.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'));
    below(&values.hub)
        || values.allowed_images.iter().any(|allowed| match (allowed.strip_suffix('/'), allowed.strip_suffix('*')) {
            (Some(prefix), _) => below(prefix),
            (None, Some(prefix)) => repository.starts_with(prefix),
            (None, None) => repository == allowed,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::injector::annotations::Defaults;
    use crate::model::{ProxySettings, SidecarDefaults};
    use serde_json::json;

    fn denials(level: &str, annotations: Value, own: &[Value]) -> Vec<String> {
        let (proxy_config, sidecar) = (ProxySettings::default(), SidecarDefaults::default());
        let defaults = Defaults { proxy_config: &proxy_config, sidecar: &sidecar, merge_metrics: true };
        let pod = json!({"metadata": {"annotations": annotations}});
        let options = SidecarOptions::of(&PodView::new(&pod), &defaults).unwrap();
        let labels = BTreeMap::from([(ENFORCE.to_owned(), level.to_owned())]);
        let values = InjectionValues {
            hub: "registry.local:5000/mesh".to_owned(),
            allowed_images: vec!["docker.io/team/".to_owned(), "quay.io/one/proxy".to_owned(), "ghcr.io/org/*".to_owned()],
            ..InjectionValues::default()
        };
        let place = Place::new("shop", Some(&labels));
        place.denials(&options, own.iter(), &values).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn codes_are_explained() {
        for code in ["FM3005", "FM3006"] {
            assert!(include_str!("../../docs/codes.md").contains(&format!("\n| {code} |")), "docs/codes.md has no row for {code}");
        }
    }

    #[test]
    fn a_volume_of_the_node_needs_a_privileged_namespace() {
        let volumes = || json!({"sidecar.istio.io/userVolume": r#"{"disk": {"hostPath": {"path": "/"}}, "tls": {"secret": {}}}"#});
        assert_eq!(denials("privileged", volumes(), &[]), Vec::<String>::new());
        let expected = "annotation sidecar.istio.io/userVolume: \"disk\" asks for hostPath, which namespace shop (Pod Security baseline) does not \
                        allow (FM3005)";
        assert_eq!(denials("baseline", volumes(), &[]), [expected]);
    }

    #[test]
    fn a_container_of_our_name_keeps_within_the_level() {
        let own = json!({"name": PROXY, "image": "auto", "ports": [{"containerPort": 1, "hostPort": 1}], "securityContext": {
            "privileged": true, "allowPrivilegeEscalation": true, "runAsUser": 0, "procMount": "Unmasked",
            "seccompProfile": {"type": "Unconfined"}, "capabilities": {"add": ["SYS_ADMIN", "NET_BIND_SERVICE"]},
        }});
        assert_eq!(denials("privileged", json!({}), std::slice::from_ref(&own)), Vec::<String>::new());
        assert_eq!(denials("baseline", json!({}), std::slice::from_ref(&own)).len(), 5);
        let restricted = denials("restricted", json!({}), &[own]);
        assert_eq!(restricted.len(), 7, "{restricted:#?}");
        assert!(restricted.iter().any(|denial| denial.contains("container istio-proxy asks for capability SYS_ADMIN")), "{restricted:#?}");
        let application = json!({"name": "web", "securityContext": {"privileged": true}});
        assert_eq!(denials("restricted", json!({}), &[application]), Vec::<String>::new(), "the API server judges that");
    }

    #[test]
    fn images_of_others_must_be_allowed() {
        let denied = |image: &str| !denials("baseline", json!({"sidecar.istio.io/proxyImage": image}), &[]).is_empty();
        for image in [
            "registry.local:5000/mesh/proxy:1",
            "docker.io/team/a/b@sha256:0",
            "ghcr.io/org/a:1",
            "quay.io/one/proxy",
            "quay.io/one/proxy:2",
        ] {
            assert!(!denied(image), "{image}");
        }
        for image in ["registry.local:5000/mesh-evil/proxy", "registry.local:5000/mesh", "quay.io/one/proxy2", "docker.io/teams/a", "proxy"]
        {
            assert!(denied(image), "{image}");
        }
        let own = json!({"name": PROXY, "image": "other/proxy"});
        assert!(denials("restricted", json!({}), &[own])[0].contains("(FM3006)"));
    }
}
