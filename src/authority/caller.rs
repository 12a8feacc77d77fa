//! Those who call credd with a credential of credd's own tenant, and what they
//! may do.

use std::sync::Arc;

use super::Authority;
use super::directory::OwnerNumber;
use super::entry::Entry;
use super::names::Symbol;
use super::verify::Question;
use crate::domain::directory::Permissions;
use crate::domain::id::CredentialId;
use crate::domain::judge::{Audience, Verdict};
use crate::domain::names::{Owner, Principal, Tenant};
use crate::domain::revision::Revision;
use crate::domain::token::{Generation, Presented};

/// Somebody who calls credd with a credential of credd's own tenant.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The name that stands in records.
    pub principal: Principal,
    /// The same, as the index has it.
    pub symbol: Symbol,
    /// The credential.
    pub id: CredentialId,
    /// Which of its secrets was presented.
    pub generation: Generation,
    /// The permission by which the caller was let in, if it was by one.
    pub permission: Option<&'static str>,
}

/// The entry of a caller, and the revision as of which it was that.
#[derive(Debug, Default)]
pub struct Seen(Option<(Revision, Arc<Entry>)>);

impl Authority {
    /// Finds who presents this token, and with which of credd's own credentials,
    /// if that is good.
    #[must_use]
    pub fn authenticate(&self, token: &str) -> Option<(Caller, Arc<Entry>)> {
        let question = Question::of(Presented::Token(token), Audience::Credd);
        let (answer, now) = self.judge(&question);
        let found = answer.found?;
        if answer.verdict != Verdict::Active {
            return None;
        }
        let (directory, names) = (self.index.directory(), self.index.names());
        let symbol = directory.principal(found.entry.owner(), names);
        self.uses
            .report(&found.entry, found.generation, now, symbol);
        let caller = Caller {
            principal: Principal::trusted(Arc::clone(names.resolve(symbol))),
            symbol,
            id: found.entry.id(),
            generation: found.generation,
            permission: None,
        };
        Some((caller, found.entry))
    }

    /// Whether the roles of a caller's credential give a permission on credd.
    #[must_use]
    pub fn permits(&self, entry: &Entry, permission: &str) -> bool {
        let (directory, names) = (self.index.directory(), self.index.names());
        entry.roles(names).any(|role| {
            let Some(known) = directory.role(entry.tenant(), role, names) else {
                return false;
            };
            match &known.record.permissions {
                Permissions::Credd(grants) => grants.iter().any(|grant| grant.covers(permission)),
                Permissions::Tenant(_) => false,
            }
        })
    }

    /// Whether a caller has a permission on credd now.
    #[must_use]
    pub fn caller_has(&self, caller: &Caller, permission: &str) -> bool {
        let (_, entry) = self.index.read(|index| index.credential(caller.id));
        entry.is_some_and(|entry| self.permits(&entry, permission))
    }

    /// Whether a caller is an owner.
    #[must_use]
    pub fn caller_is(&self, caller: &Caller, tenant: &Tenant, owner: &Owner) -> bool {
        let (_, is_owner) = self.index.read(|index| {
            let (directory, names) = (index.directory(), index.names());
            let number = directory
                .tenant(tenant.as_str(), names)
                .and_then(|tenant| directory.owner(tenant, owner.as_str(), names));
            number.is_some_and(|number| self.is_owner(caller, number))
        });
        is_owner
    }

    /// Whether a caller is this owner, whom nobody has disabled.
    #[must_use]
    pub fn is_owner(&self, caller: &Caller, owner: OwnerNumber) -> bool {
        let directory = self.index.directory();
        let owners = directory.owners_of_principal(caller.principal.as_str());
        owners.contains(&owner)
            && !directory.owner_disabled(owner)
            && !directory.tenant_disabled(directory.tenant_of(owner))
    }

    /// As [`is_still_good`](Self::is_still_good), for who asks before every answer
    /// of a stream: the entry that was found is looked up again only when
    /// another commit was applied, since until then it is the same.
    #[must_use]
    pub fn is_good_yet(&self, caller: &Caller, seen: &mut Seen) -> bool {
        let revision = self.index.revision();
        if seen.0.as_ref().is_none_or(|seen| seen.0 != revision) {
            let (revision, entry) = self.index.read(|index| index.credential(caller.id));
            let entry = entry.filter(|entry| self.may_still(entry, caller));
            seen.0 = entry.map(|entry| (revision, entry));
        }
        seen.0
            .as_ref()
            .is_some_and(|(_, entry)| self.is_good(entry, caller))
    }

    /// Whether a caller that was known is still good, with the same secret, and has
    /// the permission by which it was let in.
    #[must_use]
    pub fn is_still_good(&self, caller: &Caller) -> bool {
        let (_, entry) = self.index.read(|index| index.credential(caller.id));
        entry.is_some_and(|entry| self.may_still(&entry, caller) && self.is_good(&entry, caller))
    }

    /// Whether a caller has the permission by which it was let in.
    fn may_still(&self, entry: &Entry, caller: &Caller) -> bool {
        caller
            .permission
            .is_none_or(|permission| self.permits(entry, permission))
    }

    fn is_good(&self, entry: &Entry, caller: &Caller) -> bool {
        let facts = entry.facts(self.index.names(), self.index.directory());
        let now = self.clock.now();
        facts.holds(caller.generation, now) && facts.standing(now) == Verdict::Active
    }
}
