//! Whatever happens, in whatever order: the reported changes are exactly the difference, and the snapshot is the one that the same
//! objects make from nothing.

use ferromesh_crds::catalog;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

use super::objects::{node, object, pod, service, slice, view};
use crate::config::ParseContext;
use crate::index::{
    Purpose,
    cluster::Cluster,
    difference::difference,
    update::{self, Fact, Update},
};
use crate::model::{MeshConfig, ObjectRef, Snapshot};

/// Numbers that look random and are the same on every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// The kinds that a list is told of.
const KINDS: [&str; 7] = ["Service", "EndpointSlice", "Pod", "Node", "ServiceEntry", "VirtualService", "WorkloadEntry"];

/// A small world in which things meet often.
fn fact(chance: &mut Chance) -> Fact {
    let namespace = chance.of(&["a", "b"]);
    let app = chance.of(&["x", "y"]);
    let number = chance.below(3);
    let pod_name = |number| format!("{namespace}-{number}");
    let address = |number| format!("10.0.{}.{number}", namespace.len() + usize::from(namespace == "b"));
    match chance.below(7) {
        0 => {
            let mut service = service(namespace, app);
            service.spec.as_mut().unwrap().ports.as_mut().unwrap()[0].name = Some(chance.of(&["http", "other"]).to_owned());
            update::service(&service, "cluster.local")
        }
        1 => {
            let pods: Vec<_> = (0..chance.below(3)).map(|pod| (pod, chance.below(2) == 0)).collect();
            let pods: Vec<_> =
                pods.iter().map(|(pod, named)| (if *named { pod_name(*pod) } else { String::new() }, address(*pod))).collect();
            let pods: Vec<_> = pods.iter().map(|(pod, address)| (pod.as_str(), address.as_str())).collect();
            update::slice(&slice(namespace, app, chance.of(&["1", "2"]), &pods))
        }
        2 => {
            let mut pod = pod(namespace, &pod_name(number), &address(number), app);
            pod.spec.as_mut().unwrap().node_name = Some(chance.of(&["n1", "n2"]).to_owned());
            if chance.below(4) == 0 {
                pod.status.as_mut().unwrap().conditions = None;
            }
            update::pod(&view(&pod))
        }
        3 => {
            let node = node(chance.of(&["n1", "n2"]), chance.of(&["z1", "z2"]));
            update::node(&kube::core::PartialObjectMeta { metadata: node.metadata, ..kube::core::PartialObjectMeta::default() })
        }
        4 => config("ServiceEntry", namespace, &format!("e{number}"), entry(chance, namespace, app)),
        5 => {
            let spec = json!({"address": chance.of(&["10.8.0.1", "vm.example"]), "labels": {"app": app}, "serviceAccount": chance.of(&["", "vm"])});
            config("WorkloadEntry", namespace, &format!("w{number}"), spec)
        }
        _ => {
            let weight = chance.of(&[50, 10]);
            let route =
                json!([{"destination": {"host": app}, "weight": weight}, {"destination": {"host": app}, "weight": chance.of(&[50, -1])}]);
            config("VirtualService", namespace, app, json!({"hosts": [app], "http": [{"route": route}]}))
        }
    }
}

fn entry(chance: &mut Chance, namespace: &str, app: &str) -> Value {
    let host = chance.of(&["e.example.com", "f.example.com"]);
    let service = format!("{app}.{namespace}.svc.cluster.local");
    let mut spec = json!({
        "hosts": [if chance.below(2) == 0 { host } else { service.as_str() }],
        "resolution": "STATIC",
        "location": chance.of(&["MESH_INTERNAL", "MESH_EXTERNAL"]),
        "ports": [{"number": chance.of(&[80, 81]), "name": chance.of(&["http", "tcp"]), "protocol": "TCP"}],
    });
    match chance.below(2) {
        0 => spec["workloadSelector"] = json!({"labels": {"app": app}}),
        _ => spec["endpoints"] = json!([{"address": "10.9.0.1"}]),
    }
    spec
}

fn config(kind: &str, namespace: &str, name: &str, spec: Value) -> Fact {
    let object = object(namespace, name, json!({"apiVersion": "networking.istio.io/v1", "kind": kind, "spec": spec}));
    update::config(catalog::find("networking.istio.io", kind).unwrap(), object, &ParseContext::default(), Purpose::Traffic)
}

/// What the cluster really holds.
#[derive(Default)]
struct Truth {
    facts: BTreeMap<ObjectRef, Fact>,
    mesh: Arc<MeshConfig>,
}

impl Truth {
    /// Does something, and returns how it is told.
    fn step(&mut self, chance: &mut Chance) -> Update {
        match chance.below(20) {
            0 => {
                let trust_domain = chance.of(&["cluster.local", "td"]).to_owned();
                self.mesh = Arc::new(MeshConfig { trust_domain, ..MeshConfig::default() });
                Update::Mesh(self.mesh.clone())
            }
            // A watch lists anew, after some objects went unseen.
            1 => {
                let kind = chance.of(&KINDS);
                self.facts.retain(|object, _| object.kind != kind || chance.below(3) > 0);
                self.list(kind)
            }
            2..6 if !self.facts.is_empty() => {
                let chosen = chance.below(self.facts.len());
                let gone = self.facts.values().nth(chosen).unwrap().clone().gone();
                self.facts.remove(&gone.object);
                Update::One(gone)
            }
            _ => {
                let fact = fact(chance);
                self.facts.insert(fact.object.clone(), fact.clone());
                Update::One(fact)
            }
        }
    }

    fn list(&self, kind: &'static str) -> Update {
        Update::All(kind, self.facts.values().filter(|fact| fact.object.kind == kind).cloned().collect())
    }

    /// The snapshot of all this, from nothing.
    fn snapshot(&self, chance: &mut Chance) -> Arc<Snapshot> {
        let mut cluster = Cluster::new();
        let turn = chance.below(KINDS.len());
        KINDS.iter().cycle().skip(turn).take(KINDS.len()).for_each(|kind| cluster.take_in(self.list(kind)));
        cluster.take_in(Update::Mesh(self.mesh.clone()));
        cluster.settle().0
    }
}

#[test]
fn changes_are_exactly_the_difference_and_nothing_depends_on_history() {
    for seed in 0..60 {
        let mut chance = Chance(seed);
        let (mut truth, mut cluster) = (Truth::default(), Cluster::new());
        let (mut last, _) = cluster.settle();
        for step in 0..80 {
            for _ in 0..=chance.below(4) {
                cluster.take_in(truth.step(&mut chance));
            }
            let (next, changes) = cluster.settle();
            assert_eq!(changes, difference(&last, &next), "seed {seed}, step {step}");
            assert_eq!(next.version, last.version + u64::from(!changes.is_empty()));
            let fresh = truth.snapshot(&mut chance);
            assert_eq!(difference(&fresh, &next), Default::default(), "seed {seed}, step {step}");
            assert_eq!(fresh.addresses, next.addresses, "seed {seed}, step {step}");
            last = next;
        }
    }
}
