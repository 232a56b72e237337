//! What to do about a refused request.

use kube::core::Status;

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

/// Whether the object itself is at fault, so that nothing is gained by another try. What another's webhook or policy denies may pass as
/// soon as that changes; the API server says so in the message alone, as the code is that one's to choose.
pub(super) fn is_of_the_object(status: &Status) -> bool {
    let by_a_policy = ["denied the request", "denied request"].iter().any(|words| status.message.contains(words));
    matches!(status.code, 400 | 422) && !by_a_policy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_that_is_missing_is_told_from_other_refusals() {
        let refused = |message: &str| kube::Error::Api(Box::new(Status::failure(message, "Forbidden").with_code(403)));
        let words = r#"services "a" is forbidden: User "b" cannot patch resource "services""#;
        assert_eq!(advised(&refused(words)), format!("run helm upgrade, or ferromesh operator init: the operator lacks a right: {words}"));
        assert_eq!(advised(&refused("exceeded quota")), "exceeded quota");
    }

    #[test]
    fn what_a_policy_denies_is_not_the_objects_fault() {
        let refused = |code, message: &str| is_of_the_object(&Status::failure(message, "Invalid").with_code(code));
        assert!(refused(422, "Service \"a\" is invalid: spec.ports[0].nodePort: Invalid value: 1"));
        assert!(refused(400, "Deployment in version \"v1\" cannot be handled"));
        assert!(!refused(400, "admission webhook \"validate.kyverno.svc-fail\" denied the request: no label team"));
        assert!(!refused(422, "ValidatingAdmissionPolicy 'team' with binding 'all' denied request: no label team"));
        assert!(!refused(409, "conflict"));
    }
}
