//! `ferromesh experimental check-inject`: does a pod get a sidecar, and why, or why not?

use clap::Args;
use k8s_openapi::api::{admissionregistration::v1::MutatingWebhookConfiguration, core::v1::ConfigMap};
use kube::{Api, api::ListParams};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    pair,
    subject::{Named, Subject},
    verdict::{OURS, World, contradicts, mark, sentences, verdict},
};
use crate::cli::{
    cluster::{AskedArgs, Cluster, ask, namespace},
    document::CheckInjectDocument,
    exit::{Exit, Failure, first_line},
    proxy::Table,
    report::{self, Form},
    terminal::{Streams, Style},
};
use crate::injector::{Labels, parse};
use crate::model::{InjectionValues, of_revision};
use crate::runtime::list_all;

/// How long all the questions may take.
const LONGEST: Duration = Duration::from_secs(30);

/// Tell whether a pod gets a sidecar, and which label decides that
#[derive(Args, Debug)]
#[command(after_help = "\
Exit codes: 0 told, whatever the answer; with --exit-code 79 if a pod is not as the answer says; 69 no cluster, 77 forbidden.

Examples:
  ferromesh experimental check-inject web-5f77c-lq9vd.shop
  ferromesh x check-inject -n shop deploy/web -o json
  ferromesh x check-inject -n shop -l app=web,istio.io/rev=canary")]
pub(in crate::cli) struct CheckInjectArgs {
    /// The pod, or what makes pods: POD, POD.NAMESPACE or TYPE/NAME
    #[arg(value_name = "[TYPE/]NAME", required_unless_present = "labels", conflicts_with = "labels")]
    named: Option<Named>,
    /// Labels of a pod that would be made
    #[arg(short, long, value_name = "KEY=VALUE,…", value_delimiter = ',', value_parser = pair)]
    labels: Vec<(String, String)>,
    /// The namespace of what names none
    #[arg(short, long, value_parser = namespace)]
    namespace: Option<String>,
    /// End with 79 if a pod has no sidecar and should have one, or the other way round
    #[arg(long)]
    exit_code: bool,
    #[command(flatten)]
    asked: AskedArgs,
}

// === impl CheckInjectArgs ===

impl CheckInjectArgs {
    /// Tells it.
    ///
    /// # Errors
    /// When the cluster can't be asked, or there is no such pod.
    pub(in crate::cli) fn run(&self, streams: &mut Streams<'_>, style: Style) -> Result<Exit, Failure> {
        let (subject, world, unread) = ask(LONGEST, self.look())?;
        let document = verdict(&subject, &world);
        if let Some(note) = unread {
            streams.note(&format!("note: {note}: the decision inside the webhook is not known"));
        }
        let told = match self.asked.output {
            Form::Human => human(&document, style),
            form => report::document(&document, form == Form::Yaml),
        };
        streams.answer(&told).map_err(|error| Failure::new(Exit::Failed, error))?;
        if let Some(conflict) = &document.conflict {
            streams.note(&format!("error: {conflict}"));
        }
        Ok(if self.exit_code && contradicts(&document) { Exit::Findings } else { Exit::Clean })
    }

    async fn look(&self) -> Result<(Subject, World, Option<String>), Failure> {
        let cluster = self.asked.cluster.connect().await?;
        let namespace = self.namespace.as_deref().unwrap_or(&cluster.namespace);
        let subject = match &self.named {
            Some(named) => Subject::find(&cluster, named, namespace).await?,
            None => Subject::labelled(&cluster, &Labels::from_iter(self.labels.iter().cloned()), namespace).await?,
        };
        let webhooks: Api<MutatingWebhookConfiguration> = Api::all(cluster.client.clone());
        let found = list_all(&webhooks, &ListParams::default()).await;
        let found = found.map_err(|error| Failure::cluster("list webhook configurations", &error))?;
        let mut configurations: Vec<_> = found.iter().filter_map(parse).collect();
        configurations.sort_by(|a, b| a.name.cmp(&b.name));
        let revisions: BTreeSet<&str> = configurations.iter().map(|it| it.revision.as_str()).collect();
        let (mut known, mut unread) = (BTreeMap::new(), None);
        for revision in revisions {
            match values(&cluster, &self.asked.mesh.namespace, &of_revision(OURS, revision)).await {
                Ok(values) => _ = known.insert(revision.to_owned(), values),
                // Who may not read the control plane's namespace still learns what the selectors say.
                Err(failure) => unread = Some(failure.message),
            }
        }
        Ok((subject, World { configurations, values: known }, unread))
    }
}

/// What the injector of that name is told.
///
/// # Errors
/// When its ConfigMap can't be read or understood.
pub(in crate::cli) async fn values(cluster: &Cluster, namespace: &str, injector: &str) -> Result<InjectionValues, Failure> {
    let name = format!("ConfigMap {namespace}/{injector}");
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), namespace);
    let map = maps.get(injector).await.map_err(|error| Failure::cluster(format_args!("read {name}"), &error))?;
    let text = map.data.and_then(|mut data| data.remove("values")).unwrap_or_default();
    serde_saphyr::from_str(&text)
        .map_err(|error| Failure::new(Exit::Failed, format_args!("{name} is not understood: {}", first_line(&error))))
}

/// The table, and what it comes to.
fn human(document: &CheckInjectDocument, style: Style) -> String {
    let mut table = Table::new(&["WEBHOOK", "REVISION", "INJECTED", "REASON"]);
    for row in &document.webhooks {
        let mark = mark(row.injected, style).to_owned();
        table.row([row.webhook.clone(), row.revision.clone(), mark, row.reason.clone()]);
    }
    format!("{}\n{}\n", table.shown(), sentences(document).join("\n"))
}
