//! The loop that holds or covets a lease.

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{Api, Client, api::PostParams};
use std::time::Duration;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::{
    Leadership,
    decide::{Look, Observation, Step, observe, step},
    leadership::Tenure,
};
use crate::runtime::{Shutdown, causes};

/// Which lease, and as whom.
#[derive(Clone, Debug)]
pub struct LeaseConfig {
    /// The lease's namespace.
    pub namespace: String,
    /// The lease's name, the same in all replicas.
    pub name: String,
    /// This replica's name: the pod's.
    pub identity: String,
    /// Who makes the lease.
    pub maker: LeaseMaker,
    /// How long to hold and to wait.
    pub timing: LeaseTiming,
}

/// Who makes a lease that isn't there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseMaker {
    /// The candidates.
    Candidates,
    /// The operator, with the other objects of the mesh; they go together, and a candidate that ends a moment later must not bring one back.
    Operator,
}

/// The clocks of an election; all replicas must have the same. `term + attempt < duration` keeps two leaders from writing at once.
#[derive(Clone, Copy, Debug)]
pub struct LeaseTiming {
    /// How long a follower waits for a sign of life. The lease shows it in whole seconds.
    pub duration: Duration,
    /// How long a leader may write after its last renewal.
    pub term: Duration,
    /// Between two looks, for leader and follower.
    pub retry: Duration,
    /// For one look or write.
    pub attempt: Duration,
}

/// A candidate. Its role needs `get` and `update` on the lease, and `create` if it makes it.
#[derive(Debug)]
pub struct Elector {
    api: ApiOf,
    config: LeaseConfig,
    seen: Option<Observation>,
    publish: watch::Sender<Option<Tenure>>,
    terms: u64,
}

/// Why a look or a write failed; it is repeated.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The API server said no or nothing.
    #[error("lease {name:?} can't be read or written")]
    Api {
        /// The lease.
        name: String,
        /// Why.
        #[source]
        source: kube::Error,
    },
    /// No answer in time.
    #[error("lease {name:?}: no answer within {limit:?}")]
    TimedOut {
        /// The lease.
        name: String,
        /// How long was waited.
        limit: Duration,
    },
}

/// Api has no Debug of its own.
struct ApiOf(Api<Lease>);

impl std::fmt::Debug for ApiOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Api<Lease>")
    }
}

// === impl LeaseTiming ===

impl Default for LeaseTiming {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { duration: seconds(12), term: seconds(8), retry: seconds(2), attempt: seconds(3) }
    }
}

// === impl Elector ===

impl Elector {
    /// A candidate that has not looked yet.
    pub fn new(client: Client, config: LeaseConfig) -> (Self, Leadership) {
        let (publish, tenure) = watch::channel(None);
        let api = ApiOf(Api::namespaced(client, &config.namespace));
        (Self { api, config, seen: None, publish, terms: 0 }, Leadership::new(tenure))
    }

    /// Takes and holds the lease until shutdown, then gives it up so that a follower need not wait. Failures are logged and repeated.
    ///
    /// # Errors
    /// None; the type is what [`crate::runtime::Tasks::spawn`] takes.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), LeaseError> {
        loop {
            tokio::select! {
                () = shutdown.requested() => break,
                () = self.round() => {}
            }
        }
        if self.publish.send_replace(None).is_some()
            && let Err(error) = self.within_time(Self::release).await
        {
            tracing::warn!(error = causes(&error), "lease could not be given up; a follower has to wait for it to run out");
        }
        Ok(())
    }

    async fn round(&mut self) {
        let started = Instant::now();
        match self.within_time(Self::attempt).await {
            Ok(true) => self.hold(started + self.config.timing.term),
            Ok(false) => self.resign("another replica leads, or the lease is gone"),
            Err(error) => {
                tracing::warn!(error = causes(&error), lease = %self.config.name, "no look at the lease");
                if self.publish.borrow().is_some_and(|tenure| Instant::now() >= tenure.deadline) {
                    self.resign("the term ran out");
                }
            }
        }
        sleep(self.config.timing.retry).await;
    }

    /// Looks at the lease and writes it if it is ours or can be; whether it is ours now.
    async fn attempt(&mut self) -> Result<bool, kube::Error> {
        let lease = self.api.0.get_opt(&self.config.name).await?;
        if lease.is_some() || self.seen.is_some() {
            self.seen = Some(self.observation(lease.as_ref()));
        }
        let written = match (step(&self.config.identity, self.seen.as_ref(), Instant::now()), lease) {
            (Step::Take | Step::Renew, Some(old)) => {
                let new = self.lease(Some(old));
                self.api.0.replace(&self.config.name, &PostParams::default(), &new).await
            }
            (Step::Create, None) if self.config.maker == LeaseMaker::Candidates => {
                self.api.0.create(&PostParams::default(), &self.lease(None)).await
            }
            _ => return Ok(false),
        };
        match written {
            Ok(lease) => {
                self.seen = Some(self.observation(Some(&lease)));
                Ok(true)
            }
            // Another replica was quicker.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn release(&mut self) -> Result<(), kube::Error> {
        let Some(mut lease) = self.api.0.get_opt(&self.config.name).await? else { return Ok(()) };
        let Some(spec) = lease.spec.as_mut().filter(|spec| spec.holder_identity.as_ref() == Some(&self.config.identity)) else {
            return Ok(());
        };
        spec.holder_identity = Some(String::new());
        self.api.0.replace(&self.config.name, &PostParams::default(), &lease).await.map(drop)
    }

    async fn within_time<T>(&mut self, request: impl AsyncFnOnce(&mut Self) -> Result<T, kube::Error>) -> Result<T, LeaseError> {
        let (name, limit) = (self.config.name.clone(), self.config.timing.attempt);
        match timeout(limit, request(self)).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(source)) => Err(LeaseError::Api { name, source }),
            Err(_) => Err(LeaseError::TimedOut { name, limit }),
        }
    }

    fn hold(&mut self, deadline: Instant) {
        let current = self.publish.borrow().filter(|tenure| Instant::now() < tenure.deadline);
        let number = current.map_or(self.terms + 1, |tenure| tenure.number);
        if number > self.terms {
            tracing::info!(lease = %self.config.name, "leading");
            self.terms = number;
        }
        self.publish.send_replace(Some(Tenure { number, deadline }));
    }

    fn resign(&mut self, reason: &'static str) {
        if self.publish.borrow().is_some() {
            tracing::warn!(lease = %self.config.name, reason, "not leading any more");
            self.publish.send_replace(None);
        }
    }

    fn observation(&self, lease: Option<&Lease>) -> Observation {
        let look = lease.map_or_else(Look::default, |lease| Look {
            uid: Some(lease.metadata.uid.clone().unwrap_or_default()),
            version: lease.metadata.resource_version.clone().unwrap_or_default(),
            holder: lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone()),
        });
        observe(self.seen.as_ref(), look, self.config.timing.duration, Instant::now())
    }

    /// The lease as ours, in place of `old`, whose resourceVersion makes the API server refuse it if somebody else wrote meanwhile.
    fn lease(&self, old: Option<Lease>) -> Lease {
        let now = MicroTime(Timestamp::now());
        let name = self.config.name.clone();
        let mut lease = old.unwrap_or_else(|| Lease { metadata: ObjectMeta { name: Some(name), ..Default::default() }, spec: None });
        let before = lease.spec.take().unwrap_or_default();
        let ours = before.holder_identity.as_ref() == Some(&self.config.identity);
        lease.spec = Some(LeaseSpec {
            acquire_time: before.acquire_time.filter(|_| ours).or_else(|| Some(now.clone())),
            holder_identity: Some(self.config.identity.clone()),
            lease_duration_seconds: i32::try_from(self.config.timing.duration.as_secs().max(1)).ok(),
            lease_transitions: Some(before.lease_transitions.unwrap_or(0) + i32::from(!ours)),
            renew_time: Some(now),
            ..Default::default()
        });
        lease
    }
}
