//! What a proxy refuses.

use std::sync::Arc;

use super::{Held, Ledger, Owed};
use crate::compile::{Compiled, Resource};
use crate::pilot::serve::session::blame;

/// A resource that the proxy has refused, in the form that it refused.
#[derive(Clone, Debug)]
pub(in crate::pilot) struct Rejection {
    /// The refused form; what shaped it is in its `sources`.
    pub(in crate::pilot) resource: Arc<Resource>,
    /// The proxy's words.
    pub(in crate::pilot) message: Arc<str>,
    /// The hash of the form that it goes on with; none if it has none, or nobody knows which.
    pub(in crate::pilot) held: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Rejected {
    rejection: Rejection,
    /// What the proxy goes on with.
    pub(super) held: Held,
}

/// What the ledger makes of a proxy's refusal.
#[derive(Debug)]
pub(in crate::pilot) struct Refusal {
    /// Forms that were not refused before. Empty while it is still being searched which ones are meant.
    pub(in crate::pilot) blamed: Vec<Rejection>,
}

// === impl Ledger ===

impl Ledger {
    /// The proxy refused the response that it was sent.
    ///
    /// A proxy refuses a response as a whole, although one resource of it may be at fault, and may have taken the others. So the ones that
    /// its message names are blamed, and the others sent again. If it names none, they are sent again in halves, until a response of a
    /// single resource is refused. Each refusal leads to smaller responses, so this ends.
    pub(in crate::pilot) fn refuse(&mut self, message: &str, current: Option<&Compiled>) -> Refusal {
        let Some(pending) = self.pending.take() else { return Refusal { blamed: Vec::new() } };
        let sent = pending.items.values().filter(|item| item.due.is_some()).count();
        let is_blamed = |(name, item): &(Arc<str>, Owed)| item.due.is_some() && (sent == 1 || blame::names(message, name));
        let (blamed, innocent): (Vec<_>, Vec<_>) = Arc::unwrap_or_clone(pending.items).into_iter().partition(is_blamed);

        if blamed.is_empty() && innocent.len() > 1 {
            let (left, right) = innocent.split_at(innocent.len() / 2);
            for half in [right, left] {
                self.groups.push_front(half.iter().map(|(name, _)| name.clone()).collect());
            }
        }
        // A removal alone can't be refused for a reason that sending it again would mend.
        let resend = !blamed.is_empty() || innocent.len() > 1;
        for (name, _) in innocent.into_iter().filter(|_| resend) {
            let due = current.and_then(|current| current.get(self.kind, &name)).cloned();
            self.account().insert(name, Owed::anew(due));
        }
        let message: Arc<str> = message.into();
        let mut fresh = Vec::new();
        for (name, item) in blamed {
            if let Some(owed) = self.account().get_mut(&name) {
                // A newer form waits already; what the proxy holds meanwhile is the one before the refused one.
                owed.held = item.held;
            }
            if let Some(resource) = item.due {
                let held = if let Held::Form(hash) = item.held { Some(hash) } else { None };
                let rejection = Rejection { resource, message: message.clone(), held };
                self.rejected.insert(name, Rejected { rejection: rejection.clone(), held: item.held });
                fresh.push(rejection);
            }
        }
        Refusal { blamed: fresh }
    }

    /// Whether the proxy goes on with a form that it was not meant to have any more.
    pub(in crate::pilot) fn lags(&self) -> bool {
        !self.rejected.is_empty()
    }

    /// What the proxy refuses at present.
    pub(in crate::pilot) fn rejections(&self) -> impl Iterator<Item = &Rejection> {
        self.rejected.values().map(|rejected| &rejected.rejection)
    }
}

// === impl Rejected ===

impl Rejected {
    /// Whether that is the rejected form.
    pub(super) fn is_of(&self, resource: &Resource) -> bool {
        resource.hash == self.rejection.resource.hash
    }
}
