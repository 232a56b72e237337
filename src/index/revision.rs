//! Which objects of the configuration are for this control plane: those that name no revision, and those that name its own.

use kube::core::ObjectMeta;

use crate::model::{DEFAULT_REVISION, served_revision};

/// The label by which an object is for one control plane alone.
const LABEL: &str = "istio.io/rev";

/// What an object is to a control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Concern {
    /// It takes part, and this control plane tells its author what became of it.
    Own,
    /// It takes part; another control plane tells its author.
    Common,
    /// It is not there.
    None,
}

// === impl Concern ===

impl Concern {
    /// What an object is to the control plane of that revision, which is empty for the default one. Where an object names no revision,
    /// that one speaks for all, so that authors hear one voice.
    pub(super) fn of(metadata: &ObjectMeta, revision: &str) -> Self {
        let named = metadata.labels.as_ref().and_then(|labels| labels.get(LABEL)).map(String::as_str);
        let own = match served_revision(revision) {
            "" => DEFAULT_REVISION,
            name => name,
        };
        match named {
            Some(named) if named == own => Self::Own,
            Some(_) => Self::None,
            None if own == DEFAULT_REVISION => Self::Own,
            None => Self::Common,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_for_those_whom_it_names_or_for_all() {
        let concern = |label: Option<&str>, revision: &str| {
            let labels = label.map(|label| [(LABEL.to_owned(), label.to_owned())].into());
            Concern::of(&ObjectMeta { labels, ..ObjectMeta::default() }, revision)
        };
        let seen = |label| [concern(label, ""), concern(label, "canary")];
        assert_eq!(seen(None), [Concern::Own, Concern::Common]);
        assert_eq!(seen(Some("default")), [Concern::Own, Concern::None]);
        assert_eq!(seen(Some("canary")), [Concern::None, Concern::Own]);
        assert_eq!(seen(Some("third")), [Concern::None; 2]);
        for label in [None, Some("default"), Some("canary"), Some("green")] {
            assert_eq!(concern(label, "blue"), concern(label, ""), "a slot is a place of the default one");
        }
    }
}
