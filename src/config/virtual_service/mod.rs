//! VirtualService.

mod cors;
mod destinations;
mod fault;
mod headers;
mod http;
mod http_action;
mod http_match;
mod l4;
mod mirrors;
mod reach;

use std::sync::Arc;

use ferromesh_crds::networking::{VirtualService, VirtualServiceSpec};

use super::hosts::{backwards, is_ip, is_label, name_defect, wildcard_defect};
use super::path::{At, SPEC};
use super::problem::{Code, Invalid, Parsed, quoted};
use super::reading::{ParseContext, Reading};
use crate::model::{self, HostPattern, MESH_GATEWAY};

pub(super) use destinations::one as destination;
pub(super) use http::is_retry_condition;

/// Reads a VirtualService.
///
/// # Errors
/// Everything that is wrong with it.
pub fn virtual_service(object: &VirtualService, context: &ParseContext) -> Result<Parsed<model::VirtualService>, Invalid> {
    let mut reading = Reading::new("VirtualService", &object.metadata, context);
    let spec = &object.spec;
    let gateways = gateways(&mut reading, &SPEC, &spec.gateways);
    let hosts = hosts(&mut reading, spec);
    let delegate = spec.hosts.is_empty();
    if delegate {
        check_delegate(&mut reading, spec);
    }
    if spec.http.is_empty() && spec.tls.is_empty() && spec.tcp.is_empty() {
        reading.error(&SPEC, Code::Required, "one of http, tls and tcp is needed");
    }
    let value = model::VirtualService {
        origin: reading.origin.clone(),
        hosts,
        gateways: if gateways.is_empty() { vec![MESH_GATEWAY.into()] } else { gateways },
        http: http::routes(&mut reading, &spec.http, &http::Place { in_delegate: delegate, at_gateways: !for_sidecars(spec) }),
        tls: l4::tls_routes(&mut reading, spec),
        tcp: l4::tcp_routes(&mut reading, &spec.tcp),
        export_to: reading.export_to(&SPEC, &spec.export_to, false),
        created: reading.created,
    };
    reach::warn_of_unreachable(&mut reading, spec);
    reading.finish(value)
}

/// A VirtualService without hosts is one to which others hand requests; it can't say where it holds.
fn check_delegate(reading: &mut Reading<'_>, spec: &VirtualServiceSpec) {
    let at = SPEC.field("hosts");
    for (field, present) in [("gateways", !spec.gateways.is_empty()), ("tls", !spec.tls.is_empty()), ("tcp", !spec.tcp.is_empty())] {
        if present {
            reading.error(&at, Code::Required, format!("required: without hosts the object is a delegate, which has no {field}"));
        }
    }
}

/// Whether an object holds for sidecars, or else for gateways alone.
fn for_sidecars(spec: &VirtualServiceSpec) -> bool {
    spec.gateways.is_empty() || spec.gateways.iter().any(|gateway| gateway == MESH_GATEWAY)
}

/// Whether a text is a server name that proxies of a mesh use among themselves, such as `outbound_.80_._.reviews.shop.global`.
fn is_mesh_server_name(host: &str) -> bool {
    let port_and_rest = host.strip_prefix("outbound_.").and_then(|rest| rest.split_once("_."));
    let subset_and_host = port_and_rest.filter(|(port, _)| port.parse::<u16>().is_ok()).and_then(|(_, rest)| rest.split_once("_."));
    subset_and_host.is_some_and(|(subset, host)| (subset.is_empty() || is_label(subset)) && name_defect(host).is_none())
}

fn hosts(reading: &mut Reading<'_>, spec: &VirtualServiceSpec) -> Vec<HostPattern> {
    let at = SPEC.field("hosts");
    let for_mesh = for_sidecars(spec);
    let by_server_name = !for_mesh && spec.tls.iter().flat_map(|route| &route.match_).any(|condition| !condition.sni_hosts.is_empty());
    let mut all_good = true;
    let mut hosts: Vec<HostPattern> = Vec::with_capacity(spec.hosts.len());
    for (index, host) in spec.hosts.iter().enumerate() {
        let here = at.index(index);
        let defect = wildcard_defect(host).filter(|_| !(is_ip(host) || by_server_name && is_mesh_server_name(host)));
        all_good &= defect.is_none();
        if let Some(defect) = defect {
            reading.error(&here, Code::BadHost, defect);
        } else if host == "*" && for_mesh {
            reading.error(&here, Code::BadHost, "\"*\" can't be a host for sidecars: name hosts, or gateways other than mesh");
        }
        hosts.push(reading.resolved(host));
    }
    if all_good {
        report_overlaps(reading, &at, &spec.hosts);
    }
    hosts
}

/// Reports hosts that another host of the same object covers. Read backwards and sorted, all that a wildcard covers follows it, so
/// one pass finds them.
fn report_overlaps(reading: &mut Reading<'_>, at: &At<'_>, hosts: &[String]) {
    let mut sorted: Vec<(String, usize)> =
        hosts.iter().enumerate().map(|(index, host)| (backwards(&host.to_ascii_lowercase()), index)).collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| hosts[b.1].starts_with('*').cmp(&hosts[a.1].starts_with('*'))));
    let mut open: Vec<&(String, usize)> = Vec::new();
    for entry in &sorted {
        let covers = |outer: &(String, usize)| {
            entry.0 == outer.0 && !hosts[entry.1].starts_with('*') || hosts[outer.1].starts_with('*') && entry.0.starts_with(&outer.0)
        };
        while open.last().is_some_and(|outer| !covers(outer)) {
            open.pop();
        }
        if let Some(outer) = open.last() {
            let message = format!("{} and {} overlap", quoted(&hosts[entry.1]), quoted(&hosts[outer.1]));
            reading.error(&at.index(entry.1), Code::Duplicate, message);
        }
        open.push(entry);
    }
}

/// Gateways as `namespace/name` or `mesh`. A name alone is of the object's namespace; the old form `name.namespace.svc…` is understood.
fn gateways(reading: &mut Reading<'_>, parent: &At<'_>, names: &[String]) -> Vec<Arc<str>> {
    let at = parent.field("gateways");
    names.iter().enumerate().map(|(index, name)| gateway(reading, &at.index(index), name)).collect()
}

fn gateway(reading: &mut Reading<'_>, at: &At<'_>, name: &str) -> Arc<str> {
    if name == MESH_GATEWAY {
        return name.into();
    }
    let (namespace, short) = match name.split_once('/') {
        Some((".", short)) => (reading.namespace().to_owned(), short),
        Some((namespace, short)) => (namespace.to_owned(), short),
        None => match name.split_once('.') {
            Some((short, rest)) => {
                let namespace = rest.split('.').next().unwrap_or(rest);
                reading.warn(at, Code::Deprecated, format!("deprecated: write {}", quoted(&format!("{namespace}/{short}"))));
                (namespace.to_owned(), short)
            }
            None => (reading.namespace().to_owned(), name),
        },
    };
    if !is_label(&namespace) {
        reading.error(at, Code::BadName, format!("{} names no gateway: {} is no name of a namespace", quoted(name), quoted(&namespace)));
    } else if !is_label(short) {
        reading.error(
            at,
            Code::BadName,
            format!("{} names no gateway: write NAMESPACE/NAME, or NAME for one in this namespace", quoted(name)),
        );
    }
    format!("{namespace}/{short}").into()
}
