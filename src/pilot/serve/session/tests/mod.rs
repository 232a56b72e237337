//! The protocol, played by hand.

mod alike;
mod hosts;
mod refusals;

use std::sync::Arc;

use super::{ProtocolError, Request, Response, Session, Shared, Verdict, nonce_text};
use crate::compile::{Compiled, Resource, ResourceType};
use crate::model::ObjectRef;
use ResourceType::{Cluster, Endpoints, Listener, Route};

/// A resource of that text.
fn is(kind: ResourceType, name: &str, text: &str) -> Arc<Resource> {
    Resource::of(kind, name, text, &[ObjectRef::new("VirtualService", "shop", name)])
}

/// A proxy's end of a session.
struct Player {
    session: Session,
}

// === impl Player ===

impl Player {
    fn new() -> Self {
        Self::sharing(&Shared::default())
    }

    /// One of those that have this in common.
    fn sharing(shared: &Shared) -> Self {
        Self { session: Session::new(shared.clone()) }
    }

    /// One that gets these resources.
    fn with(resources: &[Arc<Resource>]) -> Self {
        let mut player = Self::new();
        player.gets(resources);
        player
    }

    /// The proxy's configuration changes to this.
    fn gets(&mut self, resources: &[Arc<Resource>]) {
        self.session.update(Compiled::made_of(resources));
    }

    fn says(&mut self, request: Request) -> Verdict {
        self.session.request(request).unwrap()
    }

    fn subscribes(&mut self, kind: ResourceType, names: &[&str]) {
        self.brings(kind, names, &[]);
    }

    /// Subscribes with what it holds from an earlier stream.
    fn brings(&mut self, kind: ResourceType, names: &[&str], held: &[&Arc<Resource>]) {
        let held = held.iter().map(|resource| (resource.name.to_string(), format!("{:016x}", resource.hash))).collect();
        self.says(Request { type_url: kind.type_url().to_owned(), subscribe: texts(names), held, ..Request::default() });
    }

    fn unsubscribes(&mut self, kind: ResourceType, names: &[&str]) {
        self.says(Request { type_url: kind.type_url().to_owned(), unsubscribe: texts(names), ..Request::default() });
    }

    fn accepts(&mut self, response: &Response) {
        let (type_url, nonce) = (response.type_url.to_string(), nonce_text(response.nonce));
        let verdict = self.says(Request { type_url, nonce, ..Request::default() });
        assert!(matches!(verdict, Verdict::Accepted(_)), "{verdict:?}");
    }

    /// Refuses, and returns which names are blamed.
    fn refuses(&mut self, response: &Response, message: &str) -> Vec<String> {
        let (type_url, nonce) = (response.type_url.to_string(), nonce_text(response.nonce));
        match self.says(Request { type_url, nonce, error: Some(message.to_owned()), ..Request::default() }) {
            Verdict::Refused { blamed, .. } => blamed.iter().map(|rejection| rejection.resource.name.to_string()).collect(),
            other => panic!("{other:?}"),
        }
    }

    fn hears(&mut self) -> Response {
        self.session.next().expect("a response is due")
    }

    fn hears_nothing(&mut self) {
        assert_eq!(self.session.next(), None);
    }

    /// Accepts whatever comes until nothing does, and returns it as one line a response.
    fn takes_all(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(response) = self.session.next() {
            lines.push(line(&response));
            assert!(lines.len() < 100, "there is no end: {lines:?}");
            self.accepts(&response);
        }
        lines
    }
}

fn texts(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// `Cluster +a +b -c`.
fn line(response: &Response) -> String {
    let kind = ResourceType::of_type_url(&response.type_url).map_or_else(|| response.type_url.to_string(), |kind| format!("{kind:?}"));
    let added = response.resources.iter().map(|resource| format!(" +{}", resource.name));
    let removed = response.removed.iter().map(|name| format!(" -{name}"));
    [kind].into_iter().chain(added).chain(removed).collect()
}

#[test]
fn nothing_is_sent_before_there_is_a_configuration() {
    let mut player = Player::new();
    player.subscribes(Cluster, &[]);
    player.subscribes(Endpoints, &["a"]);
    player.hears_nothing();
    player.gets(&[is(Cluster, "a", "1"), is(Endpoints, "a", "1"), is(Endpoints, "never asked for", "1")]);
    assert_eq!(player.takes_all(), ["Cluster +a", "Endpoints +a"]);
}

#[test]
fn a_first_request_without_names_is_for_everything_and_a_named_one_for_the_names() {
    let mut player = Player::with(&[is(Cluster, "a", "1"), is(Cluster, "b", "1"), is(Route, "80", "1"), is(Route, "81", "1")]);
    player.subscribes(Cluster, &[]);
    player.subscribes(Route, &["80"]);
    assert_eq!(player.takes_all(), ["Cluster +a +b", "Route +80"]);
    player.subscribes(Route, &["*"]);
    assert_eq!(player.takes_all(), ["Route +80 +81"]);
}

#[test]
fn a_new_proxy_is_greeted_even_if_there_is_nothing_for_it() {
    let mut player = Player::with(&[]);
    player.subscribes(Cluster, &[]);
    player.subscribes(Listener, &[]);
    assert_eq!(player.takes_all(), ["Cluster", "Listener"]);
}

#[test]
fn a_name_that_is_not_there_is_answered_as_removed_and_sent_once_it_is() {
    let mut player = Player::with(&[]);
    player.subscribes(Endpoints, &["a"]);
    assert_eq!(player.takes_all(), ["Endpoints -a"]);
    player.gets(&[is(Endpoints, "a", "1"), is(Endpoints, "b", "1")]);
    assert_eq!(player.takes_all(), ["Endpoints +a"]);
}

#[test]
fn whoever_asks_again_is_answered_again() {
    let mut player = Player::with(&[is(Endpoints, "a", "1")]);
    player.subscribes(Endpoints, &["a"]);
    let first = player.hears();
    player.subscribes(Endpoints, &["a"]);
    player.hears_nothing();
    player.accepts(&first);
    assert_eq!(player.takes_all(), ["Endpoints +a"]);
}

#[test]
fn only_what_differs_is_sent() {
    let mut player = Player::with(&[is(Cluster, "a", "1"), is(Cluster, "b", "1")]);
    player.subscribes(Cluster, &[]);
    player.takes_all();
    player.gets(&[is(Cluster, "a", "1"), is(Cluster, "b", "2")]);
    assert_eq!(player.takes_all(), ["Cluster +b"]);
    player.gets(&[is(Cluster, "a", "1"), is(Cluster, "b", "2")]);
    player.hears_nothing();
    assert!(player.session.is_settled());
}

#[test]
fn a_change_that_comes_to_nothing_while_a_response_is_out_is_not_sent() {
    let mut player = Player::with(&[is(Route, "a", "1"), is(Route, "b", "1")]);
    player.subscribes(Route, &["a", "b"]);
    let first = player.hears();
    player.gets(&[is(Route, "a", "2"), is(Route, "b", "1")]);
    player.hears_nothing();
    player.gets(&[is(Route, "a", "1"), is(Route, "b", "2")]);
    player.accepts(&first);
    assert_eq!(player.takes_all(), ["Route +b"]);
}

#[test]
fn a_proxy_that_comes_back_gets_what_it_missed() {
    let (a, b, c) = (is(Cluster, "a", "1"), is(Cluster, "b", "1"), is(Cluster, "c", "1"));
    let mut player = Player::with(&[a.clone(), is(Cluster, "b", "2"), is(Cluster, "d", "1")]);
    player.brings(Cluster, &[], &[&a, &b, &c]);
    assert_eq!(player.takes_all(), ["Cluster +b +d", "Cluster -c"]);

    let mut player = Player::with(std::slice::from_ref(&a));
    player.brings(Cluster, &[], &[&a]);
    player.hears_nothing();

    let (held, changed) = (is(Endpoints, "a", "1"), is(Endpoints, "b", "1"));
    let mut player = Player::new();
    player.brings(Cluster, &[], &[&a]);
    player.brings(Endpoints, &["a", "b"], &[&held, &changed]);
    player.gets(&[a, held.clone(), is(Endpoints, "b", "2")]);
    assert_eq!(player.takes_all(), ["Endpoints +b"]);
}

#[test]
fn versions_of_another_control_plane_are_replaced() {
    let mut player = Player::with(&[is(Cluster, "a", "1")]);
    let held = [("a".to_owned(), "2026-01-01T00:00:00Z/7".to_owned()), ("old".to_owned(), String::new())].into();
    player.says(Request { type_url: Cluster.type_url().to_owned(), held, ..Request::default() });
    assert_eq!(player.takes_all(), ["Cluster +a", "Cluster -old"]);
}

#[test]
fn what_is_named_comes_before_who_names_it_and_removals_come_last() {
    let mut player =
        Player::with(&[is(Cluster, "old", "1"), is(Endpoints, "old", "1"), is(Listener, "80", "1"), is(Route, "80", "to old")]);
    player.subscribes(Cluster, &[]);
    player.takes_all();
    player.subscribes(Endpoints, &["old"]);
    player.subscribes(Listener, &[]);
    player.subscribes(Route, &["80"]);
    player.takes_all();

    player.gets(&[is(Cluster, "new", "1"), is(Endpoints, "new", "1"), is(Listener, "81", "1"), is(Route, "80", "to new")]);
    let clusters = player.hears();
    assert_eq!(line(&clusters), "Cluster +new");
    // The proxy acknowledges clusters once they have endpoints; until then no route may lead to them.
    player.hears_nothing();
    player.subscribes(Endpoints, &["new"]);
    let endpoints = player.hears();
    assert_eq!(line(&endpoints), "Endpoints +new");
    player.hears_nothing();
    player.accepts(&clusters);
    let (listeners, routes) = (player.hears(), player.hears());
    assert_eq!((line(&listeners).as_str(), line(&routes).as_str()), ("Listener +81 -80", "Route +80"));
    player.accepts(&listeners);
    player.accepts(&endpoints);
    // The old cluster stays for as long as a route may lead to it.
    player.hears_nothing();
    player.accepts(&routes);
    let removal = player.hears();
    assert_eq!(line(&removal), "Cluster -old");
    player.unsubscribes(Endpoints, &["old"]);
    player.accepts(&removal);
    player.hears_nothing();
    assert!(player.session.is_settled());
}

#[test]
fn endpoints_that_change_all_the_time_hold_up_nothing() {
    let mut player = Player::with(&[is(Endpoints, "a", "1"), is(Route, "80", "1")]);
    player.subscribes(Endpoints, &["a"]);
    player.subscribes(Route, &["80"]);
    player.takes_all();
    player.gets(&[is(Endpoints, "a", "2"), is(Route, "80", "2")]);
    assert_eq!(line(&player.hears()), "Endpoints +a");
    assert_eq!(line(&player.hears()), "Route +80");
}

#[test]
fn a_changed_cluster_gets_its_endpoints_again() {
    let endpoints = is(Endpoints, "a", "1");
    let mut player = Player::with(&[is(Cluster, "a", "1"), endpoints.clone()]);
    player.subscribes(Cluster, &[]);
    player.subscribes(Endpoints, &["a"]);
    assert_eq!(player.takes_all(), ["Cluster +a", "Endpoints +a"]);
    player.gets(&[is(Cluster, "a", "2"), endpoints]);
    assert_eq!(player.takes_all(), ["Cluster +a", "Endpoints +a"]);
}

#[test]
fn one_response_a_kind_is_out_and_the_latest_configuration_follows_it() {
    let mut player = Player::with(&[is(Endpoints, "a", "1")]);
    player.subscribes(Endpoints, &["a"]);
    let first = player.hears();
    for version in 2..100 {
        player.gets(&[is(Endpoints, "a", &version.to_string())]);
        player.hears_nothing();
    }
    player.accepts(&first);
    let second = player.hears();
    assert_eq!(second.resources, [is(Endpoints, "a", "99")]);
    player.accepts(&second);
    player.hears_nothing();
}

#[test]
fn an_answer_to_an_older_response_is_none() {
    let mut player = Player::with(&[is(Cluster, "a", "1")]);
    player.subscribes(Cluster, &[]);
    let first = player.hears();
    player.accepts(&first);
    player.gets(&[is(Cluster, "a", "2")]);
    player.hears();
    let (type_url, nonce) = (first.type_url.to_string(), nonce_text(first.nonce));
    let verdict = player.says(Request { type_url, nonce, ..Request::default() });
    assert!(matches!(verdict, Verdict::None), "{verdict:?}");
    player.gets(&[is(Cluster, "a", "3")]);
    player.hears_nothing();
}

#[test]
fn unsubscribed_names_are_not_sent() {
    let mut player = Player::with(&[is(Endpoints, "a", "1"), is(Endpoints, "b", "1")]);
    player.subscribes(Endpoints, &["a", "b"]);
    player.takes_all();
    player.unsubscribes(Endpoints, &["a"]);
    player.gets(&[is(Endpoints, "a", "2"), is(Endpoints, "b", "2")]);
    assert_eq!(player.takes_all(), ["Endpoints +b"]);
}

#[test]
fn an_unknown_kind_is_answered_that_there_is_none_of_it() {
    let mut player = Player::new();
    let type_url = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig".to_owned();
    player.says(Request { type_url: type_url.clone(), subscribe: texts(&["x"]), ..Request::default() });
    let answer = player.hears();
    assert_eq!(line(&answer), format!("{type_url} -x"));
    player.says(Request { type_url: type_url.clone(), nonce: nonce_text(answer.nonce), ..Request::default() });
    player.hears_nothing();
    for n in 0..1000 {
        player.says(Request { type_url: format!("{type_url}{n}"), ..Request::default() });
    }
    assert!(std::iter::from_fn(|| player.session.next()).count() < 100);
}

#[test]
fn a_subscription_without_end_ends_the_stream() {
    let mut session = Session::new(Shared::default());
    let subscribe = (0..100_001).map(|n| n.to_string()).collect();
    let request = Request { type_url: Route.type_url().to_owned(), subscribe, ..Request::default() };
    assert_eq!(session.request(request).unwrap_err(), ProtocolError::TooManyNames(100_001));
}

#[test]
fn a_proxy_that_comes_back_waiting_for_endpoints_gets_them_again() {
    let (cluster, endpoints) = (is(Cluster, "a", "1"), is(Endpoints, "a", "1"));
    let resources = [cluster.clone(), endpoints.clone()];
    // It asks for clusters only once it has the endpoints of a cluster that was changed, and holds those of the one before.
    let mut player = Player::with(&resources);
    player.brings(Endpoints, &["a"], &[&endpoints]);
    assert_eq!(player.takes_all(), ["Endpoints +a"]);
    player.brings(Cluster, &[], &[&cluster]);
    player.hears_nothing();

    let mut player = Player::with(&resources);
    player.brings(Cluster, &[], &[&cluster]);
    player.brings(Endpoints, &["a"], &[&endpoints]);
    player.hears_nothing();
}

#[test]
fn a_cluster_that_comes_back_with_a_proxy_gets_its_endpoints_again() {
    let endpoints = is(Endpoints, "a", "1");
    let mut player = Player::with(&[is(Cluster, "a", "2"), endpoints.clone()]);
    player.brings(Cluster, &[], &[&is(Cluster, "a", "1")]);
    player.brings(Endpoints, &["a"], &[&endpoints]);
    assert_eq!(player.takes_all(), ["Cluster +a", "Endpoints +a"]);

    // New to it, though it subscribed to endpoints of that name before.
    let mut player = Player::with(&[is(Cluster, "a", "1"), endpoints.clone()]);
    player.brings(Cluster, &[], &[&is(Cluster, "other", "1")]);
    player.brings(Endpoints, &["a"], &[&endpoints]);
    assert_eq!(player.takes_all(), ["Cluster +a", "Endpoints +a", "Cluster -other"]);
}

#[test]
fn endpoints_that_are_asked_for_while_their_cluster_is_under_way_are_sent() {
    let (a, b) = (is(Endpoints, "a", "1"), is(Endpoints, "b", "1"));
    let same = is(Cluster, "b", "1");
    let mut player = Player::with(&[is(Cluster, "a", "2"), same.clone(), a.clone(), b.clone()]);
    player.brings(Cluster, &[], &[&is(Cluster, "a", "1"), &same]);
    // The changed cluster leaves before the proxy has said which endpoints it holds, and waits for its own.
    let clusters = player.hears();
    assert_eq!(line(&clusters), "Cluster +a");
    player.brings(Endpoints, &["a", "b"], &[&a, &b]);
    assert_eq!(line(&player.hears()), "Endpoints +a");
    player.accepts(&clusters);
}

#[test]
fn a_cluster_stays_for_as_long_as_the_proxy_keeps_routes_that_lead_to_it() {
    let mut player = Player::with(&[is(Cluster, "old", "1"), is(Route, "80", "to old")]);
    player.subscribes(Cluster, &[]);
    player.subscribes(Route, &["80"]);
    player.takes_all();
    player.gets(&[is(Cluster, "new", "1"), is(Route, "80", "to new, in a way that is refused")]);
    let clusters = player.hears();
    player.accepts(&clusters);
    let routes = player.hears();
    assert_eq!(player.refuses(&routes, "no"), ["80"]);
    player.hears_nothing();
    player.gets(&[is(Cluster, "new", "1"), is(Route, "80", "to new")]);
    assert_eq!(player.takes_all(), ["Route +80", "Cluster -old"]);
}
