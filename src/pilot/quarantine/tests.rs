//! Which object is found, and what is served in its place.

use std::sync::Arc;

use super::{Next, Quarantine};
use crate::model::{Change, Changes, HostPattern, MtlsMode, ObjectRef, Resolution, Snapshot, StringMatch, VirtualService};
use crate::pilot::problems::Problem;
use crate::testing::mesh::{TestMesh, bookinfo, forward, fqdn, path, peer_authentication, to, virtual_service};

/// A mesh that changes.
struct World {
    mesh: TestMesh,
    quarantine: Quarantine,
    version: u64,
    served: Arc<Snapshot>,
}

// === impl World ===

impl World {
    fn of(mesh: TestMesh) -> Self {
        let mut world = Self { mesh, quarantine: Quarantine::default(), version: 0, served: Arc::default() };
        world.changes(&[]);
        world
    }

    fn changes(&mut self, objects: &[&ObjectRef]) -> bool {
        self.version += 1;
        let snapshot = Snapshot { version: self.version, ..(*self.mesh.snapshot()).clone() };
        let mut changes: Changes = objects.iter().map(|object| Change::Config((*object).clone())).collect();
        // Services are told as such.
        changes.extend(snapshot.services.keys().chain(self.served.services.keys()).cloned().map(Change::Service));
        let (served, _, fewer) = self.quarantine.advance(Arc::new(snapshot), changes);
        self.served = served;
        fewer
    }

    /// Routes to that path are the VirtualService's from now on.
    fn routes(&mut self, object: &ObjectRef, uri: &str) {
        let rule = forward(vec![path(StringMatch::Exact(uri.into()))], vec![to(&fqdn("shop", "ratings"), None, 1)]);
        self.service(object).http = vec![rule];
        self.changes(&[object]);
    }

    fn service(&mut self, object: &ObjectRef) -> &mut VirtualService {
        self.mesh.virtual_services.iter_mut().find(|it| it.origin == *object).unwrap()
    }

    /// Finds and withholds the object at fault, where a mesh is bad if `is_bad` says so. Returns the object, whether it is gone, and how
    /// many attempts it took.
    fn finds(&mut self, suspects: &[ObjectRef], is_bad: impl Fn(&Snapshot) -> bool) -> Option<(ObjectRef, bool, usize)> {
        let (mut inquiry, mut attempts) = (self.quarantine.inquire(suspects, false), 0);
        loop {
            match self.quarantine.next(&inquiry) {
                Next::Verdict(mesh, _) => {
                    attempts += 1;
                    inquiry.tell(!is_bad(&mesh));
                }
                Next::Culprit(culprit) => {
                    let (object, absent) = (culprit.object.clone(), culprit.is_absence());
                    let problem = Problem { reason: "Bad", message: String::new() };
                    let (served, changes) = self.quarantine.withhold(culprit, problem);
                    assert!(changes.contains(&Change::Config(object.clone())));
                    self.served = served;
                    return Some((object, absent, attempts));
                }
                Next::Nobody => return None,
            }
        }
    }
}

fn path_of(snapshot: &Snapshot, object: &ObjectRef) -> Option<String> {
    match &snapshot.config.virtual_services.get(object)?.http[0].matches[..] {
        [condition] => match condition.uri.as_ref()? {
            StringMatch::Exact(path) => Some(path.to_string()),
            _ => None,
        },
        _ => Some("any".to_owned()),
    }
}

fn is_bad(snapshot: &Snapshot, object: &ObjectRef) -> bool {
    path_of(snapshot, object).is_some_and(|path| path.starts_with("/bad"))
}

/// The sample with many VirtualServices, and their names.
fn many() -> (TestMesh, Vec<ObjectRef>) {
    let mut mesh = bookinfo();
    for n in 0..20 {
        let rule = forward(Vec::new(), vec![to(&fqdn("shop", "ratings"), None, 1)]);
        mesh.virtual_services.push(virtual_service("shop", &format!("vs-{n}"), &[HostPattern::new(&format!("h{n}"))], vec![rule]));
    }
    let objects = mesh.virtual_services.iter().map(|it| it.origin.clone()).collect();
    (mesh, objects)
}

#[test]
fn what_changed_last_is_suspected_first_and_its_last_form_served_until_it_changes() {
    let (mesh, objects) = many();
    let (bad, other) = (objects[5].clone(), objects[6].clone());
    let mut world = World::of(mesh);
    world.routes(&other, "/before");
    world.routes(&bad, "/bad");
    assert_eq!(path_of(&world.served, &bad).unwrap(), "/bad");
    assert_eq!(world.finds(&objects, |mesh| is_bad(mesh, &bad)), Some((bad.clone(), false, 1)));
    assert_eq!(path_of(&world.served, &bad).unwrap(), "any");
    assert_eq!(world.quarantine.problems().keys().collect::<Vec<_>>(), [&bad]);

    // Others change, and it is named as changed although it is not.
    world.routes(&other, "/after");
    assert!(!world.changes(&[&bad]));
    assert_eq!((path_of(&world.served, &bad).unwrap(), path_of(&world.served, &other).unwrap()), ("any".into(), "/after".into()));

    world.routes(&bad, "/good");
    assert_eq!(path_of(&world.served, &bad).unwrap(), "/good");
    assert!(world.quarantine.problems().is_empty());
}

#[test]
fn several_bad_forms_in_a_row_lead_back_to_the_last_good_one() {
    let (mesh, objects) = many();
    let bad = objects[5].clone();
    let mut world = World::of(mesh);
    world.routes(&bad, "/good");
    world.routes(&bad, "/bad1");
    world.routes(&bad, "/bad2");
    let (object, absent, _) = world.finds(&objects, |mesh| is_bad(mesh, &bad)).unwrap();
    assert_eq!((object, absent, path_of(&world.served, &bad).unwrap()), (bad.clone(), false, "/good".to_owned()));
    // A third one: the way back is still known.
    world.routes(&bad, "/bad3");
    assert_eq!(path_of(&world.served, &bad).unwrap(), "/bad3");
    world.finds(&objects, |mesh| is_bad(mesh, &bad)).unwrap();
    assert_eq!(path_of(&world.served, &bad).unwrap(), "/good");
}

#[test]
fn without_a_past_few_attempts_find_it_and_the_mesh_goes_on_without_it() {
    let (mesh, objects) = many();
    let bad = objects[13].clone();
    let mut world = World::of(mesh);
    world.service(&bad).http[0].matches = vec![path(StringMatch::Exact("/bad".into()))];
    let mut world = World::of(world.mesh);
    let (object, absent, attempts) = world.finds(&objects, |mesh| is_bad(mesh, &bad)).unwrap();
    assert_eq!((object, absent), (bad.clone(), true));
    assert!(attempts <= 10, "{attempts}");
    assert_eq!(path_of(&world.served, &bad), None);
    assert_eq!(world.served.config.virtual_services.size(), objects.len() - 1);
}

#[test]
fn an_object_that_is_deleted_and_made_again_has_no_past() {
    let (mesh, objects) = many();
    let bad = objects[5].clone();
    let mut world = World::of(mesh);
    world.routes(&bad, "/bad");
    world.finds(&objects, |mesh| is_bad(mesh, &bad)).unwrap();
    let stored = world.service(&bad).clone();
    world.mesh.virtual_services.retain(|it| it.origin != bad);
    assert!(world.changes(&[&bad]), "the problem is gone with it");
    assert_eq!(path_of(&world.served, &bad), None);
    world.mesh.virtual_services.push(stored);
    world.changes(&[&bad]);
    assert!(world.finds(&objects, |mesh| is_bad(mesh, &bad)).unwrap().1, "the mesh goes on without it");
}

#[test]
fn the_mesh_never_goes_on_without_an_object_that_forbids_something() {
    let mut mesh = bookinfo();
    mesh.peer_authentications.push(peer_authentication("shop", &[], MtlsMode::Strict));
    let object = mesh.peer_authentications[0].origin.clone();
    let mut world = World::of(mesh);
    let strict = |mesh: &Snapshot| mesh.config.peer_authentications.values().any(|it| it.mode == Some(MtlsMode::Strict));
    assert_eq!(world.finds(std::slice::from_ref(&object), strict), None);
    // Its own earlier form is its owner's word.
    world.mesh.peer_authentications[0].mode = Some(MtlsMode::Permissive);
    world.changes(&[&object]);
    world.mesh.peer_authentications[0].mode = Some(MtlsMode::Strict);
    world.changes(&[&object]);
    assert_eq!(world.finds(std::slice::from_ref(&object), strict), Some((object, false, 1)));
}

#[test]
fn a_service_has_a_past_too() {
    let mut mesh = bookinfo();
    mesh.external("shop", "outside.example.com", Resolution::Dns, &["http:80"]);
    let key = mesh.services.keys().find(|key| key.host.as_str() == "outside.example.com").unwrap().clone();
    let mut world = World::of(mesh);
    let kubernetes = world.mesh.services.keys().find(|key| key.host == fqdn("shop", "ratings")).unwrap().clone();
    let ports = |mesh: &Snapshot| mesh.services.get(&kubernetes).map(|service| service.ports.len());
    let service = world.mesh.services.get_mut(&kubernetes).unwrap();
    service.ports.push(crate::testing::mesh::port("tcp:6000"));
    let origin = service.origin.clone();
    world.changes(&[]);
    assert_eq!(ports(&world.served), Some(2));
    assert_eq!(world.finds(std::slice::from_ref(&origin), |mesh| ports(mesh) == Some(2)), Some((origin, false, 1)));
    assert_eq!(ports(&world.served), Some(1));
    assert!(world.served.services.get(&key).is_some());
}

#[test]
fn one_namespaces_complaint_about_anothers_object_is_noted_and_two_are_enough() {
    let (mesh, objects) = many();
    let mut world = World::of(mesh);
    let problem = || Problem { reason: "RefusedByProxy", message: "no".to_owned() };
    assert!(!world.quarantine.tolerate(&objects[0], &"bank".into(), problem()));
    assert!(!world.quarantine.tolerate(&objects[0], &"bank".into(), problem()));
    assert_eq!(world.quarantine.problems().len(), 1);
    assert!(world.quarantine.tolerate(&objects[0], &"other".into(), problem()));
    world.routes(&objects[0], "/changed");
    assert!(world.quarantine.problems().is_empty());
}
