//! Many cases of a property, each made from bytes that proptest makes up, and shortens where the property does not hold.

use std::env;

use proptest::{
    collection::vec,
    prelude::any,
    test_runner::{Config, RngSeed, TestRunner},
};

use super::objects::Choices;

/// How many cases there are by default.
const CASES: u32 = 60;
/// The most bytes that decide a case.
const LONGEST: usize = 1500;

/// Checks a property, which panics where it does not hold. The cases are the same in every run, so that a failure is somebody's change;
/// with `PROPTEST_CASES` there are that many, and others each time.
pub(crate) fn for_many(property: impl Fn(&mut Choices<'_>)) {
    let more: Option<u32> = env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let rng_seed = if more.is_some() { RngSeed::Random } else { RngSeed::Fixed(1) };
    let config = Config { cases: more.unwrap_or(CASES), rng_seed, failure_persistence: None, ..Config::default() };
    let run = TestRunner::new(config).run(&vec(any::<u8>(), 0..LONGEST), |bytes| {
        property(&mut Choices::new(&bytes));
        Ok(())
    });
    run.unwrap();
}
