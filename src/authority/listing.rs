//! The orders in which credentials are listed, and what picks a part of them.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::hash::Hash;
use std::ops::Bound::{Excluded, Unbounded};

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::directory::{Directory, FamilyNumber, OwnerNumber, TenantNumber};
use super::entry::Entry;
use super::names::{Interner, Symbol};
use crate::domain::credential::State;
use crate::domain::id::CredentialId;
use crate::domain::time::Timestamp;

type Map<K, V> = HashMap<K, V, RandomState>;
type Ids = BTreeSet<CredentialId>;
/// Credentials by a time that they have, and by id where it is the same.
pub(super) type Timed = (Timestamp, CredentialId);

/// The ids of all credentials, in several orders. There is no set of a tenant's
/// credentials: it is those of its profiles, of which there are few.
#[derive(Debug, Default)]
pub struct Listing {
    by_family: Map<(TenantNumber, FamilyNumber), Ids>,
    families: Map<TenantNumber, Vec<FamilyNumber>>,
    by_owner: Map<OwnerNumber, Ids>,
    /// Those that name roles, by the set of them.
    by_roles: Map<(TenantNumber, Symbol), Ids>,
    /// Those that are locked or revoked.
    by_state: Map<(TenantNumber, State), Ids>,
    /// Those that expire, by expiry.
    expiring: Map<TenantNumber, BTreeSet<Timed>>,
    /// Those that were ever used, by last use.
    used: Map<TenantNumber, BTreeSet<Timed>>,
}

impl Listing {
    pub(super) fn insert(&mut self, entry: &Entry, directory: &Directory) {
        let (tenant, id) = (entry.tenant(), entry.id());
        let family = directory.family_of(entry.profile());
        let of_family = self.by_family.entry((tenant, family)).or_default();
        if of_family.is_empty() {
            self.families.entry(tenant).or_default().push(family);
        }
        of_family.insert(id);
        self.by_owner.entry(entry.owner()).or_default().insert(id);
        self.add_changeable(entry);
        if let Some(at) = entry.last_used_at() {
            self.used.entry(tenant).or_default().insert((at, id));
        }
    }

    pub(super) fn remove(&mut self, entry: &Entry, directory: &Directory) {
        let (tenant, id) = (entry.tenant(), entry.id());
        let family = directory.family_of(entry.profile());
        if take(&mut self.by_family, (tenant, family), &id)
            && let Some(families) = self.families.get_mut(&tenant)
        {
            families.retain(|held| *held != family);
            if families.is_empty() {
                self.families.remove(&tenant);
            }
        }
        take(&mut self.by_owner, entry.owner(), &id);
        self.take_changeable(entry);
        if let Some(at) = entry.last_used_at() {
            take(&mut self.used, tenant, &(at, id));
        }
    }

    /// Puts a credential in the place of what it was.
    pub(super) fn replace(&mut self, earlier: &Entry, now: &Entry, directory: &Directory) {
        let place = |entry: &Entry| {
            let family = directory.family_of(entry.profile());
            (entry.tenant(), entry.owner(), family)
        };
        if place(earlier) == place(now) {
            self.take_changeable(earlier);
            self.add_changeable(now);
        } else {
            self.remove(earlier, directory);
            self.insert(now, directory);
        }
    }

    pub(super) fn set_used(&mut self, entry: &Entry, before: Option<Timestamp>) {
        let after = entry.last_used_at();
        if before != after {
            if let Some(before) = before {
                take(&mut self.used, entry.tenant(), &(before, entry.id()));
            }
            if let Some(after) = after {
                let used = self.used.entry(entry.tenant()).or_default();
                used.insert((after, entry.id()));
            }
        }
    }

    fn add_changeable(&mut self, entry: &Entry) {
        let (tenant, id) = (entry.tenant(), entry.id());
        if entry.role_set() != Interner::EMPTY {
            let with_roles = self.by_roles.entry((tenant, entry.role_set()));
            with_roles.or_default().insert(id);
        }
        if entry.standing() != State::Active {
            let in_state = self.by_state.entry((tenant, entry.standing()));
            in_state.or_default().insert(id);
        }
        if let Some(expiry) = entry.expires_at() {
            let expiring = self.expiring.entry(tenant).or_default();
            expiring.insert((expiry, id));
        }
    }

    fn take_changeable(&mut self, entry: &Entry) {
        let (tenant, id) = (entry.tenant(), entry.id());
        take(&mut self.by_roles, (tenant, entry.role_set()), &id);
        take(&mut self.by_state, (tenant, entry.standing()), &id);
        if let Some(expiry) = entry.expires_at() {
            take(&mut self.expiring, tenant, &(expiry, id));
        }
    }

    /// The sets that together are a tenant's credentials, or everybody's.
    pub(super) fn of_tenant(&self, tenant: Option<TenantNumber>) -> Vec<&Ids> {
        match tenant {
            None => self.by_family.values().collect(),
            Some(tenant) => {
                let families = self.families.get(&tenant).into_iter().flatten();
                families
                    .filter_map(|family| self.by_family.get(&(tenant, *family)))
                    .collect()
            }
        }
    }

    /// The credentials of an owner.
    pub(super) fn of_owner(&self, owner: OwnerNumber) -> Vec<&Ids> {
        self.by_owner.get(&owner).into_iter().collect()
    }

    /// The sets that together are the credentials of these profiles.
    pub(super) fn of_families(
        &self,
        tenant: Option<TenantNumber>,
        families: &[FamilyNumber],
    ) -> Vec<&Ids> {
        if let Some(tenant) = tenant {
            families
                .iter()
                .filter_map(|family| self.by_family.get(&(tenant, *family)))
                .collect()
        } else {
            let all = self.by_family.iter();
            all.filter(|((_, family), _)| families.contains(family))
                .map(|(_, ids)| ids)
                .collect()
        }
    }

    /// The sets that together are the credentials that name a role.
    pub(super) fn of_role(
        &self,
        tenant: Option<TenantNumber>,
        role: &str,
        names: &Interner,
    ) -> Vec<&Ids> {
        let all = self.by_roles.iter();
        all.filter(|((of, set), _)| {
            tenant.is_none_or(|tenant| tenant == *of)
                && super::entry::roles_of(*set, names).any(|held| held == role)
        })
        .map(|(_, ids)| ids)
        .collect()
    }

    /// The sets that together are the credentials in these states, of which none
    /// is ACTIVE.
    pub(super) fn in_states(&self, tenant: Option<TenantNumber>, states: &[State]) -> Vec<&Ids> {
        let all = self.by_state.iter();
        all.filter(|((of, state), _)| {
            tenant.is_none_or(|tenant| tenant == *of) && states.contains(state)
        })
        .map(|(_, ids)| ids)
        .collect()
    }

    /// The sets that together are the credentials that expire.
    pub(super) fn expiring(&self, tenant: Option<TenantNumber>) -> Vec<&BTreeSet<Timed>> {
        match tenant {
            Some(tenant) => self.expiring.get(&tenant).into_iter().collect(),
            None => self.expiring.values().collect(),
        }
    }

    /// The sets that together are the credentials that were ever used.
    pub(super) fn used(&self, tenant: Option<TenantNumber>) -> Vec<&BTreeSet<Timed>> {
        match tenant {
            Some(tenant) => self.used.get(&tenant).into_iter().collect(),
            None => self.used.values().collect(),
        }
    }

    /// Whether an owner has credentials.
    #[must_use]
    pub fn has_owner(&self, owner: OwnerNumber) -> bool {
        self.by_owner.contains_key(&owner)
    }

    /// Whether a tenant has credentials.
    #[must_use]
    pub fn has_tenant(&self, tenant: TenantNumber) -> bool {
        self.families.contains_key(&tenant)
    }

    /// How many credentials of a tenant are not revoked.
    pub(super) fn live(&self, tenant: TenantNumber) -> u64 {
        let all: usize = self.of_tenant(Some(tenant)).into_iter().map(Ids::len).sum();
        let revoked = self.by_state.get(&(tenant, State::Revoked));
        all.saturating_sub(revoked.map_or(0, Ids::len)) as u64
    }

    /// Whether there are credentials of a profile.
    #[must_use]
    pub fn has_family(&self, family: FamilyNumber) -> bool {
        let mut used = self.by_family.keys();
        used.any(|(_, held)| *held == family)
    }

    /// Whether a credential of the tenant names a role.
    #[must_use]
    pub fn has_role(&self, tenant: TenantNumber, role: &str, names: &Interner) -> bool {
        !self.of_role(Some(tenant), role, names).is_empty()
    }

    /// How many credentials a tenant has.
    #[must_use]
    pub fn count_of_tenant(&self, tenant: TenantNumber) -> usize {
        self.of_tenant(Some(tenant)).into_iter().map(Ids::len).sum()
    }

    /// How many credentials an owner has.
    #[must_use]
    pub fn count_of_owner(&self, owner: OwnerNumber) -> usize {
        self.by_owner.get(&owner).map_or(0, Ids::len)
    }

    /// How many credentials there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_family.values().map(Ids::len).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_family.is_empty()
    }
}

/// Takes a member out of a set of a map, and the set if that was the last;
/// whether it was.
fn take<K: Copy + Hash + Eq, T: Ord>(map: &mut Map<K, BTreeSet<T>>, key: K, member: &T) -> bool {
    let Some(set) = map.get_mut(&key) else {
        return false;
    };
    set.remove(member);
    let empty = set.is_empty();
    if empty {
        map.remove(&key);
    }
    empty
}

/// The members of several sets that follow `after`, in order.
pub(super) fn following<T: Ord + Copy>(
    sets: Vec<&BTreeSet<T>>,
    after: T,
) -> impl Iterator<Item = T> + '_ {
    let mut ranges: Vec<_> = sets
        .into_iter()
        .map(|set| set.range((Excluded(after), Unbounded)))
        .collect();
    let mut heads: BinaryHeap<_> = ranges
        .iter_mut()
        .enumerate()
        .filter_map(|(at, range)| Some(Reverse((*range.next()?, at))))
        .collect();
    std::iter::from_fn(move || {
        let Reverse((member, at)) = heads.pop()?;
        if let Some(next) = ranges[at].next() {
            heads.push(Reverse((*next, at)));
        }
        Some(member)
    })
}
