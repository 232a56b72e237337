//! How a process starts, serves, leads, drains and ends: the kit that every role and the agent stand on.
//!
//! It watches signals, files and leases, and never an API of the mesh. A process is put together in this order: [`init_logs`], then
//! [`Tasks`], then listeners ([`Listener::bind`], so that a taken port fails before anything runs), then its tasks, each of which gets
//! a [`Shutdown`]; then [`Tasks::run`] until the end. `/ready` turns good when every [`ReadyGuard`] has been dropped.

mod admin;
mod admission;
mod bootstrap_api;
mod bucket;
mod ca_api;
mod causes;
mod channel;
mod events;
mod files;
mod identity;
mod lease;
mod metrics;
mod pages;
mod readiness;
mod serve;
mod server_identity;
mod shutdown;
mod status;
mod stream_age;
mod tasks;
mod tls;
mod webhook_tls;

pub use admin::{Admin, BuildInfo};
pub use admission::{AdmissionRequest, admission_route, admission_tree};
pub use bootstrap_api::{bootstrap_routes, change_bootstrap};
pub use bucket::Bucket;
pub use ca_api::{CertificateRequest, CertificateResponse, create_certificate, routes as ca_routes};
pub use causes::causes;
pub use channel::{ChannelError, secure_channel};
pub use events::{EventPublisher, News};
pub use ferromesh_process::{Backoff, LogError, LogFormat, init_logs, random_fraction};
pub use files::{ContentWatch, write_atomically};
pub use identity::{CertificateSource, IdentityClient, IdentityConfig, IdentityError, WorkloadCert};
pub use lease::{Elector, Leadership, LeaseConfig, LeaseError, LeaseMaker, LeaseTiming, NotLeader, Term};
pub use metrics::{Registry, encode_metrics, prefixed_registry, process_registry};
pub use pages::{list_all, list_each};
pub use readiness::{Readiness, ReadyGuard};
pub use serve::{Carrier, Limits, Listener, Security, TlsSource, UnixSocket};
pub use server_identity::client_config_for;
pub use shutdown::{Shutdown, Trigger, signals};
pub use status::{StatusFailure, api_of, apply_status, this_second};
pub use stream_age::stream_age;
pub use tasks::{TaskError, Tasks};
pub use tls::{
    ClientAuth, Peer, TlsError, certificate_blocks, certificates_from_pem, client_config, provider, resolver_config, server_config,
    verify_chain,
};
pub use webhook_tls::CertificateFiles;
