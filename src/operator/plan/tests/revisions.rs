//! Control planes beside each other: what a revision's plan has, and that no two plans want the same object.

use serde_json::json;
use std::{cell::Cell, collections::BTreeMap};

use super::{circumstances, documents, names, owner, settings};
use crate::operator::{
    object::Key,
    plan::{Circumstances, Planned, Share, Tag, edit, plan},
    settings::Settings,
};
use crate::testing::for_many;

/// The plan of a control plane; `share` is what all have, if it is this one's.
fn planned(settings: &Settings, share: Option<&Share>, tags: &[Tag<'_>]) -> Vec<Planned> {
    let owner = owner();
    let default_moved = tags.iter().any(|tag| tag.name == "default");
    plan(settings, Circumstances { tags, default_moved, ..circumstances(&owner, None, share) })
}

fn canary(mesh: &Settings) -> Settings {
    settings(&json!({"revision": "canary"})).unwrap().beside(mesh, "mesh").unwrap()
}

#[test]
fn a_revision_beside_the_default_one() {
    let mesh = settings(&json!({})).unwrap();
    insta::assert_snapshot!(documents(&planned(&canary(&mesh), None, &[])));
}

#[test]
fn what_is_shared_is_planned_by_one_and_inherited_by_the_others() {
    let (mesh, alone) = (settings(&json!({})).unwrap(), settings(&json!({"revision": "canary"})).unwrap());
    let heir = k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference { name: "canary".to_owned(), uid: "c".to_owned(), ..owner() };
    let share = Share { heirs: vec![heir], injects: true, rolls: true };
    let objects = planned(&mesh, Some(&share), &[]);
    let inherited = |object: &&Planned| object.body["metadata"]["ownerReferences"].as_array().unwrap().len() == 2;
    let keys = |objects: &[Planned]| objects.iter().map(|object| object.key.clone()).collect::<Vec<Key>>();
    let shared: Vec<Planned> = objects.iter().filter(inherited).cloned().collect();
    assert!(shared.iter().all(|object| Share::holds(&object.key)), "{:?}", names(&shared));
    let rest: Vec<Key> = keys(&objects).into_iter().filter(Share::holds).collect();
    assert_eq!(keys(&shared), rest);
    assert_eq!(
        names(&shared).into_iter().collect::<Vec<_>>(),
        [
            "ClusterRoleBinding ferromesh-citadel",
            "ClusterRoleBinding ferromesh-proxies",
            "ClusterRoleBinding ferromesh-rollout",
            "Deployment istio-system/istio-citadel",
            "Lease istio-system/istio-citadel",
            "RoleBinding istio-system/ferromesh-citadel-namespaced",
            "RoleBinding istio-system/ferromesh-operator-namespaced",
            "Service istio-system/istio-citadel",
            "ServiceAccount istio-system/istio-citadel",
        ]
    );
    // The one that is left has it, under the same names.
    let taken = keys(&planned(&alone, Some(&Share { rolls: true, ..Share::alone(&alone) }), &[]));
    assert!(keys(&shared).iter().all(|key| taken.contains(key)));
}

#[test]
fn tags_lead_to_their_revision_and_the_tag_default_takes_all_that_the_default_one_is_asked_about() {
    let mesh = settings(&json!({"injection": {"enableNamespacesByDefault": true}})).unwrap();
    let target = canary(&mesh);
    let tags = [Tag { name: "default", target: &target }, Tag { name: "prod", target: &target }];
    let (before, after) = (planned(&mesh, None, &[]), planned(&mesh, None, &tags));
    let changed: Vec<Planned> = after.iter().filter(|object| !before.contains(object)).cloned().collect();
    insta::assert_snapshot!(documents(&changed));
    let position = |name: &str| after.iter().position(|object| object.key.name == name && object.key.namespace.is_none());
    assert!(position("istio-revision-tag-default") < position("istio-sidecar-injector"), "never is nobody asked");
}

/// Names that come close to those of other objects.
const NAMES: [&str; 8] = ["canary", "1-31", "namespaced", "credentials", "pilot", "webhook-certs", "citadel", "tag-prod"];

#[test]
fn no_two_control_planes_want_the_same_object() {
    let compared = Cell::new(0);
    for_many(|choices| {
        let mut of_the_mesh = json!({});
        (0..8).for_each(|_| edit(&mut of_the_mesh, choices));
        let Ok(mesh) = settings(&of_the_mesh) else { return };
        let mut seen: BTreeMap<Key, String> = BTreeMap::new();
        let targets: Vec<Settings> = NAMES
            .iter()
            .filter_map(|name| settings(&json!({"revision": name, "namespace": mesh.namespace})).ok()?.beside(&mesh, "mesh").ok())
            .collect();
        let tags: Vec<Tag<'_>> = targets.iter().map(|target| Tag { name: "prod", target }).take(1).collect();
        let share = Share::alone(&mesh);
        let all = [("default", planned(&mesh, Some(&share), &tags))];
        let others = targets.iter().map(|target| (target.revision.name(), planned(target, None, &[])));
        for (name, objects) in all.into_iter().chain(others) {
            for object in objects {
                assert_eq!(object.body["metadata"]["labels"]["istio.io/rev"] == name, object.key.name != "istio-revision-tag-prod");
                if let Some(other) = seen.insert(object.key.clone(), name.to_owned()) {
                    panic!("{} is wanted by {other} and {name}: {of_the_mesh}", object.key);
                }
                compared.set(compared.get() + 1);
            }
        }
    });
    assert!(compared.get() > 2000, "{} objects", compared.get());
}
