//! The root: made once, kept in a Secret, watched for what people put in its place.
//!
//! `cacerts`, where people plug in their own authority, comes before `istio-ca-secret`, which citadel makes itself. Neither is ever
//! overwritten. Once an authority is at work, only a whole and fitting one takes its place.

use futures::{Stream, StreamExt, stream};
use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Client,
    api::PostParams,
    runtime::{WatchStreamExt, watcher},
};
use std::{collections::BTreeMap, pin::pin, sync::Arc, time::Duration};
use time::OffsetDateTime;
use tokio::{sync::watch, time::sleep};

use super::{
    AuthorityError, AuthoritySource,
    authority::{Authority, Material},
    metrics::Metrics,
};
use crate::runtime::{Backoff, ReadyGuard, Shutdown, causes};

/// Finds, makes and watches the root.
pub(super) struct Roots {
    secrets: Api<Secret>,
    trust_domain: String,
    publish: watch::Sender<Option<Arc<Authority>>>,
    metrics: Metrics,
}

/// Why the root could not be had or changed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RootsError {
    #[error("Secret {secret:?} can't be read or written")]
    Api {
        secret: &'static str,
        #[source]
        source: kube::Error,
    },
    #[error("Secret {secret:?} holds no usable authority")]
    Unusable {
        secret: &'static str,
        #[source]
        source: AuthorityError,
    },
    #[error("no root could be made")]
    Generate(#[source] AuthorityError),
    #[error("Secret {PLUGGED:?} is gone; its authority stays until citadel starts again")]
    Unplugged,
}

/// Where citadel keeps the root that it made.
const OWN: &str = "istio-ca-secret";
/// Where people put their own.
const PLUGGED: &str = "cacerts";
const OWN_TYPE: &str = "istio.io/ca-root";

// === impl Roots ===

impl Roots {
    pub(super) fn new(client: Client, namespace: &str, trust_domain: &str, metrics: Metrics) -> (Self, AuthoritySource) {
        let (publish, source) = watch::channel(None);
        let secrets = Api::namespaced(client, namespace);
        (Self { secrets, trust_domain: trust_domain.to_owned(), publish, metrics }, source)
    }

    /// Runs until shutdown. Whatever goes wrong is logged, counted and tried again; an authority at work stays.
    ///
    /// # Errors
    /// None; the type is what [`crate::runtime::Tasks::spawn`] takes.
    pub(super) async fn run(self, ready: ReadyGuard, shutdown: Shutdown) -> Result<(), RootsError> {
        tokio::select! {
            () = shutdown.requested() => {}
            () = self.keep(ready) => {}
        }
        Ok(())
    }

    async fn keep(self, ready: ReadyGuard) {
        let mut ready = Some(ready);
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(10));
        let mut changes = pin!(stream::select(self.changes(PLUGGED), self.changes(OWN)));
        loop {
            match self.look().await {
                Ok(()) => {
                    ready.take();
                    backoff.reset();
                    self.metrics.root_refused.set(0);
                    changes.next().await;
                }
                Err(error) => {
                    let refused = matches!(error, RootsError::Unusable { .. } | RootsError::Unplugged);
                    self.metrics.root_refused.set(i64::from(refused));
                    let kept = self.publish.borrow().is_some();
                    tracing::error!(error = causes(&error), old_root_kept = kept, "root not accepted");
                    tokio::select! {
                        _ = changes.next() => {}
                        () = sleep(backoff.next_delay()) => {}
                    }
                }
            }
        }
    }

    /// Takes what the Secrets hold now.
    async fn look(&self) -> Result<(), RootsError> {
        let current = self.publish.borrow().clone();
        let (secret, material) = match self.read(PLUGGED).await? {
            Some(material) => (PLUGGED, material),
            None => (OWN, self.own(current.as_deref()).await?),
        };
        if current.as_ref().is_some_and(|current| *current.material() == material) {
            return Ok(());
        }
        let authority = Authority::new(material, OffsetDateTime::now_utc()).map_err(|source| RootsError::Unusable { secret, source })?;
        tracing::info!(secret, ends = %authority.not_after(), replaced = current.is_some(), "root at work");
        self.metrics.root_expiry.set(authority.not_after().unix_timestamp());
        self.publish.send_replace(Some(Arc::new(authority)));
        Ok(())
    }

    /// What citadel's own Secret holds; makes it if it is missing: anew at the first start, as it was when somebody deleted it.
    async fn own(&self, current: Option<&Authority>) -> Result<Material, RootsError> {
        if let Some(material) = self.read(OWN).await? {
            return Ok(material);
        }
        let material = match current {
            // An intermediate came from `cacerts`: to store it as our own would hide that it is gone.
            Some(current) if current.material().certificate != current.material().roots => return Err(RootsError::Unplugged),
            Some(current) => current.material().clone(),
            None => Material::generate(&self.trust_domain, OffsetDateTime::now_utc()).map_err(RootsError::Generate)?,
        };
        match self.secrets.create(&PostParams::default(), &secret_of(&material)).await {
            Ok(_) => {
                tracing::info!(secret = OWN, new = current.is_none(), "root stored");
                Ok(material)
            }
            // Another replica was quicker; its root is the mesh's.
            Err(kube::Error::Api(status)) if status.code == 409 => {
                self.read(OWN).await?.ok_or(RootsError::Unusable { secret: OWN, source: AuthorityError::Missing("the Secret") })
            }
            Err(source) => Err(RootsError::Api { secret: OWN, source }),
        }
    }

    async fn read(&self, secret: &'static str) -> Result<Option<Material>, RootsError> {
        let found = self.secrets.get_opt(secret).await.map_err(|source| RootsError::Api { secret, source })?;
        let material = found.map(|found| material_of(found.data.unwrap_or_default()));
        material.transpose().map_err(|source| RootsError::Unusable { secret, source })
    }

    /// One item for each change of a Secret, and for each time that a watch had to begin again.
    fn changes(&self, secret: &'static str) -> impl Stream<Item = ()> + Send + use<> {
        let config = watcher::Config::default().fields(&format!("metadata.name={secret}"));
        let events = watcher::watcher(self.secrets.clone(), config).default_backoff();
        events.filter_map(move |event| {
            std::future::ready(match event {
                Ok(watcher::Event::Apply(_) | watcher::Event::Delete(_) | watcher::Event::InitDone) => Some(()),
                Ok(_) => None,
                Err(error) => {
                    tracing::warn!(error = causes(&error), secret, "watch broken");
                    None
                }
            })
        })
    }
}

fn secret_of(material: &Material) -> Secret {
    let entry = |key: &str, text: &str| (key.to_owned(), ByteString(text.as_bytes().to_vec()));
    Secret {
        metadata: ObjectMeta { name: Some(OWN.to_owned()), ..ObjectMeta::default() },
        type_: Some(OWN_TYPE.to_owned()),
        data: Some(BTreeMap::from([
            entry("ca-cert.pem", &material.certificate),
            entry("ca-key.pem", &material.key),
            entry("cert-chain.pem", &material.chain),
            entry("root-cert.pem", &material.roots),
        ])),
        ..Secret::default()
    }
}

fn material_of(data: BTreeMap<String, ByteString>) -> Result<Material, AuthorityError> {
    let text = |key: &'static str| {
        let text = data.get(key).and_then(|bytes| String::from_utf8(bytes.0.clone()).ok());
        text.filter(|text| !text.trim().is_empty()).ok_or(AuthorityError::Missing(key))
    };
    let certificate = text("ca-cert.pem")?;
    Ok(Material {
        key: text("ca-key.pem")?,
        chain: text("cert-chain.pem").unwrap_or_default(),
        // Istio's older releases leave it out of the Secret that they make, whose certificate is the root.
        roots: text("root-cert.pem").unwrap_or_else(|_| certificate.clone()),
        certificate,
    })
}
