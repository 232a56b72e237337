//! Rules: sources and operations.

use ferromesh_crds::security::authorization_policy::{self as api, AuthorizationAction as Action, AuthorizationRule};

use super::condition;
use crate::config::path::At;
use crate::config::problem::{Code, quoted};
use crate::config::reading::Reading;
use crate::model::{self, PathMatch, PathSegment, ServiceAccountName};

/// The longest `NAMESPACE/ACCOUNT`.
const LONGEST_ACCOUNT: usize = 320;
/// The most service accounts of one list.
const MOST_ACCOUNTS: usize = 16;

/// Reads a rule.
pub(super) fn read(reading: &mut Reading<'_>, at: &At<'_>, rule: &AuthorizationRule, action: Action) -> model::AuthorizationRule {
    let from = at.field("from").each(&rule.from, |at, one| {
        let at = at.field("source");
        match &one.source {
            Some(one) => Some(source(reading, &at, one, action)),
            None => {
                reading.required(&at);
                None
            }
        }
    });
    let to = at.field("to").each(&rule.to, |at, one| {
        let at = at.field("operation");
        match &one.operation {
            Some(one) => Some(operation(reading, &at, one)),
            None => {
                reading.required(&at);
                None
            }
        }
    });
    let when = at.field("when").each(&rule.when, |at, one| condition::read(reading, at, one, action));
    model::AuthorizationRule {
        from: from.into_iter().flatten().collect(),
        to: to.into_iter().flatten().collect(),
        when: when.into_iter().flatten().collect(),
    }
}

/// Whether a source names anything that connections have, HTTP or not.
pub(super) fn names_connection(source: &api::Source) -> bool {
    let fields = [
        &source.principals,
        &source.not_principals,
        &source.namespaces,
        &source.not_namespaces,
        &source.service_accounts,
        &source.not_service_accounts,
        &source.trust_domains,
        &source.not_trust_domains,
        &source.ip_blocks,
        &source.not_ip_blocks,
        &source.remote_ip_blocks,
        &source.not_remote_ip_blocks,
    ];
    fields.into_iter().any(|field| !field.is_empty())
}

fn source(reading: &mut Reading<'_>, at: &At<'_>, source: &api::Source, action: Action) -> model::Source {
    let tokens = [&source.request_principals, &source.not_request_principals];
    if !names_connection(source) && tokens.into_iter().all(Vec::is_empty) {
        reading.error(at, Code::Required, "must not be empty: name who asks, or leave from out");
    }
    let accounts = !source.service_accounts.is_empty() || !source.not_service_accounts.is_empty();
    let identities = [&source.principals, &source.not_principals, &source.namespaces, &source.not_namespaces];
    if accounts && identities.into_iter().any(|field| !field.is_empty()) {
        reading.error(at, Code::Conflict, "serviceAccounts can't be combined with principals or namespaces");
    }
    if action == Action::Custom {
        refuse_identities(reading, at, source);
    }
    let text = |reading: &mut Reading<'_>, at: &At<'_>, one: &String| reading.text_match(at, one);
    let address = |reading: &mut Reading<'_>, at: &At<'_>, one: &String| reading.range(at, one);
    let account = |reading: &mut Reading<'_>, at: &At<'_>, one: &String| account(reading, at, one);
    for (field, list) in [("serviceAccounts", &source.service_accounts), ("notServiceAccounts", &source.not_service_accounts)] {
        if list.len() > MOST_ACCOUNTS {
            let message = format!("has {} entries, {MOST_ACCOUNTS} at most are allowed", list.len());
            reading.error(&at.field(field), Code::WrongSize, message);
        }
    }
    model::Source {
        principals: reading.values(at, [("principals", &source.principals), ("notPrincipals", &source.not_principals)], text),
        request_principals: reading.values(
            at,
            [("requestPrincipals", &source.request_principals), ("notRequestPrincipals", &source.not_request_principals)],
            text,
        ),
        namespaces: reading.values(at, [("namespaces", &source.namespaces), ("notNamespaces", &source.not_namespaces)], text),
        service_accounts: reading.values(
            at,
            [("serviceAccounts", &source.service_accounts), ("notServiceAccounts", &source.not_service_accounts)],
            account,
        ),
        trust_domains: reading.values(at, [("trustDomains", &source.trust_domains), ("notTrustDomains", &source.not_trust_domains)], text),
        addresses: reading.values(at, [("ipBlocks", &source.ip_blocks), ("notIpBlocks", &source.not_ip_blocks)], address),
        remote_addresses: reading.values(
            at,
            [("remoteIpBlocks", &source.remote_ip_blocks), ("notRemoteIpBlocks", &source.not_remote_ip_blocks)],
            address,
        ),
    }
}

/// A provider is asked before the mesh has looked at certificates and tokens.
fn refuse_identities(reading: &mut Reading<'_>, at: &At<'_>, source: &api::Source) {
    let fields = [
        ("principals", &source.principals),
        ("notPrincipals", &source.not_principals),
        ("requestPrincipals", &source.request_principals),
        ("notRequestPrincipals", &source.not_request_principals),
        ("namespaces", &source.namespaces),
        ("notNamespaces", &source.not_namespaces),
        ("serviceAccounts", &source.service_accounts),
        ("notServiceAccounts", &source.not_service_accounts),
    ];
    for (field, _) in fields.into_iter().filter(|(_, list)| !list.is_empty()) {
        reading.error(&at.field(field), Code::Conflict, "can't be used with action CUSTOM");
    }
}

/// `NAMESPACE/ACCOUNT`, or the account of the policy's own namespace.
fn account(reading: &mut Reading<'_>, at: &At<'_>, text: &str) -> Option<ServiceAccountName> {
    let (namespace, name) = text.split_once('/').unwrap_or((reading.namespace(), text));
    let (namespace, malformed) = (namespace.into(), namespace.is_empty() || name.is_empty() || name.contains('/') || text.contains('*'));
    if text.len() > LONGEST_ACCOUNT {
        reading.error(at, Code::WrongSize, format!("has {} characters, {LONGEST_ACCOUNT} at most are allowed", text.len()));
        return None;
    }
    if malformed {
        let message = format!("{} is no service account: write NAMESPACE/ACCOUNT, without wildcards", quoted(text));
        reading.error(at, Code::BadName, message);
        return None;
    }
    Some(ServiceAccountName { namespace, name: name.into() })
}

fn operation(reading: &mut Reading<'_>, at: &At<'_>, operation: &api::Operation) -> model::Operation {
    let fields = [
        &operation.hosts,
        &operation.not_hosts,
        &operation.ports,
        &operation.not_ports,
        &operation.methods,
        &operation.not_methods,
        &operation.paths,
        &operation.not_paths,
    ];
    if fields.into_iter().all(Vec::is_empty) {
        reading.error(at, Code::Required, "must not be empty: name what is asked for, or leave to out");
    }
    let text = |reading: &mut Reading<'_>, at: &At<'_>, one: &String| reading.text_match(at, one);
    let port = |reading: &mut Reading<'_>, at: &At<'_>, one: &String| reading.port_text(at, one);
    let path = |reading: &mut Reading<'_>, at: &At<'_>, one: &String| path(reading, at, one);
    model::Operation {
        hosts: reading.values(at, [("hosts", &operation.hosts), ("notHosts", &operation.not_hosts)], text),
        ports: reading.values(at, [("ports", &operation.ports), ("notPorts", &operation.not_ports)], port),
        methods: reading.values(at, [("methods", &operation.methods), ("notMethods", &operation.not_methods)], text),
        paths: reading.values(at, [("paths", &operation.paths), ("notPaths", &operation.not_paths)], path),
    }
}

/// A path, or a template of one, whose `{*}` and `{**}` each fill a segment.
fn path(reading: &mut Reading<'_>, at: &At<'_>, text: &str) -> Option<PathMatch> {
    if !text.contains("{*}") && !text.contains("{**}") {
        return reading.text_match(at, text).map(PathMatch::Text);
    }
    let segments: Vec<PathSegment> = text.split('/').skip(1).map(segment).collect();
    let literal = |segment: &PathSegment| matches!(segment, PathSegment::Literal(text) if text.contains(['{', '}', '*']));
    let many = segments.iter().position(|segment| *segment == PathSegment::Many);
    let after = many.map_or(&[][..], |place| &segments[place + 1..]);
    if !text.starts_with('/') || segments.iter().any(literal) {
        let message = format!(
            "{} is no template: {{*}} and {{**}} must stand alone between slashes, and nothing else may be a wildcard",
            quoted(text)
        );
        reading.error(at, Code::NotAllowed, message);
        return None;
    }
    if after.iter().any(|segment| !matches!(segment, PathSegment::Literal(_))) {
        reading.error(at, Code::NotAllowed, format!("{} is no template: after {{**}} there can be no other wildcard", quoted(text)));
        return None;
    }
    Some(PathMatch::Template(segments))
}

fn segment(text: &str) -> PathSegment {
    match text {
        "{*}" => PathSegment::One,
        "{**}" => PathSegment::Many,
        literal => PathSegment::Literal(literal.into()),
    }
}
