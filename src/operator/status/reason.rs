//! The reasons of a MeshInstall's conditions.

/// Why a condition is as it is. The names are API: scripts compare them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::operator) enum Reason {
    /// Everything is there and answers.
    Healthy,
    /// Objects are being written, or pods are starting.
    Progressing,
    /// A part doesn't answer, and waiting won't help.
    ComponentFailed,
    /// The spec can't be installed.
    InvalidSpec,
    /// Another MeshInstall is older.
    AnotherInstalled,
    /// An Istio that isn't ours is in the cluster.
    ForeignMesh,
    /// An object under a name of the plan's is somebody else's.
    ForeignObject,
    /// The API server refuses a write or doesn't answer.
    ApplyFailed,
    /// The webhooks' certificates are there.
    Issued,
    /// They aren't.
    CertificatesMissing,
    /// The webhooks answer the API server.
    Answering,
    /// They don't yet.
    NotAnswering,
    /// Every pod that should have a sidecar has the current one.
    InSync,
    /// Pods lack the sidecar that they should have.
    PodsMissed,
    /// Proxies refuse what pilot told them, or don't answer.
    ProxiesStale,
    /// Pods have an old one.
    ProxiesOutdated,
    /// A workload's restart gets no further.
    RolloutStuck,
    /// Changes are listed and not made.
    Planned,
    /// Every tag stands for the revision that it should.
    TagsInForce,
    /// A tag can't stand for it.
    TagsHeld,
    /// The control plane of the version that is wanted serves, and no other is left.
    Current,
    /// It serves, and others stay until nobody uses them.
    OldInUse,
    /// It comes up, and the one before serves on.
    NewNotReady,
    /// It waits until control planes from before are not used any more.
    PlacesInUse,
    /// Another version than the operator's own is to stay.
    VersionPinned,
}

// === impl Reason ===

impl Reason {
    pub(in crate::operator) fn name(self) -> &'static str {
        match self {
            Self::Healthy => "Healthy",
            Self::Progressing => "Progressing",
            Self::ComponentFailed => "ComponentFailed",
            Self::InvalidSpec => "InvalidSpec",
            Self::AnotherInstalled => "AnotherInstalled",
            Self::ForeignMesh => "ForeignMesh",
            Self::ForeignObject => "ForeignObject",
            Self::ApplyFailed => "ApplyFailed",
            Self::Issued => "Issued",
            Self::CertificatesMissing => "CertificatesMissing",
            Self::Answering => "Answering",
            Self::NotAnswering => "NotAnswering",
            Self::InSync => "InSync",
            Self::PodsMissed => "PodsMissed",
            Self::ProxiesStale => "ProxiesStale",
            Self::ProxiesOutdated => "ProxiesOutdated",
            Self::RolloutStuck => "RolloutStuck",
            Self::Planned => "Planned",
            Self::TagsInForce => "TagsInForce",
            Self::TagsHeld => "TagsHeld",
            Self::Current => "Current",
            Self::OldInUse => "OldInUse",
            Self::NewNotReady => "NewNotReady",
            Self::PlacesInUse => "PlacesInUse",
            Self::VersionPinned => "VersionPinned",
        }
    }
}
