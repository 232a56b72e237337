//! VirtualServices: what they name and is not there.

use std::{fmt, sync::Arc};

use super::lookups::{LOOKED_AT, listed, row, some};
use super::{Code, Finding, World};
use crate::model::{
    Destination, HttpAction, MESH_GATEWAY, NamespaceSelector, ObjectRef, Service, ServicePort, VirtualService, Visibility,
    WeightedDestination,
};

/// Where a destination stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    list: &'static str,
    rule: usize,
    of_rule: OfRule,
}

/// Where a destination stands in its rule.
#[derive(Clone, Copy, Debug)]
enum OfRule {
    Route(usize),
    Mirror,
    Mirrors(usize),
}

/// `spec.http[2].route[0].destination`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spec.{}[{}].", self.list, self.rule)?;
        match self.of_rule {
            OfRule::Route(place) => write!(f, "route[{place}].destination"),
            OfRule::Mirror => f.write_str("mirror"),
            OfRule::Mirrors(place) => write!(f, "mirrors[{place}].destination"),
        }
    }
}

/// All places that a VirtualService sends something to.
pub(super) fn destinations(routes: &VirtualService) -> impl Iterator<Item = (Place, &Destination)> {
    let http = routes.http.iter().enumerate().filter_map(|(rule, route)| match &route.action {
        HttpAction::Forward(destinations) => Some(("http", rule, destinations)),
        HttpAction::Redirect(_) | HttpAction::Respond { .. } | HttpAction::Delegate { .. } => None,
    });
    let mirrors = routes.http.iter().enumerate().flat_map(|(rule, route)| {
        let all = route.mirrors.iter().enumerate();
        all.map(move |(place, mirror)| {
            let of_rule = if mirror.listed { OfRule::Mirrors(place) } else { OfRule::Mirror };
            (Place { list: "http", rule, of_rule }, &mirror.destination)
        })
    });
    let tls = routes.tls.iter().enumerate().map(|(rule, route)| ("tls", rule, &route.destinations));
    let tcp = routes.tcp.iter().enumerate().map(|(rule, route)| ("tcp", rule, &route.destinations));
    let all = http.chain(tls).chain(tcp);
    let forwards = all.flat_map(|(list, rule, destinations): (&'static str, usize, &Vec<WeightedDestination>)| {
        let place = move |place| Place { list, rule, of_rule: OfRule::Route(place) };
        destinations.iter().enumerate().map(move |(index, to)| (place(index), &to.destination))
    });
    forwards.chain(mirrors)
}

/// Checks a VirtualService.
pub(super) fn check(world: &World, routes: &VirtualService, findings: &mut Vec<Finding>) {
    check_gateways(world, routes, findings);
    for (place, destination) in destinations(routes) {
        check_destination(world, routes, place, destination, findings);
    }
    check_delegates(world, routes, findings);
    check_subset_routes(world, routes, findings);
}

/// A delegate is a VirtualService without hosts of its own.
fn check_delegates(world: &World, routes: &VirtualService, findings: &mut Vec<Finding>) {
    if !world.facts().coverage.config {
        return;
    }
    for (index, route) in routes.http.iter().enumerate() {
        let HttpAction::Delegate { namespace, name } = &route.action else { continue };
        let object = ObjectRef { kind: "VirtualService", namespace: namespace.clone(), name: name.clone() };
        let defect = match world.snapshot().config.virtual_services.get(&object) {
            None => format!("there is no {object} to hand requests to: create it, or correct the name"),
            Some(delegate) if !delegate.hosts.is_empty() => format!("{object} has hosts of its own, so that nothing can be handed to it"),
            Some(_) => continue,
        };
        let path = format!("spec.http[{index}].delegate");
        findings.push(Finding::new(Code::ReferencedResourceNotFound, &routes.origin, path, defect).with([object]));
    }
}

/// The object that an entry of `gateways` names.
pub(super) fn gateway_object(name: &str) -> Option<ObjectRef> {
    let (namespace, name) = name.split_once('/')?;
    Some(ObjectRef::new("Gateway", namespace, name))
}

fn check_gateways(world: &World, routes: &VirtualService, findings: &mut Vec<Finding>) {
    if !world.facts().coverage.config {
        return;
    }
    let named = routes.gateways.iter().enumerate().filter(|(_, name)| &***name != MESH_GATEWAY);
    for (index, object) in named.filter_map(|(index, name)| Some((index, gateway_object(name)?))) {
        let path = format!("spec.gateways[{index}]");
        let Some(gateway) = world.snapshot().config.gateways.get(&object) else {
            let message = format!("there is no {object}: create it, or correct the name");
            findings.push(Finding::new(Code::ReferencedResourceNotFound, &routes.origin, path, message));
            continue;
        };
        let speaks = |namespace: &NamespaceSelector| match namespace {
            NamespaceSelector::Any => true,
            NamespaceSelector::Own => routes.origin.namespace == gateway.origin.namespace,
            NamespaceSelector::Named(name) => routes.origin.namespace == *name,
        };
        let mut served = gateway.servers.iter().flat_map(|server| &server.hosts).filter(|(namespace, _)| speaks(namespace));
        // A delegate has no hosts: those of its root count.
        if !routes.hosts.is_empty() && !served.any(|(_, host)| routes.hosts.iter().any(|wanted| wanted.overlaps(host))) {
            let message = format!("{object} serves none of the hosts {} for this namespace", row(&routes.hosts));
            findings.push(Finding::new(Code::VirtualServiceHostNotFoundInGateway, &routes.origin, path, message).with([object]));
        }
    }
}

fn check_destination(world: &World, routes: &VirtualService, place: Place, to: &Destination, findings: &mut Vec<Finding>) {
    let mut report = |code: Code, field: &str, message: String| {
        findings.push(Finding::new(code, &routes.origin, format!("{place}.{field}"), message));
    };
    let coverage = world.facts().coverage;
    if coverage.services {
        let services = world.services_of(&to.host);
        let visible = services.iter().find(|service| is_visible(routes, service));
        match (visible, services.first()) {
            (Some(service), _) => check_port(service, to, &mut report),
            (None, Some(hidden)) => {
                let message = format!("{} is not exported to namespace {}: see its exportTo", hidden.origin, routes.origin.namespace);
                report(Code::ReferencedResourceNotFound, "host", message);
            }
            (None, None) => {
                let message = format!("no service has the host {:?}: create it, or correct the name", to.host.as_str());
                report(Code::ReferencedResourceNotFound, "host", message);
            }
        }
    }
    if let Some(subset) = to.subset.as_ref().filter(|_| coverage.config)
        && !has_subset(world, to, subset)
    {
        let message = format!("no DestinationRule for {:?} has a subset {:?}", to.host.as_str(), &**subset);
        report(Code::ReferencedResourceNotFound, "subset", message);
    }
}

/// Whether a service can be seen from where the routes hold: in the namespaces that see them, or at their gateways.
fn is_visible(routes: &VirtualService, service: &Service) -> bool {
    let own = &routes.origin.namespace;
    let visible = |viewer: &str| service.export_to.visible(&service.key.namespace, viewer);
    let exported = routes.export_to.0.iter().any(|entry| matches!(entry, Visibility::Namespace(namespace) if visible(namespace)));
    let at_gateway = || routes.gateways.iter().filter_map(|name| name.split_once('/')).any(|(namespace, _)| visible(namespace));
    visible(own) || exported || at_gateway()
}

fn check_port(service: &Service, to: &Destination, report: &mut impl FnMut(Code, &str, String)) {
    let numbers = || row(service.ports.iter().map(|port: &ServicePort| port.number));
    match to.port {
        None if service.ports.len() > 1 => {
            let message = format!("{:?} has the ports {}: name one", to.host.as_str(), numbers());
            report(Code::VirtualServiceDestinationPortSelectorRequired, "port", message);
        }
        Some(port) if service.port(port).is_none() => {
            let message = format!("{:?} has no port {port}, but {}", to.host.as_str(), numbers());
            report(Code::ReferencedResourceNotFound, "port.number", message);
        }
        _ => {}
    }
}

fn has_subset(world: &World, to: &Destination, subset: &Arc<str>) -> bool {
    let rules = &world.tables.rules;
    let objects = rules.exact(&to.host).take(LOOKED_AT).chain(rules.wider(&to.host).into_iter().take(LOOKED_AT));
    let mut found = objects.filter_map(|object| world.snapshot().config.destination_rules.get(object));
    found.any(|rule| rule.subsets.iter().any(|known| known.name == *subset))
}

/// Subset routes of the sidecars' own VirtualServices hold nothing for requests that come from a gateway: it sends them on itself.
fn check_subset_routes(world: &World, routes: &VirtualService, findings: &mut Vec<Finding>) {
    let bound: Vec<&Arc<str>> = routes.gateways.iter().filter(|name| &***name != MESH_GATEWAY).collect();
    if bound.is_empty() {
        return;
    }
    let forwards = |place: &Place| place.list == "http" && matches!(place.of_rule, OfRule::Route(_));
    for (place, to) in destinations(routes).filter(|(place, to)| forwards(place) && to.subset.is_none()) {
        let others = world.tables.subset_routes.of(&to.host).filter(|other| **other != routes.origin).take(LOOKED_AT);
        let passed_by = others.filter(|other| {
            let other = world.snapshot().config.virtual_services.get(*other);
            other.is_some_and(|other| !bound.iter().all(|gateway| other.gateways.contains(gateway)))
        });
        let passed_by: Vec<&ObjectRef> = passed_by.collect();
        if !passed_by.is_empty() {
            let message =
                format!("requests from a gateway pass by the subsets of {}: name a subset here as well", listed(passed_by.iter().copied()));
            let finding = Finding::new(Code::IngressRouteRulesNotAffected, &routes.origin, format!("{place}.host"), message);
            findings.push(finding.with(some(passed_by)));
        }
    }
}
