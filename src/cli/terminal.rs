//! What a terminal can show, and asking whoever sits at it.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

use anstyle::{AnsiColor, Style};
use parking_lot::Mutex;
use rustix::fs::OFlags;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};
use zeroize::Zeroizing;

use super::failure::Failure;
use super::interrupt;

/// Of what is well.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
/// Of what wants attention.
pub(super) const WARN: Style = AnsiColor::Yellow.on_default();
/// Of what is denied or wrong.
pub(super) const BAD: Style = AnsiColor::Red.on_default();
/// Of headings.
pub(super) const HEAD: Style = Style::new().bold();

/// The width where a terminal does not say.
const WIDTH: usize = 80;

/// What a stream of output is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    /// How many columns the terminal has; `None`: it is none.
    pub(super) width: Option<usize>,
    has_colours: bool,
}

impl Stream {
    /// A file or a pipe.
    #[cfg(test)]
    pub(super) const PLAIN: Self = Self {
        width: None,
        has_colours: false,
    };

    /// A terminal without colours, so wide.
    #[cfg(test)]
    pub(super) const fn wide(width: usize) -> Self {
        Self {
            width: Some(width),
            has_colours: false,
        }
    }

    /// Standard output.
    pub(super) fn stdout() -> Self {
        let out = io::stdout();
        let width = out.is_terminal().then(|| match tcgetwinsize(&out) {
            Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
            _ => WIDTH,
        });
        Self::of(width)
    }

    /// Standard error.
    pub(super) fn stderr() -> Self {
        Self::of(io::stderr().is_terminal().then_some(WIDTH))
    }

    /// Whether it is a terminal that shows colours: <https://no-color.org>.
    fn of(width: Option<usize>) -> Self {
        let is_refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Self {
            width,
            has_colours: width.is_some() && !is_refused && !is_dumb,
        }
    }

    /// The style, where there are colours.
    pub(super) fn paint(self, style: Style) -> Style {
        if self.has_colours {
            style
        } else {
            Style::new()
        }
    }
}

/// In how many columns help is shown; 0: as long as its lines are, where that is no terminal.
pub(super) fn help_width() -> usize {
    Stream::stdout().width.unwrap_or(0)
}

/// How many columns a text takes.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// A text in so many columns at most: what does not fit ends in `…`.
pub(super) fn cut(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let mut shown = String::new();
    let mut columns = 0;
    for letter in text.chars() {
        let next = letter.width().unwrap_or(0);
        if columns + next + 1 > most {
            break;
        }
        columns += next;
        shown.push(letter);
    }
    shown.push('…');
    shown
}

/// A text in which nothing is left that a terminal would obey, or that would show it in
/// another order or not at all: control characters, those that end lines, that change the
/// direction of writing, or that have no width.
pub(super) fn clean(text: &str) -> String {
    let is_bad = |letter: char| {
        letter.is_control()
            || matches!(
                letter,
                '\u{ad}'
                    | '\u{61c}'
                    | '\u{200b}'..='\u{200f}'
                    | '\u{2028}'..='\u{202e}'
                    | '\u{2060}'..='\u{206f}'
                    | '\u{feff}'
                    | '\u{e0000}'..='\u{e0fff}'
            )
    };
    if !text.chars().any(is_bad) {
        return text.to_owned();
    }
    let mut clean = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_bad(letter) {
            clean.extend(letter.escape_unicode());
        } else {
            clean.push(letter);
        }
    }
    clean
}

/// Whether somebody can be asked: standard input and standard error are a terminal.
pub(super) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Goes on if that was said beforehand, or is said now.
pub(super) fn confirm(question: &str, is_said: bool) -> Result<(), Failure> {
    if is_said {
        return Ok(());
    }
    if !can_ask() {
        let question = clean(question);
        return Err(Failure::Usage(format!(
            "{question}\nhint: say so with --yes, where nobody can be asked; --dry-run changes \
             nothing"
        )));
    }
    prompt(&format!("{} [y/N] ", clean(question)));
    let read = interrupt::wait(|| {
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).map(|_| answer)
    })?;
    let answer = read.map_err(|error| Failure::Other(error.to_string()))?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::Other("nothing was done".to_owned())),
    }
}

/// Says on standard error what is waited for.
fn prompt(text: &str) {
    let mut stream = io::stderr();
    // Whoever does not see it answers nothing.
    let _ = write!(stream, "{text}").and_then(|()| stream.flush());
}

/// The same, on the terminal at standard input where standard error is none.
fn prompt_on_terminal(text: &str) {
    if io::stderr().is_terminal() {
        return prompt(text);
    }
    let mut options = OpenOptions::new();
    options
        .write(true)
        .custom_flags(OFlags::NOCTTY.bits().cast_signed());
    // Whoever does not see it answers nothing.
    let opened = options.open("/dev/stdin");
    let _ = opened.and_then(|mut terminal| terminal.write_all(text.as_bytes()));
}

/// Whether what is read from standard input is typed.
pub(super) fn is_typed() -> bool {
    io::stdin().is_terminal()
}

/// Reads a line that is not shown while it is typed. On a signal, what is typed is shown
/// again as before.
pub(super) fn hidden_line(question: &str) -> Result<Zeroizing<String>, Failure> {
    let failed = |error: io::Error| Failure::Other(format!("can't read the terminal: {error}"));
    let echo = Echo::off().map_err(failed)?;
    prompt_on_terminal(question);
    let read = interrupt::wait(|| {
        let mut line = Zeroizing::new(String::new());
        io::stdin().read_line(&mut line).map(|_| line)
    });
    drop(echo);
    prompt_on_terminal("\n");
    let line = read?.map_err(failed)?;
    Ok(Zeroizing::new(
        line.trim_end_matches(['\r', '\n']).to_owned(),
    ))
}

/// How the terminal was before it showed nothing of what is typed.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// The terminal shows what is typed as before.
pub(super) fn restore() {
    if let Some(before) = BEFORE.lock().take() {
        // Nobody is left to be told.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &before);
    }
}

/// The terminal shows nothing of what is typed, until this is dropped or the process ends.
pub(super) struct Echo(());

impl Echo {
    /// Of a terminal at standard input.
    pub(super) fn off() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        BEFORE.lock().get_or_insert(before);
        let echo = Self(());
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(echo)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        restore();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_to_columns_and_not_to_bytes() {
        assert_eq!(cut("nightly", 7), "nightly");
        assert_eq!(cut("nightly", 6), "night…");
        assert_eq!(cut("日本語", 6), "日本語");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("ab", 1), "…");
    }

    #[test]
    fn a_terminal_is_told_nothing_by_what_others_wrote() {
        assert_eq!(
            clean("a\u{1b}[31mb\rc\u{9b}d\u{202e}e"),
            "a\\u{1b}[31mb\\u{d}c\\u{9b}d\\u{202e}e"
        );
        for letter in [
            '\u{61c}',
            '\u{200b}',
            '\u{200d}',
            '\u{200f}',
            '\u{2028}',
            '\u{2029}',
            '\u{202a}',
            '\u{2066}',
            '\u{2069}',
            '\u{feff}',
            '\u{2060}',
            '\u{ad}',
            '\u{e0000}',
            '\u{e0041}',
            '\u{e007f}',
        ] {
            let shown = clean(&format!("a{letter}b"));
            assert_eq!(shown, format!("a{}b", letter.escape_unicode()));
        }
        assert_eq!(clean("Zürich · ok"), "Zürich · ok");
    }
}
