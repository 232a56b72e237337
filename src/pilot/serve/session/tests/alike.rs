//! Proxies that come alike: they share what they are owed, and none notices.

use std::sync::Arc;

use super::{Player, Shared, is, line};
use crate::compile::{Compiled, Resource, ResourceType};
use ResourceType::{Cluster, Endpoints, Route, VirtualHost};

/// As many as are worth sharing.
const MANY: usize = 20;

fn named(kind: ResourceType, prefix: &str, text: &str) -> Vec<Arc<Resource>> {
    (10..10 + MANY).map(|number| is(kind, &format!("{prefix}{number}"), text)).collect()
}

fn names(resources: &[Arc<Resource>]) -> Vec<String> {
    resources.iter().map(|resource| resource.name.to_string()).collect()
}

/// Three proxies that get the same.
fn three(resources: &[Arc<Resource>]) -> [Player; 3] {
    let (shared, compiled) = (Shared::default(), Compiled::made_of(resources));
    [(); 3].map(|()| {
        let mut player = Player::sharing(&shared);
        player.session.update(compiled.clone());
        player
    })
}

/// How many resources the next response has, once it is accepted.
fn takes(player: &mut Player) -> usize {
    let response = player.hears();
    player.accepts(&response);
    player.hears_nothing();
    response.resources.len()
}

#[test]
fn a_change_that_one_of_them_gets_first_is_no_others() {
    let before = named(Cluster, "c", "1");
    let mut after = before.clone();
    after[0] = is(Cluster, "c10", "2");
    let [mut told, mut late, mut changed] = three(&before);
    for player in [&mut told, &mut late, &mut changed] {
        player.subscribes(Cluster, &[]);
    }
    assert_eq!(takes(&mut told), MANY);
    changed.gets(&after);
    told.gets(&after);
    assert_eq!(line(&told.hears()), "Cluster +c10");
    let (changed, late) = (changed.hears(), late.hears());
    assert_eq!((changed.resources[0].hash, late.resources[0].hash), (after[0].hash, before[0].hash));
    assert_eq!((changed.resources.len(), late.resources.len()), (MANY, MANY));
}

#[test]
fn names_that_many_ask_for_are_each_ones_own_to_give_up_and_to_bring_along() {
    let all = named(Endpoints, "e", "1");
    let [mut one, mut less, mut returned] = three(&all);
    let list = names(&all);
    let list: Vec<&str> = list.iter().map(String::as_str).collect();
    one.subscribes(Endpoints, &list);
    less.subscribes(Endpoints, &list);
    less.unsubscribes(Endpoints, &["e10"]);
    returned.session.update(Compiled::made_of(&[&[is(Cluster, "c", "1")], &all[..]].concat()));
    returned.brings(Cluster, &["c"], &[&is(Cluster, "c", "1")]);
    returned.brings(Endpoints, &list, &all[1..].iter().collect::<Vec<_>>());
    assert_eq!((takes(&mut less), takes(&mut one)), (MANY - 1, MANY));
    assert_eq!(line(&returned.hears()), "Endpoints +e10");
    let changed: Vec<_> = all.iter().map(|it| is(Endpoints, &it.name, "2")).collect();
    for (player, count) in [(&mut one, MANY), (&mut less, MANY - 1)] {
        player.gets(&changed);
        assert_eq!(takes(player), count);
    }
}

#[test]
fn what_one_of_them_refuses_the_others_take() {
    let [mut one, mut refusing, mut late] = three(&named(Cluster, "c", "1"));
    for player in [&mut one, &mut refusing, &mut late] {
        player.subscribes(Cluster, &[]);
    }
    let response = refusing.hears();
    assert_eq!(takes(&mut one), MANY);
    assert_eq!(refusing.refuses(&response, "cluster c11 is bad"), ["c11"]);
    assert_eq!((takes(&mut refusing), takes(&mut late)), (MANY - 1, MANY));
    assert_eq!(late.session.rejections().count(), 0);
}

#[test]
fn hosts_are_those_of_the_tables_that_each_of_them_has() {
    let hosts = [named(VirtualHost, "80/h", "1"), named(VirtualHost, "81/h", "1")].concat();
    let [mut one, mut other, mut same] = three(&[&[is(Route, "80", "split"), is(Route, "81", "split")], &hosts[..]].concat());
    for (player, tables) in [(&mut one, &["80"][..]), (&mut other, &["80", "81"]), (&mut same, &["80"])] {
        player.subscribes(Route, tables);
        player.takes_all();
        player.subscribes(VirtualHost, &[]);
    }
    assert_eq!((takes(&mut one), takes(&mut other), takes(&mut same)), (MANY, 2 * MANY, MANY));
}
