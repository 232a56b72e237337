//! How long certificates live and when they are replaced.

use std::time::Duration;

use crate::error::PlanError;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Lifetimes and margins. Authority and leaves alike are replaced after two thirds of their life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Life of the authority's root certificate.
    pub ca_lifetime: Duration,
    /// Life of a serving certificate.
    pub leaf_lifetime: Duration,
    /// How long a change is given to arrive everywhere before the next step builds on it: kubelets bring a changed Secret into
    /// a pod within about two minutes, API servers see a changed webhook configuration within seconds.
    pub settle: Duration,
    /// How far `notBefore` lies before the moment of issue, for API servers whose clock is behind.
    pub backdate: Duration,
}

// === impl Policy ===

impl Default for Policy {
    fn default() -> Self {
        Self { ca_lifetime: DAY * 3650, leaf_lifetime: DAY * 90, settle: HOUR, backdate: HOUR }
    }
}

impl Policy {
    /// Refuses lifetimes whose last third couldn't hold what must happen in it.
    ///
    /// # Errors
    /// [`PlanError::LeafTooShort`] or [`PlanError::CaTooShort`].
    pub fn check(&self) -> Result<(), PlanError> {
        if self.leaf_lifetime / 3 <= self.settle {
            return Err(PlanError::LeafTooShort { lifetime: self.leaf_lifetime, settle: self.settle });
        }
        if self.ca_lifetime / 3 <= self.leaf_lifetime {
            return Err(PlanError::CaTooShort { lifetime: self.ca_lifetime, leaf: self.leaf_lifetime });
        }
        Ok(())
    }
}
