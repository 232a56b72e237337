//! The far end.

use super::{explained, get, line};
use crate::model::MtlsMode;
use crate::testing::mesh::{bookinfo, peer_authentication};

#[test]
fn the_sidecar_at_the_endpoint_takes_the_mesh_s_tls() {
    let explained = explained(&bookinfo(), "shop", "productpage-v1", &get("details:9080", 9080, "/"));
    assert_eq!(explained.hops.len(), 2);
    let hop = &explained.hops[1];
    assert_eq!((hop.proxy.as_str(), hop.inbound), ("details-v1.shop", true));
    let chain = &hop.decisions[1];
    assert_eq!(chain.because, "the connection is TLS that speaks istio-http/1.1, istio, http/1.1");
    assert_eq!(hop.possibilities.iter().map(line).collect::<Vec<_>>(), ["100 % inbound|9080|| by Service shop/details"]);
}

#[test]
fn plain_text_is_closed_by_a_sidecar_that_is_strict() {
    let mut mesh = bookinfo();
    mesh.config.enable_auto_mtls = false;
    let hop = |mesh: &_| explained(mesh, "shop", "productpage-v1", &get("details:9080", 9080, "/")).hops.remove(1);
    assert_eq!(hop(&mesh).possibilities.iter().map(line).collect::<Vec<_>>(), ["100 % inbound|9080|| by Service shop/details"]);
    mesh.peer_authentications.push(peer_authentication("shop", &[], MtlsMode::Strict));
    assert_eq!(hop(&mesh).possibilities.iter().map(line).collect::<Vec<_>>(), ["100 % closed by PeerAuthentication shop/default"]);
}

#[test]
fn sidecars_that_decide_the_same_are_told_once() {
    let explained = explained(&bookinfo(), "shop", "productpage-v1", &get("reviews:9080", 9080, "/"));
    let names: Vec<&str> = explained.hops.iter().map(|hop| hop.proxy.as_str()).collect();
    assert_eq!(names, ["productpage-v1.shop", "reviews-v1.shop"]);
}
