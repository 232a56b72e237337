//! Whatever happened before, the objects in the end follow from the spec alone.

use ferromesh_crds::{
    MeshInstall, MeshInstallSpec,
    install::{Profile, State, UpdateType},
};
use futures::{StreamExt, future::join_all, stream};
use k8s_openapi::{
    api::{admissionregistration::v1::ValidatingWebhookConfiguration, core::v1::Service},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::Resource;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

use super::cluster::{Cluster, MESH, OPERATOR};
use crate::operator::{
    difference::applying,
    plan::{APPLIED, Circumstances, MANAGER, Phase, Planned, Share, Tag, edit, plan},
    settings::{Role, Settings, resolve},
};
use crate::testing::{eventually, objects::Choices};

/// So many clusters at once: each of them mostly waits.
const AT_ONCE: usize = 4;

/// The spec of a profile, with what it can't do without.
fn of_profile(profile: Profile) -> Value {
    match profile {
        Profile::Remote => json!({"profile": "remote", "values": {"global": {"remotePilotAddress": "pilot.example.com"}}}),
        profile => json!({"profile": profile.name()}),
    }
}

/// All objects, by kind and name, without what the server and chance decide.
pub(super) fn view(cluster: &Cluster) -> BTreeMap<String, Value> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let objects = cluster.api.all().into_iter().filter(|object| object["kind"] != "Event" && object["kind"] != "MeshInstall");
    let stable = |mut object: Value| {
        for field in ["uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"] {
            object["metadata"].as_object_mut().unwrap().remove(field);
        }
        match object["kind"].as_str() {
            Some("Secret") => object["data"] = Value::Null,
            Some("Lease") => object["spec"] = Value::Null,
            // It counts how often the object was changed.
            Some("Deployment" | "DaemonSet") => object["status"]["observedGeneration"] = Value::Null,
            Some("ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration") => {
                for webhook in object["webhooks"].as_array_mut().unwrap() {
                    webhook["clientConfig"]["caBundle"] = Value::Null;
                }
                // The bundle is in the hash of what was applied.
                object["metadata"]["annotations"] = Value::Null;
            }
            _ => {}
        }
        let metadata = &object["metadata"];
        (format!("{} {}/{}", text(&object["kind"]), text(&metadata["namespace"]), text(&metadata["name"])), object)
    };
    objects.map(stable).collect()
}

/// Panics where two clusters differ, with the first object in which they do.
pub(super) fn assert_same(found: &BTreeMap<String, Value>, wanted: &BTreeMap<String, Value>, what: &str) {
    assert_eq!(found.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>(), "{what}");
    for (name, object) in wanted {
        assert_eq!(&found[name], object, "{what}: {name}");
    }
}

#[tokio::test]
async fn another_profile_leaves_what_a_fresh_install_of_it_has() {
    let mut fresh = BTreeMap::new();
    for profile in Profile::ALL {
        fresh.insert(profile, view(&Cluster::healthy(of_profile(profile)).await));
    }
    let names = fresh.values().map(|view| view.keys().cloned().collect::<Vec<_>>()).collect::<BTreeSet<_>>();
    assert_eq!(names.len(), 5, "profiles differ in their objects");
    let pairs = Profile::ALL.into_iter().flat_map(|from| Profile::ALL.map(|to| (from, to))).filter(|(from, to)| from != to);
    let switched = stream::iter(pairs).map(|(from, to)| async move {
        let cluster = Cluster::healthy(of_profile(from)).await;
        cluster.install("mesh", of_profile(to));
        cluster.until_healthy().await;
        (from, to, view(&cluster))
    });
    let switched: Vec<_> = switched.buffer_unordered(AT_ONCE).collect().await;
    assert_eq!(switched.len(), 20);
    for (from, to, found) in switched {
        assert_same(&found, &fresh[&to], &format!("{} after {}", to.name(), from.name()));
    }
}

/// A write of the operator's, of whatever it makes.
pub(super) fn is_step(call: &crate::testing::fake_api::Call) -> bool {
    let own_lease = call.target.plural == "leases" && call.target.namespace.as_deref() == Some(OPERATOR);
    call.is_write() && !own_lease && call.target.plural != "events" && !call.query.contains_key("dryRun")
}

/// Has the API server take no more than so many writes; how many are left, and how many it has not taken.
pub(super) fn limited(cluster: &Cluster, allowed: usize) -> (Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let (left, refused) = (Arc::new(AtomicUsize::new(allowed)), Arc::new(AtomicUsize::new(0)));
    let (budget, counted) = (left.clone(), refused.clone());
    cluster.api.answer(move |call| {
        let spent = is_step(call) && budget.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err();
        counted.fetch_add(usize::from(spent), Ordering::SeqCst);
        spent.then(|| (500, json!({"kind": "Status", "status": "Failure", "message": "gone", "reason": "InternalError", "code": 500})))
    });
    (left, refused)
}

#[tokio::test]
async fn an_operator_that_is_killed_at_any_write_is_no_harm() {
    let undisturbed = Cluster::healthy(json!({"profile": "sds"})).await;
    let steps = undisturbed.api.calls().iter().filter(|call| is_step(call)).count();
    let wanted = view(&undisturbed);
    assert!(steps > 40, "{steps} writes");
    let killed = stream::iter(0..steps).map(|allowed| async move {
        let mut cluster = Cluster::new();
        // What it does after its end reaches nobody.
        let (left, refused) = limited(&cluster, allowed);
        cluster.install("mesh", json!({"profile": "sds"}));
        cluster.start();
        eventually("the write that fails", || {
            cluster.bring_up_pods();
            // The last of all writes may come of itself once less was to be told.
            refused.load(Ordering::SeqCst) > 0 || cluster.status("mesh").state == Some(State::Healthy)
        })
        .await;
        cluster.stop();
        left.store(usize::MAX, Ordering::SeqCst);
        cluster.start();
        cluster.until_healthy().await;
        (allowed, refused.load(Ordering::SeqCst) > 0, view(&cluster))
    });
    let killed: Vec<_> = killed.buffer_unordered(AT_ONCE).collect().await;
    assert!(killed.iter().filter(|(_, refused, _)| *refused).count() >= steps - 5, "nearly all were killed while they worked");
    for (allowed, _, found) in &killed {
        assert_same(found, &wanted, &format!("after {allowed} writes"));
    }
}

/// The plan for the MeshInstall that is in the cluster, by what is there.
fn planned(cluster: &Cluster) -> Vec<Planned> {
    let mesh = cluster.api.get::<MeshInstall>(None, "mesh").unwrap();
    let owner = mesh.controller_owner_ref(&()).map(|owner| OwnerReference { block_owner_deletion: Some(true), ..owner }).unwrap();
    let own = cluster.api.get::<ValidatingWebhookConfiguration>(None, "ferromesh-operator").unwrap();
    let bundle = String::from_utf8(own.webhooks.unwrap()[0].client_config.ca_bundle.clone().unwrap().0).unwrap();
    let none = BTreeSet::new();
    let settings = resolve(&mesh.spec, &cluster.config().images).unwrap();
    let share = Share::alone(&settings);
    let tags: Vec<Tag<'_>> = mesh.spec.tags.keys().map(|name| Tag { name, target: &settings }).collect();
    let circumstances = Circumstances {
        bundle: Some(&bundle),
        galley: Phase::Proven,
        tags: &tags,
        ..Circumstances::new(&owner, OPERATOR, Some(&none), Some(&share))
    };
    plan(&settings, circumstances)
}

/// Objects that the operator applied, by what they are called.
fn applied(cluster: &Cluster) -> BTreeMap<String, Value> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let marked = cluster.api.all().into_iter().filter(|object| object["metadata"]["annotations"][APPLIED].is_string());
    let named = marked.map(|object| {
        let (kind, metadata) = (text(&object["kind"]), &object["metadata"]);
        let name = match metadata["namespace"].as_str() {
            Some(namespace) => format!("{kind} {namespace}/{}", text(&metadata["name"])),
            None => format!("{kind} {}", text(&metadata["name"])),
        };
        (name, object)
    });
    named.collect()
}

/// A moment, on a busy machine, after which a status that is still written will always be.
const RESTLESS: Duration = Duration::from_secs(20);
/// So many chains of edits go on at once in each of four tests, for a walk mostly waits, and so many edits has each: a thousand together.
const CHAINS: u32 = 3;
const EDITS: usize = 84;

/// Whether a mesh comes from one spec to another at its own place, and all at once: what goes to another place, and what is kept for tags
/// that lost their injector, is for the tests of upgrades and revisions.
fn is_walkable(from: &Settings, to: &Settings) -> bool {
    let has = |settings: &Settings, role| settings.parts.contains_key(&role);
    let comes_anew = || from.images != to.images || !has(from, Role::Pilot) || !has(from, Role::Injector);
    !(to.strategy == UpdateType::Revision && comes_anew()) && (to.tags.is_empty() || has(to, Role::Injector))
}

/// Edits one spec again and again. After each edit what is in the cluster is what is planned, and then nothing more is written. Where the
/// mode is Plan, nothing is written before it is Apply again. Answers how often that was so.
async fn walk(seed: u32) -> usize {
    let bytes: Vec<u8> = (1..40_000_u32).map(|n| (n ^ seed << 16).wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect();
    let mut choices = Choices::new(&bytes);
    let mut cluster = Cluster::healthy(json!({})).await;
    let images = cluster.config().images;
    let understood = |spec: &Value| resolve(&serde_json::from_value::<MeshInstallSpec>(spec.clone()).unwrap(), &images).ok();
    let (mut spec, mut settings) = (json!({}), understood(&json!({})).unwrap());
    let (mut taken, mut looked_at) = (0, 0);
    for _ in 0..EDITS * 10 {
        let mut next = spec.clone();
        edit(&mut next, &mut choices);
        let Some(wanted) = understood(&next).filter(|wanted| is_walkable(&settings, wanted)) else { continue };
        spec = next;
        cluster.api.forget_calls();
        cluster.install("mesh", spec.clone());
        if spec["mode"] == "Plan" {
            looked_at += 1;
            only_looks(&cluster, &spec).await;
            spec["mode"] = json!("Apply");
            cluster.install("mesh", spec.clone());
        }
        (settings, taken) = (wanted, taken + 1);
        cluster.until_healthy().await;
        is_planned(&cluster, &spec);
        rests(&cluster, &spec).await;
        if taken % 25 == 0 {
            cluster.stop();
            cluster.start();
            rests(&cluster, &spec).await;
        }
        if taken == EDITS {
            break;
        }
    }
    assert_eq!(taken, EDITS, "chain {seed}");
    looked_at
}

/// Walks all chains of one test.
async fn walks(test: u32) {
    let looked_at = join_all((0..CHAINS).map(|chain| walk(test * CHAINS + chain))).await;
    assert!(looked_at.iter().sum::<usize>() > 0, "some were planned first");
}

fn is_planned(cluster: &Cluster, spec: &Value) {
    let (plan, live) = (planned(cluster), applied(cluster));
    assert_eq!(plan.iter().map(|object| object.key.to_string()).collect::<BTreeSet<_>>(), live.keys().cloned().collect(), "{spec}");
    for object in &plan {
        let live = &live[&object.key.to_string()];
        assert_eq!(applying(&object.body, live, MANAGER), [], "{spec}: {}", object.key);
    }
}

/// What has been written, but for what only tells.
fn written(cluster: &Cluster) -> Vec<String> {
    cluster.writes().into_iter().filter(|write| !write.contains("events")).collect()
}

/// Passes find nothing to do but the one thing that shows that they have looked. What is counted of proxies and of the control planes'
/// users, and pods of add-ons, may be told a moment after the mesh is well, and then no more.
async fn rests(cluster: &Cluster, spec: &Value) {
    let (began, mut quiet) = (Instant::now(), 0);
    while quiet < 2 {
        let written = one_repair(cluster).await;
        let objects: Vec<&String> = written.iter().filter(|write| *write != "PATCH meshinstalls/mesh").collect();
        assert_eq!(objects, ["PATCH services/istio-citadel"], "{spec}");
        quiet = if objects.len() == written.len() { quiet + 1 } else { 0 };
        assert!(began.elapsed() < RESTLESS, "the status is written again and again: {spec}");
    }
}

/// Has a pass put one thing right; what it has written.
async fn one_repair(cluster: &Cluster) -> Vec<String> {
    cluster.api.forget_calls();
    cluster.api.delete::<Service>(Some(MESH), "istio-citadel");
    eventually("the one repair", || cluster.api.get::<Service>(Some(MESH), "istio-citadel").is_some()).await;
    cluster.until_healthy().await;
    written(cluster)
}

async fn only_looks(cluster: &Cluster, spec: &Value) {
    eventually("a plan", || {
        let generation = cluster.api.get::<MeshInstall>(None, "mesh").and_then(|mesh| mesh.metadata.generation);
        cluster.status("mesh").plan.is_some_and(|plan| plan.generation == generation)
    })
    .await;
    assert!(written(cluster).iter().all(|write| write == "PATCH meshinstalls/mesh"), "{spec}: {:?}", written(cluster));
}

#[tokio::test]
async fn what_is_applied_is_what_is_planned_and_then_there_is_rest_1() {
    walks(1).await;
}

#[tokio::test]
async fn what_is_applied_is_what_is_planned_and_then_there_is_rest_2() {
    walks(2).await;
}

#[tokio::test]
async fn what_is_applied_is_what_is_planned_and_then_there_is_rest_3() {
    walks(3).await;
}

#[tokio::test]
async fn what_is_applied_is_what_is_planned_and_then_there_is_rest_4() {
    walks(4).await;
}
