//! The command line and the environment, turned into settings that make sense together.

use std::fmt;

use anyhow::{Context, ensure};
use clap::{Parser, ValueEnum};
use http::uri::Authority;

use crate::reviews::Stars;

/// The bookinfo sample: run one of its services.
#[derive(Debug, Parser)]
#[command(name = "bookinfo")]
pub(crate) struct Args {
    /// Which service this process is
    #[arg(env = "BOOKINFO_SERVICE", value_enum)]
    service: Service,
    /// The service's version; reviews looks different in v1, v2 and v3
    #[arg(long, env = "BOOKINFO_VERSION", default_value = "v1")]
    version: String,
    /// The TCP port to listen on
    #[arg(long, env = "BOOKINFO_PORT", default_value_t = 9080)]
    port: u16,
    /// Appended to the host names of the other services, say `shop.svc.cluster.local`
    #[arg(long, env = "SERVICES_DOMAIN", default_value = "", hide_default_value = true)]
    services_domain: String,
    /// Host name of details
    #[arg(long, env = "DETAILS_HOSTNAME", default_value = "details")]
    details_hostname: String,
    /// Port of details; Kubernetes sets the variable for a Service called details
    #[arg(long, env = "DETAILS_SERVICE_PORT", default_value_t = 9080)]
    details_port: u16,
    /// Host name of reviews
    #[arg(long, env = "REVIEWS_HOSTNAME", default_value = "reviews")]
    reviews_hostname: String,
    /// Port of reviews; Kubernetes sets the variable for a Service called reviews
    #[arg(long, env = "REVIEWS_SERVICE_PORT", default_value_t = 9080)]
    reviews_port: u16,
    /// Host name of ratings
    #[arg(long, env = "RATINGS_HOSTNAME", default_value = "ratings")]
    ratings_hostname: String,
    /// Port of ratings; Kubernetes sets the variable for a Service called ratings
    #[arg(long, env = "RATINGS_SERVICE_PORT", default_value_t = 9080)]
    ratings_port: u16,
    /// Name of this pod, shown with its answers
    #[arg(long, env = "HOSTNAME", default_value = "", hide_default_value = true)]
    pod_name: String,
    /// Name of this cluster, shown with its answers
    #[arg(long, env = "CLUSTER_NAME", default_value = "", hide_default_value = true)]
    cluster_name: String,
    /// Accepted so that manifests of a ratings with a database keep working; ratings always answers from memory
    #[arg(long, env = "MONGO_DB_URL", hide = true)]
    mongo_db_url: Option<String>,
    /// As `mongo_db_url`, for MySQL
    #[arg(long, env = "MYSQL_DB_HOST", hide = true)]
    mysql_db_host: Option<String>,
}

/// What a process is and whom it calls.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) service: Service,
    pub(crate) version: String,
    pub(crate) port: u16,
    pub(crate) upstreams: Upstreams,
    pub(crate) pod_name: String,
    pub(crate) cluster_name: String,
}

/// The four services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Service {
    /// The web page
    Productpage,
    /// Facts about the book
    Details,
    /// What readers wrote
    Reviews,
    /// The stars they gave
    Ratings,
}

/// Where the other services answer.
#[derive(Clone, Debug)]
pub(crate) struct Upstreams {
    pub(crate) details: Authority,
    pub(crate) reviews: Authority,
    pub(crate) ratings: Authority,
}

// === impl Args ===

impl Args {
    /// Checks the arguments together. Fails on a version that the service does not have and on host names that are none.
    pub(crate) fn settings(self) -> anyhow::Result<Settings> {
        if self.service == Service::Reviews {
            Stars::of_version(&self.version)?;
        }
        if self.service == Service::Ratings && (self.mongo_db_url.is_some() || self.mysql_db_host.is_some()) {
            tracing::warn!("a database is configured; ratings answers from memory without it");
        }
        let upstream = |host: &str, port| authority(host, &self.services_domain, port);
        let upstreams = Upstreams {
            details: upstream(&self.details_hostname, self.details_port)?,
            reviews: upstream(&self.reviews_hostname, self.reviews_port)?,
            ratings: upstream(&self.ratings_hostname, self.ratings_port)?,
        };
        Ok(Settings {
            service: self.service,
            version: self.version,
            port: self.port,
            upstreams,
            pod_name: self.pod_name,
            cluster_name: self.cluster_name,
        })
    }
}

// === impl Service ===

impl Service {
    /// The name as in host names and on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Productpage => "productpage",
            Self::Details => "details",
            Self::Reviews => "reviews",
            Self::Ratings => "ratings",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// `host[.domain]:port`.
fn authority(host: &str, domain: &str, port: u16) -> anyhow::Result<Authority> {
    ensure!(!host.is_empty(), "a service's host name is empty");
    let dot = if domain.is_empty() { "" } else { "." };
    let text = format!("{host}{dot}{domain}:{port}");
    let parsed: Authority = text.parse().with_context(|| format!("{text:?} is no host and port"))?;
    // An authority may hold a user name, "a@b:80", or a second colon: a host name never does.
    ensure!(parsed.host() == format!("{host}{dot}{domain}"), "{text:?} is no host and port");
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(args: &[&str]) -> anyhow::Result<Settings> {
        Args::try_parse_from([&["bookinfo"], args].concat())?.settings()
    }

    #[test]
    fn upstreams_are_the_service_names_unless_told() {
        let settings = settings(&["productpage"]).expect("valid");
        assert_eq!(settings.upstreams.details, "details:9080");
        assert_eq!(settings.upstreams.reviews, "reviews:9080");
        assert_eq!(settings.upstreams.ratings, "ratings:9080");
        assert_eq!(settings.port, 9080);
    }

    #[test]
    fn domain_is_appended_to_every_host() {
        let settings = settings(&["productpage", "--services-domain", "shop.svc", "--reviews-hostname", "r"]).expect("valid");
        assert_eq!(settings.upstreams.details, "details.shop.svc:9080");
        assert_eq!(settings.upstreams.reviews, "r.shop.svc:9080");
    }

    #[test]
    fn versions_that_reviews_lacks_and_hosts_that_are_none_are_refused() {
        let refused = |args: &[&str]| settings(args).expect_err("refused").to_string();
        assert_eq!(refused(&["reviews", "--version", "v9"]), "reviews has versions v1, v2 and v3, not \"v9\"");
        assert!(refused(&["productpage", "--details-hostname", "a@b"]).contains("no host and port"));
        assert!(refused(&["productpage", "--details-hostname", ""]).contains("empty"));
        assert!(settings(&["ratings", "--version", "v2-mysql"]).is_ok());
    }
}
