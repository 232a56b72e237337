//! `ferromesh why`: what becomes of a request, and which object and field decided it; and `ferromesh why nack`: what a proxy refuses.

mod form;
mod invent;
mod nack;
mod question;
#[cfg(test)]
mod tests;
mod world;

use clap::{ArgAction, Args, Subcommand};
use std::{path::PathBuf, sync::Arc, time::Duration};

use self::{nack::NackArgs, question::Destination, world::World};
use super::{
    cluster::{AskedArgs, ask, namespace},
    exit::{Exit, Failure},
    proxy::Named,
    report::{self, Form},
    terminal::{Streams, Style},
};
use crate::model::{Snapshot, Workload};
use crate::simulate::{self, Explanation};

/// Tell what becomes of a request, and which object and field decides it
#[derive(Args, Debug)]
#[command(
    subcommand_negates_reqs = true,
    args_conflicts_with_subcommands = true,
    after_help = "\
Nothing is sent: the configuration that the source's proxy has, or would have, is evaluated as Envoy would.
With -f, files alone are looked at; --use-kube lays them over the cluster.

Examples:
  ferromesh why deploy/productpage-v1 http://reviews:9080/reviews/0 -H end-user:jason
  ferromesh why istio-ingressgateway.istio-system http://bookinfo.example/productpage -f bookinfo/
  ferromesh why productpage-v1.shop tcp://db.data:5432 -o json
  ferromesh why nack web-5f77c-lq9vd -n shop"
)]
pub(super) struct WhyArgs {
    #[command(subcommand)]
    about: Option<About>,
    /// The workload that asks: POD, POD.NAMESPACE or deploy/NAME; a gateway is one too
    #[arg(value_name = "SOURCE", required = true)]
    source: Option<Named>,
    /// Where to: http://HOST[:PORT]/PATH, https://…, tls://HOST:PORT or tcp://HOST:PORT
    #[arg(value_name = "URL", required = true)]
    destination: Option<Destination>,
    /// The request's method
    #[arg(short = 'X', long, default_value = "GET", value_name = "METHOD")]
    method: String,
    /// A header of the request, NAME:VALUE; may be repeated
    #[arg(short = 'H', long = "header", value_name = "HEADER", value_parser = question::header)]
    headers: Vec<(String, String)>,
    /// The port, in place of the URL's
    #[arg(long)]
    port: Option<u16>,
    /// The server's name that TLS asks for, in place of the URL's host
    #[arg(long)]
    sni: Option<String>,
    /// Files or directories with the objects to look at
    #[arg(short, long = "filename", value_name = "FILE")]
    files: Vec<String>,
    /// Read the directories of directories too
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Look at the cluster too where there are files
    #[arg(short = 'k', long, action = ArgAction::SetTrue)]
    use_kube: bool,
    /// The namespace of a source, and of objects in files, that name none
    #[arg(short, long, value_parser = namespace)]
    namespace: Option<String>,
    /// A file with the mesh's settings, in place of those of the cluster
    #[arg(long = "meshConfigFile", visible_alias = "mesh-config-file", value_name = "FILE")]
    mesh_config_file: Option<PathBuf>,
    #[command(flatten)]
    asked: AskedArgs,
}

#[derive(Debug, Subcommand)]
enum About {
    Nack(NackArgs),
}

/// How long the cluster may take.
const LONGEST: Duration = Duration::from_secs(30);

// === impl WhyArgs ===

impl WhyArgs {
    /// Explains.
    ///
    /// # Errors
    /// When there is nothing to look at, or nobody of the source's name.
    pub(super) fn run(&self, streams: &mut Streams<'_>, style: Style) -> Result<Exit, Failure> {
        if let Some(About::Nack(nack)) = &self.about {
            return nack.run(streams, style);
        }
        let (Some(source), Some(destination)) = (&self.source, &self.destination) else {
            return Err(Failure::usage("name a source and a URL: ferromesh why deploy/web http://reviews:9080/"));
        };
        let world = self.world(streams)?;
        let workload = find(&world, source)?;
        let asked = question::Asked { method: &self.method, headers: &self.headers, port: self.port, server_name: self.sni.as_deref() };
        let proxy = simulate::proxy_of(&world.snapshot, &workload);
        let request = destination.request(&asked, &world.snapshot, &workload, &proxy);
        let explained = simulate::explain(&world.snapshot, &proxy, &request);
        let explained = explained.map_err(|error| Failure::new(Exit::Failed, crate::runtime::causes(&error)))?;
        let told = match self.asked.output {
            Form::Human => form::human(&explained),
            form => report::document(&form::value(&explained, destination), form == Form::Yaml),
        };
        streams.answer(&told).map_err(|error| Failure::new(Exit::Failed, error))?;
        note(&explained, streams);
        Ok(Exit::Clean)
    }

    fn world(&self, streams: &mut Streams<'_>) -> Result<World, Failure> {
        let mesh = self.mesh_config_file.as_deref().map(super::analyze::mesh_of_file).transpose()?;
        let setting = world::Setting { mesh_namespace: &self.asked.mesh.namespace, mesh, default_namespace: self.namespace.as_deref() };
        let live = if self.files.is_empty() || self.use_kube {
            Some(ask(LONGEST, async { world::read(&self.asked.cluster.connect().await?, &self.asked.mesh.namespace).await })?)
        } else {
            None
        };
        world::make(live, &self.files, self.recursive, &setting, streams)
    }
}

/// The workload that is meant: that pod, or one of a workload of that name.
fn find(world: &World, named: &Named) -> Result<Arc<Workload>, Failure> {
    let snapshot: &Snapshot = &world.snapshot;
    let namespace = named.namespace(&world.namespace);
    let mut own: Vec<_> = snapshot.workloads.values().filter(|it| *it.key.namespace == *namespace).collect();
    own.sort_by(|a, b| a.key.cmp(&b.key));
    let exact = own.iter().find(|it| named.is(&it.key.name));
    if let Some(found) = exact.or_else(|| own.iter().find(|it| named.means(&it.key.name))) {
        return Ok((*found).clone());
    }
    let known: Vec<&str> = own.iter().take(8).map(|it| &*it.key.name).collect();
    let known = if known.is_empty() { "none is known there".to_owned() } else { format!("known there are {}", known.join(", ")) };
    Err(Failure::usage(format_args!("no workload {named} with an address in namespace {namespace}: {known}")))
}

fn note(explained: &Explanation, streams: &mut Streams<'_>) {
    explained.notes.iter().for_each(|note| streams.note(&format!("note: {note}")));
}
