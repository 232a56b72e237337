//! Facts from Kubernetes' objects, as the API server or a file has them. What is malformed is left out: whoever stores such an object is
//! told by the API server.

use std::collections::BTreeMap;

use serde_json::Value;

use super::facts::{
    ContainerFacts, DeploymentFacts, Facts, InjectorFacts, LabelSelector, NamespaceFacts, Operator, PodFacts, PodShape, Requirement,
    SecretFacts, ServiceFacts, ServicePortFacts, WebhookFacts,
};
use crate::model::{Labels, ObjectRef};

/// The ConfigMap of an injector's settings; others than the unnamed control plane's end in a dash and its revision.
const INJECTOR: &str = "istio-sidecar-injector";
/// The path that injectors are called at.
const INJECT: &str = "/inject";

impl Facts {
    /// Learns from an object of a kind that analysis reads: Namespace, Service, Pod, Deployment, Secret (names of keys, never values),
    /// the injector's ConfigMap, MutatingWebhookConfiguration. An object without a namespace is of `default_namespace`. Returns whether
    /// it was of such a kind. To say that a kind is known although there is no object of it, set its collection to an empty one before.
    pub fn learn(&mut self, object: &Value, default_namespace: &str) -> bool {
        let metadata = &object["metadata"];
        let namespace = text(&metadata["namespace"]).unwrap_or(default_namespace);
        let Some(name) = text(&metadata["name"]).or_else(|| text(&metadata["generateName"])) else { return false };
        let named = |kind| ObjectRef::new(kind, namespace, name);
        match (text(&object["apiVersion"]).unwrap_or_default(), text(&object["kind"]).unwrap_or_default()) {
            ("v1", "Namespace") => {
                let facts = NamespaceFacts { labels: labels(&metadata["labels"]), annotations: labels(&metadata["annotations"]) };
                self.namespaces.get_or_insert_default().insert(name.into(), facts);
            }
            ("v1", "Service") => _ = self.services.get_or_insert_default().insert(named("Service"), service(object)),
            ("v1", "Pod") => {
                let finished = matches!(text(&object["status"]["phase"]), Some("Succeeded" | "Failed"));
                let pods = self.pods.get_or_insert_default();
                if !finished {
                    pods.insert(named("Pod"), PodFacts { shape: shape(object) });
                }
            }
            ("apps/v1", "Deployment") => {
                let facts = DeploymentFacts {
                    labels: labels(&metadata["labels"]),
                    annotations: labels(&metadata["annotations"]),
                    template: shape(&object["spec"]["template"]),
                };
                self.deployments.get_or_insert_default().insert(named("Deployment"), facts);
            }
            ("v1", "Secret") => _ = self.secrets.get_or_insert_default().insert(named("Secret"), secret(object)),
            ("v1", "ConfigMap") if name.starts_with(INJECTOR) => {
                let revision = name.strip_prefix(INJECTOR).and_then(|rest| rest.strip_prefix('-')).unwrap_or("default");
                if let Some(facts) = injector(object) {
                    self.injectors.get_or_insert_default().insert(revision.to_owned(), facts);
                }
            }
            ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration") => {
                let webhooks = self.webhooks.get_or_insert_default();
                webhooks.extend(items(&object["webhooks"]).filter_map(|one| webhook(name, one)));
                webhooks.sort_by(|one, other| (&one.configuration, &one.name).cmp(&(&other.configuration, &other.name)));
            }
            _ => return false,
        }
        true
    }
}

fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

fn owned(value: &Value) -> String {
    text(value).unwrap_or_default().to_owned()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn labels(value: &Value) -> Labels {
    let entries = value.as_object().into_iter().flatten();
    entries.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

fn service(object: &Value) -> ServiceFacts {
    let (metadata, spec) = (&object["metadata"], &object["spec"]);
    ServiceFacts {
        labels: labels(&metadata["labels"]),
        annotations: labels(&metadata["annotations"]),
        selector: labels(&spec["selector"]),
        external_name: text(&spec["type"]) == Some("ExternalName"),
        ports: items(&spec["ports"]).filter_map(service_port).collect(),
    }
}

fn service_port(port: &Value) -> Option<ServicePortFacts> {
    let number = u16::try_from(port["port"].as_u64()?).ok()?;
    let target = match &port["targetPort"] {
        Value::String(name) if !name.is_empty() => name.clone(),
        Value::Number(target) if target.as_u64() != Some(0) => target.to_string(),
        _ => number.to_string(),
    };
    Some(ServicePortFacts {
        name: owned(&port["name"]),
        number,
        transport: text(&port["protocol"]).unwrap_or("TCP").to_owned(),
        app_protocol: text(&port["appProtocol"]).map(str::to_owned),
        target,
    })
}

/// Of a pod, or of the template of one.
fn shape(pod: &Value) -> PodShape {
    let (metadata, spec) = (&pod["metadata"], &pod["spec"]);
    let lasting = items(&spec["initContainers"]).filter(|container| text(&container["restartPolicy"]) == Some("Always"));
    PodShape {
        labels: labels(&metadata["labels"]),
        annotations: labels(&metadata["annotations"]),
        host_network: spec["hostNetwork"].as_bool().unwrap_or_default(),
        run_as_user: spec["securityContext"]["runAsUser"].as_i64(),
        containers: items(&spec["containers"]).chain(lasting).map(container).collect(),
    }
}

fn container(container: &Value) -> ContainerFacts {
    ContainerFacts {
        name: owned(&container["name"]),
        image: owned(&container["image"]),
        run_as_user: container["securityContext"]["runAsUser"].as_i64(),
    }
}

/// The names of the keys alone: the values are nobody's business.
fn secret(object: &Value) -> SecretFacts {
    let keys = [&object["data"], &object["stringData"]];
    let found: BTreeMap<&String, ()> =
        keys.iter().flat_map(|keys| keys.as_object().into_iter().flatten()).map(|(key, _)| (key, ())).collect();
    let known = keys.iter().any(|keys| keys.is_object());
    SecretFacts { kind: owned(&object["type"]), keys: known.then(|| found.into_keys().cloned().collect()) }
}

/// Settings of the injector, in this mesh's form (`hub`, `tag`) or the reference's (`global.hub`, `global.tag`, `global.proxy.image`).
fn injector(object: &Value) -> Option<InjectorFacts> {
    let values: Value = serde_json::from_str(text(&object["data"]["values"])?).ok()?;
    let (settings, own_name) = match &values["global"] {
        Value::Null => (&values, "ferromesh-proxy"),
        global => (global, "proxyv2"),
    };
    let image = text(&settings["proxy"]["image"]).unwrap_or(own_name);
    let built = || Some(format!("{}/{image}:{}", text(&settings["hub"])?, text(&settings["tag"])?));
    Some(InjectorFacts {
        proxy_image: if image.contains('/') { Some(image.to_owned()) } else { built() },
        enabled_by_default: values["sidecarInjectorWebhook"]["enableNamespacesByDefault"].as_bool().unwrap_or_default(),
    })
}

/// A webhook that injects: it is known by the path that it is called at.
fn webhook(configuration: &str, webhook: &Value) -> Option<WebhookFacts> {
    let service = &webhook["clientConfig"]["service"];
    let path = text(&service["path"]).or_else(|| text(&webhook["clientConfig"]["url"]))?;
    path.contains(INJECT).then(|| WebhookFacts {
        configuration: configuration.into(),
        name: owned(&webhook["name"]),
        service: text(&service["namespace"]).zip(text(&service["name"])).map(|(namespace, name)| (namespace.to_owned(), name.to_owned())),
        namespaces: selector(&webhook["namespaceSelector"]),
        objects: selector(&webhook["objectSelector"]),
    })
}

fn selector(value: &Value) -> LabelSelector {
    let requirement = |it: &Value| {
        let operator = match text(&it["operator"])? {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            _ => return None,
        };
        let values = items(&it["values"]).filter_map(Value::as_str).map(str::to_owned).collect();
        Some(Requirement { key: owned(&it["key"]), operator, values })
    };
    LabelSelector {
        labels: labels(&value["matchLabels"]),
        expressions: items(&value["matchExpressions"]).filter_map(requirement).collect(),
    }
}
