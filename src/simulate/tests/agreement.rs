//! What is predicted is what Envoy does: random meshes, all in one Envoy, each with a listener of its own.

use std::collections::BTreeMap;

use http::Method;
use rand_bytes::bytes;
use serde_json::{Value, json};

use super::{Request, Transport, explained, random};
use crate::compile::compile;
use crate::model::WorkloadKey;
use crate::simulate::{HttpRequest, Outcome, Possibility};
use crate::testing::{
    block_on,
    bootstrap::Static,
    envoy::{RunningEnvoy, start},
    http::{Answer, Echo, ask},
    mesh::{TestMesh, proxy_of},
    objects::Choices,
};

const MESHES: u64 = 80;
const REQUESTS: usize = 20;
/// Bytes that decide on one mesh, and on one request.
const MESH_BYTES: usize = 1024;
const REQUEST_BYTES: usize = 64;

/// Bytes from a seed.
mod rand_bytes {
    /// So many bytes that look like none in particular (xorshift).
    pub(super) fn bytes(seed: u64, count: usize) -> Vec<u8> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        (0..count).map(|_| next()).collect()
    }
}

/// A mesh of a seed, and the proxy that is asked.
struct Case {
    seed: u64,
    mesh: TestMesh,
    namespace: &'static str,
    name: &'static str,
    listener: &'static str,
    port: u16,
}

impl Case {
    fn of(seed: u64, upstream: u16) -> Self {
        let mesh = random::mesh(&mut Choices::new(&bytes(seed, MESH_BYTES)), upstream);
        let (namespace, name, listener, port) = match seed % 4 {
            0 | 1 => ("istio-system", "gateway", "0.0.0.0_8080", 8080),
            2 => ("shop", "client", "0.0.0.0_7000", 7000),
            _ => ("shop", "client", "0.0.0.0_9080", 9080),
        };
        Self { seed, mesh, namespace, name, listener, port }
    }

    /// Listener and clusters under names that no other case has, and secrets; answers tell what Envoy decided.
    fn resources(&self, upstream: u16) -> Option<Value> {
        let workload = &self.mesh.workloads[&WorkloadKey::new(self.namespace, self.name)];
        let compiled = compile(self.mesh.snapshot(), &proxy_of(workload));
        compiled.get(crate::compile::ResourceType::Listener, self.listener)?;
        let fixed = Static::of(&compiled).leading("PassthroughCluster", upstream).listening(self.listener, 0);
        let mut bootstrap = fixed.bootstrap();
        let mut resources = bootstrap["static_resources"].take();
        let listener = &mut resources["listeners"][0];
        listener["name"] = json!(format!("case-{}", self.seed));
        tell_decisions(listener);
        rename(&mut resources, self.seed);
        Some(resources)
    }
}

/// Clusters' names, wherever they stand, get the seed at their end.
fn rename(value: &mut Value, seed: u64) {
    match value {
        Value::String(text) if text.starts_with("outbound|") || text.ends_with("Cluster") && !text.contains('.') => {
            *text = format!("{text}#{seed}")
        }
        Value::Object(fields) => fields.values_mut().for_each(|it| rename(it, seed)),
        Value::Array(values) => values.iter_mut().for_each(|it| rename(it, seed)),
        _ => {}
    }
}

/// What Envoy decided, as it writes it.
const DECIDED: [(&str, &str); 4] = [
    ("cluster", "%UPSTREAM_CLUSTER_RAW%"),
    ("config", "%METADATA(ROUTE:istio:config)%"),
    ("delegate", "%METADATA(ROUTE:istio:delegate)%"),
    ("field", "%METADATA(ROUTE:istio:field)%"),
];

/// Lets answers tell what was decided: in headers those of upstreams, in their bodies those of Envoy itself.
fn tell_decisions(listener: &mut Value) {
    let chains = listener["filter_chains"].as_array_mut().unwrap().iter_mut();
    for filter in chains.flat_map(|chain| chain["filters"].as_array_mut().unwrap()) {
        let manager = &mut filter["typed_config"];
        if manager["route_config"].is_object() {
            let header = |(name, value): (&str, &str)| json!({"header": {"key": format!("x-decided-{name}"), "value": value}});
            manager["route_config"]["response_headers_to_add"] = DECIDED.map(header).into();
            let body: BTreeMap<&str, &str> = DECIDED.into();
            manager["local_reply_config"] = json!({"body_format": {"json_format": body}});
        }
    }
}

/// What Envoy did.
#[derive(Debug)]
struct Seen {
    status: u16,
    location: Option<String>,
    /// Of an upstream's answer.
    cluster: Option<String>,
    /// The VirtualService and its rule, `shop/cart http[0]`; that of the delegate if it has one.
    rule: Option<String>,
}

fn seen(answer: &Answer) -> Seen {
    let local: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let from_upstream = local.get("method").is_some();
    let decided = |name: &str| {
        let header = answer.headers.get(&format!("x-decided-{name}")).cloned();
        let text = header.or_else(|| local[name].as_str().map(str::to_owned));
        text.map(|text| text.trim_matches('"').to_owned()).filter(|text| !text.is_empty() && text != "-")
    };
    let object = decided("delegate").or_else(|| decided("config")).and_then(|path| {
        let parts: Vec<&str> = path.split('/').collect();
        Some(format!("{}/{}", parts.get(5)?, parts.get(7)?))
    });
    let rule = object.zip(decided("field")).map(|(object, field)| format!("{object} {}", rule_of(&field)));
    let cluster = decided("cluster").filter(|_| from_upstream).map(|name| name.split('#').next().unwrap_or_default().to_owned());
    Seen { status: answer.status, location: answer.headers.get("location").cloned(), cluster, rule }
}

/// `http[0]` of `http[0].match[1]`.
fn rule_of(field: &str) -> &str {
    field.split('.').next().unwrap_or_default()
}

/// The VirtualService and its rule behind a possibility.
fn rule(possibility: &Possibility) -> Option<String> {
    let origin = possibility.origins.iter().rev().find(|it| it.object.kind == "VirtualService")?;
    let field = origin.field.as_deref()?.strip_prefix("spec.")?;
    Some(format!("{}/{} {}", origin.object.namespace, origin.object.name, rule_of(field)))
}

fn agrees(possibility: &Possibility, seen: &Seen) -> bool {
    let outcome = match &possibility.outcome {
        Outcome::Sent { cluster, .. } => seen.status == 200 && seen.cluster.as_ref() == Some(cluster),
        Outcome::Answered { status, location } => {
            // Of a gRPC status, Envoy makes an answer that is no text.
            seen.status == *status && seen.cluster.is_none() && (location.is_none() || *location == seen.location)
        }
        Outcome::Closed => false,
    };
    // Who refuses a token has not looked at routes, while Envoy names the one that it would have been.
    let by_token = possibility.origins.iter().any(|it| it.object.kind == "RequestAuthentication");
    outcome && (by_token || seen.rule.is_none() && !matches!(possibility.outcome, Outcome::Sent { .. }) || rule(possibility) == seen.rule)
}

async fn check(case: &Case, port: u16, number: usize, tally: &mut BTreeMap<String, usize>) -> Result<(), String> {
    let decisions = bytes(case.seed ^ ((number as u64 + 1) << 32), REQUEST_BYTES);
    let asked: HttpRequest = random::request(&mut Choices::new(&decisions));
    let request = Request { address: None, port: case.port, transport: Transport::Plain, http: Some(asked.clone()) };
    let predicted = explained(&case.mesh, case.namespace, case.name, &request);
    let possibilities = &predicted.hops[0].possibilities;
    let mut headers: Vec<(&str, &str)> = asked.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    headers.push(("host", &asked.authority));
    let method = Method::from_bytes(asked.method.as_bytes()).unwrap();
    let answer = ask(method, port, &asked.path, &headers).await.map_err(|error| format!("{asked:?}: {error:?}"))?;
    let seen = seen(&answer);
    let total: f64 = possibilities.iter().map(|it| it.share).sum();
    // What is not looked at of a token, Envoy finds in order here.
    let untold = predicted.notes.iter().filter(|note| !note.starts_with("a token is taken for good"));
    if (total - 1.0).abs() > 1e-9 || untold.count() > 0 {
        return Err(format!("seed {} request {number}: shares add up to {total}, notes {:?}", case.seed, predicted.notes));
    }
    let Some(hit) = possibilities.iter().find(|it| agrees(it, &seen)) else {
        return Err(format!("seed {} request {number}: {asked:?}\nEnvoy: {seen:?}\n{}\npredicted: {predicted:#?}", case.seed, answer.body));
    };
    let kind = match &hit.outcome {
        Outcome::Sent { .. } if possibilities.len() > 1 => "sent, one of several".to_owned(),
        Outcome::Sent { .. } => "sent".to_owned(),
        Outcome::Answered { status, .. } => status.to_string(),
        Outcome::Closed => "closed".to_owned(),
    };
    *tally.entry(kind).or_default() += 1;
    Ok(())
}

async fn envoy_of(cases: &[Case], upstream: u16) -> (RunningEnvoy, BTreeMap<u64, u16>) {
    let parts: Vec<(u64, Value)> = cases.iter().filter_map(|case| Some((case.seed, case.resources(upstream)?))).collect();
    let all = |kind: &str| -> Vec<&Value> { parts.iter().flat_map(|(_, part)| part[kind].as_array().unwrap()).collect() };
    let resources = json!({"listeners": all("listeners"), "clusters": all("clusters"), "secrets": parts[0].1["secrets"]});
    let envoy = start(json!({"node": {"id": "test", "cluster": "test"}, "static_resources": resources})).await;
    let mut ports = BTreeMap::new();
    for (seed, _) in &parts {
        ports.insert(*seed, envoy.port_of(&format!("case-{seed}")).await);
    }
    (envoy, ports)
}

#[test]
fn what_is_predicted_is_what_envoy_does() {
    block_on(async {
        let upstream = Echo::start("upstream").await;
        let cases: Vec<Case> = (0..MESHES).map(|seed| Case::of(seed, upstream.port)).collect();
        let (_envoy, ports) = envoy_of(&cases, upstream.port).await;
        assert!(ports.len() >= 65, "{} of the meshes have a listener to ask", ports.len());
        let mut tally = BTreeMap::new();
        let mut wrong = Vec::new();
        for case in &cases {
            let Some(port) = ports.get(&case.seed) else { continue };
            for number in 0..REQUESTS {
                wrong.extend(check(case, *port, number, &mut tally).await.err());
            }
        }
        assert!(wrong.is_empty(), "{} wrong, the first:\n{}", wrong.len(), wrong[0]);
        // Not a test of one thing over and over.
        for kind in ["sent", "sent, one of several", "303", "401", "403", "404", "418", "500", "502", "503"] {
            assert!(tally.get(kind).is_some_and(|count| *count >= 3), "{kind} hardly ever: {tally:?}");
        }
    });
}
