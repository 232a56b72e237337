//! Which patches hold for a proxy, in which order.

use std::sync::Arc;

use super::table::{ReadFilter, ReadPatch, Subject};
use crate::compile::{input::Input, scope::Scope};
use crate::model::{OLDEST_VERSION, PatchContext, PatchTargets};

/// The node's metadata in which a proxy says its version.
const VERSION: &str = "ISTIO_VERSION";

impl<'a> Scope<'a> {
    /// The patches of what is compiled in that context, the first to be applied first: those of lower priority, then those of the root
    /// namespace, then of older objects. What can't be read is left out, and named.
    pub(super) fn patches(&self, subject: Subject, context: PatchContext) -> Vec<&'a ReadPatch> {
        let mut chosen = Vec::new();
        for read in self.chosen_filters(subject) {
            let version = self.version_meant_by(read);
            for patch in &read.patches {
                // Envoy starts with one configuration for all traffic.
                let of_context = subject == Subject::Bootstrap || [PatchContext::Any, context].contains(&patch.patch.context);
                let fits = patch.subject == subject && of_context;
                if !fits || !self.is_meant_by(patch, version.as_deref()) {
                    continue;
                }
                match patch.defect() {
                    None => chosen.push(patch),
                    Some(defect) => self.leave_out(patch.fault_because(defect.to_owned())),
                }
            }
        }
        chosen
    }

    /// Whether there is any patch of such resources, whomever it is for.
    pub(super) fn has_patches(&self, subject: Subject) -> bool {
        self.reads(Input::PatchedNamespaces(subject));
        self.mesh.patches.about(subject).is_some()
    }

    /// The EnvoyFilters that hold for the proxy, in order.
    fn chosen_filters(&self, subject: Subject) -> Vec<&'a Arc<ReadFilter>> {
        self.reads(Input::PatchedNamespaces(subject));
        let Some(all) = self.mesh.patches.about(subject) else { return Vec::new() };
        let mut chosen = Vec::new();
        for (place, namespace) in self.root_and_own(all).into_iter().enumerate() {
            self.reads(Input::Patches(subject, namespace.clone()));
            chosen.extend(all.get(&namespace).into_iter().flatten().filter(|it| self.is_target(it)).map(|it| (place, it)));
        }
        chosen.sort_by_key(|(place, it)| (it.filter.priority, *place, it.filter.created, &it.filter.origin));
        chosen.into_iter().map(|(_, it)| it).collect()
    }

    fn is_target(&self, read: &ReadFilter) -> bool {
        match &read.filter.targets {
            PatchTargets::Workloads(labels) => self.selected_by(labels),
            PatchTargets::Objects(objects) => self.stands_behind(objects, &read.filter.origin.namespace),
        }
    }

    /// The version for which the proxy is taken by an EnvoyFilter: its own, or that of the oldest documents where an EnvoyFilter knows
    /// versions and none of the proxy's. `None` where no patch asks for a version, so that nobody has to say it.
    fn version_meant_by(&self, read: &ReadFilter) -> Option<Arc<str>> {
        let mut wanted = read.patches.iter().filter_map(|patch| patch.version.as_ref()).peekable();
        wanted.peek()?;
        let own = self.metadata(VERSION)?;
        Some(if wanted.any(|wanted| wanted.is_match(&own)) { own } else { OLDEST_VERSION.into() })
    }

    fn is_meant_by(&self, patch: &ReadPatch, version: Option<&str>) -> bool {
        let of_version = patch.version.as_ref().is_none_or(|wanted| version.is_some_and(|version| wanted.is_match(version)));
        // Each is asked, so that all proxies note the same facts.
        let differing = patch.patch.proxy_metadata.iter().filter(|(name, value)| self.metadata(name).as_deref() != Some(value.as_str()));
        differing.count() == 0 && of_version
    }
}
