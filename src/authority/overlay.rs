//! The index, with what the commands of a group so far do to it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::command::{Decision, Known, KnownRecord, View};
use super::directory::{KnownProfile, Versioned};
use super::entry::Entry;
use super::index::{Index, Reader};
use super::key_use::Remaining;
use super::listing::following;
use super::record::{Incarnation, Record, RequestName, RequestRecord};
use crate::domain::closed::Closed;
use crate::domain::credential::{Credential, State, Uses};
use crate::domain::directory::{
    OwnerRecord, OwnerRef, ProfileRecord, RoleRecord, RoleRef, TenantRecord,
};
use crate::domain::header::HeaderRule;
use crate::domain::id::CredentialId;
use crate::domain::keyring::{KeyKind, KeyVersion, KeyringState, Mac};
use crate::domain::names::{Owner, Principal, PrincipalName, ProfileName, Tenant};
use crate::domain::profile::{ProfileFamily, ProfileRef};
use crate::domain::restored::Restored;
use crate::domain::revision::Revision;
use crate::domain::rights::{Binding, BindingRecord, Held, Reach};
use crate::domain::time::Timestamp;

/// What commands look at.
pub(super) struct Overlay<'a> {
    index: &'a Index,
    credentials: HashMap<CredentialId, Arc<Credential>>,
    tenants: HashMap<Tenant, Arc<TenantRecord>>,
    owners: HashMap<OwnerRef, Arc<OwnerRecord>>,
    roles: HashMap<RoleRef, Arc<RoleRecord>>,
    profiles: HashMap<ProfileFamily, (ProfileRef, Arc<ProfileRecord>)>,
    bindings: HashMap<Binding, Arc<BindingRecord>>,
    rekeyed: HashSet<CredentialId>,
}

impl<'a> Overlay<'a> {
    /// The index alone.
    pub(super) fn new(index: &'a Index) -> Self {
        Self {
            index,
            credentials: HashMap::new(),
            tenants: HashMap::new(),
            owners: HashMap::new(),
            roles: HashMap::new(),
            profiles: HashMap::new(),
            bindings: HashMap::new(),
            rekeyed: HashSet::new(),
        }
    }

    /// Adds what a decision writes.
    pub(super) fn add(&mut self, decision: &Decision) {
        for record in &decision.writes {
            match record {
                Record::Credential(id, Some(credential)) => {
                    self.credentials.insert(*id, Arc::clone(credential));
                }
                Record::Tenant(tenant, Some(record)) => {
                    self.tenants.insert(tenant.clone(), Arc::clone(record));
                }
                Record::Owner(owner, Some(record)) => {
                    self.owners.insert(owner.clone(), Arc::clone(record));
                }
                Record::Role(role, Some(record)) => {
                    self.roles.insert(role.clone(), Arc::clone(record));
                }
                Record::Profile(profile, Some(record)) => {
                    let written = (profile.clone(), Arc::clone(record));
                    self.profiles.insert(profile.family.clone(), written);
                }
                Record::Binding(binding, Some(record)) => {
                    self.bindings.insert(binding.clone(), Arc::clone(record));
                }
                Record::Rekeyed(id, Some(_)) => {
                    self.rekeyed.insert(*id);
                }
                // Nobody looks at the first within a group, those who look at the
                // keyring wait for each other, and the others are deleted by
                // commands that nobody waits for.
                Record::Uses(..)
                | Record::Request(..)
                | Record::Keyring(_)
                | Record::Restored(_)
                | Record::Closed(_)
                | Record::Format(_)
                | Record::Audit(..)
                | Record::Node(..)
                | Record::Fence
                | Record::Rekeyed(_, None)
                | Record::Credential(_, None)
                | Record::Tenant(_, None)
                | Record::Owner(_, None)
                | Record::Role(_, None)
                | Record::Profile(_, None)
                | Record::Binding(_, None) => (),
            }
        }
    }

    fn read<T>(&self, read: impl FnMut(Reader<'_>) -> T) -> T {
        self.index.read(read).1
    }

    fn committed(&self, entry: &Entry) -> Known {
        Known::Committed(entry.to_stored(self.index.names(), self.index.directory()))
    }

    /// Those of these ids that the group does not write, and those of its own that
    /// `pending` picks.
    fn with_pending(
        &self,
        committed: &[Arc<Entry>],
        pending: impl Fn(&Credential) -> bool,
    ) -> Vec<Known> {
        let committed = committed
            .iter()
            .filter(|entry| !self.credentials.contains_key(&entry.id()))
            .map(|entry| self.committed(entry));
        let pending = self.credentials.values().filter(|c| pending(c));
        let pending = pending.map(|credential| Known::Pending(Arc::clone(credential)));
        committed.chain(pending).collect()
    }

    /// How many are not revoked, when `committed` are before the group.
    fn count_with_pending(&self, committed: u64, of: impl Fn(&Credential) -> bool) -> u64 {
        let pending = self
            .credentials
            .values()
            .filter(|credential| of(credential));
        pending.fold(committed, |count, credential| {
            let before = self.read(|index| index.credential(credential.id));
            let was = before.is_some_and(|entry| entry.standing() != State::Revoked);
            let is = credential.standing() != State::Revoked;
            (count + u64::from(is)).saturating_sub(u64::from(was))
        })
    }

    fn known_profile(reference: &ProfileRef, record: &ProfileRecord) -> Arc<KnownProfile> {
        Arc::new(KnownProfile {
            reference: reference.clone(),
            profile: record.profile.clone(),
            // Of a commit that is to come.
            stored: Some((record.last_change.clone(), Revision::ZERO)),
        })
    }
}

impl<T> From<Versioned<T>> for KnownRecord<T> {
    fn from(versioned: Versioned<T>) -> Self {
        Self {
            record: versioned.record,
            revision: Some(versioned.revision),
        }
    }
}

/// The credentials of an owner that are not revoked.
fn live_of_owner(index: Reader<'_>, owner: &OwnerRef) -> Vec<Arc<Entry>> {
    let (directory, names) = (index.directory(), index.names());
    let number = directory
        .tenant(owner.tenant.as_str(), names)
        .and_then(|tenant| directory.owner(tenant, owner.name.as_str(), names));
    let Some(number) = number else {
        return Vec::new();
    };
    let ids: Vec<_> =
        index.listing(|listing| following(listing.of_owner(number), CredentialId::MIN).collect());
    let found = ids.into_iter().filter_map(|id| index.credential(id));
    found
        .filter(|entry| entry.standing() != State::Revoked)
        .collect()
}

impl View for Overlay<'_> {
    fn credential(&self, id: CredentialId) -> Option<Known> {
        if let Some(written) = self.credentials.get(&id) {
            return Some(Known::Pending(Arc::clone(written)));
        }
        let entry = self.read(|index| index.credential(id))?;
        Some(self.committed(&entry))
    }

    fn exists(&self, id: CredentialId) -> bool {
        self.credentials.contains_key(&id) || self.read(|index| index.credential(id)).is_some()
    }

    fn uses(&self, id: CredentialId) -> Uses {
        let entry = self.read(|index| index.credential(id));
        entry.map(|entry| entry.uses()).unwrap_or_default()
    }

    fn callers(&self) -> Vec<Known> {
        let committed = self.read(|index| {
            let credd = index.directory().tenant(Tenant::CREDD, index.names());
            let ids: Vec<_> = index.listing(|listing| {
                let sets = credd.map(|credd| listing.of_tenant(Some(credd)));
                following(sets.unwrap_or_default(), CredentialId::MIN).collect()
            });
            let found = ids.into_iter().filter_map(|id| index.credential(id));
            found.collect::<Vec<_>>()
        });
        self.with_pending(&committed, |credential| credential.tenant.is_credd())
    }

    fn of_owner(&self, owner: &OwnerRef, profile: &ProfileFamily) -> Vec<Known> {
        let committed = self.read(|index| {
            let (directory, names) = (index.directory(), index.names());
            let family = directory.family(profile.scope.as_str(), profile.name.as_str(), names);
            let mut live = live_of_owner(index, owner);
            live.retain(|entry| Some(directory.family_of(entry.profile())) == family);
            live
        });
        self.with_pending(&committed, |credential| {
            credential.tenant == owner.tenant
                && credential.owner == owner.name
                && credential.profile.family == *profile
        })
    }

    fn shows_any(&self, owner: &OwnerRef) -> bool {
        let committed = self.read(|index| {
            let live = live_of_owner(index, owner);
            live.iter().any(|entry| entry.sealed().is_some())
        });
        let mut pending = self.credentials.values();
        committed
            || pending.any(|one| {
                one.tenant == owner.tenant
                    && one.owner == owner.name
                    && one.standing() != State::Revoked
                    && one.sealed.is_some()
            })
    }

    fn count_of_tenant(&self, tenant: &Tenant) -> u64 {
        let committed = self.read(|index| {
            let number = index.directory().tenant(tenant.as_str(), index.names());
            number.map_or(0, |number| index.listing(|listing| listing.live(number)))
        });
        self.count_with_pending(committed, |credential| credential.tenant == *tenant)
    }

    fn count_of_owner(&self, owner: &OwnerRef) -> u64 {
        let committed = self.read(|index| {
            let (directory, names) = (index.directory(), index.names());
            let number = directory
                .tenant(owner.tenant.as_str(), names)
                .and_then(|tenant| directory.owner(tenant, owner.name.as_str(), names));
            let Some(number) = number else {
                return 0;
            };
            index.listing(|listing| {
                let ids = following(listing.of_owner(number), CredentialId::MIN);
                let live = ids.filter(|id| {
                    let entry = index.credential(*id);
                    entry.is_some_and(|entry| entry.standing() != State::Revoked)
                });
                live.count() as u64
            })
        });
        self.count_with_pending(committed, |credential| {
            credential.tenant == owner.tenant && credential.owner == owner.name
        })
    }

    fn holds_imported(&self, tenant: &Tenant, mac: &Mac) -> bool {
        self.read(|index| {
            let number = index.directory().tenant(tenant.as_str(), index.names());
            let imported = index.imported(mac);
            imported.iter().any(|entry| Some(entry.tenant()) == number)
        })
    }

    fn request(&self, name: &RequestName) -> Option<(Arc<RequestRecord>, Revision)> {
        self.read(|index| index.request(name))
    }

    fn requests_of(&self, id: CredentialId) -> Vec<(RequestName, Arc<RequestRecord>)> {
        self.read(|index| index.requests_of(id))
    }

    fn keyring(&self) -> Option<(Arc<KeyringState>, Revision)> {
        self.read(|index| index.keyring())
    }

    fn restored(&self) -> Option<Arc<Restored>> {
        self.read(|index| index.restored())
    }

    fn remaining(&self, kind: KeyKind, version: KeyVersion, now: Timestamp) -> Remaining {
        self.read(|index| index.remaining(kind, version, now))
    }

    fn is_rekeyed(&self, id: CredentialId) -> bool {
        self.rekeyed.contains(&id)
            || self
                .read(|index| index.credential(id))
                .is_some_and(|entry| entry.is_rekeyed())
    }

    fn held(&self, principal: &Principal) -> Vec<Held> {
        let held = self.index.directory().held(principal.as_str());
        held.map_or_else(Vec::new, |held| held.to_vec())
    }

    fn owners_of(&self, principal: &Principal) -> Vec<OwnerRef> {
        self.read(|index| {
            let (directory, names) = (index.directory(), index.names());
            let owners = directory.owners_of_principal(principal.as_str());
            let owners = owners.into_iter();
            owners
                .map(|owner| owner.reference(directory, names))
                .collect()
        })
    }

    fn is_able(&self, owner: &OwnerRef) -> bool {
        self.read(|index| {
            let (directory, names) = (index.directory(), index.names());
            let Some(tenant) = directory.tenant(owner.tenant.as_str(), names) else {
                return true;
            };
            let number = directory.owner(tenant, owner.name.as_str(), names);
            !directory.tenant_disabled(tenant)
                && number.is_none_or(|number| !directory.owner_disabled(number))
        })
    }

    fn binding(&self, binding: &Binding) -> Option<KnownRecord<BindingRecord>> {
        if let Some(written) = self.bindings.get(binding) {
            return Some(KnownRecord::pending(Arc::clone(written)));
        }
        let known = self.index.directory().binding(binding)?;
        Some(known.into())
    }

    fn bound_everywhere(&self, role: &str) -> Vec<Binding> {
        let committed = self.index.directory().bound_everywhere(role).into_iter();
        let mut bound: BTreeSet<_> = committed.collect();
        for (binding, record) in &self.bindings {
            if record.last_change.deleted() {
                bound.remove(binding);
            } else if binding.reach == Reach::All && binding.role.as_str() == role {
                bound.insert(binding.clone());
            }
        }
        bound.into_iter().collect()
    }

    fn closed(&self) -> Option<Closed> {
        self.index.closed()
    }

    fn format(&self) -> u8 {
        self.index.format()
    }

    fn too_old_for(&self, format: u8) -> usize {
        let nodes = self.read(|index| index.nodes());
        let too_old = nodes.values().filter(|(node, _)| node.format < format);
        too_old.count()
    }

    fn node_revision(&self, name: Incarnation) -> Option<Revision> {
        self.read(|index| index.node_revision(name))
    }

    fn tenant(&self, tenant: &Tenant) -> Option<KnownRecord<TenantRecord>> {
        if let Some(written) = self.tenants.get(tenant) {
            return Some(KnownRecord::pending(Arc::clone(written)));
        }
        self.read(|index| {
            let number = index.directory().tenant(tenant.as_str(), index.names())?;
            index.directory().tenant_record(number)
        })
        .map(Into::into)
    }

    fn owner(&self, owner: &OwnerRef) -> Option<KnownRecord<OwnerRecord>> {
        if let Some(written) = self.owners.get(owner) {
            return Some(KnownRecord::pending(Arc::clone(written)));
        }
        self.read(|index| {
            let (directory, names) = (index.directory(), index.names());
            let tenant = directory.tenant(owner.tenant.as_str(), names)?;
            directory.owner_record(directory.owner(tenant, owner.name.as_str(), names)?)
        })
        .map(Into::into)
    }

    fn role(&self, role: &RoleRef) -> Option<KnownRecord<RoleRecord>> {
        if let Some(written) = self.roles.get(role) {
            return Some(KnownRecord::pending(Arc::clone(written)));
        }
        let name = role.name.as_str();
        let fixed = self
            .index
            .directory()
            .fixed_role(name, role.tenant.is_credd());
        if let Some(record) = fixed {
            return Some(KnownRecord {
                record: Arc::clone(record),
                revision: Some(Revision::ZERO),
            });
        }
        self.read(|index| {
            let (directory, names) = (index.directory(), index.names());
            let tenant = directory.tenant(role.tenant.as_str(), names)?;
            directory.role(tenant, name, names)
        })
        .map(Into::into)
    }

    fn profile(&self, profile: &ProfileRef) -> Option<Arc<KnownProfile>> {
        if let Some((reference, record)) = self.profiles.get(&profile.family)
            && reference == profile
        {
            return Some(Self::known_profile(reference, record));
        }
        self.read(|index| {
            let directory = index.directory();
            let number = directory.find_profile(profile, index.names())?;
            directory.profile(number).cloned()
        })
    }

    fn profile_for(&self, tenant: &Tenant, name: &ProfileName) -> Option<Arc<KnownProfile>> {
        let written = self.profiles.values().find(|(reference, _)| {
            reference.family.name == *name && reference.family.scope.admits(tenant.as_str())
        });
        if let Some((reference, record)) = written {
            return Some(Self::known_profile(reference, record));
        }
        self.read(|index| {
            let (directory, names) = (index.directory(), index.names());
            let scopes = [tenant.as_str(), ""].into_iter();
            let families = scopes.filter_map(|scope| directory.family(scope, name.as_str(), names));
            let known = families.filter_map(|family| directory.latest(family));
            // One of a name that was deleted stands in nobody's way.
            known.min_by_key(|known| known.deleted())
        })
    }

    fn latest(&self, profile: &ProfileFamily) -> Option<Arc<KnownProfile>> {
        self.read(|index| {
            let (directory, names) = (index.directory(), index.names());
            let (scope, name) = (profile.scope.as_str(), profile.name.as_str());
            directory.latest(directory.family(scope, name, names)?)
        })
    }

    fn accepted_headers(&self, known: &KnownProfile) -> Vec<HeaderRule> {
        self.read(|index| index.directory().accepted_headers(known, index.names()))
    }

    fn profiles_named(&self, name: &ProfileName) -> Vec<Arc<KnownProfile>> {
        self.read(|index| {
            let directory = index.directory();
            let families = directory.families_named(name.as_str(), index.names());
            families
                .into_iter()
                .filter_map(|family| directory.latest(family))
                .collect()
        })
    }

    fn tenant_in_use(&self, tenant: &Tenant) -> bool {
        self.read(|index| {
            let (directory, names) = (index.directory(), index.names());
            let Some(number) = directory.tenant(tenant.as_str(), names) else {
                return false;
            };
            let has_credentials = index.listing(|listing| listing.has_tenant(number));
            let mut owners = directory.owners_after(number, "", usize::MAX).into_iter();
            let mut roles = directory.roles_after(number, "", usize::MAX).into_iter();
            let mut profiles = directory.all_families(names).into_iter();
            has_credentials
                || owners.any(|(_, owner)| {
                    let record = directory.owner_record(owner);
                    record.is_some_and(|known| !known.record.last_change.deleted())
                })
                || roles.any(|(_, role)| !role.record.last_change.deleted())
                || profiles.any(|((scope, _), family)| {
                    *scope == *tenant.as_str()
                        && directory
                            .latest(family)
                            .is_some_and(|known| !known.deleted())
                })
        })
    }

    fn tenant_exists(&self, tenant: &Tenant) -> bool {
        let has_record = self
            .tenant(tenant)
            .is_some_and(|known| !known.record.last_change.deleted());
        has_record || self.tenant_in_use(tenant)
    }

    fn owner_in_use(&self, owner: &OwnerRef) -> bool {
        let pending = self
            .credentials
            .values()
            .any(|credential| credential.tenant == owner.tenant && credential.owner == owner.name);
        pending
            || self.read(|index| {
                let (directory, names) = (index.directory(), index.names());
                let number = directory
                    .tenant(owner.tenant.as_str(), names)
                    .and_then(|tenant| directory.owner(tenant, owner.name.as_str(), names));
                number.is_some_and(|number| index.listing(|listing| listing.has_owner(number)))
            })
    }

    fn role_in_use(&self, role: &RoleRef) -> bool {
        self.read(|index| {
            let (directory, names) = (index.directory(), index.names());
            let Some(tenant) = directory.tenant(role.tenant.as_str(), names) else {
                return false;
            };
            let name = role.name.as_str();
            let credentials = index.listing(|listing| listing.has_role(tenant, name, names));
            let mut owners = directory.owners_after(tenant, "", usize::MAX).into_iter();
            let mut profiles = directory.all_families(names).into_values();
            credentials
                || (role.tenant.is_credd() && directory.role_is_bound(name))
                || owners.any(|(_, owner)| {
                    let record = directory.owner_record(owner);
                    record.is_some_and(|known| known.record.roles.contains(&role.name))
                })
                || profiles.any(|family| {
                    directory.latest(family).is_some_and(|known| {
                        known.reference.family.scope.as_str() == role.tenant.as_str()
                            && !known.deleted()
                            && known.profile.roles.allowed.contains(&role.name)
                    })
                })
        })
    }

    fn profile_in_use(&self, profile: &ProfileFamily) -> bool {
        self.read(|index| {
            let (directory, names) = (index.directory(), index.names());
            let family = directory.family(profile.scope.as_str(), profile.name.as_str(), names);
            family.is_some_and(|family| index.listing(|listing| listing.has_family(family)))
        })
    }

    fn owner_named(&self, tenant: &Tenant, principal: &PrincipalName) -> Option<Owner> {
        self.read(|index| {
            let (directory, names) = (index.directory(), index.names());
            let tenant = directory.tenant(tenant.as_str(), names)?;
            let owner = directory.owner_in(tenant, principal)?;
            Some(owner.reference(directory, names).name)
        })
    }
}
