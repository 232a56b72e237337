//! Ways into the cluster that no address leads to: `kubectl port-forward`.

use anyhow::Context;
use std::process::Stdio;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdout},
};

use crate::{Cluster, Visitor};

/// A port of a pod or Service on loopback, for as long as this value lives.
#[derive(Debug)]
pub struct Forward {
    /// Who asks there.
    pub visitor: Visitor,
    _process: Child,
    /// kubectl ends when it can't write the line that it has for each connection.
    _output: BufReader<ChildStdout>,
}

// === impl Forward ===

impl Forward {
    /// Forwards to `port` of `target`, as in `pod/web` or `service/web`.
    ///
    /// # Errors
    /// When kubectl does not say that it does.
    pub async fn to(cluster: &Cluster, namespace: &str, target: &str, port: u16) -> anyhow::Result<Self> {
        let mut command = cluster.kubectl_command(&["port-forward", "-n", namespace, target, &format!(":{port}")]);
        command.stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut process = command.spawn().context("kubectl can't be started")?;
        let output = process.stdout.take().context("kubectl has no output")?;
        // "Forwarding from 127.0.0.1:41234 -> 15000"
        let mut output = BufReader::new(output);
        let mut line = String::new();
        output.read_line(&mut line).await?;
        let address = line.strip_prefix("Forwarding from ").and_then(|rest| rest.split_whitespace().next());
        let address = address.with_context(|| format!("no way to port {port} of {target} in {namespace}"))?;
        Ok(Self { visitor: Visitor::new(format!("http://{address}")), _process: process, _output: output })
    }
}
