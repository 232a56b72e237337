//! Asks the API server, in dry runs, whether it reaches a webhook and trusts it: for an object that the webhook must refuse.

use ferromesh_crds::MeshInstall;
use kube::{
    Api, Client,
    api::PostParams,
    core::{ApiResource, DynamicObject},
};
use serde_json::{Value, json};
use std::{convert::Infallible, time::Duration};
use tokio::time::sleep;

use super::{certificates::OWN_WEBHOOKS, plan::GALLEY_WEBHOOK};
use crate::runtime::{Backoff, ReadyGuard, Shutdown, causes};

/// The name of the objects that are never stored. The chart's configuration sends this one to the webhook `probe`.
pub(super) const PROBE: &str = "ferromesh-webhook-probe";

/// Holds readiness back until the API server has asked this operator's webhook, then rests.
///
/// # Errors
/// None; the type is what [`crate::runtime::Tasks::spawn`] takes.
pub(super) async fn own_webhook(client: Client, ready: ReadyGuard, shutdown: Shutdown) -> Result<(), Infallible> {
    tokio::select! {
        () = shutdown.requested() => return Ok(()),
        () = until_refused(&client) => drop(ready),
    }
    shutdown.requested().await;
    Ok(())
}

async fn until_refused(client: &Client) {
    let meshes: Api<MeshInstall> = Api::all(client.clone());
    let object = MeshInstall::new(PROBE, ferromesh_crds::MeshInstallSpec::default());
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
    let mut reported = String::new();
    loop {
        let answer = meshes.create(&dry_run(), &object).await.map(drop);
        if refused_by(&answer, OWN_WEBHOOKS[1]) {
            return tracing::info!("the API server reaches the webhook and trusts it");
        }
        let cause = answer.map_or_else(|error| causes(&error), |()| "the webhook was not asked".to_owned());
        // Once each: the first seconds of every start look like this.
        if cause != reported {
            tracing::info!(cause, "the API server doesn't reach the webhook yet");
            reported = cause;
        }
        sleep(backoff.next_delay()).await;
    }
}

/// Whether galley refuses what is wrong: a Gateway whose port speaks a protocol that there isn't. The one is asked that is asked about
/// objects which name `revision`, or none.
pub(super) async fn galley(client: &Client, namespace: &str, revision: Option<&str>) -> bool {
    let resource = ApiResource {
        group: "networking.istio.io".to_owned(),
        version: "v1".to_owned(),
        api_version: "networking.istio.io/v1".to_owned(),
        kind: "Gateway".to_owned(),
        plural: "gateways".to_owned(),
    };
    let gateways: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let mut object = DynamicObject::new(PROBE, &resource).data(wrong_gateway());
    object.metadata.labels = revision.map(|name| [("istio.io/rev".to_owned(), name.to_owned())].into());
    let answer = gateways.create(&dry_run(), &object).await.map(drop);
    let refused = refused_by(&answer, GALLEY_WEBHOOK);
    if !refused {
        let cause = answer.map_or_else(|error| causes(&error), |()| "a wrong object was accepted".to_owned());
        tracing::info!(cause, "galley isn't proven yet");
    }
    refused
}

/// What galley refuses, and the API server alone would not.
fn wrong_gateway() -> Value {
    let server = json!({"port": {"number": 80, "name": "http", "protocol": "NONSENSE"}, "hosts": ["probe.invalid"]});
    json!({"spec": {"selector": {"istio": PROBE}, "servers": [server]}})
}

/// Whether this webhook itself said no: not the API server because of a schema, nor because it couldn't be reached.
fn refused_by(answer: &Result<(), kube::Error>, webhook: &str) -> bool {
    match answer {
        Err(kube::Error::Api(status)) => status.message.contains(webhook) && status.message.contains("denied the request"),
        _ => false,
    }
}

fn dry_run() -> PostParams {
    PostParams { dry_run: true, field_manager: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ParseContext, parse_object};

    #[test]
    fn galley_alone_refuses_the_probe() {
        let schema = ferromesh_crds::catalog::find("networking.istio.io", "Gateway").unwrap().schema();
        assert_eq!(ferromesh_crds::check::problems(schema, &wrong_gateway()), []);
        assert!(parse_object("networking.istio.io", "Gateway", &wrong_gateway(), &ParseContext::default()).is_err());
    }
}
