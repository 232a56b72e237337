//! What is not known is no finding.

use super::*;
use crate::analysis::{Coverage, skipped};
use crate::model::{ServerCertificate, ServerTls, ServerTlsMode};
use crate::testing::mesh::{fqdn, http_gateway, versions};

const NOTHING: Coverage = Coverage { services: false, workloads: false, config: false };

#[test]
fn of_files_alone_nothing_is_said_to_be_missing() {
    let mut routes =
        virtual_service("shop", "routes", &[HostPattern::new("a.b")], vec![forward(Vec::new(), vec![to(&fqdn("x", "y"), Some("v1"), 1)])]);
    routes.gateways = vec!["shop/gone".into()];
    let mut gateway = http_gateway("shop", "g", &[("istio", "nowhere")], 80);
    let certificates = vec![ServerCertificate::Secret("gone".into())];
    gateway.servers[0].tls = Some(ServerTls { mode: ServerTlsMode::Simple, certificates, ..ServerTls::default() });
    let objects =
        [routes.into(), gateway.into(), versions("shop", &fqdn("x", "y"), &["v1"]).into(), sidecar("shop", "s", &[("app", "x")]).into()];
    let known = world(&TestMesh::default(), objects.clone());
    assert!(analyze(&known).len() >= 5, "{:#?}", analyze(&known));
    let unknown = world_with(&TestMesh::default(), objects, Facts { coverage: NOTHING, ..Facts::default() });
    assert_eq!(analyze(&unknown), []);
}

#[test]
fn what_was_left_out_is_told() {
    let told = skipped(&world_with(&TestMesh::default(), [], Facts { coverage: NOTHING, ..Facts::default() }));
    let of = |code: Code| told.iter().filter(|it| it.code == code).map(|it| it.unknown).collect::<Vec<_>>();
    assert_eq!(of(Code::ReferencedResourceNotFound), ["Namespaces", "Secrets", "configuration", "services", "workloads"]);
    assert_eq!(of(Code::PodMissingProxy), ["Namespaces", "Pods"]);
    assert_eq!(of(Code::ServiceEntryAddressesRequired), [""; 0]);
    assert_eq!(skipped(&cluster(&[])), []);
}
