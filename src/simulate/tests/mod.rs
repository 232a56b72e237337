//! What is predicted: facts about single decisions, and agreement with real Envoy over random meshes.

mod agreement;
mod decisions;
mod hops;
mod random;

use super::{Explanation, HttpRequest, Outcome, Possibility, Request, Transport, explain};
use crate::model::WorkloadKey;
use crate::testing::mesh::{TestMesh, proxy_of};

/// A GET in plain text.
fn get(authority: &str, port: u16, path: &str) -> Request {
    let http = HttpRequest { method: "GET".to_owned(), authority: authority.to_owned(), path: path.to_owned(), headers: Vec::new() };
    Request { address: None, port, transport: Transport::Plain, http: Some(http) }
}

/// What becomes of a request that a workload's proxy sends.
fn explained(mesh: &TestMesh, namespace: &str, name: &str, request: &Request) -> Explanation {
    let workload = mesh.workloads.get(&WorkloadKey::new(namespace, name)).unwrap();
    explain(&mesh.snapshot(), &proxy_of(workload), request).unwrap()
}

/// A possibility in a line: share, outcome, and the last of the objects that decided it.
fn line(possibility: &Possibility) -> String {
    let what = match &possibility.outcome {
        Outcome::Sent { cluster, .. } => cluster.clone(),
        Outcome::Answered { status, location: None } => status.to_string(),
        Outcome::Answered { status, location: Some(location) } => format!("{status} {location}"),
        Outcome::Closed => "closed".to_owned(),
    };
    let by = possibility.origins.last().map(|origin| format!(" by {origin}")).unwrap_or_default();
    format!("{:.0} % {what}{by}", possibility.share * 100.0)
}

/// The possibilities of the first hop, a line each.
fn lines(explained: &Explanation) -> Vec<String> {
    explained.hops[0].possibilities.iter().map(line).collect()
}
