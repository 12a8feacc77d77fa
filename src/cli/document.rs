//! Messages that are read from files, in JSON or YAML.

use std::path::Path;

use prost::{Message, Name};
use serde_json::Value;
use zeroize::Zeroizing;

use super::failure::Failure;
use super::{json, secret};

/// Reads a file, `-`: standard input, whose text may be quoted by errors.
pub(super) fn read(path: &Path) -> Result<Value, Failure> {
    let text = text(path)?;
    parse(&text).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))
}

/// Reads a message from a file.
pub(super) fn message<T: Message + Name + Default>(path: &Path) -> Result<T, Failure> {
    json::to(read(path)?).map_err(|failure| match failure {
        Failure::Usage(error) => Failure::Usage(format!("{}: {error}", path.display())),
        other => other,
    })
}

/// Reads a list of messages, with secrets in them: errors quote nothing.
pub(super) fn secret_messages<T: Message + Name + Default>(
    path: &Path,
    what: &str,
) -> Result<Vec<T>, Failure> {
    let wrong =
        |place: String| Failure::Usage(format!("{}: {place} is not {what}", path.display()));
    let text = text(path)?;
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

fn text(path: &Path) -> Result<Zeroizing<String>, Failure> {
    secret::text(&secret::read(Some(path))?)
}

/// JSON is YAML; but errors in it are better told by who reads JSON.
fn parse(text: &str) -> Result<Value, String> {
    match text.trim_start().chars().next() {
        Some('{' | '[') => serde_json::from_str(text).map_err(|error| error.to_string()),
        _ => serde_saphyr::from_str(text).map_err(|error| error.to_string()),
    }
}
