//! Hosts: which texts are DNS names, what wildcards may look like, and what short names stand for.

use std::{collections::BTreeSet, net::IpAddr};

use super::path::At;
use super::problem::{Code, quoted};
use super::reading::Reading;
use crate::model::HostPattern;

/// The longest DNS name.
const LONGEST_NAME: usize = 255;
/// The longest label of a DNS name.
const LONGEST_LABEL: usize = 63;

/// Whether a text is one label of a DNS name, in either case.
pub(super) fn is_label(text: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= LONGEST_LABEL
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

/// Whether a text is an IP address.
pub(super) fn is_ip(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

/// Whether a wildcard takes only a part of a label, as `*bar.com` does.
pub(super) fn is_partial_wildcard(host: &str) -> bool {
    host.len() > 1 && host.starts_with('*') && !host.starts_with("*.")
}

/// Why a text is no fully qualified DNS name.
pub(super) fn name_defect(host: &str) -> Option<String> {
    length_defect(host).or_else(|| labels_defect(host, host))
}

/// Why a text is neither a DNS name nor one whose first label is, or begins with, `*`.
pub(super) fn wildcard_defect(host: &str) -> Option<String> {
    if let Some(defect) = length_defect(host) {
        return Some(defect);
    }
    let (first, rest) = match host.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (host, None),
    };
    let bare = first.strip_prefix('*').map_or(first, |bare| bare.strip_prefix('-').unwrap_or(bare));
    if first != "*" && !is_label(bare) {
        return Some(format!("{} is no DNS name: the label {} is malformed", quoted(host), quoted(first)));
    }
    rest.and_then(|rest| labels_defect(host, rest))
}

fn length_defect(host: &str) -> Option<String> {
    match host.len() {
        0 => Some("a host must not be empty".to_owned()),
        length if length > LONGEST_NAME => Some(format!("{} has {length} characters, a DNS name has {LONGEST_NAME} at most", quoted(host))),
        _ => None,
    }
}

/// Why the labels of `rest`, the end of `host`, are malformed. A name may end in a dot.
fn labels_defect(host: &str, rest: &str) -> Option<String> {
    let rest = rest.strip_suffix('.').unwrap_or(rest);
    if let Some(label) = rest.split('.').find(|label| !is_label(label)) {
        return Some(format!("{} is no DNS name: the label {} is malformed", quoted(host), quoted(label)));
    }
    let top = rest.rsplit('.').next().unwrap_or(rest);
    top.bytes().all(|byte| byte.is_ascii_digit()).then(|| format!("{} is no DNS name: its last label is a number", quoted(host)))
}

/// Hosts of one object, for looking up which names they cover without comparing each with each.
pub(super) struct HostSet {
    exact: BTreeSet<String>,
    /// What follows the `*` of wildcards, read backwards. None is the beginning of another, or the object is refused for that.
    wildcards: BTreeSet<String>,
}

// === impl HostSet ===

impl HostSet {
    pub(super) fn new(hosts: &[String]) -> Self {
        let (wildcards, exact): (Vec<_>, Vec<_>) =
            hosts.iter().map(|host| host.to_ascii_lowercase()).partition(|host| host.starts_with('*'));
        Self { exact: exact.into_iter().collect(), wildcards: wildcards.iter().map(|host| backwards(host)).collect() }
    }

    /// Whether one of the hosts stands for all that `name` stands for.
    pub(super) fn covers(&self, name: &HostPattern) -> bool {
        let text = backwards(name.as_str());
        let nearest = self.wildcards.range(..=text.clone()).next_back();
        self.exact.contains(name.as_str()) || nearest.is_some_and(|nearest| text.starts_with(nearest.as_str()))
    }
}

/// A host without its `*`, read backwards: what a wildcard covers then begins with it.
pub(super) fn backwards(host: &str) -> String {
    host.trim_start_matches('*').chars().rev().collect()
}

// === impl Reading: hosts ===

impl Reading<'_> {
    /// What a host stands for: a name without dots is a Service of the object's namespace. Addresses and wildcards stand for themselves.
    pub(super) fn resolved(&self, host: &str) -> HostPattern {
        let short = !host.is_empty() && !host.starts_with('*') && !host.contains('.') && !host.contains(':');
        if short {
            HostPattern::new(&format!("{host}.{}.svc.{}", self.namespace(), self.context.cluster_domain))
        } else {
            HostPattern::new(host.strip_suffix('.').unwrap_or(host))
        }
    }

    /// A host that may be a wildcard, resolved.
    pub(super) fn wildcard_host(&mut self, at: &At<'_>, host: &str) -> HostPattern {
        if let Some(defect) = wildcard_defect(host) {
            self.error(at, Code::BadHost, defect);
        }
        self.resolved(host)
    }

    /// The name of a namespace.
    pub(super) fn namespace_name(&mut self, at: &At<'_>, namespace: &str) {
        if !is_label(namespace) {
            self.error(at, Code::BadName, format!("{} is no name of a namespace", quoted(namespace)));
        }
    }

    /// The host of a gateway's server or a sidecar's listener: fully qualified, or a wildcard of whole labels.
    pub(super) fn qualified_host(&mut self, at: &At<'_>, host: &str, address_allowed: bool) -> HostPattern {
        if address_allowed && is_ip(host) {
            return HostPattern::new(host);
        }
        if host != "*" && !host.is_empty() && !host.contains('.') {
            self.error(at, Code::BadHost, format!("{} is a short name: write the full name", quoted(host)));
        } else if let Some(defect) = wildcard_defect(host) {
            self.error(at, Code::BadHost, defect);
        } else if is_partial_wildcard(host) {
            self.error(
                at,
                Code::BadHost,
                format!("{} is a partial wildcard: '*' stands for whole labels, as in *.example.com", quoted(host)),
            );
        }
        HostPattern::new(host.strip_suffix('.').unwrap_or(host))
    }
}
