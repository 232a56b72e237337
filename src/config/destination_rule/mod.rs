//! DestinationRule.

mod client_tls;
mod load_balancer;
mod locality;
mod outlier_detection;
mod traffic_policy;

use ferromesh_crds::networking::DestinationRule;
use ferromesh_crds::networking::destination_rule::Subset;

use super::hosts::is_label;
use super::path::{At, SPEC};
use super::problem::{Code, Invalid, Parsed, quoted};
use super::reading::{ParseContext, Reading};
use crate::model;

pub(super) use locality::defects as locality_defects;

/// Reads a DestinationRule.
///
/// # Errors
/// Everything that is wrong with it.
pub fn destination_rule(object: &DestinationRule, context: &ParseContext) -> Result<Parsed<model::DestinationRule>, Invalid> {
    let mut reading = Reading::new("DestinationRule", &object.metadata, context);
    let spec = &object.spec;
    let host = reading.wildcard_host(&SPEC.field("host"), &spec.host);
    let policy = traffic_policy::optional(&mut reading, &SPEC, spec.traffic_policy.as_ref());
    let list = SPEC.field("subsets");
    let subsets = spec.subsets.iter().enumerate().map(|(index, one)| subset(&mut reading, &list.index(index), one)).collect();
    let names = spec.subsets.iter().map(|subset| subset.name.as_str()).enumerate().filter(|(_, name)| !name.is_empty());
    let names: Vec<_> = names.map(|(index, name)| (list.index(index), name)).collect();
    reading.distinct(names.into_iter(), |name| format!("there are two subsets {}", quoted(name)));
    let export_to = reading.export_to(&SPEC, &spec.export_to, false);
    let selector = spec.workload_selector.as_ref();
    if selector.is_some() && spec.export_to.iter().any(|one| one != "." && *one != *reading.origin.namespace) {
        let message = "a rule with a workloadSelector is for its own namespace: only \".\" makes sense";
        reading.error(&SPEC.field("exportTo"), Code::Conflict, message);
    }
    let value = model::DestinationRule {
        origin: reading.origin.clone(),
        host,
        policy,
        subsets,
        export_to,
        workload_selector: selector.map(|one| reading.selector(&SPEC.field("workloadSelector"), "matchLabels", &one.match_labels)),
        created: reading.created,
    };
    reading.finish(value)
}

fn subset(reading: &mut Reading<'_>, at: &At<'_>, subset: &Subset) -> model::Subset {
    let name = at.field("name");
    if subset.name.is_empty() {
        reading.required(&name);
    } else if !is_label(&subset.name) {
        reading.error(&name, Code::BadName, format!("{} is no name of a subset: letters, digits and '-' only", quoted(&subset.name)));
    }
    model::Subset {
        name: subset.name.as_str().into(),
        labels: reading.labels(&at.field("labels"), &subset.labels),
        policy: traffic_policy::optional(reading, at, subset.traffic_policy.as_ref()),
    }
}
