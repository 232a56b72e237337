//! How the agent proper speaks to the supervisor: single lines through its standard output.

use std::io::{self, Write};
use tokio::sync::mpsc;

use super::Order;
use crate::runtime::Shutdown;

/// Passes orders on until shutdown.
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
