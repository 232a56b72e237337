//! The checks before an installation, for another verb that comes to a cluster without one.

use ferromesh_crds::MeshInstallSpec;

use super::{CheckRow, Stage, exit, read, run, told};
use crate::cli::{
    cluster::Cluster,
    exit::{Exit, Failure},
    finding::Severity,
    report::Form,
    terminal::{Streams, Style},
};

/// What `ferromesh check --before` finds.
pub(in crate::cli) struct Precheck(Vec<CheckRow>);

// === impl Precheck ===

impl Precheck {
    /// Looks at a cluster.
    ///
    /// # Errors
    /// When the API server can't be reached.
    pub(in crate::cli) async fn of(cluster: &Cluster, now: i64) -> Result<Self, Failure> {
        let facts = read::facts(cluster, MeshInstallSpec::default().namespace(), None, now).await?;
        Ok(Self(run(Stage::Before, &facts, &[])))
    }

    /// Tells what was found as `check` does, and to people, if the mesh can be installed, `passed` in the last line.
    ///
    /// # Errors
    /// When no check could be run, so that nothing is known.
    pub(in crate::cli) fn answer(self, output: Form, passed: &str, streams: &mut Streams<'_>, style: Style) -> Result<Exit, Failure> {
        let exit = exit(&self.0, Severity::Error);
        let mut answer = told(self.0, output, false, style);
        if output == Form::Human && matches!(exit, Ok(Exit::Clean)) {
            answer.push_str(&format!("{passed}\n"));
        }
        streams.answered(&answer)?;
        exit
    }
}
