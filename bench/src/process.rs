//! A role's process on a core of its own: its start, what it costs, its end.

use anyhow::{Context, ensure};
use std::{
    fs,
    net::{SocketAddr, TcpListener},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};
use tokio::{io::AsyncReadExt, io::AsyncWriteExt, net::TcpStream};

/// How long a process may take to become ready.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is asked whether it is.
const POLL: Duration = Duration::from_millis(5);
/// The kernel tells CPU time in hundredths of a second, on every architecture that programs see.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process; ends with this value.
pub(crate) struct Process {
    child: Child,
}

/// What a process holds, in MiB.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// All its pages.
    pub(crate) resident: f64,
    /// The same, but of a page that others use too only its share.
    pub(crate) proportional: f64,
}

/// A command that is bound to a core.
pub(crate) fn on_core(core: u32) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]);
    command
}

/// A port that nobody listens on at the moment.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

// === impl Process ===

impl Process {
    /// Starts the command.
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().context("taskset can't be started")?;
        Ok(Self { child })
    }

    /// Starts the command, to talk to it.
    pub(crate) fn start_with_pipes(command: &mut Command) -> anyhow::Result<(Self, ChildStdin, ChildStdout)> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("taskset can't be started")?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let process = Self { child };
        let (input, output) = pipes.context("the process has no pipes")?;
        Ok((process, input, output))
    }

    /// Waits until it says at its monitoring port that it is ready.
    pub(crate) async fn ready(&mut self, monitoring: SocketAddr) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                anyhow::bail!("it ended: {status}");
            }
            let answer = get(monitoring, "/ready").await.unwrap_or_else(|error| error.to_string());
            if answer.starts_with("HTTP/1.1 200") {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "not ready within {PATIENCE:?}: {answer}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// What it holds now.
    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        let of = |file: &str, field: &str| -> anyhow::Result<f64> {
            let text = fs::read_to_string(format!("/proc/{}/{file}", self.child.id()))?;
            mebibytes(&text, field).with_context(|| format!("no {field} in {file}"))
        };
        Ok(Memory { resident: of("status", "VmRSS:")?, proportional: of("smaps_rollup", "Pss:")? })
    }

    /// The CPU seconds that it has used up, in its own code and in the kernel.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        cpu_seconds(&text).context("the kernel's account of the process can't be read")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A process that has ended already needs no end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process's figures, as Prometheus reads them.
pub(crate) async fn metrics(monitoring: SocketAddr) -> anyhow::Result<String> {
    get(monitoring, "/metrics").await
}

async fn get(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// A field of /proc's files that stands there as `NAME   NUMBER kB`.
fn mebibytes(text: &str, field: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kilobytes / 1024.0)
}

/// Of `/proc/PID/stat`. The second field, the program's name, may have spaces and parentheses, so it is counted from its end.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_that_of_program_and_kernel() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 7 7 20 0 1 0 100 1000 10";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(cpu_seconds("42 (a"), None);
    }

    #[test]
    fn memory_is_read_in_mebibytes() {
        let status = "VmHWM:\t 9999 kB\nVmRSS:\t    2048 kB\nPss_Anon: 1 kB\nPss:      1024 kB\n";
        assert_eq!((mebibytes(status, "VmRSS:"), mebibytes(status, "Pss:")), (Some(2.0), Some(1.0)));
        assert_eq!(mebibytes(status, "VmSwap:"), None);
    }

    #[test]
    fn this_very_process_has_an_account() {
        let text = fs::read_to_string("/proc/self/stat").unwrap();
        assert!(cpu_seconds(&text).is_some(), "{text}");
    }
}
