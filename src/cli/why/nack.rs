//! `ferromesh why nack`: what a proxy refuses, in Envoy's words, and the objects that it came from.

use clap::Args;
use serde_json::Value;
use std::time::Duration;

use crate::cli::{
    cluster::{AskedArgs, ask, namespace},
    exit::{Exit, Failure},
    proxy::{Named, Pilots, Pods, Rejection},
    report::{self, Form},
    terminal::{Paint, Streams, Style, harmless},
};

/// How long all the questions may take.
const LONGEST: Duration = Duration::from_secs(30);

/// Tell what a proxy refuses of what pilot sent, and which objects are behind it
#[derive(Args, Debug)]
#[command(after_help = "Exit codes: 0 nothing is refused, 79 something is.\n\nExamples:\n  ferromesh why nack web-5f77c-lq9vd -n shop")]
pub(super) struct NackArgs {
    /// POD, POD.NAMESPACE or deploy/NAME
    #[arg(value_name = "POD")]
    pod: Named,
    /// The namespace of a pod that names none
    #[arg(short, long, value_parser = namespace)]
    namespace: Option<String>,
    #[command(flatten)]
    asked: AskedArgs,
}

// === impl NackArgs ===

impl NackArgs {
    /// Tells it.
    ///
    /// # Errors
    /// When pilot can't be asked, or does not know the proxy.
    pub(super) fn run(&self, streams: &mut Streams<'_>, style: Style) -> Result<Exit, Failure> {
        let (pod, refused) = ask(LONGEST, async {
            let cluster = self.asked.cluster.connect().await?;
            let pods = Pods::new(cluster.client);
            let pod = pods.find(&self.pod, self.namespace.as_deref().unwrap_or(&cluster.namespace)).await?.to_string();
            let refused = Pilots::find(&pods, &self.asked.mesh.namespace).await?.rejections(&pod).await?;
            Ok((pod, refused))
        })?;
        let refused = refused.ok_or_else(|| Failure::new(Exit::Failed, format_args!("{pod} is connected to no pilot")))?;
        let told = match self.asked.output {
            Form::Human => human(&pod, &refused, style),
            form => report::document(&Value::Array(refused.iter().map(Rejection::to_value).collect()), form == Form::Yaml),
        };
        streams.answer(&told).map_err(|error| Failure::new(Exit::Failed, error))?;
        Ok(if refused.is_empty() { Exit::Clean } else { Exit::Findings })
    }
}

/// What is refused, for people.
pub(super) fn human(pod: &str, refused: &[Rejection], style: Style) -> String {
    if refused.is_empty() {
        return format!("{} {pod} has accepted all that it was sent\n", style.good());
    }
    let one = |it: &Rejection| {
        let sources: String = it.sources.iter().map(|source| format!("  by {}\n", harmless(source))).collect();
        let word = style.paint(Paint::Red, "refused");
        format!("{word} {} {}: {}\n{sources}", it.kind, harmless(&it.name), harmless(&it.message))
    };
    refused.iter().map(one).collect()
}
