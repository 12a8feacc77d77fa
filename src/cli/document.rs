//! Messages that are read from files, in JSON or YAML.

use std::path::Path;

use prost::{Message, Name};
use serde_json::Value;

use super::failure::Failure;
use super::{json, secret};

/// Reads a message from a file, `-`: standard input. It may be another file than was meant:
/// errors quote no value of it.
pub(super) fn message<T: Message + Name + Default>(path: &Path) -> Result<T, Failure> {
    let wrong = |error: &str| Failure::Usage(format!("{}: {error}", path.display()));
    let text = secret::text(&secret::read(Some(path))?)?;
    let value = parse(&text).map_err(|error| wrong(&error))?;
    if !value.is_object() {
        return Err(wrong("it is not an object with fields, as `get` prints it"));
    }
    let values = values(&value);
    json::to(value).map_err(|failure| match failure {
        Failure::Usage(error) => {
            let is_quoted = values.iter().any(|value| {
                // A short one may be a part of another word.
                let quoted = ['"', '\'', '`'].map(|mark| format!("{mark}{value}{mark}"));
                quoted.iter().any(|quoted| error.contains(quoted))
                    || value.len() > 8 && error.contains(value)
            });
            wrong(if is_quoted {
                "a value is not of its field's type"
            } else {
                &error
            })
        }
        other => other,
    })
}

/// The texts in a value, as errors quote them.
fn values(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![format!("{text:?}").trim_matches('"').to_owned()],
        Value::Array(items) => items.iter().flat_map(values).collect(),
        Value::Object(fields) => fields.values().flat_map(values).collect(),
        _ => Vec::new(),
    }
}

/// Reads a list of messages, with secrets in them: errors quote nothing.
pub(super) fn secret_messages<T: Message + Name + Default>(
    path: &Path,
    what: &str,
) -> Result<Vec<T>, Failure> {
    let wrong =
        |place: String| Failure::Usage(format!("{}: {place} is not {what}", path.display()));
    let text = secret::text(&secret::read_unseen(path)?)?;
    let value = parse(&text).map_err(|_| wrong("it".to_owned()))?;
    let Value::Array(items) = value else {
        return Err(wrong("it".to_owned()));
    };
    let numbered = items.into_iter().enumerate();
    let read = numbered.map(|(at, item)| {
        json::to(item).map_err(|_| wrong(format!("number {} of the list", at + 1)))
    });
    read.collect()
}

/// JSON is YAML; but errors in it are better told by who reads JSON. They quote nothing.
fn parse(text: &str) -> Result<Value, String> {
    match text.trim_start().chars().next() {
        Some('{' | '[') => serde_json::from_str(text).map_err(|error| error.to_string()),
        _ => serde_saphyr::from_str(text).map_err(|error| match error.location() {
            Some(at) => format!(
                "it is not YAML, from line {} column {} on",
                at.line(),
                at.column()
            ),
            None => "it is neither JSON nor YAML".to_owned(),
        }),
    }
}
