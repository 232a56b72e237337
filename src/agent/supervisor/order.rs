//! What the agent proper tells the supervisor: single lines through a pipe, the agent's standard output.

use std::{
    fmt,
    io::{self, Write},
    process::ChildStdout,
    str::FromStr,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    sync::mpsc,
};

use crate::runtime::Shutdown;

/// One order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Certificate and bootstrap are there: Envoy may start, and is to be kept running.
    StartEnvoy,
    /// Somebody in the pod asked the proxy to end.
    Quit,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StartEnvoy => "start-envoy",
            Self::Quit => "quit",
        })
    }
}

impl FromStr for Order {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "start-envoy" => Ok(Self::StartEnvoy),
            "quit" => Ok(Self::Quit),
            other => Err(other.to_owned()),
        }
    }
}

/// The agent's side: passes orders on through its standard output until shutdown.
///
/// # Errors
/// When nobody reads them any more.
pub async fn obey_through_stdout(mut orders: mpsc::Receiver<Order>, shutdown: Shutdown) -> io::Result<()> {
    loop {
        let order = tokio::select! {
            () = shutdown.requested() => return Ok(()),
            Some(order) = orders.recv() => order,
        };
        // A line is shorter than the pipe, so this does not block.
        let mut out = io::stdout().lock();
        writeln!(out, "{order}")?;
        out.flush()?;
    }
}

/// The supervisor's side: reads orders until the agent is gone.
pub(super) async fn read(pipe: ChildStdout, inbox: mpsc::Sender<Order>) {
    let pipe = match tokio::process::ChildStdout::from_std(pipe) {
        Ok(pipe) => pipe,
        Err(error) => return tracing::error!(%error, "the agent's orders can't be read"),
    };
    let mut lines = BufReader::new(pipe).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match line.parse() {
            Ok(order) => {
                if inbox.send(order).await.is_err() {
                    return;
                }
            }
            Err(line) => tracing::warn!(line, "the agent said something that is no order"),
        }
    }
}
