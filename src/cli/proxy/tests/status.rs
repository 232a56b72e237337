//! How far proxies got.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::cli::proxy::{
    dump::Dump,
    pilot::{Connected, connected},
    status::{compared, differences, notes, table, value},
};
use crate::cli::{terminal::Colour, tests::PIPE};

fn pages() -> Vec<Connected> {
    let proxy = |name: &str, route_acked: &str, endpoint_sent: &str| {
        json!({
            "proxy": name, "proxy_version": "1.0.2", "cluster_sent": "7", "cluster_acked": "7", "listener_sent": "8", "listener_acked": "8",
            "route_sent": "9", "route_acked": route_acked, "endpoint_sent": endpoint_sent, "endpoint_acked": "10",
        })
    };
    let synced = [
        proxy("web-5f77c-lq9vd.shop", "5", "10"),
        proxy("cart-6d4b9-x2x7k.shop", "9", "10"),
        proxy("slow-1.shop", "9", "12"),
        proxy("new-1.shop", "", ""),
    ];
    let refused = json!([{"type": "rds", "name": "9080", "message": "no", "sources": ["Service shop/web", "VirtualService shop/web"]}]);
    let connections = [json!({"proxy": "web-5f77c-lq9vd.shop", "rejections": refused}), json!({"proxy": "slow-1.shop", "rejections": []})];
    let mut all = connected(&synced, &connections, "istio-pilot-7c9-4hqzt");
    all.sort_by(|a, b| a.proxy.cmp(&b.proxy));
    all
}

#[test]
fn proxies_are_listed_with_what_they_lack() {
    assert_snapshot!("proxy_status", table(&pages(), PIPE.style(Colour::Never)));
    let note =
        "note: web-5f77c-lq9vd keeps its last good routes because of VirtualService shop/web: ferromesh why nack web-5f77c-lq9vd -n shop";
    assert_eq!(notes(&pages()), [note]);
    let json = value(&pages());
    assert_eq!((&json[3]["name"], &json[3]["rds"], &json[3]["cds"]), (&json!("web-5f77c-lq9vd.shop"), &json!("NACKED"), &json!("SYNCED")));
    assert!(table(&pages(), PIPE.style(Colour::Always)).contains("\x1b[1;31mNACKED\x1b[0m"));
}

#[test]
fn a_proxy_is_compared_with_what_it_should_have_by_version() {
    let cluster = |name: &str, version: &str| json!({"version_info": version, "cluster": {"name": name}});
    let page = json!({"configs": [{
        "@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump",
        "static_clusters": [{"cluster": {"name": "xds-grpc"}}],
        "dynamic_active_clusters": [cluster("same", "1"), cluster("old", "1"), cluster("extra", "1")],
    }]});
    let held = Dump::parse(&page.to_string(), "test").unwrap();
    let resource = |name: &str, version: &str| json!({"type": "cds", "name": name, "version": version});
    let meant: Value = json!({"resources": [resource("same", "1"), resource("old", "2"), resource("new", "1"), {"type": "rds", "name": "80", "version": "1"}]});
    assert_eq!(
        compared(&differences(&held, &meant)),
        "Clusters don't match\n  new is missing\n  old is another version\n  extra is not meant to be there\nEndpoints match\nListeners match\nRoutes match\n"
    );
}

#[test]
fn hosts_that_came_apart_from_their_table_are_compared_by_name() {
    let table = |names: &[&str]| {
        let hosts: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
        json!({"name": "80", "vhds": {}, "virtual_hosts": hosts})
    };
    let dump = |table: Value| json!({"@type": "type.googleapis.com/envoy.admin.v3.RoutesConfigDump", "dynamic_route_configs": [{"version_info": "9", "route_config": table}]});
    let page = json!({"configs": [dump(table(&["80/same:80", "80/old:80", "allow_any"]))]});
    let held = Dump::parse(&page.to_string(), "test").unwrap();
    // Envoy tells the version of the hosts that came last, pilot that of the table.
    let meant = |names: &[&str]| json!({"configs": [dump(table(names))], "resources": [{"type": "rds", "name": "80", "version": "1"}]});
    assert_eq!(
        differences(&held, &meant(&["same:80", "new:80", "allow_any"]))["Routes"],
        ["new:80 of 80 is missing", "old:80 of 80 is not meant to be there"]
    );
    assert_eq!(differences(&held, &meant(&["same:80", "old:80", "allow_any"]))["Routes"], Vec::<String>::new());
}
