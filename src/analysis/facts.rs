//! What only analysis needs to know of the cluster. Each part is known or not: what is not known is `None`, and what is known and
//! absent is an empty collection.

use std::{collections::BTreeMap, sync::Arc};

use crate::config::Problem;
use crate::model::{Labels, ObjectRef};

/// Facts beside the snapshot. The default knows the snapshot's own parts and nothing else.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Which parts of the snapshot are all that there is.
    pub coverage: Coverage,
    /// Namespaces by name.
    pub namespaces: Option<BTreeMap<Arc<str>, NamespaceFacts>>,
    /// Kubernetes Services as they were written, ports that no sidecar captures among them.
    pub services: Option<BTreeMap<ObjectRef, ServiceFacts>>,
    /// Pods that have not finished.
    pub pods: Option<BTreeMap<ObjectRef, PodFacts>>,
    /// Deployments.
    pub deployments: Option<BTreeMap<ObjectRef, DeploymentFacts>>,
    /// Secrets, never their values.
    pub secrets: Option<BTreeMap<ObjectRef, SecretFacts>>,
    /// Settings of the injectors, by revision; `default` for the unnamed one.
    pub injectors: Option<BTreeMap<String, InjectorFacts>>,
    /// Webhooks that inject, in the order of their configurations' names.
    pub webhooks: Option<Vec<WebhookFacts>>,
    /// What is noted of the mesh's own objects beside their meaning; also of those that are not in the snapshot because they could not
    /// be understood.
    pub notes: BTreeMap<ObjectRef, ObjectNotes>,
}

/// Which parts of the snapshot are all that there is. What is not covered makes no check find that something is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Services and ServiceEntries.
    pub services: bool,
    /// Workloads.
    pub workloads: bool,
    /// Configuration of every kind.
    pub config: bool,
}

/// A namespace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NamespaceFacts {
    /// Its labels.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: Labels,
}

/// A Kubernetes Service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceFacts {
    /// Its labels.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: Labels,
    /// Labels of the workloads behind it.
    pub selector: Labels,
    /// Whether it stands for a name outside (`type: ExternalName`).
    pub external_name: bool,
    /// Its ports.
    pub ports: Vec<ServicePortFacts>,
}

/// A port of a Kubernetes Service.
#[derive(Clone, Debug, PartialEq)]
pub struct ServicePortFacts {
    /// Its name; empty for the unnamed one.
    pub name: String,
    /// The number that clients call.
    pub number: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub transport: String,
    /// `appProtocol`.
    pub app_protocol: Option<String>,
    /// What workloads listen on: a number or a name.
    pub target: String,
}

/// What a pod, or the template of one, says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodShape {
    /// Labels.
    pub labels: Labels,
    /// Annotations.
    pub annotations: Labels,
    /// Whether it uses its node's network.
    pub host_network: bool,
    /// The user that its containers run as where they don't say otherwise.
    pub run_as_user: Option<i64>,
    /// Its containers; init containers that run on (native sidecars) among them, others not.
    pub containers: Vec<ContainerFacts>,
}

/// A container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerFacts {
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// The user that it runs as.
    pub run_as_user: Option<i64>,
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodFacts {
    /// What it says.
    pub shape: PodShape,
}

/// A Deployment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeploymentFacts {
    /// Its labels.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: Labels,
    /// Its pods' template.
    pub template: PodShape,
}

/// A Secret, without its values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SecretFacts {
    /// `type`, for example `kubernetes.io/tls`.
    pub kind: String,
    /// The names of its keys, in order; `None` where only its existence is known.
    pub keys: Option<Vec<String>>,
}

/// What an injector writes into pods.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InjectorFacts {
    /// The image of the sidecar; `None` if it is not known.
    pub proxy_image: Option<String>,
    /// Whether namespaces without labels get sidecars.
    pub enabled_by_default: bool,
}

/// A webhook that injects.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WebhookFacts {
    /// The name of its MutatingWebhookConfiguration.
    pub configuration: Arc<str>,
    /// Its own name.
    pub name: String,
    /// The Service that it calls, as namespace and name; `None` for a URL.
    pub service: Option<(String, String)>,
    /// The namespaces that it is for.
    pub namespaces: LabelSelector,
    /// The pods that it is for.
    pub objects: LabelSelector,
}

/// A Kubernetes label selector. The empty one takes everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LabelSelector {
    /// Labels that must have just this value.
    pub labels: Labels,
    /// Further requirements.
    pub expressions: Vec<Requirement>,
}

/// A requirement of a selector.
#[derive(Clone, Debug, PartialEq)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// What is asked of it.
    pub operator: Operator,
    /// Values of `In` and `NotIn`.
    pub values: Vec<String>,
}

/// What a requirement asks of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// It is there with one of the values.
    In,
    /// It is absent or has another value.
    NotIn,
    /// It is there.
    Exists,
    /// It is absent.
    DoesNotExist,
}

/// What is noted of one of the mesh's own objects.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObjectNotes {
    /// Its annotations.
    pub annotations: Labels,
    /// Why it can't be understood; empty if it can.
    pub errors: Vec<Problem>,
    /// What its reader found doubtful.
    pub warnings: Vec<Problem>,
}

// === impl Coverage ===

impl Default for Coverage {
    fn default() -> Self {
        Self { services: true, workloads: true, config: true }
    }
}

// === impl LabelSelector ===

impl LabelSelector {
    /// Whether it takes something with these labels.
    pub fn takes(&self, labels: &Labels) -> bool {
        self.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.expressions.iter().all(|requirement| requirement.holds(labels))
    }
}

// === impl Requirement ===

impl Requirement {
    fn holds(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        let listed = value.is_some_and(|value| self.values.contains(value));
        match self.operator {
            Operator::In => listed,
            Operator::NotIn => !listed,
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}
