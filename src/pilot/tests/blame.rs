//! From what a proxy refuses, or the compiler fails on, to the object at fault.

use envoy_api::envoy::service::discovery::v3::DeltaDiscoveryResponse;

use super::{
    client::{Client, names, subscription},
    world::World,
};
use crate::compile::{ResourceType, fixture::FAILS};
use crate::model::{Change, ObjectRef, VirtualService};
use crate::testing::{
    eventually,
    mesh::{bookinfo, forward, fqdn, path, to, virtual_service},
};

/// The sample's routes to reviews.
fn reviews() -> ObjectRef {
    ObjectRef::new("VirtualService", "shop", "reviews")
}

/// Another form: requests to that path alone.
fn only(uri: &'static str) -> impl FnOnce(&mut VirtualService) {
    move |service| service.http[0].matches = vec![path(crate::model::StringMatch::Exact(uri.into()))]
}

/// The host whose routes these are.
const HOST: &str = "9080/reviews.shop.svc.cluster.local:9080";

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}

/// The routes to reviews, if the response is about them.
fn body(response: &DeltaDiscoveryResponse) -> Option<Vec<u8>> {
    let found = response.resources.iter().find(|it| it.name == HOST)?;
    Some(found.resource.as_ref().unwrap().value.clone())
}

/// Says that the routes to reviews are bad, as Envoy would if it said which host it means.
const REFUSAL: &str = "9080/reviews.shop.svc.cluster.local:9080: this is no route";

/// The next response about reviews, with its routes to it. What comes of others is taken.
async fn hears(client: &mut Client) -> (DeltaDiscoveryResponse, Vec<u8>) {
    loop {
        let response = client.hears().await.unwrap();
        match body(&response) {
            Some(body) => return (response, body),
            None => client.answers(&response, None).await,
        }
    }
}

/// Takes the next routes to reviews.
async fn takes(client: &mut Client) -> Vec<u8> {
    let (response, body) = hears(client).await;
    client.answers(&response, None).await;
    body
}

/// Refuses the next routes to reviews.
async fn refuses(client: &mut Client) -> Vec<u8> {
    let (response, body) = hears(client).await;
    client.answers(&response, Some(REFUSAL)).await;
    body
}

#[tokio::test]
async fn what_one_proxy_refuses_is_taken_back_from_all_and_everything_else_goes_on() {
    let mut world = World::of(bookinfo()).await;
    let (mut strict, mut lax) = (world.asks_for_routes("shop", "9080").await, world.asks_for_routes("shop", "9080").await);
    let good = takes(&mut strict).await;
    assert_eq!(takes(&mut lax).await, good);

    world.changes_routes(&reviews(), only("/bad")).await;
    let (response, bad) = hears(&mut strict).await;
    assert!(text(&bad).contains("/bad"));
    assert_eq!(takes(&mut lax).await, bad);
    strict.answers(&response, Some(REFUSAL)).await;
    assert_eq!(takes(&mut lax).await, good);
    let problems = world.next_problems().await;
    assert_eq!(problems.keys().collect::<Vec<_>>(), [&reviews()]);
    let problem = &problems[&reviews()];
    assert_eq!(problem.reason, "RefusedByProxy");
    assert_eq!(
        problem.message,
        format!("proxy web-1.shop refused vhds {HOST}, which it shapes: {REFUSAL}; its last good form stays in force")
    );
    assert!(world.pilot.metric("pilot_objects_at_fault 1") && world.pilot.metric("pilot_total_xds_rejects 1"));

    // Who comes meanwhile never sees it, and changes of others reach all.
    let mut late = world.asks_for_routes("shop", "9080").await;
    assert_eq!(takes(&mut late).await, good);
    let details = fqdn("shop", "details");
    let rule = forward(vec![path(crate::model::StringMatch::Exact("/new".into()))], vec![to(&details, None, 1)]);
    let other = virtual_service("shop", "details", &[details], vec![rule]);
    let change = Change::Config(other.origin.clone());
    world.mesh.virtual_services.push(other);
    world.changes(&[change]).await;
    for client in [&mut strict, &mut lax, &mut late] {
        let response = client.takes().await;
        assert_eq!(names(&response), ["9080/details.shop.svc.cluster.local:9080"]);
        assert!(text(&response.resources[0].resource.as_ref().unwrap().value).contains("/new"));
    }

    // It comes back when it changes.
    world.changes_routes(&reviews(), only("/better")).await;
    assert!(world.next_problems().await.is_empty());
    for client in [&mut strict, &mut lax, &mut late] {
        assert!(text(&takes(client).await).contains("/better"));
    }
}

#[tokio::test]
async fn an_object_that_was_bad_from_the_start_is_found_by_asking_the_proxy_alone() {
    let mut mesh = bookinfo();
    only("/bad")(&mut mesh.virtual_services[0]);
    let mut world = World::of(mesh).await;
    let mut lax = world.asks_for_routes("shop", "9080").await;
    let bad = takes(&mut lax).await;
    let mut strict = world.asks_for_routes("shop", "9080").await;
    assert_eq!(refuses(&mut strict).await, bad);
    let attempt = takes(&mut strict).await;
    assert!(!text(&attempt).contains("/bad"));
    let problems = world.next_problems().await;
    assert_eq!(problems.keys().collect::<Vec<_>>(), [&reviews()]);
    assert!(problems[&reviews()].message.ends_with("; the mesh goes on without it"), "{problems:?}");
    // Of the attempts the other one saw nothing but the end.
    assert_eq!(takes(&mut lax).await, attempt);
    world.changes_routes(&reviews(), only("/good")).await;
    assert!(text(&takes(&mut strict).await).contains("/good"));
}

#[tokio::test]
async fn an_inquiry_outlives_changes_of_what_it_is_about() {
    let mut mesh = bookinfo();
    only("/bad")(&mut mesh.virtual_services[0]);
    let details = fqdn("shop", "details");
    let other = virtual_service("shop", "details", std::slice::from_ref(&details), vec![forward(Vec::new(), vec![to(&details, None, 1)])]);
    let object = other.origin.clone();
    mesh.virtual_services.push(other);
    let mut world = World::of(mesh).await;
    let mut strict = world.asks_for_routes("shop", "9080").await;
    refuses(&mut strict).await;
    let (attempt, _) = hears(&mut strict).await;
    // Another of the suspects changes while the proxy thinks, but the routes stay the same.
    world.changes_routes(&object, |service| service.created += 1).await;
    let judged = |response: &DeltaDiscoveryResponse| body(response).filter(|body| text(body).contains("/bad")).map(|_| REFUSAL);
    strict.answers(&attempt, judged(&attempt)).await;
    tokio::spawn(async move {
        while let Ok(response) = strict.hears().await {
            strict.answers(&response, judged(&response)).await;
        }
    });
    assert_eq!(world.next_problems().await.keys().collect::<Vec<_>>(), [&reviews()]);
}

#[tokio::test]
async fn no_proxy_takes_anything_from_other_namespaces_on_its_word_alone() {
    let mut world = World::of(bookinfo()).await;
    let mut owner = world.asks_for_routes("shop", "9080").await;
    let mut stranger = world.asks_for_routes("bank", "9080").await;
    let good = takes(&mut owner).await;
    takes(&mut stranger).await;
    world.changes_routes(&reviews(), only("/fine")).await;
    let fine = takes(&mut owner).await;
    refuses(&mut stranger).await;
    let problems = world.next_problems().await;
    assert!(problems[&reviews()].message.ends_with("; that proxy keeps what it has"), "{problems:?}");
    // The same from another proxy of the same owner changes nothing.
    let mut accomplice = world.asks_for_routes("bank", "9080").await;
    refuses(&mut accomplice).await;
    eventually("it is heard", || world.pilot.metric("pilot_total_xds_rejects 2")).await;
    let mut newcomer = world.asks_for_routes("shop", "9080").await;
    assert_eq!(takes(&mut newcomer).await, fine);

    // Two owners who complain are believed.
    let mut witness = world.asks_for_routes("other", "9080").await;
    refuses(&mut witness).await;
    takes(&mut witness).await;
    assert_eq!(takes(&mut owner).await, good);
    assert_eq!(takes(&mut newcomer).await, good);
}

#[tokio::test]
async fn a_refusal_that_nothing_explains_ends_somewhere() {
    let world = World::of(bookinfo()).await;
    let mut mad = world.asks_for_routes("shop", "9080").await;
    let mut sane = world.asks_for_routes("shop", "9080").await;
    let first = takes(&mut sane).await;
    let mut responses = 0;
    while !world.pilot.metric("pilot_total_xds_internal_errors 1") {
        refuses(&mut mad).await;
        responses += 1;
        assert!(responses < 30, "there is no end");
        let seen = format!("pilot_total_xds_rejects {responses}");
        eventually("it is heard", || world.pilot.metric(&seen)).await;
    }
    mad.says(subscription(ResourceType::Route, &["nowhere"])).await;
    loop {
        let response = mad.hears().await.unwrap();
        if names(&response) == ["-nowhere"] {
            break;
        }
        mad.answers(&response, body(&response).map(|_| REFUSAL)).await;
        responses += 1;
        assert!(responses < 30, "there is no end");
    }
    let mut newcomer = world.asks_for_routes("shop", "9080").await;
    assert_eq!(takes(&mut newcomer).await, first);
    assert!(world.pilot.metric("pilot_objects_at_fault 0"));
}

#[tokio::test]
async fn an_object_on_which_the_compiler_fails_is_named_and_its_last_good_form_served() {
    let mut world = World::of(bookinfo()).await;
    let mut old = world.asks_for_routes("shop", "9080").await;
    let good = takes(&mut old).await;
    world.changes_routes(&reviews(), |service| service.http[0].name = FAILS.into()).await;
    let problems = world.next_problems().await;
    assert_eq!(problems.keys().collect::<Vec<_>>(), [&reviews()]);
    assert_eq!(problems[&reviews()].reason, "CompilerFailed");
    assert!(problems[&reviews()].message.contains(FAILS), "{problems:?}");
    assert!(world.pilot.metric("pilot_total_xds_internal_errors 1") && world.pilot.metric("pilot_total_xds_rejects 0"));
    let mut new = world.asks_for_routes("shop", "9080").await;
    assert_eq!(takes(&mut new).await, good);

    world.changes_routes(&reviews(), |service| service.http[0].name = "healed".into()).await;
    assert!(world.next_problems().await.is_empty());
    world.changes_routes(&reviews(), only("/better")).await;
    for client in [&mut old, &mut new] {
        while !text(&takes(client).await).contains("/better") {}
    }
}

#[tokio::test]
async fn an_object_on_which_the_compiler_fails_from_the_start_costs_itself_alone() {
    let mut mesh = bookinfo();
    mesh.virtual_services[0].http[0].name = FAILS.into();
    let mut world = World::of(mesh).await;
    let mut client = world.asks_for_routes("shop", "9080").await;
    let told = names(&hears(&mut client).await.0);
    assert!(told.contains(&HOST.to_owned()) && told.contains(&"9080/details.shop.svc.cluster.local:9080".to_owned()), "{told:?}");
    let problems = world.next_problems().await;
    assert!(problems[&reviews()].message.ends_with("; the mesh goes on without it"), "{problems:?}");
}
