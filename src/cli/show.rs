//! How things are shown to people: a row of a table, and a page.

use anstyle::Style;
use prost::{Message, Name};

use super::page::Page;
use super::table::{Cell, Column};
use super::terminal::{BAD, GOOD, WARN};
use super::time;
use crate::proto::v1;

mod audit;
mod credential;
mod directory;
mod profile;

/// What is shown as a row of a list.
pub(super) trait Listed: Message + Name {
    /// The columns of its rows.
    const COLUMNS: &'static [Column];

    /// The id or name by which it is asked for.
    fn name(&self) -> String;

    /// A cell for each column.
    fn row(&self) -> Vec<Cell>;
}

/// What is shown as a page, too.
pub(super) trait Shown: Listed {
    /// All of it.
    fn page(&self, page: &mut Page);
}

/// The name of an enum's value in small letters, without that of the enum.
pub(super) fn word(name: &str, prefix: &str) -> String {
    let word = name.strip_prefix(prefix).unwrap_or(name);
    word.to_ascii_lowercase().replace('_', " ")
}

/// A state, and how it looks.
pub(super) fn state(state: v1::CredentialState) -> (String, Style) {
    let style = match state {
        v1::CredentialState::Active => GOOD,
        v1::CredentialState::Locked => WARN,
        v1::CredentialState::Revoked
        | v1::CredentialState::Expired
        | v1::CredentialState::Unspecified => BAD,
    };
    (word(state.as_str_name(), "CREDENTIAL_STATE_"), style)
}

/// A kind of credential.
pub(super) fn kind(kind: v1::CredentialKind) -> String {
    word(kind.as_str_name(), "CREDENTIAL_KIND_")
}

/// Whether something is disabled, and how that looks.
fn standing(disabled: bool) -> (&'static str, Style) {
    if disabled {
        ("disabled", BAD)
    } else {
        ("enabled", GOOD)
    }
}

/// The latest change in the directory.
fn last_change(change: Option<&v1::DirectoryChange>) -> String {
    let Some(v1::DirectoryChange { at, by, reason, .. }) = change else {
        return String::new();
    };
    let what = change.map(v1::DirectoryChange::r#type).unwrap_or_default();
    let what = word(what.as_str_name(), "DIRECTORY_CHANGE_TYPE_");
    said(&what, at.as_ref(), by, reason)
}

/// What was done, when, by whom and why.
fn said(what: &str, at: Option<&prost_types::Timestamp>, by: &str, reason: &str) -> String {
    let mut text = format!("{what} {} by {by}", time::exact(at));
    if !reason.is_empty() {
        text.extend([": ", reason]);
    }
    text
}
