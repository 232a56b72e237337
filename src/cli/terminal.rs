//! Where a verb reads and writes, and whether what it writes is coloured.

use clap::ValueEnum;
use std::io::{self, Read, Write};

use super::exit::{Exit, Failure};

/// What the verbs may know of the terminal that they run in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// The variable NO_COLOR is set and not empty.
    pub no_color: bool,
    /// The variable CLICOLOR_FORCE is set, and neither empty nor 0.
    pub force_color: bool,
    /// The variable TERM is `dumb`.
    pub dumb: bool,
    /// Standard output is a terminal.
    pub terminal: bool,
    /// Standard input is a terminal, so that questions can be answered.
    pub interactive: bool,
    /// The locale's encoding is UTF-8.
    pub utf8: bool,
    /// The time, in seconds since the epoch.
    pub now: i64,
}

/// The standard streams.
pub struct Streams<'a> {
    /// What a verb reads for the file name `-`.
    pub stdin: &'a mut dyn Read,
    /// The answer.
    pub stdout: &'a mut dyn Write,
    /// Notes and errors.
    pub stderr: &'a mut dyn Write,
}

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Colour {
    /// On a terminal, unless NO_COLOR or TERM=dumb say no
    #[default]
    Auto,
    /// Always
    #[value(alias = "true")]
    Always,
    /// Never
    #[value(alias = "false")]
    Never,
}

/// How words and symbols are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Style {
    pub(super) coloured: bool,
    pub(super) utf8: bool,
}

/// The colours of status words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    Red,
    Yellow,
    Cyan,
    Green,
}

// === impl Environment ===

impl Environment {
    /// The style of standard output. What is asked for by a flag counts most, then NO_COLOR, then CLICOLOR_FORCE, then the terminal.
    pub(super) fn style(&self, colour: Colour) -> Style {
        let coloured = match colour {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto if self.no_color => false,
            Colour::Auto => self.force_color || (self.terminal && !self.dumb),
        };
        Style { coloured, utf8: self.utf8 }
    }
}

// === impl Streams ===

impl Streams<'_> {
    /// Writes the answer.
    ///
    /// # Errors
    /// When it can't be written, but for a reader that went away: `ferromesh … | head` is no failure.
    pub(super) fn answer(&mut self, text: &str) -> io::Result<()> {
        match self.stdout.write_all(text.as_bytes()).and_then(|()| self.stdout.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result.map_err(|error| io::Error::new(error.kind(), format!("can't write the answer: {error}"))),
        }
    }

    /// Writes the answer of a verb that has nothing else to tell.
    ///
    /// # Errors
    /// As [`Streams::answer`].
    pub(super) fn answered(&mut self, text: &str) -> Result<Exit, Failure> {
        self.answer(text).map(|()| Exit::Clean).map_err(|error| Failure::new(Exit::Failed, error))
    }

    /// Asks a question, and reads whether the answer is yes.
    ///
    /// # Errors
    /// When no answer can be read.
    pub(super) fn agreed(&mut self, question: &str) -> io::Result<bool> {
        let _ = write!(self.stderr, "{question} [y/N] ").and_then(|()| self.stderr.flush());
        let (mut answer, mut letter) = (Vec::new(), [0]);
        // Letter by letter: what is behind the line is not ours.
        while self.stdin.read(&mut letter)? == 1 && letter != *b"\n" {
            answer.extend(letter);
        }
        Ok(matches!(answer.trim_ascii(), b"y" | b"Y" | b"yes" | b"Yes"))
    }

    /// Writes a line beside the answer. There is nowhere to say that this failed.
    pub(super) fn note(&mut self, line: &str) {
        let _ = writeln!(self.stderr, "{line}");
    }
}

// === impl Style ===

impl Style {
    /// A status word in its colour.
    pub(super) fn paint(self, paint: Paint, word: &str) -> String {
        let code = match paint {
            Paint::Red => 31,
            Paint::Green => 32,
            Paint::Yellow => 33,
            Paint::Cyan => 36,
        };
        if self.coloured { format!("\x1b[1;{code}m{word}\x1b[0m") } else { word.to_owned() }
    }

    /// The mark of something that is as it should be.
    pub(super) fn good(self) -> String {
        self.paint(Paint::Green, if self.utf8 { "✓" } else { "ok" })
    }

    /// The mark of something that is not.
    pub(super) fn bad(self) -> String {
        self.paint(Paint::Red, if self.utf8 { "✗" } else { "FAIL" })
    }

    /// The mark of something that may not be.
    pub(super) fn doubtful(self) -> String {
        self.paint(Paint::Yellow, if self.utf8 { "!" } else { "warn" })
    }
}

/// A text of which nothing can steer the terminal: control characters are replaced.
pub(super) fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c == '\t' {
                ' '
            } else if c.is_control() {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_counts_more_than_variables_and_those_more_than_the_terminal() {
        let terminal = Environment { terminal: true, ..Environment::default() };
        let pipe = Environment::default();
        let coloured = |environment: Environment, colour| environment.style(colour).coloured;
        assert!(coloured(terminal, Colour::Auto));
        assert!(!coloured(pipe, Colour::Auto));
        assert!(!coloured(Environment { dumb: true, ..terminal }, Colour::Auto));
        assert!(!coloured(Environment { no_color: true, ..terminal }, Colour::Auto));
        assert!(coloured(Environment { force_color: true, ..pipe }, Colour::Auto));
        assert!(!coloured(Environment { force_color: true, no_color: true, ..pipe }, Colour::Auto));
        assert!(coloured(Environment { no_color: true, ..pipe }, Colour::Always));
        assert!(!coloured(Environment { force_color: true, ..terminal }, Colour::Never));
    }

    #[test]
    fn control_characters_never_reach_the_terminal() {
        assert_eq!(harmless("a\x1b[31mb\tc"), "a\u{fffd}[31mb c");
    }
}
