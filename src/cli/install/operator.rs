//! `ferromesh operator`: the operator, for clusters without Helm. Its objects are the chart's, as Helm renders them.

use clap::{Args, Subcommand};
use ferromesh_crds::catalog;
use kube::{
    Client,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use std::time::Duration;

use super::{
    apply::WaitArgs,
    cluster::{self, Operator},
    gone::{Confirmation, delete, until_gone},
    manifest::documents,
    object::Id,
    progress::{BETWEEN, Progress},
};
use crate::cli::{
    cluster::{Cluster, ClusterArgs, ask},
    exit::{Exit, Failure},
    report::{Form, counted},
    source,
    terminal::{Streams, Style},
};
use crate::operator::Images;

/// Where the operator is installed if nobody says otherwise.
pub(super) const NAMESPACE: &str = "ferromesh-system";
/// What the chart makes but for the CRDs, for a release `ferromesh` in [`NAMESPACE`]: `make generate` has Helm write it.
const CHART: &str = include_str!("operator.yaml");
/// The owner of the fields that are written here.
pub(super) const MANAGER: &str = "ferromesh";
/// The label that says who manages an object.
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The annotation of objects that outlive the operator, because the mesh that runs needs them.
const KEPT: &str = "helm.sh/resource-policy";

/// Install and remove the operator
#[derive(Args, Debug)]
#[command(after_help = "\
Helm does the same: charts/ferromesh. What Helm has installed is Helm's to upgrade and to remove.

Examples:
  ferromesh operator init
  ferromesh operator remove")]
pub(in crate::cli) struct OperatorArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Init(Box<InitArgs>),
    Remove(RemoveArgs),
}

/// Install the operator and the CRDs, or bring them to this version
#[derive(Args, Debug)]
#[command(after_help = "\
Exit codes: 0 installed, 1 refused, 69 no cluster, 75 not ready in time, 77 forbidden.

Examples:
  ferromesh operator init
  ferromesh operator init --hub registry.example/team --tag 1.0.2
  ferromesh operator init --dump")]
struct InitArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Print the objects, and ask no cluster
    #[arg(long)]
    dump: bool,
    /// Have the API server check the objects, and change nothing
    #[arg(long, conflicts_with = "dump")]
    dry_run: bool,
    /// The form of what --dump prints
    #[arg(short, long, value_enum, default_value_t, value_name = "FORM")]
    output: Form,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Where the operator is, and where its images come from.
#[derive(Args, Clone, Debug)]
pub(super) struct PlaceArgs {
    /// The operator's namespace
    #[arg(
        long = "operatorNamespace",
        visible_alias = "operator-namespace",
        default_value = NAMESPACE,
        value_name = "NAMESPACE",
        help_heading = "Operator"
    )]
    pub(super) namespace: String,
    /// Registry and path of the images `ferromesh` and `ferromesh-proxy`
    #[arg(long, value_name = "HUB", help_heading = "Operator")]
    hub: Option<String>,
    /// Tag of the images
    #[arg(long, value_name = "TAG", help_heading = "Operator")]
    tag: Option<String>,
    /// When a node fetches an image
    #[arg(long, value_name = "POLICY", value_parser = ["Always", "IfNotPresent", "Never"], help_heading = "Operator")]
    image_pull_policy: Option<String>,
}

/// Remove the operator; a mesh that runs goes on running, and nobody heals it
#[derive(Args, Debug)]
#[command(after_help = "\
The CRDs stay, and so does the mesh: ferromesh uninstall removes that, and with --purge everything.
Exit codes: 0 removed, or not there; 1 refused, 69 no cluster, 75 not gone in time, 77 forbidden.

Examples:
  ferromesh operator remove
  ferromesh operator remove --dry-run")]
struct RemoveArgs {
    #[command(flatten)]
    confirmation: Confirmation,
    /// How long it may take
    #[arg(long, default_value = "2m", value_parser = cluster::timeout, value_name = "TIME")]
    timeout: Duration,
    #[command(flatten)]
    cluster: ClusterArgs,
}

// === impl OperatorArgs ===

impl OperatorArgs {
    /// Runs the verb.
    ///
    /// # Errors
    /// Those of the verb.
    pub(in crate::cli) fn run(&self, streams: &mut Streams<'_>, style: Style, interactive: bool) -> Result<Exit, Failure> {
        match &self.verb {
            Verb::Init(args) => args.run(streams, style),
            Verb::Remove(args) => args.run(streams, style, interactive),
        }
    }
}

// === impl PlaceArgs ===

impl PlaceArgs {
    /// The images, where nothing else is said those that are published, or those that a MeshInstall names.
    pub(super) fn images(&self, spec: &Value) -> Images {
        let published = Images::published();
        let first = |given: &Option<String>, field: &str, default: String| {
            given.clone().or_else(|| spec[field].as_str().map(str::to_owned)).unwrap_or(default)
        };
        Images {
            hub: first(&self.hub, "hub", published.hub),
            tag: first(&self.tag, "tag", published.tag),
            pull_policy: first(&self.image_pull_policy, "imagePullPolicy", published.pull_policy),
        }
    }

    /// The images of this version, where those of another one came from.
    pub(super) fn images_after(&self, before: &Images) -> Images {
        self.images(&json!({"hub": before.hub, "imagePullPolicy": before.pull_policy}))
    }
}

// === impl InitArgs ===

impl InitArgs {
    fn run(&self, streams: &mut Streams<'_>, style: Style) -> Result<Exit, Failure> {
        let images = self.place.images(&Value::Null);
        if self.dump {
            return streams.answered(&documents(&objects(&self.place.namespace, &images), self.output));
        }
        let told = ask(self.wait.longest(), async {
            let cluster = self.cluster.connect().await?;
            let mut progress = Progress::new(streams, self.wait.timeout());
            if let Some(found) = cluster::operator(&cluster.client).await? {
                found.upgradable(&self.place.namespace)?;
            }
            if self.dry_run {
                let count = apply(&cluster.client, &self.place.namespace, &images, true).await?;
                return Ok(format!("{} would be applied\n", counted(count, "object")));
            }
            bring(&cluster, &self.place.namespace, &images, self.wait.waits(true), &mut progress).await?;
            Ok(format!("{} the operator is installed in namespace {}: ferromesh install\n", style.good(), self.place.namespace))
        })?;
        streams.answered(&told)
    }
}

// === impl Operator ===

impl Operator {
    /// # Errors
    /// When it isn't ours to write, or is somewhere else.
    fn upgradable(&self, namespace: &str) -> Result<(), Failure> {
        let Self { namespace: own, release, .. } = self;
        match release {
            Some(release) => {
                let told = format!("the operator is of Helm's release {release}: helm upgrade {release} charts/ferromesh -n {own}");
                Err(Failure::new(Exit::Failed, told))
            }
            None if own != namespace => {
                let told = format!("the operator runs in namespace {own}: say --operatorNamespace {own}, or remove that one first");
                Err(Failure::new(Exit::Failed, told))
            }
            None => Ok(()),
        }
    }
}

/// Installs the operator, and waits for it if that is wanted.
///
/// # Errors
/// When an object is refused, or the operator isn't ready in time.
pub(super) async fn bring(
    cluster: &Cluster,
    namespace: &str,
    images: &Images,
    wait: bool,
    progress: &mut Progress<'_, '_>,
) -> Result<(), Failure> {
    let count = apply(&cluster.client, namespace, images, false).await?;
    progress.tell(&format!("operator: applied {}", counted(count, "object")));
    if !wait {
        return Ok(());
    }
    loop {
        match cluster::operator(&cluster.client).await?.map(|operator| operator.ready) {
            Some(Ok(())) => {
                progress.tell("operator ready");
                return Ok(());
            }
            Some(Err(reason)) => progress.waiting(&format!("the operator: {reason}, see kubectl get pods -n {namespace}"))?,
            None => progress.waiting("the operator's Deployment")?,
        }
        tokio::time::sleep(BETWEEN).await;
    }
}

/// Applies all objects; returns how many there are.
async fn apply(client: &Client, namespace: &str, images: &Images, dry_run: bool) -> Result<usize, Failure> {
    let params = PatchParams { dry_run, ..PatchParams::apply(MANAGER).force() };
    let objects = objects(namespace, images);
    for object in &objects {
        let Some(id) = Id::of(object, namespace) else { continue };
        let answer = id.api(client).patch(&id.name, &params, &Patch::Apply(object)).await;
        match answer {
            Ok(_) => {}
            // Nothing can be tried in a namespace that is not there yet.
            Err(kube::Error::Api(status)) if dry_run && status.code == 404 => {}
            Err(error) => return Err(Failure::cluster(format_args!("apply {id}"), &error)),
        }
    }
    Ok(objects.len())
}

/// The operator's objects, in the order in which they need each other.
pub(super) fn objects(namespace: &str, images: &Images) -> Vec<Value> {
    let metadata = json!({"name": namespace, "labels": {MANAGED_BY: MANAGER}});
    let own = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
    let mut objects = vec![own];
    objects.extend(crds());
    objects.extend(of_chart().into_iter().map(|object| placed(object, namespace, images)));
    objects
}

/// The CRDs, which stay when the operator goes.
pub(super) fn crds() -> impl Iterator<Item = Value> {
    catalog::kinds().iter().map(|kind| {
        let mut crd = kind.crd();
        crd.metadata.annotations.get_or_insert_default().insert(KEPT.to_owned(), "keep".to_owned());
        serde_json::to_value(crd).unwrap_or_default()
    })
}

/// The names of the ClusterRoles that the operator and the mesh's parts have their rights by.
pub(in crate::cli) fn chart_roles() -> Vec<String> {
    let roles = of_chart().into_iter().filter(|object| object["kind"] == "ClusterRole");
    roles.filter_map(|role| role["metadata"]["name"].as_str().map(str::to_owned)).collect()
}

fn of_chart() -> Vec<Value> {
    let (documents, _) = source::read(CHART);
    documents.iter().map(source::Node::to_value).filter(|object| !object.is_null()).collect()
}

/// One of the chart's objects for another namespace and other images, and as no release's of Helm.
fn placed(mut object: Value, namespace: &str, images: &Images) -> Value {
    let place = |place: Option<&mut Value>| {
        if let Some(place) = place.filter(|place| *place == NAMESPACE) {
            *place = json!(namespace);
        }
    };
    place(object.pointer_mut("/metadata/namespace"));
    for subject in object["subjects"].as_array_mut().into_iter().flatten() {
        place(subject.get_mut("namespace"));
    }
    for webhook in object["webhooks"].as_array_mut().into_iter().flatten() {
        place(webhook.pointer_mut("/clientConfig/service/namespace"));
    }
    for labels in ["/metadata/labels", "/spec/template/metadata/labels"] {
        if let Some(labels) = object.pointer_mut(labels).and_then(Value::as_object_mut) {
            labels.remove("helm.sh/chart");
            labels.insert(MANAGED_BY.to_owned(), json!(MANAGER));
        }
    }
    for container in object.pointer_mut("/spec/template/spec/containers").and_then(Value::as_array_mut).into_iter().flatten() {
        container["image"] = json!(format!("{}/ferromesh:{}", images.hub, images.tag));
        container["imagePullPolicy"] = json!(images.pull_policy);
        for variable in container["env"].as_array_mut().into_iter().flatten() {
            match variable["name"].as_str() {
                Some("FERROMESH_HUB") => variable["value"] = json!(images.hub),
                Some("FERROMESH_TAG") => variable["value"] = json!(images.tag),
                Some("FERROMESH_IMAGE_PULL_POLICY") => variable["value"] = json!(images.pull_policy),
                _ => {}
            }
        }
    }
    // Where nothing was, indexing has left a null.
    if let Some(fields) = object.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    object
}

// === impl RemoveArgs ===

impl RemoveArgs {
    fn run(&self, streams: &mut Streams<'_>, style: Style, interactive: bool) -> Result<Exit, Failure> {
        let found = ask(self.timeout, async {
            let client = self.cluster.connect().await?.client;
            let Some(operator) = cluster::operator(&client).await? else { return Ok(None) };
            Ok(Some((removable(&client, &operator).await?, client)))
        })?;
        let Some((ids, _)) = found else { return streams.answered("there is no operator\n") };
        if !self.confirmation.given(&ids, streams, interactive)? {
            return Ok(Exit::Clean);
        }
        ask(self.timeout + BETWEEN, async {
            let client = self.cluster.connect().await?.client;
            let mut progress = Progress::new(streams, self.timeout);
            delete(&client, &ids, &DeleteParams::default(), &mut progress).await?;
            until_gone(&client, &ids, &mut progress).await
        })?;
        streams.answered(&format!("{} the operator is removed; a mesh that runs goes on running\n", style.good()))
    }
}

/// What goes with the operator.
///
/// # Errors
/// When it is Helm's, or can't be read.
pub(super) async fn removable(client: &Client, operator: &Operator) -> Result<Vec<Id>, Failure> {
    if let Some(release) = &operator.release {
        let told = format!("the operator is of Helm's release {release}: helm uninstall {release} -n {}", operator.namespace);
        return Err(Failure::new(Exit::Failed, told));
    }
    let mut ids = Vec::new();
    let kept = |object: &Value| object["metadata"]["annotations"].get(KEPT).is_some();
    for object in objects(&operator.namespace, &operator.images).iter().rev().filter(|object| object["kind"] != "CustomResourceDefinition") {
        let Some(id) = Id::of(object, &operator.namespace) else { continue };
        let Some(live) = id.read(client).await? else { continue };
        let owned = live["metadata"]["ownerReferences"].as_array().is_some_and(|owners| !owners.is_empty());
        // The roles that the mesh is bound to go with their last owner, by garbage collection.
        let stays = kept(object) && owned;
        // A namespace that was there before is not ours.
        let others = object["kind"] == "Namespace" && live["metadata"]["labels"][MANAGED_BY] != MANAGER;
        if !stays && !others {
            ids.push(id);
        }
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images() -> Images {
        let [hub, tag, pull_policy] = ["registry.example/team", "1.0.2", "Always"].map(str::to_owned);
        Images { hub, tag, pull_policy }
    }

    #[test]
    fn namespace_and_images_are_those_that_are_asked_for_and_nothing_says_helm() {
        let objects = objects("elsewhere", &images());
        let text = serde_json::to_string(&objects).unwrap();
        for absent in [NAMESPACE, "docker.io", "Helm", "helm.sh/chart"] {
            assert!(!text.contains(&format!("\"{absent}")), "{absent}");
        }
        let deployment = objects.iter().find(|object| object["kind"] == "Deployment").unwrap();
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], "registry.example/team/ferromesh:1.0.2");
        let env = |name: &str| container["env"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap()["value"].clone();
        assert_eq!(env("FERROMESH_HUB"), "registry.example/team");
        assert_eq!((env("FERROMESH_TAG"), env("FERROMESH_IMAGE_PULL_POLICY")), (json!("1.0.2"), json!("Always")));
        let binding = objects.iter().find(|object| object["kind"] == "ClusterRoleBinding").unwrap();
        assert_eq!(binding["subjects"][0]["namespace"], "elsewhere");
        let webhook = objects.iter().find(|object| object["kind"] == "ValidatingWebhookConfiguration").unwrap();
        assert_eq!(webhook["webhooks"][0]["clientConfig"]["service"]["namespace"], "elsewhere");
    }

    #[test]
    fn what_others_need_comes_first() {
        let kinds: Vec<String> = objects(NAMESPACE, &images()).iter().map(|object| object["kind"].as_str().unwrap().to_owned()).collect();
        let at = |kind: &str| kinds.iter().position(|one| one == kind).unwrap_or_else(|| panic!("no {kind}"));
        assert!(at("Namespace") < at("CustomResourceDefinition") && at("CustomResourceDefinition") < at("Deployment"), "{kinds:?}");
        assert_eq!(kinds.iter().filter(|kind| *kind == "CustomResourceDefinition").count(), catalog::kinds().len());
    }

    #[test]
    fn a_namespace_that_is_the_charts_is_left_as_it_is() {
        let images = Images::published();
        let text = |namespace: &str| serde_json::to_string(&objects(namespace, &images)).unwrap();
        assert_eq!(text("elsewhere").replace("elsewhere", NAMESPACE), text(NAMESPACE));
    }
}
