//! What every change can say: why, whether it is only asked about, as of which revision,
//! and whether it is fenced; and what its answer tells.

use std::str::FromStr;

use clap::Args;

use super::page::Page;
use super::time;
use crate::proto::v1;

/// Why.
#[derive(Clone, Debug, Args)]
pub(super) struct Why {
    /// Why, for the record.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) reason: String,
}

/// Why, and on what condition.
#[derive(Clone, Debug, Args)]
pub(super) struct Guarded {
    #[command(flatten)]
    pub(super) why: Why,
    /// Says what would change, and changes nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Changes nothing if the record has another revision by now: `STORE_ID:NUMBER`, as it
    /// is shown.
    #[arg(long, value_name = "REVISION")]
    pub(super) expected_revision: Option<Revision>,
}

/// The same, of what may deny somebody.
#[derive(Clone, Debug, Args)]
pub(super) struct Fenced {
    #[command(flatten)]
    pub(super) guarded: Guarded,
    /// Returns only when no cache says yes any more where the change says no.
    #[arg(long)]
    pub(super) fence: bool,
}

impl Guarded {
    pub(super) fn expected(&self) -> Option<v1::Revision> {
        self.expected_revision.clone().map(Into::into)
    }
}

/// A revision, as it is written: `STORE_ID:NUMBER`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Revision(v1::Revision);

impl From<Revision> for v1::Revision {
    fn from(revision: Revision) -> Self {
        revision.0
    }
}

impl FromStr for Revision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = text.rsplit_once(':').and_then(|(store, number)| {
            let number = number.parse().ok()?;
            let store_id = Some(store.to_owned()).filter(|store| !store.is_empty())?;
            Some(Self(v1::Revision { store_id, number }))
        });
        read.ok_or_else(|| "must be STORE_ID:NUMBER, as it is shown".to_owned())
    }
}

/// A revision as it is written; empty, if there is none.
pub(super) fn revision(revision: Option<&v1::Revision>) -> String {
    revision.map_or_else(String::new, |it| format!("{}:{}", it.store_id, it.number))
}

/// So many of something.
pub(super) fn count(number: u64, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

impl Page {
    /// What was done, or would be.
    pub(super) fn done(&mut self, dry_run: bool, done: &str, would: &str, what: &str) {
        if dry_run {
            self.line(format!("would {would} {what}; nothing was changed"));
        } else {
            self.line(format!("{done} {what}"));
        }
    }

    /// What a change touches.
    pub(super) fn impact(&mut self, impact: Option<&v1::Impact>) {
        let Some(v1::Impact {
            matched: _,
            changed: _,
            services,
        }) = impact
        else {
            return;
        };
        for service in services {
            self.line(format!(
                "  {} used {} {}",
                service.service,
                count(service.credentials, "credential", "credentials"),
                time::short(service.last_used_at.as_ref(), "lately"),
            ));
        }
    }

    /// How a fence ended.
    pub(super) fn fence(&mut self, fence: Option<&v1::Fence>) {
        let Some(v1::Fence {
            revision: _,
            acknowledged,
            expired,
        }) = fence
        else {
            return;
        };
        self.line(format!(
            "fenced: acknowledged by {}, outlived by {}",
            count(u64::from(*acknowledged), "session", "sessions"),
            count(
                u64::from(*expired),
                "lease that ran out",
                "leases that ran out"
            ),
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_read_as_it_is_shown() {
        let shown = v1::Revision {
            store_id: "0193-a".to_owned(),
            number: 42,
        };
        let text = revision(Some(&shown));
        assert_eq!(text.parse(), Ok(Revision(shown)));
        for wrong in ["", "42", ":42", "a:", "a:b"] {
            assert!(wrong.parse::<Revision>().is_err(), "{wrong}");
        }
    }
}
