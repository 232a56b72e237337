//! How a verb ends: the exit code, and the error of one that could not do its work.

use kube::config::KubeconfigError;
use std::{fmt::Display, io::ErrorKind};

use crate::runtime::causes;

/// The exit codes, the same for every verb and output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, and nothing was found.
    Clean = 0,
    /// Not done, for a reason that has no code of its own.
    Failed = 1,
    /// The arguments make no sense.
    Usage = 64,
    /// Input that can't be parsed.
    Unreadable = 65,
    /// The cluster does not answer.
    Unreachable = 69,
    /// The cluster answered too late.
    TimedOut = 75,
    /// The cluster does not allow it.
    Forbidden = 77,
    /// Done, and something was found.
    Findings = 79,
}

/// Why a verb could not do its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    /// For people: what went wrong, and what to do.
    pub(super) message: String,
}

// === impl Exit ===

impl Exit {
    /// The number that the shell sees.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }
}

// === impl Failure ===

impl Failure {
    pub(super) fn new(exit: Exit, message: impl Display) -> Self {
        Self { exit, message: message.to_string() }
    }

    pub(super) fn usage(message: impl Display) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Several failures as one, a line each, of which the first says how it ends.
    ///
    /// # Errors
    /// When there is one.
    pub(super) fn all(failures: Vec<Self>) -> Result<(), Self> {
        let mut failures = failures.into_iter();
        let Some(first) = failures.next() else { return Ok(()) };
        Err(failures.fold(first, |all, next| Self { message: format!("{}\nerror: {}", all.message, next.message), ..all }))
    }

    /// What the API server, or the way to it, said.
    pub(super) fn cluster(doing: impl Display, error: &kube::Error) -> Self {
        let exit = match error {
            kube::Error::Api(status) if matches!(status.code, 401 | 403) => Exit::Forbidden,
            kube::Error::Api(status) if matches!(status.code, 408 | 504) => Exit::TimedOut,
            kube::Error::Api(_) | kube::Error::SerdeError(_) | kube::Error::BuildRequest(_) => Exit::Failed,
            _ => Exit::Unreachable,
        };
        Self::new(exit, format_args!("can't {doing}: {}", causes(error)))
    }
}

impl From<KubeconfigError> for Failure {
    fn from(error: KubeconfigError) -> Self {
        const NAME_ONE: &str = "name a kubeconfig by --kubeconfig or $KUBECONFIG";
        let why = match &error {
            KubeconfigError::ReadConfig(error, path) if error.kind() == ErrorKind::NotFound => {
                format!("there is no kubeconfig {}: {NAME_ONE}", path.display())
            }
            KubeconfigError::ReadConfig(error, path) => format!("kubeconfig {} can't be read: {error}", path.display()),
            KubeconfigError::FindPath => format!("there is no home folder with a kubeconfig: {NAME_ONE}"),
            KubeconfigError::CurrentContextNotSet => "the kubeconfig chooses no context: name one by --context".to_owned(),
            KubeconfigError::LoadContext(name) => format!("the kubeconfig has no context {name}: kubectl config get-contexts"),
            // The rest of what the parser says is an excerpt of the text.
            KubeconfigError::Parse(error) => format!("the kubeconfig is no kubeconfig: {}", first_line(error)),
            error => causes(error),
        };
        Self::new(Exit::Unreachable, format_args!("no cluster to ask: {why}"))
    }
}

/// The first line of what a YAML parser says, which names the place.
pub(super) fn first_line(error: &impl Display) -> String {
    let told = error.to_string();
    let line = told.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
