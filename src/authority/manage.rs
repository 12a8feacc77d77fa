//! Issuing, showing and changing credentials and the directory.

use std::sync::Arc;

use super::Authority;
use super::command::{
    Answer, Command, DirectoryCommand, Import, Issue, Known, NewId, Refusal, Request, Reveal,
    Rotate, SetState, Texts, Update, WithSecret,
};
use super::committer::{CommandError, Done, How};
use super::directory::KnownProfile;
use super::entry::Entry;
use super::impact::Impact;
use super::list::{Filter, Order, Place, Whose};
use crate::domain::credential::{Credential, Stored, Uses};
use crate::domain::expiry::Wish;
use crate::domain::id::{CredentialId, RequestId};
use crate::domain::names::{Owner, Principal, ProfileName, Reason, Tenant};
use crate::domain::random::{self, RandomUnavailable};
use crate::domain::revision::Revision;
use crate::domain::secret::Secret;

/// A credential to issue, without what credd adds to it.
#[derive(Clone, Debug)]
pub struct NewCredential {
    /// The tenant.
    pub tenant: Tenant,
    /// The owner.
    pub owner: Owner,
    /// The name of its profile.
    pub profile: ProfileName,
    /// What it says.
    pub texts: Texts,
    /// When it is to expire.
    pub expiry: Wish,
}

/// Who asks for a change, and how.
#[derive(Clone, Debug)]
pub struct Asked {
    /// By whom, and whether for good.
    pub how: How,
    /// Why.
    pub reason: Reason,
    /// Whether the caller may do this only as the owner.
    pub as_owner: bool,
    /// What makes it safe to send again.
    pub request: Option<Request>,
    /// The revision of what is changed that the caller knows.
    pub expected: Option<Revision>,
}

impl Asked {
    /// By credd itself, without further ado.
    #[must_use]
    pub fn by_credd() -> Self {
        Self {
            how: How::BY_CREDD,
            reason: Reason::trusted("".into()),
            as_owner: false,
            request: None,
            expected: None,
        }
    }
}

/// A credential as it is shown.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The record.
    pub stored: Stored,
    /// When it was used.
    pub uses: Uses,
    /// The profile by which it was issued.
    pub profile: Option<Arc<KnownProfile>>,
}

/// A credential that has got a secret.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The credential.
    pub shown: Shown,
    /// Its secret.
    pub secret: Secret,
    /// The commit that made the secret.
    pub made: Revision,
    /// The credentials that were revoked in its favour; of a dry run: as they are.
    pub replaced: Vec<Shown>,
    /// What that, or the end of its earlier secrets, touches.
    pub impact: Impact,
}

/// A credential that was changed, or would be.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The credential.
    pub shown: Shown,
    /// What that touches.
    pub impact: Impact,
}

/// Credentials that were changed together, or would be.
#[derive(Clone, Debug)]
pub struct ChangedAll {
    /// The last commit that changed one.
    pub revision: Revision,
    /// What that touches.
    pub impact: Impact,
}

/// Why no secret was made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum IssueError {
    /// The command came to nothing.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// There is no secret to be had; nothing changed.
    #[error(transparent)]
    Random(#[from] RandomUnavailable),
}

impl Authority {
    /// Issues a credential.
    ///
    /// # Errors
    ///
    /// [`IssueError`].
    pub async fn issue(&self, new: NewCredential, asked: Asked) -> Result<Issued, IssueError> {
        let secret = Secret::new(random::bytes(self.random())?);
        let id = NewId::Next(random::bytes(self.random())?);
        self.issue_as(new, asked, id, secret).await
    }

    /// Issues a credential with an id and a secret that were drawn before.
    ///
    /// # Errors
    ///
    /// [`IssueError`].
    pub async fn issue_as(
        &self,
        new: NewCredential,
        asked: Asked,
        id: NewId,
        secret: Secret,
    ) -> Result<Issued, IssueError> {
        let NewCredential {
            tenant,
            owner,
            profile,
            texts,
            expiry,
        } = new;
        let Asked {
            how,
            reason,
            as_owner,
            request,
            expected,
        } = asked;
        let by = how.origin.principal();
        let command = Command::Issue(Box::new(Issue {
            tenant,
            owner,
            profile,
            texts,
            expiry,
            secret,
            id,
            request,
            reason,
            by,
            as_owner,
            expected,
        }));
        let done = self.commands.run(command, how).await?;
        let mut issued = self.with_secret(done)?;
        for replaced in &issued.replaced {
            issued.impact.add(&replaced.uses, true);
        }
        Ok(issued)
    }

    /// Gives a credential a new secret.
    ///
    /// # Errors
    ///
    /// [`IssueError`].
    pub async fn rotate(
        &self,
        id: CredentialId,
        overlap: std::time::Duration,
        end_overlap: bool,
        asked: Asked,
    ) -> Result<Issued, IssueError> {
        let Asked {
            how,
            reason,
            as_owner,
            request,
            expected,
        } = asked;
        let by = how.origin.principal();
        let command = Command::Rotate(Box::new(Rotate {
            id,
            secret: Secret::new(random::bytes(self.random())?),
            overlap,
            end_overlap,
            request,
            reason,
            by,
            as_owner,
            expected,
        }));
        let done = self.commands.run(command, how).await?;
        let mut issued = self.with_secret(done)?;
        let credential = &issued.shown.stored.credential;
        let still = credential.overlap.as_ref();
        let still = still.map(|overlap| overlap.secret.generation);
        let now = credential.secret.generation;
        issued
            .impact
            .add_of(&issued.shown.uses, true, |generation| {
                generation != now && Some(generation) != still
            });
        Ok(issued)
    }

    /// Brings credentials from elsewhere, all or none.
    ///
    /// # Errors
    ///
    /// [`CommandError`].
    pub async fn import(
        &self,
        import: Import,
        how: How,
    ) -> Result<(Vec<Shown>, Revision), CommandError> {
        let done = self
            .commands
            .run(Command::Import(Box::new(import)), how)
            .await?;
        let Answer::Credentials(imported) = done.answer else {
            return Err(CommandError::StoreFailed);
        };
        let shown = imported
            .into_iter()
            .map(|known| self.shown(known, done.revision));
        Ok((shown.collect(), done.revision))
    }

    /// Locks, unlocks or revokes a credential. The answer is the credential as
    /// it is then; if it was so before, nothing is written.
    ///
    /// # Errors
    ///
    /// [`CommandError`].
    pub async fn set_state(&self, ask: SetState, how: How) -> Result<Changed, CommandError> {
        self.changed(Command::SetState(ask), how).await
    }

    /// Changes what a credential says.
    ///
    /// # Errors
    ///
    /// [`CommandError`].
    pub async fn update(&self, update: Update, how: How) -> Result<Changed, CommandError> {
        let (_, before) = self.index.read(|index| index.credential(update.id));
        let mut changed = self.changed(Command::Update(Box::new(update)), how).await?;
        let after = &changed.shown.stored.credential;
        let loses = before.is_some_and(|before| {
            let roles: Vec<_> = before.roles(self.index.names()).collect();
            let has = |named: &str| after.roles.iter().any(|role| role.as_str() == named);
            // A credential without roles has all roles of its owner.
            let fewer_roles =
                !after.roles.is_empty() && (roles.is_empty() || !roles.into_iter().all(has));
            let sooner = after
                .expires_at
                .is_some_and(|expiry| before.expires_at().is_none_or(|earlier| expiry < earlier));
            fewer_roles || sooner
        });
        if !loses {
            changed.impact.spare();
        }
        Ok(changed)
    }

    /// Does to all of these credentials what `ask` makes of each. Those that can't be
    /// changed are left as they are.
    ///
    /// # Errors
    ///
    /// [`CommandError`]; some of them are changed by then.
    pub async fn set_state_of_all(
        &self,
        ids: &[CredentialId],
        ask: impl Fn(CredentialId) -> SetState,
        how: &How,
    ) -> Result<ChangedAll, CommandError> {
        let mut impact = Impact::default();
        let mut last = self.index.revision();
        for ids in ids.chunks(BATCH) {
            let commands = ids.iter().map(|id| Command::SetState(ask(*id)));
            let done = self.commands.run_all(commands.collect(), how).await;
            for (id, done) in ids.iter().zip(done) {
                let changes = match done {
                    Ok(done) => {
                        last = last.max(done.revision);
                        done.changes
                    }
                    Err(
                        error @ CommandError::Refused(
                            Refusal::CallerGone | Refusal::NotPermitted(_),
                        ),
                    ) => return Err(error),
                    Err(CommandError::Refused(_)) => false,
                    Err(error) => return Err(error),
                };
                let (_, entry) = self.index.read(|index| index.credential(*id));
                let uses = entry.filter(|_| changes).map(|entry| entry.uses());
                impact.add(&uses.unwrap_or_default(), changes);
            }
        }
        Ok(ChangedAll {
            revision: last,
            impact,
        })
    }

    /// The credentials that a filter lets through; credd's own only where it names
    /// their tenant. Takes time for each that there is.
    #[must_use]
    pub fn matching(&self, filter: &Filter) -> Vec<CredentialId> {
        let (directory, names) = (self.index.directory(), self.index.names());
        let spared = match filter.whose {
            Whose::All => directory.tenant(Tenant::CREDD, names),
            Whose::Tenant(_) | Whose::Owner(..) => None,
        };
        let mut ids = Vec::new();
        let mut after = Place::START;
        loop {
            let page = self.list(filter, Order::Created, after, BATCH);
            let matching = page.entries.iter();
            let matching = matching.filter(|entry| Some(entry.tenant()) != spared);
            ids.extend(matching.map(|entry| entry.id()));
            match page.next {
                Some(next) => after = next,
                None => return ids,
            }
        }
    }

    /// Changes the directory.
    ///
    /// # Errors
    ///
    /// [`CommandError`].
    pub async fn change_directory(
        &self,
        command: DirectoryCommand,
        how: How,
    ) -> Result<Done, CommandError> {
        let command = Command::Directory(Box::new(command));
        self.commands.run(command, how).await
    }

    /// A credential, and the revision as of which it is so.
    #[must_use]
    pub fn get(&self, id: CredentialId) -> (Revision, Option<Shown>) {
        let (revision, entry) = self.index.read(|index| index.credential(id));
        (revision, entry.map(|entry| self.show(&entry)))
    }

    /// An entry as it is shown.
    #[must_use]
    pub fn show(&self, entry: &Entry) -> Shown {
        let (names, directory) = (self.index.names(), self.index.directory());
        Shown {
            stored: entry.to_stored(names, directory),
            uses: entry.uses(),
            profile: directory.profile(entry.profile()).cloned(),
        }
    }

    /// The current secret of a credential that can be viewed again. The audit log
    /// tells of it by then.
    ///
    /// # Errors
    ///
    /// [`CommandError`].
    pub async fn reveal(&self, reveal: Reveal, how: How) -> Result<Issued, CommandError> {
        let done = self.commands.run(Command::Reveal(reveal), how).await?;
        self.with_secret(done)
    }

    /// What makes a request safe to send again: `rpc`, `tenant` and `request` are
    /// what is asked, `by` who asks.
    #[must_use]
    pub fn request(
        &self,
        id: RequestId,
        by: &Principal,
        rpc: &str,
        tenant: &str,
        request: &[u8],
    ) -> Request {
        let by = by.as_str().as_bytes();
        let (rpc, tenant) = (rpc.as_bytes(), tenant.as_bytes());
        let keyring = self.keys.current();
        let asked = keyring.request_names(&[b"what", by, rpc, tenant, request]);
        Request {
            names: keyring.request_names(&[b"who", by, id.as_bytes()]),
            asked: asked.into_iter().map(|(_, asked)| asked).collect(),
            id,
        }
    }

    /// Carries out a command of credd's own.
    ///
    /// # Errors
    ///
    /// [`CommandError`].
    pub async fn run(&self, command: Command) -> Result<Done, CommandError> {
        self.commands.run(command, How::BY_CREDD).await
    }

    /// Carries out a command as it is asked for.
    ///
    /// # Errors
    ///
    /// [`CommandError`].
    pub async fn run_as(&self, command: Command, how: How) -> Result<Done, CommandError> {
        self.commands.run(command, how).await
    }

    async fn changed(&self, command: Command, how: How) -> Result<Changed, CommandError> {
        let done = self.commands.run(command, how).await?;
        let Answer::Credential(known) = done.answer else {
            return Err(CommandError::StoreFailed);
        };
        let shown = self.shown(known, done.revision);
        let mut impact = Impact::default();
        impact.add(&shown.uses, done.changes);
        Ok(Changed { shown, impact })
    }

    fn with_secret(&self, done: Done) -> Result<Issued, CommandError> {
        let Answer::Secret(answer) = done.answer else {
            return Err(CommandError::StoreFailed);
        };
        let WithSecret {
            credential,
            secret,
            made,
            replaced,
        } = *answer;
        let replaced = replaced.into_iter();
        Ok(Issued {
            shown: self.shown(credential, done.revision),
            secret,
            made: made.unwrap_or(done.revision),
            replaced: replaced
                .map(|known| self.shown(known, done.revision))
                .collect(),
            impact: Impact::default(),
        })
    }

    /// A credential that a command was answered with, as it is shown.
    fn shown(&self, known: Known, revision: Revision) -> Shown {
        let stored = known.at(revision);
        let Credential { id, profile, .. } = &stored.credential;
        let (_, (uses, profile)) = self.index.read(|index| {
            let (directory, names) = (index.directory(), index.names());
            let uses = index.credential(*id).map(|entry| entry.uses());
            let number = directory.find_profile(profile, names);
            let profile = number.and_then(|number| directory.profile(number).cloned());
            (uses.unwrap_or_default(), profile)
        });
        Shown {
            stored,
            uses,
            profile,
        }
    }
}

/// How many credentials are changed at once.
const BATCH: usize = 1000;

impl From<Refusal> for IssueError {
    fn from(refusal: Refusal) -> Self {
        Self::Command(refusal.into())
    }
}
