//! `ferromesh explain`: what does this code mean? Answered offline, from the documentation that was built in.

use clap::Args;
use ferromesh_crds::check::nearest;

use super::{
    codes::explanations,
    document::Explanation,
    exit::{Exit, Failure},
    report::{self, Form},
    terminal::Streams,
};

/// Say what a code means, how to see what it is about, and how to mend it.
#[derive(Args, Debug)]
#[command(after_help = "\
Without a code, all of them are listed.

Examples:
  ferromesh explain FM0104
  ferromesh explain IST0130 -o json
  ferromesh explain")]
pub(super) struct ExplainArgs {
    /// For example FM0104 or IST0101
    code: Option<String>,
    /// The form of the answer
    #[arg(short, long, value_enum, default_value_t, value_name = "FORM")]
    output: Form,
}

// === impl ExplainArgs ===

impl ExplainArgs {
    /// Explains a code, or lists all.
    ///
    /// # Errors
    /// When there is no such code.
    pub(super) fn run(&self, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
        let all = explanations();
        let told = match &self.code {
            None => self.list(&all),
            Some(code) => {
                let found =
                    all.iter().find(|explanation| explanation.code.eq_ignore_ascii_case(code)).ok_or_else(|| unknown(code, &all))?;
                match self.output {
                    Form::Human => found.human(),
                    form => report::document(found, form == Form::Yaml),
                }
            }
        };
        streams.answer(&told).map_err(|error| Failure::new(Exit::Failed, error))?;
        Ok(Exit::Clean)
    }

    fn list(&self, all: &[Explanation]) -> String {
        match self.output {
            Form::Human => {
                let width = all.iter().map(|explanation| explanation.code.len()).max().unwrap_or_default();
                all.iter().map(|explanation| format!("{:width$}  {}\n", explanation.code, explanation.meaning)).collect()
            }
            form => report::document(all, form == Form::Yaml),
        }
    }
}

fn unknown(code: &str, all: &[Explanation]) -> Failure {
    let meant = nearest(&code.to_ascii_uppercase(), all.iter().map(|explanation| explanation.code.as_str()));
    let meant = meant.map(|meant| format!(", did you mean {meant}?")).unwrap_or_default();
    Failure::usage(format_args!("unknown code \"{code}\"{meant}\n  all of them: ferromesh explain"))
}

// === impl Explanation ===

impl Explanation {
    fn human(&self) -> String {
        let Self { code, name, topic, meaning, example, remedy } = self;
        let name = name.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
        let mut told = format!("{code}{name}  {meaning}\n\n{topic}\n");
        // Of codes that are not used here there is neither.
        if !remedy.is_empty() {
            told.push_str(&format!("\nHow to see it:   {example}\nHow to mend it:  {remedy}\n"));
        }
        told
    }
}
