//! Tags: names by which namespaces choose a control plane without naming it, so that all of them move in one edit.

use std::collections::BTreeMap;

use super::{Problem, Revision};
use crate::config::kubernetes::is_dns_label;
use crate::model::SLOTS;

/// Each tag with the revision that it stands for.
pub(in crate::operator) type Tags = BTreeMap<String, Revision>;

/// The longest name, as of a revision: both are values of the same label.
const LONGEST: usize = 40;

/// Reads `spec.tags`. Whether there is such a revision only the cluster tells.
pub(super) fn read(tags: &BTreeMap<String, String>, problems: &mut Vec<Problem>) -> Tags {
    let is_name = |text: &str| is_dns_label(text) && text.len() <= LONGEST;
    let reason = |text: &str| format!("{text:?} must be lower-case letters, digits and -, 40 at most");
    for (tag, revision) in tags {
        if !is_name(tag) {
            problems.push(Problem::new(format!("spec.tags[{tag}]"), reason(tag)));
        } else if SLOTS.contains(&tag.as_str()) {
            let reason = "is a place of the default control plane's (updateStrategy.type: Revision): choose another name";
            problems.push(Problem::new(format!("spec.tags[{tag}]"), reason));
        } else if !is_name(revision) {
            problems.push(Problem::new(format!("spec.tags[{tag}]"), format!("names a revision: {}", reason(revision))));
        } else if tag == revision {
            problems.push(Problem::new(format!("spec.tags[{tag}]"), "stands for itself: take it away"));
        }
    }
    tags.iter().map(|(tag, revision)| (tag.clone(), Revision::named(revision))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_labels_and_lead_elsewhere() {
        let found = |tag: &str, revision: &str| {
            let mut problems = Vec::new();
            let tags = read(&[(tag.to_owned(), revision.to_owned())].into(), &mut problems);
            (tags.into_values().next().unwrap(), problems.into_iter().map(|problem| problem.to_string()).collect::<Vec<_>>())
        };
        assert_eq!(found("prod", "default"), (Revision::default(), vec![]));
        assert_eq!(found("default", "canary"), (Revision::named("canary"), vec![]));
        for (tag, revision) in [("Prod", "a"), ("green", "a"), ("prod", "A_b"), ("prod", ""), ("a", "a"), ("default", "default")] {
            let (_, problems) = found(tag, revision);
            assert!(problems.len() == 1 && problems[0].starts_with(&format!("spec.tags[{tag}]: ")), "{problems:?}");
        }
    }
}
