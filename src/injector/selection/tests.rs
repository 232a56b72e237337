//! The table against the rules in prose, against Kubernetes' own semantics, and its conditions in CEL.

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::core::cel::{Validator, compile_schema};
use serde_json::{Value, json};

use super::*;
use crate::injector::pod::PodView;

const INJECTION: [Option<&str>; 4] = [None, Some("enabled"), Some("disabled"), Some("")];
const REVISIONS: [Option<&str>; 3] = [None, Some("default"), Some("canary")];
const INJECT: [Option<&str>; 4] = [None, Some("true"), Some("false"), Some("yes")];
const NAMES: [&str; 3] = ["shop", "kube-system", "istio-system"];

/// The labels of one case.
struct Case {
    name: &'static str,
    injection: Option<&'static str>,
    namespace_revision: Option<&'static str>,
    inject: Option<&'static str>,
    pod_revision: Option<&'static str>,
}

impl Case {
    fn all() -> impl Iterator<Item = Self> {
        NAMES.into_iter().flat_map(|name| {
            INJECTION.into_iter().flat_map(move |injection| {
                REVISIONS.into_iter().flat_map(move |namespace_revision| {
                    INJECT.into_iter().flat_map(move |inject| {
                        REVISIONS.into_iter().map(move |pod_revision| Self { name, injection, namespace_revision, inject, pod_revision })
                    })
                })
            })
        })
    }

    fn namespace(&self) -> Labels {
        labels(&[
            ("kubernetes.io/metadata.name", Some(self.name)),
            ("istio-injection", self.injection),
            ("istio.io/rev", self.namespace_revision),
        ])
    }

    fn pod(&self) -> Labels {
        labels(&[("app", Some("web")), ("sidecar.istio.io/inject", self.inject), ("istio.io/rev", self.pod_revision)])
    }

    /// The rules in prose: what the namespace says counts before what the pod says, `istio-injection` before `istio.io/rev`.
    fn is_asked_about(&self, revision: &str, by_default: bool) -> bool {
        let first = revision == "default";
        let refused = self.inject == Some("false");
        if self.name == "kube-system" {
            return false;
        }
        match (self.injection, self.namespace_revision, self.pod_revision) {
            (Some("enabled"), ..) => first && !refused,
            (Some(_), ..) => false,
            (None, Some(chosen), _) => chosen == revision && !refused,
            (None, None, Some(chosen)) => chosen == revision && !refused,
            (None, None, None) => first && (self.inject == Some("true") || by_default && self.inject.is_none()),
        }
    }
}

fn labels(pairs: &[(&str, Option<&str>)]) -> Labels {
    pairs.iter().filter_map(|(key, value)| Some(((*key).to_owned(), (*value)?.to_owned()))).collect()
}

fn table(revision: &str, enable_namespaces_by_default: bool) -> Vec<Entry> {
    entries(&SelectionSettings { revision, enable_namespaces_by_default })
}

/// The configuration as the API server would store it.
fn stored(entries: &[Entry], policy: &str) -> MutatingWebhookConfiguration {
    let webhook = |entry: &Entry| {
        let mut webhook = entry.json("sidecar-injector.istio.io");
        let rest = json!({"clientConfig": {}, "sideEffects": "None", "admissionReviewVersions": ["v1"], "failurePolicy": policy,
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}]});
        webhook.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        webhook
    };
    let webhooks: Vec<Value> = entries.iter().map(webhook).collect();
    serde_json::from_value(
        json!({"metadata": {"name": "istio-sidecar-injector", "labels": {"istio.io/rev": "default"}}, "webhooks": webhooks}),
    )
    .unwrap()
}

/// Kubernetes' rules once more, over the selector's JSON and written another way: a requirement names a set of values, and whether the
/// label has to be in it, out of it, or only there.
fn kubernetes_selects(selector: &Value, labels: &Labels) -> bool {
    let value = |key: &Value| labels.get(key.as_str().unwrap()).map(|value| json!(value));
    let equal = selector["matchLabels"]
        .as_object()
        .is_none_or(|all| all.iter().all(|(key, wanted)| labels.get(key).map(|it| json!(it)).as_ref() == Some(wanted)));
    let set = |requirement: &Value| requirement["values"].as_array().cloned().unwrap_or_default();
    equal
        && selector["matchExpressions"].as_array().is_none_or(|all| {
            !all.iter().any(|it| match (it["operator"].as_str().unwrap(), value(&it["key"])) {
                ("In", None) | ("Exists", None) | ("DoesNotExist", Some(_)) => true,
                ("In", Some(value)) => !set(it).contains(&value),
                ("NotIn", Some(value)) => set(it).contains(&value),
                _ => false,
            })
        })
}

#[test]
fn the_table_says_what_the_rules_say_for_every_combination_of_labels() {
    for (revision, by_default) in [("default", false), ("default", true), ("canary", false), ("canary", true)] {
        let table = table(revision, by_default);
        for case in Case::all() {
            let (namespace, pod) = (case.namespace(), case.pod());
            let asked = selecting(&table, &namespace, &pod).is_some();
            assert_eq!(asked, case.is_asked_about(revision, by_default), "{revision} {by_default} {namespace:?} {pod:?}");
            assert_eq!(explain(&table, &namespace, &pod).injected, asked, "{namespace:?} {pod:?}");
            let of_two = table.iter().filter(|it| it.namespaces.matches(&namespace) && it.pods.matches(&pod)).count();
            assert!(of_two <= 1, "asked about {of_two} times: {namespace:?} {pod:?}");
        }
    }
}

#[test]
fn what_is_read_back_from_the_cluster_selects_as_kubernetes_does() {
    let stored = stored(&table("default", true), "Fail");
    let read = parse(&stored).unwrap();
    assert_eq!((read.revision.as_str(), read.lenient, read.exempts, read.entries.len()), ("default", false, true, 5));
    assert_eq!(read.unknown_conditions, Vec::<String>::new());
    let webhooks = serde_json::to_value(stored.webhooks).unwrap();
    for case in Case::all() {
        let (namespace, pod) = (case.namespace(), case.pod());
        for (entry, webhook) in read.entries.iter().zip(webhooks.as_array().unwrap()) {
            let asks =
                kubernetes_selects(&webhook["namespaceSelector"], &namespace) && kubernetes_selects(&webhook["objectSelector"], &pod);
            assert_eq!(entry.namespaces.matches(&namespace) && entry.pods.matches(&pod), asks, "{} {namespace:?} {pod:?}", entry.name);
        }
    }
}

#[test]
fn configurations_of_others_are_told_apart() {
    let mut other = stored(&table("default", false), "Ignore");
    for webhook in other.webhooks.iter_mut().flatten() {
        webhook.match_conditions.as_mut().unwrap()[0].name = "own".to_owned();
    }
    let read = parse(&other).unwrap();
    assert_eq!((read.lenient, read.unknown_conditions), (true, vec!["own".to_owned()]));
    for webhook in other.webhooks.iter_mut().flatten() {
        webhook.rules.as_mut().unwrap()[0].resources = Some(vec!["services".to_owned()]);
    }
    assert_eq!(parse(&other), None, "nobody is asked about pods");
    assert_eq!(parse(&serde_json::from_value(json!({"metadata": {"name": "x"}, "webhooks": []})).unwrap()), None);
}

#[test]
fn the_label_that_decided_is_named() {
    let table = table("default", false);
    let told = |namespace: &[(&str, Option<&str>)], pod: &[(&str, Option<&str>)]| {
        let named = [namespace, &[("kubernetes.io/metadata.name", Some("shop"))]].concat();
        explain(&table, &labels(&named), &labels(pod)).reason
    };
    let enabled = [("istio-injection", Some("enabled"))];
    let disabled = [("istio-injection", Some("disabled"))];
    let wish = |value| [("sidecar.istio.io/inject", Some(value))];
    assert_eq!(told(&enabled, &[]), "Namespace label istio-injection=enabled matches");
    assert_eq!(told(&[], &wish("true")), "Pod label sidecar.istio.io/inject=true matches");
    assert_eq!(told(&enabled, &wish("false")), "Pod has sidecar.istio.io/inject=false label, preventing injection");
    assert_eq!(told(&disabled, &wish("true")), "Namespace has istio-injection=disabled label, preventing injection");
    assert_eq!(
        told(&[], &[]),
        "No matching namespace labels (istio.io/rev=default, istio-injection=enabled) or pod labels (istio.io/rev=default, sidecar.istio.io/inject=true)"
    );
    let of_system = explain(&table, &labels(&[("kubernetes.io/metadata.name", Some("kube-system"))]), &Labels::new()).reason;
    assert_eq!(of_system, "Namespace has kubernetes.io/metadata.name=kube-system label, preventing injection");
    let auto = entries(&SelectionSettings { revision: "default", enable_namespaces_by_default: true });
    assert_eq!(explain(&auto, &Labels::new(), &Labels::new()).reason, "Automatic injection is enabled in all namespaces");
}

/// The conditions as the API server evaluates them: `object` is what CEL rules of a schema call `self`.
fn conditions_hold(pod: &Value) -> bool {
    let rules: Vec<Value> =
        CONDITIONS.iter().map(|it| json!({"rule": it.expression.replace("object.", "self."), "message": it.name})).collect();
    let map = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let metadata = json!({"type": "object", "properties": {"labels": map, "annotations": map, "name": {"type": "string"}}});
    let schema = compile_schema(&json!({"type": "object", "properties": {"metadata": metadata}, "x-kubernetes-validations": rules}));
    assert!(schema.compilation_errors().is_empty(), "a condition that is no CEL");
    let Err(errors) = Validator::default().validate_compiled(&schema, pod, None) else { return true };
    // A rule that fails to evaluate would close the door under `Fail`; one that does not hold is an answer.
    for error in errors {
        assert!(CONDITIONS.iter().any(|it| error.message == it.name), "{error:?}");
    }
    false
}

#[test]
fn conditions_keep_mesh_and_static_pods_out_and_never_fail() {
    let mesh = json!({"app.kubernetes.io/part-of": "ferromesh"});
    let static_ = json!({"kubernetes.io/config.mirror": "x"});
    for (metadata, asked) in [
        (json!({"name": "a"}), true),
        (json!({"name": "a", "labels": {}, "annotations": {}}), true),
        (json!({"name": "a", "labels": {"app.kubernetes.io/part-of": "shop"}}), true),
        (json!({"name": "a", "labels": mesh}), false),
        (json!({"name": "a", "annotations": static_}), false),
        (json!({"name": "a", "labels": {"app": "x"}, "annotations": {"y": "z"}}), true),
    ] {
        let pod = json!({"metadata": metadata});
        assert_eq!(conditions_hold(&pod), asked, "{pod}");
        assert_eq!(exempt(&PodView::new(&pod)).is_none(), asked, "{pod}");
    }
}
