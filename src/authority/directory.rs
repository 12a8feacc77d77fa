//! Tenants, owners, roles, profiles and bindings, in memory.
//!
//! A tenant or an owner need not have a record: credentials name it, and that is
//! enough for it to have a number. What it has beside that, no roles, no groups,
//! not disabled, is then what an empty record would say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32};
use std::sync::{Arc, OnceLock};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use parking_lot::RwLock;

use self::bindings::Bindings;
use self::roles::BuiltInRole;
use super::names::{Interner, Symbol};
use super::table::{Keyed, Table};
use crate::domain::directory::{DirectoryChange, OwnerRecord, RoleRecord, TenantRecord};
use crate::domain::header::HeaderRules;
use crate::domain::profile::{Profile, ProfileRef, built_in};
use crate::domain::revision::Revision;

mod bindings;
mod owners;
mod profiles;
mod roles;
mod tenants;

pub use bindings::{Configured, ConfiguredRole};

/// The number of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantNumber(u32);

/// The number of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerNumber(u32);

/// The number of a version of a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProfileNumber(u32);

/// The number of a profile, whatever the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FamilyNumber(u32);

/// A record and the commit that wrote it.
#[derive(Debug)]
pub struct Versioned<T> {
    /// The record.
    pub record: Arc<T>,
    /// The commit.
    pub revision: Revision,
}

impl<T> Clone for Versioned<T> {
    fn clone(&self) -> Self {
        Self {
            record: Arc::clone(&self.record),
            revision: self.revision,
        }
    }
}

/// A version of a profile, as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownProfile {
    /// Which one.
    pub reference: ProfileRef,
    /// The profile.
    pub profile: Profile,
    /// The change that wrote it, and the commit; `None`: it is built in.
    pub stored: Option<(DirectoryChange, Revision)>,
}

impl KnownProfile {
    /// Whether it is only a name that is not given again.
    #[must_use]
    pub fn deleted(&self) -> bool {
        self.stored
            .as_ref()
            .is_some_and(|(change, _)| change.deleted())
    }
}

/// Tenants, owners, roles, profiles and bindings.
#[derive(Debug)]
pub struct Directory {
    tenants: Table<TenantCell>,
    owners: Table<OwnerCell>,
    /// What verdicts ask of each owner, by its number: apart from the owners, so
    /// that it is small enough to stay in the processor's cache.
    owner_flags: boxcar::Vec<AtomicU8>,
    profiles: Table<ProfileCell>,
    families: Table<FamilyCell>,
    tenant_names: RwLock<BTreeMap<Arc<str>, TenantNumber>>,
    /// Who is which owners.
    principals: RwLock<HashMap<Arc<str>, BTreeSet<OwnerNumber>, RandomState>>,
    disabled_tenants: RwLock<BTreeSet<TenantNumber>>,
    disabled_owners: RwLock<BTreeSet<OwnerNumber>>,
    /// Those of all profiles.
    headers: RwLock<Arc<HeaderRules>>,
    built_in_roles: BTreeMap<&'static str, BuiltInRole>,
    /// Those of credd's own tenant.
    configured_roles: OnceLock<BTreeMap<Arc<str>, Arc<RoleRecord>>>,
    bindings: RwLock<Bindings>,
}

#[derive(Debug)]
struct TenantCell {
    name: Symbol,
    disabled: AtomicBool,
    record: RwLock<Option<Versioned<TenantRecord>>>,
    roles: RwLock<BTreeMap<Arc<str>, Versioned<RoleRecord>>>,
    owners: RwLock<BTreeMap<Arc<str>, OwnerNumber>>,
}

#[derive(Debug)]
struct OwnerCell {
    tenant: TenantNumber,
    name: Symbol,
    /// The symbol of the name by which it calls credd, once that was asked for; 0
    /// before.
    principal: AtomicU32,
    record: RwLock<Option<Versioned<OwnerRecord>>>,
}

#[derive(Debug)]
struct ProfileCell {
    family: FamilyNumber,
    version: u32,
    known: OnceLock<Arc<KnownProfile>>,
}

#[derive(Debug)]
struct FamilyCell {
    /// [`Interner::EMPTY`]: all tenants.
    scope: Symbol,
    name: Symbol,
    versions: RwLock<BTreeMap<u32, ProfileNumber>>,
}

impl Keyed for TenantCell {
    type Key = Symbol;
    fn has_key(&self, key: &Self::Key) -> bool {
        self.name == *key
    }
    fn hash_key(&self, hash: impl FnOnce(&Self::Key) -> u64) -> u64 {
        hash(&self.name)
    }
}

impl Keyed for OwnerCell {
    type Key = (TenantNumber, Symbol);
    fn has_key(&self, key: &Self::Key) -> bool {
        (self.tenant, self.name) == *key
    }
    fn hash_key(&self, hash: impl FnOnce(&Self::Key) -> u64) -> u64 {
        hash(&(self.tenant, self.name))
    }
}

impl Keyed for ProfileCell {
    type Key = (FamilyNumber, u32);
    fn has_key(&self, key: &Self::Key) -> bool {
        (self.family, self.version) == *key
    }
    fn hash_key(&self, hash: impl FnOnce(&Self::Key) -> u64) -> u64 {
        hash(&(self.family, self.version))
    }
}

impl Keyed for FamilyCell {
    type Key = (Symbol, Symbol);
    fn has_key(&self, key: &Self::Key) -> bool {
        (self.scope, self.name) == *key
    }
    fn hash_key(&self, hash: impl FnOnce(&Self::Key) -> u64) -> u64 {
        hash(&(self.scope, self.name))
    }
}

impl Directory {
    /// A directory of what is built in.
    #[must_use]
    pub fn new(names: &Interner) -> Self {
        let directory = Self {
            tenants: Table::new(),
            owners: Table::new(),
            owner_flags: boxcar::Vec::new(),
            profiles: Table::new(),
            families: Table::new(),
            tenant_names: RwLock::default(),
            principals: RwLock::default(),
            disabled_tenants: RwLock::default(),
            disabled_owners: RwLock::default(),
            headers: RwLock::default(),
            built_in_roles: roles::built_in(),
            configured_roles: OnceLock::new(),
            bindings: RwLock::default(),
        };
        for built_in::BuiltIn { version, profile } in built_in::all() {
            let reference = ProfileRef {
                family: profile.family(),
                version: *version,
            };
            let number = directory.number_of_profile(&reference, names);
            let known = KnownProfile {
                reference,
                profile: profile.clone(),
                stored: None,
            };
            let _ = directory.profiles.get(number.0).known.set(Arc::new(known));
        }
        directory.collect_headers();
        directory
    }
}

fn following<T: Clone>(
    all: &BTreeMap<Arc<str>, T>,
    after: &str,
    limit: usize,
) -> Vec<(Arc<str>, T)> {
    use std::ops::Bound::{Excluded, Unbounded};

    let rest = all.range::<str, _>((Excluded(after), Unbounded));
    rest.take(limit)
        .map(|(name, found)| (Arc::clone(name), found.clone()))
        .collect()
}

fn set_member<T: Ord>(set: &mut BTreeSet<T>, member: T, is_member: bool) {
    if is_member {
        set.insert(member);
    } else {
        set.remove(&member);
    }
}
