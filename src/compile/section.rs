//! Sections: parts of a proxy's configuration that are kept, shared and brought up to date as one.
//!
//! A section is a list of recipes (its skeleton) and their outcomes. When inputs change, a section whose skeleton read none of them
//! compiles again only the recipes that did.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rpds::RedBlackTreeMapSync;

use super::{
    facts::Fact,
    input::Input,
    memo::{Built, Memo},
    mesh::{Dirty, Mesh},
    proxy::Proxy,
    recipe::Recipe,
    resource::{Resource, ResourceType},
    scope::Scope,
};
use crate::model::ProxyRole;

/// The sections that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum SectionKind {
    /// Clusters for all that the proxy may call.
    OutboundClusters,
    /// Clusters for the proxy's own ports.
    InboundClusters,
    /// Addresses of what the proxy may call.
    OutboundEndpoints,
    /// Certificates, keys and authorities.
    Secrets,
    /// Listeners for what the application calls.
    OutboundListeners,
    /// The listener for who calls the application.
    InboundListeners,
    /// Routes for what the application calls.
    OutboundRoutes,
    /// Clusters for what a gateway passes on unopened.
    PassedOnClusters,
    /// Addresses of what a gateway passes on unopened.
    PassedOnEndpoints,
    /// Listeners of a gateway.
    GatewayListeners,
    /// Routes of a gateway.
    GatewayRoutes,
}

impl SectionKind {
    /// The sections of a role.
    pub(super) fn of_role(role: ProxyRole) -> &'static [Self] {
        match role {
            ProxyRole::Sidecar => &[
                Self::OutboundClusters,
                Self::InboundClusters,
                Self::OutboundEndpoints,
                Self::Secrets,
                Self::OutboundListeners,
                Self::InboundListeners,
                Self::OutboundRoutes,
            ],
            ProxyRole::Router => &[
                Self::OutboundClusters,
                Self::PassedOnClusters,
                Self::OutboundEndpoints,
                Self::PassedOnEndpoints,
                Self::Secrets,
                Self::GatewayListeners,
                Self::GatewayRoutes,
            ],
        }
    }

    fn resource_type(self) -> ResourceType {
        match self {
            Self::OutboundClusters | Self::InboundClusters | Self::PassedOnClusters => ResourceType::Cluster,
            Self::OutboundEndpoints | Self::PassedOnEndpoints => ResourceType::Endpoints,
            Self::Secrets => ResourceType::Secret,
            Self::OutboundListeners | Self::InboundListeners | Self::GatewayListeners => ResourceType::Listener,
            Self::OutboundRoutes | Self::GatewayRoutes => ResourceType::Route,
        }
    }
}

/// Resources of one kind by name, at one moment.
#[derive(Debug)]
pub(super) struct Section {
    id: u64,
    pub(super) kind: ResourceType,
    pub(super) resources: RedBlackTreeMapSync<Arc<str>, Arc<Resource>>,
    /// The section that this one was made from, and the names that differ from it.
    previous: Option<(u64, Vec<Arc<str>>)>,
}

impl Section {
    /// The names whose resource differs between two sections of a kind.
    pub(super) fn names_that_differ(&self, old: Option<&Self>) -> Vec<Arc<str>> {
        let Some(old) = old else { return self.resources.keys().cloned().collect() };
        match &self.previous {
            _ if self.id == old.id => Vec::new(),
            Some((id, names)) if *id == old.id => names.clone(),
            _ => {
                let differs = |name: &Arc<str>| match (old.resources.get(name), self.resources.get(name)) {
                    (Some(a), Some(b)) => !Arc::ptr_eq(a, b) && a != b,
                    _ => true,
                };
                let names: BTreeSet<_> = self.resources.keys().chain(old.resources.keys()).filter(|name| differs(name)).collect();
                names.into_iter().cloned().collect()
            }
        }
    }
}

#[cfg(test)]
impl Section {
    /// A section of these resources, made from none.
    pub(super) fn of(id: u64, kind: ResourceType, resources: impl IntoIterator<Item = Arc<Resource>>) -> Self {
        let resources = resources.into_iter().map(|resource| (resource.name.clone(), resource)).collect();
        Self { id, kind, resources, previous: None }
    }
}

/// A section with all that is needed to bring it up to date.
#[derive(Debug)]
pub(super) struct SectionState {
    kind: SectionKind,
    /// What the skeleton read of the mesh.
    inputs: Dirty,
    outcomes: BTreeMap<Recipe, Arc<Built>>,
    /// Recipes to compile again.
    pending: BTreeSet<Recipe>,
    /// Whether the skeleton is to be made again.
    stale: bool,
    /// The facts that skeleton and recipes read.
    facts: Arc<[Fact]>,
    section: Arc<Section>,
    /// The generation in which a proxy last asked for it.
    pub(super) used: u64,
}

impl SectionState {
    /// Nothing compiled yet.
    pub(super) fn empty(kind: SectionKind) -> Self {
        let section = Section { id: 0, kind: kind.resource_type(), resources: RedBlackTreeMapSync::new_sync(), previous: None };
        Self {
            kind,
            inputs: Dirty::default(),
            outcomes: BTreeMap::new(),
            pending: BTreeSet::new(),
            stale: true,
            facts: Arc::new([]),
            section: Arc::new(section),
            used: 0,
        }
    }

    /// Notes what changed. Nothing is compiled before a proxy asks.
    pub(super) fn invalidate(&mut self, dirty: &Dirty, recipes: &BTreeSet<Recipe>) {
        self.stale |= dirty.iter().any(|input: &Input| self.inputs.contains(input));
        self.pending.extend(recipes.iter().filter(|recipe| self.outcomes.contains_key(recipe)).cloned());
    }

    /// The section, if it is up to date.
    pub(super) fn current(&self) -> Option<&Arc<Section>> {
        (!self.stale && self.pending.is_empty()).then_some(&self.section)
    }

    /// The facts under which it is to be kept.
    pub(super) fn facts(&self) -> &Arc<[Fact]> {
        &self.facts
    }

    /// Brings the section up to date. `proxy` must be one for which it holds; `id` is the new section's.
    pub(super) fn update(&mut self, memo: &mut Memo, mesh: &Mesh, proxy: &Proxy, id: u64) -> Arc<Section> {
        let mut facts: BTreeSet<Fact> = self.facts.iter().cloned().collect();
        let mut todo = std::mem::take(&mut self.pending);
        let mut gone = Vec::new();
        if std::mem::take(&mut self.stale) {
            let scope = Scope::new(mesh, proxy);
            let recipes: BTreeSet<Recipe> = Recipe::of_section(self.kind, &scope).into_iter().collect();
            let notes = scope.into_notes();
            self.inputs = notes.inputs;
            facts.extend(notes.facts);
            gone.extend(self.outcomes.keys().filter(|recipe| !recipes.contains(recipe)).cloned());
            todo.retain(|recipe| recipes.contains(recipe));
            todo.extend(recipes.into_iter().filter(|recipe| !self.outcomes.contains_key(recipe)));
        }

        let mut resources = self.section.resources.clone();
        let mut names = BTreeSet::new();
        for recipe in gone {
            let resource = self.outcomes.remove(&recipe).and_then(|built| built.resource.clone());
            if let Some(resource) = resource {
                resources.remove_mut(&resource.name);
                names.insert(resource.name.clone());
            }
        }
        for recipe in todo {
            let old = self.outcomes.get(&recipe);
            let new = memo.build(&recipe, mesh, proxy, old.map(|built| &**built));
            facts.extend(new.facts.iter().cloned());
            let old = old.and_then(|built| built.resource.clone());
            match (&old, &new.resource) {
                (Some(old), Some(new)) if Arc::ptr_eq(old, new) => {}
                (None, None) => {}
                (_, Some(new)) => {
                    resources.insert_mut(new.name.clone(), new.clone());
                    names.insert(new.name.clone());
                }
                (Some(old), None) => {
                    resources.remove_mut(&old.name);
                    names.insert(old.name.clone());
                }
            }
            self.outcomes.insert(recipe, new);
        }

        self.facts = facts.into_iter().collect();
        // Where nothing differs the section stays the same one, so that sessions have nothing to compare.
        if !names.is_empty() || self.section.id == 0 {
            let previous = (self.section.id != 0).then(|| (self.section.id, names.into_iter().collect()));
            self.section = Arc::new(Section { id, kind: self.kind.resource_type(), resources, previous });
        }
        self.section.clone()
    }
}
