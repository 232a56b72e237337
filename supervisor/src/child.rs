//! One supervised process.

use ferromesh_process::Backoff;
use nix::{
    sys::{
        signal::{Signal, kill},
        wait::WaitStatus,
    },
    unistd::Pid,
};
use std::{
    path::PathBuf,
    process::{ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use crate::supervision::Program;

/// Where a child's standard output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// To ours.
    Inherited,
    /// To us.
    Piped,
}

/// A process that is started again whenever it ends.
#[derive(Debug)]
pub(crate) struct Child {
    name: &'static str,
    program: Program,
    directory: PathBuf,
    running: Option<Running>,
    /// When to start it; none if it is not wanted yet, or runs.
    due: Option<Instant>,
    wanted: bool,
    backoff: Backoff,
}

#[derive(Debug)]
struct Running {
    process: Pid,
    since: Instant,
}

/// The first wait after a fall, and the longest.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);
/// Who ran this long was well; the next fall is a first one.
const STEADY: Duration = Duration::from_secs(10);

// === impl Child ===

impl Child {
    pub(crate) fn new(name: &'static str, program: Program, directory: PathBuf) -> Self {
        Self { name, program, directory, running: None, due: None, wanted: false, backoff: Backoff::new(FIRST, LONGEST) }
    }

    /// Lets it be started, and kept.
    pub(crate) fn want(&mut self) {
        if !self.wanted {
            self.wanted = true;
            self.due = Some(Instant::now());
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    pub(crate) fn due_at(&self) -> Option<Instant> {
        self.due
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// Starts it, and gives back its standard output if that is piped. If it can't be started, it is due again later.
    pub(crate) fn start(&mut self, output: Output) -> Option<ChildStdout> {
        let stdout = match output {
            Output::Inherited => Stdio::inherit(),
            Output::Piped => Stdio::piped(),
        };
        let program = &self.program;
        let mut command = Command::new(&program.path);
        command.args(&program.arguments).current_dir(&self.directory).stdin(Stdio::null()).stdout(stdout);
        match command.spawn() {
            Ok(mut child) => {
                let process = Pid::from_raw(child.id().cast_signed());
                tracing::info!(child = self.name, %process, "started");
                self.running = Some(Running { process, since: Instant::now() });
                self.due = None;
                // Dropping the handle leaves the process alone: reaping is done for all children at once.
                child.stdout.take()
            }
            Err(error) => {
                let wait = self.backoff.next_delay();
                tracing::error!(child = self.name, path = %program.path.display(), %error, ?wait, "can't be started");
                self.due = Some(Instant::now() + wait);
                None
            }
        }
    }

    /// Sends a signal, if it runs. Its process id is its own until it has been reaped.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(running) = &self.running
            && let Err(error) = kill(running.process, signal)
        {
            tracing::error!(child = self.name, %error, "can't be signalled");
        }
    }

    /// Whether the process that ended was this one; it is due again then.
    pub(crate) fn ended(&mut self, process: Pid, status: &WaitStatus) -> bool {
        let Some(running) = self.running.take_if(|running| running.process == process) else { return false };
        if running.since.elapsed() >= STEADY {
            self.backoff.reset();
        }
        self.due = Some(Instant::now() + self.backoff.next_delay());
        match status {
            WaitStatus::Exited(_, 0) => tracing::info!(child = self.name, %process, "ended"),
            WaitStatus::Exited(_, code) => tracing::warn!(child = self.name, %process, code, "failed"),
            WaitStatus::Signaled(_, signal, _) => tracing::warn!(child = self.name, %process, %signal, "was killed"),
            other => tracing::warn!(child = self.name, %process, ?other, "is gone"),
        }
        true
    }
}
