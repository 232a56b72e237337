//! What becomes of a request on its route: faults, time-outs, tries, headers, other objects' rules.

use serde_json::Value;

use super::{
    cluster::{CLIENT, service, virtual_service},
    scene::Scene,
};
use crate::testing::{
    block_on,
    bytes::Silent,
    envoy::RunningEnvoy,
    http::{Answer, Echo, get},
};

/// The Envoy of a client of `web`, which is served at that port, with routes of `web` as the lines of a list.
async fn client(web: u16, routes: &str) -> (RunningEnvoy, u16) {
    let objects =
        [CLIENT, &service("shop", "web", "http:80", &[("v1", web)]), &virtual_service("web", "web", &format!("  http:\n{routes}"))];
    Scene::of(&objects.concat()).envoy("shop/client", "0.0.0.0_80").await
}

async fn asked(port: u16, path: &str, headers: &[(&str, &str)]) -> Answer {
    get(port, path, &[&[("host", "web")], headers].concat()).await
}

/// What the upstream saw of a header.
fn seen(answer: &Answer, header: &str) -> Option<String> {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
    body["headers"][header].as_str().map(str::to_owned)
}

#[test]
fn faults_hit_the_requests_of_their_route_and_their_share_of_these() {
    block_on(async {
        let web = Echo::start("web").await;
        let faulty = |condition: &str, fault: &str| {
            format!("  - {{match: [{{{condition}}}], fault: {{{fault}}}, route: [{{destination: {{host: web}}}}]}}\n")
        };
        let routes = [
            faulty("headers: {end-user: {exact: jason}}", "delay: {fixedDelay: 20ms, percentage: {value: 100}}"),
            faulty("uri: {prefix: /abort}", "abort: {httpStatus: 418, percentage: {value: 100}}"),
            faulty("uri: {prefix: /old}", "abort: {httpStatus: 500, percent: 100}"),
            faulty("uri: {prefix: /grpc}", "abort: {grpcStatus: UNAVAILABLE, percentage: {value: 100}}"),
            faulty("uri: {prefix: /none}", "abort: {httpStatus: 500, percentage: {value: 0}}"),
            faulty("uri: {prefix: /some}", "abort: {httpStatus: 500, percentage: {value: 50}}"),
            "  - {route: [{destination: {host: web}}]}".to_owned(),
        ];
        let (envoy, port) = client(web.port, &routes.concat()).await;
        assert_eq!(asked(port, "/", &[]).await.status, 200);
        assert_eq!(envoy.counted("fault.delays_injected").await, 0);
        assert_eq!(asked(port, "/", &[("end-user", "jason")]).await.status, 200);
        assert_eq!(envoy.counted("fault.delays_injected").await, 1);
        for (path, status) in [("/abort", 418), ("/old", 500), ("/none", 200)] {
            assert_eq!(asked(port, path, &[]).await.status, status, "{path}");
        }
        let refused = asked(port, "/grpc", &[("content-type", "application/grpc")]).await;
        assert_eq!((refused.status, refused.headers.get("grpc-status").map(String::as_str)), (200, Some("14")), "{refused:?}");
        let mut failed = 0;
        for _ in 0..200 {
            failed += u32::from(asked(port, "/some", &[]).await.status == 500);
        }
        // Six standard deviations.
        assert!((57..143).contains(&failed), "{failed}");
    });
}

#[test]
fn who_waits_too_long_is_told_so_after_all_tries() {
    block_on(async {
        let silent = Silent::start().await;
        let routes = "
  - {match: [{uri: {prefix: /once}}], timeout: 50ms, retries: {attempts: 0}, route: [{destination: {host: web}}]}
  - {timeout: 60s, retries: {attempts: 2, perTryTimeout: 20ms, retryOn: 'gateway-error'}, route: [{destination: {host: web}}]}";
        let (envoy, port) = client(silent.port, routes).await;
        assert_eq!(asked(port, "/once", &[]).await.status, 504);
        assert_eq!((envoy.counted("upstream_rq_timeout").await, envoy.counted("upstream_rq_total").await > 0), (1, true));
        assert_eq!(asked(port, "/tried", &[]).await.status, 504);
        assert_eq!(envoy.counted("upstream_rq_per_try_timeout").await, 3);
        assert_eq!(envoy.counted("upstream_rq_retry").await, 2);
    });
}

#[test]
fn headers_are_set_added_and_removed_on_the_way_there_and_back() {
    block_on(async {
        let web = Echo::start("web").await;
        let routes = "
  - match: [{uri: {prefix: /route}}]
    headers:
      request: {set: {x-set: ours}, add: {x-add: more}, remove: [x-gone]}
      response: {set: {x-back: set}, add: {x-more: added}, remove: [content-type]}
    route: [{destination: {host: web}}]
  - match: [{uri: {prefix: /destination}}]
    route: [{destination: {host: web}, headers: {request: {set: {x-set: theirs}}, response: {add: {x-back: there}}}}]
  - match: [{uri: {prefix: /old}}]
    appendHeaders: {x-add: old}
    removeResponseHeaders: {content-type: ''}
    websocketUpgrade: true
    route: [{destination: {host: web}, appendRequestHeaders: {x-set: older}}]
  - {match: [{uri: {prefix: /host}}], headers: {request: {set: {host: other.example}}}, route: [{destination: {host: web}}]}
  - {match: [{uri: {prefix: /counted}, statPrefix: mine}], route: [{destination: {host: web}}]}";
        let (envoy, port) = client(web.port, routes).await;
        let sent = [("x-set", "client"), ("x-add", "client"), ("x-gone", "client")];
        let answer = asked(port, "/route", &sent).await;
        assert_eq!((seen(&answer, "x-set").as_deref(), seen(&answer, "x-gone")), (Some("ours"), None));
        assert!(answer.body.contains("more"), "{answer:?}");
        assert_eq!((answer.headers["x-back"].as_str(), answer.headers["x-more"].as_str()), ("set", "added"));
        assert!(!answer.headers.contains_key("content-type"));
        let answer = asked(port, "/destination", &sent).await;
        assert_eq!((seen(&answer, "x-set").as_deref(), answer.headers["x-back"].as_str()), (Some("theirs"), "there"));
        let answer = asked(port, "/old", &[]).await;
        assert_eq!((seen(&answer, "x-add").as_deref(), seen(&answer, "x-set").as_deref()), (Some("old"), Some("older")));
        assert!(!answer.headers.contains_key("content-type"));
        assert_eq!(seen(&asked(port, "/host", &[]).await, "host").as_deref(), Some("other.example"));
        assert_eq!(asked(port, "/counted", &[]).await.status, 200);
        assert_eq!(envoy.counted("route.mine.upstream_rq_total").await, 1);
    });
}

#[test]
fn rules_may_stand_in_an_object_to_which_the_first_one_hands_requests() {
    block_on(async {
        let web = Echo::start("web").await;
        let root = virtual_service(
            "web",
            "web",
            "  http:
  - {match: [{uri: {prefix: /team}}], delegate: {name: team, namespace: team}, headers: {response: {set: {x-root: 'yes'}}}}
  - {route: [{destination: {host: web}}]}",
        );
        let team = virtual_service(
            "team",
            "",
            "  http:
  - {match: [{uri: {prefix: /team/tea}}], directResponse: {status: 418}}
  - {match: [{uri: {prefix: /other}}], directResponse: {status: 500}}
  - {route: [{destination: {host: web.shop.svc.cluster.local}}], rewrite: {uri: /}}",
        );
        let team = team.replace("  hosts: []\n", "").replace("namespace: shop}", "namespace: team}");
        let objects = [CLIENT, &service("shop", "web", "http:80", &[("v1", web.port)]), &root, &team].concat();
        let (_envoy, port) = Scene::of(&objects).envoy("shop/client", "0.0.0.0_80").await;
        assert_eq!(asked(port, "/team/tea", &[]).await.status, 418);
        let answer = asked(port, "/team/page", &[]).await;
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!((answer.status, body["path"].as_str(), answer.headers["x-root"].as_str()), (200, Some("//page"), "yes"));
        assert_eq!(asked(port, "/other", &[]).await.status, 200, "outside of what was handed on");
    });
}
