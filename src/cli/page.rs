//! A page about one thing: sentences, and lines of a name and a value.

use std::fmt::Write as _;

use anstyle::Style;

use super::table::{Cell, Column, Table};
use super::terminal::{HEAD, Stream, clean, width};

/// A page.
#[derive(Debug, Default)]
pub(super) struct Page(Vec<Part>);

#[derive(Debug)]
enum Part {
    Line(String, Style),
    Field(String, String, Style),
    Table(&'static [Column], Vec<Vec<Cell>>),
}

impl Page {
    /// A sentence.
    pub(super) fn line(&mut self, text: impl AsRef<str>) {
        self.0.push(Part::Line(clean(text.as_ref()), Style::new()));
    }

    /// A heading, after an empty line.
    pub(super) fn heading(&mut self, text: &str) {
        self.line("");
        self.0.push(Part::Line(clean(text), HEAD));
    }

    /// A name and a value, if there is one.
    pub(super) fn field(&mut self, name: &str, value: impl AsRef<str>) {
        self.styled(name, value, Style::new());
    }

    /// The same, which looks so where there are colours.
    pub(super) fn styled(&mut self, name: &str, value: impl AsRef<str>, style: Style) {
        let value = value.as_ref();
        if !value.is_empty() {
            let lines: Vec<_> = value.lines().map(clean).collect();
            self.0
                .push(Part::Field(name.to_owned(), lines.join("\n"), style));
        }
    }

    /// A name and several values, if there are any.
    pub(super) fn list(&mut self, name: &str, values: &[String]) {
        self.field(name, values.join(", "));
    }

    /// A table.
    pub(super) fn table(&mut self, columns: &'static [Column], rows: Vec<Vec<Cell>>) {
        self.0.push(Part::Table(columns, rows));
    }

    /// What is printed.
    pub(super) fn to_text(&self, stream: Stream) -> String {
        let names = self.0.iter().filter_map(|part| match part {
            Part::Field(name, ..) => Some(width(name)),
            Part::Line(..) | Part::Table(..) => None,
        });
        let widest = names.max().unwrap_or(0);
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Line(line, style) => {
                    let style = stream.paint(*style);
                    // Writing to a String does not fail.
                    let _ = writeln!(text, "{style}{line}{style:#}");
                }
                Part::Field(name, value, style) => {
                    let space = " ".repeat(widest - width(name));
                    let indent = format!("\n{}", " ".repeat(widest + 3));
                    let style = stream.paint(*style);
                    let value = value.replace('\n', &indent);
                    let _ = writeln!(text, "{name}:{space}  {style}{value}{style:#}");
                }
                Part::Table(columns, rows) => {
                    let mut table = Table::new(columns, stream);
                    text.push_str(&table.rows(rows));
                }
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_below_each_other() {
        let mut page = Page::default();
        page.line("issued");
        page.field("Label", "nightly\nbuild");
        page.field("Language", "");
        page.field("Id", "1");
        let expected = "issued\nLabel:  nightly\n        build\nId:     1\n";
        assert_eq!(page.to_text(Stream::PLAIN), expected);
    }
}
