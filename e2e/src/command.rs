//! Running kubectl, helm and the like.

use anyhow::Context;
use std::{env, path::PathBuf, process::Stdio, sync::OnceLock, time::Duration};
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

use crate::project;

/// No command of a test takes longer.
const LIMIT: Duration = Duration::from_secs(300);

/// What a program said, and whether it was content.
#[derive(Clone, Debug)]
pub struct Said {
    /// Whether it ended with 0.
    pub ok: bool,
    /// What it ended with, unless a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

// === impl Said ===

impl Said {
    /// The standard output of a command that succeeded.
    ///
    /// # Errors
    /// With the standard error of one that failed.
    pub fn checked(self) -> anyhow::Result<String> {
        anyhow::ensure!(self.ok, "{}", if self.err.trim().is_empty() { self.out } else { self.err }.trim());
        Ok(self.out)
    }
}

/// A program of the local cluster's, where it has been built; else the one in PATH.
pub(crate) fn program(name: &str) -> Command {
    let built = project::cache().map(|cache| cache.join("bin").join(name)).filter(|path| path.exists());
    let mut command = Command::new(built.unwrap_or_else(|| PathBuf::from(name)));
    command.kill_on_drop(true).stdin(Stdio::null());
    command
}

/// The program `ferromesh`, beside which the tests were built; `FERROMESH` names another.
pub(crate) fn command_line() -> anyhow::Result<Command> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let named = env::var_os("FERROMESH").map(PathBuf::from);
        named.or_else(|| Some(project::target().join("debug/ferromesh"))).filter(|program| program.exists())
    };
    let program = PROGRAM.get_or_init(find).as_deref().context("the program ferromesh is not there: make cli")?;
    let mut command = Command::new(program);
    command.kill_on_drop(true).stdin(Stdio::null());
    Ok(command)
}

/// What `ferromesh` says where it asks no cluster.
///
/// # Errors
/// When it can't be run.
pub async fn ferromesh_offline(arguments: &[&str]) -> anyhow::Result<Said> {
    let mut command = command_line()?;
    command.args(arguments);
    run(command, None).await
}

/// Runs a command to its end, with `input` on its standard input.
pub(crate) async fn run(mut command: Command, input: Option<&str>) -> anyhow::Result<Said> {
    let shown = format!("{:?}", command.as_std());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().with_context(|| format!("{shown} can't be started"))?;
    if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
        stdin.write_all(input.as_bytes()).await.with_context(|| format!("{shown} does not read"))?;
    }
    let output = timeout(LIMIT, child.wait_with_output()).await.with_context(|| format!("{shown}: not within {LIMIT:?}"))??;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Said { ok: output.status.success(), code: output.status.code(), out: text(output.stdout), err: text(output.stderr) })
}
