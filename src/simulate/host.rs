//! Which virtual host of a route table serves a name.

use envoy_api::envoy::config::route::v3::{RouteConfiguration, VirtualHost};

/// The virtual host for an authority, with the domain by which it was found. An exact name counts before wildcards at its beginning,
/// those before wildcards at its end, and a longer wildcard before a shorter.
pub(super) fn choose<'t>(table: &'t RouteConfiguration, authority: &str) -> Option<(&'t VirtualHost, &'t str)> {
    let name = authority.to_ascii_lowercase();
    let name = if table.ignore_port_in_host_matching { without_port(&name) } else { &name };
    let domains = || table.virtual_hosts.iter().flat_map(|host| host.domains.iter().map(move |domain| (host, domain.as_str())));
    if let Some(exact) = domains().find(|(_, domain)| domain.eq_ignore_ascii_case(name)) {
        return Some(exact);
    }
    let suffix = domains().filter_map(|(host, domain)| {
        let suffix = domain.strip_prefix('*').filter(|suffix| !suffix.is_empty())?;
        (name.len() > suffix.len() && name.ends_with(&suffix.to_ascii_lowercase())).then_some((host, domain))
    });
    let prefix = domains().filter_map(|(host, domain)| {
        let prefix = domain.strip_suffix('*').filter(|prefix| !prefix.is_empty())?;
        (name.len() > prefix.len() && name.starts_with(&prefix.to_ascii_lowercase())).then_some((host, domain))
    });
    suffix.max_by_key(length).or_else(|| prefix.max_by_key(length)).or_else(|| domains().find(|(_, domain)| *domain == "*"))
}

fn length((_, domain): &(&VirtualHost, &str)) -> usize {
    domain.len()
}

/// A host without the port that may follow it; of an IPv6 address the brackets stay.
pub(super) fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) && (!host.contains(':') || host.ends_with(']')) => host,
        _ => authority,
    }
}
