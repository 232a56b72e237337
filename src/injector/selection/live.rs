//! What a cluster's webhook configurations really select.

use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, MutatingWebhookConfiguration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1;

use super::{Entry, entries::CONDITIONS};
use crate::model::{LabelSelector, Operator, Requirement};

/// A configuration of an injector, as far as it says what happens to pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// The object's name.
    pub name: String,
    /// The control plane's revision.
    pub revision: String,
    /// Its webhooks about pods.
    pub entries: Vec<Entry>,
    /// Whether pods start without a sidecar while the injector is away; otherwise they wait.
    pub lenient: bool,
    /// Names of conditions beside ours: what they come to, only the API server can tell.
    pub unknown_conditions: Vec<String>,
    /// Whether it leaves out the pods that [`super::exempt`] names.
    pub exempts: bool,
}

/// What every injection webhook's name ends in, ours and the reference's.
const SUFFIX: &str = "istio.io";

/// Reads a configuration; none if it holds no webhook of an injector.
#[must_use]
pub fn parse(configuration: &MutatingWebhookConfiguration) -> Option<Configuration> {
    let webhooks = configuration.webhooks.iter().flatten().filter(|webhook| webhook.name.ends_with(SUFFIX) && asks_about_pods(webhook));
    let webhooks: Vec<&MutatingWebhook> = webhooks.collect();
    if webhooks.is_empty() {
        return None;
    }
    let labels = configuration.metadata.labels.as_ref();
    let conditions = || webhooks.iter().flat_map(|webhook| webhook.match_conditions.iter().flatten());
    let ours = |name: &str, expression: &str| CONDITIONS.iter().any(|ours| ours.name == name && ours.expression == expression);
    let mut unknown: Vec<String> = conditions().filter(|it| !ours(&it.name, &it.expression)).map(|it| it.name.clone()).collect();
    unknown.dedup();
    Some(Configuration {
        name: configuration.metadata.name.clone().unwrap_or_default(),
        revision: labels.and_then(|labels| labels.get("istio.io/rev")).cloned().unwrap_or_default(),
        lenient: webhooks.iter().all(|webhook| webhook.failure_policy.as_deref() == Some("Ignore")),
        exempts: conditions().any(|it| ours(&it.name, &it.expression)),
        unknown_conditions: unknown,
        entries: webhooks.into_iter().filter_map(entry).collect(),
    })
}

/// Whether it is asked when a pod is made.
fn asks_about_pods(webhook: &MutatingWebhook) -> bool {
    let holds = |list: Option<&Vec<String>>, value: &str| list.is_some_and(|list| list.iter().any(|it| it == value || it == "*"));
    webhook.rules.iter().flatten().any(|rule| {
        holds(rule.resources.as_ref(), "pods") && holds(rule.operations.as_ref(), "CREATE") && holds(rule.api_groups.as_ref(), "")
    })
}

/// None for a selector that the API server would not have taken.
fn entry(webhook: &MutatingWebhook) -> Option<Entry> {
    Some(Entry {
        name: webhook.name.clone(),
        namespaces: selector(webhook.namespace_selector.as_ref())?,
        pods: selector(webhook.object_selector.as_ref())?,
    })
}

/// One that is not there chooses everything.
fn selector(given: Option<&v1::LabelSelector>) -> Option<LabelSelector> {
    let Some(given) = given else { return Some(LabelSelector::default()) };
    let requirement = |it: &v1::LabelSelectorRequirement| {
        let operator = match it.operator.as_str() {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            _ => return None,
        };
        Some(Requirement { key: it.key.clone(), operator, values: it.values.clone().unwrap_or_default() })
    };
    Some(LabelSelector {
        match_labels: given.match_labels.clone().unwrap_or_default(),
        match_expressions: given.match_expressions.iter().flatten().map(requirement).collect::<Option<_>>()?,
    })
}
