//! Which checks a world is too little known for.

use super::{Code, Facts, Skipped, World};

/// A part of the world that a check needs: what people call it, and whether it is known.
type Need = (&'static str, fn(&Facts) -> bool);

const CONFIG: Need = ("configuration", |facts| facts.coverage.config);
const DEPLOYMENTS: Need = ("Deployments", |facts| facts.deployments.is_some());
const INJECTORS: Need = ("settings of the injector", |facts| facts.injectors.is_some());
const NAMESPACES: Need = ("Namespaces", |facts| facts.namespaces.is_some());
const PODS: Need = ("Pods", |facts| facts.pods.is_some());
const SECRETS: Need = ("Secrets", |facts| facts.secrets.is_some());
const SERVICES: Need = ("services", |facts| facts.coverage.services);
const WRITTEN_SERVICES: Need = ("Services", |facts| facts.services.is_some());
const WEBHOOKS: Need = ("webhooks", |facts| facts.webhooks.is_some());
const WORKLOADS: Need = ("workloads", |facts| facts.coverage.workloads);

/// What each check needs, beside the objects that it is about.
const NEEDS: &[(Code, &[Need])] = &[
    (Code::HostOfAnotherNamespace, &[CONFIG]),
    (Code::ReferencedResourceNotFound, &[CONFIG, NAMESPACES, SECRETS, SERVICES, WORKLOADS]),
    (Code::NamespaceNotInjected, &[NAMESPACES, INJECTORS]),
    (Code::PodMissingProxy, &[NAMESPACES, PODS]),
    (Code::MisplacedAnnotation, &[NAMESPACES, WRITTEN_SERVICES, PODS, DEPLOYMENTS]),
    (Code::UnknownAnnotation, &[NAMESPACES, WRITTEN_SERVICES, PODS, DEPLOYMENTS]),
    (Code::ConflictingMeshGatewayVirtualServiceHosts, &[CONFIG]),
    (Code::ConflictingSidecarWorkloadSelectors, &[CONFIG, WORKLOADS]),
    (Code::MultipleSidecarsWithoutWorkloadSelectors, &[CONFIG]),
    (Code::VirtualServiceDestinationPortSelectorRequired, &[SERVICES]),
    (Code::DeploymentAssociatedToMultipleServices, &[DEPLOYMENTS, WRITTEN_SERVICES]),
    (Code::PortNameIsNotUnderNamingConvention, &[WRITTEN_SERVICES]),
    (Code::NamespaceMultipleInjectionLabels, &[NAMESPACES]),
    (Code::InvalidAnnotation, &[NAMESPACES, WRITTEN_SERVICES, PODS, DEPLOYMENTS]),
    (Code::NoMatchingWorkloadsFound, &[WORKLOADS]),
    (Code::VirtualServiceHostNotFoundInGateway, &[CONFIG]),
    (Code::DeprecatedAnnotation, &[NAMESPACES, WRITTEN_SERVICES, PODS, DEPLOYMENTS]),
    (Code::DeploymentConflictingPorts, &[DEPLOYMENTS, WRITTEN_SERVICES]),
    (Code::GatewayDuplicateCertificate, &[CONFIG]),
    (Code::InvalidWebhook, &[WEBHOOKS, WRITTEN_SERVICES]),
    (Code::IngressRouteRulesNotAffected, &[CONFIG]),
    (Code::InvalidApplicationUID, &[PODS, DEPLOYMENTS]),
    (Code::ConflictingGateways, &[CONFIG]),
    (Code::ImageAutoWithoutInjectionWarning, &[DEPLOYMENTS, NAMESPACES, WEBHOOKS]),
    (Code::ImageAutoWithoutInjectionError, &[PODS]),
    (Code::NamespaceInjectionEnabledByDefault, &[NAMESPACES, INJECTORS]),
    (Code::JwtClaimBasedRoutingWithoutRequestAuthN, &[CONFIG, WORKLOADS]),
    (Code::ExternalNameServiceTypeInvalidPortName, &[WRITTEN_SERVICES]),
    (Code::InvalidTelemetryProvider, &[CONFIG]),
    (Code::PodsIstioProxyImageMismatchInNamespace, &[NAMESPACES, PODS, INJECTORS]),
    (Code::ConflictingTelemetryWorkloadSelectors, &[CONFIG, WORKLOADS]),
    (Code::MultipleTelemetriesWithoutWorkloadSelectors, &[CONFIG]),
    (Code::InvalidGatewayCredential, &[SECRETS, WORKLOADS]),
    (Code::GatewayPortNotDefinedOnService, &[SERVICES, WORKLOADS]),
    (Code::DestinationRuleSubsetNotSelectPods, &[SERVICES, WORKLOADS]),
    (Code::UnknownDestinationRuleHost, &[SERVICES]),
    (Code::ConflictingServiceEntryProtocol, &[CONFIG]),
];

/// The checks that were left out, wholly or in part, because what they need is not known; sorted.
pub fn skipped(world: &World) -> Vec<Skipped> {
    let facts = world.facts();
    let unknown = |(code, needs): &(Code, &[Need])| {
        let code = *code;
        needs.iter().filter(|(_, known)| !known(facts)).map(move |(unknown, _)| Skipped { code, unknown }).collect::<Vec<_>>()
    };
    let mut all: Vec<_> = NEEDS.iter().flat_map(unknown).collect();
    all.sort_unstable();
    all
}
