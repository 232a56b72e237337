//! RequestAuthentication, and routes by what tokens say.

use serde_json::{Value, json};

use super::{
    cluster::{door, ingress_gateway, service, virtual_service},
    scene::Scene,
};
use crate::testing::{
    Issuer, block_on,
    bootstrap::Static,
    envoy::{RunningEnvoy, start},
    eventually_seen,
    http::{Answer, Echo, Files, get},
};

const LISTENER: &str = "0.0.0.0_8080";

/// A RequestAuthentication; the rules as YAML maps.
fn believing(namespace: &str, rules: &[String]) -> String {
    format!(
        "
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {{name: tokens, namespace: {namespace}}}
spec: {{jwtRules: [{}]}}
",
        rules.join(", ")
    )
}

/// A rule with the keys of that issuer.
fn rule(name: &str, issuer: &Issuer, more: &str) -> String {
    format!("{{issuer: {name}, jwks: '{}'{more}}}", issuer.keys())
}

/// Routes of the gateway to `claimed` by these conditions, and of all else to `others`.
fn routes(conditions: &str) -> String {
    let spec = format!(
        "  gateways: [door]
  http:
  - match: [{{{conditions}}}]
    route: [{{destination: {{host: claimed}}}}]
  - route: [{{destination: {{host: others}}}}]"
    );
    virtual_service("claims", "'*'", &spec)
}

/// A gateway with these objects before two services.
struct Door {
    claimed: Echo,
    others: Echo,
}

impl Door {
    async fn new() -> Self {
        Self { claimed: Echo::start("claimed").await, others: Echo::start("others").await }
    }

    async fn envoy(&self, objects: &[&str]) -> (RunningEnvoy, u16) {
        let backends = [("claimed", self.claimed.port), ("others", self.others.port)];
        let backends = backends.map(|(name, port)| service("shop", name, "http:80", &[("v1", port)]));
        let scene = Scene::of(&[&backends.concat(), &*ingress_gateway(), &door("'*'"), &objects.concat()].concat());
        scene.envoy("istio-system/gateway", LISTENER).await
    }
}

/// The status, and who answered.
fn told(answer: &Answer) -> (u16, String) {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    (answer.status, body["name"].as_str().unwrap_or_default().to_owned())
}

async fn asked(port: u16, bearer: &str) -> (u16, String) {
    let headers: &[(&str, &str)] = if bearer.is_empty() { &[] } else { &[("authorization", bearer)] };
    told(&get(port, "/", headers).await)
}

#[test]
fn routes_are_chosen_by_claims_of_good_tokens_alone() {
    block_on(async {
        let (door, issuer, stranger) = (Door::new().await, Issuer::new("us"), Issuer::new("us"));
        let rules = believing("istio-system", &[rule("us", &issuer, "")]);
        let with = |claims: Value| issuer.bearer(&claims);
        // Conditions, a token's claims that fulfil them, and ones that don't.
        let cases = [
            ("headers: {'@request.auth.claims.group': {exact: dev}}", json!({"group": "dev"}), json!({"group": "developers"})),
            ("headers: {'@request.auth.claims.group': {exact: dev}}", json!({"group": ["ops", "dev"]}), json!({"group": ["ops"]})),
            ("headers: {'@request.auth.claims.group': {prefix: de}}", json!({"group": "dev"}), json!({"group": "ops"})),
            ("headers: {'@request.auth.claims.group': {regex: 'd.*v'}}", json!({"group": "dev"}), json!({"group": "devs"})),
            ("headers: {'@request.auth.claims.scope': {exact: write}}", json!({"scope": "read write"}), json!({"scope": "read"})),
            (
                "headers: {'@request.auth.claims[realm][a.b]': {exact: 'yes'}}",
                json!({"realm": {"a.b": "yes"}}),
                json!({"realm": {"a": {"b": "yes"}}}),
            ),
            ("withoutHeaders: {'@request.auth.claims.guest': {exact: 'yes'}}", json!({}), json!({"guest": "yes"})),
            (
                "headers: {'@request.auth.claims.group': {exact: dev}}, withoutHeaders: {'@request.auth.claims.guest': {regex: '*'}}",
                json!({"group": "dev"}),
                json!({"group": "dev", "guest": "perhaps"}),
            ),
        ];
        for (conditions, fulfilling, other) in cases {
            let (_envoy, port) = door.envoy(&[&rules, &routes(conditions)]).await;
            assert_eq!(asked(port, &with(fulfilling)).await, (200, "claimed".to_owned()), "{conditions}");
            assert_eq!(asked(port, &with(other)).await, (200, "others".to_owned()), "{conditions}");
            let nothing = if conditions.starts_with("without") { "claimed" } else { "others" };
            assert_eq!(asked(port, "").await, (200, nothing.to_owned()), "{conditions}");
            assert_eq!(asked(port, &stranger.bearer(&json!({"group": "dev"}))).await.0, 401, "signed by somebody else");
        }
    });
}

#[test]
fn claims_say_nothing_where_nobody_checks_tokens() {
    block_on(async {
        let (door, issuer) = (Door::new().await, Issuer::new("us"));
        let routes = routes("headers: {'@request.auth.claims.group': {exact: dev}}");
        let token = issuer.bearer(&json!({"group": "dev"}));
        // For another namespace, and for other workloads.
        let elsewhere = believing("shop", &[rule("us", &issuer, "")]);
        let others =
            believing("istio-system", &[rule("us", &issuer, "")]).replace("spec: {", "spec: {selector: {matchLabels: {app: other}}, ");
        let (_envoy, port) = door.envoy(&[&elsewhere, &others.replace("name: tokens", "name: others"), &routes]).await;
        assert_eq!(asked(port, &token).await, (200, "others".to_owned()));
    });
}

#[test]
fn one_good_token_of_any_issuer_is_enough_and_a_bad_one_is_refused() {
    block_on(async {
        let (door, us, them) = (Door::new().await, Issuer::new("us"), Issuer::new("them"));
        let rules = [
            rule("us", &us, ", audiences: [shop]"),
            rule("them", &them, ", fromHeaders: [{name: x-token, prefix: 'T '}], fromParams: [t]"),
        ];
        let (_envoy, port) = door.envoy(&[&believing("istio-system", &rules), &routes("uri: {prefix: /none}")]).await;
        assert_eq!(asked(port, "").await.0, 200, "no token at all");
        assert_eq!(asked(port, &us.bearer(&json!({"aud": "shop"}))).await.0, 200);
        assert_eq!(asked(port, &us.bearer(&json!({"aud": "elsewhere"}))).await.0, 403);
        let theirs = them.token(&json!({}));
        assert_eq!(get(port, "/", &[("x-token", &format!("T {theirs}"))]).await.status, 200);
        assert_eq!(get(port, &format!("/?t={theirs}"), &[]).await.status, 200);
        assert_eq!(get(port, &format!("/?t={theirs}x"), &[]).await.status, 401);
        assert_eq!(asked(port, &us.bearer(&json!({"aud": "shop", "exp": 1}))).await.0, 401, "no longer good");
    });
}

#[test]
fn what_a_token_says_goes_on_where_it_is_asked_for() {
    block_on(async {
        let (door, issuer) = (Door::new().await, Issuer::new("us"));
        let more =
            ", forwardOriginalToken: true, outputPayloadToHeader: x-payload, outputClaimToHeaders: [{header: x-who, claim: user.name}]";
        let kept = believing("istio-system", &[rule("us", &issuer, more)]);
        let dropped = believing("istio-system", &[rule("us", &issuer, "")]);
        let token = issuer.bearer(&json!({"user": {"name": "ann"}}));
        let seen = async |objects: &str| {
            let (_envoy, port) = door.envoy(&[objects, &routes("uri: {prefix: /none}")]).await;
            let answer = get(port, "/", &[("authorization", &token), ("x-who", "somebody")]).await;
            serde_json::from_str::<Value>(&answer.body).unwrap()["headers"].clone()
        };
        let headers = seen(&kept).await;
        assert_eq!((headers["authorization"].as_str(), headers["x-who"].as_str()), (Some(&*token), Some("ann")));
        assert!(headers["x-payload"].is_string(), "{headers}");
        let headers = seen(&dropped).await;
        assert!(headers["authorization"].is_null() && headers["x-payload"].is_null(), "{headers}");
    });
}

#[test]
fn keys_are_fetched_from_their_server_and_without_any_no_token_is_good() {
    block_on(async {
        let (door, issuer) = (Door::new().await, Issuer::new("us"));
        let keys = Files::start(issuer.keys().into_bytes()).await;
        let token = issuer.bearer(&json!({"group": "dev"}));
        let routes = routes("headers: {'@request.auth.claims.group': {exact: dev}}");
        let fetched = believing("istio-system", &[format!("{{issuer: us, jwksUri: 'http://127.0.0.1:{}/keys'}}", keys.port)]);
        let (_envoy, port) = door.envoy(&[&fetched, &routes]).await;
        eventually_seen("the keys are there", async || asked(port, &token).await == (200, "claimed".to_owned())).await;
        // A service of the mesh is asked by its cluster, with all that is said of it.
        let mesh = service("auth", "keys", "http:80", &[("v1", keys.port)]);
        let inside = believing("istio-system", &["{issuer: us, jwksUri: 'http://keys.auth.svc.cluster.local/keys'}".to_owned()]);
        let (_envoy, port) = door.envoy(&[&mesh, &inside, &routes]).await;
        eventually_seen("the service's keys are there", async || asked(port, &token).await == (200, "claimed".to_owned())).await;
        let unknown = believing("istio-system", &["{issuer: us}".to_owned()]);
        let (_envoy, port) = door.envoy(&[&unknown, &routes]).await;
        assert_eq!((asked(port, &token).await.0, asked(port, "").await.0), (401, 200));
    });
}

#[test]
fn a_workload_checks_the_tokens_of_its_callers() {
    block_on(async {
        let (app, issuer, stranger) = (Echo::start("app").await, Issuer::new("us"), Issuer::new("us"));
        let inbound = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let objects =
            [service("shop", "app", &format!("http:{inbound}"), &[("v1", inbound)]), believing("shop", &[rule("us", &issuer, "")])];
        let compiled = Scene::of(&objects.concat()).compiled("shop/app-v1");
        let envoy = Static::of(&compiled).listening("virtualInbound", inbound).leading(&format!("inbound|{inbound}||"), app.port);
        let _envoy = start(envoy.bootstrap()).await;
        assert_eq!(asked(inbound, "").await, (200, "app".to_owned()));
        assert_eq!(asked(inbound, &issuer.bearer(&json!({}))).await, (200, "app".to_owned()));
        assert_eq!(asked(inbound, &stranger.bearer(&json!({}))).await.0, 401);
    });
}
