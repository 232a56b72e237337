//! EnvoyFilters.

use serde_json::json;

use super::*;
use crate::model::{EnvoyFilter, EnvoyPatch, FilterClass, ObjectMatch, PatchContext, PatchOperation, PatchTargets, PatchedObject};

/// What is found of an EnvoyFilter with one change.
fn codes(apply_to: PatchedObject, operation: PatchOperation, priority: i32, version: Option<&str>) -> Vec<Code> {
    let patch = EnvoyPatch {
        path: "spec.configPatches[0]".into(),
        apply_to,
        context: PatchContext::Any,
        proxy_version: version.map(Into::into),
        proxy_metadata: Default::default(),
        object: ObjectMatch::Any,
        operation,
    };
    let filter = EnvoyFilter {
        origin: ObjectRef::new("EnvoyFilter", "shop", "change"),
        targets: PatchTargets::Workloads(Default::default()),
        priority,
        patches: vec![patch],
        created: 1,
    };
    let findings = analyze(&world(&TestMesh::default(), [filter.into()]));
    assert!(findings.iter().all(|it| it.path == "spec.configPatches[0].patch.operation"), "{findings:?}");
    findings.iter().map(|it| it.code).collect()
}

#[test]
fn what_has_its_place_by_another_change_wants_a_priority() {
    let value = Arc::new(json!({}));
    for operation in [PatchOperation::InsertBefore(value.clone()), PatchOperation::InsertAfter(value.clone()), PatchOperation::Remove] {
        let code = Code::EnvoyFilterUsesRelativeOperation;
        assert_eq!(codes(PatchedObject::HttpFilter, operation.clone(), 0, None), [code]);
        assert_eq!(codes(PatchedObject::HttpFilter, operation.clone(), 10, None), []);
        let code = Code::EnvoyFilterUsesRelativeOperationWithProxyVersion;
        assert_eq!(codes(PatchedObject::HttpFilter, operation, 0, Some("1\\.2.*")), [code]);
    }
    assert_eq!(codes(PatchedObject::HttpFilter, PatchOperation::InsertFirst(value), 0, None), []);
}

#[test]
fn filters_alone_can_be_replaced() {
    let replace = || PatchOperation::Replace(Arc::new(json!({})));
    assert_eq!(codes(PatchedObject::Cluster, replace(), 10, None), [Code::EnvoyFilterUsesReplaceOperationIncorrectly]);
    assert_eq!(codes(PatchedObject::NetworkFilter, replace(), 10, None), []);
}

#[test]
fn routes_can_be_neither_added_nor_removed() {
    let add = || PatchOperation::Add(Arc::new(json!({})), FilterClass::Unspecified);
    assert_eq!(codes(PatchedObject::HttpRoute, add(), 0, None), [Code::EnvoyFilterUsesAddOperationIncorrectly]);
    assert_eq!(codes(PatchedObject::Cluster, add(), 0, None), []);
    assert_eq!(
        codes(PatchedObject::RouteConfiguration, PatchOperation::Remove, 10, None),
        [Code::EnvoyFilterUsesRemoveOperationIncorrectly]
    );
    assert_eq!(codes(PatchedObject::Cluster, PatchOperation::Remove, 10, None), []);
}
