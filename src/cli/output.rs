//! What is printed, and in which form.
//!
//! | | one thing | a list | what comes without end | a change |
//! | --- | --- | --- | --- | --- |
//! | `table` | a page | a table | a table | a sentence |
//! | `json` | it | one array | one in a line each | the answer of the RPC |
//! | `yaml` | it | one sequence | a document each | the answer of the RPC |
//! | `name` | its name | one in a line | one in a line | the name of what was changed |

use std::fmt;
use std::io::{self, Write as _};

use clap::ValueEnum;
use prost::{Message, Name};
use serde_json::Value;
use zeroize::Zeroizing;

use super::failure::{Failure, note};
use super::interrupt;
use super::json;
use super::page::Page;
use super::show::{Listed, Shown};
use super::table::Table;
use super::terminal::Stream;

/// In which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people: tables and pages.
    Table,
    /// JSON as the contract has it.
    Json,
    /// The same as YAML.
    Yaml,
    /// Ids or names alone.
    Name,
    /// The secret alone: the token, password or secret key (issue, rotate, reveal).
    #[value(alias = "token")]
    Secret,
    /// The HTTP header with the secret in it (issue, rotate, reveal).
    Header,
}

impl Format {
    /// Whether it is a form of secrets.
    pub(super) const fn is_of_secrets(self) -> bool {
        matches!(self, Self::Secret | Self::Header)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// Prints a text as it is.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    write(text.as_bytes().to_vec())
}

/// Writes bytes, which may be secret, to standard output.
pub(super) fn write(bytes: Vec<u8>) -> Result<(), Failure> {
    if bytes.is_empty() {
        return Ok(());
    }
    let bytes = Zeroizing::new(bytes);
    // Whoever is to read them may take its time.
    let written = interrupt::wait(move || {
        let mut out = io::stdout().lock();
        out.write_all(&bytes).and_then(|()| out.flush())
    })?;
    written.map_err(Failure::Output)
}

/// Standard output.
#[derive(Debug)]
pub(super) struct Printer {
    pub(super) format: Format,
    pub(super) stream: Stream,
}

impl Printer {
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            stream: Stream::stdout(),
        }
    }

    /// Prints one thing.
    pub(super) fn one<T: Shown>(&self, item: &T) -> Result<(), Failure> {
        match self.format {
            Format::Name => print(&(item.name() + "\n")),
            Format::Json | Format::Yaml => self.document(&json::of(item)?),
            Format::Table | Format::Secret | Format::Header => {
                let mut page = Page::default();
                item.page(&mut page);
                print(&page.to_text(self.stream))
            }
        }
    }

    /// Prints what an RPC answered to a change: of what has this name, told so. It is a
    /// failure if it can't be printed, whoever reads it.
    pub(super) fn answer<T: Message + Name>(
        &self,
        answer: &T,
        name: &str,
        tell: impl FnOnce(&mut Page),
    ) -> Result<(), Failure> {
        self.view(answer, name, tell).map_err(Failure::of_answer)
    }

    /// The same, of an RPC that changes nothing.
    pub(super) fn view<T: Message + Name>(
        &self,
        answer: &T,
        name: &str,
        tell: impl FnOnce(&mut Page),
    ) -> Result<(), Failure> {
        match self.format {
            Format::Name if name.is_empty() => Ok(()),
            Format::Name => print(&format!("{name}\n")),
            Format::Json | Format::Yaml => self.document(&json::of(answer)?),
            Format::Table | Format::Secret | Format::Header => {
                let mut page = Page::default();
                tell(&mut page);
                print(&page.to_text(self.stream))
            }
        }
    }

    /// Prints JSON, or the same as YAML.
    pub(super) fn document(&self, value: &Value) -> Result<(), Failure> {
        match self.format {
            Format::Yaml => print(&yaml(value)?),
            _ => print(&(pretty(value)? + "\n")),
        }
    }

    /// Begins the answers of an RPC to several changes, or to one.
    pub(super) fn answers(&self, is_one: bool) -> Answers<'_> {
        Answers {
            out: self,
            items: Items::new(self.format, false),
            is_one,
        }
    }

    /// Begins a list.
    pub(super) fn list<T: Listed>(&self) -> Rows<'_, T> {
        Rows::new(self, false)
    }

    /// Begins what comes without end.
    pub(super) fn stream<T: Listed>(&self) -> Rows<'_, T> {
        Rows::new(self, true)
    }
}

/// Several messages as JSON or YAML: as one document, or without end.
struct Items {
    format: Format,
    is_stream: bool,
    count: u64,
}

impl Items {
    const fn new(format: Format, is_stream: bool) -> Self {
        Self {
            format,
            is_stream,
            count: 0,
        }
    }

    /// What is printed of one.
    fn next(&mut self, value: &Value) -> Result<String, Failure> {
        let is_first = self.count == 0;
        self.count += 1;
        match (self.format, self.is_stream) {
            (Format::Yaml, true) => Ok(format!("---\n{}", yaml(value)?)),
            (Format::Yaml, false) => yaml(&Value::Array(vec![value.clone()])),
            (_, true) => Ok(format!("{value}\n")),
            (_, false) => {
                let item = pretty(value)?.replace('\n', "\n  ");
                Ok(format!("{}\n  {item}", if is_first { "[" } else { "," }))
            }
        }
    }

    /// What is printed after the last.
    const fn end(&self) -> &'static str {
        match (self.format, self.is_stream, self.count) {
            (Format::Json | Format::Yaml, false, 0) => "[]\n",
            (Format::Json, false, _) => "\n]\n",
            _ => "",
        }
    }
}

/// Answers that are printed as they come; several as one document, where they are one.
pub(super) struct Answers<'a> {
    out: &'a Printer,
    items: Items,
    is_one: bool,
}

impl Answers<'_> {
    /// Prints the next, as [`Printer::answer`] does.
    pub(super) fn push<T: Message + Name>(
        &mut self,
        answer: &T,
        name: &str,
        tell: impl FnOnce(&mut Page),
    ) -> Result<(), Failure> {
        let is_document = matches!(self.out.format, Format::Json | Format::Yaml);
        if self.is_one || !is_document {
            return self.out.answer(answer, name, tell);
        }
        let text = self.items.next(&json::of(answer)?)?;
        print(&text).map_err(Failure::of_answer)
    }

    /// Ends them.
    pub(super) fn end(self) -> Result<(), Failure> {
        if self.is_one {
            return Ok(());
        }
        print(self.items.end()).map_err(Failure::of_answer)
    }
}

/// Things that are printed as they come.
pub(super) struct Rows<'a, T> {
    out: &'a Printer,
    items: Items,
    table: Table,
    kind: std::marker::PhantomData<T>,
}

impl<'a, T: Listed> Rows<'a, T> {
    fn new(out: &'a Printer, is_stream: bool) -> Self {
        Self {
            out,
            items: Items::new(out.format, is_stream),
            table: Table::new(T::COLUMNS, out.stream),
            kind: std::marker::PhantomData,
        }
    }

    /// Prints some.
    pub(super) fn push(&mut self, items: &[T]) -> Result<(), Failure> {
        if items.is_empty() {
            return Ok(());
        }
        let mut text = String::new();
        match self.out.format {
            Format::Table | Format::Secret | Format::Header => {
                let rows: Vec<_> = items.iter().map(Listed::row).collect();
                text = self.table.rows(&rows);
            }
            Format::Name => {
                for item in items {
                    text.push_str(&item.name());
                    text.push('\n');
                }
            }
            Format::Json | Format::Yaml => {
                for item in items {
                    text.push_str(&self.items.next(&json::of(item)?)?);
                }
            }
        }
        print(&text)
    }

    /// Ends the list.
    pub(super) fn end(self) -> Result<(), Failure> {
        let is_list = self.out.format == Format::Table && !self.items.is_stream;
        if is_list && self.table.is_empty() {
            note("there are none");
        }
        print(self.items.end())
    }
}

fn pretty(value: &Value) -> Result<String, Failure> {
    serde_json::to_string_pretty(value).map_err(|error| Failure::Other(error.to_string()))
}

fn yaml(value: &Value) -> Result<String, Failure> {
    let mut text =
        serde_saphyr::to_string(value).map_err(|error| Failure::Other(error.to_string()))?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_as_yaml_is_read_as_the_same() {
        let value = serde_json::json!({
            "label": "no", "text": "a: b\n# c", "number": "12", "octal": "0o7", "empty": "",
            "list": [], "map": {}, "items": [{"a": "yes"}, {"b": "~"}], "flag": true, "n": 1,
            "date": "2026-01-01", "star": "*", "space": " x ", "quote": "\"'", "percent": "%a",
        });
        let read: Value = serde_saphyr::from_str(&yaml(&value).unwrap()).unwrap();
        assert_eq!(read, value);
    }
}
