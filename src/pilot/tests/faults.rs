//! What proxies notice when the API server has bad days, or holds what nobody understands: nothing.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use ferromesh_crds::networking::VirtualService;
use k8s_openapi::api::core::v1::Service;
use serde_json::json;

use super::{
    client::{names, subscription},
    on_api::{OnApi, hears, service},
};
use crate::compile::ResourceType;
use crate::testing::{eventually, fake_api::FakeApi};

/// All calls for that resource fail for as long as the result is true.
pub(super) fn broken(api: &FakeApi, plural: &'static str) -> Arc<AtomicBool> {
    let broken = Arc::new(AtomicBool::new(true));
    let answer = broken.clone();
    api.answer(move |call| {
        let status =
            json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "message": "broken", "reason": "Broken", "code": 500});
        (call.target.plural == plural && answer.load(Ordering::SeqCst)).then_some((500, status))
    });
    broken
}

/// Routes of that host to itself, in so many parts of a hundred.
fn routes(host: &str, uri: &str, weights: &[u32]) -> VirtualService {
    let targets: Vec<_> = weights.iter().map(|weight| json!({"destination": {"host": host}, "weight": weight})).collect();
    let spec = json!({"hosts": [host], "http": [{"match": [{"uri": {"exact": uri}}], "route": targets}]});
    serde_json::from_value(json!({"metadata": {"name": host, "namespace": "shop"}, "spec": spec})).unwrap()
}

#[tokio::test]
async fn a_pilot_that_knows_a_part_of_the_mesh_serves_nothing() {
    let api = FakeApi::new();
    api.insert(&service("web", 80));
    api.insert(&routes("web", "/page", &[100]));
    let broken = broken(&api, "virtualservices");
    let mesh = OnApi::start(&api).await;
    let mut client = mesh.asks_for_routes("80").await;
    eventually("the proxy is connected", || mesh.pilot.metric("pilot_xds 1")).await;
    assert!(!mesh.pilot.readiness.is_ready());
    assert!(futures::FutureExt::now_or_never(client.hears()).is_none());
    broken.store(false, Ordering::SeqCst);
    assert!(hears(&mut client, None).await.contains("/page"), "the first that it hears of is everything");
    mesh.pilot.ready().await;
}

#[tokio::test]
async fn after_a_gap_in_the_watches_a_proxy_is_told_what_differs_and_nothing_else() {
    let api = FakeApi::new();
    for (name, port) in [("kept", 80), ("altered", 81), ("deleted", 82)] {
        api.insert(&service(name, port));
        if name != "deleted" {
            api.insert(&routes(name, &format!("/{name}"), &[100]));
        }
    }
    let mesh = OnApi::start(&api).await;
    let mut client = mesh.asks_for_routes("80").await;
    assert!(hears(&mut client, None).await.contains("/kept"));
    client.says(subscription(ResourceType::Route, &["81", "82"])).await;
    assert_eq!(names(&client.takes().await), ["81", "82"]);
    let [altered, deleted] = ["81/altered.shop.svc.cluster.local:81", "82/deleted.shop.svc.cluster.local:82"];
    assert_eq!(names(&client.takes().await), [altered, deleted]);

    let broken = broken(&api, "virtualservices");
    api.break_watches();
    api.insert(&routes("altered", "/after", &[100]));
    api.delete::<Service>(Some("shop"), "deleted");
    // The past is forgotten, so that the watch has to list anew.
    api.compact();
    broken.store(false, Ordering::SeqCst);
    let (mut told, mut gone) = (false, false);
    while !(told && gone) {
        let response = client.takes().await;
        assert!(!names(&response).iter().any(|name| name.ends_with("80")), "{:?}", names(&response));
        told |= names(&response).contains(&altered.to_owned());
        gone |= names(&response).contains(&format!("-{deleted}"));
    }
}

#[tokio::test]
async fn what_is_stored_although_nobody_understands_it_costs_itself_alone() {
    let api = FakeApi::new();
    api.insert(&service("web", 80));
    api.insert(&service("other", 80));
    api.insert(&routes("other", "/other", &[100]));
    api.insert(&routes("web", "/bad", &[80, 10]));
    let mesh = OnApi::start(&api).await;
    let mut client = mesh.asks_for_routes("80").await;
    let first = hears(&mut client, None).await;
    assert!(first.contains("/other") && first.contains("web.shop.svc.cluster.local") && !first.contains("/bad"));
    api.insert(&routes("web", "/good", &[100]));
    assert!(hears(&mut client, None).await.contains("/good"));
    api.insert(&routes("web", "/bad", &[80, 10]));
    let last = hears(&mut client, None).await;
    assert!(!last.contains("/other") && !last.contains("/bad"), "of the others nothing changed");
}
