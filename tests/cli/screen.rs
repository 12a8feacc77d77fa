//! A terminal: a pseudo one, and what is seen on it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::support::program::wait_for;

/// A command on a terminal of so many columns.
pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    seen: Arc<Mutex<Vec<u8>>>,
    /// Ends when nobody has the other end open.
    reader: Option<JoinHandle<()>>,
}

impl Terminal {
    pub(crate) fn start(mut command: Command, columns: u16) -> Self {
        let own = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&own).unwrap();
        unlockpt(&own).unwrap();
        let size = Winsize {
            ws_row: 24,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&own, size).unwrap();
        let name = ptsname(&own, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let other: OwnedFd = open(name, flags, Mode::empty()).unwrap();
        let stream = || Stdio::from(other.try_clone().unwrap());
        let child = command
            .stdin(stream())
            .stdout(stream())
            .stderr(stream())
            .spawn()
            .unwrap();
        // The command keeps the other end open, too.
        drop((command, other));
        let mut screen = File::from(own);
        let keyboard = screen.try_clone().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let writer = Arc::clone(&seen);
        let reader = thread::spawn(move || {
            let mut bytes = [0; 4096];
            // An error, once nobody has the other end open.
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                writer.lock().unwrap().extend_from_slice(&bytes[..count]);
            }
        });
        Self {
            child,
            keyboard,
            seen,
            reader: Some(reader),
        }
    }

    /// All that was sent to it.
    pub(crate) fn raw(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }

    /// What is seen on it.
    pub(crate) fn screen(&self) -> String {
        screen(&self.raw())
    }

    /// Waits until this is seen on it.
    pub(crate) fn wait(&self, text: &str) {
        wait_for(&format!("{text:?} on the terminal"), || {
            self.screen().contains(text).then_some(())
        });
    }

    /// The process id of the command.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Whether what is typed is shown.
    pub(crate) fn has_echo(&self) -> bool {
        let modes = tcgetattr(&self.keyboard).unwrap().local_modes;
        modes.contains(LocalModes::ECHO)
    }

    /// Waits until the command has ended, and all that it has written is there; returns its
    /// exit code.
    pub(crate) fn end(&mut self) -> i32 {
        let status = wait_for("the command to end", || self.child.try_wait().unwrap());
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        status.code().unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is seen of what was sent: lines that were written over, and no colours.
pub(crate) fn screen(sent: &str) -> String {
    let mut lines: Vec<Vec<char>> = vec![Vec::new()];
    let mut column = 0_usize;
    let mut letters = sent.chars();
    while let Some(letter) = letters.next() {
        let line = lines.last_mut().unwrap();
        match letter {
            // A sequence (ECMA-48 section 5.4) ends with a letter.
            '\u{1b}' => {
                if letters.next() == Some('[') {
                    letters.by_ref().find(|it| ('@'..='~').contains(it));
                }
            }
            '\n' => {
                lines.push(Vec::new());
                column = 0;
            }
            '\r' => column = 0,
            '\u{8}' => column = column.saturating_sub(1),
            '\u{7}' => (),
            letter => {
                if column < line.len() {
                    line[column] = letter;
                } else {
                    line.push(letter);
                }
                column += 1;
            }
        }
    }
    let lines = lines
        .into_iter()
        .map(|line| line.into_iter().collect::<String>());
    let lines = lines.map(|line| line.trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

/// What differs between two runs, in place: ids, times, and what is random.
pub(crate) fn masked(text: &str) -> String {
    let words: Vec<&str> = text
        .split_inclusive(|it: char| " \n()`,…".contains(it))
        .collect();
    let text: String = words.into_iter().map(mask_word).collect();
    // A moment later it is not now.
    let mut masked = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once('(') {
        let (inner, next) = after.split_once(')').unwrap_or((after, ""));
        let inner = if inner == "now" || inner.ends_with(" ago") {
            "lately"
        } else {
            inner
        };
        masked.extend([before, "(", inner, ")"]);
        rest = next;
    }
    masked.push_str(rest);
    masked
}

fn mask_word(word: &str) -> String {
    let is_id = word.len() >= 36 && word.bytes().filter(|it| *it == b'-').count() == 4;
    let is_date = word.len() >= 10 && word.starts_with("20") && word.matches('-').count() == 2;
    let is_secret = ["creddt_", "creddp_", "credds_", "creddu_", "credda_"]
        .iter()
        .any(|prefix| word.starts_with(prefix));
    let keep = if is_secret { 7 } else { 0 };
    let mask = |(at, letter): (usize, char)| match letter {
        _ if at < keep => letter,
        '0'..='9' | 'a'..='z' | 'A'..='Z' if is_id || is_date || is_secret => 'x',
        letter => letter,
    };
    let masked: String = word.chars().enumerate().map(mask).collect();
    // A revision of a store: its number is as long as it is.
    match masked.split_once(':') {
        Some((store, number)) if is_id => {
            format!("{store}:N{}", number.trim_start_matches('x'))
        }
        _ => masked,
    }
}

#[test]
fn what_was_written_over_is_not_seen() {
    assert_eq!(
        screen("a\u{1b}[31mb\u{1b}[0m\r\nlonger\rxy\r\n"),
        "ab\nxynger\n"
    );
}

#[test]
fn what_differs_is_masked_in_place() {
    let id = "01930000-0000-7000-8000-0123456789ab";
    let shown = format!("Id: {id}  at 2026-11-30T01:02:03Z (now) (in 30 days) creddt_0Ab");
    let expected = "Id: xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx  at xxxx-xx-xxxxx:xx:xxx (lately) \
                    (in 30 days) creddt_xxx";
    assert_eq!(masked(&shown), expected);
}
