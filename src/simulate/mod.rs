//! What becomes of this request, and why? Evaluates compiled configuration as Envoy would, and tells each decision with the object and
//! field behind it.
//!
//! The single entry is [`explain`], a pure function of a snapshot, the proxy that the request leaves by, and the [`Request`]. It decides
//! nothing itself: what it walks through is what the compiler made and proxies run, from the listener to the endpoints, and then the
//! inbound listener of the sidecar at an endpoint. Nothing is sent, and nothing is drawn by lot: where Envoy would, all possibilities are
//! told with their shares.
//!
//! Filters that it does not know (a user's, by EnvoyFilter) may decide otherwise; that they are there is told.

mod action;
mod chain;
mod cluster;
mod configuration;
mod decision;
mod host;
mod http;
mod inbound;
mod listener;
mod matching;
mod origin;
mod path;
mod redirect;
mod request;
mod source;
#[cfg(test)]
mod tests;
mod token;

use std::sync::Arc;

pub use configuration::{Configuration, Undecodable};
pub use decision::{Decision, Explanation, Hop, Outcome, Possibility, Step};
pub use origin::Origin;
pub use request::{HttpRequest, Request, Transport};
pub use source::{destination_address, proxy_of};

use crate::compile::{Compiler, Proxy};
use crate::model::Snapshot;

use decision::Trace;

/// What becomes of a request that leaves by a proxy: the hop there, and one for each sidecar at the end of it whose decisions differ.
///
/// # Errors
/// When a compiled resource can't be decoded.
pub fn explain(snapshot: &Arc<Snapshot>, proxy: &Proxy, request: &Request) -> Result<Explanation, Undecodable> {
    let mut compiler = Compiler::new(snapshot.clone());
    let configuration = Configuration::of(&compiler.compile(proxy))?;
    let mut trace = Trace::default();
    let possibilities = listener::outbound(&configuration, request, &mut trace);
    let name = format!("{}.{}", proxy.key.name, proxy.key.namespace);
    let arrivals = inbound::arrivals(&mut compiler, &configuration, request, &possibilities)?;
    let first = Hop { proxy: name, inbound: false, decisions: trace.decisions, possibilities };
    let mut notes = trace.notes;
    let mut hops = vec![first];
    for (hop, told) in arrivals {
        hops.push(hop);
        notes.extend(told);
    }
    notes.sort();
    notes.dedup();
    Ok(Explanation { hops, notes })
}
