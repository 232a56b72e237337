//! `ferromesh images`: which images an installation takes, for sites that have to fetch them beforehand.

use clap::Args;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, api::ListParams};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

use super::{chart, manifest::refused, named::Named, operator::PlaceArgs, spec::SpecArgs, wait::QUESTIONS};
use crate::cli::{
    cluster::{ClusterArgs, ask},
    exit::{Exit, Failure},
    proxy::Table,
    report::{self, Form},
    terminal::Streams,
};
use crate::model::InjectionValues;
use crate::operator::generate;
use crate::runtime::list_all;

/// List the images that an installation takes, the operator's and sidecars' among them
#[derive(Args, Debug)]
#[command(after_help = "\
Digests are what nodes have fetched: an image that runs nowhere has none that is known.

Examples:
  ferromesh images
  ferromesh images --set profile=demo --hub registry.example/team -o json
  ferromesh images --digests")]
pub(in crate::cli) struct ImagesArgs {
    /// Ask the cluster for the digests of the images that run there
    #[arg(long)]
    digests: bool,
    /// The form of the answer
    #[arg(short, long, value_enum, default_value_t, value_name = "FORM")]
    output: Form,
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    operator: PlaceArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// An image. `ferromesh images` answers with a list of them.
#[derive(Debug, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Image")]
pub(in crate::cli) struct ImageRow {
    /// Its name, as pods have it.
    image: String,
    /// What runs it, for example `istio-pilot`, `sidecars`.
    used_by: BTreeSet<String>,
    /// Its digests, as far as they are known; several if the tag was moved.
    digests: BTreeSet<String>,
}

// === impl ImagesArgs ===

impl ImagesArgs {
    /// Lists them.
    ///
    /// # Errors
    /// When the installation is described wrongly, or the cluster can't be asked.
    pub(in crate::cli) fn run(&self, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
        let described = self.spec.over(&json!({}), streams.stdin)?;
        let images = self.operator.images(&described.spec);
        let planned = generate(&described.checked()?, &images, self.operator.namespace()).map_err(|problems| refused(&problems))?;
        let objects = chart::objects(self.operator.namespace(), &images, &Named::default()).into_iter().chain(planned);
        let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (image, user) in objects.flat_map(|object| images_of(&object)) {
            used.entry(image).or_default().insert(user);
        }
        let known =
            if self.digests { ask(QUESTIONS, async { digests(&self.cluster.connect().await?.client).await })? } else { BTreeMap::new() };
        let row = |(image, used_by): (String, BTreeSet<String>)| {
            let digests = known.get(&image).cloned().unwrap_or_default();
            ImageRow { image, used_by, digests }
        };
        let rows: Vec<ImageRow> = used.into_iter().map(row).collect();
        let told = match self.output {
            Form::Human => human(&rows),
            form => report::document(&rows, form == Form::Yaml),
        };
        streams.answered(&told)
    }
}

/// The images that an object has its pods run, or those that are injected, and what that is.
fn images_of(object: &Value) -> Vec<(String, String)> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let pod = &object["spec"]["template"]["spec"];
    let containers = ["containers", "initContainers"].into_iter().flat_map(|list| pod[list].as_array().into_iter().flatten());
    let mut found: Vec<(String, String)> =
        containers.filter_map(|container| Some((container["image"].as_str()?.to_owned(), name.to_owned()))).collect();
    let values = object["data"]["values"].as_str().filter(|_| object["kind"] == "ConfigMap");
    if let Some(values) = values.and_then(|text| serde_saphyr::from_str::<InjectionValues>(text).ok()) {
        found.push((format!("{}/ferromesh-proxy:{}", values.hub, values.tag), "sidecars".to_owned()));
    }
    found
}

/// The digests of all images that run in a cluster.
async fn digests(client: &Client) -> Result<BTreeMap<String, BTreeSet<String>>, Failure> {
    let pods = list_all(&Api::<Pod>::all(client.clone()), &ListParams::default()).await;
    let pods = pods.map_err(|error| Failure::cluster("list pods", &error))?;
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for pod in pods {
        let (spec, status) = (pod.spec.unwrap_or_default(), pod.status.unwrap_or_default());
        let statuses: Vec<_> =
            status.container_statuses.into_iter().flatten().chain(status.init_container_statuses.into_iter().flatten()).collect();
        for container in spec.containers.into_iter().chain(spec.init_containers.into_iter().flatten()) {
            let id = statuses
                .iter()
                .find(|status| status.name == container.name)
                .and_then(|status| status.image_id.find("sha256:").map(|at| &status.image_id[at..]));
            if let (Some(image), Some(digest)) = (container.image, id) {
                known.entry(image).or_default().insert(digest.to_owned());
            }
        }
    }
    Ok(known)
}

fn human(rows: &[ImageRow]) -> String {
    let mut table = Table::new(&["IMAGE", "USED BY", "DIGEST"]);
    let joined = |texts: &BTreeSet<String>| texts.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    rows.iter().for_each(|row| table.row([row.image.clone(), joined(&row.used_by), joined(&row.digests)]));
    table.shown()
}
