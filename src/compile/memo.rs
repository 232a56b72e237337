//! Compiled resources by what they were compiled from, shared by all proxies for which they hold.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use foldhash::fast::FixedState;

use super::{
    facts::{Fact, Variants},
    failure::{Failure, caught},
    fault::Fault,
    input::Input,
    mesh::{Dirty, Mesh},
    proxy::Proxy,
    recipe::Recipe,
    resource::Resource,
    scope::Scope,
};
use crate::model::SecretKey;

/// The outcome of a recipe, with what it was made from.
#[derive(Debug)]
pub(super) struct Built {
    /// The resource; `None` if the recipe yields nothing here.
    pub(super) resource: Option<Arc<Resource>>,
    /// The proxy's facts that were read, sorted.
    pub(super) facts: Arc<[Fact]>,
    /// What was left out of the resource.
    pub(super) faults: Arc<[Fault]>,
    /// If the compiler failed on it: the resource is the one before.
    pub(super) failure: Option<Arc<Failure>>,
    inputs: Box<[Input]>,
}

/// All outcomes that are in use.
#[derive(Clone, Debug, Default)]
pub(super) struct Memo {
    built: HashMap<Recipe, Variants<Arc<Built>>, FixedState>,
    /// Who read an input. May name recipes that read it once and no longer do; never misses one.
    readers: HashMap<Input, BTreeSet<Recipe>, FixedState>,
    /// The Secrets among what was read.
    secrets: BTreeSet<SecretKey>,
}

impl Memo {
    /// The outcome of a recipe for a proxy. `previous` is an earlier outcome: its resource is kept if the new one equals it, so that
    /// equality of pointers tells what did not change.
    pub(super) fn build(&mut self, recipe: &Recipe, mesh: &Mesh, proxy: &Proxy, previous: Option<&Built>) -> Arc<Built> {
        if let Some(found) = self.built.get(recipe).and_then(|variants| variants.find(proxy)) {
            return found.clone();
        }
        let scope = Scope::new(mesh, proxy);
        let draft = caught(|| recipe.compile(&scope));
        let notes = scope.into_notes();
        let sources: Arc<[_]> = notes.sources.into_iter().collect();
        let before = previous.and_then(|built| built.resource.as_ref());
        let (resource, failure) = match draft {
            Ok(None) => (None, None),
            Ok(Some(draft)) => {
                let new = draft.into_resource(sources);
                (Some(before.filter(|old| ***old == new).cloned().unwrap_or_else(|| Arc::new(new))), None)
            }
            Err(message) => (before.cloned(), Some(Arc::new(Failure { part: format!("{recipe:?}").into(), message, sources }))),
        };
        for input in &notes.inputs {
            if let Input::Secret(key) = input {
                self.secrets.insert(key.clone());
            }
            match self.readers.get_mut(input) {
                Some(readers) => _ = readers.insert(recipe.clone()),
                None => _ = self.readers.insert(input.clone(), BTreeSet::from([recipe.clone()])),
            }
        }
        let built = Arc::new(Built {
            resource,
            facts: notes.facts.into_iter().collect(),
            faults: notes.faults.into_iter().collect(),
            failure,
            inputs: notes.inputs.into_iter().collect(),
        });
        self.built.entry(recipe.clone()).or_default().insert(&built.facts, proxy, built.clone());
        built
    }

    /// Forgets what read a dirty input, and returns the recipes whose outcome may differ.
    pub(super) fn invalidate(&mut self, dirty: &Dirty) -> BTreeSet<Recipe> {
        let mut stale = BTreeSet::new();
        for recipe in dirty.iter().filter_map(|input| self.readers.remove(input)).flatten() {
            if let Some(variants) = self.built.get_mut(&recipe) {
                variants.retain(|built| !built.inputs.iter().any(|input| dirty.contains(input)));
                if variants.is_empty() {
                    self.built.remove(&recipe);
                }
            }
            stale.insert(recipe);
        }
        stale
    }

    /// Drops outcomes that no section holds any more.
    pub(super) fn sweep(&mut self) {
        self.built.retain(|_, variants| {
            variants.retain(|built| Arc::strong_count(built) > 1);
            !variants.is_empty()
        });
        let built = &self.built;
        self.readers.retain(|_, readers| {
            readers.retain(|recipe| built.contains_key(recipe));
            !readers.is_empty()
        });
        let readers = &self.readers;
        self.secrets.retain(|key| readers.contains_key(&Input::Secret(key.clone())));
    }

    /// The Secrets that outcomes read, some of which may be gone.
    pub(super) fn secrets(&self) -> &BTreeSet<SecretKey> {
        &self.secrets
    }

    /// How many outcomes are kept.
    pub(super) fn len(&self) -> usize {
        self.built.values().map(Variants::len).sum()
    }
}
