//! A ProxyConfig as it was parsed: settings of single workloads' proxies.

use std::{collections::BTreeMap, sync::Arc};

use super::{Labels, ObjectRef};

/// How the proxies of the workloads that it selects run, from their next start on.
#[derive(Clone, Debug, PartialEq)]
pub struct ProxyConfig {
    /// The object.
    pub origin: ObjectRef,
    /// Labels of its workloads; empty for all of the namespace.
    pub selector: Labels,
    /// Worker threads, 0 for one a core; `None` for what is set elsewhere.
    pub concurrency: Option<u32>,
    /// Variables for the environment of the proxy.
    pub environment: BTreeMap<String, String>,
    /// The variant of the image; `None` for the usual one.
    pub image_type: Option<Arc<str>>,
    /// Seconds since the epoch at which the object was made.
    pub created: i64,
}
