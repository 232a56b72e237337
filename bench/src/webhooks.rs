//! What one core of a webhook answers: the real process, the real TLS, a pod and a VirtualService as the API server sends them.

use clap::Args;

use crate::reviews::{many_variables, pod_review, ten_containers, virtual_service_review};
use crate::webhook::{Question, Setting, Webhook};

/// Arguments of `ferromesh-bench webhooks`. The roles read the cluster of KUBECONFIG.
#[derive(Debug, Args)]
pub(crate) struct WebhooksArgs {
    #[command(flatten)]
    setting: Setting,

    /// How many connections send at once, each figure in turn.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16])]
    connections: Vec<usize>,
}

// === impl WebhooksArgs ===

impl WebhooksArgs {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let injector = Webhook::start(&self.setting, "injector", &["--mesh-config", "--values"]).await?;
        let pods = [
            ("injections", pod_review()),
            ("injections of ten containers", ten_containers()),
            ("injections of 2,000 variables", many_variables(2000)),
        ];
        for (what, review) in &pods {
            for connections in self.connections.iter().copied() {
                let question = Question { path: "/inject", review, expected: r#""patch":"#, what, connections };
                injector.measure(&self.setting, &question).await?;
            }
        }
        drop(injector);
        let galley = Webhook::start(&self.setting, "galley", &["--mesh-config"]).await?;
        let route = virtual_service_review();
        for connections in self.connections {
            let expected = r#""allowed":true"#;
            let question = Question { path: "/validate", review: &route, expected, what: "validations", connections };
            galley.measure(&self.setting, &question).await?;
        }
        Ok(())
    }
}
