//! The reference's verdicts, and our own corpus, through a real API server and through `ferromesh validate`.
//!
//! `make conformance` runs this and shows the table.

use anyhow::Context;
use ferromesh_crds::catalog;
use ferromesh_e2e::{Layer, Test, Verdict, own, run, shared};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::{Path, PathBuf},
};

/// How many verdicts may differ from the reference's, each explained in docs/compatibility.md.
const DIFFERENCES: usize = 3;
/// Kinds of which no verdict may differ.
const EXACT: [&str; 3] = ["VirtualService", "DestinationRule", "Gateway"];
/// How many objects are judged at once.
const AT_ONCE: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn verdicts_are_the_reference_s() {
    run("verdicts_are_the_reference_s", async |test| {
        let table = judge(test, &corpus(&shared("conformance/validation")?)?).await?;
        println!("\nthe reference's objects:\n{table}");
        let differing = table.differing();
        let explained = fs::read_to_string(own("docs/compatibility.md"))?;
        let silent: Vec<_> = differing.iter().filter(|(name, _)| !explained.contains(name.as_str())).collect();
        anyhow::ensure!(silent.is_empty(), "docs/compatibility.md does not explain {silent:?}");
        anyhow::ensure!(differing.len() <= DIFFERENCES, "more than {DIFFERENCES} verdicts differ: {differing:?}");
        let exact: Vec<_> = differing.iter().filter(|(_, kind)| EXACT.contains(&kind.as_str())).collect();
        anyhow::ensure!(exact.is_empty(), "verdicts that must not differ: {exact:?}");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn verdicts_on_the_own_corpus_are_as_written() {
    run("verdicts_on_the_own_corpus_are_as_written", async |test| {
        let table = judge(test, &corpus(&own("conformance"))?).await?;
        println!("\nour own objects:\n{table}");
        anyhow::ensure!(table.differing().is_empty(), "verdicts differ: {:?}", table.differing());
        for kind in EXACT {
            let row = table.0.get(kind).with_context(|| format!("no object of kind {kind}"))?;
            anyhow::ensure!(
                row.refusals >= 40 && row.acceptances >= 20,
                "{kind}: {} refusals, {} acceptances",
                row.refusals,
                row.acceptances
            );
        }
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn configuration_that_users_have_is_accepted() {
    run("configuration_that_users_have_is_accepted", async |test| {
        let namespace = test.namespace().await?;
        let mut judged = 0;
        for file in yaml_files(&shared("samples")?)? {
            let objects: Vec<Value> = serde_saphyr::from_multiple(&fs::read_to_string(&file)?)?;
            for object in objects.iter().filter(|object| is_ours(object)) {
                let verdict = Verdict::of_api_server(&test.cluster, &namespace, object).await?;
                anyhow::ensure!(verdict.accepts(), "{}: {verdict:?}", file.display());
                judged += 1;
            }
        }
        anyhow::ensure!(judged >= 30, "only {judged} objects found");
        Ok(())
    })
    .await;
}

/// An object, and whether it is to be accepted.
struct Case {
    file: PathBuf,
    kind: String,
    object: Value,
    accept: bool,
}

/// The verdicts, kind by kind.
#[derive(Default)]
struct Table(BTreeMap<String, Row>);

/// The verdicts on the objects of one kind.
#[derive(Default)]
struct Row {
    acceptances: usize,
    refusals: usize,
    /// Who refused what is to be refused.
    layers: BTreeMap<Layer, usize>,
    /// Objects on which the API server, or the command line, has another verdict, with what was said.
    differing: BTreeMap<String, String>,
}

/// The objects below `accept` and `reject` of a folder.
fn corpus(folder: &Path) -> anyhow::Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (verdict, accept) in [("accept", true), ("reject", false)] {
        for file in yaml_files(&folder.join(verdict))? {
            let text = fs::read_to_string(&file)?;
            let object: Value = serde_saphyr::from_str(&text).with_context(|| file.display().to_string())?;
            let kind = object["kind"].as_str().unwrap_or_default().to_owned();
            cases.push(Case { file, kind, object, accept });
        }
    }
    Ok(cases)
}

fn yaml_files(folder: &Path) -> anyhow::Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(yaml_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            found.insert(path);
        }
    }
    Ok(found)
}

fn is_ours(object: &Value) -> bool {
    let group = object["apiVersion"].as_str().and_then(|version| version.split_once('/')).map(|(group, _)| group);
    catalog::kinds().iter().any(|kind| Some(kind.group) == group)
}

async fn judge(test: &Test, cases: &[Case]) -> anyhow::Result<Table> {
    let namespace = test.namespace().await?;
    let judged = stream::iter(cases)
        .map(async |case| {
            let server = Verdict::of_api_server(&test.cluster, &namespace, &case.object).await?;
            let offline = Verdict::of_command_line(&case.file, &case.object).await?;
            anyhow::Ok((case, server, offline))
        })
        .buffered(AT_ONCE);
    let judged: Vec<_> = judged.try_collect().await?;
    let mut table = Table::default();
    for (case, server, offline) in judged {
        table.0.entry(case.kind.clone()).or_default().note(case, server, offline);
    }
    Ok(table)
}

// === impl Table ===

impl Table {
    /// The names of the objects with other verdicts, and their kinds.
    fn differing(&self) -> BTreeSet<(String, String)> {
        self.0.iter().flat_map(|(kind, row)| row.differing.keys().map(move |name| (name.clone(), kind.clone()))).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LAYERS: [Layer; 4] = [Layer::Decoding, Layer::Schema, Layer::Cel, Layer::Webhook];
        write!(f, "{:<24}{:>8}{:>8}", "KIND", "ACCEPT", "REJECT")?;
        for layer in LAYERS {
            write!(f, "{layer:>10}")?;
        }
        writeln!(f, "  DIFFER")?;
        for (kind, row) in &self.0 {
            write!(f, "{kind:<24}{:>8}{:>8}", row.acceptances, row.refusals)?;
            for layer in LAYERS {
                write!(f, "{:>10}", row.layers.get(&layer).copied().unwrap_or_default())?;
            }
            writeln!(f, "  {:>6}", row.differing.len())?;
        }
        for (name, said) in self.0.values().flat_map(|row| &row.differing) {
            writeln!(f, "  {name}: {said}")?;
        }
        Ok(())
    }
}

// === impl Row ===

impl Row {
    fn note(&mut self, case: &Case, server: Verdict, offline: Verdict) {
        match case.accept {
            true => self.acceptances += 1,
            false => self.refusals += 1,
        }
        let name = case.file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for (who, verdict) in [("API server", &server), ("ferromesh validate", &offline)] {
            if verdict.accepts() != case.accept {
                let said = match verdict {
                    Verdict::Accepted => "accepts it".to_owned(),
                    Verdict::Refused(layer, reason) => format!("refuses it ({layer}): {reason}"),
                };
                self.differing.entry(name.clone()).or_default().push_str(&format!("{who} {said}; "));
            }
        }
        if let (Verdict::Refused(layer, _), false) = (server, case.accept) {
            *self.layers.entry(layer).or_default() += 1;
        }
    }
}
