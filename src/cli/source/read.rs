//! From text to trees.

use std::collections::HashMap;

use granit_parser::{Event, Marker, Parser, ScanError, Span, StrInput, Tag};

use super::{Content, Field, MOST_NODES, Node, Place, scalar};

/// Something that is wrong with the text itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct TextProblem {
    pub(in crate::cli) message: String,
    pub(in crate::cli) place: Place,
    /// A key occurs twice, so the document can be read, but not as it is written.
    pub(in crate::cli) duplicate: bool,
}

/// Reads all documents of a text. One that can't be read is left out and named in the second value; those behind it are read.
pub(in crate::cli) fn read(text: &str) -> (Vec<Node>, Vec<TextProblem>) {
    let options = granit_parser::options! { emit_comments: false };
    let parser = Parser::new_from_str_with_options(text, options);
    let mut reader = Reader { parser, anchors: HashMap::new(), nodes: 0, problems: Vec::new() };
    let mut documents = Vec::new();
    while let Some(next) = reader.parser.next_event() {
        let read = match next {
            Ok((Event::DocumentStart(..), _)) => {
                reader.anchors.clear();
                continue;
            }
            Ok((Event::StreamStart | Event::StreamEnd | Event::DocumentEnd, _)) => continue,
            Ok((event, span)) => reader.node(event, span),
            Err(error) => Err(Fault::from(error)),
        };
        match read {
            Ok(node) => documents.push(node),
            Err(Fault(problem)) => {
                reader.problems.push(problem);
                // What is too much stays too much: the documents behind it would be told of one by one.
                if reader.nodes > MOST_NODES || !matches!(reader.parser.proceed_next_document(), Ok(true)) {
                    break;
                }
            }
        }
    }
    (documents, reader.problems)
}

struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    /// Values that aliases of this document may stand for.
    anchors: HashMap<usize, Node>,
    /// How many values there are so far.
    nodes: usize,
    problems: Vec<TextProblem>,
}

/// Why a document can't be read.
struct Fault(TextProblem);

// === impl Reader ===

impl<'t> Reader<'t> {
    /// The value that begins with this event.
    fn node(&mut self, event: Event<'t>, span: Span) -> Result<Node, Fault> {
        let place = place(&span);
        self.count(1, place)?;
        let (anchor, content) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar::resolve(&text, style, tag.as_deref()).map_err(|message| Fault::new(message, place))?;
                (anchor, Content::Scalar(value))
            }
            Event::SequenceStart(_, anchor, _) => (anchor, Content::List(self.list()?)),
            Event::MappingStart(_, anchor, _) => (anchor, Content::Map(self.map()?)),
            Event::Alias(anchor) => return self.alias(anchor, place),
            other => return Err(Fault::new(format!("expected a value, not {other:?}"), place)),
        };
        let node = Node::new(place, content);
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Result<Node, Fault> {
        let Some(size) = self.anchors.get(&anchor).map(|node| node.size) else {
            return Err(Fault::new("this alias stands inside the value that it stands for".to_owned(), place));
        };
        self.count(size, place)?;
        let node = self.anchors.get(&anchor).cloned().unwrap_or_else(|| Node::new(place, Content::Scalar(serde_json::Value::Null)));
        Ok(Node { place, ..node })
    }

    fn list(&mut self) -> Result<Vec<Node>, Fault> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, span) => items.push(self.node(event, span)?),
            }
        }
    }

    fn map(&mut self) -> Result<Vec<Field>, Fault> {
        let mut fields: Vec<Field> = Vec::new();
        let mut positions: HashMap<String, usize> = HashMap::new();
        let mut merged = Vec::new();
        loop {
            let (event, span) = self.next()?;
            let place = place(&span);
            let name = match &event {
                Event::MappingEnd => break,
                Event::Scalar(text, style, _, tag) => {
                    let is_merge = text == "<<" && *style == granit_parser::ScalarStyle::Plain && tag.is_none();
                    if is_merge {
                        let (event, span) = self.next()?;
                        merged.push(self.node(event, span)?);
                        continue;
                    }
                    self.key(text, *style, tag.as_deref(), place)?
                }
                _ => return Err(Fault::new("a key must be a text, not a list or an object".to_owned(), place)),
            };
            let (event, span) = self.next()?;
            let value = self.node(event, span)?;
            let field = Field { name, place, value };
            match positions.get(&field.name) {
                Some(&position) => {
                    let first = fields[position].place.line;
                    let message = format!("the key \"{}\" occurs twice, first in line {first}", field.name);
                    self.problems.push(TextProblem { message, place, duplicate: true });
                    fields[position] = field;
                }
                None => {
                    positions.insert(field.name.clone(), fields.len());
                    fields.push(field);
                }
            }
        }
        for node in merged {
            merge(&mut fields, node)?;
        }
        Ok(fields)
    }

    fn key(&mut self, text: &str, style: granit_parser::ScalarStyle, tag: Option<&Tag>, place: Place) -> Result<String, Fault> {
        scalar::key(text, style, tag).map_err(|message| Fault::new(message, place))
    }

    fn next(&mut self) -> Result<(Event<'t>, Span), Fault> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(Fault::from(error)),
            None => Err(Fault::new("the text ends too early".to_owned(), Place::default())),
        }
    }

    /// Counts values, and refuses more than there may be.
    fn count(&mut self, more: usize, place: Place) -> Result<(), Fault> {
        self.nodes = self.nodes.saturating_add(more);
        if self.nodes > MOST_NODES {
            return Err(Fault::new(format!("the file has more than {MOST_NODES} values, aliases replaced: split it"), place));
        }
        Ok(())
    }
}

/// Adds what a merge key `<<` brings: fields that are not there yet.
fn merge(fields: &mut Vec<Field>, node: Node) -> Result<(), Fault> {
    match node.content {
        Content::Map(more) => {
            for field in more {
                if fields.iter().all(|known| known.name != field.name) {
                    fields.push(field);
                }
            }
            Ok(())
        }
        Content::List(items) if items.iter().all(|item| matches!(item.content, Content::Map(_))) => {
            items.into_iter().try_for_each(|item| merge(fields, item))
        }
        _ => Err(Fault::new("the merge key << needs an object, or a list of objects".to_owned(), node.place)),
    }
}

/// The place of an event.
fn place(span: &Span) -> Place {
    let start = span.start.byte_offset().unwrap_or_default();
    let end = span.end.byte_offset().unwrap_or_default().max(start);
    Place { end, ..point(&span.start) }
}

fn point(mark: &Marker) -> Place {
    let start = mark.byte_offset().unwrap_or_default();
    Place { line: mark.line(), column: mark.col() + 1, start, end: start }
}

// === impl Fault ===

impl Fault {
    fn new(message: String, place: Place) -> Self {
        Self(TextProblem { message, place, duplicate: false })
    }
}

impl From<ScanError> for Fault {
    fn from(error: ScanError) -> Self {
        let message = error.info().lines().next().unwrap_or("no YAML").to_owned();
        Self::new(message, point(error.marker()))
    }
}
