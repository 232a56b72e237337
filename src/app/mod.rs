//! Which arguments make which process: raw arguments and environment in, a running role out.
//!
//! Nothing below this row reads the environment. Every role shares [`ProcessArgs`] and is run by [`Process`].

mod agent;
mod citadel;
mod galley;
mod injector;
mod operator;
mod pilot;
mod process;

pub use agent::{InitArgs, ProxyArgs, WaitArgs};
pub use citadel::CitadelArgs;
pub use galley::GalleyArgs;
pub use injector::InjectorArgs;
pub use operator::OperatorArgs;
pub use pilot::PilotArgs;
pub use process::{Process, ProcessArgs};
