//! A check: what it looks at, and what it finds.

use kube::ResourceExt;

use super::facts::{Facts, shown};
use crate::cli::finding::Severity;

/// A row of the table of checks.
pub(super) struct Check {
    /// What `ferromesh explain` takes.
    pub(super) code: &'static str,
    pub(super) area: Area,
    /// How bad it is what it finds, where that doesn't depend on what.
    pub(super) severity: Severity,
    /// What it looks at, in a few words.
    pub(super) about: &'static str,
    /// Finds it; an error is why that can't be told.
    pub(super) look: fn(&Facts) -> Result<Vec<Found>, String>,
}

/// What a check is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Area {
    Cluster,
    Nodes,
    Installation,
    ControlPlane,
    Certificates,
    Proxies,
    Workloads,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// None for that of its check.
    pub(super) severity: Option<Severity>,
    /// The object, for example `Pod shop/web-1`.
    pub(super) object: Option<String>,
    pub(super) message: String,
    /// A command that mends it, or that tells more.
    pub(super) command: Option<String>,
}

// === impl Check ===

impl Check {
    pub(super) const fn new(
        code: &'static str,
        area: Area,
        severity: Severity,
        about: &'static str,
        look: fn(&Facts) -> Result<Vec<Found>, String>,
    ) -> Self {
        Self { code, area, severity, about, look }
    }
}

// === impl Area ===

impl Area {
    pub(super) const ALL: [Self; 7] =
        [Self::Cluster, Self::Nodes, Self::Installation, Self::ControlPlane, Self::Certificates, Self::Proxies, Self::Workloads];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Nodes => "nodes",
            Self::Installation => "installation",
            Self::ControlPlane => "control plane",
            Self::Certificates => "certificates",
            Self::Proxies => "proxies",
            Self::Workloads => "workloads",
        }
    }
}

// === impl Found ===

impl Found {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { severity: None, object: None, message: message.into(), command: None }
    }

    /// The same of an object.
    pub(super) fn of(self, kind: &str, object: &impl ResourceExt) -> Self {
        Self { object: Some(format!("{kind} {}", shown(object))), ..self }
    }

    /// The same with a command.
    pub(super) fn with(self, command: impl Into<String>) -> Self {
        Self { command: Some(command.into()), ..self }
    }

    /// The same, as bad as this.
    pub(super) fn rated(self, severity: Severity) -> Self {
        Self { severity: Some(severity), ..self }
    }
}

/// What a check found, if it was found.
pub(super) fn when(found: bool, what: impl FnOnce() -> Found) -> Vec<Found> {
    if found { vec![what()] } else { Vec::new() }
}
