//! `ferromesh dashboard`: a page of the mesh in a browser, forwarded from its pod for as long as the command runs.

mod browser;
mod forward;
mod page;
#[cfg(test)]
mod tests;

use clap::{ArgAction, Args, Subcommand};
use std::net::{IpAddr, Ipv4Addr};

use self::{
    forward::{forward, listen},
    page::Page,
};
use super::{
    cluster::{ClusterArgs, MeshArgs, ask, namespace, stay},
    exit::{Exit, Failure},
    install::QUESTIONS,
    proxy::{Named, PodName, Pods},
    terminal::Streams,
};

/// Open a page of the mesh in a browser: an add-on's, a proxy's, pilot's
#[derive(Args, Debug)]
#[command(
    visible_alias = "dash",
    alias = "d",
    after_help = "\
The page is forwarded to this machine until Ctrl-C.

Examples:
  ferromesh dashboard grafana
  ferromesh dashboard envoy web-5f77c-lq9vd.shop --port 15000
  ferromesh dashboard pilot --browser=false"
)]
pub(super) struct DashboardArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Prometheus: metrics, by its own pages
    Prometheus(View),
    /// Grafana: the mesh's metrics, drawn
    Grafana(View),
    /// Kiali: the graph of services
    Kiali(View),
    /// Zipkin, or Jaeger: traces
    #[command(visible_aliases = ["zipkin", "jaeger"])]
    Tracing(View),
    /// A proxy's admin page
    #[command(visible_alias = "proxy")]
    Envoy(ProxyView),
    /// Pilot's debug pages
    #[command(visible_aliases = ["controlz", "istiod-debug"])]
    Pilot(PilotView),
}

/// Where the page is forwarded to.
#[derive(Args, Clone, Debug)]
struct View {
    /// The port of this machine; without it that of the page, or any that is free
    #[arg(short, long, value_name = "PORT")]
    port: Option<u16>,
    /// The address of this machine that is listened on
    #[arg(long, default_value = "localhost", value_parser = address, value_name = "ADDRESS")]
    address: IpAddr,
    /// Whether to open a browser, from a terminal
    #[arg(long, action = ArgAction::Set, default_value_t = true, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    browser: bool,
    #[command(flatten)]
    mesh: MeshArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[derive(Args, Debug)]
struct ProxyView {
    /// POD, POD.NAMESPACE or deploy/NAME
    #[arg(value_name = "POD")]
    pod: Named,
    /// The namespace of a pod that names none
    #[arg(short, long, value_parser = namespace)]
    namespace: Option<String>,
    #[command(flatten)]
    view: View,
}

#[derive(Args, Debug)]
struct PilotView {
    /// The replica, if it matters which
    #[arg(value_name = "POD")]
    pod: Option<Named>,
    #[command(flatten)]
    view: View,
}

/// `localhost`, or an address.
fn address(text: &str) -> Result<IpAddr, String> {
    match text {
        "localhost" => Ok(Ipv4Addr::LOCALHOST.into()),
        text => text.parse().map_err(|_| "write localhost, or an address such as 0.0.0.0".to_owned()),
    }
}

// === impl DashboardArgs ===

impl DashboardArgs {
    /// Forwards the page until the user has seen enough.
    ///
    /// # Errors
    /// When there is no such page in the cluster, or the port is taken.
    pub(super) fn run(&self, streams: &mut Streams<'_>, terminal: bool) -> Result<Exit, Failure> {
        let (view, pages, named) = match &self.what {
            What::Prometheus(view) => (view, &page::PROMETHEUS[..], None),
            What::Grafana(view) => (view, &page::GRAFANA[..], None),
            What::Kiali(view) => (view, &page::KIALI[..], None),
            What::Tracing(view) => (view, &page::TRACING[..], None),
            What::Envoy(ProxyView { pod, namespace, view }) => (view, &page::ENVOY[..], Some((pod, namespace.as_deref()))),
            What::Pilot(PilotView { pod, view }) => (view, &page::PILOT[..], pod.as_ref().map(|pod| (pod, Some(&*view.mesh.namespace)))),
        };
        view.show(pages, named, streams, terminal)
    }
}

// === impl View ===

impl View {
    fn show(
        &self,
        pages: &[Page],
        named: Option<(&Named, Option<&str>)>,
        streams: &mut Streams<'_>,
        terminal: bool,
    ) -> Result<Exit, Failure> {
        let (page, pod) = ask(QUESTIONS, self.find(pages, named))?;
        let listener = listen(self.address, self.port, page.port)?;
        let here = listener.local_addr().map_err(|error| Failure::new(Exit::Failed, error))?;
        if !self.address.is_loopback() {
            streams.note(&format!("note: whoever reaches {here} sees the page, for it asks for no password"));
        }
        let url = format!("http://{here}{}", page.path);
        streams.answered(&format!("{url}\n"))?;
        if self.browser && terminal {
            browser::open(&url).unwrap_or_else(|told| streams.note(&format!("note: {told}: open it yourself")));
        }
        streams.note(&format!("port {} of {pod} is forwarded until Ctrl-C", page.port));
        stay(async {
            let pods = Pods::new(self.cluster.connect().await?.client);
            let end = async {
                // Without a handler there is nothing but to go on; the signal then ends the process itself.
                if tokio::signal::ctrl_c().await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            forward(listener, &pods, &pod, page.port, end, |note| streams.note(&format!("note: {note}"))).await?;
            Ok(Exit::Clean)
        })
    }

    /// The first of the pages that a pod of the cluster has.
    async fn find<'p>(&self, pages: &'p [Page], named: Option<(&Named, Option<&str>)>) -> Result<(&'p Page, PodName), Failure> {
        let cluster = self.cluster.connect().await?;
        let pods = Pods::new(cluster.client);
        if let (Some((named, namespace)), [page, ..]) = (named, pages) {
            return Ok((page, pods.find(named, namespace.unwrap_or(&cluster.namespace)).await?));
        }
        let namespace = &self.mesh.namespace;
        for page in pages {
            if let Some(pod) = pods.list(Some(namespace), page.labels).await?.into_iter().next() {
                return Ok((page, pod));
            }
        }
        let (what, remedy) = pages.first().map_or(("page", ""), |page| (page.name, page.remedy));
        Err(Failure::new(Exit::Failed, format_args!("no pod of {what} runs in namespace {namespace}: {remedy}")))
    }
}
