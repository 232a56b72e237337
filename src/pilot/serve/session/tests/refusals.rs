//! What a proxy refuses, and what becomes of the rest.

use super::{Player, ResourceType, is, texts};
use ResourceType::{Cluster, Listener};

#[test]
fn a_refused_resource_is_not_sent_again_until_it_changes() {
    let mut player = Player::with(&[is(Listener, "a", "1")]);
    player.subscribes(Listener, &[]);
    player.takes_all();
    player.gets(&[is(Listener, "a", "bad")]);
    let response = player.hears();
    assert_eq!(player.refuses(&response, "no such filter"), ["a"]);
    player.hears_nothing();
    assert!(player.session.is_settled());
    let rejection = player.session.rejections().next().unwrap();
    assert_eq!(rejection.resource.sources[0].to_string(), "VirtualService shop/a");
    assert_eq!(&*rejection.message, "no such filter");

    player.gets(&[is(Listener, "a", "bad"), is(Listener, "b", "1")]);
    assert_eq!(player.takes_all(), ["Listener +b"]);
    assert_eq!(player.session.rejections().count(), 1);
    player.gets(&[is(Listener, "a", "good"), is(Listener, "b", "1")]);
    assert_eq!(player.takes_all(), ["Listener +a"]);
    assert_eq!(player.session.rejections().count(), 0);
}

#[test]
fn a_refused_form_that_goes_and_comes_back_before_anything_was_sent_is_not_sent_again() {
    let other = is(Listener, "other", "1");
    let mut player = Player::with(&[is(Listener, "a", "1"), other.clone()]);
    player.subscribes(Listener, &[]);
    player.takes_all();
    player.gets(&[is(Listener, "a", "bad"), other.clone()]);
    let response = player.hears();
    player.gets(&[is(Listener, "a", "2"), other.clone()]);
    player.gets(&[is(Listener, "a", "bad"), other.clone()]);
    assert_eq!(player.refuses(&response, "no"), ["a"]);
    player.hears_nothing();

    player.gets(&[is(Listener, "a", "3"), other.clone()]);
    player.gets(&[is(Listener, "a", "bad"), other]);
    player.hears_nothing();
    assert_eq!(player.session.rejections().count(), 1);
}

#[test]
fn going_back_to_the_form_before_the_refused_one_needs_no_response() {
    let mut player = Player::with(&[is(Listener, "a", "1")]);
    player.subscribes(Listener, &[]);
    player.takes_all();
    player.gets(&[is(Listener, "a", "bad")]);
    let response = player.hears();
    player.refuses(&response, "no");
    player.gets(&[is(Listener, "a", "1")]);
    player.hears_nothing();
    assert_eq!(player.session.rejections().count(), 0);
}

#[test]
fn a_refused_resource_that_vanishes_is_removed() {
    let mut player = Player::with(&[is(Cluster, "a", "1")]);
    player.subscribes(Cluster, &[]);
    player.takes_all();
    player.gets(&[is(Cluster, "a", "bad")]);
    let response = player.hears();
    player.refuses(&response, "no");
    player.gets(&[]);
    assert_eq!(player.takes_all(), ["Cluster -a"]);
    assert_eq!(player.session.rejections().count(), 0);
}

#[test]
fn the_others_of_a_refused_response_are_sent_without_the_named_ones() {
    let mut player = Player::with(&[is(Cluster, "a", "1"), is(Cluster, "ab", "1"), is(Cluster, "b", "1")]);
    player.subscribes(Cluster, &[]);
    let response = player.hears();
    assert_eq!(player.refuses(&response, "Error adding/updating cluster(s) ab: bad value"), ["ab"]);
    assert_eq!(player.takes_all(), ["Cluster +a +b"]);
    assert_eq!(player.session.rejections().count(), 1);
}

#[test]
fn a_refusal_that_names_nobody_is_narrowed_down() {
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    let all: Vec<_> = names.iter().map(|name| is(Cluster, name, "1")).collect();
    let mut player = Player::with(&all);
    player.subscribes(Cluster, &[]);
    let (mut taken, mut blamed, mut responses) = (Vec::new(), Vec::new(), 0);
    while let Some(response) = player.session.next() {
        responses += 1;
        assert!(responses < 14, "there is no end");
        if response.resources.iter().any(|resource| ["c", "f"].contains(&&*resource.name)) {
            blamed.extend(player.refuses(&response, "something is wrong somewhere"));
        } else {
            taken.extend(response.resources.iter().map(|resource| resource.name.to_string()));
            player.accepts(&response);
        }
    }
    taken.sort();
    blamed.sort();
    assert_eq!((taken, blamed), (texts(&["a", "b", "d", "e", "g"]), texts(&["c", "f"])));
    assert!(player.session.is_settled());
}

#[test]
fn a_change_during_the_search_for_the_refused_one_is_not_lost() {
    let mut player = Player::with(&[is(Cluster, "a", "bad"), is(Cluster, "b", "1")]);
    player.subscribes(Cluster, &[]);
    let response = player.hears();
    player.gets(&[is(Cluster, "a", "good"), is(Cluster, "b", "2"), is(Cluster, "c", "1")]);
    assert_eq!(player.refuses(&response, "?"), texts(&[]));
    let mut lines = player.takes_all();
    lines.sort();
    assert_eq!(lines, ["Cluster +a", "Cluster +b", "Cluster +c"]);
    assert_eq!(player.session.rejections().count(), 0);
}

#[test]
fn a_refusal_holds_up_no_other_kind() {
    let mut player = Player::with(&[is(Cluster, "a", "bad"), is(Listener, "80", "1")]);
    player.subscribes(Cluster, &[]);
    player.subscribes(Listener, &[]);
    let response = player.hears();
    player.refuses(&response, "no");
    assert_eq!(player.takes_all(), ["Listener +80"]);
}

#[test]
fn a_rejection_tells_what_the_proxy_goes_on_with() {
    let good = is(Listener, "a", "1");
    let mut player = Player::with(std::slice::from_ref(&good));
    player.subscribes(Listener, &[]);
    player.takes_all();
    player.gets(&[is(Listener, "a", "bad"), is(Listener, "b", "bad")]);
    let response = player.hears();
    assert!(!player.session.has_settled(Listener, "a"));
    player.refuses(&response, "a and b: no");
    let held: Vec<_> = player.session.rejections().map(|rejection| rejection.held).collect();
    assert_eq!(held, [Some(good.hash), None]);
    assert!(player.session.has_settled(Listener, "a") && player.session.has_settled(Listener, "b"));
}
