//! AuthorizationPolicies, Telemetries, and routes by claims of tokens.

use super::*;
use crate::analysis::NamespaceFacts;
use crate::model::{
    AccessLogging, AuthorizationAction, AuthorizationPolicy, AuthorizationRule, ClaimMatch, HttpMatch, JwtKeys, JwtRule, PolicyTarget,
    RequestAuthentication, Source, TargetKind, TargetResource, Telemetry, TextMatch, TrafficDirection, Values,
};
use crate::testing::mesh::{bookinfo, fqdn};

const ROOT: &str = "istio-system";

fn of_workloads(selector: &[(&str, &str)]) -> PolicyTarget {
    PolicyTarget::Workloads(labels(selector))
}

fn of_service(name: &str) -> PolicyTarget {
    PolicyTarget::Resources(vec![TargetResource { kind: TargetKind::Service, name: name.into() }])
}

fn policy(namespace: &str, target: PolicyTarget) -> AuthorizationPolicy {
    AuthorizationPolicy {
        origin: ObjectRef::new("AuthorizationPolicy", namespace, "p"),
        target,
        action: AuthorizationAction::Allow,
        rules: Vec::new(),
        dry_run: false,
        created: 1,
    }
}

fn telemetry(namespace: &str, name: &str, target: PolicyTarget) -> Telemetry {
    Telemetry {
        origin: ObjectRef::new("Telemetry", namespace, name),
        target,
        tracing: None,
        metrics: Vec::new(),
        access_logging: Vec::new(),
        created: 1,
    }
}

/// Access logs for these providers.
fn logs(providers: &[&str]) -> AccessLogging {
    let providers = providers.iter().map(|name| (*name).into()).collect();
    AccessLogging { direction: TrafficDirection::Both, providers, disabled: None, filter: None }
}

#[test]
fn a_policy_for_no_workload_is_found() {
    let code = Code::NoMatchingWorkloadsFound;
    let lines = only(&world(&bookinfo(), [policy("shop", of_workloads(&[("app", "db")])).into()]), code);
    assert_eq!(
        lines,
        ["Warning [IST0127] AuthorizationPolicy shop/p: spec.selector.matchLabels: no workload of the namespace has the labels app=db: \
          nobody asks this policy"]
    );
    let lines = only(&world(&bookinfo(), [policy("nowhere", of_workloads(&[])).into()]), code);
    assert_eq!(lines, ["Warning [IST0127] AuthorizationPolicy nowhere/p: the namespace has no workloads, so that nobody asks this policy"]);
    let lines = only(&world(&bookinfo(), [policy(ROOT, of_workloads(&[("app", "nothing")])).into()]), code);
    assert!(lines[0].contains("no workload of the mesh has the labels app=nothing"), "{lines:?}");
    assert_eq!(reviewed(&world(&bookinfo(), []), policy("nowhere", of_workloads(&[])), code).len(), 1);
}

#[test]
fn a_policy_for_some_workload_is_left_alone() {
    for (namespace, target) in [
        ("shop", of_workloads(&[("app", "reviews")])),
        ("data", of_workloads(&[])),
        // Of the root namespace, for any namespace.
        (ROOT, of_workloads(&[("app", "reviews")])),
        (ROOT, of_workloads(&[])),
        ("nowhere", of_service("reviews")),
    ] {
        assert_eq!(analyze(&world(&bookinfo(), [policy(namespace, target.clone()).into()])), [], "{namespace} {target:?}");
    }
}

#[test]
fn a_source_in_a_namespace_that_is_not_there_is_found() {
    let source = |any_of: Vec<TextMatch>, none_of: Vec<TextMatch>| Source { namespaces: Values { any_of, none_of }, ..Source::default() };
    let exact = |name: &str| TextMatch::Exact(name.into());
    let mut own = policy("shop", of_workloads(&[]));
    let fine = source(vec![exact("shop"), TextMatch::Prefix("sh".into()), TextMatch::Present], Vec::new());
    let lost = source(vec![exact("shop"), exact("shpo")], vec![TextMatch::Suffix("-test".into())]);
    own.rules = vec![AuthorizationRule { from: vec![fine, lost], ..AuthorizationRule::default() }];
    let namespaces = Some([("shop".into(), NamespaceFacts::default())].into());
    let known = world_with(&bookinfo(), [own.clone().into()], Facts { namespaces, ..Facts::default() });
    assert_eq!(
        found(&known, Code::ReferencedResourceNotFound),
        [
            "Error [IST0101] AuthorizationPolicy shop/p: spec.rules[0].from[1].source.namespaces[1]: there is no namespace shpo: create it, \
             or correct the name",
            "Error [IST0101] AuthorizationPolicy shop/p: spec.rules[0].from[1].source.notNamespaces[0]: there is no namespace *-test: create \
             it, or correct the name",
        ]
    );
    assert_eq!(analyze(&world(&bookinfo(), [own.into()])), []);
}

#[test]
fn telemetries_that_share_a_workload_conflict() {
    let code = Code::ConflictingTelemetryWorkloadSelectors;
    let pair =
        |one: PolicyTarget, other: PolicyTarget| [telemetry("shop", "one", one), telemetry("shop", "two", other)].map(ConfigObject::from);
    let shared = pair(of_workloads(&[("app", "reviews")]), of_workloads(&[("version", "v3")]));
    let lines = only(&world(&bookinfo(), shared), code);
    assert_eq!(lines.len(), 2);
    assert_eq!(
        lines[0],
        "Error [IST0159] Telemetry shop/one: spec.selector.matchLabels: Telemetry shop/two selects the same workloads, reviews-v3 among \
         them: only the oldest holds"
    );
    // No workload has both, and one for all stands behind one for some.
    for (one, other) in [
        (of_workloads(&[("app", "ratings")]), of_workloads(&[("app", "reviews")])),
        (of_workloads(&[("app", "ratings")]), of_workloads(&[])),
        (of_service("reviews"), of_service("reviews")),
        (of_service("reviews"), of_workloads(&[])),
    ] {
        assert_eq!(analyze(&world(&bookinfo(), pair(one.clone(), other.clone()))), [], "{one:?} {other:?}");
    }
}

#[test]
fn a_namespace_has_one_telemetry_for_all() {
    let code = Code::MultipleTelemetriesWithoutWorkloadSelectors;
    let named = |namespace: &str, name: &str| ConfigObject::from(telemetry(namespace, name, of_workloads(&[])));
    let lines = only(&world(&bookinfo(), [named("shop", "one"), named("shop", "two")]), code);
    assert_eq!(lines.len(), 2);
    assert!(lines[1].contains("[IST0160] Telemetry shop/two: spec.selector: Telemetry shop/one is for all workloads"), "{lines:?}");
    assert_eq!(analyze(&world(&bookinfo(), [named("shop", "one"), named(ROOT, "one")])), []);
}

#[test]
fn a_telemetry_for_no_workload_is_found() {
    let lost = telemetry("shop", "lost", of_workloads(&[("app", "db")]));
    assert_eq!(only(&world(&bookinfo(), [lost.into()]), Code::ReferencedResourceNotFound).len(), 1);
}

#[test]
fn logs_that_nobody_gets_are_found() {
    let code = Code::InvalidTelemetryProvider;
    let with = |namespace: &str, target: PolicyTarget, logging: Vec<AccessLogging>| {
        ConfigObject::from(Telemetry { access_logging: logging, ..telemetry(namespace, "t", target) })
    };
    let silent = || with("shop", of_workloads(&[("app", "reviews")]), vec![logs(&["envoy"]), logs(&[])]);
    let lines = only(&world(&bookinfo(), [silent()]), code);
    assert_eq!(
        lines,
        [
            "Warning [IST0157] Telemetry shop/t: spec.accessLogging[1]: names no provider, and neither does the mesh: it has no effect; name \
          one, such as envoy, in providers"
        ]
    );
    // What a wider one names holds on; a narrower one, or one of another namespace, is for others.
    assert_eq!(analyze(&world(&bookinfo(), [silent(), with(ROOT, of_workloads(&[]), vec![logs(&["envoy"])])])), []);
    assert_eq!(found(&world(&bookinfo(), [silent(), with("data", of_workloads(&[]), vec![logs(&["envoy"])])]), code).len(), 1);
}

/// A VirtualService of the sample's gateway, with a rule for requests whose token has a claim.
fn by_claim(gateways: &[&str]) -> VirtualService {
    let claims = vec![ClaimMatch { path: vec!["org".into(), "group".into()], value: None, inverted: true }];
    let host = fqdn("shop", "reviews");
    let rules = vec![
        forward(vec![HttpMatch::default(), HttpMatch { claims, ..HttpMatch::default() }], vec![to(&host, None, 1)]),
        forward(Vec::new(), vec![to(&host, None, 1)]),
    ];
    let mut routes = virtual_service("shop", "by-claim", &[HostPattern::new("*")], rules);
    routes.gateways = gateways.iter().map(|name| (*name).into()).collect();
    routes
}

fn request_authentication(namespace: &str, target: PolicyTarget) -> ConfigObject {
    let rule = JwtRule {
        issuer: Some("issuer".into()),
        audiences: Vec::new(),
        keys: JwtKeys::Discovered,
        locations: Vec::new(),
        forward: false,
        payload_header: None,
        claim_headers: Vec::new(),
        timeout: None,
        space_delimited_claims: Vec::new(),
    };
    RequestAuthentication { origin: ObjectRef::new("RequestAuthentication", namespace, "jwt"), target, rules: vec![rule], created: 1 }
        .into()
}

#[test]
fn routes_by_claims_that_no_gateway_knows_are_found() {
    let code = Code::JwtClaimBasedRoutingWithoutRequestAuthN;
    let gateway = bookinfo().gateways[0].origin.clone();
    let routes = || by_claim(&["mesh", &format!("{}/{}", gateway.namespace, gateway.name)]);
    let lines = found(&world(&bookinfo(), [routes().into()]), code);
    assert_eq!(lines.len(), 1);
    assert!(
        lines[0].starts_with(
            "Error [IST0149] VirtualService shop/by-claim: spec.http[0].match[1].withoutHeaders: asks for the claim org.group"
        ),
        "{lines:?}"
    );
    assert!(lines[0].contains("which no RequestAuthentication is for"), "{lines:?}");
    assert_eq!(reviewed(&world(&bookinfo(), []), routes(), code).len(), 1);
    // One of another namespace, or for other workloads, is not for the gateway.
    for (namespace, target, is_found) in [
        ("shop", of_workloads(&[]), true),
        (ROOT, of_workloads(&[("app", "other")]), true),
        (ROOT, of_workloads(&[("istio", "ingressgateway")]), false),
        (ROOT, of_workloads(&[]), false),
    ] {
        let world = world(&bookinfo(), [routes().into(), request_authentication(namespace, target.clone())]);
        assert_eq!(found(&world, code).len(), usize::from(is_found), "{namespace} {target:?}");
    }
    assert_eq!(found(&world(&bookinfo(), [by_claim(&["mesh"]).into()]), code), [""; 0]);
}
