//! The agent proper, put together.

use bytes::Bytes;
use prost::Message;
use std::{
    collections::BTreeMap,
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::mpsc;

use super::{
    AppMetrics, BOOTSTRAP, DrainTimes, EnvoyAdmin, Order, Ports, Probe, ProxyFacts, SDS_SOCKET,
    bootstrap::{agent_address, bootstrap},
    changes::{self, Envoy},
    dns::{Dns, DnsConfig},
    drain::drain,
    grpc::{self, GrpcStart, Streams},
    sds,
    status::{self, Draining, Serving, Status},
};
use crate::runtime::{
    CertificateSource, IdentityClient, IdentityConfig, Limits, Listener, Registry, Security, Shutdown, Tasks, WorkloadCert, causes,
    write_atomically,
};

/// Everything that the agent proper needs to know.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// Whose proxy it is.
    pub facts: ProxyFacts,
    /// Where its parts listen.
    pub ports: Ports,
    /// Where the certificate comes from.
    pub identity: IdentityConfig,
    /// What the agent is beside.
    pub data_plane: DataPlane,
    /// The working directory of whoever that is, with its bootstrap and the socket at which it asks.
    pub directory: PathBuf,
    /// The application's probes by the path under which they are answered here.
    pub probes: BTreeMap<String, Probe>,
    /// The application's own metrics.
    pub app_metrics: Option<AppMetrics>,
    /// How long a drain takes.
    pub drain_times: DrainTimes,
    /// How the application's DNS queries are answered; none if they don't come here.
    pub dns: Option<DnsConfig>,
}

/// What has the mesh's configuration in a pod.
#[derive(Clone, Debug)]
pub enum DataPlane {
    /// An Envoy of the agent's.
    Envoy {
        /// Envoy itself, which is asked about configurations that users change, too.
        program: PathBuf,
        /// What the pod lays over Envoy's bootstrap, in JSON.
        overriding: Option<String>,
    },
    /// The application, by its gRPC library.
    Grpc {
        /// The folder in which it finds the workload's certificate.
        certificates: PathBuf,
    },
}

/// The agent's sockets.
#[derive(Debug)]
pub struct AgentListeners {
    status: Listener,
    /// Where Envoy asks for secrets, and a gRPC library for everything.
    asked: Listener,
    dns: Option<Dns>,
}

/// Why the agent can't do its work.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port is taken.
    #[error("can't listen on the agent's port")]
    Status(#[source] io::Error),
    /// The socket can't be made.
    #[error("can't listen on {path}{}", remedy(source))]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The port for DNS is taken.
    #[error("can't listen on the agent's port for DNS")]
    Dns(#[source] io::Error),
    /// The bootstrap can't be written.
    #[error("can't write {path}{}", remedy(source))]
    Bootstrap {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Envoy does not take what the pod lays over its bootstrap.
    #[error("annotation sidecar.istio.io/bootstrapOverride: Envoy can't start with what the ConfigMap holds")]
    Overriding(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The supervisor does not listen.
    #[error("the supervisor is gone")]
    Supervisor,
}

/// What to do about a file that can't be written, as the end of a message.
pub fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ": its volume is full, give it more room or remove what fills it",
        io::ErrorKind::ReadOnlyFilesystem => ": it is on a read-only file system, mount a volume that can be written",
        _ => "",
    }
}

/// Binds the agent's port and the socket at which it is asked.
///
/// # Errors
/// When the port is taken or the directory can't be written.
pub async fn bind(config: &AgentConfig) -> Result<AgentListeners, StartError> {
    let address = SocketAddr::new(agent_address(config.facts.address()), config.ports.status);
    let status = Listener::bind(address).await.map_err(StartError::Status)?;
    let (path, bound) = match &config.data_plane {
        DataPlane::Envoy { .. } => {
            let path = config.directory.join(SDS_SOCKET);
            let bound = bind_private(&path);
            (path, bound)
        }
        DataPlane::Grpc { .. } => {
            let path = grpc::socket(&config.directory);
            let bound = Listener::bind_unix(&path).and_then(|bound| grpc::open_to_application(&path).map(|()| bound));
            (path, bound)
        }
    };
    let asked = bound.map_err(|source| StartError::Socket { path, source })?;
    let dns = match &config.dns {
        Some(dns) => Some(Dns::bind(dns).await.map_err(StartError::Dns)?),
        None => None,
    };
    Ok(AgentListeners { status, asked, dns })
}

/// A socket in a directory that no other user may enter: keys come out of it.
fn bind_private(path: &Path) -> io::Result<Listener> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
    }
    Listener::bind_unix(path)
}

/// Starts every task of the agent proper, and gives back what its end waits for: the drain, once a signal asked for it.
pub fn start(
    config: AgentConfig,
    listeners: AgentListeners,
    orders: mpsc::Sender<Order>,
    tasks: &mut Tasks,
    mut registry: Registry,
) -> impl Future<Output = ()> + Send + 'static {
    let draining = Draining::default();
    let (client, certificate) = IdentityClient::new(config.identity, &mut registry);
    let failures = status::register(&mut registry);
    if let Some(dns) = listeners.dns {
        dns.start(&config.facts, certificate.clone(), tasks, &mut registry);
    }
    let shutdown = tasks.shutdown();
    // Streams of secrets, and of xDS, never end by themselves, and nobody needs them any more when the drain is over.
    let limits = Limits { connections: 256, drain: Duration::from_millis(200), ..Limits::default() };
    let address = config.facts.address().unwrap_or(Ipv4Addr::LOCALHOST.into());
    let (serving, routes) = match config.data_plane {
        DataPlane::Envoy { program, overriding } => {
            let start = EnvoyStart {
                own: bootstrap(&config.facts, &config.ports).encode_to_vec().into(),
                facts: config.facts,
                envoy: Envoy { program, directory: config.directory, overriding },
            };
            tasks.spawn("envoy", start.run(certificate.clone(), orders.clone(), shutdown.clone()));
            (Serving::Envoy(EnvoyAdmin::new(config.ports.admin)), sds::routes(certificate.clone()))
        }
        DataPlane::Grpc { certificates } => {
            let streams = Streams::default();
            let routes = grpc::routes(&config.facts, certificate.clone(), streams.clone());
            let (start, grpc) = GrpcStart::new(config.facts, config.directory, certificates, certificate.clone(), streams);
            let start = Arc::new(start);
            tasks.spawn("files", start.clone().write(shutdown.clone()));
            tasks.spawn("pilot", start.reach(shutdown.clone()));
            (Serving::Grpc(grpc), routes)
        }
    };
    let status = Status {
        serving: serving.clone(),
        certificate: certificate.clone(),
        address,
        probes: config.probes,
        app_metrics: config.app_metrics,
        registry,
        failures,
        orders,
        draining: draining.clone(),
    };
    tasks.spawn("identity", client.run(shutdown.clone()));
    tasks.spawn("status", listeners.status.serve(status::routes(status), Security::Plain, limits, shutdown.clone()));
    tasks.spawn("socket", listeners.asked.serve(routes, Security::PlainHttp2, limits, shutdown));
    async move {
        draining.begin();
        match serving {
            Serving::Envoy(admin) => drain(admin, config.drain_times).await,
            Serving::Grpc(grpc) => grpc.drain(config.drain_times).await,
        }
    }
}

/// What Envoy starts with.
struct EnvoyStart {
    /// The bootstrap in Envoy's binary form, without what users change in it.
    own: Bytes,
    facts: ProxyFacts,
    envoy: Envoy,
}

// === impl EnvoyStart ===

impl EnvoyStart {
    /// Lets Envoy start once there is a certificate for it: its first connection to pilot needs one.
    async fn run(self, mut certificate: CertificateSource, orders: mpsc::Sender<Order>, shutdown: Shutdown) -> Result<(), StartError> {
        let first = tokio::select! {
            () = shutdown.requested() => return Ok(()),
            first = certificate.wait_for(Option::is_some) => first.ok().and_then(|first| first.clone()),
        };
        let Some(first) = first else { return Ok(()) };
        tokio::select! {
            () = shutdown.requested() => return Ok(()),
            written = async { self.try_overriding().await?; self.write(&first).await } => written?,
        }
        orders.send(Order::StartEnvoy).await.map_err(|_| StartError::Supervisor)?;
        shutdown.requested().await;
        Ok(())
    }

    /// Writes the bootstrap with what users change in it. Where that can't be had, what was written for this pod before stays, and without
    /// any the pod starts without changes.
    async fn write(&self, certificate: &Arc<WorkloadCert>) -> Result<(), StartError> {
        let path = self.envoy.directory.join(BOOTSTRAP);
        let content = match changes::changed(&self.own, &self.facts, certificate, &self.envoy).await {
            Ok(changed) => changed,
            Err(error) => {
                tracing::warn!(error = causes(&error), "Envoy starts without what users change in its bootstrap now");
                if path.exists() {
                    return Ok(());
                }
                self.own.clone()
            }
        };
        write_once(&path, &content).map_err(|source| StartError::Bootstrap { path, source })
    }

    /// Whether Envoy starts with what the pod lays over its bootstrap. If not, nothing helps but another ConfigMap: a proxy without it
    /// would be another than the pod's author asked for.
    async fn try_overriding(&self) -> Result<(), StartError> {
        if self.envoy.overriding.is_none() {
            return Ok(());
        }
        self.envoy.try_out(&self.own).await.map_err(|error| StartError::Overriding(Box::new(error)))
    }
}

/// Writes a file that is not there in this form yet. An agent that was brought back finds the one that its Envoy was started with, and
/// must not fail over a disk that is full by now: Envoy needs its secrets.
fn write_once(path: &Path, content: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|present| present == content) {
        return Ok(());
    }
    write_atomically(path, content, 0o600)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn what_to_do_about_a_disk_is_said() {
        let said = |kind: io::ErrorKind| {
            let (path, source) = (PathBuf::from("/etc/istio/proxy/x"), io::Error::from(kind));
            StartError::Bootstrap { path, source }.to_string()
        };
        assert!(said(io::ErrorKind::StorageFull).starts_with("can't write /etc/istio/proxy/x: its volume is full"));
        assert!(said(io::ErrorKind::ReadOnlyFilesystem).contains("read-only"));
        assert_eq!(said(io::ErrorKind::PermissionDenied), "can't write /etc/istio/proxy/x");
    }

    #[test]
    fn a_bootstrap_is_written_when_it_differs_and_only_then() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(BOOTSTRAP);
        let written = |content: &[u8]| {
            write_once(&path, content).unwrap();
            assert_eq!(fs::read(&path).unwrap(), content);
            fs::metadata(&path).unwrap().ino()
        };
        let first = written(b"one");
        assert_eq!(written(b"one"), first);
        assert_ne!(written(b"other"), first);
    }
}
