//! Serving certificates of admission webhooks: who signs them, where they are kept, when they change.
//!
//! ```text
//!            Secrets ──▶ plan(now, …) ──▶ Secrets' new contents      (plan: pure, the clock is an argument)
//!               ▲            │
//!  Store ───────┘            └──▶ caBundle ──▶ ensure_ca_bundle ──▶ webhook configuration
//!  (optimistic writes)                                              (own field manager, that one field)
//!
//!  files or PEM ──▶ ReloadingCert ──▶ server_config                 (TLS 1.3; a new certificate without a restart)
//! ```
//!
//! The order that keeps every admission request served, whatever rotates:
//!
//! 1. a new authority is published in every `caBundle` together with the one that it succeeds;
//! 2. after [`Policy::settle`] leaves are issued by the new one;
//! 3. once every leaf is, and has been for [`Policy::settle`], the old root is dropped.
//!
//! A caller therefore writes [`Ensured::bundle`] into its webhook configurations before it serves [`Ensured::leaves`],
//! and always names *every* leaf to [`Store::ensure`]: a leaf that it leaves out isn't waited for.

mod authority;
mod bundle;
mod certificate;
mod error;
mod external;
mod material;
mod plan;
mod policy;
mod serve;
mod store;

pub use authority::WebhookCa;
pub use bundle::{FIELD_MANAGER, ensure_ca_bundle};
pub use error::{BundleError, Defect, IssueError, PlanError, ServeError, StoreError};
pub use material::{CaSecret, KeyPem, LeafSecret};
pub use plan::{Change, LeafSpec, Plan, PlannedLeaf, Repair, SecretSpec, plan};
pub use policy::Policy;
pub use serve::{ReloadingCert, server_config};
pub use store::{CA_SECRET, Ensured, Leaf, Source, Store};
