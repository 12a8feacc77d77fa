//! What a change does: pure functions from what is known, a command and the
//! time to what is to be written and answered.

use std::sync::Arc;

use bytes::Bytes;

use super::audit::{Erasure, Trimming};
use super::directory::KnownProfile;
use super::key_use::Remaining;
use super::record::{
    Incarnation, Node, Record, RequestName, RequestRecord, credential_key, format_key, keyring_key,
    node_key, owner_key, request_key,
};
use crate::domain::audit::Event;
use crate::domain::closed::Closed;
use crate::domain::credential::{Credential, Set, Stored, Use, Uses};
use crate::domain::directory::{
    OwnerRecord, OwnerRef, ProfileRecord, RoleRecord, RoleRef, TenantRecord,
};
use crate::domain::header::HeaderRule;
use crate::domain::id::CredentialId;
use crate::domain::keyring::{KeyKind, KeyVersion, Keyring, KeyringState, Mac};
use crate::domain::names::{Principal, ProfileName, Tenant};
use crate::domain::permission::Permission;
use crate::domain::profile::{ProfileFamily, ProfileRef};
use crate::domain::random::Random;
use crate::domain::restored::Restored;
use crate::domain::revision::Revision;
use crate::domain::rights::{Binding, BindingRecord, Given, Held};
use crate::domain::secret::Secret;
use crate::domain::time::Timestamp;
use crate::store::Guard;

mod administrators;
mod directory;
pub(in crate::authority) mod giving;
mod ids;
mod issue;
mod keys;
mod known;
mod life;
mod quota;
mod request;
mod restore;
mod reveal;
mod upkeep;

pub use directory::{DirectoryCommand, PutOwner, PutProfile, PutRole, PutTenant, What};
pub use ids::{IdSequence, NewId};
pub use issue::{Import, ImportItem, ImportedSecret, Issue, Texts};
pub use keys::{EndSecrets, NoteKeys, Rekey, Remade, RetireKey, RotateKey};
pub use known::{Known, KnownOwner, KnownRecord};
pub use life::{Changes, ReportLeak, Rotate, SetState, Update, sealing_context};
pub use quota::Quotas;
pub use request::{REFUSED_FOR, REPLAYED_FOR, Request};
pub(crate) use restore::{IMPORT, IMPORTED_FROM, RESTORE, RESTORED_FROM, TAKEN_BACK};
pub use restore::{Lost, Restore};
pub use reveal::{NotRevealed, Reveal};

/// A change that somebody asks for.
#[derive(Clone, Debug)]
pub enum Command {
    /// Issues a credential.
    Issue(Box<Issue>),
    /// Brings credentials from elsewhere.
    Import(Box<Import>),
    /// Locks, unlocks or revokes one.
    SetState(SetState),
    /// Changes texts, roles or expiry of one.
    Update(Box<Update>),
    /// Gives one a new secret.
    Rotate(Box<Rotate>),
    /// Shows the secret of one again.
    Reveal(Reveal),
    /// Locks one whose secret was found where it should not be.
    ReportLeak(ReportLeak),
    /// Changes a tenant, an owner, a role or a profile.
    Directory(Box<DirectoryCommand>),
    /// Records uses.
    RecordUses(Vec<(CredentialId, Use)>),
    /// Tells that the expiry of credentials has come.
    TellExpiry(Vec<CredentialId>),
    /// Removes credentials that were revoked or expired long ago.
    Remove(Vec<CredentialId>),
    /// Deletes what is left of credentials that were removed, and of requests.
    Forget(Vec<CredentialId>, Vec<RequestName>),
    /// Tells the audit log of what was counted.
    RecordEvents(Vec<Event>),
    /// Erases what records of the audit log say.
    EraseEvents(Erasure),
    /// Removes the oldest part of the audit log.
    TrimAudit(Trimming),
    /// Notes keys that were loaded.
    NoteKeys(NoteKeys),
    /// Makes a version of a key the active one.
    RotateKey(RotateKey),
    /// Retires a version of a key.
    RetireKey(RetireKey),
    /// Ends what needs a version of the pepper.
    EndSecrets(EndSecrets),
    /// Takes over what was made anew with active keys.
    Rekey(Vec<Rekey>),
    /// Says what a process that works on the store says of itself.
    Beat(Incarnation, Arc<Node>),
    /// Removes what processes that are no more said, if these commits wrote it.
    Bury(Vec<(Incarnation, Revision)>),
    /// Does nothing, for who waits for what was done before.
    Fence,
    /// Does what a restore asks for.
    Restore(Box<Restore>),
    /// Has records written in this format.
    Upgrade(u8),
}

impl Command {
    /// The keys of what it is about: while a command before it in its group
    /// writes one of them, it waits.
    #[must_use]
    pub fn subjects(&self) -> Vec<Bytes> {
        let requests = |request: &Option<Request>| {
            let names = request.iter().flat_map(|request| &request.names);
            names.map(|(_, name)| request_key(name)).collect::<Vec<_>>()
        };
        match self {
            Self::Issue(issue) => requests(&issue.request),
            Self::SetState(set_state) => vec![credential_key(set_state.id)],
            Self::Update(update) => vec![credential_key(update.id)],
            Self::Rotate(rotate) => {
                let mut keys = requests(&rotate.request);
                keys.push(credential_key(rotate.id));
                keys
            }
            Self::Reveal(reveal) => vec![credential_key(reveal.id)],
            Self::ReportLeak(report) => vec![credential_key(report.id)],
            Self::EndSecrets(end) => vec![credential_key(end.id)],
            Self::NoteKeys(_) | Self::RotateKey(_) | Self::RetireKey(_) => vec![keyring_key()],
            Self::TellExpiry(ids) | Self::Remove(ids) => {
                ids.iter().map(|id| credential_key(*id)).collect()
            }
            Self::Directory(command) => command.subjects(),
            Self::Beat(name, _) => vec![node_key(*name)],
            Self::Bury(nodes) => nodes.iter().map(|(name, _)| node_key(*name)).collect(),
            Self::Restore(restore) => restore.subjects(),
            Self::Upgrade(_) => vec![format_key()],
            Self::Import(_)
            | Self::RecordUses(_)
            | Self::Forget(..)
            | Self::Rekey(_)
            | Self::RecordEvents(_)
            | Self::EraseEvents(_)
            | Self::TrimAudit(_)
            | Self::Fence => Vec::new(),
        }
    }

    /// What it is counted by among those that wait for the same.
    #[must_use]
    pub fn crowd(&self) -> Bytes {
        match self {
            _ if self.is_first() => Bytes::from_static(b"first"),
            Self::Issue(issue) => owner_key(&OwnerRef {
                tenant: issue.tenant.clone(),
                name: issue.owner.clone(),
            }),
            command => command.subjects().pop().unwrap_or_default(),
        }
    }

    /// Whether it is asked for by a permission, and not as an owner may who needs
    /// none: what the owner may is less, or nothing of the kind.
    #[must_use]
    pub(in crate::authority) fn needs_permission(&self) -> bool {
        match self {
            Self::Issue(ask) => !ask.as_owner,
            Self::Update(ask) => !ask.as_owner,
            Self::Rotate(ask) => !ask.as_owner,
            // No owner may unlock, and the others may do all that a permission lets.
            Self::SetState(ask) => ask.set == Set::Unlock,
            Self::Reveal(_) | Self::ReportLeak(_) => false,
            Self::Directory(command) => !matches!(command.what, What::SetDefaultSource(..)),
            _ => true,
        }
    }

    /// Whether it looks at more than [`View`] can show of a group: it is then the
    /// first of its group.
    #[must_use]
    pub fn is_first(&self) -> bool {
        match self {
            Self::Directory(command) => command.is_first(),
            Self::Import(_) => true,
            Self::Restore(restore) => restore.is_first(),
            _ => self.is_alone(),
        }
    }

    /// What must be as it was read before it was asked for.
    #[must_use]
    pub(in crate::authority) fn guards(&self) -> Vec<Guard> {
        match self {
            Self::TrimAudit(trimming) => trimming.guards(),
            Self::EraseEvents(erasure) => erasure.guards(),
            _ => Vec::new(),
        }
    }

    /// Whether what it does depends on more than the records that it writes.
    #[must_use]
    pub const fn looks(&self) -> bool {
        !matches!(self, Self::Beat(..) | Self::Bury(_) | Self::RecordUses(_))
    }

    /// Whether it is the only one of its group: others that are refused for want of
    /// room must not take it with them.
    #[must_use]
    pub const fn is_alone(&self) -> bool {
        matches!(self, Self::Beat(..))
    }
}

/// What a command may look at. Whatever it looks at stays as it is until the
/// command's writes are committed, or the command is decided anew.
pub trait View {
    /// The credential of an id.
    fn credential(&self, id: CredentialId) -> Option<Known>;
    /// Whether there is a credential of this id.
    fn exists(&self, id: CredentialId) -> bool {
        self.credential(id).is_some()
    }
    /// The stored uses of a credential.
    fn uses(&self, id: CredentialId) -> Uses;
    /// Every credential of credd's own tenant.
    fn callers(&self) -> Vec<Known>;
    /// Every credential of an owner that is of a profile, of whatever version.
    fn of_owner(&self, owner: &OwnerRef, profile: &ProfileFamily) -> Vec<Known>;
    /// Whether an owner has a credential that is not revoked and can be shown again.
    fn shows_any(&self, owner: &OwnerRef) -> bool;
    /// How many credentials of a tenant are not revoked.
    fn count_of_tenant(&self, tenant: &Tenant) -> u64;
    /// The same of an owner.
    fn count_of_owner(&self, owner: &OwnerRef) -> u64;
    /// Whether a secret that was made elsewhere is held already.
    fn holds_imported(&self, tenant: &Tenant, mac: &Mac) -> bool;
    /// A request that was carried out, and the commit that did.
    fn request(&self, name: &RequestName) -> Option<(Arc<RequestRecord>, Revision)>;

    /// The requests that made secrets of a credential.
    fn requests_of(&self, id: CredentialId) -> Vec<(RequestName, Arc<RequestRecord>)>;

    /// The keys that the store was used with, and the commit that wrote that.
    fn keyring(&self) -> Option<(Arc<KeyringState>, Revision)>;
    /// What the store was restored from; as of the last commit.
    fn restored(&self) -> Option<Arc<Restored>>;
    /// What remains on a version of a key at a time. As of the last commit: what a
    /// group adds is made with the active ones.
    fn remaining(&self, kind: KeyKind, version: KeyVersion, now: Timestamp) -> Remaining;
    /// Whether a record beside that of a credential says what was made anew of its
    /// secrets.
    fn is_rekeyed(&self, id: CredentialId) -> bool;

    /// The roles that a principal has on credd. As of the last commit: what the group
    /// changes may be taken to come after whoever looks.
    fn held(&self, principal: &Principal) -> Vec<Held>;
    /// The owners that a principal is, disabled ones too; likewise.
    fn owners_of(&self, principal: &Principal) -> Vec<OwnerRef>;
    /// Whether neither an owner nor its tenant is disabled; likewise.
    fn is_able(&self, owner: &OwnerRef) -> bool;
    /// A binding, put or configured.
    fn binding(&self, binding: &Binding) -> Option<KnownRecord<BindingRecord>>;
    /// The bindings that give a role on all tenants.
    fn bound_everywhere(&self, role: &str) -> Vec<Binding>;

    /// Why nobody is to be answered from the store, if nobody is; as of the last commit.
    fn closed(&self) -> Option<Closed>;
    /// In which format records are written; as of the last commit.
    fn format(&self) -> u8;
    /// How many processes that work on the store can't read records of a format.
    fn too_old_for(&self, format: u8) -> usize;
    /// The commit that wrote the record of a process.
    fn node_revision(&self, name: Incarnation) -> Option<Revision>;

    /// The record of a tenant.
    fn tenant(&self, tenant: &Tenant) -> Option<KnownRecord<TenantRecord>>;
    /// The record of an owner.
    fn owner(&self, owner: &OwnerRef) -> Option<KnownRecord<OwnerRecord>>;
    /// A role, put or built in.
    fn role(&self, role: &RoleRef) -> Option<KnownRecord<RoleRecord>>;
    /// A version of a profile.
    fn profile(&self, profile: &ProfileRef) -> Option<Arc<KnownProfile>>;
    /// The latest version of the profile that a tenant has under a name.
    fn profile_for(&self, tenant: &Tenant, name: &ProfileName) -> Option<Arc<KnownProfile>>;

    // What only the first command of a group looks at.

    /// The latest version of a profile.
    fn latest(&self, profile: &ProfileFamily) -> Option<Arc<KnownProfile>>;
    /// The headers in which credentials of this version of a profile or an earlier one are
    /// presented; as of the last commit.
    fn accepted_headers(&self, known: &KnownProfile) -> Vec<HeaderRule>;
    /// The profiles of that name, of whatever scope.
    fn profiles_named(&self, name: &ProfileName) -> Vec<Arc<KnownProfile>>;
    /// What keeps a tenant from being deleted.
    fn tenant_in_use(&self, tenant: &Tenant) -> bool;
    /// Whether a tenant has anything at all, or a record.
    fn tenant_exists(&self, tenant: &Tenant) -> bool;
    /// Whether an owner has credentials.
    fn owner_in_use(&self, owner: &OwnerRef) -> bool;
    /// Whether an owner, a credential or a profile names a role.
    fn role_in_use(&self, role: &RoleRef) -> bool;
    /// Whether there are credentials of a profile.
    fn profile_in_use(&self, profile: &ProfileFamily) -> bool;
    /// The owner of a tenant whom a principal names.
    fn owner_named(
        &self,
        tenant: &Tenant,
        principal: &crate::domain::names::PrincipalName,
    ) -> Option<crate::domain::names::Owner>;
}

/// The surroundings of a decision.
#[derive(Debug)]
pub struct Context<'a> {
    /// The time.
    pub now: Timestamp,
    /// The keys.
    pub keyring: &'a Keyring,
    /// The source of nonces.
    pub random: &'a dyn Random,
    /// How many credentials there may be.
    pub quotas: Quotas,
    /// Ids for new credentials.
    pub ids: &'a mut IdSequence,
}

/// What a command writes and answers.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The records to write; none: what was asked for is so already.
    pub writes: Vec<Record>,
    /// The answer, as it is afterwards.
    pub answer: Answer,
}

/// What a command is answered with.
#[derive(Clone, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "it is passed on once, and never kept"
)]
pub enum Answer {
    /// Nothing.
    Nothing,
    /// A credential.
    Credential(Known),
    /// A credential with its secret.
    Secret(Box<WithSecret>),
    /// Credentials.
    Credentials(Vec<Known>),
    /// A tenant.
    Tenant(KnownRecord<TenantRecord>),
    /// An owner.
    Owner(KnownRecord<OwnerRecord>),
    /// A role.
    Role(KnownRecord<RoleRecord>),
    /// A profile.
    Profile(ProfileRef, KnownRecord<ProfileRecord>),
    /// A binding.
    Binding(KnownRecord<BindingRecord>),
    /// A key: the commit that made it what it is; `None`: one that is to come.
    Key(Option<Revision>),
}

/// A credential with its secret.
#[derive(Clone, Debug)]
pub struct WithSecret {
    /// The credential.
    pub credential: Known,
    /// Its current secret.
    pub secret: Secret,
    /// The commit that made the secret; `None`: the one that is to come.
    pub made: Option<Revision>,
    /// The credentials that were revoked in its favour, as they were before.
    pub replaced: Vec<Known>,
}

/// Why a command is not carried out. Nothing changes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Fields are not what they should be: each with its rule, which reads as the
    /// end of "`FIELD` ...".
    #[error("the request is invalid")]
    Invalid(Vec<(String, String)>),
    /// No credential has that id.
    #[error("there is no credential {0}")]
    NotFound(CredentialId),
    /// The credential is revoked, and nothing ends that.
    #[error("credential {0} is revoked, which is final")]
    Revoked(CredentialId),
    /// The credential has expired.
    #[error("credential {0} has expired")]
    Expired(CredentialId),
    /// The credential leaked, and only a rotation makes it good again.
    #[error("credential {0} leaked: rotate it without an overlap, which gives it a new secret")]
    Leaked(CredentialId),
    /// A credential has that id already.
    #[error("there is a credential {0} already")]
    Exists(CredentialId),
    /// The profile allows an owner one credential.
    #[error(
        "the owner has credential {0} already, and the profile allows one: revoke or rotate it"
    )]
    OneOnly(CredentialId),
    /// The secret before the current one is still good.
    #[error(
        "credential {0} has two good secrets until its overlap ends: set end_overlap to end it now"
    )]
    OverlapRunning(CredentialId),
    /// An imported secret is here already.
    #[error("the secret of credentials[{0}] is held already")]
    SecretExists(usize),
    /// Without it nobody could manage credd.
    #[error("credential {0} is the last one that can administer credd")]
    LastAdministrator(CredentialId),
    /// Likewise.
    #[error("the binding is the last by which credd can be administered")]
    LastBinding,
    /// It would give what the caller does not have.
    #[error("this gives {0}, which the caller does not have")]
    Exceeds(Given),
    /// What the caller is known by is no longer good.
    #[error("the caller is no longer known")]
    CallerGone,
    /// The caller may do this there no more.
    #[error("this needs the permission `{}`", .0.name())]
    NotPermitted(Permission),
    /// The secret that was reported is not good any more, and opens nothing.
    #[error("the secret is no longer good")]
    NotOurs,
    /// Only those who have the permission may issue by this profile.
    #[error("only those who may issue credentials may do so by this profile")]
    NotForOwners,
    /// The record is of another revision than the caller expects.
    #[error("it has changed since the expected revision: it is of revision {0}")]
    RevisionMismatch(Revision),
    /// The request was carried out, and its answer is not given again.
    #[error("the request was carried out: it made a secret of credential {0}")]
    RequestDone(CredentialId),
    /// Another request has that id.
    #[error("another request was sent with this request_id")]
    RequestIdReused,
    /// There is no such tenant, owner, role or profile.
    #[error("there is no such {}", .0.name())]
    Unknown(Thing),
    /// It was deleted, and its name is not given again.
    #[error("the {} was deleted, and its name is not given again", .0.name())]
    Deleted(Thing),
    /// It is disabled.
    #[error("the {} is disabled", .0.name())]
    Disabled(Thing),
    /// It can't be deleted while others name it.
    #[error("the {} is in use", .0.name())]
    InUse(Thing),
    /// It is part of credd, or of its configuration.
    #[error("the {} is built in, or configured", .0.name())]
    BuiltIn(Thing),
    /// Another scope has a profile of that name.
    #[error("there is a profile of that name for other tenants")]
    ProfileExists,
    /// Another owner of the tenant has the principal.
    #[error("another owner of the tenant has the principal {0}")]
    PrincipalTaken(String),
    /// There are as many credentials as there may be.
    #[error("the {} has as many credentials as it may have", .0.name())]
    QuotaExceeded(Thing),
    /// The secret is not shown again.
    #[error("the secret of credential {0} is not shown: {1}")]
    NotRevealed(CredentialId, NotRevealed),
    /// Too many commands wait for the same record. It may be asked for again.
    #[error("too many changes of the same record are waiting")]
    Crowded,
    /// No server ever loaded that version.
    #[error("there is no {0} version {1}")]
    KeyNotFound(KeyKind, KeyVersion),
    /// A server has not loaded that version.
    #[error("{0} version {1} is not loaded: add it to the keyring of every server")]
    KeyNotLoaded(KeyKind, KeyVersion),
    /// That version was retired, for good.
    #[error("{0} version {1} is retired")]
    KeyRetired(KeyKind, KeyVersion),
    /// That version is in use for all that is new.
    #[error("{0} version {1} is active: activate another before")]
    KeyActive(KeyKind, KeyVersion),
    /// Something remains on that version.
    #[error("{0} version {1} is in use: {2} on it")]
    KeyInUse(KeyKind, KeyVersion, Remaining),
    /// As many versions as may be are loaded or in use.
    #[error(
        "too many versions are loaded or in use: retire some, and take them out of the keyring"
    )]
    TooManyKeys,
    /// Servers work on the store that can't read a format.
    #[error("{servers} servers can't read records of format {format}: end them first")]
    FormatUnread {
        /// The format.
        format: u8,
        /// How many.
        servers: usize,
    },
    /// A profile was changed as often as it can be.
    #[error("the profile was changed {0} times, which is as often as one can be: put another")]
    TooManyVersions(u32),
    /// It writes more than fits in a commit of the store.
    #[error("the change is too large for one commit of the store")]
    TooLarge,
    /// The system has no random bytes.
    #[error(transparent)]
    Random(#[from] crate::domain::random::RandomUnavailable),
}

/// What stands in the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    /// A tenant.
    Tenant,
    /// An owner.
    Owner,
    /// A role.
    Role,
    /// A profile.
    Profile,
    /// A binding.
    Binding,
}

impl Thing {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Owner => "owner",
            Self::Role => "role",
            Self::Profile => "profile",
            Self::Binding => "binding",
        }
    }
}

impl Refusal {
    /// One field that is not what it should be.
    #[must_use]
    pub fn invalid(field: &str, rule: impl Into<String>) -> Self {
        Self::Invalid(vec![(field.to_owned(), rule.into())])
    }
}

/// Decides a command.
///
/// # Errors
///
/// A [`Refusal`], if what is asked for can't be.
pub fn decide(
    view: &dyn View,
    command: &Command,
    context: &mut Context<'_>,
) -> Result<Decision, Refusal> {
    let mut decision = decide_alone(view, command, context)?;
    keys::drop_rekeyed(view, &mut decision);
    Ok(decision)
}

fn decide_alone(
    view: &dyn View,
    command: &Command,
    context: &mut Context<'_>,
) -> Result<Decision, Refusal> {
    match command {
        Command::Issue(ask) => issue::issue(view, ask, context),
        Command::Import(ask) => issue::import(view, ask, context),
        Command::SetState(ask) => life::set_state(view, ask, context.now),
        Command::Update(ask) => life::update(view, ask, context.now),
        Command::Rotate(ask) => life::rotate(view, ask, context),
        Command::Reveal(ask) => reveal::reveal(view, ask, context),
        Command::ReportLeak(ask) => life::report_leak(view, ask, context.now),
        Command::Directory(ask) => directory::decide(view, ask, context.now),
        Command::RecordUses(uses) => Ok(upkeep::record_uses(view, uses)),
        Command::TellExpiry(ids) => Ok(upkeep::tell_expiry(view, ids, context.now)),
        Command::Remove(ids) => Ok(upkeep::remove(view, ids, context.now)),
        Command::Forget(credentials, requests) => Ok(upkeep::forget(credentials, requests)),
        Command::RecordEvents(_) | Command::Fence => Ok(Decision::nothing(Answer::Nothing)),
        Command::EraseEvents(erasure) => Ok(Decision {
            writes: erasure.writes(),
            answer: Answer::Nothing,
        }),
        Command::TrimAudit(trimming) => Ok(Decision {
            writes: trimming.writes(),
            answer: Answer::Nothing,
        }),
        Command::NoteKeys(ask) => keys::note(view, ask),
        Command::RotateKey(ask) => keys::rotate(view, ask),
        Command::RetireKey(ask) => keys::retire(view, ask, context.now),
        Command::EndSecrets(ask) => keys::end_secrets(view, ask, context.now),
        Command::Rekey(made) => Ok(keys::rekey(view, made, context)),
        Command::Beat(name, node) => Ok(upkeep::beat(*name, node)),
        Command::Bury(nodes) => Ok(upkeep::bury(view, nodes)),
        Command::Restore(ask) => Ok(restore::decide(view, ask, context.now)),
        Command::Upgrade(to) => upkeep::upgrade(view, *to),
    }
}

/// Compares the revision that a caller expects with the one that there is.
fn expect(expected: Option<Revision>, found: Option<Revision>) -> Result<(), Refusal> {
    match expected {
        Some(expected) if found != Some(expected) => {
            Err(Refusal::RevisionMismatch(found.unwrap_or(Revision::ZERO)))
        }
        _ => Ok(()),
    }
}

impl Decision {
    fn nothing(answer: Answer) -> Self {
        Self {
            writes: Vec::new(),
            answer,
        }
    }

    fn write(credential: Credential) -> Self {
        let credential = Arc::new(credential);
        Self {
            writes: vec![credential_record(&credential)],
            answer: Answer::Credential(Known::Pending(credential)),
        }
    }
}

fn credential_record(credential: &Arc<Credential>) -> Record {
    Record::Credential(credential.id, Some(Arc::clone(credential)))
}

impl Answer {
    /// The credential that it is about, once the group was committed.
    #[must_use]
    pub fn credential(self, group: Revision) -> Option<Stored> {
        match self {
            Self::Credential(known) => Some(known.at(group)),
            Self::Secret(with) => Some(with.credential.at(group)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
