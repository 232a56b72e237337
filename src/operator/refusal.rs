//! What to do about a refused request.

use crate::runtime::causes;

/// The causes of an error, after what to do if the operator lacks a right. Other refusals have the code 403, too: an exceeded quota, a
/// webhook's.
pub(super) fn advised(error: &kube::Error) -> String {
    let words = causes(error);
    let is_about_rights = words.contains(" cannot ") || words.contains("attempting to grant RBAC permissions");
    match error {
        kube::Error::Api(status) if status.code == 403 && is_about_rights => {
            format!("run helm upgrade, or ferromesh operator init: the operator lacks a right: {words}")
        }
        _ => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    #[test]
    fn a_right_that_is_missing_is_told_from_other_refusals() {
        let refused = |message: &str| kube::Error::Api(Box::new(Status::failure(message, "Forbidden").with_code(403)));
        let words = r#"services "a" is forbidden: User "b" cannot patch resource "services""#;
        assert_eq!(advised(&refused(words)), format!("run helm upgrade, or ferromesh operator init: the operator lacks a right: {words}"));
        assert_eq!(advised(&refused("exceeded quota")), "exceeded quota");
    }
}
