//! Destinations of routes and their weights.

use ferromesh_crds::networking::virtual_service::{Destination, HttpRouteDestination, RouteDestination};

use super::headers;
use crate::config::hosts::is_label;
use crate::config::path::At;
use crate::config::problem::{Code, quoted};
use crate::config::reading::Reading;
use crate::model::{self, HostPattern, WeightedDestination};

/// The sum of several weights: they are percent.
const WHOLE: i64 = 100;

/// Destinations of an HTTP route.
pub(super) fn of_http(reading: &mut Reading<'_>, route: &At<'_>, entries: &[HttpRouteDestination]) -> Vec<WeightedDestination> {
    let at = route.field("route");
    check_weights(reading, &at, entries.iter().map(|entry| entry.weight));
    let read = |(index, entry): (usize, &HttpRouteDestination)| {
        let at = at.index(index);
        WeightedDestination {
            destination: required(reading, &at, entry.destination.as_ref()),
            weight: weight(reading, &at, entry.weight),
            headers: headers::of_destination(reading, &at, entry),
        }
    };
    entries.iter().enumerate().map(read).collect()
}

/// Destinations of a TLS or TCP route.
pub(super) fn of_connections(reading: &mut Reading<'_>, route: &At<'_>, entries: &[RouteDestination]) -> Vec<WeightedDestination> {
    let at = route.field("route");
    if entries.is_empty() {
        reading.required(&at);
    }
    check_weights(reading, &at, entries.iter().map(|entry| entry.weight));
    let read = |(index, entry): (usize, &RouteDestination)| {
        let at = at.index(index);
        WeightedDestination {
            destination: required(reading, &at, entry.destination.as_ref()),
            weight: weight(reading, &at, entry.weight),
            headers: None,
        }
    };
    entries.iter().enumerate().map(read).collect()
}

/// A destination that must be there.
fn required(reading: &mut Reading<'_>, parent: &At<'_>, destination: Option<&Destination>) -> model::Destination {
    let at = parent.field("destination");
    match destination {
        Some(destination) => one(reading, &at, destination),
        None => {
            reading.required(&at);
            model::Destination { host: HostPattern::new(""), subset: None, port: None }
        }
    }
}

/// A destination.
pub(in crate::config) fn one(reading: &mut Reading<'_>, at: &At<'_>, destination: &Destination) -> model::Destination {
    let host = at.field("host");
    if destination.host.is_empty() {
        reading.required(&host);
    } else if destination.host == "*" {
        reading.error(&host, Code::BadHost, "\"*\" is no destination: name a host");
    }
    let subset = destination.subset.as_deref().filter(|subset| !subset.is_empty());
    if let Some(subset) = subset
        && !is_label(subset)
    {
        reading.error(&at.field("subset"), Code::BadName, format!("{} is no name of a subset", quoted(subset)));
    }
    model::Destination {
        host: if destination.host.is_empty() { HostPattern::new("") } else { reading.wildcard_host(&host, &destination.host) },
        subset: subset.map(Into::into),
        port: reading.port_selector(&at.field("port"), destination.port.as_ref()),
    }
}

fn weight(reading: &mut Reading<'_>, at: &At<'_>, weight: Option<i32>) -> u32 {
    reading.count(&at.field("weight"), weight).unwrap_or_default()
}

/// A sole destination gets everything, whatever its weight; the weights of several are percent.
fn check_weights(reading: &mut Reading<'_>, at: &At<'_>, weights: impl ExactSizeIterator<Item = Option<i32>>) {
    let several = weights.len() > 1;
    let sum: i64 = weights.map(|weight| i64::from(weight.unwrap_or_default()).max(0)).sum();
    if several && sum != WHOLE {
        reading.error(at, Code::BadWeights, format!("weights add up to {sum}, not {WHOLE}"));
    }
}
