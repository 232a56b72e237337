//! Rules that a VirtualService hands to another one: both say when they hold, and what the other leaves open is as here.

use std::{borrow::Cow, sync::Arc};

use crate::compile::scope::Scope;
use crate::model::{ClaimMatch, HeaderMatch, HttpAction, HttpFault, HttpMatch, HttpRoute, Labels, ObjectRef, StringMatch, VirtualService};

/// A rule as it holds.
pub(super) struct Rule<'a> {
    /// The rule, merged with the one that hands requests to it.
    pub(super) http: Cow<'a, HttpRoute>,
    /// The object that it stands in, where that is not the VirtualService of the host.
    pub(super) delegate: Option<&'a ObjectRef>,
}

/// The rules of a VirtualService, in the place of each delegate those of its object. Nothing stands in the place of one that does not
/// exist, has hosts of its own, or is not exported to the VirtualService's namespace.
pub(super) fn rules<'r>(scope: &Scope<'r>, root: &'r VirtualService) -> Vec<Rule<'r>> {
    let mut rules = Vec::with_capacity(root.http.len());
    for http in &root.http {
        let HttpAction::Delegate { namespace, name } = &http.action else {
            rules.push(Rule { http: Cow::Borrowed(http), delegate: None });
            continue;
        };
        let Some(leaf) = scope.named_virtual_service(namespace, name) else { continue };
        if !leaf.hosts.is_empty() || !leaf.export_to.visible(&leaf.origin.namespace, &root.origin.namespace) {
            continue;
        }
        // One that hands requests on in its turn could lead in a circle: such rules are left out.
        let own = leaf.http.iter().filter(|own| !matches!(own.action, HttpAction::Delegate { .. }));
        let merged = own.filter_map(|own| merged(http, own));
        rules.extend(merged.map(|http| Rule { http: Cow::Owned(http), delegate: Some(&leaf.origin) }));
    }
    rules
}

/// A delegate's rule within the rule that leads to it; `None` if one of its conditions does not lie within any of the outer ones.
fn merged(root: &HttpRoute, leaf: &HttpRoute) -> Option<HttpRoute> {
    let mut rule = HttpRoute {
        name: joined(&root.name, &leaf.name),
        matches: merged_matches(&root.matches, &leaf.matches)?,
        rewrite: leaf.rewrite.clone().or_else(|| root.rewrite.clone()),
        timeout: leaf.timeout.or(root.timeout),
        retry: leaf.retry.clone().or_else(|| root.retry.clone()),
        cors: leaf.cors.clone().or_else(|| root.cors.clone()),
        ..leaf.clone()
    };
    if rule.fault == HttpFault::default() {
        rule.fault = root.fault.clone();
    }
    if rule.mirrors.is_empty() {
        rule.mirrors.clone_from(&root.mirrors);
    }
    if rule.headers.is_none() {
        rule.headers = root.headers.clone();
    }
    Some(rule)
}

/// The names of both, as the reference's tools show them.
fn joined(root: &Arc<str>, leaf: &Arc<str>) -> Arc<str> {
    match (root.is_empty(), leaf.is_empty()) {
        (_, true) => root.clone(),
        (true, false) => leaf.clone(),
        (false, false) => format!("{root}-{leaf}").into(),
    }
}

fn merged_matches(root: &[HttpMatch], leaf: &[HttpMatch]) -> Option<Vec<HttpMatch>> {
    if root.is_empty() {
        return Some(leaf.to_vec());
    }
    if leaf.is_empty() {
        return Some(root.to_vec());
    }
    let mut all = Vec::new();
    for inner in leaf {
        let before = all.len();
        all.extend(root.iter().filter(|outer| lies_within(inner, outer)).map(|outer| merged_match(outer, inner)));
        if all.len() == before {
            return None;
        }
    }
    Some(all)
}

fn merged_match(root: &HttpMatch, leaf: &HttpMatch) -> HttpMatch {
    let text = |leaf: &Option<StringMatch>, root: &Option<StringMatch>| leaf.clone().or_else(|| root.clone());
    HttpMatch {
        name: joined(&root.name, &leaf.name),
        uri: text(&leaf.uri, &root.uri),
        ignore_uri_case: leaf.ignore_uri_case,
        scheme: text(&leaf.scheme, &root.scheme),
        method: text(&leaf.method, &root.method),
        authority: text(&leaf.authority, &root.authority),
        headers: both(&root.headers, &leaf.headers, |outer, inner| outer.name == inner.name),
        claims: both(&root.claims, &leaf.claims, |outer, inner| outer.path == inner.path),
        query_params: both(&root.query_params, &leaf.query_params, |outer, inner| outer.name == inner.name),
        port: leaf.port.or(root.port),
        source_labels: root.source_labels.iter().chain(&leaf.source_labels).map(|(name, value)| (name.clone(), value.clone())).collect(),
        source_namespace: leaf.source_namespace.clone().or_else(|| root.source_namespace.clone()),
        gateways: if leaf.gateways.is_empty() { root.gateways.clone() } else { leaf.gateways.clone() },
        stat_prefix: leaf.stat_prefix.clone().or_else(|| root.stat_prefix.clone()),
    }
}

/// A condition that may stand beside others on the same thing.
trait Condition: Clone + PartialEq {
    /// What the value must be.
    fn value(&self) -> Option<&StringMatch>;
    /// Whether it must not be that.
    fn inverted(&self) -> bool;
}

impl Condition for HeaderMatch {
    fn value(&self) -> Option<&StringMatch> {
        self.value.as_ref()
    }

    fn inverted(&self) -> bool {
        self.inverted
    }
}

impl Condition for ClaimMatch {
    fn value(&self) -> Option<&StringMatch> {
        self.value.as_ref()
    }

    fn inverted(&self) -> bool {
        self.inverted
    }
}

/// The conditions of both. An outer one goes where an inner one on the same thing says more; what must not be adds up.
fn both<C: Condition>(root: &[C], leaf: &[C], same: impl Fn(&C, &C) -> bool) -> Vec<C> {
    let covered = |outer: &C| leaf.iter().any(|inner| inner == outer || !outer.inverted() && !inner.inverted() && same(outer, inner));
    root.iter().filter(|outer| !covered(outer)).chain(leaf).cloned().collect()
}

/// Whether what a delegate's condition takes is part of what the outer one takes, as far as the reference looks.
fn lies_within(leaf: &HttpMatch, root: &HttpMatch) -> bool {
    let texts = [(&leaf.uri, &root.uri), (&leaf.scheme, &root.scheme), (&leaf.method, &root.method), (&leaf.authority, &root.authority)];
    let agree = |leaf: Option<u16>, root: Option<u16>| leaf.is_none() || root.is_none() || leaf == root;
    texts.into_iter().all(|(leaf, root)| text_lies_within(leaf.as_ref(), root.as_ref()))
        && all_lie_within(&leaf.headers, &root.headers, |outer, inner| outer.name == inner.name)
        && all_lie_within(&leaf.claims, &root.claims, |outer, inner| outer.path == inner.path)
        && all_lie_within(&leaf.query_params, &root.query_params, |outer, inner| outer.name == inner.name)
        && leaf.ignore_uri_case == root.ignore_uri_case
        && agree(leaf.port, root.port)
        && labels_agree(&leaf.source_labels, &root.source_labels)
        && (leaf.source_namespace.is_none() || root.source_namespace.is_none() || leaf.source_namespace == root.source_namespace)
        && (root.gateways.is_empty() || leaf.gateways.iter().all(|gateway| root.gateways.contains(gateway)))
}

fn labels_agree(leaf: &Labels, root: &Labels) -> bool {
    leaf.iter().all(|(name, value)| root.get(name).is_none_or(|outer| outer == value))
}

fn all_lie_within<C: Condition>(leaf: &[C], root: &[C], same: impl Fn(&C, &C) -> bool) -> bool {
    leaf.iter().all(|inner| {
        let mut outer = root.iter().filter(|outer| same(outer, inner) && outer.inverted() == inner.inverted());
        outer.all(|outer| text_lies_within(inner.value(), outer.value()))
    })
}

/// Expressions are not compared: two texts of which one is an expression don't go together.
fn text_lies_within(leaf: Option<&StringMatch>, root: Option<&StringMatch>) -> bool {
    match (leaf, root) {
        (None, _) | (_, None) => true,
        (Some(StringMatch::Exact(leaf)), Some(StringMatch::Exact(root))) => leaf == root,
        (Some(StringMatch::Exact(leaf) | StringMatch::Prefix(leaf)), Some(StringMatch::Prefix(root))) => leaf.starts_with(&**root),
        (Some(StringMatch::Prefix(_)), Some(StringMatch::Exact(_)))
        | (Some(StringMatch::Regex(_)), _)
        | (_, Some(StringMatch::Regex(_))) => false,
    }
}
