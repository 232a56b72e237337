//! Texts, by what a field's name says about them.

use super::Choices;

const HOSTS: &[&str] = &[
    "reviews",
    "reviews.shop.svc.cluster.local",
    "api.example.com",
    "*.example.com",
    "./reviews.shop.svc.cluster.local",
    "*/*",
    "10.0.0.1",
    "*",
    "shop/api.example.com",
    "API.Example.COM",
    "a.example.com.",
];
const FULL_HOSTS: &[&str] = &["api.example.com", "reviews.shop.svc.cluster.local", "*.example.com", "example.org"];
pub(super) const DURATIONS: &[&str] = &["5s", "1ms", "1h30m", "2.5s", "300ms", "0s", "100us", "1h", "60s"];
const ADDRESSES: &[&str] = &["10.0.0.0/8", "10.1.2.3", "2001:db8::/32", "::1", "240.0.0.1", "vm.example.com", "unix:///var/run/s.sock"];
const NAMES: &[&str] = &["v1", "http", "reviews", "default", "a-b", "grpc-web", "https"];
const LABEL_KEYS: &[&str] = &["app", "version", "app.kubernetes.io/name", "security.istio.io/tlsMode"];
const LABEL_VALUES: &[&str] = &["reviews", "v1", "", "A_b.c"];
const PATHS: &[&str] = &["/api", "/", "/api/v1*", "*.js", "/etc/certs/key.pem", "/{*}/x", "/a/{**}"];
const NUMBERS: &[&str] = &["80", "15006", "0", "200-299", "503", "5xx"];
const URLS: &[&str] =
    &["https://example.com/.well-known/jwks.json", "http://a.b:8080/x?y=z", "oci://registry.example/plugin:1", "file:///x.wasm"];
const PRINCIPALS: &[&str] =
    &["cluster.local/ns/shop/sa/reviews", "*", "spiffe://cluster.local/ns/a/sa/b", "*/sa/b", "shop", "https://issuer.example/*"];
const EXPRESSIONS: &[&str] = &["v[0-9]+", ".*", "^/a(b|c)?$", "(?i)x", r"\d{1,3}", "[[:alpha:]]"];
const KEYS: &[&str] = &[
    "request.headers[x-user]",
    "source.ip",
    "source.namespace",
    "request.auth.claims[iss]",
    "x-user",
    "topology.kubernetes.io/zone",
    ":authority",
];

/// Texts that are odd anywhere.
pub(super) const ODD: &[&str] = &[
    "",
    " ",
    "*",
    "**",
    ".",
    "..",
    "/",
    "-",
    "~",
    "a_b",
    "a..b",
    "%",
    "{",
    "\u{0}",
    "\n",
    "\u{202e}live",
    "ẞ.example.com",
    "例え.jp",
    "\u{1f600}",
    "null",
    "-1",
    "1e9",
    "0x10",
    "99999999999999999999",
    "[::1]:80",
    "999.1.1.1",
    "10.0.0.0/64",
    "a/b/c",
    "mesh",
    "http://[",
    "1h1h",
    "-5s",
    "5",
    "(",
    "(?P<a>",
    "a.b[0].c",
    "]",
    "$ref",
    "*.*",
    "*a.com",
    "x:y",
    "\u{fffd}",
    "e\u{301}",
];

/// A text for a field of that name.
pub(super) fn suggested(name: &str, choices: &mut Choices<'_>) -> &'static str {
    if choices.chance(8) {
        return any(choices);
    }
    choices.pick(pool(name))
}

/// A key for a map in a field of that name.
pub(super) fn key(name: &str, choices: &mut Choices<'_>) -> &'static str {
    let name = name.to_ascii_lowercase();
    let pool = match () {
        () if contains(&name, &["port", "mtls"]) => NUMBERS,
        () if contains(&name, &["label", "selector", "annotation"]) => LABEL_KEYS,
        () if contains(&name, &["header", "add", "set"]) => &["x-user", "x-trace", "cookie", ":path", "Host"],
        () if contains(&name, &["to", "locality"]) => &["region/zone", "us-west/*", "*"],
        () => KEYS,
    };
    choices.pick(pool)
}

/// Any text at all.
pub(super) fn any(choices: &mut Choices<'_>) -> &'static str {
    let pools = [NAMES, HOSTS, DURATIONS, ADDRESSES, LABEL_KEYS, PATHS, NUMBERS, URLS, PRINCIPALS, EXPRESSIONS, KEYS, ODD];
    let pool = choices.pick(&pools);
    choices.pick(pool)
}

fn pool(name: &str) -> &'static [&'static str] {
    let name = name.to_ascii_lowercase();
    let named = |names: &[&str]| names.contains(&name.as_str());
    match () {
        () if named(&["host"]) => &HOSTS[..4],
        () if named(&["snihosts", "sni", "authority", "domain", "targethost", "hostname"]) => FULL_HOSTS,
        () if contains(&name, &["host"]) => HOSTS,
        () if contains(&name, &["timeout", "interval", "duration", "delay", "ttl", "age", "ejectiontime", "backoff", "warmup"]) => {
            DURATIONS
        }
        () if contains(&name, &["address", "subnet", "cidr", "ipblock", "bind", "endpoint"]) => ADDRESSES,
        () if contains(&name, &["label", "selector"]) => LABEL_VALUES,
        () if contains(&name, &["regex", "pattern"]) => EXPRESSIONS,
        () if named(&["gateways"]) => &["mesh", "edge", "shop/edge", "./own"],
        () if named(&["exportto"]) => &[".", "*", "shop", "~"],
        () if contains(&name, &["protocol"]) => &["HTTP", "HTTPS", "TCP", "TLS", "GRPC", "HTTP2", "MONGO", "TLSV1_2"],
        () if contains(&name, &["method"]) => &["GET", "POST", "*", "get"],
        () if contains(&name, &["uri", "url", "issuer", "image"]) => URLS,
        () if contains(&name, &["path", "certificate", "key", "prefix", "rewrite"]) => PATHS,
        () if contains(&name, &["port", "status", "code", "error", "retryon"]) => NUMBERS,
        () if contains(&name, &["principal", "namespace", "account", "user", "audience"]) => PRINCIPALS,
        () if contains(&name, &["header", "key", "claim", "cookie"]) => KEYS,
        () if named(&["from", "to", "locality", "failoverpriority"]) => {
            &["us-west", "eu/zone-1", "us-west/a/*", "topology.kubernetes.io/zone"]
        }
        () => NAMES,
    }
}

fn contains(name: &str, parts: &[&str]) -> bool {
    parts.iter().any(|part| name.contains(part))
}
