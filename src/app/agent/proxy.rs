//! `ferromesh-agent proxy`: what becomes the supervisor, and hidden behind it the agent proper.

use anyhow::Context;
use clap::Args;
use ferromesh_supervisor::{Program, Supervision};
use futures::{StreamExt, stream};
use nix::sys::{prctl::set_pdeathsig, signal::Signal};
use serde::{Deserialize, Serialize};
use std::{convert::Infallible, env, ffi::OsString, fs, os::unix::process::CommandExt, path::PathBuf, process::Command, time::Duration};
use tokio::{runtime, sync::mpsc};

use super::{
    LogArgs, from_json_or_yaml,
    handover::as_text,
    pod::{PodArgs, environment_metadata},
};
use crate::agent::{
    AgentConfig, AppMetrics, DataPlane, DnsConfig, DrainTimes, Ports, ResolvConf, bind, envoy_arguments, obey_through_stdout, parse_probes,
    remedy, start,
};
use crate::model::{Generator, ProxyRole, parse_duration};
use crate::runtime::{IdentityConfig, Tasks, prefixed_registry, signals};

/// Runs a pod's proxy: its certificate, its Envoy, its probes, its orderly end.
#[derive(Clone, Debug, Args, Serialize, Deserialize)]
#[command(
    after_help = "Examples:\n  ferromesh-agent proxy sidecar --pod-name web-0 --pod-namespace shop --instance-ip 10.0.0.7\n  ferromesh-agent proxy router --pod-name gate-0 --pod-namespace shop --instance-ip 10.0.0.8"
)]
pub struct ProxyArgs {
    /// What the proxy is: `sidecar` or `router` (a gateway).
    #[serde(with = "as_text")]
    role: ProxyRole,

    /// Envoy's log level: trace, debug, info, warning, error, critical or off.
    #[arg(long, value_name = "LEVEL", default_value = "warning")]
    log_level: String,

    /// Log levels of Envoy's parts, as in `filter:debug,http2:info`.
    #[arg(long, value_name = "LEVELS", default_value = "")]
    component_log_level: String,

    #[command(flatten)]
    log: LogArgs,

    #[command(flatten)]
    pod: PodArgs,

    /// `host:port` of citadel.
    #[arg(long, env = "CA_ADDR", default_value = "istio-citadel.istio-system.svc:15012")]
    ca_address: String,

    /// The lifetime to ask for in a certificate, as in `24h`.
    #[arg(long, env = "SECRET_TTL", default_value = "24h")]
    certificate_lifetime: String,

    /// The application's own probes, as the injector writes them.
    #[arg(long, env = "ISTIO_KUBE_APP_PROBERS", default_value = "")]
    probes: String,

    /// The application's own `prometheus.io/*` annotations, as the injector writes them.
    #[arg(long, env = "ISTIO_PROMETHEUS_ANNOTATIONS", default_value = "")]
    app_metrics: String,

    /// Whether a drain ends with the last connection, however long that takes (`true`), or always takes all of terminationDrainDuration
    /// (`false`). Without it: with the last connection, and after that time at the latest.
    #[arg(long, env = "EXIT_ON_ZERO_ACTIVE_CONNECTIONS", value_name = "BOOLEAN", default_value = "")]
    exit_on_zero_connections: String,

    /// The shortest time that a drain takes, as in `5s`.
    #[arg(long, env = "MINIMUM_DRAIN_DURATION", value_name = "DURATION", default_value = "")]
    minimum_drain: String,

    /// A file in JSON or YAML that is laid over Envoy's bootstrap.
    #[arg(long, env = "ISTIO_BOOTSTRAP_OVERRIDE", value_name = "FILE")]
    bootstrap_override: Option<PathBuf>,

    /// The folder in which an application without Envoy finds its certificate.
    #[arg(long, env = "OUTPUT_CERTS", value_name = "FOLDER", default_value = "/var/lib/istio/data")]
    output_certs: PathBuf,

    #[command(flatten)]
    places: Places,
}

/// Where things are in a pod. Other values are for tests.
#[derive(Clone, Debug, Args, Serialize, Deserialize)]
struct Places {
    #[arg(long, hide = true, default_value = "/usr/local/bin/envoy")]
    envoy: PathBuf,

    #[arg(long, hide = true, default_value = "/etc/istio/proxy")]
    directory: PathBuf,

    #[arg(long, hide = true, default_value = "/var/run/secrets/tokens/istio-token")]
    token: PathBuf,

    #[arg(long, hide = true, default_value = "/var/run/secrets/istio/root-cert.pem")]
    roots: PathBuf,

    #[arg(long, hide = true)]
    ca_name: Option<String>,

    #[arg(long, hide = true, default_value_t = Ports::default().admin)]
    admin_port: u16,

    #[arg(long, hide = true, default_value_t = Ports::default().health)]
    health_port: u16,

    #[arg(long, hide = true, default_value_t = Ports::default().metrics)]
    metrics_port: u16,

    #[arg(long, hide = true, default_value_t = Ports::default().dns)]
    dns_port: u16,

    #[arg(long, hide = true, default_value = "/etc/resolv.conf")]
    resolv_conf: PathBuf,
}

/// The supervisor's program, in this one's folder.
const SUPERVISOR: &str = "ferromesh-supervisor";
/// What glibc is told of the agent's heap: to give back what is free at its end, where it would keep up to 128 KiB, and ask for more by as
/// little. The names of a mesh and pages of metrics come and go. Envoy has an allocator of its own.
const HEAP: [(&str, &str); 2] = [("MALLOC_TRIM_THRESHOLD_", "65536"), ("MALLOC_TOP_PAD_", "16384")];
/// How long tasks may take to end once Envoy has been drained.
const TASKS_END: Duration = Duration::from_secs(1);

// === impl ProxyArgs ===

impl ProxyArgs {
    /// Process 1: becomes the supervisor, which starts the agent proper and Envoy and keeps them until the end.
    ///
    /// # Errors
    /// When an argument can't be understood, or the supervisor's program is not there: before anything has been started.
    pub fn supervise(self) -> anyhow::Result<Infallible> {
        self.log.init()?;
        let config = self.config()?;
        let changes = &config.facts.proxy_config.drain_duration;
        let changes = parse_duration(changes).with_context(|| format!("drainDuration {changes:?} is no duration such as 45s"))?;
        if let Err(error) = fs::create_dir_all(&config.directory) {
            let said = format!("can't make {}{}", config.directory.display(), remedy(&error));
            return Err(error).context(said);
        }
        let own = env::current_exe().context("this program's own file is unknown")?;
        let envoy = match &config.data_plane {
            DataPlane::Grpc { .. } => None,
            DataPlane::Envoy { program, overriding } => {
                let (level, parts) = (&self.log_level, &self.component_log_level);
                let arguments = envoy_arguments(&config.facts, level, parts, changes, overriding.as_deref());
                Some(Program { path: program.clone(), arguments: arguments.into_iter().map(OsString::from).collect() })
            }
        };
        let path = own.with_file_name(SUPERVISOR);
        let (log, log_format) = self.log.settings();
        let supervision = Supervision {
            agent: Program { arguments: self.hand_over()?, path: own },
            envoy,
            directory: config.directory,
            drain: config.drain_times.longest,
            log,
            log_format,
        };
        // Who lists a pod's processes finds the name and the verb of the container's command.
        let mut supervisor = Command::new(&path);
        supervisor.args(env::args_os().skip(1).take(1)).args(supervision.to_arguments());
        supervisor.arg0(env::args_os().next().unwrap_or_default()).envs(HEAP);
        Err(supervisor.exec()).with_context(|| format!("can't become {}", path.display()))
    }

    /// The agent proper, as the supervisor starts it.
    ///
    /// # Errors
    /// When a port is taken or a task died: the supervisor then starts another.
    pub fn serve(self) -> anyhow::Result<()> {
        self.log.init()?;
        // Alone it would hold its ports against the next one.
        set_pdeathsig(Signal::SIGTERM).context("the supervisor's end can't be watched")?;
        let config = self.config()?;
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let listeners = bind(&config).await?;
            let mut tasks = Tasks::new();
            // Two kinds of orders, each given once or twice in a pod's life.
            let (orders, received) = mpsc::channel(4);
            tasks.spawn("orders", obey_through_stdout(received, tasks.shutdown()));
            let drained = start(config, listeners, orders, &mut tasks, prefixed_registry("istio_agent"));
            let mut signals = signals().context("signals can't be handled")?;
            let end = async move {
                let signal = signals.next().await.unwrap_or("SIGTERM");
                tokio::select! {
                    () = drained => {}
                    _ = signals.next() => tracing::info!("the drain is cut short"),
                }
                signal
            };
            tasks.run(Box::pin(stream::once(end).chain(stream::pending())), TASKS_END).await?;
            Ok(())
        })
    }

    /// The pod's own servers, which are asked what the mesh does not know.
    fn dns(&self) -> anyhow::Result<DnsConfig> {
        let path = &self.places.resolv_conf;
        let text = fs::read_to_string(path).with_context(|| format!("ISTIO_META_DNS_CAPTURE: can't read {}", path.display()))?;
        Ok(DnsConfig { port: self.places.dns_port, resolv_conf: ResolvConf::parse(&text) })
    }

    /// Raw arguments to meaningful ones.
    fn config(&self) -> anyhow::Result<AgentConfig> {
        let facts = self.pod.facts(self.role, environment_metadata())?;
        let places = &self.places;
        let lifetime = &self.certificate_lifetime;
        let lifetime = parse_duration(lifetime).with_context(|| format!("SECRET_TTL {lifetime:?} is no duration such as 24h"))?;
        let drain = &facts.proxy_config.termination_drain_duration;
        let drain = parse_duration(drain).with_context(|| format!("terminationDrainDuration {drain:?} is no duration such as 5s"))?;
        let probes = match self.probes.as_str() {
            "" => Default::default(),
            text => parse_probes(text).context("ISTIO_KUBE_APP_PROBERS")?,
        };
        let app_metrics: Option<AppMetrics> = match self.app_metrics.as_str() {
            "" => None,
            text => Some(serde_json::from_str(text).context("ISTIO_PROMETHEUS_ANNOTATIONS")?),
        };
        Ok(AgentConfig {
            ports: Ports {
                admin: places.admin_port,
                status: facts.proxy_config.status_port,
                health: places.health_port,
                metrics: places.metrics_port,
                dns: places.dns_port,
            },
            identity: IdentityConfig {
                address: self.ca_address.clone(),
                server_name: places.ca_name.clone(),
                token_file: places.token.clone(),
                root_file: places.roots.clone(),
                lifetime,
            },
            data_plane: match facts.generator() {
                Generator::Envoy => DataPlane::Envoy { program: places.envoy.clone(), overriding: self.overriding()? },
                Generator::Grpc => DataPlane::Grpc { certificates: self.output_certs.clone() },
            },
            directory: places.directory.clone(),
            probes,
            app_metrics,
            drain_times: self.drain_times(drain)?,
            dns: facts.captures_dns().then(|| self.dns()).transpose()?,
            facts,
        })
    }

    /// `longest` is the ProxyConfig's.
    fn drain_times(&self, longest: Duration) -> anyhow::Result<DrainTimes> {
        let shortest = match self.minimum_drain.as_str() {
            "" => None,
            text => Some(parse_duration(text).with_context(|| format!("MINIMUM_DRAIN_DURATION {text:?} is no duration such as 5s"))?),
        };
        let exit_on_zero = match self.exit_on_zero_connections.as_str() {
            "" => None,
            // What Go's ParseBool takes.
            "1" | "t" | "T" | "true" | "True" | "TRUE" => Some(true),
            "0" | "f" | "F" | "false" | "False" | "FALSE" => Some(false),
            text => anyhow::bail!("EXIT_ON_ZERO_ACTIVE_CONNECTIONS {text:?} is no boolean: use true or false"),
        };
        Ok(DrainTimes::new(longest, shortest, exit_on_zero))
    }

    /// What the pod lays over Envoy's bootstrap, in the one line that Envoy is given.
    fn overriding(&self) -> anyhow::Result<Option<String>> {
        let Some(path) = self.bootstrap_override.as_ref().filter(|path| !path.as_os_str().is_empty()) else { return Ok(None) };
        let named = || format!("annotation sidecar.istio.io/bootstrapOverride: {}", path.display());
        let text = fs::read_to_string(path).with_context(named)?;
        let read: serde_json::Map<String, serde_json::Value> =
            from_json_or_yaml(&text).with_context(|| format!("{} is no map in JSON or YAML", named()))?;
        Ok(Some(serde_json::to_string(&read)?))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use clap::Parser;

    /// A command line with these arguments alone.
    #[derive(Parser)]
    pub(in crate::app) struct Command {
        #[command(flatten)]
        pub(in crate::app) proxy: ProxyArgs,
    }

    fn config(arguments: &[&str]) -> anyhow::Result<AgentConfig> {
        let fixed = ["proxy", "sidecar", "--pod-name", "web-1", "--pod-namespace", "shop", "--instance-ip", "10.0.0.7"];
        Command::try_parse_from(fixed.iter().chain(arguments))?.proxy.config()
    }

    #[test]
    fn defaults_are_those_of_a_pod() {
        let config = config(&[]).unwrap();
        assert_eq!(config.ports, Ports::default());
        assert_eq!((config.facts.workload.as_str(), config.facts.service_account.as_str()), ("web-1", "default"));
        assert_eq!(config.drain_times.longest, Duration::from_secs(5));
        assert_eq!(config.identity.lifetime, Duration::from_secs(86_400));
    }

    #[test]
    fn the_injectors_environment_is_understood() {
        let directory = tempfile::tempdir().unwrap();
        let labels = directory.path().join("labels");
        fs::write(&labels, "app=\"web\"\n").unwrap();
        let config = config(&[
            "--labels",
            labels.to_str().unwrap(),
            "--proxy-config",
            r#"{"discoveryAddress":"istio-pilot.mesh.svc:15012","concurrency":4,"terminationDrainDuration":"1m","statusPort":15022}"#,
            "--probes",
            r#"{"/app-health/web/readyz":{"httpGet":{"path":"/health","port":9080}}}"#,
            "--app-metrics",
            r#"{"port":"9080","scrape":"true"}"#,
        ])
        .unwrap();
        assert_eq!(config.facts.labels["app"], "web");
        assert_eq!((config.ports.status, config.probes.len()), (15022, 1));
        assert_eq!(config.drain_times.longest, Duration::from_secs(60));
        assert_eq!(config.app_metrics.unwrap().path, "/metrics");
    }

    #[test]
    fn what_is_laid_over_the_bootstrap_becomes_one_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("custom_bootstrap.json");
        fs::write(&path, "stats_flush_interval: 3s\nadmin: {profile_path: /x}\n").unwrap();
        let config = config(&["--bootstrap-override", path.to_str().unwrap()]).unwrap();
        let DataPlane::Envoy { overriding, .. } = config.data_plane else { panic!("{config:?}") };
        assert_eq!(overriding.as_deref(), Some(r#"{"admin":{"profile_path":"/x"},"stats_flush_interval":"3s"}"#));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (arguments, named) in [
            (["--instance-ip", "10.0.0"], "INSTANCE_IP"),
            (["--proxy-config", "{concurency: 2}"], "PROXY_CONFIG"),
            (["--proxy-config", "{terminationDrainDuration: soon}"], "terminationDrainDuration \"soon\""),
            (["--probes", "[]"], "ISTIO_KUBE_APP_PROBERS"),
            (["--certificate-lifetime", "1d"], "SECRET_TTL"),
            (["--minimum-drain", "1d"], "MINIMUM_DRAIN_DURATION"),
            (["--exit-on-zero-connections", "yes"], "EXIT_ON_ZERO_ACTIVE_CONNECTIONS"),
            (["--bootstrap-override", "/nonexistent"], "sidecar.istio.io/bootstrapOverride"),
        ] {
            let error = Command::try_parse_from(
                ["proxy", "router", "--pod-name", "a", "--pod-namespace", "b"]
                    .into_iter()
                    .chain(if arguments[0] == "--instance-ip" { vec![] } else { vec!["--instance-ip", "10.0.0.7"] })
                    .chain(arguments),
            )
            .unwrap()
            .proxy
            .config()
            .unwrap_err();
            assert!(format!("{error:#}").contains(named), "{error:#}");
        }
    }
}
