//! Which arguments take which names.

use clap::{Arg, Command, ValueHint};
use clap_complete::{ArgValueCompleter, CompletionCandidate};
use std::{ffi::OsStr, sync::Arc};

use super::{
    live::{Names, names},
    words::Words,
};

/// Marks the arguments of a command that stands below another one, and of those below it.
pub(super) fn with_names(command: Command, above: &str, words: &Arc<Words>) -> Command {
    let verb = command.get_name().to_owned();
    let marked = command.mut_args(|argument| match names_of(above, &verb, &argument) {
        Some(kind) => {
            let words = words.clone();
            argument.add(ArgValueCompleter::new(move |current: &OsStr| matching(names(kind, &words, current), current)))
        }
        None => hinted(argument),
    });
    marked.mut_subcommands(|below| with_names(below, &verb, words))
}

/// The names that an argument of a verb takes.
fn names_of(above: &str, verb: &str, argument: &Arg) -> Option<Names> {
    let value = argument.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
    match (above, verb, argument.get_id().as_str()) {
        (_, _, "context") => Some(Names::Contexts),
        (_, _, id) if id.ends_with("namespace") && argument.get_action().takes_values() => Some(Names::Namespaces),
        (_, "explain", "code") => Some(Names::Codes),
        ("profile", "dump", "name") | ("profile", "diff", "first" | "second") => Some(Names::Profiles),
        (_, _, "set") => Some(Names::Settings),
        ("tag", "set" | "remove", "name") => Some(Names::Tags),
        (_, _, "revision") => Some(Names::Revisions),
        (_, "service", "name") => Some(Names::Services),
        (_, "deployment", "name") => Some(Names::Deployments),
        _ if matches!(value, "POD" | "SOURCE" | "[TYPE/]NAME") => Some(Names::Pods),
        _ => None,
    }
}

/// Files where files are meant.
fn hinted(argument: Arg) -> Arg {
    let value = argument.get_value_names().and_then(|names| names.first()).map(|name| name.as_str().to_owned());
    match value.as_deref() {
        Some("FILE") => argument.value_hint(ValueHint::FilePath),
        Some("DIRECTORY") => argument.value_hint(ValueHint::DirPath),
        _ => argument,
    }
}

/// Those that begin with what is typed.
fn matching(names: Vec<CompletionCandidate>, current: &OsStr) -> Vec<CompletionCandidate> {
    let typed = current.as_encoded_bytes();
    names.into_iter().filter(|name| name.get_value().as_encoded_bytes().starts_with(typed)).collect()
}
