//! Activating and retiring keys.

use std::sync::Arc;

use crate::authority::Authority;
use crate::authority::background;
use crate::authority::command::{
    Answer, Command, EndSecrets, NoteKeys, Refusal, RetireKey, RotateKey,
};
use crate::authority::committer::{CommandError, Done, How};
use crate::authority::impact::Impact;
use crate::authority::list::{Filter, Order, Place, Whose};
use crate::domain::credential::State;
use crate::domain::id::CredentialId;
use crate::domain::keyring::{KeyKind, KeyVersion};
use crate::domain::names::Reason;
use crate::domain::revision::Revision;

/// A change of a key that somebody asks for.
#[derive(Clone, Debug)]
pub struct AskedOfKeys {
    /// Which version.
    pub version: KeyVersion,
    /// By whom, and whether for good.
    pub how: How,
    /// Why.
    pub reason: Reason,
    /// The revision of what the store says of its keys that the caller knows.
    pub expected: Option<Revision>,
}

/// A key that was activated or retired, or would be.
#[derive(Clone, Copy, Debug)]
pub struct KeyChanged {
    /// The commit that did it; of a dry run: the revision as of which the answer is
    /// true.
    pub revision: Revision,
}

/// A pepper that was retired, or would be.
#[derive(Clone, Debug)]
pub struct PepperRetired {
    /// The commit.
    pub revision: Revision,
    /// What ended with it.
    pub impact: Impact,
}

/// A sealing key that was retired, or would be.
#[derive(Clone, Copy, Debug)]
pub struct RequestsForgotten {
    /// The commit.
    pub revision: Revision,
    /// How many requests were forgotten with it.
    pub requests: u64,
}

/// How many credentials are looked at, and how many are changed, at once.
const PAGE: usize = 1000;
/// How many requests are forgotten by one command.
const BATCH: usize = 128;

impl Authority {
    /// Looks for other keys where they come from.
    pub async fn refresh_keys(&self) {
        let keys = Arc::clone(&self.keys);
        // A panic ends the process.
        let _ = tokio::task::spawn_blocking(move || keys.refresh()).await;
    }

    /// Notes in the store the keys that are loaded, and, if it has none that are
    /// active, that those of the source's choice are.
    ///
    /// # Errors
    ///
    /// [`CommandError`].
    pub async fn note_keys(&self) -> Result<(), CommandError> {
        let keyring = self.keys.full();
        let loaded = keyring.checks();
        let (_, noted) = self.index.read(|index| index.keyring());
        let state = noted.map(|(state, _)| state).unwrap_or_default();
        let is_noted = KeyKind::ALL
            .iter()
            .all(|kind| state.of(*kind).active().is_some())
            && (*state).clone().noting(&loaded) == *state;
        if is_noted {
            return Ok(());
        }
        let command = Command::NoteKeys(NoteKeys {
            loaded,
            pepper: keyring.active(KeyKind::Pepper),
            sealing: keyring.active(KeyKind::Sealing),
        });
        self.run(command).await.map(drop)
    }

    /// Makes a version of a key the active one.
    ///
    /// # Errors
    ///
    /// [`CommandError`].
    pub async fn rotate_key(
        &self,
        kind: KeyKind,
        asked: AskedOfKeys,
    ) -> Result<KeyChanged, CommandError> {
        self.refresh_keys().await;
        let AskedOfKeys {
            version,
            how,
            reason,
            expected,
        } = asked;
        let by = how.origin.principal();
        let command = Command::RotateKey(RotateKey {
            kind,
            version,
            nodes: self.loaded_keys(),
            reason,
            by,
            expected,
        });
        let done = self.commands.run(command, how).await?;
        let revision = set_at(&done);
        Ok(KeyChanged { revision })
    }

    /// Retires a version of the pepper. What remains on it keeps it from that, unless
    /// by `force` it is ended before.
    ///
    /// # Errors
    ///
    /// [`CommandError`]; with `force` some of what remains may have ended by then.
    pub async fn retire_pepper(
        self: &Arc<Self>,
        asked: AskedOfKeys,
        force: bool,
    ) -> Result<PepperRetired, CommandError> {
        // What was presented before this is no obstacle.
        self.rekeys.flush().await;
        let mut impact = Impact::default();
        if force {
            // Before anything ends: can it be retired at all?
            let tried = self.retire(KeyKind::Pepper, &asked, true, true).await?;
            if !tried.changes {
                let revision = set_at(&tried);
                return Ok(PepperRetired { revision, impact });
            }
            let (authority, version) = (Arc::clone(self), asked.version);
            let under = background::work(move || authority.secrets_under(version));
            let ids = under.await.map_err(|_| CommandError::Stopping)?;
            // And whatever remains, can it end?
            self.end_secrets(&ids, &asked, true, &mut Impact::default())
                .await?;
            self.end_secrets(&ids, &asked, asked.how.dry, &mut impact)
                .await?;
        }
        let is_dealt_with = force && asked.how.dry;
        let done = self
            .retire(KeyKind::Pepper, &asked, is_dealt_with, asked.how.dry)
            .await?;
        let revision = set_at(&done);
        Ok(PepperRetired { revision, impact })
    }

    /// Retires a version of the sealing key. What remains on it keeps it from that;
    /// of that requests are forgotten before by `force`.
    ///
    /// # Errors
    ///
    /// [`CommandError`]; with `force` some requests may be forgotten by then.
    pub async fn retire_sealing_key(
        &self,
        asked: AskedOfKeys,
        force: bool,
    ) -> Result<RequestsForgotten, CommandError> {
        let mut requests = 0;
        if force {
            let tried = self.retire(KeyKind::Sealing, &asked, true, true).await?;
            let (_, (names, remaining)) = self.index.read(|index| {
                let remaining = index.remaining(KeyKind::Sealing, asked.version, self.now());
                (index.requests_under(asked.version), remaining)
            });
            if tried.changes && remaining.secrets > 0 {
                let refusal = Refusal::KeyInUse(KeyKind::Sealing, asked.version, remaining);
                return Err(refusal.into());
            }
            if tried.changes {
                requests = names.len() as u64;
                let most = BATCH.min(self.commands.most_writes());
                for names in names.chunks(most).filter(|_| !asked.how.dry) {
                    self.run(Command::Forget(Vec::new(), names.to_vec()))
                        .await?;
                }
            }
        }
        let is_dealt_with = force && asked.how.dry;
        let done = self
            .retire(KeyKind::Sealing, &asked, is_dealt_with, asked.how.dry)
            .await?;
        let revision = set_at(&done);
        Ok(RequestsForgotten { revision, requests })
    }

    async fn retire(
        &self,
        kind: KeyKind,
        asked: &AskedOfKeys,
        although_in_use: bool,
        dry: bool,
    ) -> Result<Done, CommandError> {
        let command = Command::RetireKey(RetireKey {
            kind,
            version: asked.version,
            although_in_use,
            reason: asked.reason.clone(),
            by: asked.how.origin.principal(),
            expected: asked.expected,
        });
        let how = How {
            dry,
            ..asked.how.clone()
        };
        self.commands.run(command, how).await
    }

    /// The credentials with a good secret that needs a version of the pepper. Takes
    /// time for each that there is; blocks.
    fn secrets_under(&self, version: KeyVersion) -> Vec<CredentialId> {
        let now = self.now();
        let mut ids = Vec::new();
        let mut after = Place::START;
        loop {
            let page = self.list(&Filter::all(Whose::All), Order::Created, after, PAGE);
            let needing = page.entries.iter();
            let needing = needing.filter(|entry| entry.needs().pepper(version, now));
            ids.extend(needing.map(|entry| entry.id()));
            match page.next {
                Some(next) => after = next,
                None => return ids,
            }
        }
    }

    async fn end_secrets(
        &self,
        ids: &[CredentialId],
        asked: &AskedOfKeys,
        dry: bool,
        impact: &mut Impact,
    ) -> Result<(), CommandError> {
        let by = asked.how.origin.principal();
        let how = How {
            dry,
            ..asked.how.clone()
        };
        for ids in ids.chunks(PAGE) {
            let commands = ids.iter().map(|id| {
                Command::EndSecrets(EndSecrets {
                    id: *id,
                    pepper: asked.version,
                    reason: asked.reason.clone(),
                    by: by.clone(),
                })
            });
            let done = self.commands.run_all(commands.collect(), &how).await;
            for (id, done) in ids.iter().zip(done) {
                let done = done?;
                // It was presented meanwhile, and nothing of it remains.
                if !done.changes {
                    continue;
                }
                let Some(stored) = done.answer.credential(done.revision) else {
                    continue;
                };
                let credential = stored.credential;
                let (_, entry) = self.index.read(|index| index.credential(*id));
                let uses = entry.map(|entry| entry.uses()).unwrap_or_default();
                let is_revoked = credential.state == State::Revoked;
                let ended = credential.retired.first().map(|ended| ended.generation);
                impact.add_of(&uses, true, |generation| {
                    is_revoked || Some(generation) == ended
                });
            }
        }
        Ok(())
    }
}

/// The commit that set the state of the key that a command was about.
fn set_at(done: &Done) -> Revision {
    match done.answer {
        Answer::Key(Some(revision)) => revision,
        _ => done.revision,
    }
}
