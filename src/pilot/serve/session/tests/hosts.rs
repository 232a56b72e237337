//! Virtual hosts that are sent apart from their tables.

use std::sync::Arc;

use super::{Player, is, line};
use crate::compile::{Resource, ResourceType};
use ResourceType::{Cluster, Listener, Route, VirtualHost};

/// A table of that name, and a host of it.
fn table(name: &str, text: &str) -> [Arc<Resource>; 2] {
    [is(Route, name, "split"), is(VirtualHost, &format!("{name}/a"), text)]
}

/// A proxy that has these resources, of which it asked for these tables.
fn configured(resources: &[Arc<Resource>], tables: &[&str]) -> Player {
    let mut player = Player::with(resources);
    player.subscribes(Cluster, &[]);
    player.subscribes(Listener, &[]);
    player.subscribes(Route, tables);
    player.takes_all();
    // Envoy asks when it has a table that says so.
    player.subscribes(VirtualHost, &[]);
    player.takes_all();
    player
}

#[test]
fn a_proxy_that_asks_gets_the_hosts_of_its_tables_and_then_what_changes() {
    let all = [table("80", "1"), table("81", "1"), table("82", "1")].concat();
    let mut player = Player::with(&all);
    player.subscribes(Route, &["80", "81"]);
    assert_eq!(player.takes_all(), ["Route +80 +81"]);
    player.subscribes(VirtualHost, &[]);
    assert_eq!(player.takes_all(), ["VirtualHost +80/a +81/a"]);
    player.gets(&[table("80", "1"), table("81", "2"), table("82", "2")].concat());
    assert_eq!(player.takes_all(), ["VirtualHost +81/a"]);
    player.gets(&[&table("80", "1")[..], &table("81", "2")[..1], &[is(VirtualHost, "81/b", "1")]].concat());
    assert_eq!(player.takes_all(), ["VirtualHost +81/b -81/a"]);
    assert!(player.session.is_settled());
}

#[test]
fn a_table_is_followed_by_its_hosts_and_nothing_of_it_comes_before() {
    let mut player = configured(&table("80", "1"), &["80"]);
    // Its listener is not there yet, so the proxy does not know of the table, and would drop its hosts.
    let all = [table("80", "1"), table("81", "1")].concat();
    player.gets(&all);
    player.hears_nothing();
    player.subscribes(Route, &["81"]);
    let routes = player.hears();
    assert_eq!(line(&routes), "Route +81");
    // At once: to wait for the acknowledgement would be a time without hosts.
    let hosts = player.hears();
    assert_eq!(line(&hosts), "VirtualHost +81/a");
    player.accepts(&routes);
    player.accepts(&hosts);
    player.hears_nothing();
}

#[test]
fn a_table_that_changes_keeps_its_hosts() {
    let mut player = configured(&table("80", "1"), &["80"]);
    player.gets(&[is(Route, "80", "other"), is(VirtualHost, "80/a", "1")]);
    assert_eq!(player.takes_all(), ["Route +80"]);
}

#[test]
fn a_table_that_a_proxy_asks_for_again_comes_with_all_its_hosts() {
    let all = [table("80", "1"), table("81", "1")].concat();
    let mut player = configured(&all, &["80", "81"]);
    player.unsubscribes(Route, &["81"]);
    // Otherwise the proxy would remember to have them.
    assert_eq!(player.takes_all(), ["VirtualHost -81/a"]);
    player.subscribes(Route, &["81"]);
    assert_eq!(player.takes_all(), ["Route +81", "VirtualHost +81/a"]);
    // Asked for again at once, what goes comes first.
    player.unsubscribes(Route, &["81"]);
    player.subscribes(Route, &["81"]);
    assert_eq!(player.takes_all(), ["VirtualHost -81/a", "Route +81", "VirtualHost +81/a"]);
}

#[test]
fn of_a_table_without_hosts_it_is_said_that_it_has_none() {
    let mut player = configured(&[is(Route, "80", "split")], &["80"]);
    player.gets(&[is(Route, "80", "split"), is(Route, "81", "split")]);
    player.subscribes(Route, &["81"]);
    // Envoy waits for the first hosts of a table, and takes this for news of them.
    assert_eq!(player.takes_all(), ["Route +81", "VirtualHost -81/"]);
    let mut player = Player::with(&[is(Route, "80", "split")]);
    player.subscribes(Route, &["80"]);
    player.takes_all();
    player.subscribes(VirtualHost, &[]);
    assert_eq!(player.takes_all(), ["VirtualHost -80/"]);
}

#[test]
fn tables_of_sockets_have_slashes_in_their_names() {
    let (socket, longer) = (table("unix:///run/a", "1"), table("unix:///run/a/b", "1"));
    let mut player = configured(&[socket.clone(), longer.clone()].concat(), &["unix:///run/a"]);
    player.gets(&[socket, [longer[0].clone(), is(VirtualHost, "unix:///run/a/b/a", "2")]].concat());
    player.hears_nothing();
    player.subscribes(Route, &["unix:///run/a/b"]);
    assert_eq!(player.takes_all(), ["Route +unix:///run/a/b", "VirtualHost +unix:///run/a/b/a"]);
}

#[test]
fn a_proxy_that_comes_back_gets_the_hosts_that_it_missed() {
    let (kept, changed) = (table("80", "1"), table("81", "1"));
    let gone = is(VirtualHost, "80/gone", "1");
    let now = [kept.clone(), table("81", "2"), table("82", "1")].concat();
    let mut player = Player::with(&now);
    player.brings(Route, &["80", "81", "82"], &[&kept[0], &changed[0]]);
    player.brings(VirtualHost, &[], &[&kept[1], &changed[1], &gone]);
    assert_eq!(player.takes_all(), ["VirtualHost -80/gone", "Route +82", "VirtualHost +81/a +82/a"]);

    let mut player = Player::with(&kept);
    player.brings(Route, &["80"], &[&kept[0]]);
    player.brings(VirtualHost, &[], &[&kept[1]]);
    player.hears_nothing();
    assert!(player.session.is_settled());

    // It asked before the configuration was known.
    let mut player = Player::new();
    player.brings(Route, &["80"], &[&kept[0]]);
    player.brings(VirtualHost, &[], &[&kept[1]]);
    player.gets(&[kept[0].clone(), is(VirtualHost, "80/a", "2")]);
    assert_eq!(player.takes_all(), ["VirtualHost +80/a"]);
}

#[test]
fn hosts_that_a_proxy_remembers_of_a_table_that_it_does_not_have_are_sent_with_the_table() {
    let all = table("80", "1");
    let mut player = Player::with(&all);
    player.brings(Route, &["80"], &[]);
    player.brings(VirtualHost, &[], &[&all[1]]);
    let lines = player.takes_all();
    assert_eq!(lines.last().map(String::as_str), Some("VirtualHost +80/a"), "{lines:?}");
    assert!(lines.contains(&"Route +80".to_owned()));
}

#[test]
fn a_cluster_goes_when_no_host_leads_to_it_any_more() {
    let mut player = configured(&[&table("80", "to old")[..], &[is(Cluster, "old", "1")]].concat(), &["80"]);
    player.gets(&[&table("80", "to new")[..], &[is(Cluster, "new", "1")]].concat());
    let clusters = player.hears();
    assert_eq!(line(&clusters), "Cluster +new");
    player.hears_nothing();
    player.accepts(&clusters);
    let hosts = player.hears();
    assert_eq!(line(&hosts), "VirtualHost +80/a");
    player.hears_nothing();
    // Refused, it leads to the old one still.
    assert_eq!(player.refuses(&hosts, "no"), ["80/a"]);
    player.hears_nothing();
    player.gets(&[&table("80", "to new, rightly")[..], &[is(Cluster, "new", "1")]].concat());
    assert_eq!(player.takes_all(), ["VirtualHost +80/a", "Cluster -old"]);
}

#[test]
fn a_refused_host_holds_up_no_other_one() {
    let mut player = configured(&table("80", "1"), &["80"]);
    let mut next =
        vec![is(Route, "80", "split"), is(VirtualHost, "80/a", "2"), is(VirtualHost, "80/b", "bad"), is(VirtualHost, "80/c", "1")];
    player.gets(&next);
    let (mut blamed, mut taken) = (Vec::new(), Vec::new());
    while let Some(response) = player.session.next() {
        // Envoy does not say which one it means.
        if response.resources.iter().any(|host| &*host.name == "80/b") {
            blamed.extend(player.refuses(&response, "Only unique values for domains are permitted"));
        } else {
            taken.extend(response.resources.iter().map(|host| host.name.to_string()));
            player.accepts(&response);
        }
    }
    taken.sort();
    assert_eq!((blamed, taken), (vec!["80/b".to_owned()], vec!["80/a".to_owned(), "80/c".to_owned()]));
    // Beside another table it may be right.
    next[0] = is(Route, "80", "other");
    player.gets(&next);
    assert_eq!(player.takes_all(), ["Route +80", "VirtualHost +80/b"]);
    assert_eq!(player.session.rejections().count(), 0);
}

#[test]
fn while_a_table_waits_hosts_only_go() {
    let [table, host] = table("80", "1");
    let mut player = configured(&[table.clone(), host.clone()], &["80"]);
    // A domain passes from a host to the table, and back.
    player.gets(&[is(Route, "80", "with a host of its own")]);
    assert_eq!(player.takes_all(), ["VirtualHost -80/a", "Route +80"]);
    player.gets(&[table, host]);
    assert_eq!(player.takes_all(), ["Route +80", "VirtualHost +80/a"]);
}

#[test]
fn a_table_that_is_refused_and_sent_again_gets_its_hosts_again() {
    let mut player = configured(&table("80", "1"), &["80"]);
    let all = [table("80", "1"), table("81", "1")].concat();
    player.gets(&[&all[..], &[is(Route, "82", "bad")]].concat());
    player.subscribes(Route, &["81", "82"]);
    let routes = player.hears();
    assert_eq!(line(&routes), "Route +81 +82");
    assert_eq!(player.takes_all(), ["VirtualHost +81/a -82/"]);
    // Perhaps the proxy did not get as far as to the good one, and then its hosts were lost on it.
    assert_eq!(player.refuses(&routes, "82: bad"), ["82"]);
    assert_eq!(player.takes_all(), ["Route +81", "VirtualHost +81/a"]);
}
