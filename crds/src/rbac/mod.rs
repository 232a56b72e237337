//! `rbac.istio.io`: who may do what, as Istio 1.4 had it. AuthorizationPolicy of `security.istio.io` replaces it.

pub mod cluster_rbac_config;
pub mod rbac_config;
pub mod service_role;
pub mod service_role_binding;

pub use cluster_rbac_config::{ClusterRbacConfig, ClusterRbacConfigSpec};
pub use rbac_config::{RbacConfig, RbacConfigSpec};
pub use service_role::{ServiceRole, ServiceRoleSpec};
pub use service_role_binding::{ServiceRoleBinding, ServiceRoleBindingSpec};
