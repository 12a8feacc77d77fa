//! Tables that fit a terminal.
//!
//! On a terminal the columns that matter least are left out, and then the widest are cut,
//! until a row takes one line. Elsewhere nothing is left out and nothing is cut.

use std::fmt::Write as _;

use anstyle::Style;

use super::terminal::{HEAD, Stream, clean, cut, width};

/// A column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    /// Its heading.
    pub(super) title: &'static str,
    /// How far it may be cut; `None`: not at all.
    least: Option<usize>,
    /// Those of a higher rank are left out first.
    rank: u8,
}

impl Column {
    /// One that is neither cut nor left out: a name by which something is asked for.
    pub(super) const fn whole(title: &'static str) -> Self {
        Self {
            title,
            least: None,
            rank: 0,
        }
    }

    /// One that may be cut to so many columns of the terminal, and left out before those of
    /// a lower rank.
    pub(super) const fn new(title: &'static str, least: usize, rank: u8) -> Self {
        Self {
            title,
            least: Some(least),
            rank,
        }
    }

    fn least(&self, natural: usize) -> usize {
        self.least
            .map_or(natural, |least| least.max(self.title.len()).min(natural))
    }
}

/// A text, and how it looks where there are colours.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(super) fn new(text: impl AsRef<str>, style: Style) -> Self {
        Self {
            text: clean(text.as_ref()),
            style,
        }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Style::new())
    }
}

/// Between two columns.
const GAP: usize = 2;

/// A table that is printed as its rows come.
#[derive(Debug)]
pub(super) struct Table {
    columns: &'static [Column],
    stream: Stream,
    /// The widest that each column has had; empty: nothing was printed.
    natural: Vec<usize>,
}

impl Table {
    pub(super) const fn new(columns: &'static [Column], stream: Stream) -> Self {
        Self {
            columns,
            stream,
            natural: Vec::new(),
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.natural.is_empty()
    }

    /// Some rows, with the headings before the first.
    pub(super) fn rows(&mut self, rows: &[Vec<Cell>]) -> String {
        let mut text = String::new();
        let is_first = self.is_empty();
        if is_first {
            self.natural = self.columns.iter().map(|it| it.title.len()).collect();
        }
        for row in rows {
            for (natural, cell) in self.natural.iter_mut().zip(row) {
                *natural = width(&cell.text).max(*natural);
            }
        }
        let widths = self.widths();
        if is_first {
            let titles = self.columns.iter().map(|it| Cell::new(it.title, HEAD));
            self.line(&mut text, &titles.collect::<Vec<_>>(), &widths);
        }
        for row in rows {
            self.line(&mut text, row, &widths);
        }
        text
    }

    /// How wide each column is; `None`: it is left out.
    fn widths(&self) -> Vec<Option<usize>> {
        let mut widths: Vec<Option<usize>> = self.natural.iter().copied().map(Some).collect();
        let Some(most) = self.stream.width else {
            return widths;
        };
        let least = |widths: &[Option<usize>]| {
            let shown = widths.iter().zip(self.columns);
            let shown = shown.filter_map(|(width, column)| Some(column.least((*width)?) + GAP));
            shown.sum::<usize>().saturating_sub(GAP)
        };
        while least(&widths) > most {
            let shown = (0..widths.len()).filter(|&at| widths[at].is_some());
            let left_out = shown
                .filter(|&at| self.columns[at].rank > 0)
                .max_by_key(|&at| self.columns[at].rank);
            let Some(left_out) = left_out else { break };
            widths[left_out] = None;
        }
        loop {
            let shown: Vec<usize> = widths.iter().flatten().map(|width| width + GAP).collect();
            let total = shown.iter().sum::<usize>().saturating_sub(GAP);
            if total <= most {
                return widths;
            }
            let can_be_cut = |at: &usize| {
                widths[*at].is_some_and(|width| {
                    self.columns[*at].least.is_some()
                        && width > self.columns[*at].least(self.natural[*at])
                })
            };
            let widest = (0..widths.len())
                .filter(can_be_cut)
                .max_by_key(|&at| widths[at]);
            let Some(widest) = widest else { return widths };
            widths[widest] = widths[widest].map(|width| width - 1);
        }
    }

    fn line(&self, text: &mut String, cells: &[Cell], widths: &[Option<usize>]) {
        let mut line = String::new();
        let mut padding = 0;
        for (cell, shown) in cells.iter().zip(widths) {
            let Some(most) = *shown else { continue };
            // Also between a cell that is wider than it should be and the next.
            line.extend(std::iter::repeat_n(' ', padding));
            let shown = match self.stream.width {
                Some(_) => cut(&cell.text, most),
                None => cell.text.clone(),
            };
            let style = self.stream.paint(cell.style);
            // Writing to a String does not fail.
            let _ = write!(line, "{style}{shown}{style:#}");
            padding = most.saturating_sub(width(&shown)) + GAP;
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[
        Column::whole("ID"),
        Column::new("LABEL", 5, 1),
        Column::new("STATE", 5, 2),
    ];

    fn table(stream: Stream) -> String {
        let row = |cells: [&str; 3]| cells.into_iter().map(Cell::from).collect();
        let mut table = Table::new(COLUMNS, stream);
        let first = table.rows(&[row(["0123456789", "nightly build", "active"])]);
        first + &table.rows(&[row(["1", "ci", "locked"])])
    }

    #[test]
    fn nothing_is_cut_in_a_pipe() {
        let expected = "\
ID          LABEL          STATE
0123456789  nightly build  active
1           ci             locked
";
        assert_eq!(table(Stream::PLAIN), expected);
    }

    #[test]
    fn a_row_takes_one_line_of_a_terminal() {
        let expected = "\
ID          LABEL    STATE
0123456789  nightl…  active
1           ci       locked
";
        assert_eq!(table(Stream::wide(27)), expected);
        let narrow = "\
ID          LABEL
0123456789  nigh…
1           ci
";
        assert_eq!(table(Stream::wide(17)), narrow);
        assert_eq!(table(Stream::wide(5)), "ID\n0123456789\n1\n");
    }
}
