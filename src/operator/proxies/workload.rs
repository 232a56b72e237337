//! How a workload stands: whether it is at rest, what a restart of it would cost, and what keeps it from one.

use k8s_openapi::{
    api::{
        apps::v1::{DaemonSet, Deployment, StatefulSet},
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};
use std::fmt;

use super::roll::Rollout;
use crate::injector::Labels;

/// A kind of workload that can be restarted by its template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    DaemonSet,
    Deployment,
    StatefulSet,
}

/// Names a workload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WorkloadKey {
    pub(super) namespace: String,
    pub(super) kind: Kind,
    pub(super) name: String,
}

/// Written on a workload that was restarted: for what, as long as it has not been seen to help.
pub(super) const ROLLED: &str = "install.ferromesh.dev/rolled";
/// What `kubectl rollout restart` writes into the template, so that both look the same in a workload's history.
pub(super) const RESTARTED: &str = "kubectl.kubernetes.io/restartedAt";

// === impl Kind ===

impl Kind {
    /// The kind of that name, in whatever version of its group.
    pub(super) fn of(api_version: &str, kind: &str) -> Option<Self> {
        match (api_version.split('/').next(), kind) {
            (Some("apps"), "DaemonSet") => Some(Self::DaemonSet),
            (Some("apps"), "Deployment") => Some(Self::Deployment),
            (Some("apps"), "StatefulSet") => Some(Self::StatefulSet),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::DaemonSet => "DaemonSet",
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
        }
    }
}

/// `Deployment shop/web`.
impl fmt::Display for WorkloadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind.name(), self.namespace, self.name)
    }
}

/// Counts of a workload's status.
struct Counts {
    observed: Option<i64>,
    wanted: i32,
    updated: i32,
    all: i32,
    available: i32,
}

// === impl Counts ===

impl Counts {
    /// Whether every pod is of the newest template and answers, and none of an older one is left.
    fn complete(&self, metadata: &ObjectMeta) -> bool {
        self.observed >= metadata.generation && self.updated >= self.wanted && self.available >= self.wanted && self.all <= self.updated
    }
}

/// How a Deployment stands.
pub(super) fn deployment(object: &Deployment, budgets: &[PodDisruptionBudget]) -> Rollout {
    let spec = object.spec.clone().unwrap_or_default();
    let status = object.status.clone().unwrap_or_default();
    let wanted = spec.replicas.unwrap_or(1);
    let counts = Counts {
        observed: status.observed_generation,
        wanted,
        updated: status.updated_replicas.unwrap_or(0),
        all: status.replicas.unwrap_or(0),
        available: status.available_replicas.unwrap_or(0),
    };
    let strategy = spec.strategy.unwrap_or_default();
    let rolling = strategy.rolling_update.unwrap_or_default();
    let recreates = strategy.type_.as_deref() == Some("Recreate");
    let quarter = IntOrString::String("25%".to_owned());
    let surge = share(rolling.max_surge.as_ref().unwrap_or(&quarter), wanted, true);
    let mut least = share(rolling.max_unavailable.as_ref().unwrap_or(&quarter), wanted, false);
    // Kubernetes takes one away where rounding leaves no room at all.
    if surge == 0 && least == 0 {
        least = 1;
    }
    let stuck = status.conditions.iter().flatten().find(|it| it.type_ == "Progressing" && it.status == "False");
    let labels = spec.template.metadata.as_ref().and_then(|it| it.labels.clone()).unwrap_or_default();
    Rollout {
        complete: counts.complete(&object.metadata),
        idle: wanted == 0,
        by_hand: spec.paused.unwrap_or(false).then(|| "it is paused".to_owned()),
        stuck: stuck.map(|it| it.message.clone().unwrap_or_else(|| "its progress deadline is exceeded".to_owned())),
        surge: if recreates { 0 } else { surge },
        allowed: (recreates || least > 0).then(|| allowed(budgets, &labels)).flatten(),
        rolled: rolled(&object.metadata),
        restarted: restarted(spec.template.metadata.as_ref()),
    }
}

/// How a StatefulSet stands.
pub(super) fn stateful_set(object: &StatefulSet, budgets: &[PodDisruptionBudget]) -> Rollout {
    let spec = object.spec.clone().unwrap_or_default();
    let status = object.status.clone().unwrap_or_default();
    let wanted = spec.replicas.unwrap_or(1);
    let partition = spec.update_strategy.as_ref().and_then(|it| it.rolling_update.as_ref()?.partition).unwrap_or(0);
    // Pods below the partition keep their template for as long as its owner wants.
    let counts = Counts {
        observed: status.observed_generation,
        wanted,
        updated: status.updated_replicas.unwrap_or(0).saturating_add(partition.min(wanted)),
        all: status.replicas,
        available: status.available_replicas.unwrap_or(0),
    };
    let type_ = spec.update_strategy.as_ref().and_then(|it| it.type_.as_deref());
    let by_hand = match (type_, partition) {
        (Some("OnDelete"), _) => Some("its update strategy is OnDelete".to_owned()),
        (_, partition) if partition > 0 => Some(format!("its update strategy has partition {partition}")),
        _ => None,
    };
    let labels = spec.template.metadata.as_ref().and_then(|it| it.labels.clone()).unwrap_or_default();
    Rollout {
        complete: counts.complete(&object.metadata),
        idle: wanted == 0,
        by_hand,
        stuck: None,
        surge: 0,
        allowed: allowed(budgets, &labels),
        rolled: rolled(&object.metadata),
        restarted: restarted(spec.template.metadata.as_ref()),
    }
}

/// How a DaemonSet stands.
pub(super) fn daemon_set(object: &DaemonSet, budgets: &[PodDisruptionBudget]) -> Rollout {
    let spec = object.spec.clone().unwrap_or_default();
    let status = object.status.clone().unwrap_or_default();
    let wanted = status.desired_number_scheduled;
    let updated = status.updated_number_scheduled.unwrap_or(0);
    let counts =
        Counts { observed: status.observed_generation, wanted, updated, all: updated, available: status.number_available.unwrap_or(0) };
    let strategy = spec.update_strategy.clone().unwrap_or_default();
    let rolling = strategy.rolling_update.unwrap_or_default();
    let surge = rolling.max_surge.as_ref().map_or(0, |surge| share(surge, wanted, true));
    let labels = spec.template.metadata.as_ref().and_then(|it| it.labels.clone()).unwrap_or_default();
    Rollout {
        complete: counts.complete(&object.metadata),
        idle: wanted == 0,
        by_hand: (strategy.type_.as_deref() == Some("OnDelete")).then(|| "its update strategy is OnDelete".to_owned()),
        stuck: None,
        surge,
        // With a surge the new pod comes before the old one goes.
        allowed: (surge == 0).then(|| allowed(budgets, &labels)).flatten(),
        rolled: rolled(&object.metadata),
        restarted: restarted(spec.template.metadata.as_ref()),
    }
}

/// A number of pods, or a share of them in percent.
fn share(value: &IntOrString, of: i32, up: bool) -> i64 {
    match value {
        IntOrString::Int(number) => i64::from(*number),
        IntOrString::String(text) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
            let hundredths = percent.saturating_mul(i64::from(of));
            if up { hundredths.saturating_add(99) / 100 } else { hundredths / 100 }
        }
    }
}

/// The fewest disruptions that a budget of these pods allows; none if no budget is theirs.
fn allowed(budgets: &[PodDisruptionBudget], labels: &Labels) -> Option<i64> {
    let theirs = |budget: &&PodDisruptionBudget| {
        budget.spec.as_ref().and_then(|spec| spec.selector.as_ref()).is_some_and(|selector| selects(selector, labels))
    };
    let of = |budget: &PodDisruptionBudget| budget.status.as_ref().map_or(0, |status| i64::from(status.disruptions_allowed));
    budgets.iter().filter(theirs).map(of).min()
}

/// A selector that can't be understood counts as one that selects: better one restart too few.
fn selects(selector: &LabelSelector, labels: &Labels) -> bool {
    let selector = serde_json::to_value(selector).and_then(serde_json::from_value::<crate::model::LabelSelector>);
    selector.map_or(true, |selector| selector.matches(labels))
}

fn rolled(metadata: &ObjectMeta) -> Option<String> {
    metadata.annotations.as_ref()?.get(ROLLED).cloned()
}

/// When the template was last restarted, in seconds since the epoch.
fn restarted(template: Option<&ObjectMeta>) -> Option<i64> {
    let text = template?.annotations.as_ref()?.get(RESTARTED)?;
    text.parse::<k8s_openapi::jiff::Timestamp>().ok().map(|time| time.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn of_deployment(spec: Value, status: Value, budgets: &Value) -> Rollout {
        let mut spec = spec;
        spec["selector"] = json!({});
        spec["template"] = json!({"metadata": {"labels": {"app": "web"}}});
        let object =
            json!({"metadata": {"name": "web", "generation": 3, "annotations": {ROLLED: "missed"}}, "spec": spec, "status": status});
        deployment(&serde_json::from_value(object).unwrap(), &serde_json::from_value::<Vec<_>>(budgets.clone()).unwrap())
    }

    fn status(observed: i64, updated: i32, all: i32, available: i32) -> Value {
        json!({"observedGeneration": observed, "updatedReplicas": updated, "replicas": all, "availableReplicas": available})
    }

    fn budget(app: &str, allowed: i32) -> Value {
        json!({"metadata": {}, "spec": {"selector": {"matchLabels": {"app": app}}},
            "status": {"disruptionsAllowed": allowed, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1}})
    }

    #[test]
    fn a_deployment_is_complete_once_the_newest_template_alone_runs() {
        let complete = |status: Value| of_deployment(json!({"replicas": 2}), status, &json!([])).complete;
        assert!(complete(status(3, 2, 2, 2)));
        assert!(!complete(status(2, 2, 2, 2)), "the controller has not seen the newest");
        assert!(!complete(status(3, 1, 2, 2)) && !complete(status(3, 2, 3, 3)) && !complete(status(3, 2, 2, 1)));
    }

    #[test]
    fn what_a_restart_costs_follows_kubernetes_rounding() {
        let surge = |strategy: Value| of_deployment(json!({"replicas": 5, "strategy": strategy}), status(3, 5, 5, 5), &json!([])).surge;
        assert_eq!(surge(json!({})), 2, "a quarter of five, rounded up");
        assert_eq!(surge(json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "100%"}})), 5);
        assert_eq!(surge(json!({"type": "Recreate"})), 0);
    }

    #[test]
    fn the_tightest_budget_of_its_pods_counts_unless_it_only_surges() {
        let allowed = |strategy: Value| {
            let budgets = json!([budget("web", 2), budget("web", 0), budget("other", 0)]);
            of_deployment(json!({"replicas": 4, "strategy": strategy}), status(3, 4, 4, 4), &budgets).allowed
        };
        assert_eq!(allowed(json!({})), Some(0));
        assert_eq!(allowed(json!({"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}})), None);
        assert_eq!(allowed(json!({"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 0}})), Some(0), "one goes all the same");
        assert_eq!(allowed(json!({"type": "Recreate"})), Some(0));
    }

    #[test]
    fn strategies_that_wait_for_a_person_are_told_apart() {
        assert!(of_deployment(json!({"paused": true}), json!({}), &json!([])).by_hand.is_some());
        let set = |strategy: Value| {
            let spec = json!({"selector": {}, "serviceName": "a", "template": {}, "replicas": 2, "updateStrategy": strategy});
            let status = json!({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2});
            let object = json!({"metadata": {"generation": 1}, "spec": spec, "status": status});
            stateful_set(&serde_json::from_value(object).unwrap(), &[])
        };
        assert!(set(json!({"type": "OnDelete"})).by_hand.is_some());
        assert!(set(json!({"rollingUpdate": {"partition": 1}})).by_hand.is_some());
        let plain = set(json!({"type": "RollingUpdate"}));
        assert!(plain.complete && plain.by_hand.is_none());
        let spec = json!({"selector": {}, "template": {}, "updateStrategy": {"type": "RollingUpdate"}});
        let counts = json!({"currentNumberScheduled": 2, "desiredNumberScheduled": 2, "numberMisscheduled": 0, "numberReady": 2,
            "updatedNumberScheduled": 2, "numberAvailable": 1, "observedGeneration": 1});
        let object = json!({"metadata": {"generation": 1}, "spec": spec, "status": counts});
        assert!(!daemon_set(&serde_json::from_value(object).unwrap(), &[]).complete, "one is not available");
    }
}
