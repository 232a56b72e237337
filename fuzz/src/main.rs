//! One fuzzer for every target: `FUZZ_TARGET` names one, the CRD of a kind or `review`. With `FUZZ_TARGET=list` it prints them all.
//!
//! What it calls is what `make test` calls with the files of the corpus (src/testing/objects). Inputs are changed as bytes and, every
//! other time, as objects of the target's kind, so that it gets past the JSON and the schema to what the readers do.
#![no_main]

use std::{env, process, sync::OnceLock};

use ferromesh::{config, galley, model, runtime};
use ferromesh_crds::catalog::{self, Kind};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use serde_json::{Value, json};

#[allow(dead_code)]
#[path = "../../src/testing/objects/mod.rs"]
mod objects;

use objects::{Choices, laws::Target};

/// How many bytes decide one change of an object.
const DECISIONS: usize = 400;

static TARGET: OnceLock<Target> = OnceLock::new();

fuzz_target!(init: choose_target(), |input: &[u8]| {
    if let Some(target) = TARGET.get() {
        target.holds_for(input);
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut bytes = pseudorandom(seed);
    if bytes.next().is_some_and(|byte| byte < 160)
        && let Some(changed) = changed(&data[..size], &bytes.take(DECISIONS).collect::<Vec<_>>())
        && changed.len() <= max_size
    {
        data[..changed.len()].copy_from_slice(&changed);
        return changed.len();
    }
    fuzzer_mutate(data, size, max_size)
});

fn choose_target() {
    let name = env::var("FUZZ_TARGET").unwrap_or_default();
    match Target::named(&name) {
        Some(target) => _ = TARGET.set(target),
        None => {
            println!("{}", Target::names().join("\n"));
            process::exit(if name == "list" { 0 } else { 64 });
        }
    }
}

/// The input with one of its values changed as the kind's schema suggests.
fn changed(input: &[u8], decisions: &[u8]) -> Option<Vec<u8>> {
    let mut choices = Choices::new(decisions);
    let mut value = serde_json::from_slice(input).unwrap_or(Value::Null);
    match TARGET.get()? {
        Target::Kind(kind) => change(kind, &mut value, &mut choices),
        Target::Review => {
            let kinds = catalog::kinds();
            let kind = &kinds[choices.below(kinds.len())];
            let request = &mut value["request"];
            let asked = |part: &str| request["kind"][part].as_str().unwrap_or_default();
            match catalog::find(asked("group"), asked("kind")) {
                Some(kind) => change(kind, &mut request["object"], &mut choices),
                None => value = review(kind, objects::object(kind, &mut choices)),
            }
        }
    }
    serde_json::to_vec(&value).ok()
}

/// Changes an object; every other one is then mended, so that accepted ones get far.
fn change(kind: &Kind, object: &mut Value, choices: &mut Choices<'_>) {
    let mend = choices.below(2) == 1;
    objects::change(kind, object, choices);
    if mend {
        *object = objects::mended(kind, object.take(), choices);
    }
}

fn review(kind: &Kind, object: Value) -> Value {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u-1", "kind": {"group": kind.group, "version": kind.versions[0], "kind": kind.name}, "operation": "CREATE",
        "namespace": "shop", "name": "reviews", "userInfo": {"username": "jane"}, "object": object, "oldObject": null,
    }})
}

/// Bytes without end that a seed decides: SplitMix64.
fn pseudorandom(seed: u32) -> impl Iterator<Item = u8> {
    let mut state = u64::from(seed);
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).to_be_bytes()
    })
    .flatten()
}
