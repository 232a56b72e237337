//! The codes of findings. docs/analysis.md explains each to people.

use std::fmt;

/// How bad a finding is. Ordered: the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// Something does not work.
    Error,
    /// Something may not work, or not as it was meant.
    Warning,
    /// Worth knowing.
    Info,
}

macro_rules! codes {
    ($( $(#[$doc:meta])* $name:ident = $code:literal, $level:ident, )+) => {
        /// The kinds of findings. A code never changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $( $(#[$doc])* $name, )+ }

        impl Code {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Self] = &[ $( Self::$name, )+ ];

            /// The code as people see it, for example `IST0101`.
            pub fn as_str(self) -> &'static str {
                match self { $( Self::$name => $code, )+ }
            }

            /// What it is called, for example `ReferencedResourceNotFound`.
            pub fn name(self) -> &'static str {
                match self { $( Self::$name => stringify!($name), )+ }
            }

            /// How bad it is.
            pub fn level(self) -> Level {
                match self { $( Self::$name => Level::$level, )+ }
            }
        }
    };
}

codes! {
    /// A host is spoken for in another namespace as well.
    HostOfAnotherNamespace = "FM0201", Warning,
    /// What is used has a successor.
    Deprecated = "IST0002", Warning,
    /// Something that is named does not exist.
    ReferencedResourceNotFound = "IST0101", Error,
    /// A namespace does not say whether its pods get sidecars.
    NamespaceNotInjected = "IST0102", Info,
    /// A pod should have a sidecar, and has none.
    PodMissingProxy = "IST0103", Warning,
    /// An object can't be understood.
    SchemaValidationError = "IST0106", Error,
    /// An annotation stands on an object of a kind where it means nothing.
    MisplacedAnnotation = "IST0107", Warning,
    /// There is no such annotation.
    UnknownAnnotation = "IST0108", Warning,
    /// Several VirtualServices speak for a host to the same sidecars.
    ConflictingMeshGatewayVirtualServiceHosts = "IST0109", Error,
    /// Several Sidecars select the same workload.
    ConflictingSidecarWorkloadSelectors = "IST0110", Error,
    /// A namespace has several Sidecars for all of its workloads.
    MultipleSidecarsWithoutWorkloadSelectors = "IST0111", Error,
    /// A route goes to a service of several ports without saying to which.
    VirtualServiceDestinationPortSelectorRequired = "IST0112", Error,
    /// Services of a Deployment use one port with different transport protocols.
    DeploymentAssociatedToMultipleServices = "IST0116", Warning,
    /// A port does not say what is spoken on it.
    PortNameIsNotUnderNamingConvention = "IST0118", Info,
    /// A namespace has labels for injection that contradict each other.
    NamespaceMultipleInjectionLabels = "IST0123", Warning,
    /// The value of an annotation means nothing.
    InvalidAnnotation = "IST0125", Warning,
    /// An AuthorizationPolicy is for no workload.
    NoMatchingWorkloadsFound = "IST0127", Warning,
    /// A DestinationRule speaks TLS without checking the server's certificate.
    NoServerCertificateVerificationDestinationLevel = "IST0128", Warning,
    /// The same for a single port.
    NoServerCertificateVerificationPortLevel = "IST0129", Warning,
    /// A rule is never reached.
    VirtualServiceUnreachableRule = "IST0130", Warning,
    /// A condition is never reached.
    VirtualServiceIneffectiveMatch = "IST0131", Info,
    /// A gateway serves none of the hosts of a VirtualService that is bound to it.
    VirtualServiceHostNotFoundInGateway = "IST0132", Warning,
    /// What an object says is legal, but doubtful.
    SchemaWarning = "IST0133", Warning,
    /// A ServiceEntry has a TCP port and no address by which its traffic would be known.
    ServiceEntryAddressesRequired = "IST0134", Warning,
    /// An annotation has a successor.
    DeprecatedAnnotation = "IST0135", Info,
    /// Services of a Deployment reach one of its ports by different numbers.
    DeploymentConflictingPorts = "IST0137", Warning,
    /// Several Gateways of the same workloads use one certificate.
    GatewayDuplicateCertificate = "IST0138", Warning,
    /// A webhook that injects is doubled, or its service is not there.
    InvalidWebhook = "IST0139", Error,
    /// Subset routes of sidecars that a gateway's requests pass by.
    IngressRouteRulesNotAffected = "IST0140", Warning,
    /// An application runs as the user whose traffic the sidecar lets pass.
    InvalidApplicationUID = "IST0144", Warning,
    /// Several Gateways claim a port and host of the same workloads.
    ConflictingGateways = "IST0145", Error,
    /// A Deployment waits for an image that injection would fill in.
    ImageAutoWithoutInjectionWarning = "IST0146", Warning,
    /// A pod runs with an image that injection should have filled in.
    ImageAutoWithoutInjectionError = "IST0147", Error,
    /// A namespace without labels gets sidecars, because the mesh is set up so.
    NamespaceInjectionEnabledByDefault = "IST0148", Info,
    /// Routes ask for claims of tokens that nobody checks at the gateway.
    JwtClaimBasedRoutingWithoutRequestAuthN = "IST0149", Error,
    /// A Service for a name outside has a port whose name makes proxies take too much.
    ExternalNameServiceTypeInvalidPortName = "IST0150", Warning,
    /// A change has its place by another, whose order is not certain.
    EnvoyFilterUsesRelativeOperation = "IST0151", Warning,
    /// Something that is no filter can't be replaced.
    EnvoyFilterUsesReplaceOperationIncorrectly = "IST0152", Error,
    /// Something is added where nothing can be added.
    EnvoyFilterUsesAddOperationIncorrectly = "IST0153", Error,
    /// Something is removed where nothing can be removed.
    EnvoyFilterUsesRemoveOperationIncorrectly = "IST0154", Error,
    /// A change has its place by another, and holds for one version of the proxy.
    EnvoyFilterUsesRelativeOperationWithProxyVersion = "IST0155", Warning,
    /// A Telemetry says how to log, and nobody gets the log.
    InvalidTelemetryProvider = "IST0157", Warning,
    /// Pods of a namespace run another proxy than new ones would.
    PodsIstioProxyImageMismatchInNamespace = "IST0158", Warning,
    /// Several Telemetries select the same workload.
    ConflictingTelemetryWorkloadSelectors = "IST0159", Error,
    /// A namespace has several Telemetries for all of its workloads.
    MultipleTelemetriesWithoutWorkloadSelectors = "IST0160", Error,
    /// The Secret of a gateway holds no certificate.
    InvalidGatewayCredential = "IST0161", Error,
    /// A Gateway opens a port that no Service of its workloads has.
    GatewayPortNotDefinedOnService = "IST0162", Warning,
    /// A subset of a DestinationRule selects no pod.
    DestinationRuleSubsetNotSelectPods = "IST0173", Error,
    /// The host of a DestinationRule is no service's.
    UnknownDestinationRuleHost = "IST0174", Warning,
    /// Several ServiceEntries say of one host and port that different protocols are spoken there.
    ConflictingServiceEntryProtocol = "IST0177", Warning,
}

// === impl Code ===

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Level ===

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "Error",
            Self::Warning => "Warning",
            Self::Info => "Info",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_explained_with_its_name_and_level() {
        let page = include_str!("../../docs/analysis.md");
        let missing: Vec<String> = Code::ALL
            .iter()
            .map(|code| format!("| {code} | {} | {} |", code.name(), code.level()))
            .filter(|row| !page.contains(&format!("\n{row}")))
            .collect();
        assert!(missing.is_empty(), "docs/analysis.md lacks {missing:#?}");
    }

    #[test]
    fn codes_are_in_order_and_each_is_one() {
        assert!(Code::ALL.windows(2).all(|pair| pair[0].as_str() < pair[1].as_str()));
    }
}
