//! Those who call credd, and what they may do.
//!
//! A caller is a principal: the owner of a credential of credd's own tenant, the
//! subject of a token, or the name in a certificate. What principals may do,
//! bindings say ([`crate::domain::rights`]). One may call in the name of another;
//! then nothing is allowed that is not allowed to both.

use std::sync::Arc;

use tokio::time::Instant;

use super::Authority;
use super::audit::Trace;
use super::directory::OwnerNumber;
use super::entry::Entry;
use super::names::{Interner, Symbol};
use super::verify::Question;
use crate::domain::id::CredentialId;
use crate::domain::judge::{Audience, Verdict};
use crate::domain::names::{Owner, Principal, Tenant};
use crate::domain::permission::Permission;
use crate::domain::revision::Revision;
use crate::domain::rights::Tenants;
use crate::domain::time::Timestamp;
use crate::domain::token::{Generation, Presented};

mod may;
mod trust;

pub(super) use may::May;
pub use trust::Trust;

/// One who takes part in a call.
#[derive(Clone, Debug)]
pub struct Party {
    /// The name that stands in records.
    pub principal: Principal,
    /// The same, as the index has it; that of the empty name for all strangers.
    pub symbol: Symbol,
    /// How it is known.
    pub known_by: KnownBy,
    /// Whether by that still.
    pub trust: Option<Trust>,
}

/// How a party to a call is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownBy {
    /// By a credential of credd's own tenant.
    Credential {
        /// The credential.
        id: CredentialId,
        /// Which of its secrets was presented.
        generation: Generation,
    },
    /// By what is good until this time: a token or a certificate.
    Until(Timestamp),
    /// By the word of the other party.
    Name,
}

/// Somebody who calls credd.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who calls.
    pub party: Party,
    /// In whose name, if that is another.
    pub on_behalf_of: Option<Party>,
}

/// A call that was let in.
#[derive(Debug)]
pub struct Call {
    /// Who calls.
    pub caller: Caller,
    /// The permission that the RPC needs.
    pub permission: Permission,
    /// The tenants on which the caller has it.
    pub reach: Tenants,
    /// What the audit log notes of it.
    pub trace: Trace,
    /// When it must be answered, if its client waits no longer.
    pub answer_before: Option<Instant>,
}

/// Where a command comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// From credd itself, which may do anything.
    Credd,
    /// From a call.
    Call(Arc<Call>),
}

impl Party {
    /// The credential by which it is known.
    #[must_use]
    pub const fn credential(&self) -> Option<CredentialId> {
        match self.known_by {
            KnownBy::Credential { id, .. } => Some(id),
            KnownBy::Until(_) | KnownBy::Name => None,
        }
    }
}

impl Caller {
    /// Who is said to have done what the call does: the one in whose name it is.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.on_behalf_of.as_ref().unwrap_or(&self.party).principal
    }

    /// All who take part.
    pub fn parties(&self) -> impl Iterator<Item = &Party> {
        std::iter::once(&self.party).chain(&self.on_behalf_of)
    }
}

impl Origin {
    /// Who is said to have done it.
    #[must_use]
    pub fn principal(&self) -> Principal {
        match self {
            Self::Credd => Principal::system(),
            Self::Call(call) => call.caller.principal().clone(),
        }
    }
}

/// A caller's credential, and the revision as of which it was good for the call.
#[derive(Debug, Default)]
pub struct Seen(Option<(Revision, Option<Arc<Entry>>)>);

impl Authority {
    /// Finds who presents this token, and with which of credd's own credentials,
    /// if that is good.
    #[must_use]
    pub fn authenticate(&self, token: &str) -> Option<(Party, Arc<Entry>)> {
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
        let party = Party {
            principal: Principal::trusted(Arc::clone(names.resolve(symbol))),
            symbol,
            known_by: KnownBy::Credential {
                id: found.entry.id(),
                generation: found.generation,
            },
            trust: None,
        };
        Some((party, found.entry))
    }

    /// The party of this name that is known otherwise. Strangers, whom no binding and
    /// no owner names, share a symbol: issuers that anybody may ask for tokens name
    /// any number of them, and names that have a symbol are never forgotten.
    #[must_use]
    pub fn party(&self, principal: Principal, known_by: KnownBy) -> Party {
        let directory = self.index.directory();
        let is_known = directory.held(principal.as_str()).is_some()
            || directory.has_principal(principal.as_str());
        Party {
            symbol: if is_known {
                self.index.names().intern(principal.as_arc())
            } else {
                Interner::EMPTY
            },
            principal,
            known_by,
            trust: None,
        }
    }

    /// The tenants on which a caller has a permission now.
    #[must_use]
    pub fn reach(&self, caller: &Caller, permission: Permission) -> Tenants {
        self.reach_with(caller, None, permission)
    }

    /// The same, if the entry of the caller's credential is known.
    #[must_use]
    pub fn reach_with(
        &self,
        caller: &Caller,
        entry: Option<&Entry>,
        permission: Permission,
    ) -> Tenants {
        May(&self.index).reach_with(caller, entry, permission)
    }

    /// Whether a caller may do to this owner what owners may who need no
    /// permission. One who calls in the name of an owner must have it, or be the
    /// owner too.
    #[must_use]
    pub fn is_owner(&self, call: &Call, owner: OwnerNumber) -> bool {
        May(&self.index).is_owner(call, owner)
    }

    /// The same, by the owner's name.
    #[must_use]
    pub fn is_owner_named(&self, call: &Call, tenant: &Tenant, owner: &Owner) -> bool {
        May(&self.index).is_owner_named(call, tenant, owner)
    }

    /// As [`is_still_good`](Self::is_still_good), for who asks before every answer
    /// of a stream: what bindings say is looked at again only when another commit
    /// was applied, since until then it is the same.
    #[must_use]
    pub fn is_good_yet(&self, call: &Call, seen: &mut Seen) -> bool {
        let revision = self.index.revision();
        if seen.0.as_ref().is_none_or(|(at, _)| *at != revision) {
            seen.0 = self.look(call);
        }
        let party = &call.caller.party;
        let (may, now) = (May(&self.index), self.clock.now());
        let entry = seen.0.as_ref().map(|(_, entry)| entry.as_deref());
        entry.is_some_and(|entry| may.is_good(party, entry, now))
    }

    /// Whether a caller that was let in is still good, as it was known, and has the
    /// permission wherever it had it.
    #[must_use]
    pub fn is_still_good(&self, call: &Call) -> bool {
        self.is_good_yet(call, &mut Seen::default())
    }

    /// Whether a caller that was let in, and is still good, has the permission on more
    /// tenants than when it came.
    #[must_use]
    pub fn reaches_further(&self, call: &Call) -> bool {
        let now = self.reach(&call.caller, call.permission);
        !call.reach.include_all(&now)
    }

    /// Whether a party that was found is still good, as it was known, whatever it may
    /// do.
    #[must_use]
    pub fn is_known_yet(&self, party: &Party) -> bool {
        let id = party.credential();
        let (_, entry) = self
            .index
            .read(|index| id.and_then(|id| index.credential(id)));
        May(&self.index).is_good(party, entry.as_deref(), self.clock.now())
    }

    /// The entry of the caller's credential, if it is known by one, and the revision
    /// as of which the caller has the permission; `None`: it has it no more.
    fn look(&self, call: &Call) -> Option<(Revision, Option<Arc<Entry>>)> {
        let id = call.caller.party.credential();
        let (revision, entry) = self.index.read(|index| id.map(|id| index.credential(id)));
        let entry = match entry {
            Some(None) => return None,
            entry => entry.flatten(),
        };
        let reach = self.reach_with(&call.caller, entry.as_deref(), call.permission);
        reach.include_all(&call.reach).then_some((revision, entry))
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::authority::Parts;
    use crate::authority::command::Quotas;
    use crate::authority::directory::Configured;
    use crate::authority::feed::Feed;
    use crate::authority::hub::RingSize;
    use crate::authority::sessions::LeaseSettings;
    use crate::domain::keyring::{KeyVersion, Keyring};
    use crate::domain::names::{PrincipalName, Role};
    use crate::domain::random::SystemRandom;
    use crate::domain::revision::StoreId;
    use crate::domain::rights::{Binding, Reach};
    use crate::domain::time::SystemClock;
    use crate::store::memory::MemoryStore;

    #[test]
    fn strangers_leave_no_names_behind() {
        const KNOWN: &str = "jwt:https://issuer.test#known";
        let store = Arc::new(MemoryStore::new(StoreId::from_bytes([1; 16])));
        let key = [(KeyVersion(1), Zeroizing::new([7; 32]))];
        let loaded = Feed::load(Arc::clone(&store) as _, RingSize::default()).unwrap();
        let (authority, _workers) = Authority::new(Parts {
            store,
            feed: Arc::new(loaded.feed),
            keyring: Arc::new(Keyring::new(&key, &key).unwrap()),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom::new()),
            quotas: Quotas::default(),
            leases: LeaseSettings::default(),
        })
        .unwrap();
        let (directory, names) = (authority.index.directory(), authority.index.names());
        let binding = Binding {
            reach: Reach::All,
            principal: PrincipalName::parse(KNOWN).unwrap(),
            role: Role::parse(Role::AUDITOR).unwrap(),
        };
        let configured = Configured {
            roles: Vec::new(),
            bindings: vec![binding],
        };
        directory.configure(configured, names);
        let symbol = |name: &str| {
            let principal = Principal::trusted(name.into());
            authority.party(principal, KnownBy::Name).symbol
        };
        let known = symbol(KNOWN);
        assert_eq!(&**names.resolve(known), KNOWN);
        for n in 0..1000 {
            let stranger = format!("jwt:https://issuer.test#{n}");
            assert_eq!(symbol(&stranger), Interner::EMPTY);
            assert_eq!(names.find(&stranger), None);
        }
        assert_eq!(symbol(KNOWN), known);
    }
}
