//! Labels and selectors.

use std::collections::BTreeMap;

use super::kubernetes::{is_label_key, is_label_text};
use super::path::At;
use super::problem::{Code, quoted};
use super::reading::Reading;
use crate::model::Labels;

// === impl Reading: labels ===

impl Reading<'_> {
    /// Labels of workloads, or labels that select them.
    pub(super) fn labels(&mut self, at: &At<'_>, labels: &BTreeMap<String, String>) -> Labels {
        for (key, value) in labels {
            let here = at.key(key);
            if key.contains('*') || value.contains('*') {
                self.error(&here, Code::BadLabel, "labels are compared for equality: wildcards are not supported");
            } else if !is_label_key(key) {
                self.error(&here, Code::BadLabel, format!("{} is no key of a label", quoted(key)));
            } else if !value.is_empty() && !is_label_text(value) {
                self.error(&here, Code::BadLabel, format!("{} is no value of a label", quoted(value)));
            }
        }
        labels.clone()
    }

    /// A selector that is there, whose emptiness is probably not meant.
    pub(super) fn selector(&mut self, at: &At<'_>, field: &str, labels: &BTreeMap<String, String>) -> Labels {
        if labels.is_empty() {
            self.warn(at, Code::NoEffect, "a selector without labels selects every workload of the namespace");
        }
        self.labels(&at.field(field), labels)
    }
}
