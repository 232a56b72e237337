use std::sync::Arc;

use serde_json::{Value, json};

use super::authorization_policy;
use crate::config::ParseContext;
use crate::model::{
    AuthorizationAction, AuthorizationPolicy, Condition, MetadataMatch, PathMatch, PathSegment, PolicyTarget, ServiceAccountName,
    TargetKind, TextAttribute, TextMatch,
};

fn parsed(spec: Value) -> AuthorizationPolicy {
    let object = json!({"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": {"name": "a", "namespace": "shop"}, "spec": spec});
    authorization_policy(&serde_json::from_value(object).unwrap(), &ParseContext::default()).unwrap().value
}

fn text(text: &str) -> Arc<str> {
    text.into()
}

#[test]
fn stars_at_the_ends_are_wildcards() {
    let policy = parsed(json!({"rules": [{"from": [{"source": {"principals": ["a", "a*", "*a", "*", "*a*"], "notPrincipals": ["b"]}}]}]}));
    let principals = &policy.rules[0].from[0].principals;
    let expected = [
        TextMatch::Exact(text("a")),
        TextMatch::Prefix(text("a")),
        TextMatch::Suffix(text("a")),
        TextMatch::Present,
        TextMatch::Suffix(text("a*")),
    ];
    assert_eq!(principals.any_of, expected);
    assert_eq!(principals.none_of, [TextMatch::Exact(text("b"))]);
}

#[test]
fn templates_are_read_by_segment() {
    let policy = parsed(json!({"rules": [{"to": [{"operation": {"paths": ["/a/{*}/{**}/b", "/a*"]}}]}]}));
    let template = [PathSegment::Literal(text("a")), PathSegment::One, PathSegment::Many, PathSegment::Literal(text("b"))];
    let expected = [PathMatch::Template(template.into()), PathMatch::Text(TextMatch::Prefix(text("/a")))];
    assert_eq!(policy.rules[0].to[0].paths.any_of, expected);
}

#[test]
fn an_account_alone_is_of_the_policys_namespace() {
    let policy = parsed(json!({"rules": [{"from": [{"source": {"serviceAccounts": ["web", "edge/gateway"]}}]}]}));
    let account = |namespace: &str, name: &str| ServiceAccountName { namespace: text(namespace), name: text(name) };
    assert_eq!(policy.rules[0].from[0].service_accounts.any_of, [account("shop", "web"), account("edge", "gateway")]);
}

#[test]
fn conditions_are_typed_by_their_key() {
    let conditions = [
        ("request.headers[x-a]", json!(["1"])),
        ("request.auth.claims[realm][roles]", json!(["admin"])),
        ("destination.port", json!(["80"])),
        ("source.ip", json!(["10.0.0.1"])),
        ("connection.sni", json!(["*.a.com"])),
        ("experimental.envoy.filters.http.lua[key]", json!(["[a]", "b"])),
    ];
    let when: Vec<Value> = conditions.into_iter().map(|(key, values)| json!({"key": key, "values": values})).collect();
    let policy = parsed(json!({"rules": [{"when": when}]}));
    let [header, claim, port, address, name, metadata] = policy.rules[0].when.as_slice() else { panic!("{policy:?}") };
    assert!(matches!(header, Condition::Header(name, values) if **name == *"x-a" && values.any_of == [TextMatch::Exact(text("1"))]));
    assert!(matches!(claim, Condition::Claim(path, _) if *path == [text("realm"), text("roles")]));
    assert!(matches!(port, Condition::DestinationPort(values) if values.any_of == [80]));
    assert!(matches!(address, Condition::SourceAddress(values) if values.any_of == ["10.0.0.1/32".parse().unwrap()]));
    assert!(matches!(name, Condition::Text(TextAttribute::ServerName, values) if values.any_of == [TextMatch::Suffix(text(".a.com"))]));
    let Condition::Metadata { filter, key, values } = metadata else { panic!("{metadata:?}") };
    assert_eq!((&**filter, &**key), ("envoy.filters.http.lua", "key"));
    assert_eq!(values.any_of, [MetadataMatch::Listed(TextMatch::Exact(text("a"))), MetadataMatch::Text(TextMatch::Exact(text("b")))]);
}

#[test]
fn action_and_target_are_one_value_each() {
    let policy = parsed(json!({
        "action": "CUSTOM", "provider": {"name": "authz"}, "rules": [{}],
        "targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "edge"}, {"group": "core", "kind": "Service", "name": "web"}],
    }));
    assert_eq!(policy.action, AuthorizationAction::Custom(text("authz")));
    let PolicyTarget::Resources(resources) = policy.target else { panic!("{:?}", policy.target) };
    assert_eq!(resources.iter().map(|one| one.kind).collect::<Vec<_>>(), [TargetKind::Gateway, TargetKind::Service]);
    assert_eq!(parsed(json!({})).target, PolicyTarget::Workloads(Default::default()));
}
