//! Installing where another mesh may be: whether to, and which of the CRDs are then left to it.

use kube::Client;
use serde_json::Value;

use crate::cli::{check::Foreign, exit::Failure, report::counted};

/// Another mesh, as far as there is one, and how a new one stands to it.
#[derive(Debug, Default)]
pub(super) struct Neighbour {
    foreign: Foreign,
    /// Whether this mesh runs beside it, under a revision's name or because it was there first.
    beside: bool,
}

// === impl Neighbour ===

impl Neighbour {
    /// Looks for it, before anything is written.
    ///
    /// # Errors
    /// When it can't be told, or this mesh can't come while the other one is there.
    pub(super) async fn of_cluster(client: &Client, beside: bool) -> Result<Self, Failure> {
        let foreign = Foreign::of_cluster(client).await?;
        foreign.lets_in(beside)?;
        Ok(Self { foreign, beside })
    }

    /// Of the operator's objects those that are written: a mesh beside another one doesn't take its CRDs over.
    pub(super) fn spared(&self, mut objects: Vec<Value>) -> Vec<Value> {
        let kept = |object: &Value| {
            object["kind"] == "CustomResourceDefinition"
                && object["metadata"]["name"].as_str().is_some_and(|name| self.foreign.crds.contains(name))
        };
        objects.retain(|object| !(self.beside && kept(object)));
        objects
    }

    /// What becomes of CRDs that another mesh's installer keeps; none if there are none.
    pub(super) fn note(&self) -> Option<String> {
        let first = self.foreign.crds.first()?;
        let all = self.foreign.crds.len();
        let which = if all > 1 { format!("{first} and {}", counted(all - 1, "other CRD")) } else { first.clone() };
        let becomes = if self.beside { "left to the installer of another mesh" } else { "taken over from the installer of another mesh" };
        Some(format!("{which}: {becomes}, whose labels say that it keeps them (FM1004)"))
    }
}
