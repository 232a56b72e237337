//! Putting rules into a network namespace, by what the kernel there understands.

use nix::sched::{CloneFlags, setns};
use std::{fmt, fs::File, io, str::FromStr};

use super::{iptables, routes, rule::Rules, transaction};

/// By which of the kernel's interfaces rules are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// nf_tables, and iptables where the kernel has none.
    #[default]
    Auto,
    /// nf_tables over netlink.
    Nftables,
    /// The programs `iptables-restore` and `ip6tables-restore`.
    Iptables,
}

/// Why the rules are not in place.
#[derive(Debug, thiserror::Error)]
pub enum RedirectError {
    /// No conversation with the kernel.
    #[error("can't speak to the kernel's netlink")]
    Netlink(#[source] io::Error),
    /// The caller lacks the right.
    #[error("the kernel does not allow redirect rules: the container needs the capability NET_ADMIN")]
    Forbidden,
    /// The kernel does not know what is asked for.
    #[error(
        "the kernel has no {0:?}: it needs nf_tables with nat for the inet family (CONFIG_NF_TABLES_INET, CONFIG_NFT_NAT, CONFIG_NFT_REDIR)"
    )]
    Unsupported(String),
    /// Another refusal.
    #[error("the kernel refused {step:?}")]
    Refused {
        /// The step, in nft's or ip's words.
        step: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An answer that is no netlink message.
    #[error("the kernel's answer can't be read: {0}")]
    Answer(String),
    /// A program is not there or can't be started.
    #[error("can't run {program}, which kernels without nf_tables need: load the module nf_tables, or use an image that has iptables")]
    Program {
        /// Its name.
        program: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A program did not do it.
    #[error("{program} refused the rules (it needs the capability NET_RAW beside NET_ADMIN): {message}")]
    Iptables {
        /// Its name.
        program: &'static str,
        /// What it wrote.
        message: String,
    },
    /// The other namespace.
    #[error("can't enter the network namespace")]
    Namespace(#[source] io::Error),
}

/// Puts the rules in place of whatever an earlier call left in the calling thread's network namespace, and says by which interface.
///
/// # Errors
/// When the kernel refuses. With nf_tables the rules are then as they were.
pub fn apply(rules: &Rules, backend: Backend) -> Result<Backend, RedirectError> {
    routes::put(rules)?;
    if backend == Backend::Iptables {
        return iptables::restore(&rules.chains).map(|()| Backend::Iptables);
    }
    match transaction::install(&rules.chains) {
        Ok(()) => Ok(Backend::Nftables),
        Err(unsupported @ RedirectError::Unsupported(_)) if backend == Backend::Auto => {
            tracing::info!(reason = %unsupported, "rules go to iptables");
            iptables::restore(&rules.chains).map(|()| Backend::Iptables)
        }
        Err(error) => Err(error),
    }
}

/// The same in that network namespace, an opened `/proc/4711/ns/net` or what was mounted from it.
///
/// # Errors
/// When the namespace can't be entered, and those of [`apply`].
pub fn apply_in(namespace: &File, rules: &Rules, backend: Backend) -> Result<Backend, RedirectError> {
    inside(namespace, || apply(rules, backend))?
}

/// Does something in that network namespace, on a thread of its own: the caller's stays where it is.
fn inside<T: Send>(namespace: &File, task: impl FnOnce() -> T + Send) -> Result<T, RedirectError> {
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| setns(namespace, CloneFlags::CLONE_NEWNET).map(|()| task()));
        match worker.join() {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(RedirectError::Namespace(error.into())),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

// === impl Backend ===

impl FromStr for Backend {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "nftables" => Ok(Self::Nftables),
            "iptables" => Ok(Self::Iptables),
            other => Err(format!("{other:?} is no way to write rules: use auto, nftables or iptables")),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Nftables => "nftables",
            Self::Iptables => "iptables",
        })
    }
}
