//! What a plan keeps, replaces and waits for, over the years of an authority's life.

use std::time::Duration;

use time::{Duration as Span, OffsetDateTime};

use super::*;
use crate::material::KeyPem;

const NAMES: [&str; 2] = ["istio-galley.istio-system.svc", "istio-galley.istio-system.svc.cluster.local"];

/// The Secrets as the plans before have left them, and the clock.
struct World {
    now: OffsetDateTime,
    policy: Policy,
    specs: Vec<LeafSpec>,
    ca: Option<CaSecret>,
    leaves: Vec<Option<LeafSecret>>,
}

impl World {
    fn new(leaves: usize) -> Self {
        let dns_names = NAMES.map(str::to_owned).to_vec();
        let spec = |index| LeafSpec {
            secret: SecretSpec { namespace: "istio-system".into(), name: format!("leaf-{index}"), ..SecretSpec::default() },
            dns_names: dns_names.clone(),
        };
        Self {
            now: OffsetDateTime::from_unix_timestamp(1_800_000_000).expect("a valid time"),
            policy: Policy::default(),
            specs: (0..leaves).map(spec).collect(),
            ca: None,
            leaves: vec![None; leaves],
        }
    }

    /// A world in which the first plan has been carried out and has settled.
    fn at_rest() -> Self {
        let mut world = Self::new(2);
        world.step();
        world.pass(world.policy.settle * 2);
        world
    }

    fn plan(&self) -> Plan {
        let leaves: Vec<_> = self.specs.iter().zip(&self.leaves).map(|(spec, leaf)| (spec, leaf.as_ref())).collect();
        plan(self.now, self.ca.as_ref(), &leaves, &self.policy).expect("a plan")
    }

    /// Plans and stores the outcome.
    fn step(&mut self) -> Plan {
        let plan = self.plan();
        self.ca = Some(plan.ca.clone());
        self.leaves = plan.leaves.iter().map(|leaf| Some(leaf.contents.clone())).collect();
        plan
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn ca(&mut self) -> &mut CaSecret {
        self.ca.as_mut().expect("an authority")
    }

    fn leaf(&mut self, index: usize) -> &mut LeafSecret {
        self.leaves[index].as_mut().expect("a leaf")
    }
}

fn changes(plan: &Plan) -> Vec<Change> {
    plan.leaves.iter().map(|leaf| leaf.change).collect()
}

fn verifies(leaf: &LeafSecret, bundle: &str) -> bool {
    let leaf = Certificate::first(&leaf.cert, "tls.crt").expect("a certificate");
    Certificate::all(bundle).iter().any(|root| leaf.is_signed_by(root))
}

#[test]
fn nothing_stored_yields_an_authority_and_leaves_that_verify() {
    let plan = World::new(2).plan();
    assert!(plan.ca_change);
    assert_eq!(changes(&plan), [Change::Issued, Change::Issued]);
    assert_eq!(plan.repairs, [], "an absent Secret is no fault");
    assert!(plan.leaves.iter().all(|leaf| verifies(&leaf.contents, &plan.bundle) && leaf.contents.ca == plan.bundle));
    let leaf = Certificate::first(&plan.leaves[0].contents.cert, "tls.crt").expect("a certificate");
    assert_eq!(leaf.dns_names.iter().map(String::as_str).collect::<Vec<_>>(), NAMES);
    assert!(!leaf.is_authority);
}

#[test]
fn what_is_valid_stays_byte_for_byte() {
    let world = World::at_rest();
    let plan = world.plan();
    assert!(!plan.ca_change);
    assert_eq!(changes(&plan), [Change::None, Change::None]);
    assert_eq!(plan.repairs, []);
}

#[test]
fn leaf_is_renewed_by_the_same_authority_after_two_thirds_of_its_life() {
    let mut world = World::at_rest();
    let due = world.plan().next;
    assert_eq!(due, OffsetDateTime::from_unix_timestamp(1_800_000_000).expect("a valid time") + world.policy.leaf_lifetime * 2 / 3);
    world.now = due - Span::SECOND;
    assert_eq!(changes(&world.plan()), [Change::None, Change::None]);
    world.now = due;
    let plan = world.plan();
    assert!(!plan.ca_change);
    assert_eq!(changes(&plan), [Change::Issued, Change::Issued]);
    assert_eq!(plan.repairs, [], "a renewal is no fault");
}

#[test]
fn authority_is_succeeded_ahead_of_its_end_with_an_overlap() {
    let mut world = World::at_rest();
    world.pass(world.policy.ca_lifetime * 2 / 3);
    // Leaves were renewed on the way; here they are fresh ones of the old authority.
    let old = WebhookCa::load(&world.ca().cert.clone(), &world.ca().key.clone()).expect("an authority");
    for index in 0..2 {
        let (cert, key) = old.issue(world.now, &NAMES.map(str::to_owned), &world.policy).expect("a leaf");
        *world.leaf(index) = LeafSecret { cert, key, ca: old.cert_pem().to_owned() };
    }

    let announced = world.step();
    assert!(announced.ca_change && announced.ca.cert != old.cert_pem());
    assert_eq!(Certificate::all(&announced.bundle).len(), 2, "both roots are trusted");
    assert_eq!(changes(&announced), [Change::Bundle, Change::Bundle], "nobody presents the new root's leaf before it is known");

    world.now = announced.next;
    let moved = world.step();
    assert_eq!(changes(&moved), [Change::Issued, Change::Issued]);
    assert_eq!(Certificate::all(&moved.bundle).len(), 2, "pods may still present the old leaf");

    world.now = moved.next;
    let done = world.step();
    assert_eq!(done.bundle, announced.ca.cert, "the old root is gone");
    assert_eq!(changes(&done), [Change::Bundle, Change::Bundle]);
    assert_eq!(world.plan().ca, done.ca);
    assert!(world.plan().next > world.now + world.policy.settle);
}

#[test]
fn every_leaf_ever_served_verifies_under_the_bundles_around_its_time() {
    let mut world = World::new(2);
    world.policy = Policy {
        ca_lifetime: Duration::from_secs(4000),
        leaf_lifetime: Duration::from_secs(900),
        settle: Duration::from_secs(60),
        backdate: Duration::from_secs(60),
    };
    let end = world.now + world.policy.ca_lifetime * 5;
    let (mut before, mut roots) = (world.step(), 1);
    while world.now < end {
        // A caller that wakes late, as callers do.
        world.now = before.next + Duration::from_secs(7);
        let plan = world.step();
        for leaf in before.leaves.iter().chain(&plan.leaves) {
            assert!(verifies(&leaf.contents, &before.bundle), "an API server that hasn't seen the change yet refuses a leaf");
            assert!(verifies(&leaf.contents, &plan.bundle), "an API server that has seen the change refuses a leaf");
        }
        roots += usize::from(plan.ca.cert != before.ca.cert);
        before = plan;
    }
    assert!(roots > 5, "the authority was never succeeded: {roots}");
}

#[test]
fn deleted_authority_is_replaced_while_its_leaves_stay_trusted() {
    let mut world = World::at_rest();
    let old = world.plan().bundle;
    world.ca = None;
    let plan = world.step();
    assert!(plan.bundle.contains(&old) && plan.bundle != old);
    assert_eq!(changes(&plan), [Change::Bundle, Change::Bundle]);
    world.now = plan.next;
    assert_eq!(changes(&world.step()), [Change::Issued, Change::Issued]);
}

#[test]
fn broken_authority_is_replaced_and_reported() {
    let other = WebhookCa::generate(World::new(0).now, &Policy::default()).expect("an authority");
    type Break = Box<dyn Fn(&mut World)>;
    let cases: Vec<(Break, Defect)> = vec![
        (Box::new(move |world| world.ca().key = other.key_pem()), Defect::KeyMismatch),
        (Box::new(|world| world.ca().key = KeyPem::new("garbage".into())), Defect::BadKey),
        (Box::new(|world| world.ca().cert = String::new()), Defect::NoCertificate { key: "tls.crt" }),
        (
            Box::new(|world| (world.ca().cert, world.ca().key) = (world.leaf(0).cert.clone(), world.leaf(0).key.clone())),
            Defect::NotAnAuthority,
        ),
    ];
    for (break_it, defect) in cases {
        let mut world = World::at_rest();
        break_it(&mut world);
        let plan = world.step();
        assert_eq!(plan.repairs, [Repair { leaf: None, defect }]);
        assert!(plan.ca_change);
        assert!(plan.leaves.iter().all(|leaf| verifies(&leaf.contents, &plan.bundle)));
        assert_eq!(world.plan().repairs, [], "one plan mends it");
    }
}

#[test]
fn broken_leaf_is_replaced_and_reported_and_its_neighbour_stays() {
    let foreign = WebhookCa::generate(World::new(0).now, &Policy::default()).expect("an authority");
    let names = NAMES.map(str::to_owned);
    let issued = foreign.issue(World::new(0).now, &names, &Policy::default()).expect("a leaf");
    type Break = Box<dyn Fn(&mut World)>;
    type Expect = fn(&Defect) -> bool;
    let cases: Vec<(Break, Expect)> = vec![
        (Box::new(|world| world.leaf(0).key = world.leaf(1).key.clone()), |defect| *defect == Defect::KeyMismatch),
        (Box::new(|world| world.leaf(0).key = KeyPem::new(String::new())), |defect| *defect == Defect::BadKey),
        (Box::new(|world| world.leaf(0).cert.truncate(90)), |defect| matches!(defect, Defect::NoCertificate { .. })),
        (Box::new(|world| world.leaf(0).cert = world.leaf(0).cert.replacen("MI", "MA", 1)), |defect| {
            matches!(defect, Defect::BadCertificate { .. })
        }),
        (Box::new(|world| world.specs[0].dns_names.push("other.svc".into())), |defect| matches!(defect, Defect::WrongNames { .. })),
        (Box::new(move |world| (world.leaf(0).cert, world.leaf(0).key) = issued.clone()), |defect| *defect == Defect::Untrusted),
    ];
    for (index, (break_it, expected)) in cases.into_iter().enumerate() {
        let mut world = World::at_rest();
        break_it(&mut world);
        let plan = world.step();
        assert_eq!(changes(&plan), [Change::Issued, Change::None], "case {index}");
        let [Repair { leaf: Some(leaf), defect }] = plan.repairs.as_slice() else {
            panic!("case {index}: {:?}", plan.repairs);
        };
        assert_eq!(leaf, &("istio-system".to_owned(), "leaf-0".to_owned()));
        assert!(expected(defect), "case {index}: {defect}");
        assert_eq!(world.plan().repairs, [], "one plan mends it");
    }
}

#[test]
fn corrupted_bundle_beside_a_leaf_is_mended_without_a_new_certificate() {
    let mut world = World::at_rest();
    world.leaf(1).ca = "corrupted".into();
    assert_eq!(changes(&world.plan()), [Change::None, Change::Bundle]);
}

#[test]
fn ended_leaf_is_replaced_even_while_a_new_root_settles() {
    let mut world = World::at_rest();
    world.pass(world.policy.leaf_lifetime);
    world.ca = None;
    let plan = world.plan();
    assert_eq!(changes(&plan), [Change::Issued, Change::Issued]);
    assert!(plan.repairs.iter().all(|repair| matches!(repair.defect, Defect::Expired { .. })));
}

#[test]
fn policy_without_room_for_renewal_is_refused() {
    let mut world = World::new(1);
    world.policy.settle = world.policy.leaf_lifetime / 3;
    let leaves = [(&world.specs[0], None)];
    assert!(matches!(plan(world.now, None, &leaves, &world.policy), Err(PlanError::LeafTooShort { .. })));
    world.policy = Policy { ca_lifetime: world.policy.leaf_lifetime, ..Policy::default() };
    assert!(matches!(plan(world.now, None, &leaves, &world.policy), Err(PlanError::CaTooShort { .. })));
}

#[test]
fn keys_are_not_shown() {
    let plan = World::new(1).plan();
    let shown = format!("{plan:?}");
    assert!(!shown.contains("PRIVATE KEY"), "{shown}");
    assert!(!format!("{:?}", WebhookCa::load(&plan.ca.cert, &plan.ca.key)).contains("PRIVATE"));
}
