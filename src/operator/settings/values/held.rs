//! Paths of 1.4 that leave no choice here: what always is so, and what is said in another place or not at all.

use serde_json::Value;

use super::paths::Target;

/// The one value that a path may have.
#[derive(Clone, Copy)]
pub(super) enum Held {
    Bool(bool),
    Number(i64),
    Text(&'static str),
}

/// What always is so: the path, its value, and why it can have no other.
const HELD: [(&str, Held, &str); 34] = [
    ("global.controlPlaneSecurityEnabled", Held::Bool(true), "the control plane speaks mutual TLS alone: take it away"),
    ("global.sds.enabled", Held::Bool(true), "proxies get certificates from their agent by SDS, and in no other way: take it away"),
    ("global.sds.token.aud", Held::Text("istio-ca"), "tokens for citadel have the audience istio-ca: take it away"),
    ("global.disablePolicyChecks", Held::Bool(true), POLICY),
    ("global.policyCheckFailOpen", Held::Bool(false), POLICY),
    ("global.enableTracing", Held::Bool(false), TRACING),
    ("global.configValidation", Held::Bool(true), "set components.galley.enabled: false for a mesh without validation"),
    (
        "global.defaultPodDisruptionBudget.enabled",
        Held::Bool(true),
        "parts with more than one pod have a PodDisruptionBudget: take it away",
    ),
    ("global.enableHelmTest", Held::Bool(false), "there is no such test in the mesh: take it away"),
    ("global.k8sIngress.enabled", Held::Bool(false), "objects of kind Ingress are not read: use a Gateway and a VirtualService"),
    ("global.k8sIngress.enableHttps", Held::Bool(false), "objects of kind Ingress are not read: use a Gateway and a VirtualService"),
    (
        "global.meshExpansion.enabled",
        Held::Bool(false),
        "is not available yet: declare an ingress gateway with the ports under spec.gateways",
    ),
    ("global.monitoringPort", Held::Number(15014), "all parts are monitored at 15014: take it away"),
    ("global.multiCluster.enabled", Held::Bool(false), "is not available yet: take it away"),
    ("global.oneNamespace", Held::Bool(false), "pilot reads all namespaces: hide by a Sidecar or exportTo what others are not to see"),
    ("global.createRemoteSvcEndpoints", Held::Bool(true), "with global.remotePilotAddress proxies are led there: take it away"),
    ("global.remotePilotCreateSvcEndpoint", Held::Bool(true), "with global.remotePilotAddress proxies are led there: take it away"),
    ("global.proxy.clusterDomain", Held::Text("cluster.local"), "another domain than cluster.local is not available: take it away"),
    ("global.proxy.enableCoreDump", Held::Bool(false), "would need a privileged container in each pod, and is not available: take it away"),
    ("global.proxy.privileged", Held::Bool(false), "no proxy needs it: take it away"),
    ("global.proxy.envoyAccessLogService.enabled", Held::Bool(false), "is not available yet: take it away"),
    ("global.proxy.envoyMetricsService.enabled", Held::Bool(false), "is not available: proxies are scraped at 15020"),
    ("global.proxy.envoyStatsd.enabled", Held::Bool(false), "is not available: proxies are scraped at 15020"),
    (
        "global.omitSidecarInjectorConfigMap",
        Held::Bool(false),
        "the injector needs it: set components.injector.enabled: false for a mesh without injector",
    ),
    (
        "security.createMeshPolicy",
        Held::Bool(true),
        "there is a mesh-wide policy where global.mtls.enabled says so: set that to false for a mesh without it",
    ),
    ("security.enableNamespacesByDefault", Held::Bool(true), "citadel signs for every namespace: take it away"),
    ("gateways.enabled", Held::Bool(true), "switch off each gateway by its name, as in gateways.istio-ingressgateway.enabled"),
    ("gateways.istio-ingressgateway.sds.enabled", Held::Bool(true), "gateways get their certificates from pilot by SDS: take it away"),
    ("gateways.istio-egressgateway.sds.enabled", Held::Bool(true), "gateways get their certificates from pilot by SDS: take it away"),
    ("tracing.provider", Held::Text("zipkin"), "the add-on is Zipkin: take it away"),
    ("pilot.sidecar", Held::Bool(false), "pilot serves TLS itself: take it away"),
    ("pilot.policy.enabled", Held::Bool(false), POLICY),
    ("pilot.enableProtocolSniffingForInbound", Held::Bool(true), "name the protocol in the port, or set protocolDetectionTimeout"),
    ("pilot.enableProtocolSniffingForOutbound", Held::Bool(true), "name the protocol in the port, or set protocolDetectionTimeout"),
];

/// Switches of what is not there: off may be said.
const ABSENT: [(&str, &str); 9] = [
    ("mixer.policy.enabled", POLICY),
    ("mixer.telemetry.enabled", MIXER),
    ("telemetry.enabled", MIXER),
    ("telemetry.v1.enabled", MIXER),
    ("telemetry.v2.enabled", MIXER),
    ("nodeagent.enabled", "each proxy's agent does what the node agent did: take it away"),
    ("certmanager.enabled", "is not part of the mesh: install cert-manager yourself, and name its Secrets in Gateways"),
    ("istiocoredns.enabled", "proxies answer for the mesh's hosts: set defaultConfig.proxyMetadata.ISTIO_META_DNS_CAPTURE to \"true\""),
    ("security.citadelHealthCheck", "citadel's probes tell how it is: take it away"),
];

/// What is said elsewhere, or has no place at all; a path is meant with all that is below it.
const INSTEAD: [(&str, &str); 27] = [
    ("mixer.adapters", MIXER),
    ("mixer.templates", MIXER),
    ("mixer.telemetry", MIXER),
    ("mixer.policy", POLICY),
    ("nodeagent", "each proxy's agent does what the node agent did: take it away"),
    ("certmanager", "is not part of the mesh: install cert-manager yourself, and name its Secrets in Gateways"),
    ("istiocoredns", "proxies answer for the mesh's hosts: set defaultConfig.proxyMetadata.ISTIO_META_DNS_CAPTURE to \"true\""),
    ("global.arch", "is not read: set components' and gateways' affinity"),
    ("global.certificates", "is not available: webhooks' certificates are the operator's (docs/webhook-certificates.md)"),
    ("global.logging.level", "set FERROMESH_LOG in the env of components"),
    ("global.podDNSSearchNamespaces", "is not available: name hosts in full"),
    ("global.proxy.image", "images are hub/ferromesh-proxy:tag: set hub and tag, or the pods' annotation sidecar.istio.io/proxyImage"),
    ("global.proxy.tracer", TRACING),
    ("global.proxy.init", "the init container's needs are known: take it away"),
    ("global.proxy_init", "the init container has the proxy's image: set hub and tag"),
    ("global.remotePolicyAddress", POLICY),
    ("global.remoteTelemetryAddress", MIXER),
    ("global.tracer", TRACING),
    ("global.trustDomainAliases", "is not available yet: take it away"),
    ("pilot.traceSampling", TRACING),
    ("pilot.configSource", "set global.useMCP, for configuration from galley"),
    ("pilot.keepaliveMaxServerConnectionAge", "is not read: connections of proxies stay as long as they are good"),
    ("security.selfSigned", "put your own authority into the Secret cacerts; citadel takes that before it makes one"),
    (
        "sidecarInjectorWebhook.injectedAnnotations",
        "is not available: write a template under spec.injection.templates, and name it in defaultTemplates",
    ),
    ("gateways.istio-ingressgateway.externalIPs", "is not available: use service.loadBalancerIP, or a Service of your own"),
    ("gateways.istio-ingressgateway.secretVolumes", "is not needed: name the Secrets in Gateways (credentialName)"),
    ("gateways.istio-ingressgateway.meshExpansionPorts", "is not read: add the ports to ports"),
];

const POLICY: &str = "istio-policy is not available yet: take it away";
const MIXER: &str = "there is no Mixer, and the metrics that it made are not available yet: take it away";
const TRACING: &str = "tracing is not available yet: take it away";

// === impl Held ===

impl Held {
    /// Whether this is that value.
    pub(super) fn is(self, value: &Value) -> bool {
        match self {
            Self::Bool(held) => value.as_bool() == Some(held),
            Self::Number(held) => value.as_i64() == Some(held),
            Self::Text(held) => value.as_str() == Some(held),
        }
    }
}

/// What a path comes to that leaves no choice.
pub(super) fn held(path: &str) -> Option<Target> {
    if let Some((_, held, reason)) = HELD.iter().find(|(known, ..)| *known == path) {
        return Some(Target::Holds(*held, reason));
    }
    if let Some((_, reason)) = ABSENT.iter().find(|(known, _)| *known == path) {
        return Some(Target::Holds(Held::Bool(false), reason));
    }
    let below = |known: &str| path.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    let (known, reason) = INSTEAD.iter().find(|(known, _)| below(known))?;
    // A switch may be below: who says off is right.
    let leads_on = ABSENT.iter().any(|(switch, _)| switch.strip_prefix(known).is_some_and(|rest| rest.starts_with('.')))
        || HELD.iter().any(|(switch, ..)| switch.strip_prefix(known).is_some_and(|rest| rest.starts_with('.')));
    (path != *known || !leads_on).then(|| Target::Instead((*reason).to_owned()))
}
