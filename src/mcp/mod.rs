//! How does configuration travel from galley to pilot?
//!
//! By MCP, the protocol of the reference's galley, in its present form: delta xDS on one aggregated stream, whose type URLs are the API's
//! own (`networking.istio.io/v1/VirtualService`), whose resources are called `NAMESPACE/NAME`, and hold an
//! `istio.mcp.v1alpha1.Resource` each. What an object carries is in [`Carried`], and what makes one consistent whole of several responses
//! in [`Part`]. docs/galley.md tells users.
//!
//! This row has what both ends share, and the client: [`Client`] hands out [`ChangeSet`]s, each of which leads from one state of the whole
//! configuration to a later one. Whoever takes them in never sees a state between. The server is galley's.

mod assembly;
mod carried;
mod client;
mod message;
mod metrics;
mod part;
mod type_url;

pub use assembly::{ChangeSet, KindChanges};
pub use carried::{Carried, Unreadable};
pub use client::{Client, ClientConfig, Server};
pub use message::{Metadata, Resource};
pub use part::Part;
pub use type_url::{is_carried, kind_of, type_url};

/// The largest message that either side takes. Responses are cut into parts of a megabyte, but an object by itself may have more; and who
/// comes back names everything that he holds.
pub const MAX_MESSAGE: usize = 16 * 1024 * 1024;
