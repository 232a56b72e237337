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
    facts::{Fact, without_implied},
    failure::{Failure, caught},
    fault::Fault,
    grpc::GrpcSection,
    input::Input,
    memo::{Built, Memo},
    mesh::{Dirty, Mesh},
    proxy::Proxy,
    recipe::Recipe,
    resource::{Resource, ResourceType},
    scope::Scope,
};
use crate::model::{Generator, ProxyRole};

/// The sections that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum SectionKind {
    /// Clusters for all that the proxy may call.
    OutboundClusters,
    /// Clusters for the proxy's own ports.
    InboundClusters,
    /// Clusters of servers from which something is fetched.
    Remotes,
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
    /// Virtual hosts of these that stand by themselves.
    OutboundHosts,
    /// Names that the agent resolves.
    Names,
    /// Clusters for what a gateway passes on unopened.
    PassedOnClusters,
    /// Addresses of what a gateway passes on unopened.
    PassedOnEndpoints,
    /// Listeners of a gateway.
    GatewayListeners,
    /// Routes of a gateway.
    GatewayRoutes,
    /// What gRPC libraries get of each kind.
    Grpc(GrpcSection),
}

impl SectionKind {
    /// The sections of a proxy.
    pub(super) fn of(proxy: &Proxy) -> &'static [Self] {
        match proxy.role {
            _ if proxy.generator == Generator::Grpc => &GrpcSection::ALL,
            ProxyRole::Sidecar => &[
                Self::OutboundClusters,
                Self::InboundClusters,
                Self::Remotes,
                Self::OutboundEndpoints,
                Self::Secrets,
                Self::OutboundListeners,
                Self::InboundListeners,
                Self::OutboundRoutes,
                Self::OutboundHosts,
                Self::Names,
            ],
            ProxyRole::Router => &[
                Self::OutboundClusters,
                Self::PassedOnClusters,
                Self::Remotes,
                Self::OutboundEndpoints,
                Self::PassedOnEndpoints,
                Self::Secrets,
                Self::GatewayListeners,
                Self::GatewayRoutes,
            ],
        }
    }

    /// Whether it is about traffic that comes to the workload.
    pub(super) fn is_inbound(self) -> bool {
        matches!(self, Self::InboundClusters | Self::InboundListeners)
    }

    /// Whether what users add is in it: each kind of resource has one such section for each direction.
    pub(super) fn takes_additions(self) -> bool {
        use SectionKind::{GatewayListeners, InboundClusters, InboundListeners, OutboundClusters, OutboundListeners};
        matches!(self, OutboundClusters | InboundClusters | OutboundListeners | InboundListeners | GatewayListeners)
    }

    pub(super) fn resource_type(self) -> ResourceType {
        match self {
            Self::OutboundClusters | Self::InboundClusters | Self::Remotes | Self::PassedOnClusters => ResourceType::Cluster,
            Self::OutboundEndpoints | Self::PassedOnEndpoints => ResourceType::Endpoints,
            Self::Secrets => ResourceType::Secret,
            Self::OutboundListeners | Self::InboundListeners | Self::GatewayListeners => ResourceType::Listener,
            Self::OutboundRoutes | Self::GatewayRoutes => ResourceType::Route,
            Self::OutboundHosts => ResourceType::VirtualHost,
            Self::Names => ResourceType::Name,
            Self::Grpc(section) => section.resource_type(),
        }
    }
}

type Resources = RedBlackTreeMapSync<Arc<str>, Arc<Resource>>;

/// Resources of one kind by name, at one moment.
#[derive(Debug)]
pub(super) struct Section {
    /// Tells it from all others.
    pub(super) id: u64,
    pub(super) kind: ResourceType,
    pub(super) resources: Resources,
    /// What was left out of them, each once, sorted.
    pub(super) faults: Arc<[Fault]>,
    /// The section that this one was made from, and the names that differ from it.
    previous: Option<(u64, Vec<Arc<str>>)>,
    /// Parts of it on which the compiler failed.
    pub(super) failures: Vec<Arc<Failure>>,
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
        Self { id, kind, resources, faults: Arc::new([]), previous: None, failures: Vec::new() }
    }
}

/// A section with all that is needed to bring it up to date.
#[derive(Clone, Debug)]
pub(super) struct SectionState {
    kind: SectionKind,
    /// What the skeleton read of the mesh.
    inputs: Dirty,
    outcomes: BTreeMap<Recipe, Arc<Built>>,
    /// Recipes to compile again.
    pending: BTreeSet<Recipe>,
    /// Whether the skeleton is to be made again.
    stale: bool,
    /// Where the compiler failed: on a recipe, or on the skeleton.
    failed: BTreeMap<Option<Recipe>, Arc<Failure>>,
    /// The facts that skeleton and recipes read.
    facts: Arc<[Fact]>,
    section: Arc<Section>,
    /// The generation in which a proxy last asked for it.
    pub(super) used: u64,
}

impl SectionState {
    /// Nothing compiled yet.
    pub(super) fn empty(kind: SectionKind) -> Self {
        let (kind_of_all, resources, faults) = (kind.resource_type(), Resources::default(), Arc::new([]));
        let section = Section { id: 0, kind: kind_of_all, resources, faults, previous: None, failures: Vec::new() };
        Self {
            kind,
            inputs: Dirty::default(),
            outcomes: BTreeMap::new(),
            pending: BTreeSet::new(),
            stale: true,
            failed: BTreeMap::new(),
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

    /// The number of the section.
    pub(super) fn id(&self) -> u64 {
        self.section.id
    }

    /// Whether a proxy has the section.
    pub(super) fn is_held(&self) -> bool {
        Arc::strong_count(&self.section) > 1
    }

    /// Whether it has to be found out again which resources there are, and not only what some of them are.
    #[cfg(test)]
    pub(super) fn is_listed_anew(&self) -> bool {
        self.stale
    }

    /// Whether something was left out of it.
    pub(super) fn is_faulty(&self) -> bool {
        !self.section.faults.is_empty()
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
        let mut faulty = false;
        if std::mem::take(&mut self.stale) {
            let recipes = self.skeleton(mesh, proxy, &mut facts);
            gone.extend(self.outcomes.keys().filter(|recipe| !recipes.contains(recipe)).cloned());
            todo.retain(|recipe| recipes.contains(recipe));
            todo.extend(recipes.into_iter().filter(|recipe| !self.outcomes.contains_key(recipe)));
        }

        let mut resources = self.section.resources.clone();
        let mut names = BTreeSet::new();
        for recipe in gone {
            let Some(built) = self.outcomes.remove(&recipe) else { continue };
            faulty |= !built.faults.is_empty();
            put(&mut resources, &mut names, built.resource.as_ref(), None);
            self.note_failure(Some(recipe), None);
        }
        for recipe in todo {
            let old = self.outcomes.get(&recipe).cloned();
            let new = memo.build(&recipe, mesh, proxy, old.as_deref());
            facts.extend(new.facts.iter().cloned());
            faulty |= !new.faults.is_empty() || old.as_ref().is_some_and(|old| !old.faults.is_empty());
            let next = new.resource.as_ref().filter(|_| !matches!(recipe, Recipe::Added(_)));
            let old = old.as_ref().and_then(|old| old.resource.as_ref());
            if !same(old, new.resource.as_ref()) {
                put(&mut resources, &mut names, old, next);
            }
            self.note_failure(Some(recipe.clone()), new.failure.clone());
            self.outcomes.insert(recipe, new);
        }
        self.put_added(&mut resources, &mut names);
        // What one recipe no longer yields, another may yield again.
        names.retain(|name| !same(self.section.resources.get(name), resources.get(name)));

        let facts: Arc<[Fact]> = without_implied(facts).into_iter().collect();
        let reads_alike = facts == self.facts;
        self.facts = facts;
        let faults = if faulty { self.all_faults() } else { self.section.faults.clone() };
        let failures: Vec<_> = self.failed.values().cloned().collect();
        let told_alike = faults == self.section.faults && failures == self.section.failures;
        // Where nothing differs the section stays the same one, so that sessions have nothing to compare. Where other facts count by now,
        // it does not hold for all who have it.
        if !names.is_empty() || self.section.id == 0 || !told_alike || !reads_alike {
            let previous = (self.section.id != 0).then(|| (self.section.id, names.into_iter().collect()));
            self.section = Arc::new(Section { id, kind: self.kind.resource_type(), resources, faults, previous, failures });
        }
        self.section.clone()
    }

    /// Puts in what users add, where nothing of the mesh's own, nor anything that was added before, has the name.
    fn put_added(&self, resources: &mut Resources, names: &mut BTreeSet<Arc<str>>) {
        let added = self.outcomes.iter().rev().take_while(|(recipe, _)| matches!(recipe, Recipe::Added(_)));
        let mut later: Vec<&Arc<Resource>> = Vec::new();
        for resource in added.filter_map(|(_, built)| built.resource.as_ref()) {
            let holder = resources.get(&resource.name);
            if holder.is_none() || later.iter().any(|other| same(holder, Some(other))) {
                put(resources, names, None, Some(resource));
            }
            later.push(resource);
        }
    }

    fn all_faults(&self) -> Arc<[Fault]> {
        let faults: BTreeSet<&Fault> = self.outcomes.values().flat_map(|built| built.faults.iter()).collect();
        faults.into_iter().cloned().collect()
    }

    fn note_failure(&mut self, recipe: Option<Recipe>, failure: Option<Arc<Failure>>) {
        match failure {
            Some(failure) => _ = self.failed.insert(recipe, failure),
            None => _ = self.failed.remove(&recipe),
        }
    }

    /// The recipes that there are to be; the ones before if the compiler fails on the list.
    fn skeleton(&mut self, mesh: &Mesh, proxy: &Proxy, facts: &mut BTreeSet<Fact>) -> BTreeSet<Recipe> {
        let scope = Scope::new(mesh, proxy);
        let recipes = caught(|| Recipe::of_section(self.kind, &scope));
        let notes = scope.into_notes();
        self.inputs = notes.inputs;
        facts.extend(notes.facts);
        let (recipes, failure) = match recipes {
            Ok(recipes) => (recipes.into_iter().collect(), None),
            Err(message) => {
                let (part, sources) = (format!("{:?}", self.kind).into(), notes.sources.into_iter().collect());
                (self.outcomes.keys().cloned().collect(), Some(Arc::new(Failure { part, message, sources })))
            }
        };
        self.note_failure(None, failure);
        recipes
    }
}

/// Puts a resource in the place of another, as far as that one is there.
fn put(resources: &mut Resources, names: &mut BTreeSet<Arc<str>>, old: Option<&Arc<Resource>>, new: Option<&Arc<Resource>>) {
    if let Some(old) = old.filter(|old| same(resources.get(&old.name), Some(old))) {
        resources.remove_mut(&old.name);
        names.insert(old.name.clone());
    }
    if let Some(new) = new {
        resources.insert_mut(new.name.clone(), new.clone());
        names.insert(new.name.clone());
    }
}

/// Whether both are the same resource, or none. Another section may have made the same anew: who has it must not be told again.
fn same(a: Option<&Arc<Resource>>, b: Option<&Arc<Resource>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a == b,
        (None, None) => true,
        _ => false,
    }
}
