//! What a MeshInstall's status says of changes that would be made.

use ferromesh_crds::install::{ChangeAction, FieldChange, Plan, PlannedChange};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;

use super::{difference::Difference, install::Preview, object::Key};

/// The most changes that are listed, and the most fields of one: a status has to fit into an object.
const CHANGES: usize = 250;
const FIELDS: usize = 50;
/// The longest text that is shown in full; of a longer one, such as a bundle of certificates, the beginning.
const TEXT: usize = 200;

/// The changes, as many as fit. The time is that of the first pass that came to the same.
pub(super) fn plan(preview: &Preview, generation: Option<i64>, previous: Option<&Plan>, now: &Time) -> Plan {
    let [create, update, delete] = counts(preview).map(|count| i64::try_from(count).ok());
    let mut plan = Plan {
        generation,
        time: previous.and_then(|previous| previous.time.clone()),
        create,
        update,
        delete,
        unchanged: i64::try_from(preview.unchanged).ok(),
        changes: preview.changes.iter().take(CHANGES).map(|(action, key, fields)| change(*action, key, fields)).collect(),
        truncated: Some(preview.changes.len() > CHANGES || preview.changes.iter().any(|(.., fields)| fields.len() > FIELDS))
            .filter(|cut| *cut),
    };
    if previous != Some(&plan) {
        plan.time = Some(now.clone());
    }
    plan
}

/// All of it in a line.
pub(super) fn summary(preview: &Preview) -> String {
    let ([create, update, delete], unchanged) = (counts(preview), preview.unchanged);
    format!("mode is Plan, nothing is done: {create} to create, {update} to change, {delete} to delete, {unchanged} as they are")
}

fn counts(preview: &Preview) -> [usize; 3] {
    [ChangeAction::Create, ChangeAction::Update, ChangeAction::Delete]
        .map(|wanted| preview.changes.iter().filter(|(action, ..)| *action == wanted).count())
}

fn change(action: ChangeAction, key: &Key, fields: &[Difference]) -> PlannedChange {
    let entry = key.inventory_entry();
    PlannedChange {
        action: Some(action),
        api_version: entry.api_version,
        kind: entry.kind,
        namespace: entry.namespace,
        name: entry.name,
        fields: fields.iter().take(FIELDS).map(field).collect(),
    }
}

fn field(Difference { path, from, to }: &Difference) -> FieldChange {
    FieldChange { path: path.clone(), from: from.as_ref().map(cut), to: to.as_ref().map(cut) }
}

/// A value whose texts are short.
fn cut(value: &Value) -> Value {
    match value {
        Value::String(text) => match text.char_indices().nth(TEXT) {
            Some((end, _)) => format!("{}… ({} characters)", &text[..end], text.chars().count()).into(),
            None => value.clone(),
        },
        Value::Array(items) => items.iter().map(cut).collect(),
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), cut(value))).collect::<serde_json::Map<_, _>>().into(),
        _ => value.clone(),
    }
}
