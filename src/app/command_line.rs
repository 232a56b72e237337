//! The command line for people: this process's arguments, environment and streams, handed to [`cli`].

use std::{
    env,
    io::{self, IsTerminal},
    process::ExitCode,
};
use time::OffsetDateTime;

use crate::cli::{self, Environment, Streams};

/// Runs the verb that this process's arguments name.
#[must_use]
pub fn command_line() -> ExitCode {
    let (mut stdin, mut stdout, mut stderr) = (io::stdin().lock(), io::stdout().lock(), io::stderr().lock());
    let environment = environment(|name| env::var(name).ok(), stdout.is_terminal(), stdin.is_terminal());
    let mut streams = Streams { stdin: &mut stdin, stdout: &mut stdout, stderr: &mut stderr };
    if let Some(shell) = env::var(cli::COMPLETION).ok().filter(|shell| !shell.is_empty()) {
        let directory = env::current_dir().ok();
        return ExitCode::from(cli::complete(&shell, env::args_os().collect(), directory.as_deref(), &mut streams).code());
    }
    ExitCode::from(cli::run_with(env::args_os(), &environment, streams).code())
}

/// What the variables say of the terminal.
fn environment(variable: impl Fn(&str) -> Option<String>, terminal: bool, interactive: bool) -> Environment {
    let given = |name: &str| variable(name).filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(given).unwrap_or_default().to_ascii_lowercase();
    Environment {
        no_color: given("NO_COLOR").is_some(),
        force_color: given("CLICOLOR_FORCE").is_some_and(|value| value != "0"),
        dumb: given("TERM").is_some_and(|value| value == "dumb"),
        terminal,
        interactive,
        utf8: locale.contains("utf-8") || locale.contains("utf8"),
        now: OffsetDateTime::now_utc().unix_timestamp(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_is_none() {
        let with =
            |name: &'static str, value: &'static str| environment(move |asked| (asked == name).then(|| value.to_owned()), false, false);
        assert!(with("NO_COLOR", "1").no_color && !with("NO_COLOR", "").no_color);
        assert!(with("CLICOLOR_FORCE", "1").force_color && !with("CLICOLOR_FORCE", "0").force_color);
        assert!(with("TERM", "dumb").dumb && !with("TERM", "xterm").dumb);
    }

    #[test]
    fn the_first_variable_of_the_locale_counts() {
        let locale = |all: &'static [(&str, &str)]| {
            environment(move |asked| all.iter().find(|(name, _)| *name == asked).map(|(_, value)| (*value).to_owned()), false, false).utf8
        };
        assert!(locale(&[("LANG", "en_GB.UTF-8")]));
        assert!(!locale(&[("LC_ALL", "C"), ("LANG", "en_GB.UTF-8")]));
        assert!(locale(&[("LC_ALL", ""), ("LANG", "C.utf8")]));
    }
}
