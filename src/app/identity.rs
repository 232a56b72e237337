//! How a role of the control plane gets its certificate.

use clap::Args;
use std::{path::PathBuf, time::Duration};

use crate::runtime::IdentityConfig;

/// Where citadel is, and what proves to it who asks.
#[derive(Clone, Debug, Args)]
pub struct IdentityArgs {
    /// Citadel, which signs this process's certificate; by default the one in the control plane's namespace.
    #[arg(long, value_name = "HOST:PORT", env = "CA_ADDRESS")]
    ca_address: Option<String>,

    /// The service account token that proves to citadel who asks.
    #[arg(long, value_name = "FILE", default_value = "/var/run/secrets/tokens/istio-token")]
    token: PathBuf,

    /// The mesh's root certificates.
    #[arg(long, value_name = "FILE", default_value = "/var/run/secrets/istio/root-cert.pem")]
    roots: PathBuf,
}

/// What is asked for; citadel may give less.
const LIFETIME: Duration = Duration::from_secs(86_400);

// === impl IdentityArgs ===

impl IdentityArgs {
    /// The same as settings, in that control plane's namespace.
    pub(super) fn config(&self, namespace: &str) -> IdentityConfig {
        let address = self.ca_address.clone().unwrap_or_else(|| format!("istio-citadel.{namespace}.svc:15012"));
        let (token_file, root_file) = (self.token.clone(), self.roots.clone());
        IdentityConfig { address, server_name: None, token_file, root_file, lifetime: LIFETIME }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        identity: IdentityArgs,
    }

    #[test]
    fn the_citadel_of_the_own_namespace_is_asked_unless_told_otherwise() {
        let address = |arguments: &[&str]| {
            let command = Command::try_parse_from(["role"].iter().chain(arguments)).unwrap();
            command.identity.config("mesh").address
        };
        assert_eq!(address(&[]), "istio-citadel.mesh.svc:15012");
        assert_eq!(address(&["--ca-address", "ca:1"]), "ca:1");
    }
}
