//! What one change costs, when dependencies are known by a query engine (salsa), and when they are known by explicit keys, as pilot's
//! compiler knows them.
//!
//! The same small model on both sides: services, each with facts of its own and the rules for its host; scopes, each of which sees all
//! services; a resource for each service and scope, made from the service's facts, its rules and the mesh's settings. A change gives one
//! service other facts; then each scope's resources are asked for, as pilot asks for the proxies that are connected. Both say how
//! many resources differ, so that nobody wins by not working.

use std::{
    collections::HashMap,
    fmt::Write,
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

mod explicit;
mod query;

/// Services of the mesh.
const SERVICES: usize = 1000;
/// Changes that are measured.
const CHANGES: usize = 50;

/// Anything by scope.
type ByScope<T> = HashMap<u32, T>;

/// What both sides can do.
trait Engine {
    /// The mesh, before anything is compiled.
    fn new(services: usize) -> Self;
    /// Gives a service other facts.
    fn change(&mut self, service: usize, facts: u64);
    /// How many of the scope's resources differ from when this was last asked.
    fn differences(&mut self, scope: u32) -> usize;
}

/// A resource's body: about as long as a cluster.
fn body(service: usize, facts: u64, rules: u64, settings: u64, scope: u32) -> Arc<str> {
    let mut text = String::with_capacity(1024);
    for line in 0..16 {
        let _ = writeln!(text, "outbound|80||shop-{service}.bench.svc.cluster.local {facts:016x} {rules:x} {settings:x} {scope} {line}");
    }
    text.into()
}

/// How long the first answers took, and each change, the shortest first.
fn measure<E: Engine>(scopes: u32) -> (Duration, Vec<Duration>) {
    let mut engine = E::new(SERVICES);
    let started = Instant::now();
    let made: usize = (0..scopes).map(|scope| engine.differences(scope)).sum();
    let first = started.elapsed();
    assert_eq!(made, SERVICES * scopes as usize, "at first everything is new");
    let mut changes = Vec::new();
    for number in 0..CHANGES {
        let started = Instant::now();
        engine.change(number * 17 % SERVICES, number as u64 + 1);
        let differ: usize = (0..scopes).map(|scope| engine.differences(scope)).sum();
        changes.push(started.elapsed());
        assert_eq!(black_box(differ), scopes as usize, "one resource of each scope differs");
    }
    changes.sort_unstable();
    (first, changes)
}

fn main() {
    println!("| scopes of {SERVICES} services | salsa, first | keys, first | salsa, a change (p50) | keys, a change (p50) | ratio |");
    println!("|---|---|---|---|---|---|");
    for scopes in [1, 10, 100] {
        let (salsa_first, salsa) = measure::<query::Salsa>(scopes);
        let (keys_first, keys) = measure::<explicit::Keys>(scopes);
        let (salsa, keys) = (salsa[CHANGES / 2], keys[CHANGES / 2]);
        let ratio = salsa.as_secs_f64() / keys.as_secs_f64();
        println!("| {scopes} | {salsa_first:.1?} | {keys_first:.1?} | {salsa:.1?} | {keys:.1?} | {ratio:.0} |");
    }
}
