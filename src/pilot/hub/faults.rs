//! What the compiler left out of what proxies get, for whoever tells the authors.

use std::collections::{BTreeMap, BTreeSet};

use super::HubTask;
use crate::compile::{Fault, FaultCause};
use crate::model::ObjectRef;
use crate::pilot::problems::{LEFT_OUT, NO_SECRET, Problem};

/// The topic of these problems. It comes after `blame`: of an object that is withheld nothing is left out.
const TOPIC: &str = "faults";

// === impl HubTask ===

impl HubTask {
    /// Tells what is left out at present, if that has changed.
    pub(super) fn tell_faults(&mut self) {
        if let Some(faults) = self.compiler.as_mut().and_then(crate::compile::Compiler::faults) {
            self.problems.set(TOPIC, problems(&faults));
        }
    }
}

/// One problem for each object, with all of its faults.
fn problems(faults: &BTreeSet<Fault>) -> BTreeMap<ObjectRef, Problem> {
    let mut problems: BTreeMap<ObjectRef, Problem> = BTreeMap::new();
    for fault in faults {
        let reason = match fault.cause {
            FaultCause::Misfit => LEFT_OUT,
            FaultCause::Secret(_) => NO_SECRET,
        };
        let told = format!("{}: {}", fault.path, fault.message);
        match problems.get_mut(&fault.object) {
            Some(problem) => problem.message = format!("{}; {told}", problem.message),
            None => _ = problems.insert(fault.object.clone(), Problem { reason, message: told }),
        }
    }
    let end = |reason| match reason {
        LEFT_OUT => "; that is left out, and all else of it holds",
        _ => "; proxies keep what they had, and have no handshakes by it where they had nothing",
    };
    problems.values_mut().for_each(|problem| problem.message.push_str(end(problem.reason)));
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_author_reads_of_all_that_is_left_out_of_his_object_at_once() {
        let object = ObjectRef::new("EnvoyFilter", "shop", "change");
        let fault = |path: &str, message: &str| Fault {
            object: object.clone(),
            path: path.into(),
            message: message.to_owned(),
            cause: FaultCause::Misfit,
        };
        let told = problems(&[fault("spec.a", "no"), fault("spec.b", "never")].into());
        let message = "spec.a: no; spec.b: never; that is left out, and all else of it holds".to_owned();
        assert_eq!(told, [(object, Problem { reason: LEFT_OUT, message })].into());
    }
}
