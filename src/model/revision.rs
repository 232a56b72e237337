//! How the control planes of a mesh are told apart: the default one, and others that have a name.

/// The name of the control plane that has none, as labels and pods say it.
pub const DEFAULT_REVISION: &str = "default";

/// The name of a control plane's own object where the default one's is `name`. The default revision may be said by its name or by none.
#[must_use]
pub fn of_revision(name: &str, revision: &str) -> String {
    if revision.is_empty() || revision == DEFAULT_REVISION { name.to_owned() } else { format!("{name}-{revision}") }
}

/// Where a control plane stands that has come by an upgrade, beside the place without a name: names that no other revision may have.
pub const SLOTS: [&str; 2] = ["blue", "green"];

/// The revision whose configuration a control plane of that name serves: in a slot the default one's, anywhere else its own.
#[must_use]
pub fn served_revision(name: &str) -> &str {
    if SLOTS.contains(&name) { "" } else { name }
}
