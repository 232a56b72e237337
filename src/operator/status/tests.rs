//! What is said of what was found.

use super::*;
use crate::operator::proxies::Synced;
use k8s_openapi::jiff::Timestamp;
use std::collections::BTreeSet;

fn at(second: i64) -> Time {
    Time(Timestamp::from_second(second).unwrap())
}

fn applied(galley: Health) -> Outcome {
    let components = BTreeMap::from([("galley".to_owned(), ("istio-galley".to_owned(), galley))]);
    Outcome::Applied(Box::new(Applied {
        parts: Parts { components, addons: BTreeMap::new() },
        certificates: Some(Ok(())),
        webhooks: Some(Ok(())),
        inventory: Vec::new(),
        tags: None,
        injection: Some(Injection::default()),
        planes: Vec::new(),
        upgrade: None,
        hindrance: None,
    }))
}

fn healthy() -> Outcome {
    applied(Health { state: State::Healthy, message: String::new() })
}

/// The same but for one thing.
fn but(change: impl FnOnce(&mut Applied)) -> Outcome {
    let mut outcome = healthy();
    if let Outcome::Applied(applied) = &mut outcome {
        change(applied);
    }
    outcome
}

fn starting() -> Outcome {
    applied(Health { state: State::Updating, message: "waiting for its pods".to_owned() })
}

fn after(outcome: Outcome, previous: &MeshInstallStatus, generation: i64, now: i64) -> MeshInstallStatus {
    status(&Report { generation: Some(generation), version: "1.0.2".to_owned(), foreign: None, outcome }, previous, &at(now))
}

fn conditions(status: &MeshInstallStatus) -> Vec<(&str, &str, &str)> {
    status.conditions.iter().map(|c| (c.type_.as_str(), c.status.as_str(), c.reason.as_str())).collect()
}

#[test]
fn a_new_mesh_is_updating_until_it_is_healthy() {
    let first = after(Outcome::Waiting(None), &MeshInstallStatus::default(), 1, 10);
    assert_eq!(first.state, Some(State::Updating));
    let second = after(starting(), &first, 1, 11);
    assert_eq!(second.state, Some(State::Updating));
    assert_eq!(second.conditions[0].message, "istio-galley: waiting for its pods");
    let third = after(healthy(), &second, 1, 12);
    assert_eq!(third.state, Some(State::Healthy));
    assert_eq!(
        conditions(&third),
        [("Ready", "True", "Healthy"), ("CertificatesReady", "True", "Issued"), ("WebhooksReady", "True", "Answering")]
    );
    assert_eq!(third.conditions[1].last_transition_time, at(11), "true since then");
}

#[test]
fn the_same_finding_is_the_same_status() {
    let first = after(healthy(), &MeshInstallStatus::default(), 1, 10);
    assert_eq!(after(healthy(), &first, 1, 99), first);
}

#[test]
fn what_was_well_is_reconciled_and_what_changed_is_updated() {
    let well = after(healthy(), &MeshInstallStatus::default(), 1, 10);
    let again = after(starting(), &well, 1, 11);
    assert_eq!((again.state, again.components["galley"].status), (Some(State::Reconciling), Some(State::Reconciling)));
    assert_eq!(after(starting(), &well, 2, 11).state, Some(State::Updating));
}

#[test]
fn proxies_are_counted_and_told_of_without_making_the_mesh_unwell() {
    let with = |tally: Tally| but(|it| it.injection = Some(Injection { proxies: Some(Arc::new(tally)), ..Injection::default() }));
    let told = |status: &MeshInstallStatus| {
        let condition = status.conditions.iter().find(|condition| condition.type_ == "ProxiesInSync");
        condition.map(|condition| (condition.status.clone(), condition.reason.clone()))
    };
    let is = |status: &str, reason: &str| Some((status.to_owned(), reason.to_owned()));
    let well = after(with(Tally { total: 3, ..Tally::default() }), &MeshInstallStatus::default(), 1, 10);
    assert_eq!((told(&well), well.proxies.clone().unwrap().total), (is("True", "InSync"), Some(3)));
    let missed = after(with(Tally { total: 3, missed: 2, outdated: 1, ..Tally::default() }), &well, 1, 11);
    assert_eq!((told(&missed), missed.state), (is("False", "PodsMissed"), Some(State::Healthy)));
    let [of_well, of_missed] = [&well, &missed].map(|status| status.proxies.clone().unwrap());
    assert_eq!((of_missed.missed, of_missed.outdated), (Some(2), Some(1)));
    let shown = [of_well, of_missed].map(|counts| counts.summary.unwrap());
    assert_eq!(shown, ["3", "3 (1 outdated, 2 missed)"]);
    assert_eq!(told(&after(with(Tally { outdated: 1, ..Tally::default() }), &well, 1, 11)), is("False", "ProxiesOutdated"));
    let synced = |synced, stale| Some(Synced { synced, stale });
    let stale = after(with(Tally { total: 3, gateways: 1, outdated: 1, synced: synced(3, 1), ..Tally::default() }), &well, 1, 11);
    assert_eq!((told(&stale), stale.state), (is("False", "ProxiesStale"), Some(State::Healthy)));
    let counts = stale.proxies.unwrap();
    assert_eq!(
        (counts.total, counts.synced, counts.stale, counts.summary.as_deref()),
        (Some(4), Some(3), Some(1), Some("3/4 (1 outdated)"))
    );
    assert_eq!(told(&after(with(Tally { total: 3, synced: synced(3, 0), ..Tally::default() }), &well, 1, 11)), is("True", "InSync"));
    let stuck = Tally { missed: 1, stuck: Some("x".to_owned()), ..Tally::default() };
    assert_eq!(told(&after(with(stuck), &well, 1, 11)), is("False", "RolloutStuck"));
    let unknown = after(healthy(), &missed, 1, 12);
    assert_eq!((told(&unknown), unknown.proxies), (told(&missed), missed.proxies), "nothing newer is known");
}

#[test]
fn a_lenient_mesh_says_what_that_means() {
    let status =
        after(but(|it| it.injection = Some(Injection { lenient: true, ..Injection::default() })), &MeshInstallStatus::default(), 1, 10);
    assert!(status.conditions[0].message.contains("pods start without a sidecar"), "{:?}", status.conditions[0]);
}

#[test]
fn an_add_on_is_shown_and_nothing_waits_for_it() {
    let failed = Health { state: State::Error, message: "pod kiali-1 ImagePullBackOff".to_owned() };
    let addons = BTreeMap::from([("kiali".to_owned(), ("kiali".to_owned(), failed))]);
    let status = after(but(|it| it.parts.addons = addons), &MeshInstallStatus::default(), 1, 10);
    assert_eq!((status.state, status.components["kiali"].status), (Some(State::Healthy), Some(State::Error)));
    let said = "all components are ready, but an add-on is not: kiali: pod kiali-1 ImagePullBackOff";
    assert_eq!(status.conditions[0].message, said);
}

#[test]
fn a_stalled_mesh_keeps_what_is_known_of_its_parts() {
    let well = after(healthy(), &MeshInstallStatus::default(), 1, 10);
    let stalled = after(Outcome::Stalled(Reason::InvalidSpec, "spec.mode: no".to_owned(), None), &well, 2, 11);
    assert_eq!((stalled.state, &stalled.components), (Some(State::Error), &well.components));
    assert_eq!(conditions(&stalled)[..2], [("Ready", "False", "InvalidSpec"), ("Stalled", "True", "InvalidSpec")]);

    let Outcome::Applied(waiting) = starting() else { unreachable!("it is") };
    let stalled = after(Outcome::Stalled(Reason::InvalidSpec, "spec.mode: no".to_owned(), Some(waiting.parts)), &stalled, 2, 12);
    assert_eq!(stalled.components["galley"].status, Some(State::Updating), "what is seen of them is newer");
    assert_eq!(stalled.components["galley"].version, well.components["galley"].version);
    assert_eq!(stalled.conditions[0].message, "spec.mode: no; istio-galley: waiting for its pods");
}

#[test]
fn what_keeps_an_object_from_its_plan_is_told_over_all_that_is_known() {
    let hindered = |reason, outcome: fn() -> Outcome| {
        let mut outcome = outcome();
        if let Outcome::Applied(applied) = &mut outcome {
            applied.hindrance = Some((reason, "Service web is refused".to_owned()));
        }
        after(outcome, &MeshInstallStatus::default(), 1, 10)
    };
    let stalled = hindered(Reason::InvalidSpec, healthy);
    let ready = ("CertificatesReady", "True", "Issued");
    let answering = ("WebhooksReady", "True", "Answering");
    let told = [("Ready", "False", "InvalidSpec"), ("Stalled", "True", "InvalidSpec"), ready, answering];
    assert_eq!((stalled.state, conditions(&stalled)), (Some(State::Error), told.to_vec()));
    assert_eq!(
        (stalled.conditions[1].message.as_str(), stalled.components["galley"].status),
        ("Service web is refused", Some(State::Healthy))
    );
    let retried = hindered(Reason::ApplyFailed, starting);
    assert_eq!(conditions(&retried)[..2], [("Ready", "False", "ApplyFailed"), ("Reconciling", "True", "ApplyFailed")]);
    assert_eq!(retried.components["galley"].status, Some(State::Updating));
}

#[test]
fn what_would_be_done_is_told_and_what_is_there_stays_as_it_was() {
    let key = crate::operator::object::Key::new(crate::operator::object::Kind::Service, "istio-system", "istiod");
    let preview = |unchanged| {
        let changes = vec![(ferromesh_crds::install::ChangeAction::Create, key.clone(), Vec::new())];
        let Outcome::Applied(applied) = healthy() else { unreachable!() };
        Outcome::Previewed(Preview { changes, unchanged }, applied.parts)
    };
    let first = after(preview(0), &MeshInstallStatus::default(), 1, 10);
    assert_eq!((first.state, conditions(&first)), (Some(State::None), vec![("Ready", "False", "Planned")]));
    assert_eq!(first.plan.as_ref().unwrap().time, Some(at(10)));
    assert_eq!(after(preview(0), &first, 1, 99), first, "the same plan is no news");
    assert_eq!(after(preview(1), &first, 1, 99).plan.unwrap().time, Some(at(99)));
    let well = after(but(|it| it.inventory = vec![key.inventory_entry()]), &first, 1, 11);
    assert_eq!(well.plan, None);
    let planned = after(preview(3), &well, 2, 12);
    assert_eq!((planned.state, &planned.components), (Some(State::Healthy), &well.components));
    assert_eq!(conditions(&planned)[..2], [("Ready", "True", "Planned"), ("CertificatesReady", "True", "Issued")]);
    assert_eq!(planned.conditions[0].message, "mode is Plan, nothing is done: 1 to create, 0 to change, 0 to delete, 3 as they are");
}

#[test]
fn long_messages_are_cut_between_characters() {
    assert_eq!(cut("ü".repeat(400).as_str()).chars().count(), LENGTH);
    assert_eq!(cut("ü".repeat(LENGTH).as_str()), "ü".repeat(LENGTH));
}

#[test]
fn a_version_that_comes_up_is_told_of_with_the_one_that_serves_meanwhile() {
    let upgrade = |reason, waits| Some(Upgrade { reason, message: "1.0.3 comes".to_owned(), waits });
    let plane = |name: &str, version: &str, state| Plane { name: name.to_owned(), version: version.to_owned(), state, proxies: None };
    let planes = || vec![plane("blue", "1.0.2", Some(State::Healthy)), plane("green", "1.0.3", None)];
    let well = after(healthy(), &MeshInstallStatus::default(), 1, 10);
    let comes = after(
        but(|it| {
            it.upgrade = upgrade(Reason::NewNotReady, true);
            it.planes = planes();
        }),
        &well,
        1,
        11,
    );
    assert_eq!((comes.state, comes.conditions[0].reason.as_str()), (Some(State::Updating), "NewNotReady"), "nothing is put right");
    assert!(conditions(&comes).contains(&("Upgraded", "False", "NewNotReady")));
    let told: Vec<_> = comes.revisions.iter().map(|it| (it.name.as_str(), it.version.as_deref(), it.state)).collect();
    assert_eq!(told, [("blue", Some("1.0.2"), Some(State::Healthy)), ("green", Some("1.0.3"), Some(State::Updating))]);
    let failed = Health { state: State::Error, message: "timed out".to_owned() };
    let outcome = but(|it| {
        it.upgrade = upgrade(Reason::NewNotReady, true);
        it.parts.components = BTreeMap::from([("pilot".to_owned(), ("istio-pilot-green".to_owned(), failed))]);
    });
    assert_eq!(after(outcome, &well, 1, 11).conditions[0].message, "istio-pilot-green: timed out; version 1.0.2 serves on");
    let stays = after(but(|it| it.upgrade = upgrade(Reason::OldInUse, false)), &well, 1, 11);
    assert_eq!((stays.state, conditions(&stays).last()), (Some(State::Healthy), Some(&("Upgraded", "False", "OldInUse"))));
}

/// The names of the variants of an enum in a source.
fn variants<'s>(source: &'s str, name: &str) -> Vec<&'s str> {
    let (_, body) = source.split_once(&format!("enum {name} {{\n")).unwrap();
    let body = body.split_once("\n}").unwrap().0;
    body.lines().filter_map(|line| line.trim().strip_suffix(',')).collect()
}

#[test]
fn every_reason_and_condition_is_explained() {
    let page = include_str!("../../../docs/conditions.md");
    let rows = |columns: usize| {
        let cells = |line: &'static str| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>();
        let name = |cells: Vec<&'static str>| cells[0].strip_prefix('`')?.strip_suffix('`').filter(|_| cells.len() == columns);
        page.lines().filter(|line| line.starts_with("| `")).filter_map(move |line| name(cells(line))).collect::<Vec<_>>()
    };
    assert_eq!(rows(4).into_iter().collect::<BTreeSet<_>>(), variants(include_str!("reason.rs"), "Reason").into_iter().collect());
    let types: BTreeSet<&str> = ["Ready", "Reconciling", "Stalled", "Upgraded", FOREIGN].into_iter().chain(KEPT).collect();
    assert_eq!(rows(3).into_iter().collect::<BTreeSet<_>>(), types);
    // What is said of a reason's conditions are conditions.
    let of = page.lines().filter(|line| line.starts_with("| `")).map(|line| line.split('|').collect::<Vec<_>>());
    let named = of.filter(|cells| cells.len() == 6).flat_map(|cells| cells[2].split(',').map(str::trim).collect::<Vec<_>>());
    assert!(named.into_iter().all(|name| types.contains(name)));
}
