//! Changes to the configuration with which a proxy's Envoy starts.

use envoy_api::envoy::config::bootstrap::v3::Bootstrap;

use super::{apply::merge, context, table::Subject};
use crate::compile::scope::Scope;

/// The configuration with what users merge into it. Anything else has no effect there.
pub(in crate::compile) fn bootstrap(scope: &Scope<'_>, mut own: Bootstrap) -> Bootstrap {
    if scope.has_patches(Subject::Bootstrap) {
        for patch in scope.patches(Subject::Bootstrap, context(scope, false)) {
            merge(scope, &mut own, patch);
        }
    }
    own
}
