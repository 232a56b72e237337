//! An operator that runs, and what is wanted of it: flags that it would not heed, a version that it would go back from.

use super::{cluster::Operator, operator::PlaceArgs};
use crate::cli::exit::{Exit, Failure};
use crate::operator::Images;

// === impl Operator ===

impl Operator {
    /// Whether it is where it is wanted.
    ///
    /// # Errors
    /// When it is somewhere else.
    pub(super) fn is_in(&self, namespace: &str) -> Result<(), Failure> {
        let own = &self.namespace;
        if own == namespace {
            return Ok(());
        }
        let told = format!("the operator runs in namespace {own}: say --operatorNamespace {own}, or remove that one first");
        Err(Failure::new(Exit::Failed, told))
    }

    /// Whether its images are those that are asked for, where it is left as it is.
    ///
    /// # Errors
    /// When they are others, with the commands by which they may be had.
    pub(super) fn has(&self, place: &PlaceArgs) -> Result<(), Failure> {
        let wanted = place.over(&self.images);
        let fields = |images: &Images| [images.hub.clone(), images.tag.clone(), images.pull_policy.clone()];
        let all = fields(&wanted).into_iter().zip(fields(&self.images)).zip(["hub", "tag", "imagePullPolicy"]);
        let other: Vec<_> = all.filter(|((wanted, own), _)| wanted != own).collect();
        if other.is_empty() {
            return Ok(());
        }
        let own: Vec<String> = other.iter().map(|((_, own), field)| format!("{field} {own}")).collect();
        let set: Vec<String> = other.iter().map(|((wanted, _), field)| format!("{field}={wanted}")).collect();
        let told = format!(
            "the operator runs with {}, and is left as it is: {}, or for the mesh alone --set {}",
            own.join(", "),
            self.command(&wanted),
            set.join(",")
        );
        Err(Failure::new(Exit::Failed, told))
    }

    /// The command by which it gets images.
    fn command(&self, images: &Images) -> String {
        let Self { namespace, release, .. } = self;
        let Images { hub, tag, pull_policy } = images;
        match release {
            Some(release) => {
                let (registry, repository) = hub.split_once('/').unwrap_or(("", hub));
                let image =
                    format!("image.registry={registry},image.repository={repository},image.tag={tag},image.pullPolicy={pull_policy}");
                format!("helm upgrade {release} charts/ferromesh -n {namespace} --reuse-values --set {image}")
            }
            None => {
                format!("ferromesh operator init --operatorNamespace {namespace} --hub {hub} --tag {tag} --image-pull-policy {pull_policy}")
            }
        }
    }

    /// Whether it may become one of this tag.
    ///
    /// # Errors
    /// When that is an older version, and nobody said that it may be.
    pub(super) fn may_become(&self, tag: &str, downgrade: bool) -> Result<(), Failure> {
        let own = &self.images.tag;
        let older = version(own).zip(version(tag)).is_some_and(|(own, wanted)| wanted < own);
        if !older || downgrade {
            return Ok(());
        }
        let told = format!(
            "the operator is of version {own}, and {tag} is older: use ferromesh {own}, or say --downgrade to take operator and CRDs back"
        );
        Err(Failure::new(Exit::Failed, told))
    }

    /// What becomes of it, as `operator 1.0.0 → 1.1.0`; none if its image stays.
    pub(super) fn becomes(&self, after: &Images) -> Option<String> {
        let before = &self.images;
        let shown = |images: &Images| {
            if before.hub == after.hub { images.tag.clone() } else { format!("{}/ferromesh:{}", images.hub, images.tag) }
        };
        let stays = (&before.hub, &before.tag) == (&after.hub, &after.tag);
        (!stays).then(|| format!("operator {} → {}", shown(before), shown(after)))
    }
}

/// The numbers of a tag that is a version; others can't be compared.
fn version(tag: &str) -> Option<[u64; 3]> {
    let number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?;
    let numbers: Option<Vec<u64>> = tag.split('.').map(number).collect();
    numbers?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operator(tag: &str) -> Operator {
        let images = Images { tag: tag.to_owned(), ..Images::published() };
        Operator { namespace: "ops".to_owned(), images, release: None, ready: Ok(()) }
    }

    #[test]
    fn only_a_version_that_is_older_than_a_version_is_a_way_back() {
        for (own, wanted) in [("1.10.0", "1.9.9"), ("2.0.0", "1.99.99"), ("1.0.1", "1.0.0")] {
            assert!(operator(own).may_become(wanted, false).is_err(), "{own} {wanted}");
            assert!(operator(own).may_become(wanted, true).is_ok(), "{own} {wanted}");
        }
        for (own, wanted) in
            [("1.9.9", "1.10.0"), ("1.0.0", "1.0.0"), ("main", "1.0.0"), ("1.1.0-rc", "1.0.0"), ("1.1", "1.0.0"), ("1.1.0", "")]
        {
            assert!(operator(own).may_become(wanted, false).is_ok(), "{own} {wanted}");
        }
    }

    #[test]
    fn what_becomes_of_it_is_told_with_the_hub_where_that_changes() {
        let running = operator("1.0.0");
        let after = |hub: &str, tag: &str| Images { hub: hub.to_owned(), tag: tag.to_owned(), ..running.images.clone() };
        assert_eq!(running.becomes(&running.images), None);
        assert_eq!(running.becomes(&after(&running.images.hub, "1.1.0")).as_deref(), Some("operator 1.0.0 → 1.1.0"));
        let moved = running.becomes(&after("registry.example/team", "1.0.0")).unwrap();
        assert!(moved.ends_with(" → registry.example/team/ferromesh:1.0.0"), "{moved}");
    }
}
