//! Kubernetes' label selectors, evaluated.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Chooses objects by their labels: all of its requirements must hold.
///
/// Source of the rules: Kubernetes' `LabelSelector`. An empty one chooses everything, here as there; where it should choose nothing, the
/// caller asks [`LabelSelector::is_empty`] first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct LabelSelector {
    /// Labels that must be there with exactly these values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// What else must hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<Requirement>,
}

/// What must hold of one label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// How it is compared.
    pub operator: Operator,
    /// What with; only for `In` and `NotIn`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operator {
    /// It has one of the values.
    In,
    /// It has none of the values, or is not there.
    NotIn,
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
}

// === impl LabelSelector ===

impl LabelSelector {
    /// Whether these labels are chosen.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|requirement| requirement.holds(labels))
    }

    /// Whether it requires nothing, and so chooses everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }
}

// === impl Requirement ===

impl Requirement {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        let listed = || value.is_some_and(|value| self.values.contains(value));
        match self.operator {
            Operator::In => listed(),
            Operator::NotIn => !listed(),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn chosen(selector: Value, labels: &[(&str, &str)]) -> bool {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        serde_json::from_value::<LabelSelector>(selector).unwrap().matches(&labels)
    }

    #[test]
    fn all_requirements_must_hold() {
        let selector =
            json!({"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]}]});
        assert!(chosen(selector.clone(), &[("app", "web"), ("tier", "b")]));
        assert!(!chosen(selector.clone(), &[("app", "web"), ("tier", "c")]));
        assert!(!chosen(selector.clone(), &[("app", "web")]));
        assert!(!chosen(selector, &[("tier", "a")]));
    }

    #[test]
    fn an_absent_label_is_not_in_any_list() {
        let one = |operator: &str, values: Value| json!({"matchExpressions": [{"key": "tier", "operator": operator, "values": values}]});
        assert!(chosen(one("NotIn", json!(["a"])), &[]));
        assert!(chosen(one("NotIn", json!(["a"])), &[("tier", "b")]));
        assert!(!chosen(one("NotIn", json!(["a"])), &[("tier", "a")]));
        assert!(chosen(one("DoesNotExist", json!([])), &[]) && !chosen(one("DoesNotExist", json!([])), &[("tier", "")]));
        assert!(chosen(one("Exists", json!([])), &[("tier", "")]) && !chosen(one("Exists", json!([])), &[]));
    }

    #[test]
    fn an_empty_selector_chooses_everything_and_says_so() {
        assert!(chosen(json!({}), &[]) && LabelSelector::default().is_empty());
    }
}
