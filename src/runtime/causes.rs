//! What went wrong, with all its causes, in words for people.

use std::error::Error;

/// The messages of an error and of its causes, outermost first, joined by `: `, each said once.
///
/// Of a refusal by the API server only the server's own words count: kube's message repeats them beside the whole `Status`.
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let refusal = refusal(error);
        // What comes after the server's words is the same in more of them.
        next = error.source().filter(|_| refusal.is_none());
        let told = refusal.unwrap_or_else(|| own_words(error));
        if !text.contains(&told) {
            text = if text.is_empty() { told } else { format!("{text}: {told}") };
        }
    }
    text
}

/// The message, without that of the cause where it ends in it.
fn own_words(error: &dyn Error) -> String {
    let told = error.to_string();
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    told.strip_suffix(&cause).map_or(told.as_str(), |own| own.trim_end().trim_end_matches(':')).to_owned()
}

/// The server's words, if it is the server that refused.
fn refusal(error: &(dyn Error + 'static)) -> Option<String> {
    let boxed = error.downcast_ref::<Box<kube::Error>>().map(|boxed| &**boxed);
    match error.downcast_ref::<kube::Error>().or(boxed)? {
        kube::Error::Api(status) if status.message.is_empty() => Some(format!("{} {}", status.code, status.reason)),
        kube::Error::Api(status) => Some(status.message.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::{core::Status, runtime::watcher};
    use std::io;

    fn refused(message: &str) -> kube::Error {
        kube::Error::Api(Box::new(Status::failure(message, "Forbidden").with_code(403)))
    }

    #[derive(Debug, thiserror::Error)]
    #[error("can't read a")]
    struct Silent(#[source] io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("not understood: {0}")]
    struct Repeating(#[source] Silent);

    #[test]
    fn each_cause_is_told_once_whether_the_message_repeats_it_or_not() {
        let error = Repeating(Silent(io::Error::other("disk full")));
        assert_eq!(causes(&error), "not understood: can't read a: disk full");
    }

    #[test]
    fn the_servers_words_are_repeated_and_nothing_else() {
        assert_eq!(causes(&refused("exceeded quota")), "exceeded quota");
        assert_eq!(causes(&refused("")), "403 Forbidden");
        let store = webhook_certs::StoreError::Api {
            verb: "create",
            namespace: "a".to_owned(),
            name: "b".to_owned(),
            source: Box::new(refused("exceeded quota")),
        };
        assert_eq!(causes(&store), "can't create secret a/b: exceeded quota");
        let watch = watcher::Error::InitialListFailed(refused("pods is forbidden"));
        assert_eq!(causes(&watch), "failed to perform initial object list: pods is forbidden");
    }
}
