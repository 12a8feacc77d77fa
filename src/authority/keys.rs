//! The keys of a running server: those that it has loaded, and of these the ones
//! that the store says are active.
//!
//! They change while it runs. What the store says comes by the feed; the keys come
//! from a source that is looked at from time to time ([`Keys::refresh`]). Readers
//! take no lock.
//!
//! A version is loaded before it is activated, activated before anything is made
//! with it, and dropped only when it is retired and the source has it no more. So
//! whoever reads a record first and the keys after that finds the key that the
//! record needs.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;

use super::index::Index;
use crate::domain::keyring::{KeyKind, KeyProblem, KeyVersion, Keyring};

mod manage;
mod status;

pub use manage::{AskedOfKeys, KeyChanged, PepperRetired, RequestsForgotten};
pub use status::{KeyStatus, KeyringStatus};

/// Where keys come from.
pub trait KeySource: fmt::Debug + Send + Sync + 'static {
    /// The keys, unless the source is as it was when this was called last. Blocks.
    ///
    /// # Errors
    ///
    /// Why there are none; once as long as the source stays as it is. No error
    /// tells a key.
    fn read(&self) -> Result<Option<Keyring>, Box<dyn Error + Send + Sync>>;
}

/// The keys of a running server.
#[derive(Debug)]
pub struct Keys {
    current: ArcSwap<Keyring>,
    index: Arc<Index>,
    source: OnceLock<Box<dyn KeySource>>,
    /// Held while another keyring is put in the place of the current one.
    turn: Mutex<()>,
}

impl Keys {
    /// These keys, with those active that a store says are, as the index has it.
    #[must_use]
    pub fn new(keyring: Arc<Keyring>, index: Arc<Index>) -> Self {
        let keys = Self {
            current: ArcSwap::new(keyring),
            index,
            source: OnceLock::new(),
            turn: Mutex::new(()),
        };
        if let Err(problem) = keys.follow() {
            tracing::error!(%problem, "the active key is not loaded");
        }
        keys
    }

    /// The keys as they are now, for a moment.
    #[must_use]
    pub fn current(&self) -> Guard<Arc<Keyring>> {
        self.current.load()
    }

    /// The same, for longer.
    #[must_use]
    pub fn full(&self) -> Arc<Keyring> {
        self.current.load_full()
    }

    /// Says where more keys come from; the first who says so is heard.
    pub fn set_source(&self, source: impl KeySource) {
        let _ = self.source.set(Box::new(source));
    }

    /// Activates what the store says is active; the feed calls it when that has
    /// changed.
    ///
    /// # Errors
    ///
    /// [`KeyProblem`]: it is not loaded, and the one before it stays active. The process
    /// must end: what others make with the active key it can't read.
    pub(super) fn follow(&self) -> Result<(), KeyProblem> {
        let _turn = self.turn.lock();
        let Some((state, _)) = self.index.read(|index| index.keyring()).1 else {
            return Ok(());
        };
        let held = self.current.load_full();
        let active = |kind| state.of(kind).active().unwrap_or(held.active(kind));
        let keyring = held.activating(active(KeyKind::Pepper), active(KeyKind::Sealing))?;
        self.current.store(Arc::new(keyring));
        Ok(())
    }

    /// Looks for other keys at the source, and takes them. Whatever is wrong with
    /// them is logged, and the keys stay as they are. Blocks.
    pub fn refresh(&self) {
        let Some(source) = self.source.get() else {
            return;
        };
        match source.read() {
            Ok(None) => (),
            Ok(Some(new)) => self.take_and_tell(&new),
            Err(error) => {
                let mut why = error.to_string();
                let mut cause = error.source();
                while let Some(inner) = cause {
                    why = format!("{why}: {inner}");
                    cause = inner.source();
                }
                tracing::warn!(
                    why,
                    "the keyring can't be read again: the keys stay as they were"
                );
            }
        }
    }

    fn take_and_tell(&self, new: &Keyring) {
        match self.take(new) {
            Ok(kept) => {
                let loaded = self.current().checks();
                let versions = |kind| {
                    let versions = loaded.of(kind).iter();
                    let versions = versions.map(|(version, _)| version.to_string());
                    versions.collect::<Vec<_>>().join(", ")
                };
                let (peppers, sealing) = (versions(KeyKind::Pepper), versions(KeyKind::Sealing));
                tracing::info!(peppers, sealing, "read the keyring again");
                for (kind, version) in kept {
                    tracing::warn!(
                        "{kind} version {version} is no longer in the keyring, and is needed: \
                         it is kept in memory, but a server can't start without it"
                    );
                }
            }
            Err(problem) => {
                tracing::warn!(%problem, "the keyring is not taken: the keys stay as they were");
            }
        }
    }

    /// Takes other keys, and keeps those that are needed and not among them; returns
    /// which.
    ///
    /// # Errors
    ///
    /// [`KeyProblem::Differs`]: one is another than was loaded under its number.
    pub fn take(&self, new: &Keyring) -> Result<Vec<(KeyKind, KeyVersion)>, KeyProblem> {
        let _turn = self.turn.lock();
        let state = self.index.read(|index| index.keyring()).1;
        let state = state.map(|(state, _)| state).unwrap_or_default();
        let held = self.current.load_full();
        let (before, now) = (held.checks(), new.checks());
        state.same_keys(&now)?;
        for kind in KeyKind::ALL {
            for (version, check) in now.of(kind) {
                if before.find(kind, *version).is_some_and(|it| it != check) {
                    return Err(KeyProblem::Differs(kind, *version));
                }
            }
        }
        let is_needed = |kind, version| {
            let known = state.of(kind).get(version);
            known.is_some_and(|known| known.state.is_needed())
        };
        let taken = held.replaced_by(new, is_needed);
        let all = taken.checks();
        self.current.store(Arc::new(taken));
        let kept = KeyKind::ALL.into_iter().flat_map(|kind| {
            let versions = all
                .of(kind)
                .iter()
                .map(move |(version, _)| (kind, *version));
            versions.collect::<Vec<_>>()
        });
        Ok(kept
            .filter(|(kind, version)| now.find(*kind, *version).is_none())
            .collect())
    }
}

#[cfg(test)]
mod tests;
