//! Answers for programs. Fields may be added; none is taken away or renamed without another `apiVersion`. The schemas are in docs/schema/.

use schemars::JsonSchema;
use serde::Serialize;

/// Something that was found: istioctl's fields, and further ones. `ferromesh analyze` answers with a list of them.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Finding")]
pub(super) struct FindingDocument {
    /// What `ferromesh explain` takes, for example `IST0101`.
    pub(super) code: String,
    /// How bad it is.
    pub(super) level: Level,
    /// What was found, in lower case.
    pub(super) message: String,
    /// The object that it is about, for example `VirtualService shop/reviews`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) origin: Option<String>,
    /// The field that it is about, for example `spec.http[0].timeout`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) path: Option<String>,
    /// What was probably meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hint: Option<String>,
    /// The file and the line, for example `reviews.yaml:14`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reference: Option<String>,
    /// The same, and the column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) location: Option<LocationDocument>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, JsonSchema, Serialize)]
pub(super) enum Level {
    /// Worth knowing.
    Info,
    /// Legal, but probably not what was meant.
    Warning,
    /// Wrong.
    Error,
}

/// A place in a file.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Location")]
pub(super) struct LocationDocument {
    /// The file as it was named, or `stdin`.
    pub(super) file: String,
    /// Counted from 1.
    pub(super) line: usize,
    /// Of characters, counted from 1.
    pub(super) column: usize,
}

/// The answer of `ferromesh validate`.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Validation")]
pub(super) struct ValidationDocument {
    /// `cli.ferromesh.dev/v1alpha1`.
    pub(super) api_version: &'static str,
    /// `Validation`.
    pub(super) kind: &'static str,
    /// What was found, file by file.
    pub(super) findings: Vec<FindingDocument>,
    /// How much was looked at, and how much was found.
    pub(super) summary: SummaryDocument,
}

/// How much was looked at, and how much was found.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Summary")]
pub(super) struct SummaryDocument {
    /// Files that were read.
    pub(super) files: usize,
    /// Objects of the mesh's kinds.
    pub(super) objects: usize,
    /// Objects of other APIs, which are left alone.
    pub(super) objects_of_other_apis: usize,
    /// Findings of level Error.
    pub(super) errors: usize,
    /// Findings of level Warning.
    pub(super) warnings: usize,
    /// Findings of level Info.
    pub(super) infos: usize,
}

/// What a code means. `ferromesh explain CODE` answers with one, `ferromesh explain` with a list of them.
#[derive(Clone, Debug, Default, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Explanation {
    /// For example `FM0104`.
    pub(super) code: String,
    /// What the reference calls it; only findings of the analysis have a name.
    pub(super) name: Option<String>,
    /// The heading over it.
    pub(super) topic: String,
    /// What it is about.
    pub(super) meaning: String,
    /// How to see it.
    pub(super) example: String,
    /// How to mend it.
    pub(super) remedy: String,
}

/// The answer of `ferromesh version`.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Versions")]
pub(super) struct VersionsDocument {
    /// This program.
    pub(super) client_version: ClientVersion,
    /// The meshes of the cluster; empty if it was not asked.
    pub(super) meshes: Vec<Mesh>,
}

/// This program.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct ClientVersion {
    /// Its version.
    pub(super) version: &'static str,
}

/// A mesh that is installed.
#[derive(Clone, Debug, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Mesh {
    /// The name of its MeshInstall.
    pub(super) name: String,
    /// The version that its control plane has; null before it has one.
    pub(super) version: Option<String>,
    /// The versions of the proxies that are connected; null if pilot could not be asked.
    pub(super) data_plane: Option<Vec<DataPlane>>,
}

/// Proxies of one version.
#[derive(Clone, Debug, JsonSchema, PartialEq, Eq, Serialize)]
pub(super) struct DataPlane {
    /// The version.
    pub(super) version: String,
    /// How many there are.
    pub(super) proxies: usize,
}

/// The answer of `ferromesh experimental check-inject`.
#[derive(Clone, Debug, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CheckInject")]
pub(super) struct CheckInjectDocument {
    /// What was asked about, for example `Pod shop/web-1`.
    pub(super) subject: String,
    /// Whether it gets a sidecar when it is made now.
    pub(super) injected: bool,
    /// Why the injector leaves it as it is although it is asked; null if it does not.
    pub(super) reason: Option<String>,
    /// Whether the pod has one; null for what is no pod.
    pub(super) has_sidecar: Option<bool>,
    /// What becomes of it while the injector is away: `Fail` or `Ignore`; null if no injector is asked.
    pub(super) failure_policy: Option<String>,
    /// That several injectors are asked; null if it is one, or none.
    pub(super) conflict: Option<String>,
    /// What each webhook configuration of an injector does.
    pub(super) webhooks: Vec<InjectingWebhook>,
}

/// What one webhook configuration does with a pod.
#[derive(Clone, Debug, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InjectingWebhook {
    /// The configuration's name.
    pub(super) webhook: String,
    /// The revision of its control plane.
    pub(super) revision: String,
    /// Whether the injector is asked about the pod.
    pub(super) injected: bool,
    /// The labels that decide that.
    pub(super) reason: String,
}

#[cfg(test)]
mod tests {
    use schemars::generate::SchemaSettings;
    use std::path::Path;

    use super::*;
    use crate::cli::check::CheckDocument;
    use crate::cli::install::{ImageRow, ManifestDifference, ProfileRow, Verification};
    use crate::cli::rollout::RolloutRow;
    use crate::cli::tag::TagRow;

    fn schema<T: JsonSchema>() -> String {
        let schema = SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>();
        format!("{}\n", serde_json::to_string_pretty(&schema).unwrap())
    }

    #[test]
    fn the_schemas_of_answers_are_those_of_their_types() {
        let schemas = [
            ("analyze", schema::<Vec<FindingDocument>>()),
            ("check", schema::<CheckDocument>()),
            ("check-inject", schema::<CheckInjectDocument>()),
            ("explain", schema::<Explanation>()),
            ("images", schema::<Vec<ImageRow>>()),
            ("manifest-diff", schema::<Vec<ManifestDifference>>()),
            ("profile-list", schema::<Vec<ProfileRow>>()),
            ("rollout", schema::<Vec<RolloutRow>>()),
            ("tag-list", schema::<Vec<TagRow>>()),
            ("validate", schema::<ValidationDocument>()),
            ("verify-install", schema::<Vec<Verification>>()),
            ("version", schema::<VersionsDocument>()),
        ];
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema");
        let stale = schemas.into_iter().filter_map(|(verb, schema)| {
            let file = folder.join(format!("{verb}.json"));
            if std::fs::read_to_string(&file).unwrap_or_default() == schema {
                return None;
            }
            let made = std::env::temp_dir().join(format!("ferromesh-schema-{verb}.json"));
            std::fs::write(&made, schema).unwrap();
            Some(format!("cp {} {}", made.display(), file.display()))
        });
        let stale: Vec<String> = stale.collect();
        assert!(stale.is_empty(), "other schemas follow from the types:\n{}", stale.join("\n"));
    }
}
