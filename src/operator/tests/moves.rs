//! While one control plane takes the place of another, nobody is asked who could not answer.

use ferromesh_crds::{MeshInstall, install::State};
use futures::{StreamExt, stream};
use k8s_openapi::api::{
    admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
    apps::v1::Deployment,
    core::v1::ServiceAccount,
};
use kube::ResourceExt;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

use super::{
    cluster::{BROKEN, Cluster, MESH},
    upgrade::{by_revision, pilots, serves, serving, settled, told, with_a_pod, writes_to},
};
use crate::model::of_revision;
use crate::testing::{eventually, fake_api::FakeApi};

/// So many clusters at once: each of them mostly waits.
const AT_ONCE: usize = 3;
/// What leads to the control plane that is asked.
const LEADING: [&str; 4] = [
    "mutatingwebhookconfigurations/istio-sidecar-injector",
    "validatingwebhookconfigurations/istio-galley",
    "deployments/istio-ingressgateway",
    "deployments/istio-citadel",
];
/// The parts of a control plane.
const PARTS: [&str; 3] = ["istio-pilot", "istio-galley", "istio-sidecar-injector"];

fn is_ready(api: &FakeApi, deployment: &str) -> bool {
    let found = api.get::<Deployment>(Some(MESH), deployment);
    let current = |one: &Deployment| one.status.as_ref().is_some_and(|status| status.observed_generation == one.metadata.generation);
    found.filter(current).and_then(|one| one.status?.available_replicas).is_some_and(|available| available > 0)
}

/// Looks at every write from now on; those that have led anybody to one of the parts that wasn't ready.
fn overseen(cluster: &Cluster, parts: &'static [&'static str]) -> Arc<Mutex<Vec<String>>> {
    let found: Arc<Mutex<Vec<String>>> = Arc::default();
    let (api, wrong) = (cluster.api.clone(), found.clone());
    cluster.api.answer(move |call| {
        let object = format!("{}/{}", call.target.plural, call.target.name.as_deref().unwrap_or_default());
        if call.is_write() && LEADING.contains(&&*object) {
            let body = call.body.to_string();
            let place = ["blue", "green"].into_iter().find(|place| body.contains(&format!("-{place}"))).unwrap_or("default");
            let unready = parts.iter().map(|part| of_revision(part, place)).find(|part| !is_ready(&api, part));
            wrong.lock().unwrap().extend(unready.map(|part| format!("{object} leads to {place}, without {part}")));
        }
        None
    });
    found
}

/// Waits for passes that began from now on, by what a control plane's place gets back twice.
async fn passes(cluster: &Cluster, place: &str) {
    let account = of_revision("istio-pilot", place);
    for _ in 0..2 {
        cluster.api.delete::<ServiceAccount>(Some(MESH), &account);
        eventually("a pass", || cluster.api.get::<ServiceAccount>(Some(MESH), &account).is_some()).await;
    }
}

/// Whether the galley at a place has been tried, and has refused.
fn was_tried(cluster: &Cluster, place: &str) -> bool {
    let label = if place == "default" { "default.tried" } else { place };
    let tried = |body: &Value| body.pointer("/metadata/labels/istio.io~1rev").is_some_and(|name| name == label);
    cluster.api.calls().iter().any(|call| call.target.plural == "gateways" && tried(&call.body))
}

/// Moves a mesh to `place` by `spec`, whose control plane there lacks something at first: a part, or the proof of its galley.
async fn lacking(place: &str, spec: Value, lack: &str) {
    let what = format!("to {place} without {lack}");
    let cluster = with_a_pod().await;
    let (wrong, before) = (overseen(&cluster, &PARTS), cluster.writes().len());
    let held = of_revision(lack, place);
    if lack == "proof" {
        cluster.lax.lock().unwrap().insert(of_revision("istio-galley", place));
    }
    cluster.install("mesh", spec);
    let reason = match lack {
        "proof" => format!("{} has not yet refused a wrong object", of_revision("istio-galley", place)),
        _ => format!("{held}: waiting for its pods"),
    };
    let wanted = format!("False NewNotReady version 1.0.3 comes up as {place}, version 1.0.2 (blue) serves on: {reason}");
    eventually(&what, || {
        cluster.bring_up_pods_but(&held);
        told(&cluster) == wanted && (lack == "istio-galley" || was_tried(&cluster, place))
    })
    .await;
    passes(&cluster, place).await;
    assert_eq!((serving(&cluster).as_deref(), told(&cluster)), (Some("blue"), wanted), "{what}");
    let touched = cluster.writes().split_off(before);
    let leading = |write: &&String| LEADING.iter().any(|object| write.ends_with(object));
    assert_eq!(touched.iter().filter(leading).collect::<Vec<_>>(), Vec::<&String>::new(), "{what}");

    cluster.lax.lock().unwrap().clear();
    eventually(&format!("{what}, which is there now"), || serves(&cluster, place)).await;
    assert_eq!(*wrong.lock().unwrap(), Vec::<String>::new(), "{what}");
    eventually(&format!("{what}: it is tried no more"), || !is_tried(&cluster)).await;
}

/// Whether there is what the galley at its MeshInstall's own place is tried by.
fn is_tried(cluster: &Cluster) -> bool {
    cluster.api.get::<ValidatingWebhookConfiguration>(None, "istio-galley-default").is_some()
}

#[tokio::test]
async fn a_control_plane_is_asked_once_it_lacks_nothing_wherever_it_comes() {
    let ways = [("green", by_revision(json!({"tag": "1.0.3"}))), ("default", json!({"tag": "1.0.3"}))];
    let lacks = PARTS.into_iter().chain(["proof"]);
    let all = lacks.flat_map(|lack| ways.clone().map(|(place, spec)| (place, spec, lack)));
    let moved: Vec<()> = stream::iter(all).map(|(place, spec, lack)| lacking(place, spec, lack)).buffer_unordered(AT_ONCE).collect().await;
    assert_eq!(moved.len(), 8);
}

#[tokio::test]
async fn a_galley_is_tried_anew_where_another_version_takes_the_place_of_one_that_was_asked_before() {
    let cluster = Cluster::healthy(json!({})).await;
    cluster.namespace(&json!({"istio-injection": "enabled"}));
    cluster.pod("default", "1.0.2");
    cluster.install("mesh", by_revision(json!({"tag": "1.0.3"})));
    let used = "False OldInUse version 1.0.3 (blue) serves; version 1.0.2 (default): used by 1 proxy of namespaces shop";
    eventually("the old one is used", || serves(&cluster, "blue") && told(&cluster) == used).await;
    cluster.lax.lock().unwrap().insert("istio-galley".to_owned());
    cluster.install("mesh", json!({"tag": "1.0.4"}));
    let awaited = "istio-galley has not yet refused a wrong object";
    let wanted = format!("False NewNotReady version 1.0.4 comes up as default, version 1.0.3 (blue) serves on: {awaited}");
    eventually("its proof is awaited", || {
        cluster.bring_up_pods();
        told(&cluster) == wanted && was_tried(&cluster, "default")
    })
    .await;
    passes(&cluster, "default").await;
    assert_eq!((serving(&cluster).as_deref(), told(&cluster)), (Some("blue"), wanted));
    cluster.lax.lock().unwrap().clear();
    eventually("it serves", || serves(&cluster, "default")).await;
}

#[tokio::test]
async fn on_the_way_back_one_that_another_operator_has_planned_is_tried_and_that_leaves_no_trace() {
    let mut cluster = Cluster::healthy(json!({})).await;
    cluster.namespace(&json!({"istio-injection": "enabled"}));
    cluster.pod("default", "1.0.2");
    cluster.install("mesh", by_revision(json!({})));
    cluster.upgrade("1.0.3");
    eventually("the new one serves", || serves(&cluster, "blue")).await;
    // Another operator, which has not seen the old galley at work.
    cluster.stop();
    cluster.lax.lock().unwrap().insert("istio-galley".to_owned());
    cluster.install("mesh", by_revision(json!({"version": "1.0.2"})));
    cluster.start();
    let awaited = "istio-galley has not yet refused a wrong object";
    let wanted = format!("False NewNotReady version 1.0.2 comes up as default, version 1.0.3 (blue) serves on: {awaited}");
    eventually("its proof is awaited", || told(&cluster) == wanted && was_tried(&cluster, "default")).await;
    assert_eq!((serving(&cluster).as_deref(), is_tried(&cluster)), (Some("blue"), true));
    cluster.lax.lock().unwrap().clear();
    eventually("it serves", || serves(&cluster, "default")).await;
    eventually("it is tried no more", || !is_tried(&cluster)).await;
}

/// What happens while a new control plane comes up.
struct Mishap {
    /// Which webhook configurations somebody deletes.
    deleted: &'static [&'static str],
    galley: bool,
    /// Whether another operator has to go on, and finds a status that is wrong.
    restarted: bool,
}

fn delete(cluster: &Cluster, configuration: &str) {
    match configuration {
        "istio-galley" => cluster.api.delete::<ValidatingWebhookConfiguration>(None, configuration),
        _ => cluster.api.delete::<MutatingWebhookConfiguration>(None, configuration),
    }
}

/// Has the status say that the new one serves.
fn mislead(cluster: &Cluster) {
    let mut mesh = cluster.api.get::<MeshInstall>(None, "mesh").unwrap();
    let mut status = serde_json::to_value(mesh.status.unwrap()).unwrap();
    status["version"] = json!("1.0.3");
    status["revisions"] = json!([{"name": "green", "version": "1.0.3", "state": "HEALTHY", "inUse": true, "proxies": 7}]);
    mesh.status = Some(serde_json::from_value(status).unwrap());
    cluster.api.insert(&mesh);
}

async fn after(Mishap { deleted, galley, restarted }: Mishap) {
    let what = format!("without {deleted:?}, galley: {galley}, restarted: {restarted}");
    let spec = |tag: &str| by_revision(json!({"tag": tag, "components": {"galley": {"enabled": galley}}}));
    let mut cluster = Cluster::healthy(spec("1.0.2")).await;
    let wrong = overseen(&cluster, if galley { &PARTS } else { &["istio-pilot", "istio-sidecar-injector"] });
    cluster.install("mesh", spec("1.0.3"));
    let serves_on = || told(&cluster).contains(" comes up as green, version 1.0.2 (blue) serves on: ");
    eventually(&what, || serves_on() && pilots(&cluster).len() == 2).await;
    let before = cluster.writes().len();
    if restarted {
        cluster.stop();
        mislead(&cluster);
    }
    deleted.iter().for_each(|configuration| delete(&cluster, configuration));
    if restarted {
        cluster.start();
    }
    let asked = || cluster.asked("istio-sidecar-injector");
    eventually(&format!("{what}: it is back"), || asked().is_some()).await;
    let blue = ("blue".to_owned(), "istio-sidecar-injector-blue".to_owned());
    assert_eq!(asked(), Some(blue.clone()), "{what}");
    passes(&cluster, "green").await;
    let told = told(&cluster);
    assert!(told.contains(" comes up as green, version 1.0.2 (blue) serves on: "), "{what}: {told}");
    assert_eq!((asked(), cluster.status("mesh").version.as_deref()), (Some(blue), Some("1.0.2")), "{what}");
    assert!(!galley || serving(&cluster).as_deref() == Some("blue") && counts(&cluster), "{what}");
    let touched = cluster.writes().split_off(before);
    let mut back = writes_to(&touched, |name| name.starts_with("istio-") && !name.ends_with("-green"));
    back.sort();
    let wanted: Vec<String> = deleted.iter().map(|name| format!("PATCH {}/{name}", plural(name))).collect();
    assert_eq!(back, wanted.iter().collect::<Vec<_>>(), "{what}: nothing else is written");

    eventually(&format!("{what}: it moves"), || {
        cluster.bring_up_pods();
        asked().is_some_and(|(place, _)| place == "green")
    })
    .await;
    assert_eq!(*wrong.lock().unwrap(), Vec::<String>::new(), "{what}");
}

/// Whether galley's absence counts.
fn counts(cluster: &Cluster) -> bool {
    let configuration = cluster.api.get::<ValidatingWebhookConfiguration>(None, "istio-galley");
    let webhooks = configuration.and_then(|configuration| configuration.webhooks).unwrap_or_default();
    webhooks.iter().all(|webhook| webhook.failure_policy.as_deref() == Some("Fail"))
}

fn plural(configuration: &str) -> &'static str {
    if configuration == "istio-galley" { "validatingwebhookconfigurations" } else { "mutatingwebhookconfigurations" }
}

#[tokio::test]
async fn who_is_asked_is_known_although_webhooks_are_deleted_and_asked_he_stays() {
    const INJECTOR: &[&str] = &["istio-sidecar-injector"];
    const BOTH: &[&str] = &["istio-sidecar-injector", "istio-galley"];
    let cases = [(INJECTOR, true), (BOTH, true), (INJECTOR, false)];
    let all = cases.into_iter().flat_map(|(deleted, galley)| [false, true].map(|restarted| Mishap { deleted, galley, restarted }));
    let seen: Vec<()> = stream::iter(all).map(after).buffer_unordered(AT_ONCE).collect().await;
    assert_eq!(seen.len(), 6);
}

#[tokio::test]
async fn where_nothing_tells_who_is_asked_a_new_one_is_not_before_it_lacks_nothing() {
    let cluster = with_a_pod().await;
    cluster.lax.lock().unwrap().insert("istio-galley-green".to_owned());
    cluster.install("mesh", by_revision(json!({"tag": "1.0.3"})));
    let awaited = "istio-galley-green has not yet refused a wrong object";
    let serves_on = format!("False NewNotReady version 1.0.3 comes up as green, version 1.0.2 (blue) serves on: {awaited}");
    eventually("the proof alone is awaited", || {
        cluster.bring_up_pods();
        told(&cluster) == serves_on
    })
    .await;
    // Both could answer: galley's webhooks tell who is asked.
    delete(&cluster, "istio-sidecar-injector");
    eventually("it is back", || serving(&cluster).as_deref() == Some("blue")).await;
    passes(&cluster, "green").await;
    assert_eq!(told(&cluster), serves_on);
    ["istio-sidecar-injector", "istio-galley"].iter().for_each(|configuration| delete(&cluster, configuration));
    let unknown = format!("False NewNotReady version 1.0.3 comes up as green: {awaited}");
    eventually("nothing tells", || told(&cluster) == unknown).await;
    passes(&cluster, "green").await;
    assert_eq!((cluster.asked("istio-sidecar-injector"), told(&cluster)), (None, unknown));
    let gateway = cluster.api.get::<Deployment>(Some(MESH), "istio-ingressgateway").unwrap();
    assert!(serde_json::to_string(&gateway).unwrap().contains("istio-pilot-blue."), "{}", gateway.name_any());
    cluster.lax.lock().unwrap().clear();
    eventually("it serves", || serves(&cluster, "green")).await;
}

#[tokio::test]
async fn what_never_served_keeps_nobody_waiting() {
    let mut cluster = Cluster::new();
    cluster.install("mesh", by_revision(json!({"tag": BROKEN})));
    cluster.start();
    eventually("it is given up", || {
        cluster.bring_up_pods();
        let asks = cluster.api.get::<ValidatingWebhookConfiguration>(None, "istio-galley").is_some();
        asks && cluster.status("mesh").state == Some(State::Error)
    })
    .await;
    cluster.install("mesh", by_revision(json!({"tag": "1.0.3"})));
    // No pods come up meanwhile: it waits for nobody's leave.
    let taken = "False OldInUse version 1.0.3 (green) serves; version broken (blue): used by ";
    eventually("all is its own at once", || told(&cluster).starts_with(taken)).await;
    settled(&cluster, "-green", "1.0.3").await;
}
