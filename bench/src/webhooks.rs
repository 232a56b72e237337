//! What one core of a webhook answers: the real process, the real TLS, a pod and a VirtualService as the API server sends them.

use clap::Args;

use crate::reviews::{pod_review, virtual_service_review};
use crate::webhook::{Question, Setting, Webhook};

/// Arguments of `ferromesh-bench webhooks`. The roles read the cluster of KUBECONFIG.
#[derive(Debug, Args)]
pub(crate) struct WebhooksArgs {
    #[command(flatten)]
    setting: Setting,

    /// Connections that send at once.
    #[arg(long, default_value_t = 16)]
    connections: usize,
}

// === impl WebhooksArgs ===

impl WebhooksArgs {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let injector = Webhook::start(&self.setting, "injector", &["--mesh-config", "--values"]).await?;
        let pod = pod_review();
        let injections =
            Question { path: "/inject", review: &pod, expected: r#""patch":"#, what: "injections", connections: self.connections };
        injector.measure(&self.setting, &injections).await?;
        drop(injector);
        let galley = Webhook::start(&self.setting, "galley", &["--mesh-config"]).await?;
        let route = virtual_service_review();
        let validations = Question {
            path: "/validate",
            review: &route,
            expected: r#""allowed":true"#,
            what: "validations",
            connections: self.connections,
        };
        galley.measure(&self.setting, &validations).await
    }
}
