//! Routes and conditions that never come to decide, because earlier ones take all that they would take. Legal, so a warning.

use std::collections::BTreeMap;

use ferromesh_crds::networking::VirtualServiceSpec;
use ferromesh_crds::networking::virtual_service::{HttpMatch, L4Match, StringMatch, TlsMatch};

use super::http_match::is_empty;
use crate::config::path::{At, SPEC};
use crate::config::problem::{Code, quoted};
use crate::config::reading::Reading;

/// How much of a path is looked at; it bounds the cost of long ones.
const LOOKED_AT: usize = 256;
/// How many conditions with the same path, or without one, are remembered.
const REMEMBERED: usize = 64;
/// How many server names a condition may have to be compared.
const NAMES: usize = 16;
/// How many pairs of conditions of one list are compared.
const COMPARED: usize = 200_000;

/// A condition of a route, as far as it can be compared with others.
trait Condition {
    /// What all of the list take that ask for nothing.
    const EVERYTHING: &'static str;

    /// Whether all that `later` takes is taken by this one.
    fn covers(&self, later: &Self) -> bool;

    /// Whether it takes everything.
    fn takes_everything(&self) -> bool;

    /// Where it is kept, to be found by conditions that it may cover.
    fn place(&self) -> Place<'_>;

    /// What it asks of the path, by which those that may cover it are found.
    fn path(&self) -> Option<&StringMatch>;
}

/// A part of the conditions: those that agree on the path.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place<'a> {
    Anywhere,
    Exact(&'a str),
    Prefix(&'a str),
    Regex(&'a str),
}

/// Conditions that were seen, with where they stand.
struct Seen<'a, C> {
    places: BTreeMap<Place<'a>, Vec<(&'a C, usize, usize)>>,
    budget: usize,
}

/// Warns of routes behind those that take every request of theirs, and of conditions behind those that cover them.
pub(super) fn warn_of_unreachable(reading: &mut Reading<'_>, spec: &VirtualServiceSpec) {
    let http: Vec<_> = spec.http.iter().map(|route| &*route.match_).collect();
    warn_of_list(reading, "http", &http);
    let tls: Vec<_> = spec.tls.iter().map(|route| &*route.match_).collect();
    warn_of_list(reading, "tls", &tls);
    let tcp: Vec<_> = spec.tcp.iter().map(|route| &*route.match_).collect();
    warn_of_list(reading, "tcp", &tcp);
}

fn warn_of_list<C: Condition>(reading: &mut Reading<'_>, list: &'static str, routes: &[&[C]]) {
    let at = SPEC.field(list);
    let mut seen = Seen { places: BTreeMap::new(), budget: COMPARED };
    let mut takes_all: Option<usize> = None;
    for (index, conditions) in routes.iter().enumerate() {
        let here = at.index(index);
        if let Some(first) = takes_all {
            reading.warn(&here, Code::UnreachableRule, format!("never matches: spec.{list}[{first}] takes every {}", C::EVERYTHING));
            continue;
        }
        let mut covered = 0;
        for (position, condition) in conditions.iter().enumerate() {
            match seen.covering(condition) {
                Some((earlier, route, earlier_position)) => {
                    covered += 1;
                    warn_of_condition(reading, &here.field("match").index(position), list, earlier, (route, earlier_position));
                }
                None => seen.remember(condition, index, position),
            }
        }
        if covered == conditions.len() && covered > 0 {
            reading.warn(&here, Code::UnreachableRule, "never matches: earlier conditions take all that its own would take");
        } else if conditions.is_empty() || conditions.iter().any(Condition::takes_everything) {
            takes_all = Some(index);
        }
    }
}

fn warn_of_condition<C: Condition>(reading: &mut Reading<'_>, at: &At<'_>, list: &str, earlier: &C, (route, position): (usize, usize)) {
    let message = match earlier.path().and_then(|path| path.prefix.as_deref()) {
        Some(prefix) => format!("never decides: spec.{list}[{route}].match[{position}] takes the prefix {} already", quoted(prefix)),
        None => format!("never decides: spec.{list}[{route}].match[{position}] takes all that it asks for already"),
    };
    reading.warn(at, Code::IneffectiveMatch, message);
}

// === impl Seen ===

impl<'a, C: Condition> Seen<'a, C> {
    fn covering(&mut self, condition: &C) -> Option<(&'a C, usize, usize)> {
        let path = condition.path();
        let exact = path.and_then(|path| path.exact.as_deref());
        let regex = path.and_then(|path| path.regex.as_deref()).map(Place::Regex);
        for place in [Some(Place::Anywhere), exact.map(Place::Exact), regex].into_iter().flatten() {
            if let Some(found) = self.covering_at(place, condition) {
                return Some(found);
            }
        }
        // In sorted order the longest prefix of a text is near it: what lies between them begins as both do.
        let path = exact.or(path.and_then(|path| path.prefix.as_deref()))?;
        let mut rest = &path[..path.floor_char_boundary(LOOKED_AT)];
        while !rest.is_empty()
            && let Some((shared, is_prefix)) = self.nearest_prefix(rest)
        {
            if !is_prefix {
                rest = &rest[..rest.floor_char_boundary(shared)];
                continue;
            }
            if let Some(found) = self.covering_at(Place::Prefix(&rest[..shared]), condition) {
                return Some(found);
            }
            rest = &rest[..rest.floor_char_boundary(shared.saturating_sub(1))];
        }
        None
    }

    fn covering_at(&mut self, place: Place<'_>, condition: &C) -> Option<(&'a C, usize, usize)> {
        let earlier = self.places.get(&place)?;
        self.budget = self.budget.checked_sub(earlier.len())?;
        earlier.iter().find(|(earlier, ..)| earlier.covers(condition)).copied()
    }

    /// The last of the prefixes that do not come after a text: how much of it the text begins with, and whether that is all of it.
    fn nearest_prefix(&self, text: &str) -> Option<(usize, bool)> {
        match self.places.range(Place::Prefix("")..=Place::Prefix(text)).next_back()?.0 {
            Place::Prefix(prefix) => {
                let shared = shared_beginning(prefix, text);
                Some((shared, shared == prefix.len()))
            }
            _ => None,
        }
    }

    fn remember(&mut self, condition: &'a C, route: usize, position: usize) {
        let place = self.places.entry(condition.place()).or_default();
        if place.len() < REMEMBERED {
            place.push((condition, route, position));
        }
    }
}

// === impl Condition for HttpMatch ===

impl Condition for HttpMatch {
    const EVERYTHING: &'static str = "path";

    fn covers(&self, later: &Self) -> bool {
        let headers = self.headers.iter().all(|(name, value)| later.headers.get(name).is_some_and(|other| text_covers(value, other)));
        // What must not be there is compared as it is: less of it takes more.
        let without = self.without_headers.iter().all(|(name, value)| later.without_headers.get(name) == Some(value));
        let query =
            self.query_params.iter().all(|(name, value)| later.query_params.get(name).is_some_and(|other| text_covers(value, other)));
        path_covers(self, later)
            && optional_covers(self.scheme.as_ref(), later.scheme.as_ref())
            && optional_covers(self.method.as_ref(), later.method.as_ref())
            && optional_covers(self.authority.as_ref(), later.authority.as_ref())
            && headers
            && without
            && query
            && caller(self).covers(&caller(later))
    }

    fn takes_everything(&self) -> bool {
        let bare = Self { name: self.name.clone(), stat_prefix: self.stat_prefix.clone(), uri: self.uri.clone(), ..Self::default() };
        *self == bare && asked_path(self).is_none()
    }

    fn place(&self) -> Place<'_> {
        match asked_path(self) {
            // Where case is ignored, equal beginnings are spelled in many ways.
            Some(uri) if self.ignore_uri_case == Some(true) && uri.regex.is_none() => Place::Anywhere,
            Some(StringMatch { exact: Some(path), .. }) => Place::Exact(path),
            Some(StringMatch { prefix: Some(path), .. }) if path.len() <= LOOKED_AT => Place::Prefix(path),
            Some(StringMatch { regex: Some(expression), .. }) => Place::Regex(expression),
            _ => Place::Anywhere,
        }
    }

    fn path(&self) -> Option<&StringMatch> {
        asked_path(self)
    }
}

/// How many bytes two texts begin with in common.
fn shared_beginning(one: &str, other: &str) -> usize {
    one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count()
}

/// What is asked of the path; every path begins with `/`, so that asks nothing.
fn asked_path(condition: &HttpMatch) -> Option<&StringMatch> {
    condition.uri.as_ref().filter(|uri| !is_empty(uri) && !uri.prefix.as_deref().is_some_and(|prefix| prefix.is_empty() || prefix == "/"))
}

fn path_covers(earlier: &HttpMatch, later: &HttpMatch) -> bool {
    let Some(asked) = asked_path(earlier) else { return true };
    let Some(other) = asked_path(later) else { return false };
    match (earlier.ignore_uri_case == Some(true), later.ignore_uri_case == Some(true)) {
        (false, true) => false,
        (true, _) if asked.regex.is_none() => text_covers(&lower_case(asked), &lower_case(other)),
        _ => text_covers(asked, other),
    }
}

fn lower_case(text: &StringMatch) -> StringMatch {
    let lower = |text: &Option<String>| text.as_ref().map(|text| text.to_ascii_lowercase());
    StringMatch { exact: lower(&text.exact), prefix: lower(&text.prefix), regex: text.regex.clone() }
}

fn optional_covers(earlier: Option<&StringMatch>, later: Option<&StringMatch>) -> bool {
    match (earlier, later) {
        (None, _) => true,
        (Some(earlier), None) => is_empty(earlier),
        (Some(earlier), Some(later)) => text_covers(earlier, later),
    }
}

/// Whether every text that meets `later` meets `earlier`. One that compares with nothing holds for all.
fn text_covers(earlier: &StringMatch, later: &StringMatch) -> bool {
    let begins = |prefix: &str, text: &Option<String>| text.as_deref().is_some_and(|text| text.starts_with(prefix));
    is_empty(earlier)
        || earlier == later
        || earlier.prefix.as_deref().is_some_and(|prefix| begins(prefix, &later.prefix) || begins(prefix, &later.exact))
}

// === impl Condition for L4Match ===

impl Condition for L4Match {
    const EVERYTHING: &'static str = "connection";

    fn covers(&self, later: &Self) -> bool {
        within(&later.destination_subnets, &self.destination_subnets) && tcp_caller(self).covers(&tcp_caller(later))
    }

    fn takes_everything(&self) -> bool {
        Self { source_subnet: None, ..self.clone() } == Self::default()
    }

    fn place(&self) -> Place<'_> {
        Place::Anywhere
    }

    fn path(&self) -> Option<&StringMatch> {
        None
    }
}

// === impl Condition for TlsMatch ===

impl Condition for TlsMatch {
    const EVERYTHING: &'static str = "connection";

    fn covers(&self, later: &Self) -> bool {
        let covers = |own: &str, name: &str| own == name || own.strip_prefix('*').is_some_and(|end| name.ends_with(end));
        let taken = |name: &String| self.sni_hosts.iter().any(|own| covers(own, name));
        // Each name is compared with each, so long lists are left alone.
        later.sni_hosts.len() <= NAMES
            && self.sni_hosts.len() <= NAMES
            && later.sni_hosts.iter().all(taken)
            && within(&later.destination_subnets, &self.destination_subnets)
            && tls_caller(self).covers(&tls_caller(later))
    }

    fn takes_everything(&self) -> bool {
        Self { sni_hosts: Vec::new(), ..self.clone() } == Self::default() && self.sni_hosts.iter().any(|name| name == "*")
    }

    fn place(&self) -> Place<'_> {
        Place::Anywhere
    }

    fn path(&self) -> Option<&StringMatch> {
        None
    }
}

/// Who calls, and what: what all kinds of conditions have in common.
struct Caller<'a> {
    port: Option<u32>,
    labels: &'a BTreeMap<String, String>,
    namespace: Option<&'a str>,
    gateways: &'a [String],
}

// === impl Caller ===

impl Caller<'_> {
    fn covers(&self, later: &Self) -> bool {
        let given = |text: Option<&str>| text.is_some_and(|text| !text.is_empty());
        (self.port.unwrap_or_default() == 0 || self.port == later.port)
            && self.labels.iter().all(|(key, value)| later.labels.get(key) == Some(value))
            && (!given(self.namespace) || self.namespace == later.namespace)
            && within(later.gateways, self.gateways)
    }
}

fn caller(condition: &HttpMatch) -> Caller<'_> {
    Caller {
        port: condition.port,
        labels: &condition.source_labels,
        namespace: condition.source_namespace.as_deref(),
        gateways: &condition.gateways,
    }
}

fn tcp_caller(condition: &L4Match) -> Caller<'_> {
    Caller {
        port: condition.port,
        labels: &condition.source_labels,
        namespace: condition.source_namespace.as_deref(),
        gateways: &condition.gateways,
    }
}

fn tls_caller(condition: &TlsMatch) -> Caller<'_> {
    Caller {
        port: condition.port,
        labels: &condition.source_labels,
        namespace: condition.source_namespace.as_deref(),
        gateways: &condition.gateways,
    }
}

/// Whether all that `inner` names is named by `outer`; no names mean all.
fn within(inner: &[String], outer: &[String]) -> bool {
    outer.is_empty() || outer.len() <= REMEMBERED && !inner.is_empty() && inner.iter().all(|name| outer.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(prefix: &str, method: &str) -> HttpMatch {
        let text = |exact: &str| StringMatch { exact: Some(exact.to_owned()), ..StringMatch::default() };
        HttpMatch {
            uri: Some(StringMatch { prefix: Some(prefix.to_owned()), ..StringMatch::default() }),
            method: (!method.is_empty()).then(|| text(method)),
            ..HttpMatch::default()
        }
    }

    #[test]
    fn the_condition_that_covers_is_found_among_prefixes_of_any_length() {
        let earlier = [at("/a", "PUT"), at("/a/b", ""), at("/a/b/c", "GET"), at("/a/bb", ""), at("/ä", ""), at("/z", "")];
        let mut seen = Seen { places: BTreeMap::new(), budget: COMPARED };
        for (index, condition) in earlier.iter().enumerate() {
            seen.remember(condition, index, 0);
        }
        let mut found = |prefix: &str, method: &str| seen.covering(&at(prefix, method)).map(|(_, route, _)| route);
        assert_eq!(found("/a/b/c/d", "PUT"), Some(1));
        assert_eq!(found("/a/b/c/d", "GET"), Some(2));
        assert_eq!((found("/a/c", "PUT"), found("/a/c", "GET")), (Some(0), None));
        assert_eq!((found("/äö", ""), found("/ö", ""), found("/", "")), (Some(4), None, None));
        assert_eq!(found(&format!("/z/{}", "ä".repeat(LOOKED_AT)), ""), Some(5));
    }

    #[test]
    fn comparing_ends_where_it_costs_too_much() {
        let mut seen = Seen { places: BTreeMap::new(), budget: 1 };
        let (first, second) = (at("/a", ""), at("/a", ""));
        seen.remember(&first, 0, 0);
        assert!(seen.covering(&second).is_some());
        assert!(seen.covering(&second).is_none());
    }
}
