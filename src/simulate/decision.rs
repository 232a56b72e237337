//! What was decided, and what it comes to.

use std::{fmt, time::Duration};

use super::Origin;

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The proxies that it passes, the one that it leaves by first.
    pub hops: Vec<Hop>,
    /// What could not be taken into account.
    pub notes: Vec<String>,
}

/// What one proxy does.
#[derive(Clone, Debug, PartialEq)]
pub struct Hop {
    /// `POD.NAMESPACE`.
    pub proxy: String,
    /// Whether the request comes to the proxy's own application.
    pub inbound: bool,
    /// The decisions, in their order.
    pub decisions: Vec<Decision>,
    /// What may come of it; the shares add up to one.
    pub possibilities: Vec<Possibility>,
}

/// One decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What was chosen.
    pub step: Step,
    /// The name of what was chosen; empty for what has none.
    pub name: String,
    /// Why that and no other.
    pub because: String,
    /// The objects and fields that made it.
    pub origins: Vec<Origin>,
}

/// What was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A listener.
    Listener,
    /// One of its filter chains.
    FilterChain,
    /// A route table.
    RouteTable,
    /// A virtual host of the table.
    VirtualHost,
    /// A route of the virtual host.
    Route,
    /// What a filter does.
    Filter,
    /// A change to the request.
    Rewrite,
    /// How long it may take, and what is tried again.
    Tries,
    /// A cluster.
    Cluster,
}

/// Something that may become of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Possibility {
    /// Of all such requests, the share of which this becomes: 0 to 1.
    pub share: f64,
    /// What.
    pub outcome: Outcome,
    /// Why.
    pub because: String,
    /// The objects and fields that decided it.
    pub origins: Vec<Origin>,
    /// A pause before, injected on purpose.
    pub delay: Option<Duration>,
}

/// What becomes of a request at a proxy.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It goes to a cluster, to one of these `address:port`.
    Sent {
        /// The cluster.
        cluster: String,
        /// Where it may go.
        endpoints: Vec<String>,
    },
    /// The proxy itself answers.
    Answered {
        /// The status.
        status: u16,
        /// Where the client is sent, by a redirect.
        location: Option<String>,
    },
    /// The connection is closed.
    Closed,
}

/// Decisions on their way.
#[derive(Debug, Default)]
pub(super) struct Trace {
    pub(super) decisions: Vec<Decision>,
    pub(super) notes: Vec<String>,
}

// === impl Trace ===

impl Trace {
    /// Adds a decision.
    pub(super) fn decided(&mut self, step: Step, name: impl Into<String>, because: impl Into<String>, origins: Vec<Origin>) {
        self.decisions.push(Decision { step, name: name.into(), because: because.into(), origins });
    }

    /// Adds what could not be taken into account.
    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }
}

// === impl Possibility ===

impl Possibility {
    /// What is certain, as far as it goes.
    pub(super) fn certain(outcome: Outcome, because: impl Into<String>, origins: Vec<Origin>) -> Self {
        Self { share: 1.0, outcome, because: because.into(), origins, delay: None }
    }

    /// An answer without a destination.
    pub(super) fn answer(status: u16, because: impl Into<String>, origins: Vec<Origin>) -> Self {
        Self::certain(Outcome::Answered { status, location: None }, because, origins)
    }

    /// A connection that is closed.
    pub(super) fn closed(because: impl Into<String>, origins: Vec<Origin>) -> Self {
        Self::certain(Outcome::Closed, because, origins)
    }

    /// The same for a share of what it was for.
    pub(super) fn scaled(mut self, share: f64) -> Self {
        self.share *= share;
        self
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Listener => "listener",
            Self::FilterChain => "filter chain",
            Self::RouteTable => "route table",
            Self::VirtualHost => "virtual host",
            Self::Route => "route",
            Self::Filter => "filter",
            Self::Rewrite => "rewrite",
            Self::Tries => "tries",
            Self::Cluster => "cluster",
        })
    }
}
