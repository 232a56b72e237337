//! `ferromesh kube-inject` and `ferromesh experimental uninject`: the sidecar into manifests, and out of them.
//!
//! Both change the templates in files and leave everything else as it is, byte for byte.

mod document;
mod kube_inject;
#[cfg(test)]
mod tests;
mod uninject;
mod values;

pub(super) use document::{Object, Outcome};
pub(super) use kube_inject::{KubeInjectArgs, injected};
pub(super) use uninject::{UninjectArgs, plain};
pub(super) use values::Configuration;

use clap::Args;
use std::{fs, path::PathBuf};

use self::document::rewrite;
use super::{
    exit::{Exit, Failure},
    input,
    terminal::Streams,
};

/// Which files are changed, and where the result goes.
#[derive(Args, Debug)]
struct FileArgs {
    /// Files, directories, or - for standard input
    #[arg(short, long, value_name = "FILE", visible_alias = "file", required = true)]
    filename: Vec<String>,
    /// Read the directories of directories too
    #[arg(short = 'R', long)]
    recursive: bool,
    /// The file to write to, in place of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

// === impl FileArgs ===

impl FileArgs {
    /// Changes every object that makes pods by `change`, and writes the whole. Nothing is written if anything is refused.
    ///
    /// # Errors
    /// All that could not be read or is refused.
    fn run(&self, streams: &mut Streams<'_>, mut change: impl FnMut(&Object<'_>) -> Outcome) -> Result<Exit, Failure> {
        let (mut whole, mut failures, mut notes) = (String::new(), Vec::new(), Vec::new());
        for text in input::texts(&self.filename, self.recursive, streams.stdin) {
            match text.and_then(|text| rewrite(&text, &mut change, &mut notes)) {
                Ok(rewritten) => append(&mut whole, &rewritten),
                Err(failure) => failures.push(failure),
            }
        }
        notes.iter().for_each(|note| streams.note(&format!("warning: {note}")));
        Failure::all(failures)?;
        match &self.output {
            Some(path) => fs::write(path, whole)
                .map_err(|error| Failure::new(Exit::Failed, format_args!("can't write {}: {error}", path.display())))?,
            None => streams.answer(&whole).map_err(|error| Failure::new(Exit::Failed, error))?,
        }
        Ok(Exit::Clean)
    }
}

/// Adds the documents of another file.
fn append(whole: &mut String, more: &str) {
    if !whole.is_empty() {
        if !whole.ends_with('\n') {
            whole.push('\n');
        }
        if !more.starts_with("---") {
            whole.push_str("---\n");
        }
    }
    whole.push_str(more);
}
