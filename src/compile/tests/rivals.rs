//! Several services of one host: which of them counts is the same for clusters and for routes.

use std::collections::BTreeSet;

use super::{
    ResourceType, compiled,
    incremental::{Session, changes},
    json, proxy,
};
use crate::compile::Compiler;
use crate::model::Resolution;
use crate::testing::{
    bootstrap::names,
    mesh::{TestMesh, bookinfo},
};

const HOST: &str = "twice.example";

/// A host that another namespace declares with one port, and the client's own with another one.
fn rivals() -> TestMesh {
    let mut mesh = bookinfo();
    mesh.external("data", HOST, Resolution::Dns, &["http:90"]);
    mesh.external("shop", HOST, Resolution::Dns, &["http:91"]).created = 2;
    mesh
}

#[test]
fn routes_lead_to_clusters_that_are_there() {
    let compiled = compiled(&rivals(), "shop", "productpage-v1");
    let clusters: BTreeSet<String> = names(&compiled, ResourceType::Cluster).into_iter().collect();
    let of_host: Vec<&String> = clusters.iter().filter(|name| name.ends_with(HOST)).collect();
    assert_eq!(of_host, ["outbound|91||twice.example"]);
    for table in names(&compiled, ResourceType::Route) {
        let text = json(&compiled, ResourceType::Route, &table).to_string();
        assert!(!text.contains("outbound|90||twice.example"), "table {table} leads to a cluster that nobody has");
        assert_eq!(text.contains("outbound|91||twice.example"), table == "91", "{table}");
    }
}

#[test]
fn a_rival_that_comes_later_takes_the_routes_of_the_other_away() {
    let mut mesh = rivals();
    let own = mesh.services.keys().find(|key| key.host.as_str() == HOST && &*key.namespace == "shop").cloned().unwrap();
    let own = mesh.services.remove(&own).unwrap();
    let before = mesh.snapshot();
    let mut compiler = Compiler::new(before.clone());
    let mut session = Session::new(proxy(&mesh, "shop", "productpage-v1"));
    session.ask(&mut compiler);
    mesh.services.insert(own.key.clone(), own);
    let after = mesh.snapshot();
    compiler.advance(after.clone(), &changes(&before, &after));
    session.ask(&mut compiler);
    session.check(&after);
}
