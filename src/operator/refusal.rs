//! What went wrong with a request, in the API server's own words.

use std::error::Error;

/// The server's message, or why there is none.
pub(super) fn reason(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        other => other.to_string(),
    }
}

/// [`reason`], after what to do if the operator lacks a right. Other refusals have the code 403, too: an exceeded quota, a webhook's.
pub(super) fn advised(error: &kube::Error) -> String {
    let words = reason(error);
    let is_about_rights = words.contains(" cannot ") || words.contains("attempting to grant RBAC permissions");
    match error {
        kube::Error::Api(status) if status.code == 403 && is_about_rights => {
            format!("run helm upgrade: the operator lacks a right: {words}")
        }
        _ => words,
    }
}

/// An error with its causes, each said once.
pub(super) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let answer = answer(error);
        let told = answer.map_or_else(|| error.to_string(), reason);
        if !text.contains(&told) {
            text = if text.is_empty() { told } else { format!("{text}: {told}") };
        }
        // What comes after the server's words is the same in more of them.
        next = error.source().filter(|_| answer.is_none());
    }
    text
}

fn answer<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a kube::Error> {
    let boxed = error.downcast_ref::<Box<kube::Error>>().map(|boxed| &**boxed);
    error.downcast_ref::<kube::Error>().or(boxed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    #[test]
    fn a_right_that_is_missing_is_told_from_other_refusals() {
        let refused = |message: &str| kube::Error::Api(Box::new(Status::failure(message, "Forbidden").with_code(403)));
        let words = r#"services "a" is forbidden: User "b" cannot patch resource "services""#;
        assert_eq!(advised(&refused(words)), format!("run helm upgrade: the operator lacks a right: {words}"));
        assert_eq!(advised(&refused("exceeded quota")), "exceeded quota");
    }

    #[test]
    fn the_servers_words_are_repeated_and_nothing_else() {
        let refused = || kube::Error::Api(Box::new(Status::failure("exceeded quota", "Forbidden").with_code(403)));
        assert_eq!(reason(&refused()), "exceeded quota");
        let error =
            webhook_certs::StoreError::Api { verb: "create", namespace: "a".to_owned(), name: "b".to_owned(), source: Box::new(refused()) };
        assert_eq!(causes(&error), "can't create secret a/b: exceeded quota");
    }
}
