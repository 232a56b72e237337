//! docs/faults.md names the tests that show what it says: each is there, and is run unless the page says that it is not.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A function of a source.
#[derive(Debug)]
struct Function {
    file: PathBuf,
    name: String,
    ignored: bool,
}

/// The functions below a folder.
fn functions(folder: &Path, found: &mut Vec<Function>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            functions(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.extend(of_source(&path, &fs::read_to_string(&path).unwrap()));
        }
    }
}

fn of_source(file: &Path, text: &str) -> Vec<Function> {
    let (mut found, mut ignored) = (Vec::new(), false);
    for line in text.lines().map(str::trim) {
        ignored |= line.starts_with("#[ignore");
        let Some((before, rest)) = line.split_once("fn ") else { continue };
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if before.split_whitespace().all(|word| ["async", "const", "pub"].contains(&word) || word.starts_with("pub(")) && !name.is_empty() {
            found.push(Function { file: file.to_owned(), name, ignored });
            ignored = false;
        }
    }
    found
}

/// What is wrong with the citations of a page, by the functions that there are.
fn problems(page: &str, functions: &[Function]) -> Vec<String> {
    let rows = page.lines().filter(|line| line.starts_with("| ") && line.matches('|').count() == 4);
    let mut found = Vec::new();
    for cell in rows.filter_map(|row| row.rsplit('|').nth(1)) {
        for cited in cell.split('`').skip(1).step_by(2).filter(|cited| cited.contains("::") || cited.starts_with('…')) {
            match cites(cited, functions).as_slice() {
                [] => found.push(format!("there is no {cited}")),
                all if all.iter().all(|one| one.ignored) && !cell.contains("by hand") => found.push(format!("{cited} is not run")),
                _ => {}
            }
        }
    }
    found
}

/// The functions that a citation means: of a module all of them, and with `…` for what is left out all that fit.
fn cites<'f>(cited: &str, functions: &'f [Function]) -> Vec<&'f Function> {
    let mut steps = cited.trim_end_matches("::").rsplit("::").filter(|step| *step != "…");
    let last = steps.next().unwrap_or_default();
    let lies_in = |one: &Function, module: &str| one.file.with_extension("").iter().any(|step| step == module);
    let fits = |one: &Function| match last.split_once('…') {
        Some((begin, end)) => one.name.starts_with(begin) && one.name.ends_with(end),
        None => one.name == last,
    };
    let module = steps.find(|step| *step != "tests");
    functions.iter().filter(|one| lies_in(one, last) || (fits(one) && module.is_none_or(|module| lies_in(one, module)))).collect()
}

#[test]
fn every_test_that_the_page_on_faults_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    ["src", "tests", "e2e/tests", "webhook-certs/src"].iter().for_each(|folder| functions(&root.join(folder), &mut found));
    let page = fs::read_to_string(root.join("docs/faults.md")).unwrap();
    assert!(page.matches("::").count() > 50, "it cites tests");
    assert_eq!(problems(&page, &found), Vec::<String>::new());
}

#[test]
fn a_citation_without_its_test_is_found() {
    let source = "    async fn a_fault_does_no_harm() {}\n#[test]\n#[ignore = \"long\"]\nfn another() {}\n// the fn of a comment\n";
    let functions = of_source(Path::new("src/pilot/tests/faults.rs"), source);
    assert_eq!(functions.len(), 2);
    let wrong = |cell: &str| problems(&format!("| fault | seen | {cell} |"), &functions);
    for right in [
        "`pilot::tests::faults::a_fault_does_no_harm`",
        "`pilot::tests::faults::a_fault_…`",
        "`pilot::tests::faults`",
        "by hand `faults::another`",
    ] {
        assert_eq!(wrong(right), Vec::<String>::new(), "{right}");
    }
    for bad in ["`pilot::tests::faults::nothing`", "`pilot::tests::storms::a_fault_does_no_harm`", "`faults::another`", "`pilot::storms`"] {
        assert_eq!(wrong(bad).len(), 1, "{bad}");
    }
}
