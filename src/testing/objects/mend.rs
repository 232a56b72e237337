//! From objects that are refused to ones that are accepted: a schema does not say all that a reader asks for, but the reader does.

use ferromesh_crds::catalog::Kind;
use serde_json::{Map, Value};

use super::Choices;
use super::generate::Generator;
use crate::config::{Code, ParseContext, Problem, parse_object};

/// How often an object is mended before it is left as it is.
const ROUNDS: usize = 10;

/// A step from a value to one inside it.
#[derive(Clone, Debug)]
enum Step {
    Field(String),
    Index(usize),
}

/// The object, changed where it is refused (what is complained of is left out or made again) until it is accepted, if it ever is.
pub(crate) fn mended(kind: &Kind, mut object: Value, choices: &mut Choices<'_>) -> Value {
    for round in 0..ROUNDS {
        let Err(invalid) = parse_object(kind.group, kind.name, &object, &ParseContext::default()) else { break };
        // Backwards, so that what is taken out of a list moves none of those that are still to come.
        for problem in invalid.errors.iter().rev() {
            mend(kind.schema(), &mut object, problem, round, choices);
        }
    }
    object
}

fn mend(schema: &Value, object: &mut Value, problem: &Problem, round: usize, choices: &mut Choices<'_>) {
    let (mut steps, rest) = located(object, &problem.path);
    let missing = rest.trim_start_matches('.').split(['.', '[']).next().unwrap_or_default();
    let (part, name) = followed(schema, &steps);
    if !missing.is_empty() && part["properties"][missing].is_object() {
        let made = Generator::new(choices, 0).value(&part["properties"][missing], missing, steps.len() + 1);
        if let Some(Value::Object(fields)) = at(object, &steps) {
            fields.insert(missing.to_owned(), made);
        }
        return;
    }
    let properties: Vec<&String> = part["properties"].as_object().into_iter().flat_map(Map::keys).collect();
    if problem.code == Code::Required && !properties.is_empty() {
        let field = properties[(choices.below(properties.len()) + round) % properties.len()];
        let made = Generator::new(choices, 0).value(&part["properties"][field], field, steps.len() + 1);
        if let Some(Value::Object(fields)) = at(object, &steps) {
            fields.insert(field.clone(), made);
        }
        return;
    }
    // What can't be mended where it stands is mended around there.
    steps.truncate(steps.len().saturating_sub(round / 4));
    if steps.len() < 2 || choices.chance(100) {
        let steps = if steps.is_empty() { vec![Step::Field("spec".to_owned())] } else { steps };
        let (part, _) = followed(schema, &steps);
        let made = Generator::new(choices, 0).value(part, &name, steps.len() + 2);
        if let Some(place) = at(object, &steps) {
            *place = made;
        }
        return;
    }
    match (at(object, &steps[..steps.len() - 1]), steps.last()) {
        (Some(Value::Object(fields)), Some(Step::Field(field))) => _ = fields.remove(field),
        (Some(Value::Array(items)), Some(Step::Index(index))) if *index < items.len() => _ = items.remove(*index),
        _ => {}
    }
}

/// How far into the object a path leads, and the rest of the path. Names may hold dots and brackets, so the longest one that fits wins.
fn located<'p>(object: &Value, path: &'p str) -> (Vec<Step>, &'p str) {
    let (mut place, mut rest, mut steps) = (object, path, Vec::new());
    loop {
        match place {
            Value::Object(fields) => {
                let keyed = |name: &str| rest.strip_prefix('[')?.strip_prefix(name)?.strip_prefix(']');
                let dotted = |name: &str| rest.strip_prefix('.').unwrap_or(rest).strip_prefix(name);
                let ends = |rest: &&str| rest.is_empty() || rest.starts_with(['.', '[']);
                let fitting = fields.iter().filter(|(name, _)| !name.is_empty());
                let fitting = fitting.filter_map(|(name, value)| Some((name, value, keyed(name).or(dotted(name)).filter(ends)?)));
                let Some((name, value, after)) = fitting.max_by_key(|(name, ..)| name.len()) else { return (steps, rest) };
                steps.push(Step::Field(name.clone()));
                (place, rest) = (value, after);
            }
            Value::Array(items) => {
                let found = rest.strip_prefix('[').and_then(|inner| inner.split_once(']'));
                let found = found.and_then(|(index, after)| index.parse::<usize>().ok().map(|index| (index, after)));
                let Some((index, after)) = found.filter(|(index, _)| *index < items.len()) else { return (steps, rest) };
                steps.push(Step::Index(index));
                (place, rest) = (&items[index], after);
            }
            _ => return (steps, rest),
        }
    }
}

/// The schema at the end of a path, and the name of the last field before it.
fn followed<'s>(mut schema: &'s Value, steps: &[Step]) -> (&'s Value, String) {
    let mut name = String::new();
    for step in steps {
        match step {
            Step::Field(field) => {
                schema = schema["properties"].get(field).unwrap_or(&schema["additionalProperties"]);
                name.clone_from(field);
            }
            Step::Index(_) => schema = &schema["items"],
        }
    }
    (schema, name)
}

fn at<'o>(mut object: &'o mut Value, steps: &[Step]) -> Option<&'o mut Value> {
    for step in steps {
        object = match step {
            Step::Field(field) => object.get_mut(field)?,
            Step::Index(index) => object.get_mut(index)?,
        };
    }
    Some(object)
}
