//! What is wrong with a configuration, and where.

use std::fmt;
use std::path::PathBuf;

/// Where a value was given; in the order in which problems are told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the file as a whole.
    WholeFile,
    /// In the file, both counted from 1; columns are characters.
    File {
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// In this variable of the environment.
    Variable(String),
    /// In this flag, without dashes.
    Flag(&'static str),
}

impl Place {
    /// The place of a byte in a text.
    #[must_use]
    pub fn of(text: &str, at: usize) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let line_begin = before.rfind('\n').map_or(0, |end| end + 1);
        Self::File {
            line: before.matches('\n').count() + 1,
            column: before[line_begin..].chars().count() + 1,
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// The setting, section or unknown key; empty: the file is not TOML there.
    pub subject: String,
    /// What. It quotes no value.
    pub text: String,
}

/// All that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    /// The file.
    pub file: Option<PathBuf>,
    /// In the order of their places; never empty.
    pub list: Vec<Problem>,
}

/// One line for each.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.as_deref().map_or("".as_ref(), |path| path);
        for (number, problem) in self.list.iter().enumerate() {
            let Problem {
                place,
                subject,
                text,
            } = problem;
            if number > 0 {
                f.write_str("\n")?;
            }
            match place {
                Place::WholeFile => write!(f, "{}", file.display()),
                Place::File { line, column } => write!(f, "{}:{line}:{column}", file.display()),
                Place::Variable(name) => f.write_str(name),
                Place::Flag(name) => write!(f, "--{name}"),
            }?;
            if !subject.is_empty() {
                write!(f, ": {subject}")?;
            }
            write!(f, ": {text}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_line_and_a_column_of_characters() {
        let text = "a\nän = 1\n";
        let place = |at| match Place::of(text, at) {
            Place::File { line, column } => (line, column),
            other => panic!("{other:?}"),
        };
        assert_eq!(place(0), (1, 1));
        assert_eq!(place(1), (1, 2));
        assert_eq!(place(2), (2, 1));
        assert_eq!(place(4), (2, 2));
        assert_eq!(place(text.len()), (3, 1));
        assert_eq!(place(999), (3, 1));
    }
}
