//! What callers may do, by what the index shows: when they are let in, and again
//! when what they asked for is decided, since they may have lost it while it waited.

use super::{Call, Caller, KnownBy, Party};
use crate::authority::command::{Answer, Command, Decision, Refusal};
use crate::authority::directory::OwnerNumber;
use crate::authority::entry::Entry;
use crate::authority::index::Index;
use crate::authority::record::Record;
use crate::domain::credential::Credential;
use crate::domain::directory::OwnerRef;
use crate::domain::id::CredentialId;
use crate::domain::judge::Verdict;
use crate::domain::names::{Owner, Tenant};
use crate::domain::permission::Permission;
use crate::domain::profile::Scope;
use crate::domain::rights::{Reach, Tenants};
use crate::domain::time::Timestamp;

/// What callers may do, as of what this index shows.
#[derive(Clone, Copy, Debug)]
pub(in crate::authority) struct May<'a>(pub(in crate::authority) &'a Index);

impl May<'_> {
    /// Refuses to write, or to show, what a caller may have no more: its credential is
    /// no longer good, or a permission, or the owner, is no longer its own.
    pub(in crate::authority) fn check(
        self,
        call: &Call,
        command: &Command,
        decision: &Decision,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let secret = match &decision.answer {
            Answer::Secret(with) => Some(with.credential.credential()),
            _ => None,
        };
        if decision.writes.is_empty() && secret.is_none() {
            return Ok(());
        }
        let party = &call.caller.party;
        let entry = party
            .credential()
            .and_then(|id| self.0.read(|index| index.credential(id)).1);
        let is_good = match party.known_by {
            KnownBy::Credential { .. } => self.is_good(party, entry.as_deref(), now),
            // What is good for a time was good when the call came.
            KnownBy::Until(_) | KnownBy::Name => is_trusted(party, now),
        };
        if !is_good {
            return Err(Refusal::CallerGone);
        }
        let reach = self.reach_with(&call.caller, entry.as_deref(), call.permission);
        let of_owner = |tenant: &Tenant, owner: &Owner| {
            reach.has(tenant.as_str())
                || !command.needs_permission() && self.is_owner_named(call, tenant, owner)
        };
        let may = |record: &Record| match record {
            Record::Credential(_, Some(credential)) => {
                of_owner(&credential.tenant, &credential.owner)
            }
            Record::Owner(OwnerRef { tenant, name }, _) => of_owner(tenant, name),
            Record::Role(role, _) => reach.has(role.tenant.as_str()),
            Record::Tenant(tenant, _) => reach.has(tenant.as_str()),
            Record::Profile(profile, _) => match &profile.family.scope {
                Scope::All => reach.include(&Reach::All),
                Scope::Tenant(tenant) => reach.has(tenant.as_str()),
            },
            Record::Binding(binding, _) => reach.include(&binding.reach),
            Record::Keyring(_) | Record::Restored(_) | Record::Closed(_) | Record::Format(_) => {
                reach.include(&Reach::All)
            }
            // Of the tenants that the caller had when the call came.
            Record::Audit(..) => reach.include_all(&call.reach),
            // They come with others, or from credd itself.
            Record::Credential(_, None)
            | Record::Uses(..)
            | Record::Request(..)
            | Record::Rekeyed(..)
            | Record::Node(..)
            | Record::Fence => true,
        };
        if let Command::SetState(ask) = command
            && ask.although_leaked
        {
            self.check_leaked(call, ask.id)?;
        }
        let may_see = |credential: &Credential| of_owner(&credential.tenant, &credential.owner);
        if decision.writes.iter().all(may) && secret.is_none_or(may_see) {
            Ok(())
        } else {
            Err(Refusal::NotPermitted(call.permission))
        }
    }

    /// Refuses to unlock what leaked to who may not by hand.
    fn check_leaked(self, call: &Call, id: CredentialId) -> Result<(), Refusal> {
        let needed = Permission::UnlockLeaked;
        let (directory, names) = (self.0.directory(), self.0.names());
        let (_, entry) = self.0.read(|index| index.credential(id));
        let leaked = entry.filter(|entry| entry.has_leaked());
        let may = leaked.is_none_or(|entry| {
            let reach = self.reach_with(&call.caller, None, needed);
            reach.has(directory.tenant_name(entry.tenant(), names))
        });
        may.then_some(()).ok_or(Refusal::NotPermitted(needed))
    }

    pub(super) fn reach_with(
        self,
        caller: &Caller,
        entry: Option<&Entry>,
        permission: Permission,
    ) -> Tenants {
        let Caller {
            party,
            on_behalf_of,
        } = caller;
        let reach = self.reach_of(party, entry, permission);
        match on_behalf_of {
            None => reach,
            Some(user) => reach
                .and(self.reach_of(party, entry, Permission::OnBehalfOf))
                .and(self.reach_of(user, None, permission)),
        }
    }

    fn reach_of(self, party: &Party, entry: Option<&Entry>, permission: Permission) -> Tenants {
        let (directory, names) = (self.0.directory(), self.0.names());
        if self.is_disabled(party) {
            return Tenants::NONE;
        }
        let Some(held) = directory.held(party.principal.as_str()) else {
            return Tenants::NONE;
        };
        let Some(id) = party.credential() else {
            return Tenants::with(held.iter(), permission);
        };
        let looked_up = match entry {
            Some(_) => None,
            None => self.0.read(|index| index.credential(id)).1,
        };
        let Some(entry) = entry.or(looked_up.as_deref()) else {
            return Tenants::NONE;
        };
        let has = |role: &str| {
            let mut narrowed_to = entry.roles(names).peekable();
            narrowed_to.peek().is_none() || narrowed_to.any(|name| name == role)
        };
        let held = held.iter().filter(|held| has(held.role.as_str()));
        Tenants::with(held, permission)
    }

    /// Whether a party that is known by its name alone is an owner of credd's own
    /// tenant whom somebody has disabled: no credential would let it in.
    fn is_disabled(self, party: &Party) -> bool {
        let (directory, names) = (self.0.directory(), self.0.names());
        let own = || {
            let (scheme, name) = party.principal.as_str().split_once(':')?;
            let credd = directory.tenant(Tenant::CREDD, names)?;
            let own = directory.owner(credd, name, names);
            own.filter(|_| scheme == Tenant::CREDD)
        };
        party.known_by == KnownBy::Name && own().is_some_and(|own| directory.owner_disabled(own))
    }

    pub(super) fn is_owner(self, call: &Call, owner: OwnerNumber) -> bool {
        let (directory, names) = (self.0.directory(), self.0.names());
        let tenant = directory.tenant_of(owner);
        if directory.owner_disabled(owner) || directory.tenant_disabled(tenant) {
            return false;
        }
        let names_owner = |party: &Party| {
            let owners = directory.owners_of_principal(party.principal.as_str());
            owners.contains(&owner) && !self.is_disabled(party)
        };
        let Caller {
            party,
            on_behalf_of,
        } = &call.caller;
        let Some(user) = on_behalf_of else {
            return names_owner(party);
        };
        let tenant = directory.tenant_name(tenant, names);
        let may = |permission| self.reach_of(party, None, permission).has(tenant);
        names_owner(user)
            && may(Permission::OnBehalfOf)
            && (may(call.permission) || names_owner(party))
    }

    pub(super) fn is_owner_named(self, call: &Call, tenant: &Tenant, owner: &Owner) -> bool {
        let (_, is_owner) = self.0.read(|index| {
            let (directory, names) = (index.directory(), index.names());
            let number = directory
                .tenant(tenant.as_str(), names)
                .and_then(|tenant| directory.owner(tenant, owner.as_str(), names));
            number.is_some_and(|number| self.is_owner(call, number))
        });
        is_owner
    }

    pub(super) fn is_good(self, party: &Party, entry: Option<&Entry>, now: Timestamp) -> bool {
        match (party.known_by, entry) {
            (KnownBy::Credential { generation, .. }, Some(entry)) => {
                let facts = entry.facts(self.0.names(), self.0.directory());
                facts.holds(generation, now) && facts.standing(now) == Verdict::Active
            }
            (KnownBy::Until(end), _) => now < end && is_trusted(party, now),
            (KnownBy::Credential { .. } | KnownBy::Name, _) => false,
        }
    }
}

fn is_trusted(party: &Party, now: Timestamp) -> bool {
    let mut trust = party.trust.iter();
    trust.all(|trust| trust.holds(now))
}
