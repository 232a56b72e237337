//! Dependencies by a query engine: functions that are memoised, and whose reads the engine notes.

use std::sync::Arc;

use salsa::Setter;

use crate::{ByScope, Engine, body};

#[salsa::input]
struct Service {
    number: usize,
    facts: u64,
}

#[salsa::input]
struct Rules {
    rules: u64,
}

#[salsa::input]
struct Mesh {
    settings: u64,
    #[returns(ref)]
    services: Vec<(Service, Rules)>,
}

#[salsa::interned]
struct Scope {
    number: u32,
}

#[salsa::tracked]
fn resource<'db>(db: &'db dyn salsa::Database, mesh: Mesh, service: Service, rules: Rules, scope: Scope<'db>) -> Arc<str> {
    body(*service.number(db), *service.facts(db), *rules.rules(db), *mesh.settings(db), *scope.number(db))
}

/// All resources of a scope.
#[salsa::tracked(returns(ref))]
fn section<'db>(db: &'db dyn salsa::Database, mesh: Mesh, scope: Scope<'db>) -> Vec<Arc<str>> {
    mesh.services(db).iter().map(|(service, rules)| resource(db, mesh, *service, *rules, scope).clone()).collect()
}

/// The mesh in salsa's database.
pub(crate) struct Salsa {
    db: salsa::DatabaseImpl,
    mesh: Mesh,
    services: Vec<Service>,
    told: ByScope<Vec<Arc<str>>>,
}

impl Engine for Salsa {
    fn new(services: usize) -> Self {
        let db = salsa::DatabaseImpl::new();
        let services: Vec<_> = (0..services).map(|number| (Service::new(&db, number, 0), Rules::new(&db, 7))).collect();
        let mesh = Mesh::new(&db, 1, services.clone());
        Self { db, mesh, services: services.into_iter().map(|(service, _)| service).collect(), told: ByScope::new() }
    }

    fn change(&mut self, service: usize, facts: u64) {
        self.services[service].set_facts(&mut self.db).to(facts);
    }

    fn differences(&mut self, scope: u32) -> usize {
        let scope_of_db = Scope::new(&self.db, scope);
        let now = section(&self.db, self.mesh, scope_of_db);
        let told = self.told.entry(scope).or_default();
        // What differs the engine does not say: it says what is.
        let differ = (0..now.len()).filter(|at| told.get(*at).is_none_or(|known| !Arc::ptr_eq(known, &now[*at]))).count();
        told.clone_from(now);
        differ
    }
}
