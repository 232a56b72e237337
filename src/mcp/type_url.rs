//! How streams name kinds: as the API does.

use ferromesh_crds::catalog::{self, Kind};

/// Whether objects of a kind are carried: all that is configuration of the mesh, and not of its installation.
pub fn is_carried(kind: &Kind) -> bool {
    kind.group != "install.ferromesh.dev"
}

/// A kind as a type URL, `GROUP/VERSION/KIND`, in the version in which it is stored.
pub fn type_url(kind: &Kind) -> String {
    format!("{}/{}/{}", kind.group, kind.versions.first().copied().unwrap_or_default(), kind.name)
}

/// The kind that a type URL means, in whichever version: all of them have the same fields.
pub fn kind_of(type_url: &str) -> Option<&'static Kind> {
    let (group, rest) = type_url.split_once('/')?;
    let (version, name) = rest.split_once('/')?;
    catalog::find(group, name).filter(|kind| kind.versions.contains(&version) && is_carried(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_configuration_has_a_url_that_leads_back_to_it() {
        for kind in catalog::kinds().iter().filter(|kind| is_carried(kind)) {
            assert!(kind_of(&type_url(kind)).is_some_and(|found| std::ptr::eq(found, kind)), "{}", kind.name);
        }
        let virtual_service = catalog::find("networking.istio.io", "VirtualService").unwrap();
        assert_eq!(type_url(virtual_service), "networking.istio.io/v1/VirtualService");
        assert!(kind_of("networking.istio.io/v1alpha3/VirtualService").is_some(), "an older version is the same kind");
        for unknown in [
            "",
            "x",
            "networking.istio.io/v7/VirtualService",
            "networking.istio.io/v1/Nothing",
            "install.ferromesh.dev/v1alpha1/MeshInstall",
        ] {
            assert!(kind_of(unknown).is_none(), "{unknown}");
        }
    }
}
