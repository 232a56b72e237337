//! Files of manifests, of which some objects are changed: those are written anew, everything else stays as it is written.

use serde_json::Value;

use crate::cli::{
    exit::{Exit, Failure},
    input::SourceText,
    source::{self, Content, Node},
    workload::WorkloadKind,
};

/// An object that is a pod, or makes some.
#[derive(Debug)]
pub(in crate::cli) struct Object<'v> {
    pub(in crate::cli) kind: &'static WorkloadKind,
    pub(in crate::cli) api_version: &'v str,
    pub(in crate::cli) name: &'v str,
    pub(in crate::cli) namespace: Option<&'v str>,
    /// The pod, or the template of one.
    pub(in crate::cli) template: &'v Value,
}

/// What becomes of an object.
pub(in crate::cli) enum Outcome {
    /// It stays as it is, perhaps with a word why.
    Left(Option<String>),
    /// This takes the place of its template.
    Changed(Box<Value>),
    /// It can't be changed.
    Refused(String),
}

/// Changes the objects of a file. What is to be told beside the result is added to `notes`.
///
/// # Errors
/// When the text is no YAML, or an object is refused: each with file and line.
pub(super) fn rewrite(
    text: &SourceText,
    change: &mut dyn FnMut(&Object<'_>) -> Outcome,
    notes: &mut Vec<String>,
) -> Result<String, Failure> {
    let mut walk = Walk { file: &text.name, line: 0, change, notes, failures: Vec::new() };
    let mut whole = String::with_capacity(text.text.len());
    for document in documents(&text.text) {
        whole.push_str(&walk.document(document));
        walk.line += document.lines().count();
    }
    Failure::all(walk.failures)?;
    Ok(whole)
}

struct Walk<'w> {
    file: &'w str,
    /// Lines before the document.
    line: usize,
    change: &'w mut dyn FnMut(&Object<'_>) -> Outcome,
    notes: &'w mut Vec<String>,
    failures: Vec<Failure>,
}

/// The texts of the documents, each with the marker before it. In YAML three dashes in a line's first columns are a marker wherever they
/// stand, in a text over several lines too.
fn documents(text: &str) -> Vec<&str> {
    let is_marker = |line: &str| line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
    let mut starts = vec![0];
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if at > 0 && is_marker(line) {
            starts.push(at);
        }
        at += line.len();
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts.iter().zip(ends).map(|(start, end)| &text[*start..end]).filter(|text| !text.is_empty()).collect()
}

// === impl Walk ===

impl Walk<'_> {
    fn document(&mut self, text: &str) -> String {
        // Comments and directives alone, which a reader would miss the document after.
        if text.lines().all(|line| line.trim().is_empty() || line.starts_with('#') || line.starts_with('%')) {
            return text.to_owned();
        }
        let (nodes, problems) = source::read(text);
        for problem in &problems {
            let (line, column) = (self.line + problem.place.line, problem.place.column);
            self.failures.push(Failure::new(Exit::Unreadable, format_args!("{}:{line}:{column}: {}", self.file, problem.message)));
        }
        let [node] = nodes.as_slice() else {
            // None, or several that end in dots: no manifest is written so.
            if nodes.len() > 1 {
                let first = self.line + 1;
                self.failures.push(Failure::new(Exit::Unreadable, format_args!("{}:{first}: write --- between documents", self.file)));
            }
            return text.to_owned();
        };
        let mut value = node.to_value();
        if !self.object(node, &mut value, ("", "")) {
            return text.to_owned();
        }
        let yaml = serde_saphyr::to_string(&value).unwrap_or_default();
        let lead = text[..node.place.start].trim_end_matches([' ', '\t']);
        let gap = if lead.is_empty() || lead.ends_with('\n') { "" } else { "\n" };
        format!("{lead}{gap}{}\n", yaml.trim_end())
    }

    /// Changes an object, or those of a list; whether any was. `of_list` is what the list says of its items.
    fn object(&mut self, node: &Node, value: &mut Value, of_list: (&str, &str)) -> bool {
        let said = |field: &str, otherwise: &str| value[field].as_str().unwrap_or(otherwise).to_owned();
        let (api_version, kind) = (said("apiVersion", of_list.0), said("kind", of_list.1));
        if let Some(item_kind) = kind.strip_suffix("List") {
            // Items of a `PodList` may leave out what the list says; a `List` says nothing of its items.
            let inherited = if item_kind.is_empty() { ("", "") } else { (api_version.as_str(), item_kind) };
            let nodes = match node.get("items").map(|items| &items.content) {
                Some(Content::List(nodes)) => nodes.as_slice(),
                _ => &[],
            };
            let items = match value.get_mut("items").and_then(Value::as_array_mut) {
                Some(items) => items.as_mut_slice(),
                None => &mut [],
            };
            return nodes.iter().zip(items).fold(false, |changed, (node, item)| self.object(node, item, inherited) | changed);
        }
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let Some(kind) = WorkloadKind::of_object(group, &kind) else { return false };
        let Some(template) = kind.template(value) else { return false };
        let metadata = &value["metadata"];
        let text = |field: &str| metadata[field].as_str();
        let (name, namespace) = (text("name").or(text("generateName")).unwrap_or_default(), text("namespace"));
        let outcome = (self.change)(&Object { kind, api_version: &api_version, name, namespace, template });
        let shown = format!("{}:{}: {} {name}", self.file, self.line + node.place.line, kind.name);
        match outcome {
            Outcome::Left(note) => {
                self.notes.extend(note.map(|note| format!("{shown}: {note}")));
                false
            }
            Outcome::Refused(reason) => {
                self.failures.push(Failure::new(Exit::Failed, format_args!("{shown}: {reason}")));
                false
            }
            Outcome::Changed(template) => {
                if let Some(slot) = kind.template_mut(value) {
                    *slot = *template;
                }
                true
            }
        }
    }
}
