//! Which requests a route takes: each condition of a VirtualService, with a request that fulfils it and one that does not.

use http::Method;

use super::{
    cluster::{CLIENT, pod, service, virtual_service},
    scene::Scene,
};
use crate::testing::{
    block_on,
    http::{ask, get},
};

/// A condition, and two requests.
struct Case {
    /// As in a YAML map without its braces.
    condition: &'static str,
    /// It takes this one.
    taken: Asked,
    /// It leaves this one to others.
    left: Asked,
}

/// A request to `web`: method, path and headers.
type Asked = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const fn case(condition: &'static str, taken: Asked, left: Asked) -> Case {
    Case { condition, taken, left }
}

const CASES: &[Case] = &[
    case("uri: {exact: /exact}", ("GET", "/exact?q=1", &[]), ("GET", "/exact/", &[])),
    case("uri: {prefix: /prefix}", ("GET", "/prefixed/more", &[]), ("GET", "/Prefix", &[])),
    case("uri: {regex: '/regex/[0-9]+'}", ("GET", "/regex/12", &[]), ("GET", "/regex/12/x", &[])),
    case("uri: {prefix: /Any}, ignoreUriCase: true", ("GET", "/aNY/x", &[]), ("GET", "/an", &[])),
    case("uri: {exact: /One}, ignoreUriCase: true", ("GET", "/oNE", &[]), ("GET", "/one/x", &[])),
    case("uri: {prefix: /1/}, scheme: {exact: https}", ("GET", "/1/", &[("x-forwarded-proto", "https")]), ("GET", "/1/", &[])),
    case("uri: {prefix: /2/}, method: {exact: PUT}", ("PUT", "/2/", &[]), ("POST", "/2/", &[])),
    case("uri: {prefix: /3/}, method: {regex: 'P.*'}", ("POST", "/3/", &[]), ("GET", "/3/", &[])),
    case("uri: {prefix: /4/}, authority: {exact: web.shop}", ("GET", "/4/", &[("host", "web.shop")]), ("GET", "/4/", &[])),
    case("uri: {prefix: /5/}, authority: {prefix: web.}", ("GET", "/5/", &[("host", "web.shop.svc")]), ("GET", "/5/", &[])),
    case("uri: {prefix: /6/}, headers: {x-a: {exact: b}}", ("GET", "/6/", &[("X-A", "b")]), ("GET", "/6/", &[("x-a", "B")])),
    case("uri: {prefix: /7/}, headers: {x-a: {prefix: b}}", ("GET", "/7/", &[("x-a", "bc")]), ("GET", "/7/", &[("x-a", "ab")])),
    case("uri: {prefix: /8/}, headers: {x-a: {regex: 'b+'}}", ("GET", "/8/", &[("x-a", "bb")]), ("GET", "/8/", &[("x-a", "bbc")])),
    case("uri: {prefix: /9/}, headers: {x-a: {}}", ("GET", "/9/", &[("x-a", "anything")]), ("GET", "/9/", &[])),
    case(
        "uri: {prefix: /10/}, headers: {x-a: {exact: b}, x-c: {exact: d}}",
        ("GET", "/10/", &[("x-a", "b"), ("x-c", "d")]),
        ("GET", "/10/", &[("x-a", "b")]),
    ),
    case("uri: {prefix: /11/}, withoutHeaders: {x-a: {exact: b}}", ("GET", "/11/", &[]), ("GET", "/11/", &[("x-a", "b")])),
    case("uri: {prefix: /12/}, withoutHeaders: {x-a: {exact: b}}", ("GET", "/12/", &[("x-a", "c")]), ("GET", "/12/", &[("x-a", "b")])),
    case("uri: {prefix: /13/}, withoutHeaders: {x-a: {}}", ("GET", "/13/", &[]), ("GET", "/13/", &[("x-a", "c")])),
    case("uri: {prefix: /14/}, queryParams: {q: {exact: '1'}}", ("GET", "/14/?p=2&q=1", &[]), ("GET", "/14/?q=11", &[])),
    case("uri: {prefix: /15/}, queryParams: {q: {prefix: v1}}", ("GET", "/15/?q=v1.2", &[]), ("GET", "/15/?q=v2", &[])),
    case("uri: {prefix: /16/}, queryParams: {q: {regex: '[0-9]+'}}", ("GET", "/16/?q=77", &[]), ("GET", "/16/?q=7a", &[])),
    case("uri: {prefix: /17/}, queryParams: {q: {}}", ("GET", "/17/?q=", &[]), ("GET", "/17/?p=1", &[])),
    case(
        "uri: {prefix: /18/}, method: {exact: GET}}, {uri: {prefix: /19/}, method: {exact: PUT}",
        ("PUT", "/19/", &[]),
        ("PUT", "/18/", &[]),
    ),
];

/// Routes of `web`, each by its conditions, that answer with their number; what none takes is answered with `others`.
fn routes<'c>(conditions: impl Iterator<Item = &'c str>) -> String {
    let answering = |text: &str| format!("directResponse: {{status: 200, body: {{string: {text}}}}}");
    let routes =
        conditions.enumerate().map(|(number, it)| format!("  - {{match: [{{{it}}}], {}}}\n", answering(&format!("case-{number}"))));
    let spec = format!("  http:\n{}  - {{{}}}", routes.collect::<String>(), answering("others"));
    virtual_service("web", "web", &spec)
}

async fn answer(port: u16, (method, path, headers): Asked) -> String {
    let method = method.parse::<Method>().unwrap();
    let named = headers.iter().any(|(name, _)| *name == "host");
    let host: &[(&str, &str)] = if named { &[] } else { &[("host", "web")] };
    ask(method, port, path, &[host, headers].concat()).await.unwrap().body
}

#[test]
fn each_condition_on_a_request_takes_those_that_fulfil_it_and_no_others() {
    block_on(async {
        let routes = routes(CASES.iter().map(|case| case.condition));
        let scene = Scene::of(&[CLIENT, &service("shop", "web", "http:80", &[]), &routes].concat());
        let (_envoy, port) = scene.envoy("shop/client", "0.0.0.0_80").await;
        for (number, case) in CASES.iter().enumerate() {
            assert_eq!(answer(port, case.taken).await, format!("case-{number}"), "{}", case.condition);
            assert_eq!(answer(port, case.left).await, "others", "{}", case.condition);
        }
    });
}

#[test]
fn conditions_on_the_caller_hold_for_some_callers_and_not_for_others() {
    block_on(async {
        let conditions = [
            "sourceLabels: {app: client, tier: none}",
            "sourceNamespace: elsewhere",
            "gateways: [door]",
            "uri: {prefix: /port}, port: 81",
            "uri: {prefix: /label}, sourceLabels: {app: client}",
            "uri: {prefix: /namespace}, sourceNamespace: shop",
            "uri: {prefix: /gateway}, gateways: [door, mesh]",
        ];
        let ports = service("shop", "web", "http:80", &[]).replace("port: 80}]", "port: 80}, {name: http-more, port: 81}]");
        let objects = [CLIENT, &pod("elsewhere", "other", "app: client"), &ports, &routes(conditions.into_iter())].concat();
        let objects = objects.replace("  hosts: [web]\n", "  hosts: [web.shop.svc.cluster.local]\n  gateways: [mesh, door]\n");
        let scene = Scene::of(&objects);
        let seen = async |pod: &str, listener: &str, paths: [&str; 4]| {
            let (_envoy, port) = scene.envoy(pod, listener).await;
            let mut seen = Vec::new();
            for path in paths {
                seen.push(get(port, path, &[("host", "web.shop")]).await.body);
            }
            seen
        };
        let paths = ["/port", "/label", "/namespace", "/gateway"];
        assert_eq!(seen("shop/client", "0.0.0.0_80", paths).await, ["others", "case-4", "case-5", "case-6"]);
        assert_eq!(seen("shop/client", "0.0.0.0_81", paths).await, ["case-3", "case-4", "case-5", "case-6"]);
        assert_eq!(seen("elsewhere/other", "0.0.0.0_80", paths).await, ["case-1"; 4]);
    });
}

#[test]
fn routes_hold_where_their_object_is_exported_to_and_of_two_for_a_host_the_older_one() {
    block_on(async {
        let answering = |text: &str| format!("  http: [{{directResponse: {{status: 200, body: {{string: {text}}}}}}}]");
        let at =
            |made: &str, object: String| object.replace("namespace: shop}", &format!("namespace: shop, creationTimestamp: '{made}'}}"));
        let private = at("2020-01-01T00:00:00Z", virtual_service("private", "web", &format!("  exportTo: [.]\n{}", answering("private"))));
        let older = at("2021-01-01T00:00:00Z", virtual_service("older", "web", &answering("older")));
        let newer = at("2022-01-01T00:00:00Z", virtual_service("newer", "web", &answering("newer")));
        let objects =
            [CLIENT, &pod("elsewhere", "other", "app: client"), &service("shop", "web", "http:80", &[]), &newer, &older, &private];
        let scene = Scene::of(&objects.concat());
        for (pod, expected) in [("shop/client", "private"), ("elsewhere/other", "older")] {
            let (_envoy, port) = scene.envoy(pod, "0.0.0.0_80").await;
            assert_eq!(get(port, "/", &[("host", "web.shop")]).await.body, expected, "{pod}");
        }
    });
}
