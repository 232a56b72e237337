//! `ferromesh proxy-config`: what one proxy is configured with.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::{path::PathBuf, time::Duration};

use super::{
    bootstrap,
    cluster::{self, ClusterFilter},
    dump::{Dump, Held},
    endpoint::{self, EndpointFilter, Health},
    listener::{self, ListenerFilter},
    log::{self, Level},
    pod::{Named, Pods},
    route, secret,
    status::ADMIN,
    table::Table,
};
use crate::cli::{
    cluster::{ClusterArgs, ask, namespace},
    exit::{Exit, Failure},
    input, report,
    terminal::Streams,
};

/// How long all the questions may take.
const LONGEST: Duration = Duration::from_secs(30);

/// Show what a proxy is configured with
#[derive(Args, Debug)]
#[command(
    visible_alias = "pc",
    after_help = "\
What a proxy holds comes from Envoy's admin port, through the API server, or from a saved page.

Examples:
  ferromesh proxy-config cluster web-5f77c-lq9vd.shop
  ferromesh proxy-config route deploy/web -n shop --name 9080 -o json
  ferromesh proxy-config listener --file config_dump.json
  ferromesh proxy-config log web-5f77c-lq9vd.shop --level http:debug"
)]
pub(in crate::cli) struct ProxyConfigArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Clusters: upstreams, each with its DestinationRule
    #[command(visible_aliases = ["c", "clusters"])]
    Cluster(ClusterView),
    /// Listeners: what is accepted, and where it goes
    #[command(visible_aliases = ["l", "listeners"])]
    Listener(ListenerView),
    /// Routes: which request goes where, each with its VirtualService
    #[command(visible_aliases = ["r", "routes"])]
    Route(RouteView),
    /// Endpoints, and how they are
    #[command(visible_aliases = ["ep", "endpoints"])]
    Endpoint(EndpointView),
    /// The bootstrap
    #[command(visible_alias = "b")]
    Bootstrap(View),
    /// Secrets: names, validity and serial numbers
    #[command(visible_aliases = ["s", "secrets"])]
    Secret(View),
    /// Levels of Envoy's log, shown and set
    #[command(visible_alias = "o")]
    Log(LogView),
    /// All of it
    #[command(visible_alias = "a")]
    All(View),
}

/// Whose configuration, and how to show it.
#[derive(Args, Debug)]
struct View {
    /// POD, POD.NAMESPACE or deploy/NAME
    #[arg(value_name = "POD", required_unless_present = "file")]
    pod: Option<Named>,
    /// A saved page of Envoy's admin port (/config_dump?include_eds), in place of a pod
    #[arg(short, long, value_name = "FILE", conflicts_with = "pod")]
    file: Option<PathBuf>,
    /// The namespace of a pod that names none
    #[arg(short, long, value_parser = namespace)]
    namespace: Option<String>,
    /// The form of the answer
    #[arg(short, long, value_enum, default_value_t, value_name = "FORM")]
    output: Shape,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[derive(Args, Debug)]
struct ClusterView {
    #[command(flatten)]
    view: View,
    /// Hosts that contain this
    #[arg(long)]
    fqdn: Option<String>,
    /// The port that clients call
    #[arg(long)]
    port: Option<u16>,
    /// The subset
    #[arg(long)]
    subset: Option<String>,
    /// inbound or outbound
    #[arg(long)]
    direction: Option<String>,
}

#[derive(Args, Debug)]
struct ListenerView {
    #[command(flatten)]
    view: View,
    /// The address that is listened on
    #[arg(long)]
    address: Option<String>,
    /// The port
    #[arg(long)]
    port: Option<u16>,
    /// HTTP, TCP or HTTP+TCP
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
}

#[derive(Args, Debug)]
struct RouteView {
    #[command(flatten)]
    view: View,
    /// The table's name
    #[arg(long)]
    name: Option<String>,
}

#[derive(Args, Debug)]
struct EndpointView {
    #[command(flatten)]
    view: View,
    /// The endpoint's address
    #[arg(long)]
    address: Option<String>,
    /// The endpoint's port
    #[arg(long)]
    port: Option<u16>,
    /// The cluster, or a part of its host
    #[arg(long = "cluster", value_name = "NAME")]
    of_cluster: Option<String>,
    /// How it is
    #[arg(long, value_enum)]
    status: Option<Health>,
}

#[derive(Args, Debug)]
struct LogView {
    #[command(flatten)]
    view: View,
    /// Levels to set: LEVEL or LOGGER:LEVEL, several by commas
    #[arg(long, value_name = "LEVEL", value_delimiter = ',')]
    level: Vec<Level>,
    /// Set all loggers to warning again
    #[arg(short, long, conflicts_with = "level")]
    reset: bool,
}

/// The form of the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// Rows for people
    #[default]
    #[value(alias = "table", alias = "wide", alias = "human")]
    Short,
    /// JSON
    Json,
    /// YAML
    Yaml,
}

// === impl ProxyConfigArgs ===

impl ProxyConfigArgs {
    /// Shows it. `now` is in seconds since the epoch.
    ///
    /// # Errors
    /// When the proxy can't be asked, or the file can't be read.
    pub(in crate::cli) fn run(&self, streams: &mut Streams<'_>, now: i64) -> Result<Exit, Failure> {
        let told = match &self.what {
            What::Cluster(args) => args.told()?,
            What::Listener(args) => args.told()?,
            What::Route(args) => args.told()?,
            What::Endpoint(args) => args.told()?,
            What::Bootstrap(view) => {
                let dump = view.dump("/config_dump")?;
                let held = dump.bootstrap().cloned().unwrap_or_default();
                view.shown(|| bootstrap::table(&held), || held.clone())
            }
            What::Secret(view) => {
                let secrets: Vec<_> = view.dump("/config_dump")?.secrets().iter().map(secret::shown).collect();
                view.shown(|| secret::table(&secrets, now), || secret::value(&secrets, now))
            }
            What::Log(args) => args.told()?,
            What::All(view) => all(view, now)?,
        };
        streams.answer(&told).map_err(|error| Failure::new(Exit::Failed, error))?;
        Ok(Exit::Clean)
    }
}

// === impl View ===

impl View {
    /// The page of a file, or of the pod's admin port.
    fn dump(&self, path: &str) -> Result<Dump, Failure> {
        if let Some(file) = &self.file {
            return Dump::parse(&input::dump(file)?, &file.display().to_string());
        }
        let (page, pod) = self.asked(async |pods, pod| pods.get(pod, ADMIN, path).await)?;
        Dump::parse(&page, &pod)
    }

    /// An answer of the pod, and the pod's name.
    fn asked<T>(&self, question: impl AsyncFnOnce(&Pods, &super::pod::PodName) -> Result<T, Failure>) -> Result<(T, String), Failure> {
        let Some(named) = &self.pod else { return Err(Failure::usage("name a pod: a file holds nothing of this")) };
        ask(LONGEST, async {
            let cluster = self.cluster.connect().await?;
            let pods = Pods::new(cluster.client);
            let pod = pods.find(named, self.namespace.as_deref().unwrap_or(&cluster.namespace)).await?;
            Ok((question(&pods, &pod).await?, pod.to_string()))
        })
    }

    fn shown(&self, table: impl FnOnce() -> Table, value: impl FnOnce() -> Value) -> String {
        match self.output {
            Shape::Short => table().shown(),
            shape => report::document(&value(), shape == Shape::Yaml),
        }
    }

    fn held(&self, held: &[Held], table: impl FnOnce(&[Held]) -> Table) -> String {
        self.shown(|| table(held), || Value::Array(held.iter().map(|it| it.resource.clone()).collect()))
    }
}

impl ClusterView {
    fn told(&self) -> Result<String, Failure> {
        let filter =
            ClusterFilter { host: self.fqdn.clone(), port: self.port, subset: self.subset.clone(), direction: self.direction.clone() };
        let mut held = self.view.dump("/config_dump")?.clusters();
        held.retain(|it| filter.takes(&it.name));
        Ok(self.view.held(&held, cluster::table))
    }
}

impl ListenerView {
    fn told(&self) -> Result<String, Failure> {
        let filter = ListenerFilter { address: self.address.clone(), port: self.port, kind: self.kind.clone() };
        let mut held = self.view.dump("/config_dump")?.listeners();
        held.retain(|it| filter.takes(&it.resource));
        Ok(self.view.held(&held, listener::table))
    }
}

impl RouteView {
    fn told(&self) -> Result<String, Failure> {
        let mut held = self.view.dump("/config_dump")?.routes();
        held.retain(|it| self.name.as_ref().is_none_or(|name| *name == it.name));
        Ok(self.view.held(&held, route::table))
    }
}

impl EndpointView {
    fn told(&self) -> Result<String, Failure> {
        let cluster = self.of_cluster.clone();
        let filter = EndpointFilter { address: self.address.clone(), port: self.port, cluster, status: self.status };
        let mut endpoints = endpoint::endpoints(&self.view.dump("/clusters?format=json")?);
        endpoints.retain(|it| filter.takes(it));
        Ok(self.view.shown(|| endpoint::table(&endpoints), || endpoint::value(&endpoints)))
    }
}

impl LogView {
    fn told(&self) -> Result<String, Failure> {
        let mut paths: Vec<String> = self.level.iter().map(Level::path).collect();
        if self.reset {
            paths.push(format!("/logging?level={}", log::DEFAULT));
        }
        if paths.is_empty() {
            paths.push("/logging".to_owned());
        }
        let (page, _) = self.view.asked(async |pods, pod| {
            let mut page = String::new();
            for path in &paths {
                page = pods.post(pod, ADMIN, path).await?;
            }
            Ok(page)
        })?;
        let levels = log::levels(&page);
        let table = || {
            let mut table = Table::new(&["LOGGER", "LEVEL"]);
            levels.iter().for_each(|(name, level)| table.row([name.clone(), level.clone()]));
            table.sorted()
        };
        let value = || Value::Object(levels.iter().map(|(name, level)| (name.clone(), json!(level))).collect());
        Ok(self.view.shown(table, value))
    }
}

/// Everything, one table after the other.
fn all(view: &View, now: i64) -> Result<String, Failure> {
    let mut dump = view.dump("/config_dump?include_eds")?;
    if view.file.is_none() && view.output == Shape::Short {
        dump = dump.with_statuses(view.dump("/clusters?format=json")?);
    }
    if view.output != Shape::Short {
        return Ok(report::document(&dump.whole(), view.output == Shape::Yaml));
    }
    let secrets: Vec<_> = dump.secrets().iter().map(secret::shown).collect();
    let tables = [
        cluster::table(&dump.clusters()),
        listener::table(&dump.listeners()),
        route::table(&dump.routes()),
        endpoint::table(&endpoint::endpoints(&dump)),
        secret::table(&secrets, now),
    ];
    Ok(tables.iter().map(Table::shown).collect::<Vec<_>>().join("\n"))
}
