//! Dependencies by explicit keys: who compiles notes what he reads, and a change walks from there to its readers.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use crate::{ByScope, Engine, body};

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Input {
    Service(usize),
    Rules(usize),
    Settings,
}

/// What a resource is compiled through.
struct Reader<'a> {
    facts: &'a [u64],
    noted: RefCell<Vec<Input>>,
}

impl Reader<'_> {
    fn facts(&self, service: usize) -> u64 {
        self.noted.borrow_mut().push(Input::Service(service));
        self.facts[service]
    }

    fn rules(&self, service: usize) -> u64 {
        self.noted.borrow_mut().push(Input::Rules(service));
        7
    }

    fn settings(&self) -> u64 {
        self.noted.borrow_mut().push(Input::Settings);
        1
    }
}

/// The mesh, and who read what of it.
pub(crate) struct Keys {
    facts: Vec<u64>,
    readers: HashMap<Input, BTreeSet<(u32, usize)>>,
    stale: ByScope<BTreeSet<usize>>,
    /// Bodies by service.
    made: ByScope<BTreeMap<usize, Arc<str>>>,
}

impl Engine for Keys {
    fn new(services: usize) -> Self {
        Self { facts: vec![0; services], readers: HashMap::new(), stale: ByScope::new(), made: ByScope::new() }
    }

    fn change(&mut self, service: usize, facts: u64) {
        self.facts[service] = facts;
        for (scope, resource) in self.readers.remove(&Input::Service(service)).into_iter().flatten() {
            self.stale.entry(scope).or_default().insert(resource);
        }
    }

    fn differences(&mut self, scope: u32) -> usize {
        let made = self.made.entry(scope).or_default();
        let todo = match made.is_empty() {
            true => (0..self.facts.len()).collect(),
            false => self.stale.remove(&scope).unwrap_or_default(),
        };
        for service in &todo {
            let reader = Reader { facts: &self.facts, noted: RefCell::default() };
            let body: Arc<str> = body(*service, reader.facts(*service), reader.rules(*service), reader.settings(), scope);
            for input in reader.noted.into_inner() {
                self.readers.entry(input).or_default().insert((scope, *service));
            }
            made.insert(*service, body);
        }
        todo.len()
    }
}
