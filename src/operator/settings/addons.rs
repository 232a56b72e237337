//! Add-ons: programs of others beside the mesh, which show its metrics and traces.

use ferromesh_crds::install::{Addon as Given, Addons, Component, GatewayService, ServiceType};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

use super::{Part, Problem, everywhere, problem::Field, service};

/// The programs that can be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::operator) enum Program {
    Prometheus,
    Grafana,
    Kiali,
    Tracing,
}

/// One that is wanted.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::operator) struct Addon {
    pub(in crate::operator) image: String,
    /// The type of its Service.
    pub(in crate::operator) service_type: ServiceType,
    /// What else is said of its Service; without ports where they are the usual ones.
    pub(in crate::operator) service: GatewayService,
    /// As every Deployment's, for what the spec can't say of an add-on.
    pub(in crate::operator) part: Part,
}

// === impl Program ===

impl Program {
    const ALL: [Self; 4] = [Self::Prometheus, Self::Grafana, Self::Kiali, Self::Tracing];

    /// Its name in spec and status.
    pub(in crate::operator) fn name(self) -> &'static str {
        match self {
            Self::Prometheus => "prometheus",
            Self::Grafana => "grafana",
            Self::Kiali => "kiali",
            Self::Tracing => "tracing",
        }
    }

    /// The one of that name.
    pub(in crate::operator) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|program| program.name() == name)
    }

    /// The name of its Deployment and ServiceAccount, as Istio's users know it.
    pub(in crate::operator) fn object(self) -> &'static str {
        match self {
            Self::Tracing => "istio-tracing",
            program => program.name(),
        }
    }

    /// The release for which its configuration is written.
    pub(in crate::operator) fn image(self) -> &'static str {
        match self {
            Self::Prometheus => "prom/prometheus:v3.5.0",
            Self::Grafana => "grafana/grafana:12.1.1",
            Self::Kiali => "quay.io/kiali/kiali:v2.24.0",
            Self::Tracing => "openzipkin/zipkin:3.5.1",
        }
    }

    fn requests(self) -> Value {
        match self {
            Self::Prometheus => json!({"cpu": "10m", "memory": "256Mi"}),
            Self::Tracing => json!({"cpu": "10m", "memory": "512Mi"}),
            Self::Grafana | Self::Kiali => json!({"cpu": "10m", "memory": "128Mi"}),
        }
    }

    fn of(self, addons: &Addons) -> Given {
        let given = match self {
            Self::Prometheus => &addons.prometheus,
            Self::Grafana => &addons.grafana,
            Self::Kiali => &addons.kiali,
            Self::Tracing => &addons.tracing,
        };
        given.clone().unwrap_or_default()
    }
}

/// The add-ons that are wanted. One that nobody speaks of is not. `everywhere` is what holds for all Deployments.
pub(super) fn read(addons: &Addons, everywhere: &Map<String, Value>, problems: &mut Vec<Problem>) -> BTreeMap<Program, Addon> {
    let place = everywhere::of_addons(everywhere);
    let wanted = Program::ALL.into_iter().map(|program| (program, program.of(addons)));
    let wanted = wanted.filter(|(_, given)| given.enabled == Some(true));
    wanted.map(|(program, given)| (program, Addon::of(program, given, &place, problems))).collect()
}

// === impl Addon ===

impl Addon {
    fn of(program: Program, given: Given, place: &Component, problems: &mut Vec<Problem>) -> Self {
        let path = format!("spec.addons.{}", program.name());
        let resources = serde_json::from_value(json!({"requests": program.requests()})).unwrap_or_default();
        let part = Part::read(&Component { resources: Some(resources), ..place.clone() }, &path, 1, problems);
        let mut service = given.service.unwrap_or_default();
        let service_type = service.type_.unwrap_or(ServiceType::ClusterIp);
        service::number_targets(&mut service.ports);
        service::check(&service, service_type, |_| None, Field::new(&path, problems).at("service"));
        let image = given.image.filter(|image| !image.is_empty());
        Self { image: image.unwrap_or_else(|| program.image().to_owned()), service_type, service, part }
    }
}
