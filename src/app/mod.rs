//! Which arguments make which process: raw arguments and environment in, a running role out.
//!
//! Nothing below this row reads the environment. Every role shares [`ProcessArgs`] and is run by [`Process`].

mod citadel;
mod injector;
mod process;

pub use citadel::CitadelArgs;
pub use injector::InjectorArgs;
pub use process::{Process, ProcessArgs};
