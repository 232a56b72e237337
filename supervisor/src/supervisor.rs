//! The loop that keeps the agent and Envoy.

use nix::sys::{
    signal::Signal,
    wait::{WaitPidFlag, WaitStatus, waitpid},
};
use std::{
    io,
    time::{Duration, Instant},
};

use crate::{
    child::{Child, Output},
    order::{Order, Orders},
    phase::Phase,
    signals::Signals,
    supervision::Supervision,
};

/// What is supervised, and for how long it may drain.
#[derive(Debug)]
pub(crate) struct Supervisor {
    agent: Child,
    /// None where the application does Envoy's work itself.
    envoy: Option<Child>,
    drain: Duration,
    phase: Phase,
    /// The pipes of the agent that runs, and of those that fell and whose pipe somebody still holds.
    orders: Vec<Orders>,
}

/// How much longer than its drain the agent may take to say that it is over.
const AGENT_GRACE: Duration = Duration::from_secs(2);
/// How long Envoy may take to end after the drain.
const END: Duration = Duration::from_secs(3);

// === impl Supervisor ===

impl Supervisor {
    /// Supervises what is named, from [`Self::run`] on.
    pub(crate) fn new(supervision: Supervision) -> Self {
        let Supervision { agent, envoy, directory, drain, .. } = supervision;
        let envoy = envoy.map(|envoy| Child::new("envoy", envoy, directory.clone()));
        Self { agent: Child::new("agent", agent, directory), envoy, drain, phase: Phase::Running, orders: Vec::new() }
    }

    /// Runs until a signal or an order ends it, and both children are gone.
    ///
    /// # Errors
    /// When signals can't be handled. A child that can't be started is tried again.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let signals = Signals::handle()?;
        self.agent.want();
        loop {
            let now = Instant::now();
            if self.phase == Phase::Running {
                self.start_what_is_due(now);
            } else {
                self.end_what_is_due(now);
                if self.phase != Phase::Running && !self.agent.is_running() && !self.has_envoy() {
                    return Ok(());
                }
            }
            let pipes: Vec<_> = self.orders.iter().map(Orders::as_fd).collect();
            let woken = signals.wait(&pipes, self.wake_at())?;
            for signal in woken.ends {
                self.end(signal);
            }
            // What an agent said before it fell still counts.
            self.obey(woken.readable);
            self.reap();
        }
    }

    fn start_what_is_due(&mut self, now: Instant) {
        if self.agent.is_due(now) {
            // A new agent speaks through a pipe of its own.
            self.orders.extend(self.agent.start(Output::Piped).map(Orders::new));
        }
        for envoy in self.envoy.iter_mut().filter(|envoy| envoy.is_due(now)) {
            envoy.start(Output::Inherited);
        }
    }

    fn has_envoy(&self) -> bool {
        self.envoy.as_ref().is_some_and(Child::is_running)
    }

    /// The next moment at which something is to be done without being asked.
    fn wake_at(&self) -> Option<Instant> {
        match self.phase {
            Phase::Running => [&self.agent].into_iter().chain(&self.envoy).filter_map(Child::due_at).min(),
            Phase::Draining { until } | Phase::Ending { until } => Some(until),
            Phase::Killed => None,
        }
    }

    /// Does what the pipes that can be read say, and forgets those that have ended.
    fn obey(&mut self, readable: Vec<bool>) {
        let mut said = Vec::new();
        let mut readable = readable.into_iter();
        self.orders.retain_mut(|orders| {
            if !readable.next().unwrap_or_default() {
                return true;
            }
            let read = orders.read();
            let goes_on = read.is_some();
            said.extend(read.into_iter().flatten());
            goes_on
        });
        for order in said {
            match order {
                Order::StartEnvoy => self.envoy.iter_mut().for_each(Child::want),
                Order::Quit => self.end("an order"),
            }
        }
    }

    /// Begins the end. Asked twice, it does not wait for the drain.
    fn end(&mut self, cause: &str) {
        let now = Instant::now();
        if self.phase != Phase::Running {
            tracing::info!(cause, "asked to end again: not draining any longer");
            return self.end_envoy(now);
        }
        tracing::info!(cause, "asked to end");
        // Without an Envoy it is the agent that the application goes on with until then.
        if !self.envoy.as_ref().unwrap_or(&self.agent).is_running() {
            return self.end_envoy(now);
        }
        let grace = if self.agent.is_running() { AGENT_GRACE } else { Duration::ZERO };
        self.phase = Phase::Draining { until: now + self.drain + grace };
        // The agent drains Envoy and ends when that is done.
        self.agent.signal(Signal::SIGTERM);
    }

    fn end_what_is_due(&mut self, now: Instant) {
        match self.phase {
            Phase::Draining { until } if now >= until => self.end_envoy(now),
            Phase::Ending { until } if now >= until => {
                tracing::warn!("children did not end in time");
                self.phase = Phase::Killed;
                self.signal(Signal::SIGKILL);
            }
            _ => {}
        }
    }

    fn end_envoy(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Ending { .. } | Phase::Killed) {
            return;
        }
        self.phase = Phase::Ending { until: now + END };
        self.signal(Signal::SIGTERM);
    }

    fn signal(&self, signal: Signal) {
        [&self.agent].into_iter().chain(&self.envoy).for_each(|child| child.signal(signal));
    }

    /// Takes in every process that has ended: the two children, and orphans that became process 1's.
    fn reap(&mut self) {
        loop {
            let status = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(_) => return,
                Ok(status) => status,
            };
            let Some(process) = status.pid() else { continue };
            let success = matches!(status, WaitStatus::Exited(_, 0));
            if self.agent.ended(process, &status) {
                self.after_agent(success);
            } else if self.envoy.as_mut().is_some_and(|envoy| envoy.ended(process, &status)) && matches!(self.phase, Phase::Draining { .. })
            {
                self.end_envoy(Instant::now());
            }
        }
    }

    /// An agent that ends while it drains has drained, if it says so; else Envoy keeps the rest of its time.
    fn after_agent(&mut self, success: bool) {
        if let Phase::Draining { until } = self.phase {
            if success || self.envoy.is_none() {
                self.end_envoy(Instant::now());
            } else {
                tracing::warn!("the agent fell while draining");
                self.phase = Phase::Draining { until: until - AGENT_GRACE };
            }
        }
    }
}
