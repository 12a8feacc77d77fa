//! How much remains on each version of a key, counted as the feed applies commits.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::record::RequestRecord;
use crate::domain::credential::{Credential, State};
use crate::domain::id::CredentialId;
use crate::domain::keyring::{KeyKind, KeyVersion, sealed_under};
use crate::domain::time::Timestamp;

/// The keys that a credential's secrets need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The pepper of the current secret.
    pub current: Option<KeyVersion>,
    /// The pepper of the secret before it, and when that ends.
    pub overlap: Option<(KeyVersion, Timestamp)>,
    /// The sealing key of the secret that can be viewed again.
    pub sealing: Option<KeyVersion>,
}

impl Needs {
    /// Those of a credential. One that is revoked needs none.
    #[must_use]
    pub fn of(credential: &Credential) -> Self {
        if credential.state == State::Revoked {
            return Self::default();
        }
        let overlap = credential.overlap.as_ref();
        Self {
            current: Some(credential.secret.mac.pepper),
            overlap: overlap.map(|overlap| (overlap.secret.mac.pepper, overlap.ends_at)),
            sealing: credential.sealed.as_deref().and_then(sealed_under),
        }
    }

    /// Whether a secret that is good at a time needs a version of the pepper.
    #[must_use]
    pub fn pepper(&self, version: KeyVersion, now: Timestamp) -> bool {
        self.current == Some(version)
            || self
                .overlap
                .is_some_and(|(held, ends_at)| held == version && ends_at > now)
    }
}

/// What remains on each version.
#[derive(Debug, Default)]
pub struct KeyUse {
    peppers: BTreeMap<KeyVersion, Secrets>,
    sealing: BTreeMap<KeyVersion, Sealed>,
}

#[derive(Debug, Default)]
struct Secrets {
    current: u64,
    /// Those that end, by when: nobody writes a record when they do.
    ending: BTreeSet<(Timestamp, CredentialId)>,
}

#[derive(Debug, Default)]
struct Sealed {
    viewable: u64,
    requests: u64,
}

/// What remains on a version of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remaining {
    /// Of a pepper: secrets. Of a sealing key: secrets that can be viewed again.
    pub secrets: u64,
    /// Of a sealing key: requests that are remembered.
    pub requests: u64,
}

impl fmt::Display for Remaining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |number| if number == 1 { "" } else { "s" };
        let Self { secrets, requests } = *self;
        write!(f, "{secrets} secret{}", plural(secrets))?;
        if requests > 0 {
            write!(f, " and {requests} remembered request{}", plural(requests))?;
        }
        f.write_str(if secrets + requests == 1 {
            " remains"
        } else {
            " remain"
        })
    }
}

impl Remaining {
    /// Whether there is nothing.
    #[must_use]
    pub const fn is_nothing(self) -> bool {
        self.secrets == 0 && self.requests == 0
    }
}

impl KeyUse {
    /// Counts what a credential needs now in the place of what it needed before.
    pub(super) fn replace(&mut self, id: CredentialId, before: Needs, now: Needs) {
        if before != now {
            self.count(id, before, false);
            self.count(id, now, true);
        }
    }

    fn count(&mut self, id: CredentialId, needs: Needs, is_there: bool) {
        let Needs {
            current,
            overlap,
            sealing,
        } = needs;
        if let Some(version) = current {
            let secrets = self.peppers.entry(version).or_default();
            add(&mut secrets.current, is_there);
        }
        if let Some((version, ends_at)) = overlap {
            let ending = &mut self.peppers.entry(version).or_default().ending;
            if is_there {
                ending.insert((ends_at, id));
            } else {
                ending.remove(&(ends_at, id));
            }
        }
        if let Some(version) = sealing {
            let sealed = self.sealing.entry(version).or_default();
            add(&mut sealed.viewable, is_there);
        }
    }

    /// Counts a request, or counts it no more.
    pub(super) fn count_request(&mut self, request: &RequestRecord, is_there: bool) {
        for version in request.keys() {
            let sealed = self.sealing.entry(version).or_default();
            add(&mut sealed.requests, is_there);
        }
    }

    /// What remains on a version at a time. What has ended by then is not counted
    /// again, whatever the clock says later: it costs nobody a second look.
    pub fn remaining(&mut self, kind: KeyKind, version: KeyVersion, now: Timestamp) -> Remaining {
        match kind {
            KeyKind::Pepper => {
                let Some(secrets) = self.peppers.get_mut(&version) else {
                    return Remaining::default();
                };
                let ending = &mut secrets.ending;
                if ending.first().is_some_and(|(ends_at, _)| *ends_at <= now) {
                    *ending = ending.split_off(&(now, CredentialId::MAX));
                }
                Remaining {
                    secrets: secrets.current + ending.len() as u64,
                    requests: 0,
                }
            }
            KeyKind::Sealing => {
                let sealed = self.sealing.get(&version);
                sealed.map_or_else(Remaining::default, |sealed| Remaining {
                    secrets: sealed.viewable,
                    requests: sealed.requests,
                })
            }
        }
    }

    /// The versions on which anything remained at any time since the start.
    #[must_use]
    pub fn versions(&self, kind: KeyKind) -> Vec<KeyVersion> {
        match kind {
            KeyKind::Pepper => self.peppers.keys().copied().collect(),
            KeyKind::Sealing => self.sealing.keys().copied().collect(),
        }
    }
}

fn add(count: &mut u64, is_there: bool) {
    if is_there {
        *count += 1;
    } else {
        *count = count.saturating_sub(1);
    }
}
