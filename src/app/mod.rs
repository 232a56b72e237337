//! Which arguments make which process: raw arguments and environment in, a running role out.
//!
//! Nothing below this row reads the environment. Every role shares [`ProcessArgs`] and is run by [`Process`].

mod agent;
mod citadel;
mod cni;
mod command_line;
mod galley;
mod identity;
mod injector;
mod logs;
mod operator;
mod pilot;
mod process;

pub use agent::{InitArgs, ProxyArgs, WaitArgs};
pub use citadel::CitadelArgs;
pub use cni::CniArgs;
pub use command_line::command_line;
pub use galley::GalleyArgs;
pub use identity::IdentityArgs;
pub use injector::InjectorArgs;
pub use operator::OperatorArgs;
pub use pilot::PilotArgs;
pub use process::{Process, ProcessArgs};

use logs::LogArgs;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::variables_of;
    use clap::{Args, Command, error::ErrorKind};
    use std::collections::BTreeSet;

    fn command<T: Args>(name: &'static str) -> Command {
        T::augment_args(Command::new(name))
    }

    #[test]
    fn every_help_ends_in_examples_that_are_understood() {
        let (control_plane, agent) = ("ferromeshd", "ferromesh-agent");
        for (program, mut command) in [
            (control_plane, command::<CitadelArgs>("citadel")),
            (control_plane, command::<CniArgs>("cni")),
            (control_plane, command::<GalleyArgs>("galley")),
            (control_plane, command::<InjectorArgs>("injector")),
            (control_plane, command::<OperatorArgs>("operator")),
            (control_plane, command::<PilotArgs>("pilot")),
            (agent, command::<InitArgs>("init")),
            (agent, command::<ProxyArgs>("proxy")),
            (agent, command::<WaitArgs>("wait")),
        ] {
            let help = command.render_help().to_string();
            let (_, examples) = help.split_once("Examples:\n").unwrap();
            for example in examples.trim_end().lines() {
                let arguments = example.strip_prefix(&format!("  {program} ")).unwrap_or_else(|| panic!("{help}"));
                command.try_get_matches_from_mut(arguments.split(' ')).unwrap_or_else(|error| panic!("{example}: {error}"));
            }
        }
    }

    #[test]
    fn variables_that_values_may_set_are_those_that_the_part_reads() {
        for (part, command) in [
            ("components.citadel", command::<CitadelArgs>("citadel")),
            ("components.cni", command::<CniArgs>("cni")),
            ("components.galley", command::<GalleyArgs>("galley")),
            ("components.injector", command::<InjectorArgs>("injector")),
            ("components.pilot", command::<PilotArgs>("pilot")),
            ("gateways.ingress[edge]", command::<ProxyArgs>("proxy")),
        ] {
            let read: BTreeSet<&str> = command.get_arguments().filter_map(|argument| argument.get_env()?.to_str()).collect();
            assert_eq!(variables_of(part).collect::<BTreeSet<_>>(), read, "{part}");
        }
    }

    #[test]
    fn a_wrong_log_format_is_refused_with_those_there_are() {
        let error = command::<GalleyArgs>("galley").try_get_matches_from(["galley", "--log-format", "xml"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ValueValidation);
        assert!(error.to_string().contains("\"xml\" is neither \"text\" nor \"json\""), "{error}");
    }
}
