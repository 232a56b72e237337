//! From one version to the next within one MeshInstall, both beside each other, and back.

use ferromesh_crds::{
    MeshInstall,
    install::{RevisionStatus, State},
};
use futures::{StreamExt, stream};
use k8s_openapi::api::{
    admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
    apps::v1::Deployment,
    core::v1::{Pod, Secret},
    rbac::v1::RoleBinding,
};
use kube::ResourceExt;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

use super::{
    cluster::{BROKEN, Cluster, MESH, image},
    convergence::{assert_same, is_step, limited, view},
};
use crate::testing::eventually;

pub(super) fn by_revision(spec: Value) -> Value {
    let mut spec = spec;
    spec["updateStrategy"] = json!({"type": "Revision"});
    spec
}

/// The places at which a pilot stands, with the versions of their images.
pub(super) fn pilots(cluster: &Cluster) -> Vec<(String, String)> {
    let all = cluster.api.list::<Deployment>();
    let pilots = all.iter().filter(|one| one.name_any().starts_with("istio-pilot"));
    pilots.map(|one| (one.name_any(), image(one).rsplit(':').next().unwrap_or_default().to_owned())).collect()
}

fn pilot(place: &str, version: &str) -> (String, String) {
    (format!("istio-pilot{place}"), version.to_owned())
}

/// The place whose control plane is asked about pods and about configuration, and by which gateways are served; none while these differ.
pub(super) fn serving(cluster: &Cluster) -> Option<String> {
    let (place, service) = cluster.asked("istio-sidecar-injector")?;
    let suffix = if place == "default" { String::new() } else { format!("-{place}") };
    let galley = cluster.api.get::<ValidatingWebhookConfiguration>(None, "istio-galley")?;
    let galleys = galley.webhooks?.into_iter().map(|webhook| webhook.client_config.service.map(|service| service.name));
    let gateway = serde_json::to_string(&cluster.api.get::<Deployment>(Some(MESH), "istio-ingressgateway")?).ok()?;
    let agree = service == format!("istio-sidecar-injector{suffix}")
        && galleys.into_iter().all(|name| name == Some(format!("istio-galley{suffix}")))
        && gateway.contains(&format!("istio-pilot{suffix}.istio-system.svc:15012"));
    agree.then_some(place)
}

pub(super) fn serves(cluster: &Cluster, place: &str) -> bool {
    cluster.bring_up_pods();
    serving(cluster).as_deref() == Some(place)
}

/// What is told of the change of version.
pub(super) fn told(cluster: &Cluster) -> String {
    let told = cluster.condition("mesh", "Upgraded");
    told.map(|(status, reason, message)| format!("{status} {reason} {message}").trim().to_owned()).unwrap_or_default()
}

fn ready(cluster: &Cluster) -> String {
    let told = cluster.condition("mesh", "Ready");
    told.map(|(status, reason, message)| format!("{status} {reason} {message}")).unwrap_or_default()
}

/// What the status says of each control plane: name, version, state, whether it is used, proxies.
fn planes(cluster: &Cluster) -> Vec<String> {
    let plane = |RevisionStatus { name, version, state, in_use, proxies }: RevisionStatus| {
        let (version, state) = (version.unwrap_or_default(), state.unwrap_or(State::None));
        format!("{name} {version} {state:?} {} {}", in_use.unwrap_or_default(), proxies.unwrap_or(-1))
    };
    let mut planes: Vec<String> = cluster.status("mesh").revisions.into_iter().map(plane).collect();
    planes.sort();
    planes
}

/// Writes to objects of these names.
pub(super) fn writes_to(writes: &[String], is: impl Fn(&str) -> bool) -> Vec<&String> {
    let of = |write: &&String| !write.contains("events") && is(write.rsplit('/').next().unwrap_or_default());
    writes.iter().filter(of).collect()
}

pub(super) async fn settled(cluster: &Cluster, place: &str, version: &str) {
    // Each of the two has its time: the old one stays for some seconds.
    let serving = if place.is_empty() { "default" } else { place.trim_start_matches('-') };
    eventually(&format!("{version} serves at {serving}"), || serves(cluster, serving)).await;
    eventually(&format!("{version} is alone at {place:?}"), || {
        cluster.bring_up_pods();
        let alone = pilots(cluster) == [pilot(place, version)];
        alone && cluster.status("mesh").state == Some(State::Healthy) && (told(cluster) == "True Current" || place.is_empty())
    })
    .await;
}

/// A mesh of version 1.0.2 in the first slot, with a pod.
pub(super) async fn with_a_pod() -> Cluster {
    let cluster = Cluster::healthy(by_revision(json!({}))).await;
    cluster.namespace(&json!({"istio-injection": "enabled"}));
    cluster.pod("blue", "1.0.2");
    eventually("its proxy is counted", || planes(&cluster) == ["blue 1.0.2 Healthy true 1"]).await;
    cluster
}

#[tokio::test]
async fn a_new_version_comes_up_beside_the_old_one_that_goes_with_its_last_proxy() {
    let mut cluster = with_a_pod().await;
    assert_eq!((pilots(&cluster), serving(&cluster).as_deref()), (vec![pilot("-blue", "1.0.2")], Some("blue")));
    let before = cluster.writes().len();
    cluster.upgrade("1.0.3");
    let comes = || told(&cluster).starts_with("False NewNotReady version 1.0.3 comes up as green, version 1.0.2 (blue) serves on: ");
    eventually("it comes up", || comes() && pilots(&cluster).len() == 2).await;
    assert!(ready(&cluster).starts_with("False Progressing istio-"), "{}", ready(&cluster));
    assert!(ready(&cluster).ends_with("; version 1.0.2 serves on"), "{}", ready(&cluster));
    assert_eq!((serving(&cluster).as_deref(), cluster.status("mesh").version.as_deref()), (Some("blue"), Some("1.0.2")));
    let touched = cluster.writes().split_off(before);
    let of_the_mesh = |name: &str| name.starts_with("istio-") && !name.ends_with("-green");
    assert_eq!(writes_to(&touched, of_the_mesh), Vec::<&String>::new(), "all else is as it was");

    eventually("it serves", || serves(&cluster, "green")).await;
    let kept = "False OldInUse version 1.0.3 (green) serves; version 1.0.2 (blue): used by 1 proxy of namespaces shop";
    eventually("the old one is used", || {
        cluster.bring_up_pods();
        told(&cluster) == kept && cluster.status("mesh").state == Some(State::Healthy)
    })
    .await;
    eventually("both are in use", || planes(&cluster) == ["blue 1.0.2 Healthy true 1", "green 1.0.3 Healthy true 0"]).await;
    let outdated = || cluster.status("mesh").proxies.and_then(|proxies| proxies.outdated);
    eventually("the pod is to come", || outdated() == Some(1)).await;
    let images = ["istio-citadel", "istio-ingressgateway"].map(|name| image(&cluster.api.get::<Deployment>(Some(MESH), name).unwrap()));
    assert_eq!(images, ["hub.example/ferromesh:1.0.3", "hub.example/ferromesh-proxy:1.0.3"]);
    let readers = cluster.api.get::<RoleBinding>(Some(MESH), "ferromesh-pilot-credentials").unwrap().subjects.unwrap_or_default();
    let readers: Vec<String> = readers.into_iter().map(|subject| subject.name).collect();
    assert_eq!(readers, ["istio-pilot-green", "istio-pilot-blue"], "gateways that are on their way out have their secrets");
    let touched = cluster.writes().split_off(before);
    assert_eq!(writes_to(&touched, |name| name.ends_with("-blue")), Vec::<&String>::new(), "the old one is as it was");

    cluster.pod("green", "1.0.3");
    settled(&cluster, "-green", "1.0.3").await;
    assert_eq!(planes(&cluster), ["green 1.0.3 Healthy true 1"]);
    let left: Vec<String> = cluster
        .api
        .all()
        .iter()
        .filter_map(|object| object["metadata"]["name"].as_str()?.strip_suffix("-blue").map(str::to_owned))
        .collect();
    let secrets = cluster.api.list::<Secret>().iter().filter(|one| one.name_any().ends_with("-blue")).count();
    assert!(left.iter().all(|name| name.ends_with("-webhook-certs")) && secrets == left.len(), "{left:?}");
    eventually("its certificates go, too", || cluster.api.list::<Secret>().iter().all(|one| !one.name_any().ends_with("-blue"))).await;
}

#[tokio::test]
async fn one_that_never_gets_ready_changes_nothing_and_the_next_takes_its_place() {
    let cluster = with_a_pod().await;
    let before = cluster.writes().len();
    cluster.install("mesh", by_revision(json!({"tag": BROKEN})));
    eventually("it is given up", || {
        cluster.bring_up_pods();
        ready(&cluster).starts_with("False ComponentFailed ") && told(&cluster).starts_with("False NewNotReady ")
    })
    .await;
    let (ready, state) = (ready(&cluster), cluster.status("mesh").state);
    assert!(ready.ends_with("ProgressDeadlineExceeded, timed out; version 1.0.2 serves on"), "{ready}");
    assert_eq!((state, serving(&cluster).as_deref()), (Some(State::Error), Some("blue")));
    eventually("both are told of", || planes(&cluster) == ["blue 1.0.2 Healthy true 1", "green broken Error false 0"]).await;
    let touched = cluster.writes().split_off(before);
    assert_eq!(writes_to(&touched, |name| name.starts_with("istio-") && !name.ends_with("-green")), Vec::<&String>::new());
    cluster.install("mesh", by_revision(json!({"tag": "1.0.3"})));
    eventually("the next serves", || serves(&cluster, "green")).await;
    assert_eq!(pilots(&cluster), [pilot("-blue", "1.0.2"), pilot("-green", "1.0.3")]);
}

#[tokio::test]
async fn the_way_back_is_one_edit_as_long_as_the_old_one_is_there() {
    let mut cluster = with_a_pod().await;
    let blue = |cluster: &Cluster| -> Vec<Value> {
        let own = |object: &Value| object["metadata"]["name"].as_str().is_some_and(|name| name.ends_with("-blue"));
        let planned = |object: Value| json!([object["metadata"]["annotations"], object["spec"], object["data"]]);
        cluster.api.all().into_iter().filter(own).filter(|object| object["kind"] != "Secret").map(planned).collect()
    };
    // By its tag, with one operator.
    cluster.install("mesh", by_revision(json!({"tag": "1.0.3"})));
    eventually("the new one serves", || serves(&cluster, "green")).await;
    cluster.install("mesh", by_revision(json!({})));
    eventually("the old one serves", || serves(&cluster, "blue")).await;
    settled(&cluster, "-blue", "1.0.2").await;
    // By its version, with another operator, which has not planned it.
    let recorded = blue(&cluster);
    cluster.upgrade("1.0.3");
    eventually("the new one serves", || serves(&cluster, "green")).await;
    cluster.install("mesh", by_revision(json!({"version": "1.0.2"})));
    eventually("the old one serves", || serves(&cluster, "blue")).await;
    settled(&cluster, "-blue", "1.0.2").await;
    assert_eq!(blue(&cluster), recorded, "it is as it was recorded");
    assert_eq!(image(&cluster.api.get::<Deployment>(Some(MESH), "istio-ingressgateway").unwrap()), "hub.example/ferromesh-proxy:1.0.2");
    assert_eq!(cluster.status("mesh").version.as_deref(), Some("1.0.2"));
    cluster.install("mesh", by_revision(json!({})));
    eventually("and forth again", || serves(&cluster, "green")).await;
}

#[tokio::test]
async fn a_third_version_waits_for_the_first_to_be_left() {
    let cluster = with_a_pod().await;
    cluster.install("mesh", by_revision(json!({"tag": "1.0.3"})));
    eventually("the second serves", || serves(&cluster, "green")).await;
    cluster.install("mesh", by_revision(json!({"tag": "1.0.4"})));
    let waits = "False PlacesInUse version 1.0.4 waits for a place: version 1.0.2 (blue): used by 1 proxy of namespaces shop";
    eventually("it waits", || {
        cluster.bring_up_pods();
        told(&cluster) == waits && ready(&cluster) == waits
    })
    .await;
    cluster.api.delete::<MutatingWebhookConfiguration>(None, "istio-sidecar-injector");
    eventually("who is asked stays so", || serving(&cluster).as_deref() == Some("green")).await;
    assert_eq!(pilots(&cluster).len(), 2);
    cluster.pod("green", "1.0.3");
    eventually("the third serves", || serves(&cluster, "blue")).await;
    assert_eq!(pilots(&cluster), [pilot("-blue", "1.0.4"), pilot("-green", "1.0.3")]);
}

#[tokio::test]
async fn a_namespace_that_names_a_place_keeps_it() {
    let cluster = with_a_pod().await;
    cluster.api.delete::<Pod>(Some("shop"), "web");
    cluster.namespace(&json!({"istio.io/rev": "blue"}));
    cluster.install("mesh", by_revision(json!({"tag": "1.0.3"})));
    let kept = "False OldInUse version 1.0.3 (green) serves; version 1.0.2 (blue): used by the label of namespaces shop";
    eventually("it is chosen", || {
        cluster.bring_up_pods();
        told(&cluster) == kept
    })
    .await;
    cluster.namespace(&json!({"istio-injection": "enabled"}));
    settled(&cluster, "-green", "1.0.3").await;
}

#[tokio::test]
async fn from_its_own_place_to_a_slot_and_back() {
    let cluster = Cluster::healthy(json!({})).await;
    cluster.namespace(&json!({"istio-injection": "enabled"}));
    cluster.pod("default", "1.0.2");
    let before = cluster.writes().len();
    cluster.install("mesh", by_revision(json!({})));
    cluster.until_healthy().await;
    let touched = cluster.writes().split_off(before);
    assert_eq!(writes_to(&touched, |name| name.starts_with("istio-")), Vec::<&String>::new(), "the strategy alone moves nobody");
    cluster.install("mesh", by_revision(json!({"tag": "1.0.3"})));
    eventually("the slot serves", || serves(&cluster, "blue")).await;
    eventually("the old one is used", || {
        cluster.bring_up_pods();
        planes(&cluster) == ["blue 1.0.3 Healthy true 0", "default 1.0.2 Healthy true 1"]
    })
    .await;
    cluster.pod("blue", "1.0.3");
    settled(&cluster, "-blue", "1.0.3").await;
    cluster.install("mesh", json!({"tag": "1.0.4"}));
    eventually("its own place serves", || serves(&cluster, "default")).await;
    cluster.pod("default", "1.0.4");
    settled(&cluster, "", "1.0.4").await;
    // As if it had never been elsewhere.
    let fresh = Cluster::healthy(json!({"tag": "1.0.4"})).await;
    let mesh = |cluster: &Cluster| {
        let mut all = view(cluster);
        all.retain(|name, _| !name.contains("shop"));
        all
    };
    assert_same(&mesh(&cluster), &mesh(&fresh), "after the way there and back");
}

#[tokio::test]
async fn a_pinned_version_stays_with_all_that_it_has_and_its_certificates_go_on() {
    let mut cluster = Cluster::healthy(json!({"version": "1.0.2"})).await;
    // But for the operator's own right to work there, which is its version's.
    let of_the_mesh = |cluster: &Cluster| {
        let mut all = view(cluster);
        all.remove("RoleBinding istio-system/ferromesh-operator-namespaced");
        all
    };
    let before = of_the_mesh(&cluster);
    cluster.upgrade("1.0.3");
    let pinned = "version 1.0.2 is pinned, this operator renders 1.0.3: objects stay as they are; remove spec.version to upgrade";
    eventually("it says so", || told(&cluster) == format!("True VersionPinned {pinned}")).await;
    assert_eq!(ready(&cluster), format!("True Healthy all components are ready; {pinned}"));
    assert_eq!((cluster.status("mesh").version.as_deref(), planes(&cluster).len()), (Some("1.0.2"), 1));
    cluster.until_another_authority_is_trusted().await;
    assert_same(&of_the_mesh(&cluster), &before, "an upgrade of the operator");
    cluster.install("mesh", json!({}));
    eventually("it moves", || pilots(&cluster) == [pilot("", "1.0.3")]).await;
    cluster.until_healthy().await;
    assert_eq!(told(&cluster), "");
}

#[tokio::test]
async fn a_pinned_version_whose_pilot_was_deleted_is_told_of_with_what_to_do() {
    let mut cluster = Cluster::healthy(json!({"version": "1.0.2"})).await;
    cluster.upgrade("1.0.3");
    eventually("it is pinned", || told(&cluster).starts_with("True VersionPinned")).await;
    let lost = cluster.api.get::<Deployment>(Some(MESH), "istio-pilot").unwrap();
    cluster.api.delete::<Deployment>(Some(MESH), "istio-pilot");
    let wanted = "False ComponentFailed spec.version: the pilot of version 1.0.2, Deployment istio-system/istio-pilot, was deleted, and this \
                  operator renders 1.0.3 alone: apply that Deployment again, start the operator of version 1.0.2 again, or remove \
                  spec.version to upgrade";
    eventually("it is told", || ready(&cluster).starts_with(wanted)).await;
    assert!(cluster.condition("mesh", "Stalled").is_some());
    eventually("as a component, too", || cluster.status("mesh").components["pilot"].status == Some(State::Error)).await;
    // Whoever has it at hand puts it back.
    cluster.api.insert(&lost);
    eventually("it is pinned again", || ready(&cluster).starts_with("True Healthy")).await;
    // And who goes back has the old operator bring it back.
    cluster.api.delete::<Deployment>(Some(MESH), "istio-pilot");
    cluster.upgrade("1.0.2");
    eventually("it is back", || pilots(&cluster) == [pilot("", "1.0.2")]).await;
}

#[tokio::test]
async fn a_version_that_nobody_has_is_refused_by_name() {
    let cluster = Cluster::healthy(json!({})).await;
    for strategy in ["InPlace", "Revision"] {
        cluster.install("mesh", json!({"version": "0.9", "updateStrategy": {"type": strategy}}));
        let wanted = "False InvalidSpec spec.version: there is no version 0.9: this operator renders 1.0.2, and there is 1.0.2; \
                      name one of these, or none for the operator's own";
        eventually("refused", || ready(&cluster) == wanted).await;
    }
    assert_eq!(pilots(&cluster), [pilot("", "1.0.2")]);
    cluster.install("mesh", json!({"version": "1.0.2"}));
    cluster.until_healthy().await;
}

/// So many clusters at once: each of them mostly waits.
const AT_ONCE: usize = 3;

#[tokio::test]
async fn an_operator_that_is_killed_at_any_write_of_an_upgrade_is_no_harm() {
    let spec = || by_revision(json!({"tag": "1.0.3"}));
    let undisturbed = Cluster::healthy(by_revision(json!({}))).await;
    let begun = undisturbed.api.calls().len();
    undisturbed.install("mesh", spec());
    settled(&undisturbed, "-green", "1.0.3").await;
    let steps = undisturbed.api.calls().iter().skip(begun).filter(|call| is_step(call)).count();
    let wanted = view(&undisturbed);
    assert!(steps > 50, "{steps} writes");
    let killed = stream::iter((0..steps).step_by(7)).map(|allowed| async move {
        let mut cluster = Cluster::healthy(by_revision(json!({}))).await;
        let (left, refused) = limited(&cluster, allowed);
        cluster.install("mesh", spec());
        eventually("the write that fails", || {
            cluster.bring_up_pods();
            refused.load(Ordering::SeqCst) > 0 || told(&cluster) == "True Current" && pilots(&cluster) == [pilot("-green", "1.0.3")]
        })
        .await;
        cluster.stop();
        left.store(usize::MAX, Ordering::SeqCst);
        cluster.start();
        settled(&cluster, "-green", "1.0.3").await;
        (allowed, refused.load(Ordering::SeqCst) > 0, view(&cluster))
    });
    let killed: Vec<_> = killed.buffer_unordered(AT_ONCE).collect().await;
    let whole = killed.iter().filter(|(_, refused, _)| *refused).count();
    assert!(whole + 5 >= killed.len(), "nearly all were killed while they worked: {whole} of {}", killed.len());
    for (allowed, _, found) in &killed {
        assert_same(found, &wanted, &format!("after {allowed} writes"));
    }
}

#[tokio::test]
async fn a_plan_tells_of_the_new_one_alone_and_deleting_the_meshinstall_takes_all() {
    let cluster = with_a_pod().await;
    cluster.install("mesh", by_revision(json!({"tag": "1.0.3", "mode": "Plan"})));
    let plan = || cluster.status("mesh").plan.filter(|plan| plan.create > Some(0));
    eventually("a plan", || plan().is_some()).await;
    let names: Vec<String> = plan().unwrap().changes.into_iter().map(|change| format!("{:?} {}", change.action, change.name)).collect();
    assert!(names.iter().all(|name| name.starts_with("Some(Create) ") && name.ends_with("-green")), "{names:#?}");
    cluster.install("mesh", by_revision(json!({"tag": "1.0.3"})));
    eventually("both stand", || pilots(&cluster).len() == 2).await;
    cluster.api.delete::<MeshInstall>(None, "mesh");
    eventually("nothing is left", || cluster.api.list::<Deployment>().is_empty()).await;
}
