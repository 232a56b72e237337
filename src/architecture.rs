//! The layer table of lib.rs, checked against the source on every test run; and what the supervisor may stand on.
//!
//! The checks read text, line by line: cheap, and strict enough because the forms that would dodge them (`crate::{…}`,
//! `super::super`) are refused too. Code under `#[cfg(test)]` obeys the same rules, but may use `crate::testing`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// One row of the table: a module, the earlier rows that it may name, and the crates that it never names.
struct Layer {
    module: &'static str,
    may_use: &'static [&'static str],
    never: &'static [&'static str],
}

/// Crates that only some rows may know. `k8s_openapi` and `kube` are Kubernetes, `prost`, `tonic` and `envoy_api` are Envoy.
const LAYERS: &[Layer] = &[
    Layer { module: "model", may_use: &[], never: &["kube", "k8s_openapi", "prost", "tonic", "tokio", "ferromesh_crds", "envoy_api"] },
    Layer { module: "config", may_use: &["model"], never: &["tokio", "tonic", "envoy_api"] },
    Layer { module: "runtime", may_use: &["model"], never: &["ferromesh_crds", "envoy_api"] },
    Layer { module: "mcp", may_use: &["model", "runtime"], never: &["kube", "k8s_openapi"] },
    Layer { module: "compile", may_use: &["model"], never: &["kube", "k8s_openapi", "ferromesh_crds", "tokio"] },
    Layer { module: "simulate", may_use: &["model", "compile"], never: &["kube", "k8s_openapi", "ferromesh_crds", "tokio"] },
    Layer { module: "analysis", may_use: &["model", "config"], never: &["tokio", "tonic", "envoy_api", "kube"] },
    Layer { module: "index", may_use: &["model", "config", "runtime", "mcp"], never: &["envoy_api", "tonic"] },
    Layer { module: "pilot", may_use: &["model", "config", "runtime", "compile", "index"], never: &[] },
    Layer { module: "citadel", may_use: &["model", "runtime"], never: &["ferromesh_crds", "envoy_api"] },
    Layer { module: "galley", may_use: &["model", "config", "runtime", "mcp", "compile", "analysis", "index"], never: &[] },
    Layer { module: "injector", may_use: &["model", "config", "runtime"], never: &["envoy_api"] },
    Layer { module: "operator", may_use: &["model", "config", "runtime", "injector"], never: &["envoy_api"] },
    Layer { module: "agent", may_use: &["model", "runtime"], never: &["kube", "ferromesh_crds"] },
    Layer { module: "cni", may_use: &["model", "runtime"], never: &["ferromesh_crds", "envoy_api"] },
    Layer {
        module: "cli",
        may_use: &["model", "config", "runtime", "compile", "simulate", "analysis", "index", "galley", "injector", "operator", "agent"],
        never: &[],
    },
    Layer {
        module: "app",
        may_use: &[
            "model", "config", "runtime", "mcp", "compile", "simulate", "analysis", "index", "pilot", "citadel", "galley", "injector",
            "operator", "agent", "cni", "cli",
        ],
        never: &[],
    },
];

/// Modules of tests, outside of the table.
const TEST_MODULES: &[&str] = &["architecture", "dataplane", "testing"];

#[test]
fn the_source_obeys_the_layer_table() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut problems = Vec::new();
    for layer in LAYERS {
        for file in rust_files(&src.join(layer.module)) {
            let shown = file.strip_prefix(&src).unwrap_or(&file).display().to_string();
            problems.extend(broken_layers(layer, &shown, &fs::read_to_string(&file).unwrap()));
        }
    }
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn every_file_is_a_module_of_its_parent() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let sources: BTreeMap<PathBuf, String> = rust_files(&src)
        .into_iter()
        .filter(|file| !file.starts_with(src.join("bin")))
        .map(|file| (file.strip_prefix(&src).unwrap().to_owned(), fs::read_to_string(&file).unwrap()))
        .collect();
    let problems = orphans(&sources);
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn lib_rs_is_a_map_and_nothing_else() {
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    assert_eq!(more_than_a_map(&lib), Vec::<String>::new());
    for (place, layer) in LAYERS.iter().enumerate() {
        assert!(lib.contains(&format!("pub mod {};", layer.module)), "src/lib.rs does not declare {}", layer.module);
        assert_eq!(row_of(&lib, layer.module), Some(shown_as(layer, place)), "the row of {} in src/lib.rs", layer.module);
    }
}

/// What process 1 of each pod may not stand on: what runs tasks, speaks to a network, encrypts, and whatever reads large texts.
const NEVER_IN_SUPERVISOR: &[&str] =
    &["anyhow", "aws-lc-rs", "clap", "ferromesh", "futures", "h2", "hyper", "mio", "prost", "rustls", "serde-saphyr", "tokio", "tonic"];

#[test]
fn the_supervisor_stands_on_little() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lock = fs::read_to_string(root.join("Cargo.lock")).unwrap();
    assert_eq!(stands_on(&lock, "ferromesh-supervisor", NEVER_IN_SUPERVISOR), Vec::<String>::new());
    // Its program is linked in this package, so that it lies beside the agent's, and with nothing of the library.
    let program = fs::read_to_string(root.join("src/bin/ferromesh-supervisor.rs")).unwrap();
    let paths: Vec<&str> = program.lines().filter_map(|line| line.split("::").next().map(str::trim)).collect();
    assert!(paths.contains(&"ferromesh_supervisor") && !program.lines().any(|line| names_crate(line, "ferromesh")), "{program}");
}

/// How a package comes to stand on others that it may not, by Cargo.lock.
fn stands_on(lock: &str, package: &str, never: &[&str]) -> Vec<String> {
    let blocks = lock.split("[[package]]").filter_map(|block| {
        let quoted = |line: &str| line.split('"').nth(1).map(str::to_owned);
        let name = quoted(block.lines().find(|line| line.starts_with("name = "))?)?;
        // A dependency's version follows its name where there are several.
        let first_word = |line: &str| quoted(line)?.split(' ').next().map(str::to_owned);
        Some((name, block.lines().filter(|line| line.starts_with(" \"")).filter_map(first_word).collect::<Vec<_>>()))
    });
    let mut dependencies: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, of_one_version) in blocks {
        dependencies.entry(name).or_default().extend(of_one_version);
    }
    let mut seen = vec![(package.to_owned(), package.to_owned())];
    let mut next = 0;
    while let Some((name, way)) = seen.get(next).cloned() {
        next += 1;
        for dependency in dependencies.get(&name).into_iter().flatten() {
            if !seen.iter().any(|(known, _)| known == dependency) {
                seen.push((dependency.clone(), format!("{way} → {dependency}")));
            }
        }
    }
    seen.into_iter().filter(|(name, _)| never.contains(&name.as_str())).map(|(_, way)| way).collect()
}

/// What lib.rs says that a row may name: the last cell of its line.
fn row_of(lib: &str, module: &str) -> Option<String> {
    let line = lib.lines().find(|line| line.starts_with(&format!("//! | [`{module}`]")))?;
    line.trim_end_matches(['|', ' ']).rsplit('|').next().map(|cell| cell.trim().to_owned())
}

/// How lib.rs writes what the row at that place may name.
fn shown_as(layer: &Layer, place: usize) -> String {
    match layer.may_use {
        [] => "–".to_owned(),
        // Only the last row is worth the short form.
        all if place + 1 == LAYERS.len() && all.len() == place => "all above".to_owned(),
        some => some.join(", "),
    }
}

/// What a file of `layer` names that it may not.
fn broken_layers(layer: &Layer, file: &str, source: &str) -> Vec<String> {
    let allowed = if layer.may_use.is_empty() { "nothing".to_owned() } else { layer.may_use.join(", ") };
    let mut problems = Vec::new();
    for (number, line) in source.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        let at = format!("src/{file}:{}", number + 1);
        if code.contains("crate::{") {
            problems
                .push(format!("{at} imports from crate::{{…}}: write one `use crate::MODULE::…` a module, so that this test can read it"));
        }
        if code.contains("super::super") {
            problems.push(format!("{at} climbs with super::super: name the module from crate::"));
        }
        for module in paths_after(code, "crate::") {
            let known = module == layer.module || layer.may_use.contains(&module) || TEST_MODULES.contains(&module);
            if !known {
                problems.push(format!("{at} uses crate::{module}; {} may use {allowed}", layer.module));
            }
        }
        for banned in layer.never {
            if names_crate(code, banned) {
                problems.push(format!("{at} names the crate {banned}; {} never does", layer.module));
            }
        }
    }
    problems
}

/// The identifiers that directly follow `prefix` in a line.
fn paths_after<'a>(code: &'a str, prefix: &str) -> Vec<&'a str> {
    let identifier = |rest: &'a str| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
    code.match_indices(prefix)
        .filter(|(at, _)| !code[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$'))
        .map(|(at, _)| identifier(&code[at + prefix.len()..]))
        .filter(|name| !name.is_empty())
        .collect()
}

/// Whether a line names a crate: as the start of a path, or in a `use`.
fn names_crate(code: &str, name: &str) -> bool {
    let starts_a_path = code
        .match_indices(&format!("{name}::"))
        .any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'));
    starts_a_path || code.trim() == format!("use {name};")
}

/// Files that no `mod` line of their parent declares: code that compiles nowhere.
fn orphans(sources: &BTreeMap<PathBuf, String>) -> Vec<String> {
    let mut problems = Vec::new();
    for file in sources.keys() {
        let Some(parent) = parent_of(file) else { continue };
        let name = match file.file_stem().and_then(|s| s.to_str()) {
            Some("mod") => file.parent().and_then(Path::file_name).and_then(|s| s.to_str()),
            stem => stem,
        };
        let declared = name.zip(sources.get(&parent)).is_some_and(|(name, source)| {
            source.lines().any(|line| line.trim_start_matches("pub ").trim_start_matches("pub(crate) ").trim() == format!("mod {name};"))
        });
        if !declared {
            problems.push(format!("src/{} is no module: add `mod` to src/{} or delete it", file.display(), parent.display()));
        }
    }
    problems
}

/// The file that has to declare `file`; `None` for the crate's root.
fn parent_of(file: &Path) -> Option<PathBuf> {
    if file == Path::new("lib.rs") {
        return None;
    }
    let folder = file.parent()?;
    let owner = if file.file_name()? == "mod.rs" { folder.parent()? } else { folder };
    Some(if owner == Path::new("") { PathBuf::from("lib.rs") } else { owner.join("mod.rs") })
}

/// Lines of lib.rs that are neither documentation nor `mod`.
fn more_than_a_map(lib: &str) -> Vec<String> {
    let is_map = |line: &str| {
        line.is_empty() || line.starts_with("//!") || line == "#[cfg(test)]" || line.starts_with("pub mod ") || line.starts_with("mod ")
    };
    lib.lines().filter(|line| !is_map(line)).map(str::to_owned).collect()
}

/// All `.rs` files below a folder, sorted.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

// The rules themselves, each shown to fire.

fn compile_layer() -> &'static Layer {
    LAYERS.iter().find(|l| l.module == "compile").unwrap()
}

#[test]
fn naming_a_later_row_is_refused_and_the_message_teaches() {
    let problems = broken_layers(compile_layer(), "compile/lds.rs", "use std::fmt;\nuse crate::pilot::Session;");
    assert_eq!(problems, ["src/compile/lds.rs:2 uses crate::pilot; compile may use model"]);
}

#[test]
fn naming_an_allowed_row_itself_or_a_test_helper_is_fine() {
    let source = "use crate::model::Snapshot;\nuse crate::compile::naming;\nuse crate::testing::services; // crate::pilot";
    assert_eq!(broken_layers(compile_layer(), "compile/lds.rs", source), Vec::<String>::new());
}

#[test]
fn dodges_are_refused() {
    assert_eq!(broken_layers(compile_layer(), "compile/a.rs", "use crate::{pilot, model};").len(), 1);
    assert_eq!(broken_layers(compile_layer(), "compile/a.rs", "use super::super::pilot;").len(), 1);
}

#[test]
fn banned_crates_are_found_in_paths_and_imports_but_not_in_longer_names() {
    let problems = |code: &str| broken_layers(compile_layer(), "compile/a.rs", code).len();
    assert_eq!(problems("let client: kube::Client = x;"), 1);
    assert_eq!(problems("use tokio;"), 1);
    assert_eq!(problems("use kube_like::X; // kube::Client"), 0);
}

#[test]
fn an_undeclared_file_is_found() {
    let source = |text: &str| text.to_owned();
    let sources = BTreeMap::from([
        (PathBuf::from("lib.rs"), source("pub mod model;")),
        (PathBuf::from("model/mod.rs"), source("mod name;")),
        (PathBuf::from("model/name.rs"), source("")),
        (PathBuf::from("model/lost.rs"), source("")),
    ]);
    assert_eq!(orphans(&sources), ["src/model/lost.rs is no module: add `mod` to src/model/mod.rs or delete it"]);
}

#[test]
fn code_in_lib_rs_is_found() {
    assert_eq!(more_than_a_map("//! docs\n\npub mod model;\npub fn main() {}"), ["pub fn main() {}"]);
}

#[test]
fn what_a_package_stands_on_is_found_with_the_way_that_leads_there() {
    let lock = "[[package]]\nname = \"small\"\ndependencies = [\n \"nix 0.31.3\",\n \"log\",\n]\n\n\
                [[package]]\nname = \"log\"\ndependencies = [\n \"tokio\",\n]\n\n[[package]]\nname = \"tokio\"\n";
    assert_eq!(stands_on(lock, "small", &["tokio", "rustls"]), ["small → log → tokio"]);
    assert_eq!(stands_on(lock, "nix", &["tokio"]), Vec::<String>::new());
}
