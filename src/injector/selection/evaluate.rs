//! What the selectors come to for one pod, and why.

use super::{
    Entry, Labels,
    entries::{INJECTION, NAMESPACE},
};
use crate::injector::{decide::INJECT, pod::PodView};
use crate::model::{LabelSelector, Operator};

/// What a webhook configuration does with a pod, and the labels that decided. The words are those of the reference's command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Whether the injector is asked.
    pub injected: bool,
    /// Why, or why not.
    pub reason: String,
}

/// The entry that asks about a pod, by the labels of its namespace and its own.
#[must_use]
pub fn selecting<'e>(entries: &'e [Entry], namespace: &Labels, pod: &Labels) -> Option<&'e Entry> {
    entries.iter().find(|entry| entry.namespaces.matches(namespace) && entry.pods.matches(pod))
}

/// Why a pod that the selectors choose is not asked about all the same, by the configuration's conditions: their meaning, in Rust.
#[must_use]
pub fn exempt(pod: &PodView<'_>) -> Option<&'static str> {
    if pod.label("app.kubernetes.io/part-of") == Some("ferromesh") {
        return Some("pods of the mesh itself (label app.kubernetes.io/part-of=ferromesh) are not injected");
    }
    let mirror = pod.annotation("kubernetes.io/config.mirror").is_some();
    mirror.then_some("static pods (annotation kubernetes.io/config.mirror) can't be injected: their kubelet has them from a file")
}

/// Explains what the selectors come to.
///
/// The reference's command stops at the first entry that fits by half; this one names what prevents injection only once no entry asks.
#[must_use]
pub fn explain(entries: &[Entry], namespace: &Labels, pod: &Labels) -> Explanation {
    if let Some(entry) = selecting(entries, namespace, pod) {
        return Explanation { injected: true, reason: matches(entry, namespace, pod) };
    }
    let by_namespace = entries.iter().filter(|entry| entry.namespaces.matches(namespace));
    let by_pod = entries.iter().filter(|entry| entry.pods.matches(pod));
    let prevented = by_namespace
        .filter_map(|entry| prevents(&entry.pods, pod).map(|label| format!("Pod has {label} label, preventing injection")))
        .chain(by_pod.filter_map(|entry| {
            let label = refusal(namespace).or_else(|| system(&entry.namespaces, namespace))?;
            Some(format!("Namespace has {label} label, preventing injection"))
        }))
        .next();
    Explanation { injected: false, reason: prevented.unwrap_or_else(|| nothing_matches(entries)) }
}

/// Why an entry asks about a pod.
fn matches(entry: &Entry, namespace: &Labels, pod: &Labels) -> String {
    match (wanted(&entry.namespaces, namespace), wanted(&entry.pods, pod)) {
        (Some(namespace), Some(pod)) => format!("Namespace label {namespace} matches, and pod label {pod} matches"),
        (Some(namespace), None) => format!("Namespace label {namespace} matches"),
        (None, Some(pod)) => format!("Pod label {pod} matches"),
        (None, None) => "Automatic injection is enabled in all namespaces".to_owned(),
    }
}

/// The label that a selector asks for and finds.
fn wanted(selector: &LabelSelector, labels: &Labels) -> Option<String> {
    let by_value = selector.match_labels.keys().map(String::as_str);
    let asks = |operator| matches!(operator, Operator::In | Operator::Exists);
    let by_expression = selector.match_expressions.iter().filter(|it| asks(it.operator)).map(|it| it.key.as_str());
    let key = by_value.chain(by_expression).find(|key| labels.contains_key(*key))?;
    Some(format!("{key}={}", labels[key]))
}

/// The label that a selector must not find and does.
fn prevents(selector: &LabelSelector, labels: &Labels) -> Option<String> {
    let hit = selector.match_expressions.iter().find(|it| match it.operator {
        Operator::DoesNotExist => labels.contains_key(&it.key),
        Operator::NotIn => labels.get(&it.key).is_some_and(|value| it.values.contains(value)),
        Operator::In | Operator::Exists => false,
    })?;
    Some(format!("{}={}", hit.key, labels[&hit.key]))
}

/// The label by which a namespace refuses injection.
fn refusal(namespace: &Labels) -> Option<String> {
    let says_no = |key: &&str| namespace.get(*key).is_some_and(|value| !matches!(value.as_str(), "enabled" | "true"));
    let key = [INJECTION, INJECT].into_iter().find(says_no)?;
    Some(format!("{key}={}", namespace[key]))
}

/// The name of a namespace that is left out by its name.
fn system(selector: &LabelSelector, namespace: &Labels) -> Option<String> {
    prevents(selector, namespace).filter(|label| label.starts_with(NAMESPACE))
}

fn nothing_matches(entries: &[Entry]) -> String {
    let asked = |selector: fn(&Entry) -> &LabelSelector| {
        let mut labels: Vec<String> = Vec::new();
        for entry in entries {
            let selector = selector(entry);
            labels.extend(selector.match_labels.iter().map(|(key, value)| format!("{key}={value}")));
            let named = selector.match_expressions.iter().filter(|it| it.operator == Operator::In);
            labels.extend(named.flat_map(|it| it.values.iter().map(move |value| format!("{}={value}", it.key))));
        }
        let mut seen = std::collections::BTreeSet::new();
        labels.retain(|label| seen.insert(label.clone()));
        labels.join(", ")
    };
    format!("No matching namespace labels ({}) or pod labels ({})", asked(|it| &it.namespaces), asked(|it| &it.pods))
}
