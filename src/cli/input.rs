//! Which files a verb is to read.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::exit::{Exit, Failure};

/// The endings of files that are read in directories.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];
/// What a file may be long, in bytes; larger ones are no configuration.
const LARGEST: u64 = 64 << 20;
/// The same of what a proxy says that it has.
const LARGEST_DUMP: u64 = 1 << 30;

/// A text to read, or why there is none.
type Found = Result<Source, Failure>;

/// A text to read.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    /// Standard input.
    Stdin,
    File(PathBuf),
}

/// A text and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SourceText {
    pub(super) name: String,
    pub(super) text: String,
}

/// The texts that names stand for, one after the other: `-` is standard input, and a directory all its YAML and JSON files in order,
/// those of its directories too if `recursive`. Names that begin with a dot are left out. What is not there, or can't be read, keeps
/// nobody from the others.
pub(super) fn texts<'i>(
    names: &[String],
    recursive: bool,
    stdin: &'i mut dyn Read,
) -> impl Iterator<Item = Result<SourceText, Failure>> + use<'i> {
    sources(names, recursive).into_iter().map(move |source| source?.read(stdin, LARGEST))
}

/// The text of one file with configuration.
///
/// # Errors
/// When it can't be read, is too large, or no UTF-8.
pub(super) fn text(path: &Path) -> Result<String, Failure> {
    Ok(Source::File(path.to_owned()).read(&mut io::empty(), LARGEST)?.text)
}

/// The text of a file that a proxy wrote.
///
/// # Errors
/// As [`text`].
pub(super) fn dump(path: &Path) -> Result<String, Failure> {
    Ok(Source::File(path.to_owned()).read(&mut io::empty(), LARGEST_DUMP)?.text)
}

fn sources(names: &[String], recursive: bool) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for name in names {
        if name == "-" {
            let again = found.contains(&Ok(Source::Stdin));
            let once = || Failure::usage("standard input can be read once only: name \"-\" once");
            found.push(if again { Err(once()) } else { Ok(Source::Stdin) });
            continue;
        }
        let path = Path::new(name);
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                let before = found.len();
                directory(path, recursive, &mut found);
                if found.len() == before {
                    let also = if recursive { "" } else { ": use -R for those of its directories" };
                    found.push(Err(Failure::usage(format_args!("{name} has no .yaml, .yml or .json file{also}"))));
                }
            }
            Ok(_) => found.push(Ok(Source::File(path.to_owned()))),
            Err(error) => found.push(Err(missing(path, &error))),
        }
    }
    found
}

fn directory(path: &Path, recursive: bool, found: &mut Vec<Found>) {
    let entries = match fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
        Ok(entries) => entries,
        Err(error) => return found.push(Err(missing(path, &error))),
    };
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths.into_iter().filter(|path| path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b"."))) {
        // Directories behind links are left out: they could lead round in a circle.
        let is_directory = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir());
        if is_directory && recursive {
            directory(&path, recursive, found);
        } else if path.is_file() && path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known)) {
            found.push(Ok(Source::File(path)));
        }
    }
}

/// That a file is not there, or can't be read, in words of our own where people meet it often.
fn missing(path: &Path, error: &io::Error) -> Failure {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => Failure::usage(format_args!("there is no file {path}")),
        io::ErrorKind::PermissionDenied => Failure::new(Exit::Failed, format_args!("can't read {path}: you have no right to")),
        io::ErrorKind::IsADirectory => Failure::usage(format_args!("can't read {path}: it is a directory")),
        _ => Failure::new(Exit::Failed, format_args!("can't read {path}: {error}")),
    }
}

// === impl Source ===

impl Source {
    /// Reads the text of so many bytes at most; a byte order mark is left out.
    ///
    /// # Errors
    /// When it can't be read, is too large, or no UTF-8.
    fn read(&self, stdin: &mut dyn Read, most: u64) -> Result<SourceText, Failure> {
        let (name, bytes) = match self {
            Self::Stdin => ("stdin".to_owned(), limited(stdin, most)),
            Self::File(path) => (path.display().to_string(), fs::File::open(path).and_then(|mut file| limited(&mut file, most))),
        };
        let bytes = bytes.map_err(|error| missing(Path::new(&name), &error))?;
        if bytes.len() as u64 > most {
            return Err(Failure::new(Exit::Unreadable, format_args!("{name} has more than {} MiB: split it", most >> 20)));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            Failure::new(Exit::Unreadable, format_args!("{name} is no UTF-8 text: byte {at} is wrong"))
        })?;
        let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
        Ok(SourceText { name, text })
    }
}

fn limited(reader: &mut dyn Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(most + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(sources: &[Found], root: &Path) -> Vec<String> {
        let name = |source: &Found| match source {
            Ok(Source::Stdin) => "-".to_owned(),
            Ok(Source::File(path)) => path.strip_prefix(root).unwrap().display().to_string(),
            Err(failure) => failure.message.clone(),
        };
        sources.iter().map(name).collect()
    }

    #[test]
    fn a_directory_stands_for_its_files_in_order_and_deeper_ones_on_request() {
        let root = tempfile::tempdir().unwrap();
        for file in ["b.yaml", "a.yml", "c.json", "d.txt", "deep/e.yaml", ".git/f.yaml"] {
            fs::create_dir_all(root.path().join(file).parent().unwrap()).unwrap();
            fs::write(root.path().join(file), "").unwrap();
        }
        let given = [root.path().display().to_string()];
        assert_eq!(names(&sources(&given, false), root.path()), ["a.yml", "b.yaml", "c.json"]);
        assert_eq!(names(&sources(&given, true), root.path()), ["a.yml", "b.yaml", "c.json", "deep/e.yaml"]);
    }

    #[test]
    fn nothing_to_read_is_wrong_usage() {
        let root = tempfile::tempdir().unwrap();
        let told = sources(&[root.path().display().to_string(), "/no/such.yaml".to_owned(), "-".to_owned(), "-".to_owned()], false);
        let [Err(empty), Err(missing), Ok(Source::Stdin), Err(again)] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!([empty, missing, again].map(|failure| failure.exit), [Exit::Usage; 3]);
        assert!(empty.message.ends_with("use -R for those of its directories"), "{empty:?}");
        assert_eq!(missing.message, "there is no file /no/such.yaml");
    }

    #[test]
    fn what_is_no_text_can_not_be_read() {
        let error = Source::Stdin.read(&mut &b"a: \xff"[..], LARGEST).unwrap_err();
        assert_eq!((error.exit, error.message.as_str()), (Exit::Unreadable, "stdin is no UTF-8 text: byte 3 is wrong"));
        assert_eq!(Source::Stdin.read(&mut "\u{feff}a: 1".as_bytes(), LARGEST).unwrap().text, "a: 1");
        // What never ends is not read for ever.
        let endless = Source::Stdin.read(&mut io::repeat(b'a'), 1 << 20).unwrap_err();
        assert_eq!((endless.exit, endless.message.as_str()), (Exit::Unreadable, "stdin has more than 1 MiB: split it"));
    }
}
