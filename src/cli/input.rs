//! Which files a verb is to read.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use super::exit::{Exit, Failure};

/// The endings of files that are read in directories.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];
/// What a file may be long, in bytes; larger ones are no configuration.
const LARGEST: u64 = 64 << 20;

/// A text to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
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

/// The sources that names stand for: `-` is standard input, and a directory all its YAML and JSON files in order, those of its
/// directories too if `recursive`. Names that begin with a dot are left out.
///
/// # Errors
/// When something is not there, or a directory holds nothing to read.
pub(super) fn sources(names: &[String], recursive: bool) -> Result<Vec<Source>, Failure> {
    let mut found = Vec::new();
    for name in names {
        if name == "-" {
            if found.contains(&Source::Stdin) {
                return Err(Failure::usage("standard input can be read once only: name \"-\" once"));
            }
            found.push(Source::Stdin);
            continue;
        }
        let path = Path::new(name);
        let metadata = fs::metadata(path).map_err(|error| missing(path, &error))?;
        if metadata.is_dir() {
            let before = found.len();
            directory(path, recursive, &mut found)?;
            if found.len() == before {
                let also = if recursive { "" } else { ": use -R for those of its directories" };
                return Err(Failure::usage(format_args!("{name} has no .yaml, .yml or .json file{also}")));
            }
        } else {
            found.push(Source::File(path.to_owned()));
        }
    }
    Ok(found)
}

fn directory(path: &Path, recursive: bool, found: &mut Vec<Source>) -> Result<(), Failure> {
    let entries = fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(|error| missing(path, &error))?;
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths.into_iter().filter(|path| path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b"."))) {
        // Directories behind links are left out: they could lead round in a circle.
        let is_directory = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir());
        if is_directory && recursive {
            directory(&path, recursive, found)?;
        } else if path.is_file() && path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known)) {
            found.push(Source::File(path));
        }
    }
    Ok(())
}

fn missing(path: &Path, error: &std::io::Error) -> Failure {
    let exit = if error.kind() == std::io::ErrorKind::NotFound { Exit::Usage } else { Exit::Failed };
    Failure::new(exit, format_args!("can't read {}: {error}", path.display()))
}

// === impl Source ===

impl Source {
    /// Reads the text; a byte order mark is left out.
    ///
    /// # Errors
    /// When it can't be read, is too large, or no UTF-8.
    pub(super) fn read(&self, stdin: &mut dyn Read) -> Result<SourceText, Failure> {
        let (name, bytes) = match self {
            Self::Stdin => ("stdin".to_owned(), limited(stdin)),
            Self::File(path) => (path.display().to_string(), fs::File::open(path).and_then(|mut file| limited(&mut file))),
        };
        let bytes = bytes.map_err(|error| missing(Path::new(&name), &error))?;
        if bytes.len() as u64 > LARGEST {
            return Err(Failure::new(Exit::Unreadable, format_args!("{name} has more than {} MiB: split it", LARGEST >> 20)));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            Failure::new(Exit::Unreadable, format_args!("{name} is no UTF-8 text: byte {at} is wrong"))
        })?;
        let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
        Ok(SourceText { name, text })
    }
}

fn limited(reader: &mut dyn Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(LARGEST + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(sources: &[Source], root: &Path) -> Vec<String> {
        let name = |source: &Source| match source {
            Source::Stdin => "-".to_owned(),
            Source::File(path) => path.strip_prefix(root).unwrap().display().to_string(),
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
        assert_eq!(names(&sources(&given, false).unwrap(), root.path()), ["a.yml", "b.yaml", "c.json"]);
        assert_eq!(names(&sources(&given, true).unwrap(), root.path()), ["a.yml", "b.yaml", "c.json", "deep/e.yaml"]);
    }

    #[test]
    fn nothing_to_read_is_wrong_usage() {
        let root = tempfile::tempdir().unwrap();
        let empty = sources(&[root.path().display().to_string()], false).unwrap_err();
        assert!(empty.exit == Exit::Usage && empty.message.ends_with("use -R for those of its directories"), "{empty:?}");
        assert_eq!(sources(&["/no/such.yaml".to_owned()], false).unwrap_err().exit, Exit::Usage);
        assert_eq!(sources(&["-".to_owned(), "-".to_owned()], false).unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn what_is_no_text_can_not_be_read() {
        let error = Source::Stdin.read(&mut &b"a: \xff"[..]).unwrap_err();
        assert_eq!((error.exit, error.message.as_str()), (Exit::Unreadable, "stdin is no UTF-8 text: byte 3 is wrong"));
        assert_eq!(Source::Stdin.read(&mut "\u{feff}a: 1".as_bytes()).unwrap().text, "a: 1");
    }
}
