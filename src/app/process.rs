//! What all processes of the control plane share: logs, the monitoring port, tasks, the end.

use anyhow::Context;
use axum::Router;
use clap::Args;
use std::{convert::Infallible, net::SocketAddr, time::Duration};

use super::LogArgs;
use crate::runtime::{Admin, BuildInfo, Limits, Listener, Readiness, Registry, Security, Tasks, process_registry, provider, signals};

/// Arguments of every role.
#[derive(Clone, Debug, Args)]
pub struct ProcessArgs {
    #[command(flatten)]
    logs: LogArgs,

    /// Where /ready, /healthz, /metrics and /version answer, in plain HTTP.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:15014")]
    pub monitoring: SocketAddr,

    /// For how many seconds after SIGTERM requests are answered as before, until nobody is sent here any more. What only one replica does
    /// is left to the others at once.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(..=8))]
    shutdown_delay: u64,
}

/// A process in the making: roles add their tasks, readiness and metrics, then [`Process::run`] it.
#[derive(Debug)]
pub struct Process {
    /// What runs.
    pub tasks: Tasks,
    /// What is awaited before traffic may come.
    pub readiness: Readiness,
    /// What is measured.
    pub registry: Registry,
    component: &'static str,
    monitoring: Listener,
}

/// Longer than any listener's own drain, and with the delay before it shorter than Kubernetes' grace period of 30 s.
const DRAIN: Duration = Duration::from_secs(20);

// === impl Process ===

impl Process {
    /// Sets up logs and binds the monitoring port.
    ///
    /// # Errors
    /// When an argument can't be understood or the port is taken.
    pub async fn new(component: &'static str, args: &ProcessArgs) -> anyhow::Result<Self> {
        args.logs.init()?;
        // For libraries that look for the process's default; an earlier call has set the same one.
        let _ = provider().as_ref().clone().install_default();
        let monitoring = Listener::bind(args.monitoring).await?;
        tracing::info!(component, version = env!("CARGO_PKG_VERSION"), "starting");
        Ok(Self {
            tasks: Tasks::new().lingering(Duration::from_secs(args.shutdown_delay)),
            readiness: Readiness::new(),
            registry: process_registry(),
            component,
            monitoring,
        })
    }

    /// Runs until a signal or until a task dies. `routes` are served on the monitoring port beside the usual ones.
    ///
    /// # Errors
    /// When a task died or the drain took too long.
    pub async fn run(mut self, routes: Router) -> anyhow::Result<()> {
        let build = BuildInfo { component: self.component, version: env!("CARGO_PKG_VERSION") };
        let admin = Admin::new(self.readiness.clone(), self.registry, build).with_routes(routes).into_router();
        let shutdown = self.tasks.shutdown();
        self.tasks.spawn("monitoring", self.monitoring.serve(admin, Security::Plain, Limits::default(), shutdown.clone()));
        self.tasks.spawn("readiness", async move {
            tokio::select! {
                () = shutdown.requested() => return Ok::<_, Infallible>(()),
                () = self.readiness.ready() => tracing::info!("ready"),
            }
            shutdown.requested().await;
            Ok(())
        });
        let signals = signals().context("signals can't be handled")?;
        self.tasks.run(signals, DRAIN).await?;
        tracing::info!("ended");
        Ok(())
    }
}
