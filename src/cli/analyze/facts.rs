//! Kubernetes' objects as the facts that analysis asks for.

use k8s_openapi::{
    api::{
        admissionregistration::v1::MutatingWebhookConfiguration,
        apps::v1::Deployment,
        core::v1::{Container, Pod, PodSpec, Service},
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector as ApiSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};
use serde_json::Value;

use crate::analysis::{
    ContainerFacts, DeploymentFacts, LabelSelector, NamespaceFacts, Operator, PodFacts, PodShape, Requirement, SecretFacts, ServiceFacts,
    ServicePortFacts, WebhookFacts,
};
use crate::model::Labels;

/// The path that injectors are called at.
const INJECT: &str = "/inject";

fn labels(metadata: &ObjectMeta) -> Labels {
    metadata.labels.clone().unwrap_or_default()
}

fn annotations(metadata: &ObjectMeta) -> Labels {
    metadata.annotations.clone().unwrap_or_default()
}

pub(super) fn namespace(metadata: &ObjectMeta) -> NamespaceFacts {
    NamespaceFacts { labels: labels(metadata), annotations: annotations(metadata) }
}

pub(super) fn service(service: &Service) -> ServiceFacts {
    let spec = service.spec.clone().unwrap_or_default();
    let port = |port: k8s_openapi::api::core::v1::ServicePort| {
        let number = u16::try_from(port.port).ok()?;
        let target = match port.target_port {
            Some(IntOrString::Int(number)) => number.to_string(),
            Some(IntOrString::String(name)) => name,
            None => number.to_string(),
        };
        Some(ServicePortFacts {
            name: port.name.unwrap_or_default(),
            number,
            transport: port.protocol.unwrap_or_else(|| "TCP".to_owned()),
            app_protocol: port.app_protocol,
            target,
        })
    };
    ServiceFacts {
        labels: labels(&service.metadata),
        annotations: annotations(&service.metadata),
        selector: spec.selector.unwrap_or_default(),
        external_name: spec.type_.as_deref() == Some("ExternalName"),
        ports: spec.ports.into_iter().flatten().filter_map(port).collect(),
    }
}

/// A pod, unless it has finished.
pub(super) fn pod(pod: &Pod) -> Option<PodFacts> {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let finished = matches!(phase, Some("Succeeded" | "Failed"));
    (!finished).then(|| PodFacts { shape: shape(&pod.metadata, pod.spec.as_ref()) })
}

pub(super) fn deployment(deployment: &Deployment) -> DeploymentFacts {
    let template = deployment.spec.as_ref().map(|spec| &spec.template);
    let metadata = template.and_then(|template| template.metadata.clone()).unwrap_or_default();
    DeploymentFacts {
        labels: labels(&deployment.metadata),
        annotations: annotations(&deployment.metadata),
        template: shape(&metadata, template.and_then(|template| template.spec.as_ref())),
    }
}

fn shape(metadata: &ObjectMeta, spec: Option<&PodSpec>) -> PodShape {
    let container = |container: &Container| ContainerFacts {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        run_as_user: container.security_context.as_ref().and_then(|context| context.run_as_user),
    };
    let lasting = |container: &&Container| container.restart_policy.as_deref() == Some("Always");
    let init = spec.into_iter().flat_map(|spec| spec.init_containers.iter().flatten()).filter(lasting);
    let containers = spec.into_iter().flat_map(|spec| &spec.containers);
    PodShape {
        labels: labels(metadata),
        annotations: annotations(metadata),
        host_network: spec.and_then(|spec| spec.host_network).unwrap_or_default(),
        run_as_user: spec.and_then(|spec| spec.security_context.as_ref()).and_then(|context| context.run_as_user),
        containers: containers.chain(init).map(container).collect(),
    }
}

/// A Secret. Its values are not looked at; where it has none at all it is one of which only the existence is known.
pub(super) fn secret(secret: &Value) -> SecretFacts {
    let maps: Vec<_> = ["data", "stringData"].into_iter().filter_map(|name| secret[name].as_object()).collect();
    let mut keys: Vec<String> = maps.iter().flat_map(|map| map.keys().cloned()).collect();
    keys.sort();
    SecretFacts { kind: secret["type"].as_str().unwrap_or_default().to_owned(), keys: (!maps.is_empty()).then_some(keys) }
}

/// The webhooks of a configuration that inject sidecars.
pub(super) fn webhooks(configuration: &MutatingWebhookConfiguration) -> Vec<WebhookFacts> {
    let name = configuration.metadata.name.as_deref().unwrap_or_default();
    let mut found = Vec::new();
    for webhook in configuration.webhooks.iter().flatten() {
        let service = webhook.client_config.service.as_ref();
        let path = service.and_then(|service| service.path.as_deref()).or(webhook.client_config.url.as_deref());
        if path.is_some_and(|path| path.contains(INJECT)) {
            found.push(WebhookFacts {
                configuration: name.into(),
                name: webhook.name.clone(),
                service: service.map(|service| (service.namespace.clone(), service.name.clone())),
                namespaces: selector(webhook.namespace_selector.as_ref()),
                objects: selector(webhook.object_selector.as_ref()),
            });
        }
    }
    found
}

fn selector(selector: Option<&ApiSelector>) -> LabelSelector {
    let Some(selector) = selector else { return LabelSelector::default() };
    let requirement = |requirement: &k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement| {
        let operator = match requirement.operator.as_str() {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            _ => return None,
        };
        Some(Requirement { key: requirement.key.clone(), operator, values: requirement.values.clone().unwrap_or_default() })
    };
    LabelSelector {
        labels: selector.match_labels.clone().unwrap_or_default(),
        expressions: selector.match_expressions.iter().flatten().filter_map(requirement).collect(),
    }
}
