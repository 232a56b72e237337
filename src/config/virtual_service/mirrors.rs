//! Destinations that get copies of requests.

use ferromesh_crds::networking::virtual_service::HttpRoute;

use super::destinations;
use crate::config::path::At;
use crate::config::problem::Code;
use crate::config::reading::Reading;
use crate::model::{Mirror, PerMillion};

/// `mirror` with its share in one of three spellings, or `mirrors`.
pub(super) fn read(reading: &mut Reading<'_>, at: &At<'_>, route: &HttpRoute) -> Vec<Mirror> {
    reading.at_most_one(at, [("mirror", route.mirror.is_some()), ("mirrors", !route.mirrors.is_empty())]);
    let share = share(reading, at, route);
    let mut read = Vec::with_capacity(route.mirrors.len());
    if let Some(destination) = &route.mirror {
        read.push(Mirror { destination: destinations::one(reading, &at.field("mirror"), destination), share, listed: false });
    }
    let list = at.field("mirrors");
    for (index, mirror) in route.mirrors.iter().enumerate() {
        let at = list.index(index);
        let share = mirror.percentage.as_ref().map_or(PerMillion::ALL, |share| reading.percentage(&at.field("percentage"), share));
        match &mirror.destination {
            Some(destination) => {
                let destination = destinations::one(reading, &at.field("destination"), destination);
                read.push(Mirror { destination, share, listed: true });
            }
            None => reading.required(&at.field("destination")),
        }
    }
    read
}

/// The share that `mirror` gets: the newest of the fields that are there; everything without any.
fn share(reading: &mut Reading<'_>, at: &At<'_>, route: &HttpRoute) -> PerMillion {
    let newest = route.mirror_percentage.as_ref().map(|share| reading.percentage(&at.field("mirrorPercentage"), share));
    let mut old = None;
    for (field, percent) in [("mirrorPercent", route.mirror_percent), ("mirror_percent", route.mirror_percent_snake)] {
        reading.deprecated(at, field, percent.is_some(), "mirrorPercentage");
        if let Some(percent) = percent {
            old.get_or_insert(reading.percent(&at.field(field), percent.into()));
        }
    }
    if route.mirror.is_none() && (newest.is_some() || old.is_some()) {
        reading.warn(&at.field("mirrorPercentage"), Code::NoEffect, "without mirror nothing is copied");
    }
    newest.or(old).unwrap_or(PerMillion::ALL)
}
