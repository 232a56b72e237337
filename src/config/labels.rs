//! Labels and selectors.

use std::collections::BTreeMap;

use super::path::At;
use super::problem::{Code, quoted};
use super::reading::Reading;
use crate::model::Labels;

/// The longest name of a label, and the longest value.
const LONGEST: usize = 63;
/// The longest prefix of a label's name.
const LONGEST_PREFIX: usize = 253;

/// Whether a text may be a label's value, or the part of its key after the slash.
fn is_label_text(text: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= LONGEST
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

fn is_label_key(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => prefix.len() <= LONGEST_PREFIX && prefix.split('.').all(super::hosts::is_label) && is_label_text(name),
        None => is_label_text(key),
    }
}

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
