//! `exportTo`: which namespaces see an object.

use std::collections::BTreeSet;

use super::path::At;
use super::problem::{Code, quoted};
use super::reading::Reading;
use crate::model::{ExportTo, Visibility};

// === impl Reading: visibility ===

impl Reading<'_> {
    /// `exportTo`. Only a ServiceEntry may be exported to nobody (`~`).
    pub(super) fn export_to(&mut self, spec: &At<'_>, entries: &[String], nobody_allowed: bool) -> ExportTo {
        let at = spec.field("exportTo");
        let own = self.namespace().to_owned();
        let mut seen = BTreeSet::new();
        let mut parsed = Vec::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            let here = at.index(index);
            if !seen.insert(if entry == "." { own.as_str() } else { entry.as_str() }) {
                self.error(&here, Code::Duplicate, format!("{} is named twice", quoted(entry)));
            }
            parsed.push(match entry.as_str() {
                "*" => Visibility::Public,
                "." => Visibility::Private,
                "~" => {
                    if !nobody_allowed {
                        self.error(&here, Code::NotAllowed, "only a ServiceEntry may be exported to nobody (~)");
                    }
                    Visibility::None
                }
                namespace => {
                    self.namespace_name(&here, namespace);
                    Visibility::Namespace(namespace.into())
                }
            });
        }
        for (all, meaning) in [("*", "everyone"), ("~", "nobody")] {
            if entries.len() > 1 && seen.contains(all) {
                self.error(&at, Code::Conflict, format!("\"{all}\" means {meaning}, so it must stand alone"));
            }
        }
        ExportTo(parsed)
    }
}
